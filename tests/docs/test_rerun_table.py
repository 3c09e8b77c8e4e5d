"""Each results page is repeated or says why not; intervals follow from the data of the pages."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from rerun.__main__ import Verdict, needs_data, verdicts, words_of
from rerun.table import RESULTS, Figure, Repeat, repeats, rows_of, same

REPEATS, LEFT_OUT = repeats()
FIGURES = [(one, figure) for one in REPEATS for figure in one.figures]
NAMES = [f"{one.page}-{figure.name}".replace(" ", "-") for one, figure in FIGURES]


def test_every_page_is_repeated_or_says_why_not() -> None:
    pages = {path.stem for path in RESULTS.glob("*.md")}
    assert {one.page for one in REPEATS} | set(LEFT_OUT) == pages
    assert not {one.page for one in REPEATS} & set(LEFT_OUT)
    assert all(len(reason) > 20 for reason in LEFT_OUT.values())


def commands_of(page: str) -> list[list[str]]:
    text = (RESULTS / f"{page}.md").read_text(encoding="utf-8").replace("\\\n", " ")
    return [shlex.split(line) for line in re.findall(r"^\$ (hopcore experiment .*)$", text, re.M)]


def option(words: list[str], name: str) -> str | None:
    return words[words.index(name) + 1] if name in words else None


@pytest.mark.parametrize("one", REPEATS, ids=lambda one: f"{one.page}-{one.data}")
def test_a_command_is_one_of_its_page(one: Repeat) -> None:
    """With the same study; the options make it smaller."""
    words = shlex.split(one.command)
    known = commands_of(one.page)
    assert words[:3] in [page[:3] for page in known]
    if "--study" in words:
        assert option(words, "--study") in [option(page, "--study") for page in known]
    assert option(words, "--seeds") == str(one.seeds)
    assert one.seconds <= 150.0


@pytest.mark.parametrize("one", REPEATS, ids=lambda one: f"{one.page}-{one.data}")
def test_a_command_is_understood(one: Repeat) -> None:
    typer = pytest.importorskip("typer")
    from hopcore.cli.app import app

    command: Any = typer.main.get_command(app)
    words = words_of(one, Path("data"), Path())
    while words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    command.make_context(one.page, words)


def first(seeds: Iterable[int], count: int) -> list[int]:
    """The first seeds of a page, which begin with 1 if seed 0 chose the settings."""
    return sorted(seeds)[:count]


@pytest.mark.parametrize(("one", "figure"), FIGURES, ids=NAMES)
def test_an_interval_follows_from_the_data(one: Repeat, figure: Figure) -> None:
    low, high = figure.interval(rows_of(RESULTS / one.data), one.seeds)
    # The table has five digits, and so have the data.
    within = 1e-3 * (high - low) + 1e-4 * max(abs(low), abs(high))
    assert math.isclose(figure.low, low, abs_tol=within)
    assert math.isclose(figure.high, high, abs_tol=within)
    assert len(figure.reason) > 20


@pytest.mark.parametrize(("one", "figure"), FIGURES, ids=NAMES)
def test_a_figure_stands_on_its_page(one: Repeat, figure: Figure) -> None:
    assert figure.page in (RESULTS / f"{one.page}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("one", "figure"), FIGURES, ids=NAMES)
def test_the_data_of_the_page_agree_and_other_data_do_not(one: Repeat, figure: Figure) -> None:
    values = figure.values(rows_of(RESULTS / one.data))
    found = sum(values[seed] for seed in first(values, one.seeds)) / one.seeds
    assert Verdict(one.page, figure, found).agrees
    width = figure.high - figure.low
    for wrong in (figure.low - 0.01 * width, figure.high + 0.01 * width, math.nan):
        verdict = Verdict(one.page, figure, wrong)
        assert not verdict.agrees
        assert "OUTSIDE" in str(verdict)


BAGS = {"bit-pattern", "latch", "mnist-bags"}


EXCHANGED: dict[str, tuple[str, dict[str, str]]] = {
    # Pooling that attends to nothing; the rows of pooling itself are left out.
    **dict.fromkeys(BAGS, ("layer", {"uniform": "pooling", "pooling": "none"})),
    # Annealed, where the temperature should stay warm, and the other way around.
    "annealing": ("arm", {"cosine": "fixed warm", "fixed warm": "cosine"}),
    # Heads that cannot choose.
    "attention-entropy": ("attention", {"uniform": "softmax", "softmax": "uniform"}),
    # A choice of places that says something about the symbols, and one that does not.
    "temperature-router": ("router", {"random": "hashed", "hashed": "random"}),
}
COUNTED = ("layer", {"3-subsets": "pooling", "pooling": "3-subsets"})
"""Averages over three instances by which nothing is counted."""


GUESSED = {
    "temperature-floor": {"hard": "0.5"},  # a collapse
    "mil": {"auc": "0.5", "accuracy": "0.5"},
    "temperature-profiles": {"accuracy": "0.125", "converged": "190"},
}


def changed(one: Repeat, row: dict[str, str]) -> dict[str, str]:
    """A row of a study with a fault: what a training would give that does not do its work."""
    if one.page in GUESSED:
        return row | GUESSED[one.page]
    column, names = COUNTED if one.data == "mnist-bags-least.csv" else EXCHANGED[one.page]
    return {**row, column: names.get(row[column], row[column])}


TRAINED = [one for one in REPEATS if one.page in EXCHANGED or one.page in GUESSED]


@pytest.mark.parametrize("one", TRAINED, ids=lambda one: one.data)
def test_a_training_that_does_not_do_its_work_is_outside(one: Repeat, tmp_path: Path) -> None:
    rows = [changed(one, row) for row in rows_of(RESULTS / one.data)]
    rows += [
        {**row, "layer": "uniform"} for row in rows if one.page in BAGS if row["layer"] == "pooling"
    ]
    kept = first({int(row["seed"]) for row in rows}, one.seeds)
    rows = [row for row in rows if int(row["seed"]) in kept]

    def call(words: Any) -> None:
        header = list(rows[0])
        lines = [",".join(f'"{row[name]}"' for name in header) for row in rows]
        path = Path(words[words.index("--csv") + 1])
        path.write_text("\n".join([",".join(header), *lines]), encoding="utf-8")

    found = list(verdicts(one, Path(), call))
    assert len(found) == len(one.figures)
    assert not all(verdict.agrees for verdict in found), "\n".join(map(str, found))


def test_a_figure_without_rows_is_an_error() -> None:
    figure = FIGURES[0][1]
    with pytest.raises(ValueError, match="no row has"):
        figure.values([])
    assert same("0.10", 0.1)
    assert same("", "")
    assert not same("", 1)


def test_data_are_asked_for_where_they_are_needed() -> None:
    pages = {one.page for one in REPEATS if needs_data(one)}
    assert pages == {"retrieval", "capacity", "mnist-bags", "mil", "papers"}
