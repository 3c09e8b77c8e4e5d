r"""How sharp a minimum is: the Hessian of the energy, :math:`1 - \beta \operatorname{Cov}_p(x)`."""

from __future__ import annotations

from typing import Any

import numpy as np

from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._inputs import check_inputs
from hopcore.arrays._memory_kernels import norm
from hopcore.memory._separation import get_separation

POWER_STEPS, POWER_TOLERANCE = 100, 1e-7
"""Products of the power method, at most, and the relative change at which it ends."""


def normalized_divergence(
    state: Array, stored: Array, beta: Any, *, dimension: int | None = None
) -> Array:
    r"""The mean eigenvalue of the energy's Hessian in the hull of the patterns.

    :math:`\kappa = 1 - \beta \operatorname{tr} \operatorname{Cov}_p(x) / D` with
    :math:`p = \operatorname{softmax}(\beta X \xi)`: 1 at a minimum that is one pattern, small where
    many are mixed. For N equidistant patterns it is :math:`1 - b (1 - \|p\|^2)/(N-1)`; at their
    centroid :math:`1 - b/N`, which is 0 where the centroid loses its stability.

    Parameters
    ----------
    state : array (..., L, d)
        State patterns.
    stored : array (..., N, d)
        N >= 2 stored patterns.
    beta : float or array broadcastable to (..., L)
        Inverse temperature, positive.
    dimension : int, optional
        D, the dimension of the hull; min(N - 1, d) if not given, as it is of patterns in general
        position.

    Returns
    -------
    array (..., L)
        At most 1; float32 for half precision.

    Raises
    ------
    TypeError, ValueError
        Inputs that do not fit together, see :func:`hopcore.arrays.check_inputs`; D below 1.

    Notes
    -----
    Spec P4.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> patterns = np.eye(4)
    >>> centroid = patterns.mean(axis=0, keepdims=True)
    >>> hopcore.phase.normalized_divergence(centroid, patterns, 2.0)
    array([0.5])
    """
    inputs = check_inputs(state, stored, beta=beta)
    count = stored.shape[-2]
    hull = hull_of(stored) if dimension is None else dimension
    if isinstance(hull, bool) or hull < 1:
        wanted = "N >= 2 patterns" if dimension is None else "a dimension >= 1"
        raise ValueError(f"the divergence needs {wanted}, got {count} and {dimension}")
    backend, xp, state, stored, _, beta, _ = inputs
    wide = backend.precise[state.dtype]
    state, stored = backend.astype(state, wide), backend.astype(stored, wide)
    beta = beta if isinstance(beta, float) else backend.astype(beta, wide)
    centred = stored - xp.mean(stored, axis=-2, keepdims=True)
    moments = xp.concat([centred, backend.square_lengths(centred)[..., None]], axis=-1)
    softmax = get_separation("softmax")
    found, _ = backend.associate(state, stored, moments, beta, None, softmax)
    return mean_curvature(found[..., :-1], found[..., -1], beta, hull, backend)


def hull_of(stored: Array) -> int:
    """The dimension of the hull of patterns (..., N, d) in general position."""
    return min(stored.shape[-2] - 1, stored.shape[-1])


def mean_curvature(mean: Array, square: Array, beta: Any, hull: int, backend: Backend) -> Array:
    """The divergence from the weighted mean (..., d) of patterns and of their squares (...)."""
    spread = square - backend.square_lengths(mean)
    return 1.0 - beta * backend.xp.where(spread > 0, spread, 0.0) / hull


def jacobian_radius(state: Array, stored: Array, beta: Any) -> Array:
    r"""The largest eigenvalue of the update's Jacobian, :math:`\beta \operatorname{Cov}_p(x)`.

    Below 1 a fixed point attracts and is a minimum of the energy; at 1 it is where a minimum
    appears or vanishes.

    Parameters
    ----------
    state : array (..., L, d)
        State patterns.
    stored : array (..., N, d)
        Stored patterns.
    beta : float or array broadcastable to (..., L)
        Inverse temperature, positive.

    Returns
    -------
    array (..., L)
        Not negative; float32 for half precision. Found by the power method, from below: where the
        two largest eigenvalues differ by less than 5 % it may be short by some of that.

    Raises
    ------
    TypeError, ValueError
        Inputs that do not fit together, see :func:`hopcore.arrays.check_inputs`.

    Notes
    -----
    Spec E4. Holds arrays of shape (..., L, N).

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> patterns = np.eye(4)
    >>> hopcore.phase.jacobian_radius(patterns.mean(axis=0, keepdims=True), patterns, 2.0).round(9)
    array([0.5])
    """
    backend, xp, state, stored, _, beta, _ = check_inputs(state, stored, beta=beta)
    wide = backend.precise[state.dtype]
    state, stored = backend.astype(state, wide), backend.astype(stored, wide)
    beta = beta if isinstance(beta, float) else backend.astype(beta, wide)
    centred = stored - xp.mean(stored, axis=-2, keepdims=True)
    scores = backend.scores(state, stored, beta, None)
    weights = backend.separate(scores, get_separation("softmax"))[0]
    return beta * largest_variance(weights, centred, backend)


def largest_variance(weights: Array, patterns: Array, backend: Backend) -> Array:
    """The largest eigenvalue of the covariance of patterns (..., N, d) by weights (..., L, N)."""
    xp, wide = backend.xp, weights.dtype
    across = xp.matrix_transpose(patterns)
    start = np.random.default_rng(0).standard_normal(weights.shape[-1]).astype(np.float32)
    guess = backend.astype(backend.asarray(start, device=backend.device(weights)), wide)

    def product(values: Array) -> Array:
        # Cov v = sum_i p_i (x_i - m) a_i with a_i = (x_i - m).v, from a_i before their mean is
        # taken away.
        level = xp.sum(weights * values, axis=-1, keepdims=True)
        return xp.matmul(weights * (values - level), patterns)

    def body(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        vector, found, _ = carry
        length = norm(vector, xp)
        unit = vector / xp.where(length > 0, length, 1.0)[..., None]
        vector = product(xp.matmul(unit, across))
        new = xp.sum(unit * vector, axis=-1)
        return vector, new, xp.abs(new - found) > POWER_TOLERANCE * new

    first = product(xp.broadcast_to(guess, weights.shape))
    nothing = xp.zeros_like(first[..., 0])
    init = (first, nothing, nothing == 0.0)
    found = backend.loop(lambda carry: xp.any(carry[2]), body, init, POWER_STEPS)[1]
    return xp.where(found > 0, found, 0.0)
