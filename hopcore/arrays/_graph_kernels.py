"""Portable kernels of graphs: sums over neighbours, row maxima, nearest neighbours.

A graph is stored by its rows (:class:`Rows`): entries sorted by row, with each node among its own
neighbours. Padded lists of neighbours would waste memory where one node has many.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

from hopcore.arrays._library import Array, ArrayLibrary
from hopcore.arrays._reprs import one_line

GATHER_BLOCK = 1 << 20
"""How many numbers the portable kernels gather or compare at once."""

MASKED_SCORE = -2.0
"""The score of a masked pattern: below all others, but above that of a pattern with itself."""

GROUP = 8
"""Scores per group in the search for the largest scores."""


class Rows(NamedTuple):
    """The positions of the entries of a square sparse matrix; the values are kept separately.

    Attributes
    ----------
    indptr : integer array (n + 1,)
        The entries of row i are ``indptr[i]`` to ``indptr[i + 1] - 1``.
    rows : integer array (E,)
        The row of each entry.
    columns : integer array (E,)
        The column. Every row holds an entry on the diagonal.
    """

    indptr: Array
    rows: Array
    columns: Array

    def __repr__(self) -> str:
        return one_line(self)

    @property
    def count(self) -> int:
        """The number of rows, n."""
        return self.indptr.shape[0] - 1


class GraphKernels(ArrayLibrary):
    """Portable kernels of :class:`hopcore.Backend` for graphs."""

    def block(self, array: Array) -> int:
        """How many scores kernels hold at once on the device of an array."""
        raise NotImplementedError

    def neighbour_sum(self, entries: Rows, values: Array, features: Array) -> Array:
        """A symmetric sparse matrix times features ``(n, d)``: the sum over the entries of a row.

        Since the matrix is symmetric, the derivative is another sum of this kind.
        """
        return self.row_sum(
            entries, values[:, None] * self.xp.take(features, entries.columns, axis=0)
        )

    def row_sum(self, entries: Rows, values: Array) -> Array:
        """The sum of the values ``(E, ...)`` of each row, ``(n, ...)``."""
        return self._scanned(entries, values, lambda a, b: a + b)

    def row_max(self, entries: Rows, values: Array) -> Array:
        """The largest of the values ``(E,)`` of each row, without its derivative."""
        return self._scanned(entries, values, self.xp.maximum)

    def _scanned(self, entries: Rows, values: Array, join: Any) -> Array:
        """Join the values of each row, twice as many with each step."""
        xp, reach = self.xp, 1
        while reach < values.shape[0]:
            same = entries.rows[reach:] == entries.rows[:-reach]
            same = xp.reshape(same, (same.shape[0], *(1,) * (values.ndim - 1)))
            joined = xp.where(
                same, join(values[reach:, ...], values[:-reach, ...]), values[reach:, ...]
            )
            values = xp.concat([values[:reach, ...], joined], axis=0)
            reach *= 2
        return xp.take(values, entries.indptr[1:] - 1, axis=0)

    def pair_products(self, left: Array, right: Array, entries: Rows) -> Array:
        """The inner product of ``left[row]`` and ``right[column]`` for each entry, ``(E,)``.

        Products commute, so with ``left = right`` the result is exactly symmetric.
        """
        xp = self.xp

        def products(rows: Array, columns: Array) -> Array:
            return xp.sum(xp.take(left, rows, axis=0) * xp.take(right, columns, axis=0), axis=-1)

        if not self.has_known_sizes(entries.rows):
            return products(entries.rows, entries.columns)
        parts = [
            products(entries.rows[part], entries.columns[part])
            for part in chunks(
                entries.rows.shape[0], max(1, self.block(left) // (2 * max(1, left.shape[-1])))
            )
        ]
        return xp.concat(parts, axis=0) if len(parts) > 1 else parts[0]

    def entry_order(self, rows: Array, columns: Array) -> Array:
        """The permutation that sorts entries by row, and by column within a row."""
        xp = self.xp
        by_column = xp.argsort(columns, stable=True)
        by_row = xp.argsort(xp.take(rows, by_column, axis=0), stable=True)
        return xp.take(by_column, by_row, axis=0)

    def row_starts(self, rows: Array, count: int) -> Array:
        """The first entry of each of ``count`` rows, and the end of the last, ``(count + 1,)``."""
        xp = self.xp
        bounds = xp.arange(count + 1, dtype=rows.dtype, device=self.device(rows))
        return self.astype(xp.searchsorted(rows, bounds), rows.dtype)

    def on_diagonal(self, entries: Rows) -> Array:
        """Which entries are on the diagonal, each node once, ``(E,)``.

        Only :meth:`nearest_at_once` makes a node its own neighbour, and repeats its entry.
        """
        xp, (_, rows, columns) = self.xp, entries
        same = rows == columns
        if self.has_known_sizes(rows):
            return same
        again = same[1:] & same[:-1] & (rows[1:] == rows[:-1])
        return same & ~xp.concat([rows[:1] < 0, again], axis=0)

    def top_k(self, values: Array, k: int) -> tuple[Array, Array]:
        """The k largest values over the last axis and their indices, in any order.

        Among equal values, those with the lowest indices are taken.
        """
        xp = self.xp
        places = xp.argsort(values, axis=-1, descending=True)[..., :k]
        return xp.take_along_axis(values, places, axis=-1), places

    def nearest(self, patterns: Array, k: int, mask: Array | None) -> Array:
        """The k other patterns with the largest inner product, ``(..., N, k)``, 0 < k < N.

        ``patterns`` is ``(..., N, d)``, of norm 1; ``mask`` is boolean ``(..., N)``, and patterns
        with False are chosen last. Among equal products, the patterns with the lowest indices are
        taken. At most about a million scores (or one row of them) are stored at a time.
        """
        xp, count = self.xp, patterns.shape[-2]
        if not self.has_known_sizes(patterns):
            return self.nearest_at_once(patterns, k, mask)
        batch = math.prod(patterns.shape[:-2])
        column = xp.arange(count, dtype=xp.int32, device=self.device(patterns))
        parts = []
        for part in chunks(count, max(1, GATHER_BLOCK // max(1, batch * count))):
            scores = xp.matmul(patterns[..., part, :], xp.matrix_transpose(patterns))
            if mask is not None:
                scores = xp.where(mask[..., None, :], scores, MASKED_SCORE)
            scores = xp.where(column == column[part, None], -math.inf, scores)
            parts.append(self.largest(scores, k))
        return xp.concat(parts, axis=-2) if len(parts) > 1 else parts[0]

    def nearest_at_once(self, patterns: Array, k: int, mask: Array | None) -> Array:
        """:meth:`nearest` of patterns whose number a trace leaves open, with all scores at once.

        If there are fewer than k others, a pattern is its own neighbour; this is not an edge.
        """
        xp, count, device = self.xp, patterns.shape[-2], self.device(patterns)
        column = xp.arange(count, dtype=xp.int32, device=device)
        scores = xp.matmul(patterns, xp.matrix_transpose(patterns))
        if mask is not None:
            scores = xp.where(mask[..., None, :], scores, MASKED_SCORE)
        scores = xp.where(column == column[:, None], -math.inf, scores)
        none = xp.full((*patterns.shape[:-1], k), -math.inf, dtype=scores.dtype, device=device)
        found, places = self.top_k(xp.concat([scores, none], axis=-1), k)
        return xp.where(found == -math.inf, column[:, None], self.astype(places, xp.int32))

    def is_sharded(self, patterns: Array) -> bool:
        """Whether patterns are a memory in parts that has its own :meth:`neighbours`."""
        return False

    def neighbours(
        self, patterns: Array, k: int, mask: Array | None, unit: Any
    ) -> tuple[Array, Array]:
        """Similarities ``(..., N, k)`` and indices of the k most similar others, in parts.

        ``unit(backend, patterns, mask)`` returns patterns of norm 1, with zeros where masked.
        """
        raise NotImplementedError

    def largest(self, scores: Array, k: int) -> Array:
        """The indices of the k largest of the scores ``(..., N)``, in any order.

        Among equal scores, the first ones are taken. The k largest are in the k groups of
        neighbouring scores with the largest maxima (the first groups, if maxima are equal), so only
        these groups are sorted.
        """
        xp, width = self.xp, scores.shape[-1]
        groups = width // GROUP
        if groups <= 4 * k:
            return self.top_k(scores, k)[1]
        grouped = groups * GROUP
        lead = scores.shape[:-1]
        maxima = xp.max(xp.reshape(scores[..., :grouped], (*lead, groups, GROUP)), axis=-1)
        # Sorted, so that the first of the members is the first of the scores.
        best = xp.sort(self.top_k(maxima, k)[1], axis=-1)
        within_group = xp.arange(GROUP, dtype=best.dtype, device=self.device(best))
        members = xp.reshape(best[..., None] * GROUP + within_group, (*lead, k * GROUP))
        rest = xp.arange(grouped, width, dtype=members.dtype, device=self.device(members))
        members = xp.concat([members, xp.broadcast_to(rest, (*lead, width - grouped))], axis=-1)
        within = self.largest_of_few(xp.take_along_axis(scores, members, axis=-1), k)
        return xp.take_along_axis(members, within, axis=-1)

    def largest_of_few(self, scores: Array, k: int) -> Array:
        """As :meth:`largest`, of scores so few that sorting them is cheap."""
        return self.top_k(scores, k)[1]


def without_rounding(values: Array, xp: ModuleType) -> Array:
    """Replace ascending eigenvalues ``(..., N)`` by 0 if they differ from 0 only by rounding.

    The exponential of a negative one would grow without bound, and that of a positive one would
    vanish for a large eta.
    """
    rounding = float(xp.finfo(values.dtype).eps) * values[..., -1:]
    zero = (values < 8.0 * rounding) & (values > -values.shape[-1] * rounding)
    return xp.where(zero, 0.0, values)


def chunks(count: int, size: int) -> Iterator[slice]:
    """Divide a range into slices of a size; an empty range gives one empty slice."""
    for start in range(0, max(count, 1), size):
        yield slice(start, min(start + size, count))
