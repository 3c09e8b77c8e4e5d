"""The tutorial of backends: its commands, from an empty folder, print what the page shows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from toys import TOY, install, library, python

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "backend.md"
BLOCKS = re.findall(r"^```console\n\$ (.*)\n([^`]*)```$", PAGE.read_text(), re.MULTILINE)
RUNS = [(command, shown) for command, shown in BLOCKS if command.startswith("python ")]

FINISHED = (TOY / "toy_hopcore.py").read_text()
UNFINISHED = f"{FINISHED}\n\ndel ToyBackend.heat_kernel, ToyBackend.expected_failures\n"
STAGES = {
    "none": None,
    "first try": (TOY / "first_try.py").read_text(),
    "softmax mended": UNFINISHED,
    "the same": UNFINISHED,
    "finished": FINISHED,
}
"""The backend of each run on the page."""


def essential(lines: str) -> Iterator[str]:
    """The lines without what differs between machines and runs: numbers, times, rules, paths."""
    for line in lines.splitlines():
        text = re.sub(r"\S*(?=test_\w+\.py::)", "", line.strip("=_ "))
        text = re.sub(r"\bin [0-9.]+s( \([0-9:]+\))?$", "", text)
        yield re.sub(r"\s+", " ", re.sub(r"-?[0-9]+(\.[0-9]*)?(e[-+]?[0-9]+)?", "#", text)).strip()


@pytest.mark.parametrize("stage", STAGES)
def test_a_command_prints_what_the_page_shows(stage: str, tmp_path: Path) -> None:
    command, shown = RUNS[list(STAGES).index(stage)]
    library(tmp_path)
    if (code := STAGES[stage]) is not None:
        install(tmp_path, code)
    done = python(tmp_path, *shlex.split(command)[1:])
    # Red where the page shows a failure, green elsewhere.
    assert done.returncode == (1 if " failed" in shown else 0), done.stdout + done.stderr
    printed = essential(done.stdout)  # is read once: the lines come in the page's order
    for line in essential(shown):
        if line not in ("", "..."):
            assert line in printed, f"{line}\n is not, or not there, in\n{done.stdout}"
    if "--report" in command:
        assert "1 expected to fail" in (tmp_path / "toy.html").read_text()


def test_twenty_examples_show_the_overflow_that_five_do_not(tmp_path: Path) -> None:
    line = "        top = toy.where(empty, 0.0, top)\n"
    assert line in FINISHED
    install(library(tmp_path), FINISHED.replace(line, "        top = toy.zeros_like(top)\n"))
    command = ("-m", "hopcore_conformance", "--backend", "toy", "-k", "test_extreme_values")
    assert python(tmp_path, *command, "--max-examples", "5").returncode == 0
    done = python(tmp_path, *command)
    assert done.returncode == 1
    assert "B.extreme" in done.stdout


def test_the_page_has_a_run_for_each_stage() -> None:
    assert len(RUNS) == len(STAGES)
