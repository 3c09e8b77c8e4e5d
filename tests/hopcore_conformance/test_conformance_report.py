"""What a run of the conformance suite writes, and the failures that a backend declares."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RUN = """
import sys
import hopcore.arrays._numpy
from hopcore_conformance.__main__ import main
declared = {declared}
hopcore.arrays._numpy.NumpyBackend.expected_failures = property(lambda self: declared)
{fault}
sys.exit(main(sys.argv[1:]))
"""
COLD = """
from hopcore.arrays import Backend
right = Backend.scores
Backend.scores = lambda self, state, stored, beta, mask: right(self, state, stored, 1.0, mask)
"""
DESCENT = "test_energy.py::test_descent"


def run(
    folder: Path, *arguments: str, declared: dict[str, str] | None = None, fault: str = ""
) -> subprocess.CompletedProcess[str]:
    code = RUN.format(declared=declared or {}, fault=fault)
    few = ("--max-examples", "3", "-k", "(test_energy and test_descent) or test_update_is_its")
    command = [sys.executable, "-c", code, *few, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "several"])
def test_a_report_has_outcomes_and_errors(workers: tuple[str, ...], tmp_path: Path) -> None:
    done = run(tmp_path, "--dtype", "float32", "--report", "out.json", *workers)
    assert done.returncode == 0, done.stdout
    found = read(tmp_path / "out.json")
    assert (found["backend"], found["dtype"]) == ("numpy", "float32")
    assert found["device"] == "cpu"
    assert found["examples"] == 3
    assert {"E2", "F1", "E.update"} <= set(found["statements"])
    assert found["statements"]["E2"]["text"].startswith("descent")
    (check,) = found["statements"]["E2"]["checks"]
    assert check["check"] == DESCENT
    assert check["outcome"] == "passed"
    assert 0.0 <= check["largest"] <= 1.0
    # Nothing else is left behind.
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_a_report_of_a_failure_says_what_failed(tmp_path: Path) -> None:
    done = run(tmp_path, "--report", "out.json", "--backend", "array_api_strict", fault=COLD)
    assert done.returncode == 1, done.stdout
    (check,) = read(tmp_path / "out.json")["statements"]["E.update"]["checks"]
    assert check["outcome"] == "failed"
    assert check["reason"].startswith("update by its formula: ")
    assert check["largest"] > 1.0


def test_what_is_no_number_has_no_size(tmp_path: Path) -> None:
    fault = """
from hopcore.arrays import Backend
Backend.scores = lambda self, state, stored, beta, mask: self.xp.full(
    (*state.shape[:-1], stored.shape[-2]), self.xp.nan)
"""
    done = run(tmp_path, "--report", "out.json", "--backend", "array_api_strict", fault=fault)
    assert done.returncode == 1, done.stdout
    (check,) = read(tmp_path / "out.json")["statements"]["E.update"]["checks"]
    assert check["outcome"] == "failed"
    assert "largest" not in check


def test_the_format_is_as_it_is_described(tmp_path: Path) -> None:
    arguments = ("--report", "out.json", "--backend", "array_api_strict", "--layout", "strided")
    done = run(tmp_path, *arguments, fault=COLD)
    assert done.returncode == 1, done.stdout
    found = read(tmp_path / "out.json")
    assert found["layout"] == "strided"
    checks = [check for one in found["statements"].values() for check in one["checks"]]
    page = (Path(__file__).parents[2] / "docs" / "design" / "backends.md").read_text()
    described = page.split("### Reports")[1].split("## Dask")[0]
    rows = [line.split("|")[1] for line in described.splitlines() if line.startswith("| `")]
    named = set(re.findall("`([a-z_]+)`", " ".join(rows)))
    assert named == {*found, *(key for check in checks for key in check)}


def test_a_report_as_a_page(tmp_path: Path) -> None:
    done = run(tmp_path, "--report", "out.html")
    assert done.returncode == 0, done.stdout
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    for part in (
        "<!doctype html>",
        "numpy, float64, cpu",
        "<th>E2</th>",
        "energy: descent",
        "&gt;=",
        "2 passed",
    ):
        assert part in page


def test_a_page_begins_with_what_failed(tmp_path: Path) -> None:
    done = run(tmp_path, "--report", "out.html", "--backend", "array_api_strict", fault=COLD)
    assert done.returncode == 1, done.stdout
    first = (tmp_path / "out.html").read_text(encoding="utf-8").split("<p>hopcore")[0]
    assert "2 failed" in first
    assert "update_is_its_formula<span>update by its formula: " in first
    assert "class=failed" in first
    assert "class=passed" not in first


def test_a_report_needs_a_folder(tmp_path: Path) -> None:
    done = run(tmp_path, "--report", "nowhere/out.json")
    assert done.returncode == 4, done.stdout
    assert "there is no such folder" in done.stdout + done.stderr


def declares(key: str, tmp_path: Path, fault: str = COLD) -> tuple[int, list[str]]:
    arguments = ("--report", "out.json", "--backend", "array_api_strict")
    code = {key: "scores forget beta"}
    patch = "from hopcore.arrays import Backend\nBackend.expected_failures = declared\n"
    done = run(tmp_path, *arguments, declared=code, fault=patch + fault)
    found = read(tmp_path / "out.json")["statements"]
    return done.returncode, [check["outcome"] for check in found["E.update"]["checks"]]


def test_a_failure_that_is_declared_is_expected(tmp_path: Path) -> None:
    update = "test_association.py::test_update_is_its_formula"
    for key in ("E.update", update):
        assert declares(key, tmp_path)[1] == ["expected"]


def test_a_check_that_is_declared_has_to_fail(tmp_path: Path) -> None:
    update = "test_association.py::test_update_is_its_formula"
    assert declares("E.update", tmp_path, fault="") == (0, ["passed"])
    assert declares(update, tmp_path, fault="") == (1, ["failed"])
    (check,) = read(tmp_path / "out.json")["statements"]["E.update"]["checks"]
    assert check["reason"] == "[XPASS(strict)] scores forget beta"
