"""Pages name files that exist, public names, and where the code of a statement is."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])
SPECIFICATION = [page for page in PAGES if page.parent.name == "spec"]
RESULTS = sorted((ROOT / "docs" / "results").glob("*.md"))
SOURCES = (ROOT, ROOT / "backends", ROOT / "conformance")
NAME = re.compile(r"(?<![\w/.-])hopcore(?:_torch|_jax|_conformance)?(?:\.[A-Za-z_]\w*)+")
NO_NAMES = {"hopcore.backends"}
"""The entry-point group."""

FILE = re.compile(r"`((?:hopcore\w*|docs|tests|benchmarks)/[\w/.-]+)`")


def exists(name: str) -> bool:
    return any((source / name).exists() for source in SOURCES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_on_a_page_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [name for name in FILE.findall(text) if not exists(name)] == []
    linked = re.findall(r"\]\(([\w./-]+)\)", text)
    assert [link for link in linked if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_names_on_a_page_exist(page: Path) -> None:
    """Apart from the changelog, which has old names, and from placeholders."""
    found = set(NAME.findall(page.read_text(encoding="utf-8"))) - NO_NAMES
    if page.name != "CHANGELOG.md":
        assert [name for name in sorted(found) if not resolves(name)] == []


def resolves(name: str) -> bool:
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return name.endswith((".NAME", ".YourFunction"))
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_public_names_only(page: Path) -> None:
    """Private modules may be named as files, for readers of the code, but not imported."""
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"\bhopcore\w*(?:\.[a-z]\w*)*\._[a-z]\w*", text) == []
    assert re.findall(r"^.*from hopcore\S* import .*\b_[a-z]\w*", text, re.MULTILINE) == []


@pytest.mark.parametrize("page", SPECIFICATION, ids=lambda page: page.stem)
def test_a_page_of_the_specification_says_where_the_code_and_the_checks_are(page: Path) -> None:
    if page.stem == "traceability":
        return
    last = page.read_text(encoding="utf-8").split("\n## ")[-1]
    assert last.startswith("Where it is\n\nThe code\n: `hopcore/")
    checks = last.split("\nThe checks\n: ")[1]
    assert FILE.findall(checks)


@pytest.mark.parametrize("page", RESULTS, ids=lambda page: page.stem)
def test_a_page_of_results_begins_with_its_answer_and_a_picture(page: Path) -> None:
    """The runs of random calls draw nothing."""
    title, answer, picture, *_ = page.read_text(encoding="utf-8").split("\n\n")
    assert title.startswith("# ")
    assert answer.endswith(".")
    assert ". " not in answer.replace("et al. ", "")  # one sentence
    assert page.stem == "soak" or picture.startswith(("![", "```{eval-rst}\n.. plot::"))
