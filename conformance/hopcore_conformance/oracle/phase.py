"""The transition written plainly: equidistant patterns, the reduced map, curvature."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np

from hopcore_conformance.oracle import memory as plain

Array = np.ndarray


def half_square(stored: Array) -> float:
    """Half the mean square distance of all pairs."""
    pairs = [(i, j) for j in range(len(stored)) for i in range(j)]
    return float(np.mean([np.sum((stored[i] - stored[j]) ** 2) / 2.0 for i, j in pairs]))


def simplex(rng: np.random.Generator, count: int, size: float) -> Array:
    """Patterns of equal norm whose half square distance is ``size**2``, turned at random.

    All may be moved together along the line through the origin and their centroid, and nowhere
    else, for their norms to stay equal.
    """
    frame = np.linalg.qr(rng.normal(size=(count, count)))[0]
    lift = rng.uniform(-1.0, 1.0) / count
    return size * (frame + lift * frame.sum(axis=0))


def weights(state: Array, stored: Array, beta: float | Array) -> Array:
    """The softmax weights (L, N) of states."""
    return plain.weights(plain.scores(state, stored, beta), 1.0)


def hull(stored: Array) -> Array:
    """An orthonormal basis (D, d) of the directions in which patterns differ."""
    _, sizes, rows = np.linalg.svd(stored - stored.mean(axis=0), full_matrices=False)
    return rows[sizes > 1e-9 * sizes[0]]


def curvatures(state: Array, stored: Array, beta: float) -> Array:
    """Eigenvalues (D,) of the Hessian at a state (d,), in the hull of the patterns, rising."""
    basis = hull(stored)
    inside = basis @ plain.jacobian(state, stored, beta) @ basis.T
    return np.linalg.eigvalsh(np.eye(len(basis)) - inside)


def reduced(s: float, b: float, count: int) -> tuple[float, float]:
    """The reduced map and its slope, to the last digit of a float."""
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = 60, -(10**15), 10**15
        overlap, heat, n = Decimal(s), Decimal(b), Decimal(count)
        # Divided by the larger of e^{bs} and 1: no exponential of what is large.
        up = (-abs(heat * overlap)).exp()
        small, one = (up, Decimal(1)) if s < 0.0 else (Decimal(1), up)
        whole = small + (n - 1) * one
        return float((small - one) / whole), float(heat * n * small * one / (whole * whole))


def subset_state(stored: Array, chosen: int, ratio: float) -> tuple[Array, float]:
    """A fixed point (1, d) of equidistant patterns, and its effective inverse temperature.

    The first few weigh ``ratio`` times as much as each of the others: ``ln(p_1 / p_N) = b (p_1 -
    p_N)``.
    """
    count = len(stored)
    total = chosen * ratio + count - chosen
    p = np.where(np.arange(count) < chosen, ratio, 1.0) / total
    return p[None] @ stored, float(np.log(ratio) * total / (ratio - 1.0))


def scores_at_one(state: Array, stored: Array, similarity: str) -> Array:
    """Scores (..., L, N) at beta = 1: products, or for distances minus half of their squares."""
    if similarity == "dot":
        return state @ stored.T
    return -0.5 * np.sum((state[..., :, None, :] - stored) ** 2, axis=-1)


def distance_weights(state: Array, stored: Array, beta: Array) -> Array:
    """The softmax weights (..., L, N) of states that are compared by their distance."""
    return plain.weights(beta[..., None] * scores_at_one(state, stored, "distance"), 1.0)


def error_bound(
    stored: Array, beta: float, row: int, radius: float, similarity: str = "dot"
) -> float:
    """``2 (N-1) M exp(-beta (Delta_i - 2 r M))``, and 2 M at most."""
    scores = scores_at_one(stored[row][None], stored, similarity)[0]
    gap = scores[row] - np.max(np.delete(scores, row))
    origin = stored.mean(axis=0) if similarity == "distance" else 0.0
    largest = float(np.max(np.linalg.norm(stored - origin, axis=-1)))
    power = np.log(len(stored) - 1.0) - beta * (gap - 2.0 * radius * largest)
    return 2.0 * largest * float(np.exp(min(power, 0.0)))
