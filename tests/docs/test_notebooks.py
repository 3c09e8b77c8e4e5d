"""The notebooks of the tutorials are valid, have the code of their pages, and run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pages
import pytest

nbformat = pytest.importorskip("nbformat")

import notebooks  # noqa: E402 (of docs, which pages puts on the path)

TUTORIALS = notebooks.tutorials()
QUICK = {"beta", "retrieve"}
"""Tutorials whose notebooks run in the default matrix; they take about 2 s of CPU time each.

Those that train classifiers of bags take 7 s (digit-bags), 8 s (latch) and 11 s (bit-patterns); the
full matrix runs them.
"""

RUN = """
import json, sys
names = {"__name__": "__main__"}
for cell in json.load(open(sys.argv[1], encoding="utf-8"))["cells"]:
    if cell["cell_type"] != "code":
        continue
    source = "".join(cell["source"])
    raises = "raises-exception" in cell["metadata"].get("tags", [])
    try:
        exec(compile(source, cell["id"], "exec"), names)
    except Exception:
        if not raises:
            raise
    else:
        assert not raises, f"{cell['id']} does not raise: {source}"
"""


def code(notebook: Any) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_notebook_is_valid_and_has_the_code_of_its_page(page: Path) -> None:
    notebook = notebooks.notebook(page)
    nbformat.validate(notebook)
    blocks = pages.blocks(page.read_text(encoding="utf-8"))
    wanted = "\n".join(typed(block) for block in blocks)
    assert without_empty_lines("\n".join(code(notebook))) == without_empty_lines(wanted)
    raising = [
        cell for cell in notebook.cells if "raises-exception" in cell.metadata.get("tags", [])
    ]
    assert len(raising) == "\n".join(blocks).count("Traceback (most recent call last)")


def typed(block: str) -> str:
    """What a reader types of a block, read line by line."""
    if not block.startswith(">>> "):
        return block
    return "\n".join(line[4:] for line in block.splitlines() if line[:4] in (">>> ", "... "))


def without_empty_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_notebook_shows_nothing_that_only_sphinx_understands(page: Path) -> None:
    first, *_ = cells = notebooks.notebook(page).cells
    assert first.source.startswith("# ")
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    outside = re.sub(r"^ *```(?:\w*)\n(?:.*\n)*? *```$", "", prose, flags=re.MULTILINE)
    for left in ("{func}", "{class}", "eval-rst", ".. ", "```", ":::", ".md)", ".md#"):
        assert left not in outside
    assert [text for text in code(notebooks.notebook(page)) if re.search("^>>> ", text, re.M)] == []


@pytest.mark.parametrize("directive", ["```{figure} x.png\n```\n", ":::{note}\nText.\n:::\n"])
def test_a_directive_without_a_rule_stops_the_build(directive: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n```{{doctest}}\n>>> 1 + 1\n2\n```\n\n{directive}")
    with pytest.raises(ValueError, match=r"page\.md: a notebook cannot show"):
        notebooks.notebook(page)


def case(page: Path) -> object:
    marks = [] if page.stem in QUICK else [pytest.mark.full]
    return pytest.param(page, id=page.stem, marks=marks)


@pytest.mark.parametrize("page", [case(page) for page in TUTORIALS])
def test_a_notebook_runs_from_the_top(page: Path, tmp_path: Path) -> None:
    if missing := pages.missing(page.read_text(encoding="utf-8")):
        pytest.skip(f"needs {', '.join(missing)}")
    (file,) = (file for file in notebooks.write(tmp_path) if file.stem == page.stem)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(file)],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
