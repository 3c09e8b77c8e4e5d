"""What ``import hopcore`` promises: the public names, their documentation, and a light import."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import hopcore
import hopcore_jax
import hopcore_torch

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "jax", "scipy", "matplotlib", "typer", "rich", "sklearn", "hypothesis", "pytest"}


def test_all_is_what_can_be_imported() -> None:
    rooms = {path.stem for path in (ROOT / "hopcore").iterdir()}
    importable = {
        name
        for name, value in vars(hopcore).items()
        if not name.startswith("_") and not (isinstance(value, ModuleType) and name in rooms)
    }
    assert importable == set(hopcore.__all__)
    assert hopcore.__all__ == sorted(hopcore.__all__)


@pytest.mark.parametrize("name", hopcore.__all__)
def test_documented_on_the_page_of_public_names(name: str) -> None:
    page = (ROOT / "docs" / "api" / "functions.md").read_text(encoding="utf-8")
    assert f":: hopcore.{name}\n" in page


@pytest.mark.parametrize(
    "name", [name for name in hopcore.__all__ if callable(getattr(hopcore, name))]
)
def test_docstring_has_an_example(name: str) -> None:
    text = inspect.getdoc(getattr(hopcore, name)) or ""
    assert "\nExamples\n--------\n" in text
    assert ">>> " in text


@pytest.mark.parametrize("package", [hopcore_torch, hopcore_jax], ids=lambda x: x.__name__)
def test_modules_are_documented(package: ModuleType) -> None:
    page = (ROOT / "docs" / "api" / "modules.md").read_text(encoding="utf-8")
    assert package.__all__ == sorted(package.__all__)
    for name in package.__all__:
        found = getattr(package, name)
        if getattr(hopcore, name, None) is found:
            assert f"`{name}`" in page or name.endswith(("Operator", "Diffusion"))
        elif not name.endswith("Backend"):
            assert f":: {package.__name__}.{name}\n" in page
            assert "\nExamples\n--------\n" in (inspect.getdoc(found) or "")


def test_both_packages_have_the_same_names() -> None:
    own = {
        name
        for name in hopcore_torch.__all__
        if getattr(hopcore, name, None) is not getattr(hopcore_torch, name)
    }
    assert own - {"TorchBackend"} == set(hopcore_jax.__all__) - {"JaxBackend"}


def test_import_is_light() -> None:
    code = "import sys, hopcore; print(*sys.modules)"
    command = [sys.executable, "-W", "error", "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "numpy" in loaded
    assert not HEAVY & set(loaded)
