r"""Patterns that the sketch excludes: those whose upper bound is far below a score of another.

The score of a candidate, the pattern of the highest bound, is computed in float64. All patterns are
excluded whose bounds are more than a gap below it. For a block of queries this is done at once: the
highest bound of every group of :data:`GROUP` patterns takes one pass over the bounds, and tells
both the candidate and the few groups in which patterns remain.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hopcore.prepared._found import SLIP, UNIT, Sketched
from hopcore.prepared._sketch import TINY

GROUP = 16
"""The number of patterns of which only the highest bound is compared first."""

CANDIDATES = 32
"""The patterns among which the best is sought where one candidate excludes too few others."""


def not_excluded(
    memory: Sketched, bounds: np.ndarray, centred: np.ndarray, size: np.ndarray, cold: np.ndarray,
    gap: float, most: int,
) -> list[np.ndarray | None]:  # fmt: skip
    """Return for each query the rows that the sketch cannot exclude; None if they are too many.

    Parameters
    ----------
    memory : Sketched
    bounds : array (L, n)
        Scores with a bias; without one, in units of ``size * cold``.
    centred, size, cold : array (L, d), (L,), (L,)
    gap : float
    most : int
        A query for which more rows remain is not answered.
    """
    single = len(bounds) == 1
    sieve = bounds if single else highest_of_groups(bounds)
    best = bounds.argmax(axis=-1) if single else best_of_groups(bounds, sieve)
    low = lowest(memory, best[:, None], centred, cold)
    limit = limits(memory, low, size, cold, gap).astype(bounds.dtype)
    limit[bounds[np.arange(len(best)), best] == -np.inf] = -np.inf  # of patterns that were removed
    found: list[Any] = [None] if single else _of_block(bounds, limit, sieve, enough(most))
    for i, rows in enumerate(found):
        if rows is None:
            found[i] = _left(memory, bounds[i], limit[i], centred[i], size[i], cold[i], gap, most)
    return found


def _of_block(
    bounds: np.ndarray, limit: np.ndarray, sieve: np.ndarray, few: int
) -> list[np.ndarray | None]:
    """Return for each query the rows with bounds that are not below a limit; None if not few."""
    hit = ~(sieve < limit[:, None])
    hit[~(limit > -np.inf) | (np.count_nonzero(hit, axis=-1) > few)] = False
    owner, row = _members(bounds, limit, hit)
    sizes = np.bincount(owner, minlength=len(bounds))
    pieces = np.split(row, np.cumsum(sizes)[:-1])
    return [piece if 0 < len(piece) <= few else None for piece in pieces]


def highest_of_groups(bounds: np.ndarray) -> np.ndarray:
    """Return the largest bound of the patterns j, j + g, j + 2 g, ... of each query, ``(L, g)``."""
    groups = -(-bounds.shape[1] // GROUP)
    highest = bounds[:, :groups].copy()
    for begin in range(groups, bounds.shape[1], groups):
        part = bounds[:, begin : begin + groups]
        some = highest[:, : part.shape[1]]
        np.maximum(some, part, out=some)
    return highest


def best_of_groups(bounds: np.ndarray, highest: np.ndarray) -> np.ndarray:
    """Return the pattern of the highest bound of each query, ``(L,)``."""
    count, groups = bounds.shape[1], highest.shape[1]
    members = highest.argmax(axis=-1)[:, None] + np.arange(0, count, groups)
    members = np.minimum(members, count - 1)
    place = np.take_along_axis(bounds, members, axis=-1).argmax(axis=-1)
    return np.take_along_axis(members, place[:, None], axis=-1)[:, 0]


def _members(
    bounds: np.ndarray, limit: np.ndarray, hit: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return queries and patterns of some groups with bounds that are not below the limit."""
    count, groups = bounds.shape[1], hit.shape[1]
    owner, group = np.divmod(np.flatnonzero(hit), groups)
    rows = group[:, None] + np.arange(0, count, groups)
    places = owner[:, None] * count + rows
    inside = rows < count
    places[~inside] = 0
    keep = inside & ~(bounds.reshape(-1)[places] < limit[owner, None])
    return np.divmod(np.sort(places[keep]), count)


def _left(
    memory: Sketched, bounds: np.ndarray, limit: Any, centred: np.ndarray, size: Any, cold: Any,
    gap: float, most: int,
) -> np.ndarray | None:  # fmt: skip
    """Return the rows that the sketch cannot exclude for one query; None if they are too many."""
    if not limit > -np.inf:
        return None
    rows = np.flatnonzero(~(bounds < limit))
    if len(rows) <= enough(most) or 2 * len(rows) > len(bounds):
        return rows if len(rows) <= most else None
    # Another candidate may score higher, although its bound is not the highest.
    best = rows[np.argpartition(bounds[rows], -CANDIDATES)[-CANDIDATES:]]
    limit = limits(memory, lowest(memory, best, centred, cold), size, cold, gap)
    rows = np.flatnonzero(~(bounds < bounds.dtype.type(limit)))
    return rows if len(rows) <= most else None


def enough(most: int) -> int:
    """Return the number of rows up to which no other candidate is tried."""
    return max(CANDIDATES, most // 8)


def limits(memory: Sketched, low: Any, size: Any, cold: Any, gap: float) -> Any:
    """Return the bounds below which patterns are excluded, for lower bounds of the best score."""
    if memory.bias is not None:
        return low - gap - SLIP * abs(low)
    exact = ((low - gap) / cold - SLIP * abs(low) / cold) / size - TINY
    return np.nextafter(np.float32(exact), np.float32(-np.inf))


def lowest(memory: Sketched, rows: np.ndarray, centred: np.ndarray, cold: Any) -> Any:
    """Return a lower bound of the largest score of some patterns, computed in float64.

    ``rows`` is ``(k,)`` for one query ``(d,)``, or ``(L, k)`` for the queries of a block.
    """
    patterns = memory.directions.shifted(memory.patterns[rows])
    products = np.vecdot(patterns, centred[..., None, :])
    squares = np.vecdot(patterns, patterns)
    error = np.sqrt(squares * np.vecdot(centred, centred)[..., None])
    if memory.directions.distance:
        products -= 0.5 * squares
        error += squares
    products -= (4 * centred.shape[-1] + 16) * UNIT * error
    products *= cold[..., None]
    if memory.bias is not None:
        products += memory.bias[rows]
    found = products.max(axis=-1)
    return np.where(np.isnan(found), -np.inf, found)[()]  # nan excludes nothing
