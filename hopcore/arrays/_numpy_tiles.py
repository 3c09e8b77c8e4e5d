"""Associations in NumPy, in tiles of scores on all cores, with exponentials in place."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
from scipy.sparse import csr_array

from hopcore.arrays._backend import Backend, SeparationFunction
from hopcore.arrays._exponentials import exponentiate
from hopcore.arrays._long_sums import LONG, PART
from hopcore.arrays._sparse import Support, support
from hopcore.arrays._threads import on_all_cores

ROWS, COLUMNS = 256, 1024
"""Queries and stored patterns in a tile of scores: 1 MiB in float32, within a core's cache."""

TILE = 1 << 20
"""Scores of a sparse separation function that a thread processes at once, in whole rows."""

SAFE_EXPONENT = {np.dtype(np.float32): 40.0, np.dtype(np.float64): 300.0}
"""Scores up to this magnitude are exponentiated without subtracting their maximum."""


def in_tiles(
    query: np.ndarray,
    stored: np.ndarray,
    projection: np.ndarray | None,
    mask: np.ndarray | None,
    separation: SeparationFunction,
    backend: Backend,
) -> tuple[Any, np.ndarray]:
    """Association (None without a projection) and conjugate of queries scaled by beta, in tiles."""
    tile = softmax_tile if separation.softmax else sparse_tile(separation, backend)
    lead = leading(query, stored, projection, mask)
    queries = query.shape[-2]
    query = np.broadcast_to(query, (*lead, *query.shape[-2:]))
    if lead and stored.ndim == 2 and (projection is None or projection.ndim == 2) and mask is None:
        # All leading axes share one memory: they are treated as more queries.
        flat = in_tiles(
            query.reshape(-1, query.shape[-1]), stored, projection, None, separation, backend
        )
        output = None if projection is None else flat[0].reshape(*lead, queries, flat[0].shape[-1])
        return output, flat[1].reshape(*lead, queries)
    width = 0 if projection is None else projection.shape[-1]
    output = np.empty((*lead, queries, width), dtype=query.dtype)
    conjugate = np.empty((*lead, queries), dtype=query.dtype)
    bounded = separation.softmax and longest(query) * longest(stored) <= SAFE_EXPONENT[query.dtype]
    rows = ROWS if separation.softmax else whole_rows(stored.shape[-2])

    def work(place: tuple[Any, ...]) -> None:
        *batch, start = place
        at, part = tuple(batch), slice(start, start + rows)
        tile(
            np.ascontiguousarray(query[at][part]),
            element(stored, at, lead),
            None if projection is None else element(projection, at, lead),
            None if mask is None else mask_rows(element(mask, at, lead), part),
            bounded,
            output[at][part],
            conjugate[at][part],
        )

    on_all_cores(work, list(product(*map(range, lead), range(0, queries, rows))))
    return (None if projection is None else output), conjugate


def softmax_tile(
    query: np.ndarray,
    stored: np.ndarray,
    projection: np.ndarray | None,
    mask: np.ndarray | None,
    bounded: bool,
    output: np.ndarray,
    conjugate: np.ndarray,
) -> None:
    """Associate some queries with all patterns by tiles; fill output and conjugate."""
    rows, dtype = query.shape[0], query.dtype
    # A long memory has so many tiles that a float32 sum over them would be inaccurate.
    precise = np.float64 if stored.shape[0] > LONG else dtype
    buffer = np.empty(rows * min(COLUMNS, stored.shape[0]), dtype=dtype)
    total = np.zeros((rows, 1), dtype=precise)
    recalled = np.zeros(output.shape, dtype=precise)
    top = np.full((rows, 1), 0.0 if bounded else -np.inf, dtype=dtype)
    for first in range(0, stored.shape[0], COLUMNS):
        some = slice(first, first + COLUMNS)
        keys = stored[some]
        scores = buffer[: rows * keys.shape[0]].reshape(rows, keys.shape[0])
        np.matmul(query, keys.T, out=scores)
        if mask is not None:
            np.copyto(scores, -np.inf, where=~(mask if mask.shape[1] == 1 else mask[:, some]))
        if not bounded:
            higher = np.maximum(top, scores.max(axis=-1, keepdims=True))
            level = np.where(higher == -np.inf, 0.0, higher).astype(dtype, copy=False)
            shrink = np.exp(top - level)
            total *= shrink
            recalled *= shrink
            scores -= level
            top = higher
            exponentiate(scores)
        else:
            np.exp(scores, out=scores)
        total += scores.sum(axis=-1, keepdims=True)
        if projection is not None:
            recalled += scores @ projection[some]
    output[...] = recalled / np.where(total > 0.0, total, 1.0)
    with np.errstate(divide="ignore"):
        conjugate[...] = (np.where(total > 0.0, top, 0.0) + np.log(total))[:, 0]


def sparse_tile(separation: SeparationFunction, backend: Backend) -> Callable[..., None]:
    """Return the function that associates some queries with all patterns, by sparse weights."""

    def tile(
        query: np.ndarray,
        stored: np.ndarray,
        projection: np.ndarray | None,
        mask: np.ndarray | None,
        _: bool,
        output: np.ndarray,
        conjugate: np.ndarray,
    ) -> None:
        scores = query @ stored.T
        if mask is not None:
            np.copyto(scores, -np.inf, where=~mask)
        weights = support(scores, separation, xp, backend.loop)
        conjugate[...] = weights.conjugate
        if projection is None:
            return
        if weights.index is None:
            output[...] = backend.recalled(weights.weights, projection)
            return
        output[...] = sparse_product(weights, projection)

    return tile


def whole_rows(width: int) -> int:
    """Rows of S scores to process at once.

    Up to 32 for a large S, so that products stay fast, but no more than 2 tiles (8 MiB).
    """
    return max(1, min(ROWS, max(TILE // width, min(32, 2 * TILE // width))))


def sparse_weights(weights: Support, width: int) -> csr_array:
    """The weights of a support as a sparse matrix ``(R, S)``."""
    assert weights.index is not None
    rows, most = weights.index.shape
    ends = np.arange(0, rows * most + 1, most)
    return csr_array((weights.weights.ravel(), weights.index.ravel(), ends), (rows, width))


def sparse_product(weights: Support, projection: np.ndarray) -> np.ndarray:
    """The weights of a support times projections; a wide support is summed in parts."""
    assert weights.index is not None
    rows, most = weights.index.shape
    if most <= LONG:
        return sparse_weights(weights, projection.shape[0]) @ projection
    parts = -(-most // PART)
    padding = ((0, 0), (0, parts * PART - most))
    index, values = (np.pad(x, padding).reshape(-1, PART) for x in (weights.index, weights.weights))
    summed = sparse_weights(Support(index, values, weights.conjugate), projection.shape[0])
    return (summed @ projection).reshape(rows, parts, -1).sum(axis=1, dtype=np.float64)


def leading(*arrays: np.ndarray | None) -> tuple[int, ...]:
    """The common leading axes."""
    return np.broadcast_shapes(*(x.shape[:-2] for x in arrays if x is not None))


def element(array: np.ndarray, at: tuple[int, ...], lead: tuple[int, ...]) -> np.ndarray:
    """One element of the batch of an array whose leading axes broadcast to ``lead``."""
    array = np.atleast_2d(array)
    return np.broadcast_to(array, (*lead, *array.shape[-2:]))[at]


def mask_rows(mask: np.ndarray, part: slice) -> np.ndarray:
    """The rows of a mask ``(1 or L, 1 or S)`` for some queries."""
    return mask if mask.shape[0] == 1 else mask[part]


def longest(patterns: np.ndarray) -> float:
    """The largest norm, or inf where a square overflows."""
    if patterns.size == 0:
        return 0.0
    with np.errstate(over="ignore", under="ignore"):
        return math.sqrt(np.vecdot(patterns, patterns).max())
