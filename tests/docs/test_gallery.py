"""The gallery has every picture, and the commands of the pages that explain them."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
GALLERY = (DOCS / "gallery.md").read_text(encoding="utf-8")
CARD = re.compile(r"\*\*\[.*\]\((.+\.md)\)\*\*\n\n```sh\n(.*)\n```")


def test_every_picture_is_in_the_gallery() -> None:
    pictures = {path.relative_to(DOCS).as_posix() for path in DOCS.glob("results/*.png")}
    shown = set(re.findall(r"^```\{image\} (.+)$", GALLERY, re.MULTILINE))
    assert shown == pictures | {"retrieved.png"}


def test_pages_that_draw_are_named() -> None:
    drawing = [path for path in DOCS.rglob("*.md") if ":filename-prefix:" in path.read_text()]
    assert drawing
    last = GALLERY.partition("## Drawn by the code of a page")[2]
    for path in drawing:
        assert f"({path.relative_to(DOCS).as_posix()})" in last


def test_commands_are_those_of_the_pages() -> None:
    cards = CARD.findall(GALLERY)
    assert len(cards) > 30
    for page, command in cards:
        text = (DOCS / page).read_text(encoding="utf-8")
        assert command in re.sub(r" \\\n +", " ", text), command
