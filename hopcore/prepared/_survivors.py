r"""The patterns that can matter for a query: all others are shown to have next to no weight.

Scores are bounded in three steps, each for the patterns that the step before could not exclude: by
the sketch, by a product in the dtype of the patterns, and by differences from the best pattern in
float64. Let :math:`s_b` be a lower bound of the largest score. A pattern whose score is at most
:math:`s_b + \log \tau` is excluded, so that n excluded patterns have together at most the weight
:math:`n \tau` of the best one. A sparse separation function gives such a pattern no weight at all
if :math:`\log \tau` is minus its reach.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from hopcore.prepared._sketch import TINY, Directions

BLOCK = 1 << 21
"""How many bounds are computed at once."""

GATHERED = 1 << 20
"""How many values of patterns are gathered at once."""

FEW = 24
"""Up to this many patterns of a query go to float64 without the step between."""

CANDIDATES = 32
"""The patterns among which the best is sought where one candidate excludes too few others."""

SHARE = 8
"""A query that may need more than one in so many patterns is answered by the whole memory."""

UNIT = 2.0**-53
"""The unit roundoff of float64."""

SLIP = 16.0 * UNIT
"""The share by which a few operations in float64 may be wrong."""


@dataclass(frozen=True)
class Sketched:
    """What partial retrieval reads of one snapshot; no array is ever changed.

    Attributes
    ----------
    directions : Directions
    table : float32 array (n, m + 3)
        The rows of the sketch.
    patterns : array (n, d)
    values : array (n, v)
        What is associated with the patterns; often the patterns themselves.
    dead : integer array (k,) or None
        Rows whose patterns were removed. They are still in the table, and never survive.
    bias : float64 array (n,) or None
        A number for each pattern, which is added to its score.
    spread : float
        M: no value is farther than this from :attr:`middle`.
    middle : float
        The length of the point from which the spread is measured.
    """

    directions: Directions
    table: np.ndarray
    patterns: np.ndarray
    values: np.ndarray
    dead: np.ndarray | None
    bias: np.ndarray | None
    spread: float
    middle: float

    at_once: ClassVar[int] = 1 << 21
    """How many scores with all patterns are stored at once."""

    @property
    def count(self) -> int:
        """The number of patterns that were not removed."""
        return len(self.table) - (0 if self.dead is None else len(self.dead))

    def share(self, queries: int) -> int:
        """Return S: none of so many queries is answered that may need one in S patterns."""
        return SHARE

    def tries(self, queries: int) -> bool:
        """Return whether so many queries may be answered faster than by one pass."""
        return True

    def parts(self, size: int) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Yield the rows of at most ``size`` patterns after another, these, and their values."""
        for first in range(0, len(self.table), size):
            rows = slice(first, first + size)
            yield rows, self.patterns[rows], self.values[rows]


@dataclass(frozen=True)
class Found:
    """The patterns that matter, for all queries one after another.

    Attributes
    ----------
    queries : integer array (k,)
        The queries for which they were found, increasing; the others need the whole memory.
    start : integer array (k,)
        Where the patterns of each of these queries begin.
    row : integer array (n,)
        The patterns.
    score : float64 array (n,)
        Their scores, relative to the best of the query.
    error : float64 array (n,)
        How wrong these may be, by rounding.
    best : integer array (k,)
        The best pattern of each query.
    top : float64 array (k,)
        Its score.
    excluded : integer array (k,)
        How many patterns were excluded.
    read : integer array (k,)
        How many patterns were read after the sketch.
    """

    queries: np.ndarray
    start: np.ndarray
    row: np.ndarray
    score: np.ndarray
    error: np.ndarray
    best: np.ndarray
    top: np.ndarray
    excluded: np.ndarray
    read: np.ndarray

    @cached_property
    def owner(self) -> np.ndarray:
        """The place of the query of each pattern, ``(n,)``."""
        return np.repeat(np.arange(len(self.start)), self.sizes)

    @cached_property
    def sizes(self) -> np.ndarray:
        """The number of patterns of each query, ``(k,)``."""
        return np.diff(np.append(self.start, len(self.row)))

    def of(self, chosen: np.ndarray) -> Found:
        """Return what was found for some of the queries."""
        sizes, keep = self.sizes[chosen], np.isin(self.owner, chosen)
        return Found(
            self.queries[chosen],
            np.cumsum(sizes) - sizes,
            self.row[keep],
            self.score[keep],
            self.error[keep],
            self.best[chosen],
            self.top[chosen],
            self.excluded[chosen],
            self.read[chosen],
        )


def survivors(
    memory: Sketched, states: np.ndarray, beta: np.ndarray, gap: float, share: int = SHARE
) -> Found:
    r"""Return the patterns whose scores are not shown to be ``gap`` below the best.

    Parameters
    ----------
    memory : Sketched
        It has at least one pattern.
    states : array (L, d)
        In the dtype of the patterns.
    beta : float64 array (L,)
        Inverse temperatures.
    gap : float
        :math:`-\log \tau`, positive.
    share : int
        A query that may need more than one in so many patterns is not answered.
    """
    count = len(memory.table)
    rows = max(1, BLOCK // count)
    blocks = [slice(i, min(i + rows, len(states))) for i in range(0, len(states), rows)]
    found = [_of_block(memory, states[one], beta[one], gap, share, one.start) for one in blocks]
    if len(found) == 1:
        return found[0]
    ends = np.cumsum([0, *(len(one.row) for one in found)])
    starts = [one.start + end for one, end in zip(found, ends[:-1], strict=True)]
    joined = {
        name: np.concatenate([getattr(one, name) for one in found])
        for name in ("queries", "row", "score", "error", "best", "top", "excluded", "read")
    }
    return Found(start=np.concatenate(starts), **joined)


@np.errstate(over="ignore", under="ignore", invalid="ignore")
def _of_block(
    memory: Sketched, states: np.ndarray, beta: np.ndarray, gap: float, share: int, first: int
) -> Found:
    """:func:`survivors` of a few queries, the first of which has the number ``first``."""
    query, size, centred = memory.directions.query(states)
    bounds = (memory.table @ query[0])[None] if len(query) == 1 else query @ memory.table.T
    if memory.dead is not None:
        bounds[:, memory.dead] = -np.inf
    cold = beta * memory.directions.scale**2
    most = max(FEW, memory.count // share)
    queries, rows = [], []
    for i in np.flatnonzero((cold > 0.0) & (cold < np.inf)):
        kept = _not_excluded(memory, bounds[i], centred[i], size[i], cold[i], gap, most)
        if kept is not None:
            queries.append(i)
            rows.append(kept)
    chosen = np.asarray(queries, np.int64)
    sizes = np.asarray([len(some) for some in rows], np.int64)
    row = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    states, beta = states[chosen], beta[chosen]
    read = sizes
    row, sizes = excluded_by_products(memory, states, beta, gap, row, sizes)
    return compared(memory, states, beta, row, sizes, chosen + first, read)


def _not_excluded(
    memory: Sketched, bounds: np.ndarray, centred: np.ndarray, size: float, cold: float,
    gap: float, most: int,
) -> np.ndarray | None:  # fmt: skip
    """Return the rows that the sketch cannot exclude for one query; None if they are too many.

    ``bounds`` are in units of ``size * cold``; with a bias they are turned into scores.
    """
    if memory.bias is not None:
        bounds = bounds.astype(np.float64)
        bounds += TINY
        bounds *= size * cold
        bounds += memory.bias + SLIP * np.abs(memory.bias)
    best = np.asarray([int(np.argmax(bounds))])
    rows = best
    for attempt in range(2):
        low = lowest(memory, best, centred, cold)
        if memory.bias is not None:
            limit: float = low - gap - SLIP * abs(low)
        else:
            exact = ((low - gap) / cold - SLIP * abs(low) / cold) / size - TINY
            limit = float(np.nextafter(np.float32(exact), np.float32(-np.inf)))
        rows = np.flatnonzero(~(bounds < bounds.dtype.type(limit)))
        if attempt or len(rows) <= max(CANDIDATES, most // 8):
            break
        # Another candidate may score higher, although its bound is not the highest.
        best = rows[np.argpartition(bounds[rows], -CANDIDATES)[-CANDIDATES:]]
    return rows if len(rows) <= most else None


def lowest(memory: Sketched, rows: np.ndarray, centred: np.ndarray, cold: float) -> float:
    """Return a lower bound of the largest score of some patterns, computed in float64."""
    patterns = memory.directions.shifted(memory.patterns[rows])
    products = patterns @ centred
    squares = np.vecdot(patterns, patterns)
    error = np.sqrt(squares * np.vdot(centred, centred))
    if memory.directions.distance:
        products -= 0.5 * squares
        error += squares
    products -= (4 * len(centred) + 16) * UNIT * error
    products *= cold
    if memory.bias is not None:
        products += memory.bias[rows]
    found = float(np.max(products))
    return -np.inf if np.isnan(found) else found  # nan excludes nothing


def excluded_by_products(
    memory: Sketched, states: np.ndarray, beta: np.ndarray, gap: float, row: np.ndarray,
    sizes: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Exclude patterns of queries that still have many, by products in the dtype of the patterns.

    Returns the rows that remain and how many of them each query has.
    """
    kept, counts, first = [], [], 0
    for state, cold, size in zip(states, beta, sizes, strict=True):
        rows = row[first : first + size]
        first += size
        if size > FEW:
            high, low = _intervals(memory, state, cold, rows)
            limit = float(np.max(low)) - gap
            rows = rows[~(high < limit)]
        kept.append(rows)
        counts.append(len(rows))
    return np.concatenate(kept) if kept else row, np.asarray(counts, np.int64)


def _intervals(
    memory: Sketched, state: np.ndarray, beta: float, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds of the scores of some patterns, relative to a number of the query."""
    limits = np.finfo(state.dtype)
    depth = len(state)
    share, least = (2 * depth + 16) * float(limits.eps), 2.0 * depth * float(limits.smallest_normal)
    middle, half = np.empty(len(rows)), np.empty(len(rows))
    origin = state if memory.directions.distance else memory.patterns[rows[0]]
    length = float(np.linalg.norm(state.astype(np.float64)))
    step = max(1, GATHERED // depth)
    for begin in range(0, len(rows), step):
        part = slice(begin, begin + step)
        apart = memory.patterns[rows[part]]
        apart -= origin
        squares = np.vecdot(apart, apart).astype(np.float64)
        if memory.directions.distance:
            middle[part] = -0.5 * squares
            half[part] = share * squares + least
        else:
            middle[part] = apart @ state
            half[part] = share * (np.sqrt(squares) + math.sqrt(least)) * length + least
    unknown = ~np.isfinite(middle) | ~np.isfinite(half)
    middle *= beta
    half *= beta
    if memory.bias is not None:
        middle += memory.bias[rows]
    half += 4.0 * SLIP * np.abs(middle)
    return np.where(unknown, np.inf, middle + half), np.where(unknown, -np.inf, middle - half)


def compared(
    memory: Sketched,
    states: np.ndarray,
    beta: np.ndarray,
    row: np.ndarray,
    sizes: np.ndarray,
    queries: np.ndarray,
    read: np.ndarray,
) -> Found:
    """Return the scores of patterns relative to the best of their query, in float64."""
    start = np.cumsum(sizes) - sizes
    excluded = memory.count - sizes
    score, error = np.empty(len(row)), np.empty(len(row))
    best, top = np.empty(len(sizes), np.int64), np.empty(len(sizes))
    for i, (first, size) in enumerate(zip(start, sizes, strict=True)):
        part = slice(first, first + size)
        state = states[i].astype(np.float64)
        score[part], error[part], at, top[i] = _relative(memory, state, beta[i], row[part])
        best[i] = row[first + at]
    found = Found(queries, start, row, score, error, best, top, excluded, read)
    finite = np.isfinite(top) & np.isfinite(
        np.add.reduceat(score + error, start) if len(row) else 0
    )
    return found if finite.all() else found.of(np.flatnonzero(finite))


def _relative(
    memory: Sketched, state: np.ndarray, beta: float, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int, float]:
    """Return scores relative to the best, how wrong they may be, and the place and score of it."""
    patterns = memory.patterns[rows].astype(np.float64)
    distance = memory.directions.distance
    bias = 0.0 if memory.bias is None else memory.bias[rows]
    apart = patterns - state if distance else patterns
    rough = -0.5 * np.vecdot(apart, apart) if distance else patterns @ state
    at = int(np.argmax(beta * rough + bias))
    top = float((beta * rough + bias)[at])
    if len(rows) == 1:
        return np.zeros(1), np.zeros(1), 0, top
    # A second time, relative to a better pattern, where rounding had hidden which one is best.
    score = error = np.zeros(len(rows))
    for attempt in range(2):
        if distance:
            # Half of the difference of two squares, as a product, in which nothing cancels.
            differences, sums = patterns - patterns[at], apart + apart[at]
            score = -0.5 * np.vecdot(differences, sums)
            lengths = np.sqrt(np.vecdot(apart, apart))
            lengths = 0.5 * (lengths + lengths[at])
        else:
            differences = patterns - patterns[at]
            score = differences @ state
            lengths = math.sqrt(np.vdot(state, state))
        error = np.sqrt(np.vecdot(differences, differences)) * lengths
        error *= (2 * len(state) + 16) * UNIT
        score, error = beta * score, beta * (error + len(state) * 2.0**-1060)
        if memory.bias is not None:
            own = memory.bias[rows]
            score = score + (own - own[at])
            error = error + 4.0 * UNIT * (np.abs(own) + abs(own[at]))
        error += 4.0 * UNIT * np.abs(score)
        if not score.max() > 0.0:
            break
        if attempt == 0:
            at = int(np.argmax(score))
    return score, error, at, top
