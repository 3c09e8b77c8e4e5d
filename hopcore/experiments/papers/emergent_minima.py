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
from hopcore.experiments.mil.report import interval
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
    """Return a panel for each task, with the numbers over the inverse temperature."""
    kinds = {"uniform": "Uniform", "as drawn": "As the code draws"}
    titles = {task: task.partition(", d = ")[::2] for task in DIMENSIONS}
    return {f"{kinds[titles[task][0]]}, {titles[task][1]} dimensions": partial(draw_counts, same)
            for task, same in grouped(rows, lambda row: row.task).items()}  # fmt: skip


def mean_counts(rows: Sequence[Trial]) -> list[tuple[float, float, float]]:
    """Return the mean number at each place, and the ends of its 95 % interval, from all seeds.

    All seeds have the same number of places, which lie at different inverse temperatures. With one
    seed there is no interval, and both ends are the mean.
    """
    own = grouped(rows, lambda row: row.seed).values()
    found = []
    for counts in zip(*([row.value for row in same] for same in own), strict=True):
        mean, low, high = interval(counts)
        found.append((mean, mean if low is None else low, mean if high is None else high))
    return found


def draw_counts(rows: Sequence[Trial], ax: Axes) -> None:
    """Draw the mean numbers of minima: a colour for each number of patterns."""
    sizes = sorted({row.size for row in rows})
    styles = {EMERGENT: "-", STORED: ":", SOFT_MIXED: "--"}
    for (size, method), own in grouped(rows, lambda row: (row.size, row.method)).items():
        if method not in styles:
            continue
        means, lows, highs = np.asarray(mean_counts(own)).T
        places = np.linspace(0.0, 1.0, len(means))
        color = plots.LINES[sizes.index(size) % len(plots.LINES)]
        label = f"{size} patterns" if method == EMERGENT else None
        ax.plot(places, means, styles[method], linewidth=1.2, color=color, label=label)
        if method == EMERGENT:
            ax.fill_between(places, np.maximum(lows, 0.0), highs, color=color, alpha=0.15,
                            linewidth=0)  # fmt: skip
    ax.set_yscale("symlog", linthresh=1.0)
    ax.set_ylim(bottom=0.0)
    ax.set_xlabel("inverse temperature, 0 to 1 of its range", fontsize=8)
    ax.set_ylabel("minima", fontsize=8)


PAPER = Paper(
    tasks=tuple(DIMENSIONS),
    sizes=(5, 10, 14),
    seeds=10,
    measure=measure,
    range=(2, 14),
    table=table,
    panels=panels,
    note="Means over the seeds, with their 95 % intervals\n"
    "Full: emergent. Dotted: stored patterns. Dashed: mixtures of the softmax",
)
