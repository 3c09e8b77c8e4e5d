"""The Python code of a page runs from the top, in an empty session, and prints what is shown.

Nothing is imported or prepared out of a reader's sight, and warnings are errors.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pages
import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHOWING = [page for page in PAGES if pages.blocks(page.read_text(encoding="utf-8"))]
SLOW = {"jax", "torch", "hopcore_jax", "hopcore_torch", "matplotlib", "sklearn"}
"""Packages that take a second or more to import or to compile."""


def case(page: Path) -> object:
    """A page as a parameter; those that train or compile run in the full matrix only."""
    text = page.read_text(encoding="utf-8")
    code = "\n".join(pages.blocks(text))
    slow = pages.imported(text) & SLOW or re.search(r"hopcore\.experiments|datasets", code)
    marks = [pytest.mark.full] if slow and page.name != "README.md" else []
    return pytest.param(page, id=str(page.relative_to(ROOT)), marks=marks)


def ran(page: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """What became of the code of a page in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", str(Path(pages.__file__)), str(page)],
        cwd=folder,
        env={**os.environ, "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("page", [case(page) for page in SHOWING])
def test_the_code_of_a_page_runs_from_the_top(page: Path, tmp_path: Path) -> None:
    if missing := pages.missing(page.read_text(encoding="utf-8")):
        pytest.skip(f"needs {', '.join(missing)}")
    done = ran(page, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "```{doctest}\n>>> np.eye(2).shape\n(2, 2)\n```\n",  # np is imported nowhere
        "```{doctest}\n>>> 1 + 1\n3\n```\n",
        "```python\nimport warnings\nwarnings.warn('old', DeprecationWarning)\n```\n",
        "- item\n\n  ```{doctest}\n  >>> missing\n  ```\n",
        "```{eval-rst}\n.. plot::\n   :context: reset\n\n   missing()\n```\n",
    ],
)
def test_code_that_does_not_run_is_found(code: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"```{{doctest}}\n>>> 1 + 1\n2\n```\n\n{code}")
    assert ran(page, tmp_path).returncode == 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_prepares_nothing_out_of_sight(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for hidden in (
        "{testsetup}",
        "{testcleanup}",
        "{testcode}",
        ":hide:",
        "# doctest:",
        ":options:",
    ):
        assert hidden not in text
    settings = (ROOT / "docs" / "conf.py").read_text(encoding="utf-8")
    assert "global_setup" not in settings
    assert "plot_pre_code" not in settings
