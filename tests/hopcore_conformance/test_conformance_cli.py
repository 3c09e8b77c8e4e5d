"""``python -m hopcore_conformance``: what it prints, and what it returns."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hopcore_conformance import STATEMENTS

PLANT = """
import sys
import numpy as np
from hopcore_conformance.__main__ import main
{fault}
sys.exit(main(sys.argv[1:]))
"""

COLD = """
from hopcore.arrays import Backend
right = Backend.scores
Backend.scores = lambda self, state, stored, beta, mask: right(self, state, stored, 1.0, mask)
"""

WRITES = """
from {room} import {kind}
right = {kind}.associate
def associate(self, state, *others):
    state *= 1.0 + 1e-3
    return right(self, state, *others)
{kind}.associate = associate
"""

READS_AS_IF_CONTIGUOUS = """
from hopcore.arrays._numpy import NumpyBackend
right = NumpyBackend.associate
def associate(self, state, stored, *others):
    steps = np.empty(stored.shape).strides
    return right(self, state, np.lib.stride_tricks.as_strided(stored, strides=steps), *others)
NumpyBackend.associate = associate
"""


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def conformance(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return python("-m", "hopcore_conformance", *arguments, cwd=cwd)


def test_the_header_says_what_is_tested(tmp_path: Path) -> None:
    arguments = ("--backend", "numpy", "--dtype", "float32", "--max-examples", "3")
    done = conformance(*arguments, "-k", "test_energy and test_descent", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "conformance: backend numpy, dtype float32, device cpu" in done.stdout
    assert "hopcore 0." in done.stdout
    assert "examples: 3 of each check, the same every time" in done.stdout
    # A line for each statement, and nothing left behind where it ran.
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["E2", "1", "passed"] in lines
    assert ["F1", "1", "passed"] in lines
    assert list(tmp_path.iterdir()) == []


def planted(fault: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    few = ("--max-examples", "5", "-k", "update_is_its")
    return python("-c", PLANT.format(fault=fault), *few, *arguments, cwd=cwd)


def failure(done: subprocess.CompletedProcess[str]) -> str:
    """What is printed of the check that failed."""
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout.split("= FAILURES =")[1].split("= statements of the specification =")[0]


def test_a_failure_names_the_statement_the_arguments_and_both_results(tmp_path: Path) -> None:
    said = failure(planted(COLD, "--backend", "array_api_strict", cwd=tmp_path))
    for part in (
        "E.update  f(xi) = X^T softmax(beta X xi)",
        "Failing test case: test_update_is_its_formula(",
        "p=Problem(state=array(",
        "beta=",
        "separation=",
        "update by its formula",
        "worst at (",
        "times that",
        "got:      [[",
        "expected: [[",
        "hopcore_conformance/checks/test_association.py:",
    ):
        assert part in said, part
    # Nothing of the machinery, and not more than a screen or two.
    assert "/hypothesis/" not in said
    assert "reproduce_failure" not in said
    assert len(said.splitlines()) < 60


def test_other_errors_are_named_with_their_place(tmp_path: Path) -> None:
    fault = "from hopcore.arrays import Backend\nBackend.scores = lambda self, *_: 1 / 0\n"
    said = failure(planted(fault, "--backend", "array_api_strict", cwd=tmp_path))
    assert "ZeroDivisionError: division by zero" in said
    assert "hopcore/arrays/_backend.py:" in said
    assert "Failing test case: test_update_is_its_formula(" in said


@pytest.mark.parametrize("seed", [(), ("--seed", "7")], ids=["no seed", "seed"])
def test_the_command_that_is_printed_shows_the_failure_again(
    seed: tuple[str, ...], tmp_path: Path
) -> None:
    chosen = ("--backend", "array_api_strict", "--dtype", "float32", "--layout", "strided", *seed)
    said = failure(planted(COLD, *chosen, cwd=tmp_path))
    (again,) = (line for line in said.splitlines() if line.startswith("again: "))
    command = shlex.split(again.removeprefix("again: "))
    assert command[:3] == ["python", "-m", "hopcore_conformance"]
    done = python("-c", PLANT.format(fault=COLD), *command[3:], cwd=tmp_path)
    assert failure(done) == said


def test_pytests_own_tracebacks_can_be_asked_for(tmp_path: Path) -> None:
    said = failure(planted(COLD, "--backend", "array_api_strict", "--tb", "short", cwd=tmp_path))
    assert "E   AssertionError: update by its formula" in said


@pytest.mark.parametrize(
    ("library", "room", "kind"),
    [
        ("numpy", "hopcore.arrays._numpy", "NumpyBackend"),
        ("torch", "hopcore_torch.kernels", "TorchBackend"),
    ],
)
def test_a_kernel_that_writes_to_its_input_is_caught(
    library: str, room: str, kind: str, tmp_path: Path
) -> None:
    pytest.importorskip(library)
    fault = WRITES.format(room=room, kind=kind)
    done = planted(fault, "--backend", library, cwd=tmp_path)
    words = {"numpy": "read-only", "torch": "an input was written to"}[library]
    assert words in failure(done)


def test_arrays_may_have_strides(tmp_path: Path) -> None:
    done = planted(READS_AS_IF_CONTIGUOUS, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "arrays contiguous and read-only" in done.stdout
    done = planted(READS_AS_IF_CONTIGUOUS, "--layout", "strided", cwd=tmp_path)
    assert "update against NumPy float64" in failure(done)
    assert "arrays strided and read-only" in done.stdout
    assert planted("", "--layout", "strided", cwd=tmp_path).returncode == 0


def test_a_seed_draws_other_examples(tmp_path: Path) -> None:
    done = conformance(
        "--max-examples", "3", "--seed", "7", "-k", "test_energy and test_descent", cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout
    assert "examples: 3 of each check, seed 7" in done.stdout


def test_some_checks_of_each_statement(tmp_path: Path) -> None:
    few = conformance("--max-examples", "1", "--per-statement", "1", cwd=tmp_path)
    assert few.returncode == 0, few.stdout
    table = few.stdout.split("statements of the specification")[1].split("\n===")[0]
    lines = filter(None, table.splitlines()[1:])
    assert {line.split()[0] for line in lines} == set(STATEMENTS)
    assert int(few.stdout.split(" deselected")[0].split()[-1]) > 5 * len(STATEMENTS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--backend", "nowhere"), "unknown backend 'nowhere'"),
        (("--backend", "numpy", "--dtype", "bfloat16"), "bfloat16"),
        (("--backend", "numpy", "--dtype", "float16"), "has no float16; it takes float32, float64"),
        (("--backend", "numpy", "--dtype", "int8"), "invalid choice"),
        (("--backend", "numpy", "--max-examples", "0"), "at least 1"),
        (("--backend", "numpy", "--per-statement", "0"), "at least 1"),
        (("--backend", "numpy", "--max-examples", "few"), "invalid int value: 'few'"),
        (("--backend", "numpy", "--device", "nowhere"), "nowhere"),
        (("--backend", "numpy", "--report", "out.txt"), "must end in .json or .html"),
        (("--layout", "odd"), "invalid choice: 'odd'"),
        (("--backend",), "expected one argument"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_a_command_line_that_cannot_be_meant_is_one_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    done = conformance(*arguments, cwd=tmp_path)
    assert done.returncode == 4, done.stdout
    (line,) = (done.stderr + done.stdout).strip().splitlines()
    assert message in line
