"""Compact kernels in plain NumPy, each formula as the specification writes it."""

from __future__ import annotations

import itertools

import numpy as np

Array = np.ndarray


def square_distances(state: Array, stored: Array) -> Array:
    """Squared distances (L, S), without cancellation."""
    return np.sum((state[:, None, :] - stored) ** 2, axis=-1)


def heights(state: Array, stored: Array, beta: Array | float, mask: Array | None) -> Array:
    """The kernels ``relu(1 - beta/2 ||xi - x_i||^2)``, (L, S); 0 where masked."""
    beta = np.broadcast_to(beta, state.shape[:1])[:, None]
    found = np.maximum(1.0 - 0.5 * beta * square_distances(state, stored), 0.0)
    return found if mask is None else np.where(mask, found, 0.0)


def powers(heights: Array, k: int) -> Array:
    """``r^k`` inside of the balls, and 0 outside, also for k = 0."""
    return np.where(heights > 0.0, heights**k, 0.0)


def weights(heights: Array, p: int) -> Array:
    """``r^(p-1)`` over their sum, or zeros."""
    found = powers(heights, p - 1)
    total = np.sum(found, axis=-1, keepdims=True)
    return found / np.where(total > 0.0, total, 1.0)


def update(state: Array, stored: Array, heights: Array, p: int) -> Array:
    """The mean weighted by ``r^(p-1)``; a state outside of all balls stays."""
    reached = np.any(heights > 0.0, axis=-1, keepdims=True)
    return np.where(reached, weights(heights, p) @ stored, state)


def energy(heights: Array, beta: Array | float, p: int) -> Array:
    """``-(1/beta) log sum_i r_i^p``."""
    with np.errstate(divide="ignore"):
        return -np.log(np.sum(powers(heights, p), axis=-1)) / beta


def steepness(heights: Array, p: int) -> Array:
    """``p sum_i r_i^(p-1) / sum_i r_i^p``, or 0."""
    total = np.sum(powers(heights, p), axis=-1)
    return p * np.sum(powers(heights, p - 1), axis=-1) / np.where(total > 0.0, total, 1.0)


def minima(stored: Array, beta: float) -> list[frozenset[int]]:
    """The sets of patterns that are those in reach of their mean, by trying every set."""
    found, count = [], len(stored)
    for size in range(1, count + 1):
        for some in itertools.combinations(range(count), size):
            mean = np.mean(stored[list(some)], axis=0)
            near = np.sum((stored - mean) ** 2, axis=-1) < 2.0 / beta
            if set(np.flatnonzero(near)) == set(some):
                found.append(frozenset(some))
    return found
