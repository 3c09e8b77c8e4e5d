"""The table of what is repeated: ``figures.toml``, and the intervals that follow from the data."""

from __future__ import annotations

import csv
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from scipy.stats import t as student

RESULTS = Path(__file__).parents[2] / "docs" / "results"
TABLE = Path(__file__).with_name("figures.toml")

LEVEL = 0.99
"""The probability with which new seeds lie in an interval, if seeds are normally distributed."""

Rows = list[dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number of a page, and the interval in which the repeated run must find it.

    Attributes
    ----------
    name : str
    page : str
        The number as it stands on the page.
    column : str
        Of the CSV file; the mean over the rows of a seed is taken.
    rows : mapping of str to any
        Values of other columns that select the rows.
    minus : mapping of str to any
        Selects rows whose mean is subtracted, seed by seed; empty: nothing is.
    times, less : str
        Other columns by which values are multiplied, and which are subtracted; empty: none.
    rule : str
        ``"same"``: the value of the same seeds in the data of the page, plus or minus ``grain``.
        ``"seeds"``: the interval that contains the mean of so many new seeds with a probability
        of 99 %, by Student's t from the spread of the seeds in the data of the page, plus or
        minus ``grain``.
    grain : float
        What rounding may change.
    low, high : float
        The interval.
    reason : str
        Why it is this one.
    """

    name: str
    page: str
    column: str
    rows: Mapping[str, Any]
    rule: str
    grain: float
    low: float
    high: float
    reason: str
    minus: Mapping[str, Any] = field(default_factory=dict)
    times: str = ""
    less: str = ""

    def values(self, table: Rows) -> dict[int, float]:
        """Return the value of each seed.

        Raises
        ------
        ValueError
            No row is selected.
        """
        found = self.means(table, self.rows)
        if not self.minus:
            return found
        other = self.means(table, {**self.rows, **self.minus})
        return {seed: value - other[seed] for seed, value in found.items() if seed in other}

    def means(self, table: Rows, wanted: Mapping[str, Any]) -> dict[int, float]:
        """Return the means of the selected rows of each seed."""
        groups: dict[int, list[float]] = {}
        for row in table:
            if all(same(row[name], value) for name, value in wanted.items()):
                value = float(row[self.column]) - (float(row[self.less]) if self.less else 0.0)
                value *= float(row[self.times]) if self.times else 1.0
                groups.setdefault(int(row["seed"]), []).append(value)
        if not groups:
            raise ValueError(f"{self.name}: no row has {dict(wanted)}")
        return {seed: fmean(values) for seed, values in groups.items()}

    def interval(self, table: Rows, seeds: int) -> tuple[float, float]:
        """Return the interval for the mean of so many seeds, from the data of the page."""
        values = self.values(table)
        if self.rule == "same":
            centre, half = fmean(values[seed] for seed in range(seeds)), 0.0
        elif self.rule == "seeds":
            count, centre = len(values), fmean(values.values())
            quantile = float(student.ppf(0.5 + 0.5 * LEVEL, count - 1))
            half = quantile * stdev(values.values()) * math.sqrt(1.0 / seeds + 1.0 / count)
        else:
            raise ValueError(f"{self.name}: the rule is 'same' or 'seeds', got {self.rule!r}")
        return centre - half - self.grain, centre + half + self.grain


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """A command of a page with smaller options, and the figures that it must find again.

    Attributes
    ----------
    page : str
        The name of the page.
    command : str
        DIR in it stands for a folder with ``mnist`` and ``mil``.
    data : str
        The CSV file of the page.
    seeds : int
        How many seeds the command measures.
    seconds : float
        About how long it takes on one free core.
    figures : sequence of Figure
    """

    page: str
    command: str
    data: str
    seeds: int
    seconds: float
    figures: Sequence[Figure]


def repeats() -> tuple[list[Repeat], dict[str, str]]:
    """Return what is repeated, and the reasons why other pages are not."""
    read = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    found = [
        Repeat(**{**one, "figures": [Figure(**figure) for figure in one["figures"]]})
        for one in read["repeat"]
    ]
    return found, read["left_out"]


def rows_of(path: Path) -> Rows:
    """Return the rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def same(text: str, value: Any) -> bool:
    """Whether a cell holds a value; numbers are compared as numbers."""
    if isinstance(value, str):
        return text == value
    try:
        return float(text) == float(value)
    except ValueError:
        return False
