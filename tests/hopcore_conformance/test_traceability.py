"""The table from statements to checks, and the holes that it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hopcore_conformance import STATEMENTS
from hopcore_conformance.report.traceability import linked, pages_of, table

ROOT = Path(__file__).parents[2]
PAGES = pages_of(ROOT / "docs" / "spec")


def report(dtype: str = "float64", **checks: list[dict[str, Any]]) -> dict[str, Any]:
    """A run in which every statement has a check that passed, but for what is given."""
    usual = [{"check": "test_it.py::test_it[2]", "outcome": "passed", "largest": 0.5}]
    return {
        "backend": "numpy", "dtype": dtype, "device": "cpu", "examples": 20,
        "versions": {"hopcore": "0.1.0"},
        "statements": {
            name: {"text": "", "checks": checks.get(name, usual)} for name in STATEMENTS
        },
    }  # fmt: skip


def row(lines: list[str], name: str) -> str:
    start = f"| [[{name}](./{PAGES[name]}#"
    (found,) = (line for line in lines if line.startswith(start))
    return found


def test_every_statement_has_a_row_with_checks_and_results() -> None:
    failed = {"check": "test_it.py::test_other", "outcome": "failed", "largest": 2.0}
    exact = {"check": "test_it.py::test_exact", "outcome": "passed"}
    lines = table([report(), report("float32", E2=[failed], E3=[exact])], PAGES)
    link = "[[E1](./energy.md#e1)]{#e1-checks}"
    assert row(lines, "E1") == f"| {link}<br>`test_it::test_it` | float64 0.5<br>float32 0.5 |"
    assert row(lines, "E2").endswith("| float64 0.5<br>float32 **failed** 2 |")
    assert "`test_it::test_it`<br>`test_it::test_other`" in row(lines, "E2")
    assert row(lines, "E3").endswith("| float64 0.5<br>float32 exact |")
    for name in STATEMENTS:
        row(lines, name)


def test_a_statement_gets_a_link_to_its_checks() -> None:
    page = "# Energy\n\nE2. It falls\n: Always.\n\nE.lse is no title here.\n\nE.lse\n: The sum."
    there = "[checks](./traceability.md#{}-checks){{.checks}}"
    wanted = page.replace("E2. It falls", "[E2]{#e2}. It falls " + there.format("e2"))
    wanted = wanted.replace("E.lse\n", "[E.lse]{#e-lse} " + there.format("e-lse") + "\n")
    assert linked(page) == wanted


def test_a_statement_that_nothing_verifies_is_a_hole() -> None:
    skipped = [{"check": "test_it.py::test_it", "outcome": "skipped", "reason": "no gradients"}]
    with pytest.raises(ValueError, match=r"no check verifies .* E3$"):
        table([report(E3=skipped)], PAGES)
    lines = table([report(E3=skipped), report("float32")], PAGES)
    assert row(lines, "E3").endswith("| float64 skipped<br>float32 0.5 |")


def test_a_check_of_nothing_is_a_hole() -> None:
    found = report()
    found["statements"]["X9"] = found["statements"]["E1"]
    with pytest.raises(ValueError, match="the specification lacks what is checked as X9"):
        table([found], PAGES)


def test_a_statement_on_no_page_is_a_hole() -> None:
    with pytest.raises(ValueError, match=r"no page states E1$"):
        table([report()], {name: page for name, page in PAGES.items() if name != "E1"})


def test_the_reports_at_hand_have_no_hole() -> None:
    paths = sorted((ROOT / "docs" / "conformance").glob("*.json"))
    assert len(paths) > 8
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    lines = table(reports, PAGES)
    assert not any("failed" in line for line in lines)
