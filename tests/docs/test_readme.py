"""The figures of the README are those that were measured; test_shown_code.py runs its examples."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_figures_beside_the_peers_are_those_that_were_measured() -> None:
    text = README.read_text(encoding="utf-8")
    rows = re.findall(r"^\| .*\]\(docs/benchmarks/.*$", text, re.MULTILINE)
    assert len(rows) == 8
    for row in rows:
        ours, peer, link = (cell.strip() for cell in row.strip("| ").split(" | ")[-3:])
        page, name = re.findall(r"\((.+)#(.+)\)", link)[0]
        section = (README.parent / page).read_text(encoding="utf-8").split(f"## {name}\n")[1]
        measured = [line.split(" | ") for line in section.split("\n## ")[0].splitlines()]
        figures = re.findall(r"[\d.e+]+(?= ms| MiB)", f"{ours} {peer}")
        assert len(figures) in (2, 4)
        assert any(set(figures) <= set(cells) for cells in measured), row
