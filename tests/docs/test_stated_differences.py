"""Differences on the pages of annealing follow from their CSV files, paired by seed.

A difference stands as a mean with a 95 % interval of Student's t, in percentage points.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

import pytest
from scipy.stats import t as student

DOCS = Path(__file__).parents[2] / "docs"
Rows = list[dict[str, str]]
Wanted = Mapping[str, str]

QUANTITIES: dict[str, Callable[[dict[str, str]], float]] = {
    "soft": lambda row: float(row["soft"]),
    "hard": lambda row: float(row["hard"]),
    "best": lambda row: float(row["best"]),
    "gap": lambda row: float(row["soft"]) - float(row["hard"]),
    "lost": lambda row: float(row["best"]) - float(row["hard"]),
}


@cache
def rows_of(name: str) -> Rows:
    with (DOCS / "results" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def values(rows: Rows, quantity: str, wanted: Wanted) -> dict[str, float]:
    """The quantity of each seed; one row has it."""
    chosen = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    found = {row["seed"]: 100.0 * QUANTITIES[quantity](row) for row in chosen}
    assert len(found) == len(chosen) > 1, f"{len(chosen)} rows have {wanted}"
    return found


def interval(differences: list[float]) -> tuple[float, float, float]:
    count, mean = len(differences), fmean(differences)
    half = float(student.ppf(0.975, count - 1)) * stdev(differences) / math.sqrt(count)
    return mean, mean - half, mean + half


class Stated(NamedTuple):
    """A difference of two arms as a page prints it.

    The second arm is in the same CSV file and has the same quantity, unless ``to`` and ``against``
    name others.
    """

    page: str
    data: str
    quantity: str
    of: Wanted
    less: Wanted
    printed: str
    to: str = ""
    against: str = ""

    def interval(self) -> tuple[float, float, float]:
        ours = values(rows_of(self.data), self.quantity, self.of)
        theirs = values(rows_of(self.to or self.data), self.against or self.quantity, self.less)
        assert ours.keys() == theirs.keys()
        return interval([ours[seed] - theirs[seed] for seed in ours])


def numbers(printed: str) -> list[str]:
    """The mean and the limits of a printed difference, without the plus of a positive number."""
    number = r"\+?(-?\d+\.\d)"
    ((mean, low, high),) = re.findall(rf"{number} \({number} to {number}\)", printed)
    return [mean, low, high]


def as_printed(found: tuple[float, float, float]) -> str:
    mean, low, high = found
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def text_of(page: str) -> str:
    return " ".join((DOCS / f"{page}.md").read_text(encoding="utf-8").split())


SCHEDULES = ("linear", "cosine", "exponential", "phase-aware")
PLACES = [(data, model) for data in ("digits", "mnist") for model in ("HNM 1", "HNM 2")]
NAMED = {"digits": "digits", "mnist": "MNIST"}


def line(data: str, model: str, path: str, arms: tuple[str, ...], first: str) -> str:
    """A row of the table of differences between schedules."""
    cells = []
    for arm in arms:
        less = {"model": model, "arm": first}
        of = {"model": model, "arm": arm}
        one = Stated("results/annealing", f"annealing-{data}", path, of, less, "")
        cells.append(as_printed(one.interval()))
    return f"| {NAMED[data]} | {model} | {path} | " + " | ".join(cells) + " |"


@pytest.mark.parametrize(("data", "model"), PLACES)
@pytest.mark.parametrize("path", ["hard", "soft"])
def test_schedules_are_compared_with_a_fixed_temperature(data: str, model: str, path: str) -> None:
    assert line(data, model, path, SCHEDULES, "fixed warm") in text_of("results/annealing")


@pytest.mark.parametrize(("data", "model"), PLACES)
def test_schedules_are_compared_with_the_cosine(data: str, model: str) -> None:
    others = tuple(name for name in SCHEDULES if name != "cosine")
    assert line(data, model, "hard", others, "cosine") in text_of("results/annealing")


def hnm(layers: int, arm: str, path: str = "") -> Wanted:
    return {"model": f"HNM {layers}{', ' * bool(path)}{path}", "arm": arm}


def vq(arm: str, epochs: int = 30) -> Wanted:
    return {"arm": arm, "epochs": str(epochs)}


def at(rate: str, arm: str) -> Wanted:
    return {"model": f"VQ, rate {rate}", "arm": arm}


MLP = {"model": "baseline", "arm": "MLP"}
USUAL, GUMBEL = "cosine rate + clipping", "cosine rate + clipping + gumbel"

ANNEALING, TUTORIAL = "results/annealing", "tutorials/annealing"
FLOOR, CAUSES = "results/temperature-floor", "temperature-floor-causes"
DIGITS, MNIST = "annealing-digits", "annealing-mnist"
RATE, SURVIVAL, OTHER = "annealing-mnist-rate", "annealing-survival", "annealing-survival-mnist"

STATED = [
    Stated(ANNEALING, MNIST, "soft", hnm(1, "fixed warm"), MLP, "MLP, by 1.2 (1.0 to 1.5)"),
    Stated(ANNEALING, MNIST, "soft", hnm(2, "fixed warm"), MLP, "1.0 (0.6 to 1.4) with two"),
    Stated(ANNEALING, DIGITS, "hard", hnm(1, "linear"), hnm(1, "fixed cold"), "1.1 (0.0 to 2.1)"),
    Stated(
        ANNEALING,
        DIGITS,
        "hard",
        hnm(1, "phase-aware"),
        hnm(1, "fixed cold"),
        "1.4 (0.3 to 2.5) points lower",
    ),
    Stated(ANNEALING, DIGITS, "hard", hnm(2, "exponential"), hnm(2, "linear"), "1.3 (0.3 to 2.3)"),
    Stated(ANNEALING, DIGITS, "hard", hnm(2, "phase-aware"), hnm(2, "linear"), "1.1 (0.3 to 2.0)"),
    Stated(
        ANNEALING,
        MNIST,
        "hard",
        hnm(2, "phase-aware"),
        hnm(2, "exponential"),
        "MNIST, by 1.4 (0.4 to 2.3)",
    ),
    *[
        Stated(ANNEALING, RATE, "hard", hnm(layers, arm), hnm(layers, arm), printed, MNIST)
        for layers, arm, printed in (
            (2, "exponential", "gain 2.9 (2.0 to 3.8)"),
            (2, "phase-aware", "and 2.3 (1.7 to 2.9)"),
            (1, "exponential", "of 0.2 (-0.4 to 0.7)"),
            (1, "phase-aware", "and 0.6 (-0.1 to 1.2)"),
        )
    ],
    *[
        Stated(ANNEALING, RATE, "hard", hnm(k, "phase-aware"), hnm(k, "exponential"), printed)
        for k, printed in ((1, "by 0.6 (0.2 to 1.0)"), (2, "and 0.8 (0.3 to 1.3)"))
    ],
    Stated(
        ANNEALING,
        SURVIVAL,
        "hard",
        hnm(2, "temperature rate + clipping", "soft"),
        hnm(2, "temperature rate", "soft"),
        "largest is 0.8 (-0.6 to 2.2)",
    ),
    *[
        Stated(ANNEALING, data, "hard", hnm(layers, *of), hnm(layers, *less), printed)
        for data, layers, of, less, printed in (
            (SURVIVAL, 1, (USUAL, "hard"), (USUAL, "soft"), "by 1.0 (0.4 to 1.5) points with one"),
            (SURVIVAL, 2, (USUAL, "hard"), (USUAL, "soft"), "2.0 (1.2 to 2.9) with two"),
            (SURVIVAL, 2, (GUMBEL, "soft"), (USUAL, "soft"), "gives 2.0 (1.1 to 2.8) points"),
            (SURVIVAL, 1, (GUMBEL, "soft"), (USUAL, "soft"), "its 0.8 (-0.1 to 1.6)"),
            (OTHER, 1, (USUAL, "hard"), (USUAL, "soft"), "0.5 (0.2 to 0.8) points"),
            (OTHER, 1, (GUMBEL, "soft"), (USUAL, "soft"), "and 0.5 (0.1 to 0.9) with noise"),
            (OTHER, 2, (USUAL, "hard"), (USUAL, "soft"), "are 0.4 (-0.2 to 0.9)"),
            (OTHER, 2, (GUMBEL, "soft"), (USUAL, "soft"), "and -0.2 (-0.6 to 0.3)"),
            (SURVIVAL, 1, (GUMBEL, "hard"), (USUAL, "hard"), "alone by 0.2 (-0.3 to 0.6)"),
            (SURVIVAL, 2, (GUMBEL, "hard"), (USUAL, "hard"), "and 0.0 (-0.9 to 0.9) points"),
            (OTHER, 2, (USUAL, "hard"), (GUMBEL, "hard"), "two layers, by 0.9 (0.5 to 1.2)"),
            (OTHER, 1, (GUMBEL, "hard"), (USUAL, "hard"), "is -0.1 (-0.4 to 0.2)"),
        )
    ],
    *[
        Stated(
            ANNEALING,
            data,
            "hard",
            hnm(layers, USUAL, "hard"),
            hnm(layers, "fixed warm"),
            printed,
            to,
            "soft",
        )
        for data, to, layers, printed in (
            (SURVIVAL, DIGITS, 1, "by -0.4 (-0.7 to -0.1)"),
            (SURVIVAL, DIGITS, 2, "and -0.7 (-1.5 to 0.2)"),
            (OTHER, MNIST, 1, "by -1.0 (-1.2 to -0.8)"),
            (OTHER, MNIST, 2, "and -2.5 (-3.1 to -2.0)"),
        )
    ],
    *[
        Stated(FLOOR, "temperature-floor", quantity, vq(arm, epochs), vq(less, epochs), printed)
        for epochs, arm, less, quantity, printed in (
            (30, "floor 0.5", "floor 0.1", "hard", "hard path by -0.1 (-0.2 to 0.1)"),
            (120, "floor 0.5", "floor 0.1", "hard", "differs by -0.9 (-2.0 to 0.3)"),
            (120, "floor 0.5", "floor 0.1", "lost", "loses by 0.2 (-0.7 to 1.1)"),
            (120, "floor 0.5", "floor 0.1", "soft", "better, by 1.2 (0.5 to 2.0)"),
            (120, "floor 0.5", "floor 0.1", "gap", "wider, by 2.1 (1.2 to 3.1)"),
            (120, "frozen after 15", "floor 0.1", "hard", "differs by -1.2 (-3.4 to 1.1)"),
            (120, "frozen after 15", "floor 0.1", "soft", "better by 1.3 (0.7 to 2.0)"),
            (120, "frozen after 15", "floor 0.1", "gap", "wider by 2.5 (0.5 to 4.5)"),
            (30, "aligned", "floor 0.1", "hard", "by 1.9 (0.3 to 3.6) points in 30"),
            (120, "aligned", "floor 0.1", "hard", "and 1.4 (0.6 to 2.3) in 120"),
            (30, "hard path", "floor 0.1", "hard", "show: 1.7 (-0.4 to 3.7)"),
            (120, "hard path", "floor 0.1", "hard", "and 0.8 (-0.3 to 1.9)"),
            (30, "aligned", "hard path", "hard", "two, by 0.3 (-0.5 to 1.0)"),
            (120, "aligned", "hard path", "hard", "and 0.6 (-0.1 to 1.3)"),
            (30, "aligned", "floor 0.1", "gap", "30 epochs: -1.6 (-3.0 to -0.2)"),
            (120, "aligned", "floor 0.1", "gap", "gap by -1.1 (-2.2 to 0.0)"),
            (30, "hard path", "floor 0.1", "gap", "by -1.2 (-3.0 to 0.5) in 30"),
            (120, "hard path", "floor 0.1", "gap", "and -0.4 (-1.4 to 0.6) in 120"),
        )
    ],
    Stated(
        FLOOR,
        "temperature-floor-jump",
        "hard",
        vq("at 0.5 after 15"),
        vq("floor 0.1"),
        "first arm by 0.1 (-0.2 to 0.3)",
    ),
    *[
        Stated(FLOOR, CAUSES, quantity, at(rate, arm), at(rate, less), printed)
        for rate, arm, less, quantity, printed in (
            ("0.001", "no commitment", "bare", "hard", "by -0.9 (-3.3 to 1.5)"),
            ("0.001", "unbound", "bare", "hard", "and -1.1 (-3.2 to 1.0)"),
            ("0.001", "bare", "2 groups", "best", "by 19.3 (3.9 to 34.7) points"),
            ("0.01", "bare", "2 groups", "best", "and 26.4 (8.0 to 44.9) at 0.01"),
            ("0.001", "8 codes", "bare", "lost", "by 2.3 (-0.3 to 4.9)"),
            ("0.01", "8 codes", "bare", "lost", "and 1.2 (-1.7 to 4.1) with 8 codes"),
            ("0.001", "4 symbols", "bare", "lost", "1.0 (-2.2 to 4.2)"),
            ("0.01", "4 symbols", "bare", "lost", "and -0.7 (-3.3 to 1.8) with 4 symbols"),
        )
    ],
    *[
        Stated(TUTORIAL, data, "hard", hnm(layers, *of), hnm(layers, *less), printed)
        for data, layers, of, less, printed in (
            (DIGITS, 2, ("exponential",), ("linear",), "digits, by 1.3 (0.3 to 2.3)"),
            (DIGITS, 2, ("phase-aware",), ("linear",), "and 1.1 (0.3 to 2.0)"),
            (DIGITS, 1, ("cosine",), ("fixed warm",), "gain is 0.4 (-0.2 to 1.0)"),
            (DIGITS, 2, ("cosine",), ("fixed warm",), "and 1.3 (0.5 to 2.0) with two"),
            (MNIST, 1, ("cosine",), ("fixed warm",), "and 0.4 (0.0 to 0.8)"),
            (MNIST, 2, ("cosine",), ("fixed warm",), "and 0.4 (-0.1 to 0.9) on MNIST"),
            (
                "annealing-sizes",
                1,
                ("32 heads of 8",),
                ("8 heads of 16",),
                "gains 1.5 (0.7 to 2.2)",
            ),
            (SURVIVAL, 1, (USUAL, "hard"), (USUAL, "soft"), "by 1.0 (0.4 to 1.5) points with one"),
            (SURVIVAL, 2, (USUAL, "hard"), (USUAL, "soft"), "and 2.0 (1.2 to 2.9) with two"),
            (SURVIVAL, 1, (GUMBEL, "soft"), (USUAL, "soft"), "by 0.8 (-0.1 to 1.6)"),
            (SURVIVAL, 2, (GUMBEL, "soft"), (USUAL, "soft"), "and 2.0 (1.1 to 2.8)"),
        )
    ],
    Stated(ANNEALING, OTHER, "hard", hnm(1, USUAL, "hard"), MLP, "by 0.2 (-0.1 to 0.5)", MNIST),
    Stated(ANNEALING, OTHER, "hard", hnm(1, GUMBEL, "soft"), MLP, "and 0.2 (-0.2 to 0.6)", MNIST),
]


@pytest.mark.parametrize("one", STATED, ids=lambda one: f"{one.data}-{one.printed}")
def test_a_difference_follows_from_the_data_and_stands_on_its_page(one: Stated) -> None:
    assert one.printed in text_of(one.page)
    found = [f"{value:.1f}" for value in one.interval()]
    assert [value.replace("-0.0", "0.0") for value in found] == numbers(one.printed)
