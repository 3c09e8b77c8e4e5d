"""Graphs and diffusion written plainly in NumPy float64, dense and independent of hopcore.

Patterns are (..., N, d), adjacencies and Laplacians (..., N, N), ``mask`` (..., N) or None.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import expm
from scipy.special import ive

Array = np.ndarray

NORMALIZATIONS = ("none", "symmetric", "random_walk")
"""The Laplacians, as the public API names them."""

MODES = ("simple", "iterative", "factored", "spectral", "chebyshev", "implicit")
"""The operators, as the public API names them."""


def transpose(matrix: Array) -> Array:
    """The last two axes exchanged."""
    return np.swapaxes(matrix, -1, -2)


def similarity(patterns: Array, mask: Array | None = None) -> Array:
    """``max(0, cos(x_i, x_j))``, 0 on the diagonal, where masked, and of a pattern of zeros."""
    norm = np.linalg.norm(patterns, axis=-1, keepdims=True)
    unit = np.where(norm > 0.0, patterns / np.where(norm > 0.0, norm, 1.0), 0.0)
    if mask is not None:
        unit = np.where(mask[..., None], unit, 0.0)
    own = np.eye(patterns.shape[-2], dtype=bool)
    return np.where(own, 0.0, np.maximum(unit @ transpose(unit), 0.0))


def kth_largest(similar: Array, k: int) -> Array:
    """Of each row, the k-th largest entry off the diagonal, by sorting; k >= N means N - 1."""
    count = similar.shape[-1]
    if count == 1:
        return np.zeros(similar.shape[:-1])
    others = np.where(np.eye(count, dtype=bool), -np.inf, similar)
    return np.sort(others, axis=-1)[..., -min(k, count - 1)]


def laplacian(adjacency: Array, normalization: str) -> Array:
    """``D - W``, ``D^-1/2 (D - W) D^-1/2`` or ``D^-1 (D - W)``; an isolated node's row is zero."""
    degree = np.sum(adjacency, axis=-1)
    plain = np.eye(adjacency.shape[-1]) * degree[..., None] - adjacency
    if normalization == "none":
        return plain
    inverse = np.where(degree > 0.0, 1.0 / np.where(degree > 0.0, degree, 1.0), 0.0)
    if normalization == "random_walk":
        return inverse[..., None] * plain
    root = np.sqrt(inverse)
    return root[..., None] * plain * root[..., None, :]


def eigenvalues(adjacency: Array, normalization: str) -> Array:
    """Those of the Laplacian, ascending; random-walk and symmetric ones share them."""
    kind = "none" if normalization == "none" else "symmetric"
    return np.linalg.eigvalsh(laplacian(adjacency, kind))


def largest(adjacency: Array, normalization: str) -> float:
    """The largest eigenvalue among all graphs of a batch."""
    return float(np.max(eigenvalues(adjacency, normalization)))


def operator(mode: str, lap: Array, eta: float | Array, steps: int = 3) -> Array:
    """The matrix of an operator: a power of ``I - eta L``, a matrix exponential, an inverse."""
    eye = np.eye(lap.shape[-1])
    scaled = np.asarray(eta)[..., None, None] * lap
    if mode in ("spectral", "chebyshev"):
        return np.stack([expm(-x) for x in scaled.reshape(-1, *eye.shape)]).reshape(scaled.shape)
    if mode == "implicit":
        return np.linalg.inv(eye + scaled)
    return np.linalg.matrix_power(eye - scaled, 1 if mode == "simple" else steps)


def dirichlet(adjacency: Array, features: Array) -> Array:
    """``sum_{i<j} w_ij ||x_i - x_j||^2 / 2``, pair by pair."""
    gaps = features[..., :, None, :] - features[..., None, :, :]
    return 0.25 * np.sum(adjacency * np.sum(gaps**2, axis=-1), axis=(-2, -1))


def dirichlet_of(lap: Array, features: Array) -> Array:
    """``tr(X^T L X) / 2``."""
    return 0.5 * np.sum(features * (lap @ features), axis=(-2, -1))


def conserved(adjacency: Array, normalization: str) -> Array:
    """The weights (..., N) of the sum of features that no diffusion changes."""
    degree = np.sum(adjacency, axis=-1)
    if normalization == "none":
        return np.ones_like(degree)
    # The row of an isolated node is zero: it keeps its features, whatever its weight.
    return np.sqrt(degree) if normalization == "symmetric" else degree


def heat_error(degree: int, reach: float) -> float:
    """``2 sum_{k>K} e^-a I_k(a)`` with ``a = t lambda_max / 2``, the smallest terms first."""
    a = 0.5 * reach
    terms = ive(np.arange(degree + 1, degree + 80 + math.ceil(12.0 * math.sqrt(a))), a)
    return float(2.0 * np.sum(terms[::-1]))
