"""The formulas of memories, written plainly in NumPy float64 and independent of hopcore.

Functions take the order ``alpha`` of the separation function: 1 is the softmax, 2 the sparsemax.
Arrays are ``state`` (..., L, d), ``stored`` (..., S, d), ``beta`` a float or (..., L), ``mask``
(..., L, S) or None, scores ``z`` (..., S) with -inf where masked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray


def order(separation: Any) -> float:
    """The alpha of a separation function as the public API names it.

    For tolerances k-subsets count as sparsemax, whose weights change as much.
    """
    named = {"softmax": 1.0, "sparsemax": 2.0}
    if isinstance(separation, str):
        return named[separation]
    return float(getattr(separation, "alpha", 2.0))


def deformed_log(y: Array, alpha: float) -> Array:
    """``(y^(alpha-1) - 1) / (alpha-1)``, the logarithm at alpha = 1."""
    a = alpha - 1.0
    with np.errstate(divide="ignore"):
        logarithm = np.log(y)
    return logarithm if a == 0.0 else np.expm1(a * logarithm) / a


def deformed_exp(x: Array, alpha: float) -> Array:
    """The inverse of :func:`deformed_log`, 0 below its range."""
    a = alpha - 1.0
    if a == 0.0:
        return np.exp(x)
    inside = a * x > -1.0
    return np.where(inside, np.exp(np.log1p(np.where(inside, a * x, 0.0)) / a), 0.0)


def weights(z: Array, alpha: float) -> Array:
    """The maximiser of ``<y, z> - Omega(y)``: ``exp_alpha(z_i - level)``, level by bisection."""
    top = np.max(z, axis=-1, keepdims=True)
    empty = np.isneginf(top)
    z = np.where(empty, 0.0, z - np.where(empty, 0.0, top))
    low = np.zeros_like(top)
    high = low - deformed_log(np.asarray(1.0 / z.shape[-1]), alpha)
    for _ in range(100):
        level = 0.5 * (low + high)
        above = np.sum(deformed_exp(z - level, alpha), axis=-1, keepdims=True) > 1.0
        low, high = np.where(above, level, low), np.where(above, high, level)
    # Between two neighbouring levels the weights may still jump, for a large alpha; a mixture of
    # the weights at both that sums to one is optimal up to a rounding of the scores.
    most, least = deformed_exp(z - low, alpha), deformed_exp(z - high, alpha)
    above, below = (np.sum(y, axis=-1, keepdims=True) for y in (most, least))
    share = np.where(
        above > below, (1.0 - below) / np.where(above > below, above - below, 1.0), 0.0
    )
    y = least + np.clip(share, 0.0, 1.0) * (most - least)
    return np.where(empty, 0.0, y / np.sum(y, axis=-1, keepdims=True))


def sparsemax_by_sorting(z: Array) -> Array:
    """Sparsemax of scores (S,): Held, Wolfe and Crowder 1974; Martins and Astudillo 2016."""
    ranked = np.sort(z)[::-1]
    count = np.arange(1, z.shape[0] + 1)
    thresholds = (np.cumsum(ranked) - 1.0) / count
    size = np.count_nonzero(ranked > thresholds)
    return np.maximum(z - thresholds[size - 1], 0.0)


def entmax15_by_sorting(z: Array) -> Array:
    """1.5-entmax of scores (S,): Peters, Niculae and Martins 2019, algorithm 2."""
    half = (z - np.max(z)) / 2.0
    ranked = np.sort(half)[::-1]
    count = np.arange(1, z.shape[0] + 1)
    mean = np.cumsum(ranked) / count
    spread = np.cumsum(ranked**2) - count * mean**2
    thresholds = mean - np.sqrt(np.maximum((1.0 - spread) / count, 0.0))
    size = np.count_nonzero(thresholds <= ranked)
    return np.maximum(half - thresholds[size - 1], 0.0) ** 2


def negentropy(y: Array, alpha: float) -> Array:
    """``sum y log y`` at alpha = 1, Tsallis' ``(sum y^alpha - 1) / (alpha (alpha-1))``."""
    term = y * np.where(y > 0.0, deformed_log(np.where(y > 0.0, y, 1.0), alpha), 0.0)
    return np.sum(term, axis=-1) / alpha


def weights_by_alpha(y: Array, alpha: float) -> Array:
    """The derivative of weights y by alpha: Correia, Niculae and Martins 2019, proposition 1."""
    logarithm = np.log(np.where(y > 0.0, y, 1.0))
    h, a = -y * logarithm, alpha - 1.0
    if a == 0.0:
        return 0.5 * (h * logarithm - y * np.sum(h * logarithm, axis=-1, keepdims=True))
    s = np.where(y > 0.0, np.exp((2.0 - alpha) * logarithm), 0.0)
    share = s / np.sum(s, axis=-1, keepdims=True)
    total = np.sum(h, axis=-1, keepdims=True)
    return (y - share) / a**2 + (h - share * total) / a


def negentropy_by_alpha(y: Array, alpha: float) -> Array:
    """The derivative of :func:`negentropy` by alpha, at fixed y."""
    logarithm, a = np.log(np.where(y > 0.0, y, 1.0)), alpha - 1.0
    if a == 0.0:
        return np.sum(y * logarithm * (0.5 * logarithm - 1.0), axis=-1)
    power = np.where(y > 0.0, np.exp(alpha * logarithm), 0.0)
    excess = np.sum(power, axis=-1) - 1.0
    slope = np.sum(power * logarithm, axis=-1)
    return slope / (alpha * a) - excess * (2.0 * alpha - 1.0) / (alpha * a) ** 2


def conjugate(z: Array, alpha: float) -> Array:
    """``max_y <y, z> - Omega(y)``; -inf where everything is masked."""
    y = weights(z, alpha)
    gain = np.sum(y * np.where(np.isneginf(z), 0.0, z), axis=-1) - negentropy(y, alpha)
    return np.where(np.isneginf(np.max(z, axis=-1)), -np.inf, gain)


def scores(state: Array, stored: Array, beta: Any, mask: Array | None = None) -> Array:
    """``beta X xi``, -inf where masked."""
    z = np.asarray(beta)[..., None] * np.einsum("...ld,...sd->...ls", state, stored)
    return z if mask is None else np.where(mask, z, -np.inf)


def attends(state: Array, stored: Array, mask: Array | None) -> Array:
    """The mask, (..., L, S), all True where there is none."""
    lead = np.broadcast_shapes(state.shape[:-2], stored.shape[:-2])
    shape = (*lead, state.shape[-2], stored.shape[-2])
    if mask is None:
        return np.ones(shape, dtype=bool)
    return np.broadcast_to(mask, np.broadcast_shapes(mask.shape, shape))


def radius(state: Array, stored: Array, mask: Array | None = None) -> Array:
    """M of each query: the largest norm among the patterns that it may attend to; 0 of none."""
    norms = np.linalg.norm(stored, axis=-1)[..., None, :]
    return np.max(np.where(attends(state, stored, mask), norms, 0.0), axis=-1)


def energy(
    state: Array, stored: Array, beta: Any, mask: Array | None = None, alpha: float = 1.0
) -> Array:
    """``-Omega*(beta X xi)/beta + ||xi||^2/2 - Omega(1/N)/beta + M^2/2``."""
    count = np.sum(attends(state, stored, mask), axis=-1)
    level = -deformed_log(1.0 / np.maximum(count, 1), alpha) / alpha
    square = np.sum(state**2, axis=-1) + radius(state, stored, mask) ** 2
    value = (level - conjugate(scores(state, stored, beta, mask), alpha)) / beta + square / 2.0
    return np.where(count > 0, value, np.inf)


def fenchel_young_energy(state: Array, stored: Array, beta: float, alpha: float) -> Array:
    """The energy as in Santos et al.: a Fenchel-Young loss and two centred squares."""
    z = scores(state, stored, beta)
    uniform = np.full(z.shape[-1], 1.0 / z.shape[-1])
    loss = conjugate(z, alpha) + negentropy(uniform, alpha) - z @ uniform
    mean = np.mean(stored, axis=-2, keepdims=True)
    centred = np.sum((state - mean) ** 2, axis=-1)
    rest = radius(state, stored) ** 2 - np.sum(mean**2, axis=-1)
    return -loss / beta + centred / 2.0 + rest / 2.0


def association(
    state: Array,
    stored: Array,
    beta: Any,
    mask: Array | None = None,
    alpha: float = 1.0,
    projection: Array | None = None,
) -> Array:
    """``V^T w(beta X xi)``."""
    values = stored if projection is None else projection
    return np.einsum(
        "...ls,...sv->...lv", weights(scores(state, stored, beta, mask), alpha), values
    )


def jacobian(query: Array, stored: Array, beta: float, alpha: float = 1.0) -> Array:
    """Jacobian (d, d) of the update at a query (d,): ``beta Cov`` under the tangent weights."""
    w = weights(scores(query[None], stored, beta), alpha)[0]
    s = np.where(w > 0.0, np.where(w > 0.0, w, 1.0) ** (2.0 - alpha), 0.0)
    return beta * stored.T @ (np.diag(s) - np.outer(s, s) / np.sum(s)) @ stored


def slope(function: Callable[[Array], Array], x: Array, direction: Array, step: float) -> Array:
    """The central difference of a function along a direction."""
    ahead, behind = function(x + step * direction), function(x - step * direction)
    return (ahead - behind) / (2.0 * step)
