"""Statistics of association weights, from all weights at once, in NumPy float64.

Arrays are as in :mod:`hopcore_conformance.oracle.memory`; ``w`` is (..., L, S).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hopcore_conformance.oracle import memory as plain

Array = np.ndarray


def weights(
    state: Array, stored: Array, beta: Any, mask: Array | None = None, alpha: float = 1.0
) -> Array:
    """The association weights; those of the softmax by its formula."""
    z = plain.scores(state, stored, beta, mask)
    if alpha != 1.0:
        return plain.weights(z, alpha)
    top = np.max(z, axis=-1, keepdims=True)
    powers = np.exp(z - np.where(np.isneginf(top), 0.0, top))
    total = np.sum(powers, axis=-1, keepdims=True)
    return powers / np.where(total > 0.0, total, 1.0)


def logarithm(w: Array) -> Array:
    """``log w``, 0 where w is 0; of a weight near 1 from the sum of the others."""
    found = np.log(np.where(w > 0.0, w, 1.0))
    top = np.argmax(w, axis=-1)[..., None]
    others = np.sum(np.where(np.arange(w.shape[-1]) == top, 0.0, w), axis=-1, keepdims=True)
    near = (np.arange(w.shape[-1]) == top) & (others < 0.5) & (w > 0.0)
    return np.where(near, np.log1p(-np.minimum(others, 0.5)), found)


def entropy(w: Array) -> Array:
    """``-sum w log w``."""
    return -np.sum(w * logarithm(w), axis=-1)


def squares(w: Array) -> Array:
    """``sum w^2``."""
    return np.sum(w**2, axis=-1)


def effective(w: Array) -> Array:
    """``1 / sum w^2``, 0 where there are no weights."""
    square = squares(w)
    return np.where(square > 0.0, 1.0 / np.where(square > 0.0, square, 1.0), 0.0)


def slopes_by_scores(w: Array) -> dict[str, Array]:
    """Derivatives of each statistic of a query by its scores, for the softmax, (..., L, S)."""
    h, square, top = entropy(w)[..., None], squares(w)[..., None], np.max(w, axis=-1, keepdims=True)
    square = np.where(square > 0.0, square, 1.0)
    first = (w == top) & (top > 0.0)
    count = np.maximum(np.sum(first, axis=-1, keepdims=True), 1)
    return {
        "log_sum_exp": w,
        "entropy": -w * (logarithm(w) + h),
        "effective": -2.0 * w * (w - square) / square**2,
        "largest": top * (first / count - w),
    }
