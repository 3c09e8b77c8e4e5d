"""Kernels for the scores of a memory: products of queries with keys, and the keys themselves.

A key is a stored pattern, with further coordinates where a score is more than a dot product.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

from hopcore.arrays._library import Array
from hopcore.arrays._long_sums import LONG, long_product
from hopcore.arrays._masked import attended_by_some
from hopcore.arrays._memory_kernels import MemoryKernels

Beta: TypeAlias = Any
"""A positive Python float, or an array that broadcasts over ``(..., L)``."""


class ScoreKernels(MemoryKernels):
    """Portable kernels of :class:`hopcore.Backend` for scores and for sums weighted by them."""

    def scores(self, state: Array, stored: Array, beta: Beta, mask: Array | None) -> Array:
        """``beta X xi`` of shape ``(..., L, S)``, in the precise dtype, -inf where masked."""
        xp, precise = self.xp, self.precise[state.dtype]
        state, stored = self.astype(state, precise), self.astype(stored, precise)
        scores = self.products(scale_by_beta(state, beta), stored)
        if mask is None:
            return scores
        masked = xp.asarray(-math.inf, dtype=precise, device=self.device(scores))
        return xp.where(mask, scores, masked)

    def products(self, query: Array, stored: Array) -> Array:
        """``query (..., L, d) @ stored^T (..., d, S)``.

        The derivative with respect to the query is a sum of S numbers, which a library with
        gradients must compute in parts.
        """
        return self.xp.matmul(query, self.xp.matrix_transpose(stored))

    def is_long(self, memory: Array) -> bool:
        """Whether products with a memory ``(..., S, v)`` must be summed in parts."""
        return memory.shape[-2] > LONG

    def recalled(self, weights: Array, values: Array) -> Array:
        """``weights (..., L, S) @ values (..., S, v)``, as accurate for a large S as for a small.

        A float32 product of a library may add S numbers one after another; see
        ``hopcore/arrays/_long_sums.py``.
        """
        if self.is_long(values):
            return long_product(self.xp, weights, values)
        return self.xp.matmul(weights, values)

    def origin(self, stored: Array, mask: Array | None) -> Array:
        """The mean of the patterns that some query may attend to, ``(..., 1, d)``.

        It is in the precise dtype and has no derivative. It only has to be near the patterns:
        distances from it are sums of fewer digits than distances from 0.
        """
        xp, precise = self.xp, self.precise[stored.dtype]
        patterns = self.astype(self.constant(stored), precise)
        weights = xp.ones_like(patterns[..., 0])
        if mask is not None:
            attended = attended_by_some(xp, mask, tuple(stored.shape[:-2]))
            weights = xp.where(attended, weights, 0.0)
            patterns = xp.where(attended[..., None], patterns, 0.0)
        total = xp.sum(weights, axis=-1, keepdims=True)
        weights = weights / xp.where(total > 0.0, total, 1.0)
        return self.recalled(weights[..., None, :], patterns)

    def keys(
        self, stored: Array, origin: Array | None, bias: Array | None, squares: bool = False
    ) -> Array:
        """What queries are multiplied with, ``(..., S, d + c)``, in the precise dtype.

        With an origin ``(..., 1, d)`` these are the patterns relative to it, and one more
        coordinate, minus half of their squared length; or, with ``squares``, d more, minus half of
        the square of each coordinate. With a bias ``(..., S)``, the last coordinate is the bias.
        """
        parts = [self.astype(stored, self.precise[stored.dtype])]
        if origin is not None:
            parts[0] = shifted = parts[0] - origin
            lengths = shifted * shifted if squares else self.square_lengths(shifted)[..., None]
            parts.append(-0.5 * lengths)
        if bias is not None:
            parts.append(bias[..., None])
        return concatenated(self.xp, parts)

    def values_for(self, keys: Array, projection: Array) -> Array:
        """Projections ``(..., S, v)`` in the dtype of the keys, to be associated with them.

        A kernel that is faster where values are as wide as keys gets zeros as further coordinates.
        """
        return self.astype(projection, keys.dtype)

    def without_coordinates(self, keys: Array, width: int) -> Array:
        """The patterns ``(..., S, d)`` in keys, without the coordinates that follow them."""
        return keys[..., :width]


def scale_by_beta(state: Array, beta: Beta) -> Array:
    """``beta xi``: scaling the queries is cheaper than scaling the more numerous scores."""
    return state * (beta if isinstance(beta, float) else beta[..., None])


def concatenated(xp: Any, parts: list[Array]) -> Array:
    """Join arrays along their last axis, with their other axes broadcast to one another."""
    if any(part.shape[:-1] != parts[0].shape[:-1] for part in parts):
        places = xp.broadcast_arrays(*(part[..., 0] for part in parts))[0].shape
        parts = [xp.broadcast_to(part, (*places, part.shape[-1])) for part in parts]
    return parts[0] if len(parts) == 1 else xp.concat(parts, axis=-1)
