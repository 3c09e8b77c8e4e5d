"""What adapters know of hopcore: public names only.

import-linter's contracts say which package imports which, see ``nox -s lint``; they see modules.
These tests see names.
"""

from __future__ import annotations

import ast
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
