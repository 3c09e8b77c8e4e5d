"""The page on the architecture shows the packages, the contract and the walks as they are."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
DESIGN = ROOT / "docs" / "design"
PAGE = (DESIGN / "architecture.md").read_text(encoding="utf-8")
PACKAGES = {path.parent.name for path in (ROOT / "hopcore").glob("*/__init__.py")}


def drawing() -> ModuleType:
    path = ROOT / "docs" / "draw_architecture.py"
    spec = importlib.util.spec_from_file_location("draw_architecture", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_package_has_a_row_and_no_other() -> None:
    rows = re.findall(r"^\| \[?`hopcore\.(\w+)`", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted(PACKAGES)


def test_the_picture_has_the_layers_of_the_contract() -> None:
    draw = drawing()
    again = "run `python docs/draw_architecture.py`"
    assert (DESIGN / "architecture.svg").read_text(encoding="utf-8") == draw.draw(), again
    picture = ElementTree.parse(DESIGN / "architecture.svg")
    svg = "{http://www.w3.org/2000/svg}"
    drawn = [
        [text.text for text in layer.iter(f"{svg}text") if text.get("class") == "name"]
        for layer in picture.iter(f"{svg}g")
    ]
    assert drawn == draw.layers()
    assert {name for layer in drawn for name in layer} == PACKAGES


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The walks, drawn again from the code in a process of its own."""
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    folder = tmp_path_factory.mktemp("walks")
    command = [sys.executable, str(ROOT / "tests" / "walks.py"), "--draw", str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return folder


@pytest.mark.parametrize("name", ["torch-layer", "retrieve"])
def test_the_walk_is_drawn_as_the_code_goes(name: str, walks: Path) -> None:
    picture = f"walk-{name}.svg"
    drawn = (DESIGN / picture).read_text(encoding="utf-8")
    again = "run `python tests/walks.py --draw docs/design`"
    assert drawn == (walks / picture).read_text(encoding="utf-8"), again


@pytest.mark.parametrize("name", ["torch-layer", "retrieve"])
def test_a_walk_makes_at_most_45_calls_in_8_files(name: str) -> None:
    drawn = (DESIGN / f"walk-{name}.svg").read_text(encoding="utf-8")
    found = re.search(r"(\d+) calls of \d+ functions in (\d+) files", drawn)
    assert found is not None
    calls, files = map(int, found.groups())
    assert calls <= 45
    assert files <= 8


def test_the_walk_of_train_shows_its_files(walks: Path) -> None:
    def files(folder: Path) -> list[str]:
        text = (folder / "walk-train.svg").read_text(encoding="utf-8")
        return sorted(re.findall(r">(?:\d+\.)? *([\w/]+(?:\.py)?)</text>", text))

    assert files(DESIGN) == files(walks), "run `python tests/walks.py --draw docs/design`"
