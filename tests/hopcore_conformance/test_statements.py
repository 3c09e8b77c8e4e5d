"""The specification's pages and the conformance suite number the same statements."""

from __future__ import annotations

import re
from pathlib import Path

from hopcore_conformance import STATEMENTS

PAGES = sorted((Path(__file__).parents[2] / "docs" / "spec").glob("*.md"))


def test_every_statement_is_on_one_page() -> None:
    # A term of a definition list: "E1. Bounds" or "E.mask", the next line begins with a colon.
    term = re.compile(r"^([A-Z](?:\d+|\.\w+))(?:\. [^\n]*)?\n: ", re.MULTILINE)
    found = [name for page in PAGES for name in term.findall(page.read_text(encoding="utf-8"))]
    assert len(found) == len(set(found))
    assert set(found) == set(STATEMENTS)


APPLIED = {
    *("__init__", "__main__", "cli", "console", "experiments", "plots", "datasets", "tables"),
    *("cli_annealing", "cli_bags", "cli_phase", "cli_temperature", "cli_train", "cli_transition"),
    *("cli_retrieve", "cluster"),
    *("runs", "training", "train_config", "bags", "sequences", "linear_maps", "plain_networks"),
    *("classifier", "image_classifiers", "image_model", "sequence_classifier", "vq_classifier"),
}
"""Rooms that use what is specified: commands, data sets, classifiers and their training."""


def test_every_room_is_specified() -> None:
    claimed = {
        name
        for page in PAGES
        for paragraph in page.read_text(encoding="utf-8").split("\n\n")
        if paragraph.startswith("Specifies: ")
        for name in re.findall(r"`hopcore\.(\w+)", paragraph)
    }
    house = Path(__file__).parents[2] / "hopcore"
    rooms = {path.stem for path in house.glob("*.py")}
    rooms |= {path.parent.name for path in house.glob("*/__init__.py")}
    assert rooms - claimed == APPLIED
    assert claimed <= rooms
