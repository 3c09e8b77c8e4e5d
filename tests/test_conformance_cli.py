"""``python -m hopcore_conformance``: what it prints, and what it returns."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PLANT = """
import sys
from hopcore.backend import Backend
from hopcore_conformance.__main__ import main
right = Backend.scores
Backend.scores = lambda self, state, stored, beta, mask: right(self, state, stored, 1.0, mask)
sys.exit(main(sys.argv[1:]))
"""


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def conformance(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return python("-m", "hopcore_conformance", *arguments, cwd=cwd)


def test_the_header_says_what_is_tested(tmp_path: Path) -> None:
    arguments = ("--backend", "numpy", "--dtype", "float32", "--max-examples", "3")
    done = conformance(*arguments, "-k", "descent", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "conformance: backend numpy, dtype float32, device cpu" in done.stdout
    assert "hopcore 0." in done.stdout
    assert "examples: 3 of each check, the same every time" in done.stdout
    # A line for each statement, and nothing left behind where it ran.
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["E2", "1", "passed"] in lines
    assert ["F1", "1", "passed"] in lines
    assert list(tmp_path.iterdir()) == []


def test_a_failure_names_the_statement_the_arguments_and_both_results(tmp_path: Path) -> None:
    arguments = ("--backend", "array_api_strict", "--max-examples", "5", "-k", "update_is_its")
    done = python("-c", PLANT, *arguments, cwd=tmp_path)
    assert done.returncode == 1, done.stdout
    for part in (
        "statement E.update",
        "f(xi) = X^T softmax(beta X xi)",
        "Failing test case: test_update_is_its_formula(",
        "subject=<array_api_strict float64>",
        "p=Problem(state=array(",
        "beta=",
        "separation=",
        "update by its formula",
        "got: array(",
        "expected: array(",
        "allowed",
        "reproduce_failure",
    ):
        assert part in done.stdout, part


def test_a_seed_draws_other_examples(tmp_path: Path) -> None:
    done = conformance("--max-examples", "3", "--seed", "7", "-k", "descent", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "examples: 3 of each check, seed 7" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--backend", "nowhere"), "unknown backend 'nowhere'"),
        (("--backend", "numpy", "--dtype", "bfloat16"), "bfloat16"),
        (("--backend", "numpy", "--dtype", "float16"), "has no float16; it takes float32, float64"),
        (("--backend", "numpy", "--dtype", "int8"), "invalid choice"),
        (("--backend", "numpy", "--max-examples", "0"), "at least 1"),
        (("--backend", "numpy", "--device", "nowhere"), "nowhere"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_what_is_not_there_is_a_usage_error(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    done = conformance(*arguments, cwd=tmp_path)
    assert done.returncode == 4, done.stdout
    assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout
