"""The table of libraries on the page on installation says what the tests run with."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## What was run\n")[1].split("\n## ")[0]
ROWS = re.findall(r"^\| ([a-z0-9-]+) \| ([\d.]+) \| .* \| `(tests/\S+)` \|$", SECTION, re.MULTILINE)
MODULES = {"scikit-learn": "sklearn"}
"""Names of modules that are not those of their packages."""

MORE = {"distributed"}
"""A package that the project's own lists do not name, because an extra of Dask brings it."""

TOOLS = {"hypothesis", "pytest", "pytest-xdist", "threadpoolctl", "rich", "onnx", "onnxscript"}
"""Packages that need no row: tools, and parts of others."""


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints" / "cpu.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def needed() -> set[str]:
    """The packages of the dependencies, the extras, and the groups of the tests."""
    found = project()
    lists = [found["project"]["dependencies"], *found["project"]["optional-dependencies"].values()]
    lists += [found["dependency-groups"][name] for name in ("test", "peers")]
    return {re.match(r"[\w-]+", line)[0] for lines in lists for line in lines} - {"hopcore"}


def test_the_table_has_every_library_once() -> None:
    names = [name for name, *_ in ROWS]
    assert len(ROWS) == SECTION.count("\n| ") - 1  # all lines but the head
    assert sorted(names) == sorted(needed() - TOOLS | MORE)


@pytest.mark.parametrize(("name", "version", "file"), ROWS, ids=[name for name, *_ in ROWS])
def test_a_row_has_the_version_of_the_tests(name: str, version: str, file: str) -> None:
    exact = [line for line in project()["dependency-groups"]["peers"] if line.startswith(name)]
    assert version == pinned().get(name, "".join(exact).partition("==")[2])


@pytest.mark.parametrize(("name", "file"), [(name, file) for name, _, file in ROWS])
def test_the_file_of_a_row_uses_the_library(name: str, file: str) -> None:
    module = MODULES.get(name, name.replace("-", "_"))
    text = (ROOT / file).read_text(encoding="utf-8")
    assert re.search(rf"\b{module}\b", text)
