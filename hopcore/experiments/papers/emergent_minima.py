r"""How many minima a memory of Epanechnikov kernels has which nobody stored.

Patterns are uniform in the unit cube. The inverse temperature goes from :math:`2/d`, where the ball
of each pattern contains the cube, to the value where the balls of the two nearest patterns touch
(Hoover et al. 2025, "Dense associative memory with Epanechnikov energy", log-sum-ReLU).

All sets of patterns are tried, so no minimum is missing (statement K5). The control is the softmax
by distance with the same patterns and inverse temperatures, whose minima are those that patterns
and means of them move to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

import hopcore
from hopcore import plots
from hopcore.datasets._images import Images
from hopcore.experiments.papers.rows import Case, Paper, Trial, told
from hopcore.experiments.tables import Summary, grouped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DIMENSIONS = {"uniform, d = 8": 8, "uniform, d = 32": 32, "as drawn, d = 8": 8,
              "as drawn, d = 32": 32}  # fmt: skip
"""The dimension of each task. ``as drawn`` are drawn as the code of the paper does: of 3 N
uniform patterns, which are sorted, the first N, so that their first coordinates are small."""

PLACES = 25
"""The number of inverse temperatures, evenly spaced."""

STORED, EMERGENT, SOFT_SINGLE, SOFT_MIXED = (
    "stored", "emergent", "softmax, of one pattern", "softmax, mixtures"
)  # fmt: skip
"""What is counted: minima that are stored patterns, and others; of the softmax those with a weight
above 1/2 on one pattern, and others."""

STARTS = 256
"""The number of means of patterns that the softmax starts at, or somewhat more."""


def drawn(task: str, count: int, seed: int) -> np.ndarray:
    """Return patterns (N, d)."""
    rng = np.random.default_rng([count, DIMENSIONS[task], seed])
    if task.startswith("uniform"):
        return rng.random((count, DIMENSIONS[task]))
    many = rng.random((3 * count, DIMENSIONS[task]))
    return many[np.argsort(many[:, 0])[:count]]


def means_of_sets(patterns: np.ndarray) -> np.ndarray:
    """Return the means of all sets of patterns."""
    count = len(patterns)
    sets = (np.arange(1, 1 << count)[:, None] >> np.arange(count)) & 1
    return (sets @ patterns) / np.sum(sets, axis=1, keepdims=True)


def measure(case: Case, images: Images | None = None) -> list[Trial]:
    """Return the numbers of minima at each inverse temperature."""
    patterns = drawn(case.task, case.size, case.seed)
    gaps = np.linalg.norm(patterns[:, None] - patterns, axis=-1)
    nearest = float(np.min(gaps[~np.eye(case.size, dtype=bool)]))
    starts, rows = means_of_sets(patterns), []
    some = np.concatenate([patterns, starts[:: max(1, len(starts) // STARTS)]])
    for beta in np.linspace(2.0 / patterns.shape[1], 8.0 / nearest**2, PLACES):
        found = hopcore.phase.compact_minima(patterns, float(beta))
        emergent = int(np.sum(found.emergent))
        soft = hopcore.phase.minima(patterns, float(beta), starts=some, similarity="distance")
        single = int(np.sum(soft.stable & (soft.weight > 0.5)))
        counts = {
            STORED: len(found.size) - emergent, EMERGENT: emergent,
            SOFT_SINGLE: single, SOFT_MIXED: int(np.sum(soft.stable)) - single,
        }  # fmt: skip
        rows += [Trial(*case, name, float(beta), float(value)) for name, value in counts.items()]
    return rows


def peaks(rows: Sequence[Trial], method: str) -> list[float]:
    """Return for each seed the number of minima at the inverse temperature with the most."""
    own = grouped((row for row in rows if row.method == method), lambda row: row.seed)
    return [max(row.value for row in same) for same in own.values()]


def kept(rows: Sequence[Trial]) -> list[float]:
    """Return the largest number of emergent minima while every pattern is one, for each seed."""
    found = []
    for same in grouped(rows, lambda row: row.seed).values():
        counts = {(row.method, row.at): row.value for row in same}
        whole = [at for (name, at), value in counts.items()
                 if name == STORED and value == same[0].size]  # fmt: skip
        found.append(max((counts[EMERGENT, at] for at in whole), default=0.0))
    return found


def table(rows: Sequence[Trial]) -> Summary:
    """Return the largest numbers of minima over the inverse temperatures."""
    lines = []
    for (task, size), own in grouped(rows, lambda row: (row.task, row.size)).items():
        kind, _, dimension = task.partition(", d = ")
        cells = [peaks(own, EMERGENT), kept(own), peaks(own, SOFT_MIXED)]
        lines.append([kind, dimension, str(size), *(told(cell, 1) for cell in cells)])
    caption = (
        "the largest number over the inverse temperatures: mean ± 95 % interval over the seeds\n"
        "with all patterns: while every stored pattern is a minimum"
    )
    right = ["emergent", "with all patterns", "mixtures of the softmax"]
    return Summary(["patterns", "d", "N"], right, lines, "emergent minima", caption)


def panels(rows: Sequence[Trial]) -> dict[str, Callable[[Axes], None]]:
    """Return a panel for each dimension, with the numbers over the inverse temperature."""
    own = [row for row in rows if row.task.startswith("uniform")] or list(rows)
    return {task: partial(draw_counts, same)
            for task, same in grouped(own, lambda row: row.task).items()}  # fmt: skip


def draw_counts(rows: Sequence[Trial], ax: Axes) -> None:
    """Draw the numbers of minima of the first seed: a colour for each number of patterns."""
    sizes = sorted({row.size for row in rows})
    first = [row for row in rows if row.seed == rows[0].seed]
    styles = {EMERGENT: "-", STORED: ":", SOFT_MIXED: "--"}
    for (size, method), own in grouped(first, lambda row: (row.size, row.method)).items():
        if method in styles:
            last = max(row.at or 0.0 for row in own)
            ax.plot(
                [(row.at or 0.0) / last for row in own], [row.value for row in own],
                styles[method], linewidth=1.2, color=plots.LINES[sizes.index(size)],
                label=f"N = {size}" if method == EMERGENT else None,
            )  # fmt: skip
    ax.set_yscale("symlog", linthresh=1.0)
    ax.set_xlabel("beta / largest beta", fontsize=8)
    ax.set_ylabel("minima", fontsize=8)


PAPER = Paper(
    tasks=tuple(DIMENSIONS),
    sizes=(5, 10, 14),
    seeds=10,
    measure=measure,
    range=(2, 14),
    table=table,
    panels=panels,
    note="Full: emergent. Dotted: stored patterns. Dashed: mixtures of the softmax",
)
