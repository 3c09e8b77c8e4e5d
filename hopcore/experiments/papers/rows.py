"""What the measurements of all papers have in common: a case, a row of the CSV, and a paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from hopcore.datasets._images import Images
from hopcore.experiments.mil.report import interval
from hopcore.experiments.tables import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Case(NamedTuple):
    """What is measured at once: a task of a paper, a size, and a seed that draws its data."""

    paper: str
    task: str
    size: int
    seed: int


class Trial(NamedTuple):
    """One number.

    Attributes
    ----------
    paper, task : str
    size : int
        The dimension, the number of patterns or the length of the context, as the paper says.
    seed : int
    method : str
        What was measured, or which method was.
    at : float or None
        The load or the inverse temperature; None where there is none.
    value : float
        A share, an error or a count, as the paper says.
    """

    paper: str
    task: str
    size: int
    seed: int
    method: str
    at: float | None
    value: float


class Paper(NamedTuple):
    """How the figures of one paper are measured, and shown.

    Attributes
    ----------
    tasks : sequence of str
    sizes : sequence of int
        The sizes that are measured unless others are given.
    seeds : int
        The number of seeds unless another one is given.
    measure : callable
        ``measure(case, images)`` returns the rows of a case.
    table : callable
        ``table(rows)`` returns the table of the page.
    panels : callable
        ``panels(rows)`` returns the panels of the picture, by their titles.
    note : str
        What a reader needs to know of the picture.
    range : tuple of int
        The smallest and the largest size.
    images : bool
        Whether images are needed.
    """

    tasks: Sequence[str]
    sizes: Sequence[int]
    seeds: int
    measure: Callable[[Case, Images | None], list[Trial]]
    table: Callable[[Sequence[Trial]], Summary]
    panels: Callable[[Sequence[Trial]], dict[str, Callable[[Axes], None]]]
    note: str
    range: tuple[int, int]
    images: bool = False

    def cases(self, name: str, sizes: Sequence[int], seeds: int) -> list[Case]:
        """Return all tasks with all sizes and seeds."""
        return [Case(name, *each) for each in product(self.tasks, sizes, range(seeds))]


def told(values: Sequence[float], digits: int = 3, factor: float = 1.0) -> str:
    """Return a mean and half of the width of its 95 % confidence interval over the seeds.

    Examples
    --------
    >>> from hopcore.experiments.papers.rows import told
    >>> told([0.1, 0.2, 0.3], 2), told([0.5], 1, 100.0)
    ('0.20 ± 0.25', '50.0')
    """
    if not values:
        return "-"
    mean, low, high = interval([factor * value for value in values])
    text = f"{mean + 0.0:.{digits}f}"
    return text if low is None or high is None else f"{text} ± {(high - low) / 2.0:.{digits}f}"
