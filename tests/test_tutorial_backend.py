"""The tutorial of backends: its commands, from an empty folder, print what the page shows."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

TOY = Path(__file__).parent / "toy"
PAGE = Path(__file__).parent.parent / "docs" / "tutorials" / "backend.md"
BLOCKS = re.findall(r"^```console\n\$ (.*)\n([^`]*)```$", PAGE.read_text(), re.MULTILINE)
RUNS = [(command, shown) for command, shown in BLOCKS if command.startswith("python ")]

# The backend of each run on the page: none, the first try, its softmax mended, the finished one.
UNFINISHED = "\n\ndel ToyBackend.heat_kernel, ToyBackend.expected_failures\n"
STAGES = ("", "first_try.py", "toy_hopcore.py", "unfinished", "toy_hopcore.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The reader's folder, as it is at first."""
    shutil.copy(TOY / "toy.py", tmp_path)
    return tmp_path


def write(folder: Path, stage: str) -> None:
    """Save the backend of a stage, and install it."""
    name = "toy_hopcore.py" if stage == "unfinished" else stage
    code = (TOY / name).read_text() + (UNFINISHED if stage == "unfinished" else "")
    (folder / "toy_hopcore.py").write_text(code)
    install(folder)


def install(folder: Path) -> None:
    """What ``pip install -e .`` writes; pip itself would fetch a build tool."""
    project = tomllib.loads((TOY / "pyproject.toml").read_text())["project"]
    about = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = [
        f"[{group}]\n" + "".join(f"{name} = {place}\n" for name, place in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (about / "entry_points.txt").write_text("\n".join(points))


def run(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, *shlex.split(command)[1:]]
    # As after the installation: the folder is where Python finds its packages.
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def essential(lines: str) -> Iterator[str]:
    """The lines without what differs between machines and runs: numbers, times, rules, paths."""
    for line in lines.splitlines():
        text = re.sub(r"\S*(?=test_\w+\.py::)", "", line.strip("=_ "))
        text = re.sub(r"\bin [0-9.]+s( \([0-9:]+\))?$", "", text)
        yield re.sub(r"\s+", " ", re.sub(r"-?[0-9]+(\.[0-9]*)?(e[-+]?[0-9]+)?", "#", text)).strip()


@pytest.mark.parametrize(
    ("place", "stage"), list(enumerate(STAGES)), ids=[s or "none" for s in STAGES]
)
def test_a_command_prints_what_the_page_shows(folder: Path, place: int, stage: str) -> None:
    command, shown = RUNS[place]
    if stage:
        write(folder, stage)
    done = run(folder, command)
    # Red where the page shows a failure, green elsewhere.
    assert done.returncode == (1 if " failed" in shown else 0), done.stdout + done.stderr
    printed = essential(done.stdout)  # is read once: the lines come in the page's order
    for line in essential(shown):
        if line not in ("", "..."):
            assert line in printed, f"{line}\n is not, or not there, in\n{done.stdout}"
    if "--report" in command:
        assert "1 expected to fail" in (folder / "toy.html").read_text()


def test_the_page_has_a_run_for_each_stage() -> None:
    assert len(RUNS) == len(STAGES)
