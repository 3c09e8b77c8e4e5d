"""Kernels that count the stored patterns of a memory and measure their norms.

Besides associations and conjugates, a memory needs only these kernels, also if it is stored on a
disk or on many devices.
"""

from __future__ import annotations

from typing import Any

from hopcore.arrays._library import Array, ArrayLibrary
from hopcore.arrays._masked import without_unattended


class MemoryKernels(ArrayLibrary):
    """Portable kernels of :class:`hopcore.Backend` for stored patterns.

    ``stored`` is ``(..., S, d)``, ``mask`` boolean (True = attend) and broadcastable to
    ``(..., L, S)``, or None. Results are in the precise dtype and broadcast to ``(..., L)``.
    """

    def square_lengths(self, vectors: Array) -> Array:
        """Squared Euclidean norms over the last axis, preferably without an array of squares."""
        return self.xp.sum(vectors * vectors, axis=-1)

    def count_attended(self, stored: Array, mask: Array | None) -> Array:
        """N: how many patterns each query may attend to, as a float."""
        xp, precise = self.xp, self.precise[stored.dtype]
        if mask is None:
            # A sum of ones: in an exported graph the number of patterns must not be a constant.
            return xp.sum(xp.ones_like(stored[..., 0], dtype=precise), axis=-1, keepdims=True)
        if mask.shape[-1] == 1:
            return self.astype(mask[..., 0], precise) * stored.shape[-2]
        # Counted in integers: float32 holds no odd number above 2^24.
        return self.astype(xp.sum(self.astype(mask, xp.int32), axis=-1), precise)

    def largest_square(self, stored: Array, mask: Array | None) -> Array:
        """The square of M, which may overflow; stored patterns have the precise dtype."""
        return self._largest(self.square_lengths(stored), mask)

    def radius(self, stored: Array, mask: Array | None) -> Array:
        """M: the largest norm of the attended patterns, without over- or underflow; 0 if none.

        The result has no derivative.
        """
        precise_stored = self.astype(self.constant(stored), self.precise[stored.dtype])
        return self._largest(norm(precise_stored, self.xp), mask)

    def _largest(self, lengths: Array, mask: Array | None) -> Array:
        if mask is None:
            return self.xp.max(lengths, axis=-1, keepdims=True)
        return self.xp.max(self.xp.where(mask, lengths[..., None, :], 0.0), axis=-1)

    def without_unattended(self, array: Array, mask: Array) -> Array:
        """Patterns or projections ``(..., S, d)`` with zeros where no query may attend."""
        return without_unattended(self, array, mask)

    def all_moderate(self, array: Array) -> bool:
        """Whether all values are finite and so small that scores cannot overflow.

        They are below the fourth root of the largest number: 16 in float16, 4e9 in float32. This is
        called only where values can be read. A backend may use a stricter bound.
        """
        return self.magnitude(array) < float(self.xp.finfo(array.dtype).max) ** 0.25

    def magnitude(self, array: Array, mask: Array | None = None) -> float:
        """The largest magnitude of a value, or 0 if there is none; values must be readable.

        A memory that is read later uses the mask to leave out patterns that no query may attend to;
        in other memories they were hidden before.
        """
        if 0 in array.shape:
            return 0.0
        values = self.astype(self.constant(array), self.precise[array.dtype])
        return float(self.xp.max(self.xp.abs(values)))


def norm(vectors: Array, xp: Any) -> Array:
    """Euclidean norm over the last axis, scaled so that squares neither overflow nor vanish."""
    # The largest and the smallest value give the largest magnitude without an array of magnitudes.
    most = xp.max(vectors, axis=-1, keepdims=True)
    scale = xp.maximum(most, -xp.min(vectors, axis=-1, keepdims=True))
    scale = xp.where(scale > 0, scale, 1.0)
    ratio = vectors / scale
    square = xp.sum(ratio * ratio, axis=-1)
    # The square root has no derivative at 0: a vector of zeros gets norm 0 and gradient 0.
    root = xp.sqrt(xp.where(square > 0, square, 1.0))
    return xp.where(square > 0, scale[..., 0] * root, 0.0)
