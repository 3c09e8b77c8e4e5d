"""Scores by distance and with biases, in NumPy float64: distances are taken directly.

Arrays are as in :mod:`hopcore_conformance.oracle.memory`; ``bias`` is (..., S) or None, and
``known (..., L, d)`` is True for the coordinates that are compared, or None if all are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hopcore_conformance.oracle import memory as plain

Array = np.ndarray


def square_distances(state: Array, stored: Array, known: Array | None = None) -> Array:
    """``||xi - x_i||^2`` over the known coordinates, (..., L, S)."""
    away = state[..., :, None, :] - stored[..., None, :, :]
    if known is not None:
        away = np.where(known[..., :, None, :], away, 0.0)
    return np.sum(away**2, axis=-1)


def scores(
    similarity: str,
    state: Array,
    stored: Array,
    beta: Any,
    mask: Array | None = None,
    bias: Array | None = None,
    known: Array | None = None,
) -> Array:
    """``beta X xi + b`` or ``-beta/2 ||xi - x_i||^2 + b``, -inf where masked."""
    if similarity == "dot":
        z = plain.scores(state, stored, beta)
    else:
        z = -0.5 * np.asarray(beta)[..., None] * square_distances(state, stored, known)
    if bias is not None:
        z = z + bias[..., None, :]
    return z if mask is None else np.where(mask, z, -np.inf)


def energy(
    similarity: str,
    state: Array,
    stored: Array,
    beta: Any,
    mask: Array | None = None,
    bias: Array | None = None,
    alpha: float = 1.0,
) -> Array:
    """``-Omega*(z)/beta``; for dot products with the terms that make it an energy."""
    conjugate = plain.conjugate(scores(similarity, state, stored, beta, mask, bias), alpha)
    value = -conjugate / beta
    if similarity == "dot":
        count = np.maximum(np.sum(plain.attends(state, stored, mask), axis=-1), 1)
        square = np.sum(state**2, axis=-1) + plain.radius(state, stored, mask) ** 2
        value = value - plain.deformed_log(1.0 / count, alpha) / alpha / beta + square / 2.0
    return np.where(np.isneginf(conjugate), np.inf, value)


def association(z: Array, values: Array, alpha: float = 1.0) -> Array:
    """``V^T w(z)``."""
    return np.einsum("...ls,...sv->...lv", plain.weights(z, alpha), values)


def jacobian_times(w: Array, change: Array, alpha: float = 1.0) -> Array:
    """The Jacobian of weights w by their scores, ``diag s - s s^T / sum s``, times a change."""
    s = np.where(w > 0.0, np.where(w > 0.0, w, 1.0) ** (2.0 - alpha), 0.0)
    mean = np.sum(s * change, axis=-1, keepdims=True) / np.sum(s, axis=-1, keepdims=True)
    return s * (change - mean)


def posterior_mean(state: Array, stored: Array, noise: float, prior: Array | None = None) -> Array:
    """The mean of a pattern given ``xi = x + noise``, by Bayes' rule with normal densities."""
    prior = np.full(stored.shape[0], 1.0) if prior is None else prior
    width = stored.shape[-1]
    away = np.sum((state[:, None] - stored) ** 2, axis=-1) / noise**2
    density = -0.5 * away - width * np.log(noise) - 0.5 * width * np.log(2.0 * np.pi)
    joint = np.log(prior) + density
    joint = np.exp(joint - np.max(joint, axis=-1, keepdims=True))
    return joint @ stored / np.sum(joint, axis=-1, keepdims=True)
