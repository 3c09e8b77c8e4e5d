"""The summary tables of studies, in a terminal and as markdown, and means with deviations."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from rich import box
from rich.table import Table

Row = TypeVar("Row")
Key = TypeVar("Key", bound=Hashable)

COLORS = 128
"""Colours in a picture of curves, enough for smooth edges."""

SUCCESS_NOTES = """\
cos > 0.9  share whose cosine with the original is above 0.9: retrieved
same       share whose nearest stored pattern is the original itself"""


class Spread(NamedTuple):
    """A mean over the seeds and its standard deviation."""

    mean: float
    deviation: float


def spread(values: Iterable[float]) -> Spread:
    """Return the mean and the standard deviation of a sample."""
    sample = np.asarray(list(values), dtype=np.float64)
    deviation = float(sample.std(ddof=1)) if len(sample) > 1 else 0.0
    return Spread(float(sample.mean()), deviation)


def grouped(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    """Return the rows by their keys, in the order in which keys first occur."""
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def facts_of(row: Any) -> dict[str, Any]:
    """Return the fields of a named tuple for JSON, spreads among them as objects."""
    return {k: v._asdict() if isinstance(v, Spread) else v for k, v in row._asdict().items()}


def in_percent(value: float) -> str:
    """Return a share in percent, as every command prints it: one decimal, no space."""
    return f"{round(100 * value, 1) + 0.0:.1f}%"


def percent(value: Spread) -> str:
    """Return a share in percent with its deviation; a difference that rounds to 0 has no sign."""
    return f"{round(100 * value.mean, 1) + 0.0:.1f} ± {100 * value.deviation:.1f}"


class Summary(NamedTuple):
    """A table of text.

    Attributes
    ----------
    left, right : sequence of str
        The names of the columns of text, and of the columns of numbers after them.
    rows : sequence of sequences of str
    title, caption : str
        Shown in a terminal only.
    """

    left: Sequence[str]
    right: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    caption: str = ""

    def markdown(self) -> str:
        """Return the table as markdown."""
        rule = ["---"] * len(self.left) + ["---:"] * len(self.right)
        rows = [[*self.left, *self.right], rule, *self.rows]
        return "".join(f"| {' | '.join(row)} |\n" for row in rows)

    def terminal(self) -> Table:
        """Return the table for a terminal."""
        table = new_table(self.title, self.left, self.right)
        for row in self.rows:
            table.add_row(*row)
        table.caption = self.caption or None
        return table


def new_table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    """Return an empty table for a terminal, with columns of text and then of numbers.

    A cell that is too wide for the terminal is broken into lines, because a number without its
    last digits would be another number.
    """
    table = Table(title=title, title_justify="left", title_style="bold", caption_justify="left")
    table.box, table.collapse_padding, table.pad_edge = box.SIMPLE_HEAD, True, False
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", overflow="fold")
    return table
