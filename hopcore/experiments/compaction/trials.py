r"""How far associations move when a memory is made smaller, in ways that are alike but for a cause.

The exact association of a query is :math:`o`, that of the smaller memory :math:`\hat o`, and
:math:`\bar v` is the mean of all values, the answer of a memory of one cluster. Relative errors
are in units of :math:`D = \sqrt{\mathrm{mean}_q \|o - \bar v\|^2}`: an answer that is always
:math:`\bar v` has the relative error 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

import hopcore
from hopcore.experiments.compaction.sources import Source, Sources
from hopcore.prepared._compaction import averaged, nearest_of

COMPACT, UNWEIGHTED = "compact", "unweighted"
METHODS = (COMPACT, UNWEIGHTED, "cells", "weighted", "random", "farthest")
"""Which patterns take the place of all. ``compact``: the means of clusters with the logarithms of
their sizes, as :meth:`hopcore.Memory.compact` makes them; ``unweighted``: without the logarithms.
``random``: patterns that are drawn at random; ``weighted``: these with the logarithm of the number
of patterns that are nearest to each; ``cells``: the means of these patterns in their place.
``farthest``: patterns that are far from each other."""

OWN = "own"
"""The inverse temperature at which the patterns were learned."""

ROUNDS = 60
"""Bisections of an inverse temperature."""


Rows = tuple[np.ndarray, np.ndarray, np.ndarray | None]
"""Patterns, their values, and biases or None."""


class Case(NamedTuple):
    """A source of patterns and a seed."""

    data: str
    seed: int


class Trial(NamedTuple):
    """A smaller memory, on queries that are not in the memory.

    ``spread`` says how the inverse temperature is chosen, ``effective`` is the median over the
    queries of the effective number of patterns. ``error`` is the root mean square of the relative
    error. Of the certificates: ``finite`` is the share that say anything, ``below`` the share
    below a relative error of 1, and ``loose`` the median of certificate / error where both are
    finite and positive. Of the heads of a transformer, they are means.
    """

    data: str
    seed: int
    spread: str
    m: int
    method: str
    patterns: int
    beta: float
    effective: float
    error: float
    finite: float | None
    below: float | None
    loose: float | None
    accuracy: float | None


class Measured(NamedTuple):
    """The numbers of one smaller memory, see :class:`Trial`."""

    error: float
    finite: float | None = None
    below: float | None = None
    loose: float | None = None


def cases(sources: Sequence[str], seeds: int) -> list[Case]:
    """Return all cases of a study."""
    return [Case(data, seed) for seed, data in product(range(seeds), sources)]


def run(
    wanted: Sequence[Case], sources: Sources, spreads: Sequence[float], sizes: Sequence[int]
) -> Iterator[list[Trial]]:
    """Measure all smaller memories of each case."""
    for case in wanted:
        drawn = sources.draw(case.data, case.seed)
        names = [f"{spread:g}" for spread in spreads] + [OWN] * (drawn[0].beta is not None)
        yield [
            trial
            for name in names
            for trial in trials_at(case, name, [(one, beta_at(one, name)) for one in drawn], sizes)
        ]


def trials_at(
    case: Case, spread: str, drawn: Sequence[tuple[Source, float]], sizes: Sequence[int]
) -> list[Trial]:
    """Measure all methods and sizes at one inverse temperature of each memory."""
    beta = float(np.exp(np.mean([np.log(beta) for _, beta in drawn])))
    effective = float(np.mean([effective_number(one, beta) for one, beta in drawn]))
    count, accuracy = len(drawn[0][0].stored), drawn[0][0].accuracy
    found = []
    for m in sizes:
        parts = [measured(one, beta, m, case.seed) for one, beta in drawn]
        for method in METHODS:
            own = [part[method] for part in parts]
            error = float(np.mean([one.error for one in own]))
            finite, below, loose = (
                mean_of([getattr(one, name) for one in own]) for name in Measured._fields[1:]
            )
            found.append(
                Trial(
                    case.data, case.seed, spread, m, method, count, beta, effective, error, finite,
                    below, loose, accuracy,
                )
            )  # fmt: skip
    return found


def mean_of(values: Sequence[float | None]) -> float | None:
    """Return the mean of what is there, or None."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def beta_at(source: Source, spread: str) -> float:
    """Return the inverse temperature with that effective number of patterns, or the own one."""
    if spread == OWN:
        assert source.beta is not None
        return source.beta
    low, high = -20.0, 20.0
    for _ in range(ROUNDS):
        middle = 0.5 * (low + high)
        spread_out = effective_number(source, float(np.exp(middle))) > float(spread)
        low, high = (middle, high) if spread_out else (low, middle)
    return float(np.exp(high))


def effective_number(source: Source, beta: float) -> float:
    r"""Return the median of :math:`e^H` of the weights of all queries, with their entropies H."""
    scores = source.queries @ source.stored.T
    if source.similarity == "distance":
        scores -= 0.5 * np.vecdot(source.stored, source.stored)
    scores = beta * (scores - scores.max(axis=-1, keepdims=True))
    weights = hopcore.separate(scores)
    entropy = np.log(np.exp(scores).sum(axis=-1)) - np.sum(weights * scores, axis=-1)
    return float(np.median(np.exp(entropy)))


def measured(source: Source, beta: float, m: int, seed: int) -> dict[str, Measured]:
    """Measure the smaller memories of m patterns, by their methods."""
    memory = hopcore.Memory(source.stored, source.values, similarity=source.similarity, beta=beta)
    exact = memory.association(source.queries)
    away = exact - memory.values.mean(axis=0)
    unit = float(np.sqrt(np.mean(np.vecdot(away, away))))
    found = memory.compact(m, queries=source.queries, seed=seed)
    means = found.memory.patterns, found.memory.values
    kept = {UNWEIGHTED: (*means, None), **kept_rows(source, memory.values, m, seed)}
    return {
        COMPACT: certified(found.error / unit, found.certificate / unit),
        **{name: plain(source, beta, rows, exact, unit) for name, rows in kept.items()},
    }


def kept_rows(source: Source, values: np.ndarray, m: int, seed: int) -> dict[str, Rows]:
    """Return patterns, values and biases of the methods that are not clusters of k-means."""
    stored = source.stored
    rows = np.random.default_rng((seed, m)).permutation(len(stored))[:m]
    # Of equal patterns that are drawn, one gets the whole cell, and the others get nothing.
    kept, cells = np.unique(nearest_of(stored, stored[rows])[0], return_inverse=True)
    own, ones = rows[kept], np.ones(len(stored))
    bias = np.log(np.bincount(cells))
    points, mean_values = (averaged(x, ones, cells, len(kept)) for x in (stored, values))
    far = far_apart(stored, m, np.random.default_rng((seed, m)))
    return {
        "cells": (points, mean_values, bias),
        "weighted": (stored[own], values[own], bias),
        "random": (stored[rows], values[rows], None),
        "farthest": (stored[far], values[far], None),
    }


def plain(source: Source, beta: float, rows: Rows, exact: np.ndarray, unit: float) -> Measured:
    """Return the error of a memory without a certificate."""
    points, values, bias = rows
    found = hopcore.association(
        source.queries, points, values, beta=beta, bias=bias, similarity=source.similarity
    )
    apart = found - exact
    return Measured(float(np.sqrt(np.mean(np.vecdot(apart, apart)))) / unit)


def certified(errors: np.ndarray, bounds: np.ndarray) -> Measured:
    """Return the error of a compacted memory, and what its certificates say."""
    finite = np.isfinite(bounds)
    tight = finite & (errors > 0.0)
    loose = float(np.median(bounds[tight] / errors[tight])) if tight.any() else None
    error = float(np.sqrt(np.mean(errors**2)))
    return Measured(error, float(finite.mean()), float(np.mean(bounds < 1.0)), loose)


def far_apart(stored: np.ndarray, m: int, rng: np.random.Generator) -> np.ndarray:
    """Return m rows: a random one, and then always the one that is farthest from those taken.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.compaction.trials import far_apart
    >>> found = far_apart(np.asarray([[0.0], [1.0], [9.0], [5.0]]), 4, np.random.default_rng(0))
    >>> sorted(map(int, found))
    [0, 1, 2, 3]
    """
    chosen = [int(rng.integers(len(stored)))]
    apart = nearest_of(stored, stored[chosen])[1]
    while len(chosen) < m:
        apart[chosen[-1]] = -1.0  # so that no row is taken twice, not even of equal ones
        chosen.append(int(apart.argmax()))
        apart = np.minimum(apart, nearest_of(stored, stored[chosen[-1:]])[1])
    return np.asarray(chosen)
