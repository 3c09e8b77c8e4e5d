"""The specification's pages and the conformance suite number the same statements."""

from __future__ import annotations

import re
from pathlib import Path

from hopcore_conformance import STATEMENTS

PAGES = sorted((Path(__file__).parents[1] / "docs" / "spec").glob("*.md"))


def test_every_statement_is_on_one_page() -> None:
    # A term of a definition list: "E1. Bounds" or "E.mask", the next line begins with a colon.
    term = re.compile(r"^([A-Z](?:\d+|\.\w+))(?:\. [^\n]*)?\n: ", re.MULTILINE)
    found = [name for page in PAGES for name in term.findall(page.read_text(encoding="utf-8"))]
    assert len(found) == len(set(found))
    assert set(found) == set(STATEMENTS)
