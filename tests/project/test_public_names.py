"""Public names: each has one home, is documented once, and shows an example."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import hopcore

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "jax", "scipy", "matplotlib", "typer", "rich", "sklearn", "hypothesis", "pytest"}
PROGRAMS = {"cli", "experiments"}
"""Packages of hopcore that are programs: they have no public names."""

FACES = [
    "hopcore",
    *(f"hopcore.{name}" for name in hopcore.PACKAGES if name not in PROGRAMS),
    *(
        f"{adapter}{part}"
        for adapter in ("hopcore_torch", "hopcore_jax")
        for part in ("", ".kernels", ".layers", ".distributed", ".monitor")
    ),
    "hopcore_torch.huggingface",
    "hopcore_torch.geometric",
    "hopcore_torch.lightning",
]
DIRECTIVE = re.compile(r"^\.\. auto(?:function|class|exception|data):: (\S+)$", re.MULTILINE)


def documented() -> list[tuple[str, str, str]]:
    """Page, section and name of everything that the pages document."""
    entries = []
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for section in page.read_text(encoding="utf-8").split("\n## "):
            title = section.splitlines()[0]
            entries += [(page.name, title, name) for name in DIRECTIVE.findall(section)]
    return entries


DOCUMENTED = documented()


def public(face: str) -> list[str]:
    return list(import_module(face).__all__)


def spellings(face: str, name: str) -> list[str]:
    """All faces that show an object under its name."""
    value = getattr(import_module(face), name)
    return [
        f"{other}.{name}"
        for other in FACES
        if name in public(other) and getattr(import_module(other), name) is value
    ]


def value_of(name: str) -> Any:
    face, _, last = name.rpartition(".")
    return getattr(import_module(face), last)


@pytest.mark.parametrize("face", FACES)
def test_all_is_sorted_and_can_be_imported(face: str) -> None:
    module, names = import_module(face), public(face)
    assert len(names) == len(set(names))
    assert all(hasattr(module, name) for name in names)
    assert not [name for name in names if name.startswith("_")]
    if "grouped by subject" not in Path(str(module.__file__)).read_text(encoding="utf-8"):
        # As ruff sorts (RUF022): constants, then classes, then functions; or by plain comparison.
        assert names in (sorted(names), sorted(names, key=ruffs_order))


def ruffs_order(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("face", FACES)
def test_every_public_name_is_documented_once(face: str) -> None:
    found = Counter(name for _, _, name in DOCUMENTED)
    counts = {
        name: sum(found[spelling] for spelling in spellings(face, name)) for name in public(face)
    }
    assert {name: count for name, count in counts.items() if count != 1} == {}


def test_nothing_else_is_documented() -> None:
    """Apart from the models and data of the studies, which the page on training shows."""
    names = {f"{face}.{name}" for face in FACES for name in public(face)}
    others = {name for _, _, name in DOCUMENTED} - names
    assert all(name.startswith("hopcore.experiments.") for name in others), others


def test_every_package_has_a_page() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "api").glob("*.md")}
    assert pages == {"hopcore", *hopcore.PACKAGES, "torch", "jax"} - PROGRAMS


def test_packages_are_imported_by_statements_and_as_attributes() -> None:
    first = {n: public(f"hopcore.{n}")[0] for n in hopcore.PACKAGES if n not in PROGRAMS}
    lines = ["import hopcore", *(f"hopcore.{n}.{name}" for n, name in first.items())]
    for n, name in first.items():
        lines += [f"from hopcore import {n}", f"import hopcore.{n}", f"hopcore.{n}.{name}"]
        lines += [f"from hopcore.{n} import {name}"]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, timeout=300)


def test_the_first_page_lists_the_names_of_daily_use() -> None:
    page = (ROOT / "docs" / "api" / "hopcore.md").read_text(encoding="utf-8")
    for package, names in hopcore.NAMES.items():
        (row,) = (line for line in page.splitlines() if f"[`hopcore.{package}`]" in line)
        assert sorted(re.findall(r"`~hopcore\.(\w+)`", row)) == sorted(names)


@pytest.mark.parametrize(
    "name",
    [
        name
        for _, section, name in DOCUMENTED
        if not section.startswith("For authors") and not name.startswith("hopcore.experiments.")
    ],
)
def test_docstring_has_an_example(name: str) -> None:
    value = value_of(name)
    if (callable(value) and inspect.isroutine(value)) or inspect.isclass(value):
        text = inspect.getdoc(value) or ""
        assert "\nExamples\n--------\n" in text
        assert ">>> " in text


def test_type_checkers_see_the_names_of_daily_use() -> None:
    """The lazy imports of ``hopcore`` and the ones that a type checker reads are the same."""
    tree = ast.parse((ROOT / "hopcore" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    packages = [a.name for node in imports if node.module == "hopcore" for a in node.names]
    assert set(packages) == set(hopcore.PACKAGES) - PROGRAMS
    seen = {
        (node.module or "").removeprefix("hopcore."): tuple(sorted(a.name for a in node.names))
        for node in imports
        if node.module != "hopcore"
    }
    assert seen == {package: tuple(sorted(names)) for package, names in hopcore.NAMES.items()}
    assert sorted(name for names in seen.values() for name in names) == sorted(hopcore.__all__)


def test_packages_are_the_folders() -> None:
    folders = {path.parent.name for path in (ROOT / "hopcore").glob("*/__init__.py")}
    assert set(hopcore.PACKAGES) == folders


def test_both_adapters_have_the_same_names() -> None:
    import hopcore_jax
    import hopcore_torch

    own = [
        {
            name
            for name in adapter.__all__
            if getattr(hopcore, name, None) is not getattr(adapter, name)
        }
        for adapter in (hopcore_torch, hopcore_jax)
    ]
    # Each backend has its name, and attention that of the function in whose place it is used.
    torchs, jaxs = {"TorchBackend", "attention"}, {"JaxBackend", "dot_product_attention"}
    assert own[0] - torchs == own[1] - jaxs


def test_import_is_light() -> None:
    code = "import sys, hopcore; print(*sys.modules)"
    command = [sys.executable, "-W", "error", "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", *HEAVY} & set(loaded)
    assert not [name for name in loaded if name.startswith("hopcore.")]
