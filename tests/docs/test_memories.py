"""Each task of "Which memory?" has its picture, which shows what the code of the page does."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pages
import pytest

import draw_memories as memories  # isort: skip (of docs, which pages puts on the path)

TEXT = memories.PAGE.read_text(encoding="utf-8")
AGAIN = "run `python docs/draw_memories.py`"


def test_each_section_shows_its_own_picture() -> None:
    shown = {}
    for section in TEXT.split("\n## ")[1:]:
        ((alternative, name),) = re.findall(r"^!\[(.+)\]\(which-memory/(.+)\.png\)$", section, re.M)
        assert len(alternative) > 20
        shown[section.partition("\n")[0]] = name
    assert shown == {title: name for title, (name, _) in memories.SECTIONS.items()}


def test_pictures_are_small_and_none_is_left_over() -> None:
    pictures = list(memories.FOLDER.iterdir())
    wanted = {f"{name}.png" for name, _ in memories.SECTIONS.values()}
    assert {path.name for path in pictures} == wanted, AGAIN
    assert [path.name for path in pictures if path.stat().st_size > 20_000] == []


def pixels(path: Path) -> Any:
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"), dtype=float)


@pytest.mark.full
def test_pictures_are_drawn_from_the_code_of_the_page(tmp_path: Path) -> None:
    for package in ("matplotlib", "PIL", "sklearn"):
        pytest.importorskip(package)
    pinned = (pages.ROOT / "constraints" / "cpu.txt").read_text(encoding="utf-8").splitlines()
    if f"matplotlib=={version('matplotlib')}" not in pinned:
        pytest.skip("another matplotlib lays out pictures in its own way")
    for name, figure in memories.drawn():
        path = tmp_path / f"{name}.png"
        memories.plots.save(figure, path, colors=memories.COLOURS)
        now, before = pixels(path), pixels(memories.FOLDER / path.name)
        assert now.shape == before.shape, AGAIN
        # Sums in another order change shades a little; another image changes many pixels.
        assert np.mean(np.abs(now - before) > 24.0) < 1e-3, (name, AGAIN)
