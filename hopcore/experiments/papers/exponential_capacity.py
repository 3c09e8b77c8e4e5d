r"""How many random patterns the log-sum-exp memory stores, beside the formula of its threshold.

:math:`P = e^{\alpha N}` patterns of N values have the squared length N: exactly, if they are drawn
from a sphere, or on average, if their values are normal. A pattern is a fixed point as long as its
own term :math:`e^{\lambda N}` is larger than the sum of the terms of the other patterns, which is
the partition function of a random energy model. For large N this gives the thresholds

.. math::
    \alpha_1 = \lambda - \tfrac12 \lambda^2 \; (\lambda < 1), \; \tfrac12 \; (\lambda \ge 1)
    \qquad\text{and}\qquad
    \alpha_1 = \lambda (1 - t) - \tfrac12 \log (1 - t^2) \;\text{ with }\; \lambda (1 - t^2) = t

for normal values and for the sphere (after Lucibello and Mezard 2024, "The exponential capacity of
dense associative memories"; :math:`\lambda` is the inverse temperature).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

import hopcore
from hopcore import plots
from hopcore.convex import ConvexMemory, Norm, Polynomial
from hopcore.datasets._images import Images
from hopcore.experiments.papers.rows import Case, Paper, Trial, told
from hopcore.experiments.tables import Summary, grouped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LAMBDAS = {"gaussian, 0.5": 0.5, "gaussian, 1": 1.0, "sphere, 0.5": 0.5, "sphere, 1": 1.0}
"""The inverse temperature of each task."""

STEP, MARGIN = 0.03, 0.06
"""The distance of loads, and how far above :func:`finite` the largest one is."""

MOST = 60_000
"""The largest number of patterns."""

QUERIES, UPDATES = 20, 10
"""The number of patterns that are retrieved, and of updates of each."""

EXPONENTIAL, POWER = "log-sum-exp", "fourth power"
"""The memory of the paper, and its control, the fourth power of the overlaps instead of their
exponential, with normalised states. A pattern counts as retrieved if at the end its own term in the
energy is larger than those of all other patterns together; for the first memory this means that its
weight is above 1/2."""

OVERLAPS = np.linspace(-1.0, 1.0, 4003)[1:-1]
"""Where averages over the sphere are taken."""


def asymptotic(task: str) -> float:
    """Return the threshold of a task for large N.

    Examples
    --------
    >>> from hopcore.experiments.papers.exponential_capacity import asymptotic
    >>> asymptotic("gaussian, 0.5"), round(asymptotic("sphere, 1"), 4)
    (0.375, 0.6226)
    """
    beta = LAMBDAS[task]
    if task.startswith("gaussian"):
        return beta - 0.5 * beta * beta if beta < 1.0 else 0.5
    t = (math.sqrt(1.0 + 4.0 * beta * beta) - 1.0) / (2.0 * beta)
    return beta * (1.0 - t) - 0.5 * math.log(1.0 - t * t)


def field_of_others(task: str, strength: float, size: int) -> tuple[float, float]:
    r"""Return what a random pattern contributes at the state :math:`m x_1`, on average.

    ``strength`` is :math:`\lambda m`. With :math:`z = x_1 \cdot x_\mu / N`, the two numbers are the
    logarithm of the mean of :math:`e^{\lambda m N z}`, and the mean of z by these weights.
    """
    if task.startswith("gaussian"):
        return 0.5 * strength * strength * size, strength
    density = 0.5 * (size - 3.0) * np.log1p(-OVERLAPS * OVERLAPS)
    exponents = density + strength * size * OVERLAPS
    peak = float(np.max(exponents))
    tilted = np.exp(exponents - peak)
    total = float(np.sum(tilted))
    log_mean = peak + math.log(total) - math.log(float(np.sum(np.exp(density))))
    return log_mean, float(OVERLAPS @ tilted) / total


@cache
def finite(task: str, size: int) -> float:
    """Return the threshold for N values if the other patterns act by their average alone.

    A retrieval that starts at a pattern stays on its line. The threshold is the largest load at
    which it ends with a weight above 1/2 on that pattern.

    Examples
    --------
    >>> from hopcore.experiments.papers.exponential_capacity import finite
    >>> [round(finite("gaussian, 0.5", size), 3) for size in (30, 3000, 300_000)]
    [0.3, 0.373, 0.375]
    """
    beta = LAMBDAS[task]

    def holds(load: float) -> bool:
        place, weight = 1.0, 1.0
        for _ in range(300):
            log_mean, mean = field_of_others(task, beta * place, size)
            excess = load * size + log_mean - beta * place * size
            weight = 1.0 / (1.0 + math.exp(min(excess, 700.0)))
            place = weight + (1.0 - weight) * mean
        return weight > 0.5

    low, high = 0.0, 1.0 + asymptotic(task)
    for _ in range(20):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def numbers_of_patterns(task: str, size: int) -> list[int]:
    """Return the numbers of patterns for which a dimension is measured, each once."""
    last = finite(task, size) + MARGIN
    loads = STEP * np.arange(1, math.floor(last / STEP) + 1)
    counts = np.maximum(np.round(np.exp(loads * size)), 2.0)
    return sorted({int(count) for count in counts if count <= MOST})


def drawn(task: str, count: int, size: int, seed: int) -> np.ndarray:
    """Return random patterns (P, N) of a seed in float32; fewer patterns are the first of more."""
    patterns = np.random.default_rng([size, seed]).standard_normal((count, size), np.float32)
    if task.startswith("sphere"):
        patterns *= math.sqrt(size) / np.linalg.norm(patterns, axis=1, keepdims=True)
    return patterns


def measure(case: Case, images: Images | None = None) -> list[Trial]:
    """Return the share of patterns that are retrieved at each load, by both memories.

    There are no rows if the threshold would need more than :data:`MOST` patterns.
    """
    counts = numbers_of_patterns(case.task, case.size)
    if math.exp(finite(case.task, case.size) * case.size) > MOST:
        return []  # the threshold is out of reach
    patterns = drawn(case.task, counts[-1], case.size, case.seed)
    rows = []
    for count in counts:
        stored = patterns[:count]
        at = math.log(count) / case.size
        for method, share in ((EXPONENTIAL, by_exponential), (POWER, by_power)):
            rows.append(Trial(*case, method, at, share(stored, LAMBDAS[case.task])))
    return rows


def by_exponential(stored: np.ndarray, beta: float) -> float:
    """Return the share of the first patterns that keep a weight above 1/2."""
    found = hopcore.retrieve(stored[:QUERIES], stored, beta, max_steps=UPDATES, tol=1e-4)
    own = np.arange(len(found.state))
    return float(np.mean((found.index == own) & (found.certain > 0.5)))


def by_power(stored: np.ndarray, beta: float) -> float:
    """Return the share of the first patterns that keep a part above 1/2; beta has no effect."""
    memory = ConvexMemory(Polynomial(4), Norm())
    unit = stored / np.linalg.norm(stored, axis=1, keepdims=True)
    state = memory.retrieve(unit[:QUERIES], unit, max_steps=UPDATES, tol=1e-4).state
    terms = np.square(np.square(unit @ state.T))
    own = np.diagonal(terms)
    return float(np.mean(own > 0.5 * np.sum(terms, axis=0)))


def crossing(rows: Sequence[Trial]) -> float | None:
    """Return the load at which the share of one seed falls below 1/2, None if it does not.

    It is interpolated between the last load with at least 1/2 and the next one.
    """
    places = sorted((row.at or 0.0, row.value) for row in rows)
    above = [index for index, (_, share) in enumerate(places) if share >= 0.5]
    if not above:
        return places[0][0]
    last = above[-1]
    if last + 1 == len(places):
        return None
    (start, one), (end, other) = places[last], places[last + 1]
    return start + (end - start) * (one - 0.5) / (one - other)


def crossings(rows: Sequence[Trial]) -> dict[tuple[str, int, str], list[float | None]]:
    """Return the loads of all seeds by task, dimension and memory."""
    groups = grouped(rows, lambda row: (row.task, row.size, row.method))
    return {
        place: [crossing(one) for one in grouped(own, lambda row: row.seed).values()]
        for place, own in groups.items()
    }


def told_of(loads: Sequence[float | None]) -> str:
    """Return the mean of the loads of all seeds, or how many seeds never lost half."""
    reached = [one for one in loads if one is not None]
    if len(reached) == len(loads):
        return told(reached)
    return f"not reached by {len(loads) - len(reached)} of {len(loads)}"


def table(rows: Sequence[Trial]) -> Summary:
    """Return the loads at which half of the patterns are lost, beside both formulas."""
    found, lines = crossings(rows), []
    for task, size in dict.fromkeys((row.task, row.size) for row in rows):
        cells = [found[task, size, method] for method in (EXPONENTIAL, POWER)]
        shown = [told_of(own) for own in cells]
        kind, _, beta = task.partition(", ")
        theory = [f"{finite(task, size):.3f}", f"{asymptotic(task):.3f}"]
        lines.append([kind, beta, str(size), shown[0], *theory, shown[1]])
    caption = "the load at which half of the patterns are lost: mean ± 95 % interval over the seeds"
    return Summary(
        ["patterns", "lambda", "N"],
        [EXPONENTIAL, "average field, N", "formula, large N", POWER],
        lines, "exponential capacity", caption,
    )  # fmt: skip


def panels(rows: Sequence[Trial]) -> dict[str, Callable[[Axes], None]]:
    """Return a panel for each task, with the share retrieved over the load."""
    kinds = {"gaussian": "Normal values", "sphere": "Points of a sphere"}
    return {
        f"{kinds[task.partition(',')[0]]}, $\\lambda$ = {LAMBDAS[task]:g}": partial(draw_task, own)
        for task, own in grouped(rows, lambda row: row.task).items()
    }


def draw_task(rows: Sequence[Trial], ax: Axes) -> None:
    """Draw the shares of a task over the load: a colour for each dimension."""
    sizes = sorted({row.size for row in rows})
    for (size, method), own in grouped(rows, lambda row: (row.size, row.method)).items():
        means = {
            at: float(np.mean([row.value for row in same]))
            for at, same in grouped(own, lambda row: row.at or 0.0).items()
        }
        color = plots.LINES[sizes.index(size) % len(plots.LINES)]
        name = f"N = {size}" if method == EXPONENTIAL else None
        style = "-" if method == EXPONENTIAL else ":"
        ax.plot(list(means), list(means.values()), style, color=color, linewidth=1.2, label=name)
    ax.axvline(asymptotic(rows[0].task), color=plots.INK, linewidth=1.0, linestyle="--")
    ax.set_xlabel("load ln(P) / N", fontsize=8)
    ax.set_ylabel("share retrieved", fontsize=8)


PAPER = Paper(
    tasks=tuple(LAMBDAS),
    sizes=(10, 15, 20, 25, 30),
    seeds=10,
    measure=measure,
    range=(4, 40),
    table=table,
    panels=panels,
    note="Dashed: the formula for large N. Dotted: the fourth power of the overlaps",
)
