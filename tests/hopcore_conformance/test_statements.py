"""The specification's pages and the conformance suite number the same statements."""

from __future__ import annotations

import re
from pathlib import Path

from planting import CHECKS

from hopcore_conformance import STATEMENTS

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "spec").glob("*.md"))


def test_every_statement_is_on_one_page() -> None:
    # A term of a definition list: "E1. Bounds" or "E.mask", the next line begins with a colon.
    term = re.compile(r"^([A-Z](?:\d+|\.\w+))(?:\. [^\n]*)?\n: ", re.MULTILINE)
    found = [name for page in PAGES for name in term.findall(page.read_text(encoding="utf-8"))]
    assert len(found) == len(set(found))
    assert set(found) == set(STATEMENTS)


APPLIED = {"cli", "datasets", "experiments", "plots", "sklearn"}
"""Packages that only use what is specified: commands, studies, estimators, pictures and images."""


def test_every_package_is_specified() -> None:
    claimed = {
        name
        for page in PAGES
        for paragraph in page.read_text(encoding="utf-8").split("\n\n")
        if paragraph.startswith("Specifies: ")
        for name in re.findall(r"`hopcore\.(\w+)", paragraph)
    }
    packages = {path.parent.name for path in (ROOT / "hopcore").glob("*/__init__.py")}
    assert packages - claimed == APPLIED
    assert claimed <= packages


def test_every_statement_has_a_check() -> None:
    checked = {name for check in CHECKS for name in check.statements}
    assert checked == set(STATEMENTS)
