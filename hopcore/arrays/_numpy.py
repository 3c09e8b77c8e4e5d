"""The NumPy backend: tiles of scores on all cores, exponentials in place, sparse supports."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
from scipy.sparse import csr_array

from hopcore.arrays._backend import Backend, Beta, SeparationFunction
from hopcore.arrays._numpy_graphs import NumpyGraphKernels
from hopcore.arrays._sparse import SMALL, Support, support
from hopcore.arrays._threads import on_all_cores

ROWS, COLUMNS = 256, 1024
"""Queries and stored patterns in a tile of scores: 1 MiB in float32, within a core's cache."""

TILE = 1 << 20
"""Scores of a sparse separation function held at once by a thread: whole rows of them."""

SERIAL = 1 << 20
"""Scores up to which all are held at once, and threads are not worth their start."""

SAFE_EXPONENT = {np.dtype(np.float32): 40.0, np.dtype(np.float64): 300.0}
"""Scores up to this magnitude are exponentiated without their maximum being subtracted."""


class NumpyBackend(NumpyGraphKernels, Backend):
    """NumPy arrays of float32 and float64."""

    def __init__(self) -> None:
        super().__init__("numpy", xp)

    def device(self, array: np.ndarray) -> str:
        """Always the CPU."""
        return "cpu"

    def can_read_values(self, array: np.ndarray) -> bool:
        """Always."""
        return True

    def has_dynamic_shapes(self, array: np.ndarray) -> bool:
        """Always."""
        return True

    def all_finite(self, array: np.ndarray) -> bool:
        """A product with itself first: not finite if any value is not (or if it overflows)."""
        if array.flags.c_contiguous and math.isfinite(np.vdot(array, array)):
            return True
        return bool(np.isfinite(array).all())

    def square_lengths(self, vectors: np.ndarray) -> np.ndarray:
        """By ``vecdot``, which holds no squares."""
        return np.vecdot(vectors, vectors)

    def largest_square(self, stored: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        """By ``vecdot``, which holds no squares."""
        squares = np.vecdot(stored, stored)
        if mask is None:
            return squares.max(axis=-1, keepdims=True)
        return np.where(mask, squares[..., None, :], 0.0).max(axis=-1)

    def radius(self, stored: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        """From squares, without a copy of what may be mapped into memory from a disk.

        The careful way only where a largest square nearly vanishes or overflows.
        """
        limits = np.finfo(stored.dtype)
        with np.errstate(over="ignore"):
            square = self.largest_square(stored, mask)
        if np.all((square > limits.smallest_normal / limits.eps) & (square < np.inf)):
            return np.sqrt(square)
        return super().radius(stored, mask)

    def separate(
        self, scores: np.ndarray, separation: SeparationFunction
    ) -> tuple[np.ndarray, np.ndarray]:
        """Weights and conjugate; of a sparse separation function, from the supports."""
        width = scores.shape[-1]
        if separation.softmax or width < SMALL:
            return super().separate(scores, separation)
        flat = np.ascontiguousarray(scores).reshape(-1, width)
        weights, conjugate = np.empty_like(flat), np.empty_like(flat[:, 0])
        rows = whole_rows(width)

        def work(start: int) -> None:
            part = slice(start, start + rows)
            found = support(flat[part], separation, xp, self.loop)
            conjugate[part] = found.conjugate
            weights[part] = found.weights if found.index is None else sparse(found, width).toarray()

        on_all_cores(work, list(range(0, flat.shape[0], rows)))
        return weights.reshape(scores.shape), conjugate.reshape(scores.shape[:-1])

    def associate(
        self,
        state: np.ndarray,
        stored: np.ndarray,
        projection: np.ndarray,
        beta: Beta,
        mask: np.ndarray | None,
        separation: SeparationFunction,
        need_conjugate: bool = False,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Softmax in tiles; the others from their sparse supports."""
        if not separation.softmax and stored.shape[-2] < SMALL:
            return super().associate(
                state, stored, projection, beta, mask, separation, need_conjugate
            )
        query = state * (beta if isinstance(beta, float) else beta[..., None])
        if separation.softmax and query.size * stored.size <= SERIAL * stored.shape[-1] ** 2:
            return softmax_at_once(query, stored, projection, mask, need_conjugate)
        output, conjugate = run(query, stored, projection, mask, separation, self)
        return output, conjugate if need_conjugate else None

    def conjugate(
        self,
        state: np.ndarray,
        stored: np.ndarray,
        beta: Beta,
        mask: np.ndarray | None,
        separation: SeparationFunction,
    ) -> np.ndarray:
        """The same tiles without a projection."""
        query = state * (beta if isinstance(beta, float) else beta[..., None])
        if separation.softmax and query.size * stored.size <= SERIAL * stored.shape[-1] ** 2:
            return softmax_at_once(query, stored, None, mask, True)[1]
        return run(query, stored, None, mask, separation, self)[1]


def run(
    query: np.ndarray,
    stored: np.ndarray,
    projection: np.ndarray | None,
    mask: np.ndarray | None,
    separation: SeparationFunction,
    backend: Backend,
) -> tuple[Any, np.ndarray]:
    """Association (None without a projection) and conjugate of queries that beta has scaled."""
    plain = separation.softmax
    tile = softmax_tile if plain else sparse_tile(separation, backend)
    lead = leading(query, stored, projection, mask)
    queries = query.shape[-2]
    query = np.broadcast_to(query, (*lead, *query.shape[-2:]))
    if lead and stored.ndim == 2 and (projection is None or projection.ndim == 2) and mask is None:
        # One memory for all leading axes: they are more queries.
        flat = run(
            query.reshape(-1, query.shape[-1]), stored, projection, None, separation, backend
        )
        output = None if projection is None else flat[0].reshape(*lead, queries, flat[0].shape[-1])
        return output, flat[1].reshape(*lead, queries)
    width = 0 if projection is None else projection.shape[-1]
    output = np.empty((*lead, queries, width), dtype=query.dtype)
    conjugate = np.empty((*lead, queries), dtype=query.dtype)
    bounded = plain and longest(query) * longest(stored) <= SAFE_EXPONENT[query.dtype]
    rows = ROWS if plain else whole_rows(stored.shape[-2])

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


def softmax_at_once(
    query: np.ndarray,
    stored: np.ndarray,
    projection: np.ndarray | None,
    mask: np.ndarray | None,
    need_conjugate: bool,
) -> tuple[Any, Any]:
    """A small association: one array of scores, in place."""
    scores = np.matmul(query, stored.swapaxes(-1, -2))
    if mask is not None:
        scores = np.where(mask, scores, -np.inf).astype(scores.dtype, copy=False)
    top = scores.max(axis=-1, keepdims=True)
    if mask is not None:
        top[top == -np.inf] = 0.0
    scores -= top
    np.exp(scores, out=scores)
    total = scores.sum(axis=-1, keepdims=True)
    output = conjugate = None
    if need_conjugate:
        with np.errstate(divide="ignore"):
            conjugate = (top + np.log(total))[..., 0]
    if projection is not None:
        output = np.matmul(scores, projection)
        output /= total if mask is None else np.where(total > 0.0, total, 1.0)
    return output, conjugate


def softmax_tile(
    query: np.ndarray,
    stored: np.ndarray,
    projection: np.ndarray | None,
    mask: np.ndarray | None,
    bounded: bool,
    output: np.ndarray,
    conjugate: np.ndarray,
) -> None:
    """Some queries with all patterns, a tile of scores at a time; fills output and conjugate."""
    rows, dtype = query.shape[0], query.dtype
    buffer = np.empty(rows * min(COLUMNS, stored.shape[0]), dtype=dtype)
    total = np.zeros((rows, 1), dtype=dtype)
    top = np.full((rows, 1), 0.0 if bounded else -np.inf, dtype=dtype)
    output[...] = 0.0
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
            output *= shrink
            scores -= level
            top = higher
        np.exp(scores, out=scores)
        total += scores.sum(axis=-1, keepdims=True)
        if projection is not None:
            output += scores @ projection[some]
    output /= np.where(total > 0.0, total, 1.0)
    with np.errstate(divide="ignore"):
        conjugate[...] = (np.where(total > 0.0, top, 0.0) + np.log(total))[:, 0]


def sparse_tile(separation: SeparationFunction, backend: Backend) -> Callable[..., None]:
    """The tile of a separation function with sparse weights: some queries with all patterns."""

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
        found = support(scores, separation, xp, backend.loop)
        conjugate[...] = found.conjugate
        if projection is None:
            return
        if found.index is None:
            np.matmul(found.weights, projection, out=output)
            return
        output[...] = sparse(found, stored.shape[0]) @ projection

    return tile


def whole_rows(width: int) -> int:
    """How many rows of S scores to hold at once: 32 for a large S, so that products stay fast."""
    return max(1, min(ROWS, max(TILE // width, min(32, 16 * TILE // width))))


def sparse(found: Support, width: int) -> csr_array:
    """The weights of a support as a matrix ``(R, S)``."""
    assert found.index is not None
    rows, most = found.index.shape
    ends = np.arange(0, rows * most + 1, most)
    return csr_array((found.weights.ravel(), found.index.ravel(), ends), (rows, width))


def leading(*arrays: np.ndarray | None) -> tuple[int, ...]:
    """The common leading axes."""
    return np.broadcast_shapes(*(x.shape[:-2] for x in arrays if x is not None))


def element(array: np.ndarray, at: tuple[int, ...], lead: tuple[int, ...]) -> np.ndarray:
    """One element of the batch, of an array whose leading axes broadcast."""
    array = np.atleast_2d(array)
    return np.broadcast_to(array, (*lead, *array.shape[-2:]))[at]


def mask_rows(mask: np.ndarray, part: slice) -> np.ndarray:
    """The mask of some queries."""
    return mask if mask.shape[0] == 1 else mask[part]


def longest(patterns: np.ndarray) -> float:
    """The largest norm; inf where a square overflows, which asks for the careful road."""
    if patterns.size == 0:
        return 0.0
    with np.errstate(over="ignore"):
        return math.sqrt(np.vecdot(patterns, patterns).max())
