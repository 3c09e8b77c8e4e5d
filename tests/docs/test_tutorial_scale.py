"""The tutorial of scale: its commands run, also on eight devices, and its figures are kept."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("typer")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorials" / "scale.md").read_text()
COMMANDS = re.findall(r"^```console\n\$ (.*)\n((?:(?!```).*\n)*)```$", PAGE, re.MULTILINE)
PROGRAMS = {
    "hopcore": ["-m", "hopcore"],
    "torchrun": ["-m", "torch.distributed.run"],
}
EIGHT = "--xla_force_host_platform_device_count=8"


def ran(folder: Path, *command: str, **environment: str) -> str:
    """What a command of Python printed."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu", **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_has_commands() -> None:
    assert len(COMMANDS) == PAGE.count("```console")
    assert {command.split()[0] for command, _ in COMMANDS} == set(PROGRAMS)


@pytest.mark.parametrize(("command", "shown"), COMMANDS, ids=[one for one, _ in COMMANDS])
def test_a_command_runs(command: str, shown: str, tmp_path: Path) -> None:
    program, *arguments = shlex.split(command)
    if "--workers" in arguments:
        pytest.importorskip("distributed")
    rng = np.random.default_rng(0)
    patterns = rng.standard_normal((2000, 64), dtype=np.float32)
    np.save(tmp_path / "huge.npy", patterns)
    np.save(tmp_path / "queries.npy", patterns[:5] + np.float32(0.1))
    if program == "torchrun":
        pytest.importorskip("torch")
        example = ROOT / "tests" / "workers" / "torchrun_example.py"
        arguments = [str(example) if word == example.name else word for word in arguments]
    printed = ran(tmp_path, *PROGRAMS[program], *arguments)
    assert shown in printed
    found: Any = np.load(tmp_path / next(word for word in arguments if word.startswith("found")))
    state = found["state"] if program == "hopcore" else found
    np.testing.assert_allclose(state, patterns[:5], atol=1e-5)


def test_the_lines_of_jax_hold_on_eight_devices(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    start, _, after = PAGE.partition("## Devices of JAX")
    first = re.findall(r"```\{doctest\}\n(.*?)```", start, re.DOTALL)[:2]
    lines = re.findall(r"```\{doctest\}\n(.*?)```", after.partition("\n## ")[0], re.DOTALL)
    text = "\n".join(["import numpy as np, hopcore\n".join([">>> ", ""]), *first, *lines])
    assert text.count("1 worker ") == 2
    (tmp_path / "page.txt").write_text(text.replace("1 worker ", "8 workers "))
    code = "import doctest; print(doctest.testfile('page.txt', module_relative=False))"
    assert "failed=0" in ran(tmp_path, "-c", code, XLA_FLAGS=EIGHT)


def test_its_figures_are_those_of_the_record() -> None:
    from benchmarks.scale import cell

    record = json.loads((ROOT / "benchmarks" / "results" / "scale.json").read_text())
    kept = {" ".join(map(cell, line)) for table in record["tables"] for line in table["lines"]}
    figures = {word for line in kept for word in line.split()}
    costs = PAGE.partition("## What it costs")[2].partition("\n## ")[0]
    shown = re.findall(r"\*\*([\d.,e-]+)\*\*", costs)
    assert len(shown) > 5
    assert not set(shown) - figures
