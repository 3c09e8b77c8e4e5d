r"""Patterns that the sketch excludes: those whose upper bound is far below a score of another.

The score of a candidate, the pattern of the highest bound, is computed in float64. All patterns are
excluded whose bounds are more than a gap below it.
"""

from __future__ import annotations

import numpy as np

from hopcore.prepared._found import SLIP, UNIT, Sketched
from hopcore.prepared._sketch import TINY

CANDIDATES = 32
"""The patterns among which the best is sought where one candidate excludes too few others."""


def not_excluded(
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
