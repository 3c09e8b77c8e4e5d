"""Who imports what: packages see each other's public faces, and every module has its place.

Which package lies above which is held by import-linter's contracts (``lint-imports``).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "hopcore": ROOT / "hopcore",
    "hopcore_torch": ROOT / "backends" / "hopcore_torch",
    "hopcore_jax": ROOT / "backends" / "hopcore_jax",
    "hopcore_conformance": ROOT / "conformance" / "hopcore_conformance",
    "benchmarks": ROOT / "benchmarks",
}
"""The top-level packages."""

FILES = [(name, path) for name, folder in FOLDERS.items() for path in sorted(folder.rglob("*.py"))]

OPEN_TO_ADAPTERS = {"arrays", "layers", "training", "memory", "graphs", "diffusion", "schedules"}
"""The packages of hopcore whose public names adapters use."""


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the module and the name of everything that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


def of_others(package: str, path: Path) -> list[tuple[str, str]]:
    """List what a file imports from the other top-level packages."""
    others = set(FOLDERS) - {package}
    return [(module, name) for module, name in imported(path) if module.split(".")[0] in others]


def test_every_package_has_files() -> None:
    assert {name for name, _ in FILES} == set(FOLDERS)


def test_private_modules_stay_within_their_package() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {module}.{name}"
        for package, path in FILES
        for module, name in of_others(package, path)
        if any(part.startswith("_") for part in (*module.split("."), name))
        or (name and name not in public(module))
    ]
    assert not wrong, "imported from outside, but not public:\n" + "\n".join(wrong)


@cache
def public(module: str) -> list[str]:
    """Return the public names of a module of another package."""
    found = import_module(module)
    return getattr(found, "__all__", None) or list(vars(found))


@pytest.mark.parametrize("adapter", ["hopcore_torch", "hopcore_jax"])
def test_adapters_see_public_packages_alone(adapter: str) -> None:
    paths = [path for package, path in FILES if package == adapter]
    seen = {module for path in paths for module, _ in of_others(adapter, path)}
    assert seen - {"hopcore"} <= {f"hopcore.{name}" for name in OPEN_TO_ADAPTERS}


def test_few_modules_lie_directly_in_hopcore() -> None:
    modules = {path.name for path in (ROOT / "hopcore").glob("*.py")}
    assert modules == {"__init__.py", "__main__.py"}


def test_every_folder_of_tests_is_named_after_a_package() -> None:
    packages = {path.parent.name for path in (ROOT / "hopcore").glob("*/__init__.py")}
    helpers = {"peers", "soak", "toy", "workers", "docs", "project", "rerun", "__pycache__"}
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()}
    assert folders - helpers <= packages | set(FOLDERS)


@pytest.mark.parametrize("name", ["hopcore", "hopcore_torch", "hopcore_jax"])
def test_no_two_files_of_a_package_import_each_other(name: str) -> None:
    root = FOLDERS[name]
    modules = {module_of(path): path for path in sorted(root.rglob("*.py"))}
    graph = {
        module: {found for found in at_import(path) if found in modules and found != module}
        for module, path in modules.items()
        if path.name != "__init__.py"
    }
    while free := [module for module, needs in graph.items() if not needs & graph.keys()]:
        for module in free:
            del graph[module]
    assert not graph, f"these import each other in a circle: {sorted(graph)}"


def module_of(path: Path) -> str:
    """Return the dotted name of a file."""
    (root,) = (folder for folder in FOLDERS.values() if folder in path.parents)
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def at_import(path: Path) -> set[str]:
    """Return the modules that a file imports, by whichever of the two forms."""
    return {found for module, name in imported(path) for found in (module, f"{module}.{name}")}
