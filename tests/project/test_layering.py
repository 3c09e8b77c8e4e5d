"""What adapters know of hopcore: public names only.

Which room imports which is held by import-linter's contracts, see ``nox -s lint``; they see
modules. This sees names.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import hopcore

ROOT = Path(__file__).parents[2]
ADAPTERS = sorted((ROOT / "backends").rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """Module and name of everything that a file imports from hopcore."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hopcore":
            yield from ((str(node.module), alias.name) for alias in node.names)


def test_there_are_adapters() -> None:
    found = {path.parent.name for path in ADAPTERS if any(imported(path))}
    assert found == {"hopcore_torch", "hopcore_jax"}


@pytest.mark.parametrize("path", ADAPTERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_adapters_use_public_names(path: Path) -> None:
    for module, name in imported(path):
        assert not name.startswith("_"), f"{module}.{name} is private"
        if module == "hopcore":
            assert name in hopcore.__all__
        else:
            assert hasattr(import_module(module), name)


def test_the_picture_of_the_floors_is_true() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    floors = project["tool"]["importlinter"]["contracts"][0]["layers"]
    level = {room: n for n, floor in enumerate(floors) for room in floor.split(" | ")}
    page = (ROOT / "docs" / "design" / "house.md").read_text(encoding="utf-8")
    lines = page.split("| rooms, from the top down |")[1].split("\n\n")[0].splitlines()[2:]
    drawn = [re.findall(r"`(\w+)`", line.split(" | ")[0]) for line in lines]
    assert sorted(level) == sorted(room for rooms in drawn for room in rooms)
    lowest = 0
    for rooms in drawn[1:]:  # the first line is the edge
        assert min(level[room] for room in rooms) >= lowest, rooms
        lowest = max(level[room] for room in rooms)
