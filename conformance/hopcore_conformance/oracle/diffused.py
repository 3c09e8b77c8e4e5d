"""Diffusion-augmented retrieval, written plainly in NumPy float64 and independent of hopcore.

Everything is dense: adjacencies ``weights`` (N, N), operators (N, N), association weights (L, N).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hopcore_conformance.oracle import memory as plain

Array = np.ndarray

EXPLICIT = ("factored", "iterative", "simple")
"""Modes that take explicit steps."""


def similarity(patterns: Array) -> Array:
    """Cosines (N, N), negatives set to 0, 0 on the diagonal and beside a pattern of zeros."""
    norms = np.linalg.norm(patterns, axis=-1, keepdims=True)
    unit = patterns / np.where(norms > 0, norms, 1.0)
    return np.maximum(unit @ unit.T, 0.0) * (1.0 - np.eye(len(patterns)))


class Neighbours(NamedTuple):
    """A graph of nearest neighbours, and the margin of each choice."""

    weights: Array
    gap: float


def neighbours(patterns: Array, k: int, shown: Array | None = None) -> Neighbours:
    """An edge if at least one end chose it among its k most similar; masked nodes have none."""
    close = similarity(patterns if shown is None else np.where(shown[:, None], patterns, 0.0))
    ranked = np.sort(close, axis=-1)[:, ::-1]
    chosen = (close >= ranked[:, [k - 1]]) & (close > 0.0)
    contested = ranked[:, k] > 0.0
    gap = np.min((ranked[:, k - 1] - ranked[:, k])[contested], initial=1.0)
    return Neighbours(close * (chosen | chosen.T), float(gap))


def laplacian(weights: Array, normalized: bool) -> Array:
    """``D - W``, or ``D^-1/2 (D - W) D^-1/2`` with rows of zeros for isolated nodes."""
    degrees = np.sum(weights, axis=-1)
    found = np.diag(degrees) - weights
    if not normalized:
        return found
    root = np.where(degrees > 0, degrees, np.inf) ** -0.5
    return root[:, None] * found * root


def operator(matrix: Array, eta: float, mode: str, steps: int = 1) -> Array:
    """The operator (N, N) of a mode, from a symmetric Laplacian."""
    eye = np.eye(len(matrix))
    if mode in EXPLICIT:
        return np.linalg.matrix_power(eye - eta * matrix, 1 if mode == "simple" else steps)
    if mode == "implicit":
        return np.linalg.inv(eye + eta * matrix)
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.exp(-eta * values)) @ vectors.T


def weights_of(state: Array, stored: Array, beta: float | Array, mask: Array | None) -> Array:
    """Softmax weights (L, N); zeros for a query that may attend to nothing."""
    z = plain.scores(state, stored, np.asarray(beta), mask)
    top = np.max(z, axis=-1, keepdims=True)
    shifted = np.exp(z - np.where(np.isneginf(top), 0.0, top))
    total = np.sum(shifted, axis=-1, keepdims=True)
    return shifted / np.where(total > 0, total, 1.0)


def entropy(weights: Array) -> Array:
    """``-sum p log p`` in nats of each query, (L,)."""
    return -np.sum(weights * np.log(np.where(weights > 0, weights, 1.0)), axis=-1)


def adapted(eta: float, heat: Array | float, temperature: float, threshold: float) -> Array:
    """``eta sigmoid(temperature (H - threshold))``."""
    return eta / (1.0 + np.exp(-temperature * (np.asarray(heat) - threshold)))


def diffused_weights(weights: Array, spreading: Array, mask: Array | None) -> Array:
    """Association weights after diffusion: what is attended to and above 0, renormalised."""
    spread = np.maximum(weights @ spreading.T, 0.0)
    spread = spread if mask is None else np.where(mask, spread, 0.0)
    total = np.sum(spread, axis=-1, keepdims=True)
    return spread / np.where(total > 0, total, 1.0)


def near(weights: Array, anchors: Array) -> Array:
    """A mask (L, N): the anchor of each query and its neighbours."""
    return (weights > 0.0)[anchors] | (anchors[:, None] == np.arange(len(weights)))


def free_energy(state: Array, stored: Array, beta: float) -> Array:
    """``E_0``: ``||xi||^2/2 - lse(beta, X xi)``, the energy without its constants."""
    z = plain.scores(state, stored, beta)
    top = np.max(z, axis=-1)
    conjugate = top + np.log(np.sum(np.exp(z - top[..., None]), axis=-1))
    return np.sum(state**2, axis=-1) / 2.0 - conjugate / beta


def roughness(patterns: Array, weights: Array) -> float:
    """``sum_{i<j} w_ij ||x_i - x_j||^2 / 2``."""
    distances = np.sum((patterns[:, None] - patterns) ** 2, axis=-1)
    return float(np.sum(weights * distances) / 4.0)


def joint_weight(weights: Array, beta: float, stored: Array) -> float:
    """``beta M^2 / (2 lambda_2)``."""
    values = np.linalg.eigvalsh(laplacian(weights, normalized=False))
    smallest = np.min(values[values > 1e-9 * values[-1]])
    return float(beta * np.max(np.sum(stored**2, axis=-1)) / (2.0 * smallest))
