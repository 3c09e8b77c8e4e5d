"""The examples of the README are run as they stand."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_examples() -> None:
    text = README.read_text(encoding="utf-8")
    blocks = re.findall(r"^```pycon\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    examples = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "README.md", None, 0)
    assert len(blocks) == 6
    results = doctest.DocTestRunner().run(examples)
    assert results.attempted > 10
    assert results.failed == 0


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
