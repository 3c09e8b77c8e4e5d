"""The formulas of k-subsets, written plainly in NumPy float64 and independent of hopcore.

Scores ``z`` are ``(..., S)`` with -inf where masked; N is the number of the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hopcore_conformance.oracle import memory as plain

Array = np.ndarray


def shares_of_one(z: Array, k: int) -> Array:
    """``y = clip(z - tau, 0, 1)`` with the sum k of scores ``(S,)``; ones if N <= k."""
    attends = ~np.isneginf(z)
    given = z[attends]
    y = np.zeros_like(z)
    y[attends] = 1.0
    if given.size > k:
        ends = np.sort(np.concatenate([given, given - 1.0]))
        sums = np.sum(np.clip(given - ends[:, None], 0.0, 1.0), axis=-1)
        last = np.flatnonzero(sums >= k)[-1] if np.any(sums >= k) else 0
        low, high = ends[last], ends[min(last + 1, ends.size - 1)]
        fall = sums[last] - sums[min(last + 1, ends.size - 1)]
        # Seen from the lower end, the threshold is exact for scores of any size.
        beyond = (high - low) * (sums[last] - k) / fall if fall > 0.0 else 0.0
        y[attends] = np.clip((given - low) - beyond, 0.0, 1.0)
    return y


def sizes(z: Array, k: int) -> Array:
    """The smaller one of k and N, ``(...)``."""
    return np.minimum(np.sum(~np.isneginf(z), axis=-1), k)


def shares(z: Array, k: int) -> Array:
    """``k w``, where k is N if that is smaller."""
    return np.apply_along_axis(shares_of_one, -1, z, k)


def weights(z: Array, k: int) -> Array:
    """The association weights."""
    return shares(z, k) / np.maximum(sizes(z, k), 1)[..., None]


def conjugate(z: Array, k: int) -> Array:
    """``(<y, z> - ||y||^2 / 2) / k + 1/2``; -inf where everything is masked."""
    y, size = shares(z, k), sizes(z, k)
    top = np.max(z, axis=-1, keepdims=True)
    top = np.where(np.isneginf(top), 0.0, top)
    terms = y * np.where(y > 0.0, z - top, 0.0) - 0.5 * y**2
    found = top[..., 0] + np.sum(terms, axis=-1) / np.maximum(size, 1) + 0.5
    return np.where(size > 0, found, -np.inf)


def energy(state: Array, stored: Array, beta: Any, mask: Array | None, k: int) -> Array:
    """``-Omega*(beta X xi)/beta + ||xi||^2/2 + (1 - k/N)/(2 beta) + M^2/2``."""
    z = plain.scores(state, stored, beta, mask)
    count = np.sum(plain.attends(state, stored, mask), axis=-1)
    level = 0.5 * (1.0 - sizes(z, k) / np.maximum(count, 1))
    square = np.sum(state**2, axis=-1) + plain.radius(state, stored, mask) ** 2
    value = (level - conjugate(z, k)) / beta + square / 2.0
    return np.where(count > 0, value, np.inf)
