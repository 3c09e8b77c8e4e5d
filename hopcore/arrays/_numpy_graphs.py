"""NumPy's kernels of graphs: SciPy's sparse products, and searches in tiles on all cores."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from scipy.sparse import csr_array

from hopcore.arrays._graph_kernels import MASKED_SCORE, GraphKernels, Rows, chunks
from hopcore.arrays._threads import on_all_cores

GROUP = 16
"""Scores per group in the search for the largest scores."""

TILE = 1 << 20
"""Scores that a thread searches at once (4 MiB in float32), for at least 32 queries."""

PARTS = 1 << 20
"""A sum over neighbours with at least this many products is divided between threads."""

GATHERED = 1 << 18
"""Numbers that a thread gathers at once (1 MiB in float32)."""


class NumpyGraphKernels(GraphKernels):
    """The kernels of graphs for NumPy arrays."""

    def neighbour_sum(self, entries: Rows, values: np.ndarray, features: np.ndarray) -> np.ndarray:
        count, width = entries.count, features.shape[-1]
        work = values.shape[0] * width
        if work < PARTS:
            return sparse(entries, values, 0, count) @ features
        output = np.empty((count, width), dtype=np.result_type(values, features))

        def some(part: slice) -> None:
            output[part] = sparse(entries, values, part.start, part.stop) @ features

        # Each piece is small enough for its result to stay in the cache until it is copied.
        pieces = max(2, work // (4 * PARTS))
        on_all_cores(some, list(chunks(count, math.ceil(count / pieces))))
        return output

    def row_sum(self, entries: Rows, values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, entries.indptr[:-1], axis=0)

    def row_max(self, entries: Rows, values: np.ndarray) -> np.ndarray:
        return np.maximum.reduceat(values, entries.indptr[:-1], axis=0)

    def pair_products(self, left: np.ndarray, right: np.ndarray, entries: Rows) -> np.ndarray:
        output = np.empty(entries.rows.shape[0], dtype=left.dtype)

        def some(part: slice) -> None:
            np.vecdot(left[entries.rows[part]], right[entries.columns[part]], out=output[part])

        size = max(1, GATHERED // max(1, left.shape[-1]))
        on_all_cores(some, list(chunks(output.shape[0], size)))
        return output

    def entry_order(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        both = rows.astype(np.int64)
        both *= int(columns.max(initial=0)) + 1
        both += columns
        return np.argsort(both).astype(np.int32)

    def top_k(self, values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        width = values.shape[-1]
        if k >= width:
            places = np.broadcast_to(np.arange(width), values.shape).copy()
        else:
            places = first_of_equals(values, *largest_and_next(values, k))
        return np.take_along_axis(values, places, axis=-1), places

    def largest(self, scores: np.ndarray, k: int) -> np.ndarray:
        width = scores.shape[-1]
        groups = width // GROUP
        if groups <= 4 * k:
            return self.top_k(scores, k)[1]
        lead, grouped = scores.shape[:-1], groups * GROUP
        maxima = scores[..., :grouped].reshape(*lead, GROUP, groups).max(axis=-2)
        best, next_group = largest_and_next(maxima, k)
        members = (best[..., None] + np.arange(0, grouped, groups)).reshape(*lead, -1)
        rest = np.broadcast_to(np.arange(grouped, width), (*lead, width - grouped))
        members = np.concatenate([members, rest], axis=-1)
        within, next_member = largest_and_next(np.take_along_axis(scores, members, axis=-1), k)
        places = np.take_along_axis(members, within, axis=-1)
        return first_of_equals(scores, places, np.maximum(next_group, next_member))

    def nearest(self, patterns: np.ndarray, k: int, mask: np.ndarray | None) -> np.ndarray:
        lead, count = patterns.shape[:-2], patterns.shape[-2]
        found = np.empty((*lead, count, k), dtype=np.int32)

        def some(place: tuple) -> None:
            *batch, part = place
            at = tuple(batch)
            scores = patterns[at][part] @ patterns[at].T
            own = np.arange(scores.shape[0])
            if mask is not None:
                scores[:, ~mask[at]] = MASKED_SCORE
            scores[own, part.start + own] = -np.inf
            found[at][part] = self.largest(scores, k)

        rows = max(32, min(128, TILE // count))
        places = list(product(*map(range, lead), chunks(count, rows)))
        if math.prod(lead) * count * count < PARTS:
            for place in places:
                some(place)
        else:
            on_all_cores(some, places)
        return found

    def nearest_among(
        self, patterns: np.ndarray, others: np.ndarray, k: int, shift: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k largest inner products of patterns with others, and the indices of those others.

        Pattern i is row i + shift of the others, if it is among them; its product with itself
        counts as -inf.
        """
        count = others.shape[0]
        k = min(k, count)
        products = np.empty((patterns.shape[0], k), dtype=patterns.dtype)
        places = np.empty((patterns.shape[0], k), dtype=np.int64)

        def some(part: slice) -> None:
            scores = patterns[part] @ others.T
            own = np.arange(part.start, part.stop) + shift
            inside = np.nonzero((own >= 0) & (own < count))[0]
            scores[inside, own[inside]] = -np.inf
            found = places[part] = self.largest(scores, k)
            # Computed again as in `pair_products`, independently of the shapes of two matrices.
            np.vecdot(patterns[part, None], others[found], out=products[part])
            products[part][found == own[:, None]] = -np.inf

        # The gathered patterns may take more memory than the scores.
        rows = max(1, min(128, max(32, TILE // count), TILE // (k * patterns.shape[-1])))
        on_all_cores(some, list(chunks(patterns.shape[0], rows)))
        return products, places


def largest_and_next(values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The indices of the k largest values of ``(..., N)``, k < N, and the next largest value."""
    after = values.shape[-1] - k
    places = np.argpartition(values, after - 1, axis=-1)
    return places[..., after:], np.take_along_axis(values, places[..., after - 1 : after], axis=-1)


def first_of_equals(values: np.ndarray, places: np.ndarray, following: np.ndarray) -> np.ndarray:
    """Replace the indices of the k largest values by the lowest ones among equal values.

    ``values`` is ``(..., N)``, ``places (..., k)``, and ``following (..., 1)`` the largest value
    that was left out.
    """
    k = places.shape[-1]
    least = np.take_along_axis(values, places, axis=-1).min(axis=-1, keepdims=True)
    tied = (following >= least)[..., 0]
    if not tied.any():
        return places
    values, least, chosen = values[tied], least[tied], np.array(places)
    row, place = np.nonzero(values >= least)
    equal = values[row, place] == least[row, 0]
    # The number of each equal value within its row, and how many of them are among the k largest.
    number, count = np.cumsum(equal), np.bincount(row[equal], minlength=len(values))
    number -= (np.cumsum(count) - count)[row]
    wanted = k - np.bincount(row[~equal], minlength=len(values))
    chosen[tied] = place[~equal | (number <= wanted[row])].reshape(-1, k)
    return chosen


def sparse(entries: Rows, values: np.ndarray, start: int, stop: int) -> csr_array:
    """Rows ``start`` to ``stop`` of a sparse matrix, without a copy of its entries."""
    first, last = entries.indptr[start], entries.indptr[stop]
    ends = entries.indptr[start : stop + 1]
    return csr_array(
        (values[first:last], entries.columns[first:last], ends - first if start else ends),
        shape=(stop - start, entries.count),
    )
