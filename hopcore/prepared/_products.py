"""Patterns that products in the dtype of the patterns exclude, after the sketch could not."""

from __future__ import annotations

import math

import numpy as np

from hopcore.prepared._found import SLIP, Sketched

GATHERED = 1 << 16
"""How many values of patterns are gathered at once; they fit into a cache."""

FEW = 24
"""Up to this many patterns of a query go to float64 without the step between."""


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
