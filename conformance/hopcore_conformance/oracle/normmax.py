"""The formulas of normmax, written plainly in NumPy float64 and independent of hopcore.

Scores ``z`` are ``(..., S)`` with -inf where masked; N is the number of the others. Bisection finds
``m``, the distance of the threshold from the largest score, with ``sum (z - top + m)_+^p = 1`` and
``p = alpha / (alpha - 1)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hopcore_conformance.oracle import memory as plain

Array = np.ndarray


def near(z: Array) -> tuple[Array, Array, Array]:
    """Scores less the largest one, the largest one or 0, and whether there is none."""
    top = np.max(z, axis=-1, keepdims=True)
    empty = np.isneginf(top)
    top = np.where(empty, 0.0, top)
    return z - top, top, empty


def margin(below: Array, alpha: float) -> Array:
    """The distance of the threshold from the largest score, in (0, 1]; 1 where nothing is."""
    p = alpha / (alpha - 1.0)
    low, high = np.zeros_like(below[..., :1]), np.ones_like(below[..., :1])
    for _ in range(1100):
        middle = 0.5 * (low + high)
        if not np.any((low < middle) & (middle < high)):
            break
        above = np.sum(np.maximum(below + middle, 0.0) ** p, axis=-1, keepdims=True) > 1.0
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return high


def weights(z: Array, alpha: float) -> Array:
    """``q / sum q`` with ``q = (z - tau)_+^(1 / (alpha - 1))``, the largest q taken as 1."""
    below, _, empty = near(z)
    m = margin(below, alpha)
    share = np.maximum(below / m, -1.0)
    # The logarithm keeps small differences precise, which a large power magnifies.
    logarithm = np.log1p(np.where(share > -1.0, share, 0.0))
    ratio = np.where(share > -1.0, np.exp(logarithm / (alpha - 1.0)), 0.0)
    total = np.sum(ratio, axis=-1, keepdims=True)
    return np.where(empty, 0.0, ratio / np.where(empty, 1.0, total))


def norm(y: Array, alpha: float) -> Array:
    """``||y||_alpha`` over the last axis."""
    largest = np.max(y, axis=-1, keepdims=True)
    ratio = y / np.where(largest > 0.0, largest, 1.0)
    return largest[..., 0] * np.sum(ratio**alpha, axis=-1) ** (1.0 / alpha)


def conjugate(z: Array, alpha: float) -> Array:
    """``tau + 1``; -inf where everything is masked."""
    below, top, empty = near(z)
    return np.where(empty, -np.inf, top + (1.0 - margin(below, alpha)))[..., 0]


def jacobian(y: Array, alpha: float) -> Array:
    """``(I - y 1^T) diag(s) (I - 1 y^T)`` of weights ``(S,)``."""
    s = np.zeros_like(y)
    s[y > 0.0] = norm(y, alpha) ** (alpha - 1.0) * y[y > 0.0] ** (2.0 - alpha) / (alpha - 1.0)
    left = np.eye(y.size) - np.outer(y, np.ones_like(y))
    return left @ np.diag(s) @ left.T


def energy(state: Array, stored: Array, beta: Any, mask: Array | None, alpha: float) -> Array:
    """``-Omega*(beta X xi)/beta + ||xi||^2/2 + (1 - ||1/N||_alpha)/beta + M^2/2``."""
    z = plain.scores(state, stored, beta, mask)
    count = np.sum(plain.attends(state, stored, mask), axis=-1)
    level = 1.0 - np.maximum(count, 1) ** (1.0 / alpha - 1.0)
    square = np.sum(state**2, axis=-1) + plain.radius(state, stored, mask) ** 2
    value = (level - conjugate(z, alpha)) / beta + square / 2.0
    return np.where(count > 0, value, np.inf)
