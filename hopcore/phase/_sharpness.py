r"""The sharpness of minima, from the Hessian :math:`1 - \beta \operatorname{Cov}_p(x)`."""

from __future__ import annotations

from typing import Any

import numpy as np

from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._inputs import check_inputs, in_precise_dtype
from hopcore.arrays._memory_kernels import norm
from hopcore.arrays._scalar_checks import as_number
from hopcore.memory._separation import get_separation

POWER_STEPS, POWER_TOLERANCE = 100, 1e-7
"""The most products of the power method, and the relative change that ends it."""


def normalized_divergence(
    state: Array, stored: Array, beta: Any, *, dimension: int | None = None
) -> Array:
    r"""Return the mean eigenvalue of the energy's Hessian in the hull of the patterns.

    :math:`\kappa = 1 - \beta \operatorname{tr} \operatorname{Cov}_p(x) / D` with
    :math:`p = \operatorname{softmax}(\beta X \xi)`: 1 at a minimum that is one pattern, small
    for a mixture of many. For N equidistant patterns it is :math:`1 - b (1 - \|p\|^2)/(N-1)`; at
    their centroid :math:`1 - b/N`, which is 0 where the centroid loses its stability.

    Parameters
    ----------
    state : array (..., L, d)
        State patterns.
    stored : array (..., N, d)
        N >= 2 stored patterns.
    beta : float or array broadcastable to (..., L)
        Inverse temperature, positive.
    dimension : int, optional
        D, the dimension of the hull; min(N - 1, d), that of patterns in general position, if not
        given.

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
    if dimension is not None:
        as_number("dimension", dimension, 1.0)
    elif hull < 1:
        raise ValueError(f"the divergence needs N >= 2 patterns, got {count}")
    backend, xp, (state, stored, beta) = inputs.backend, inputs.xp, in_precise_dtype(inputs)
    centred = stored - xp.mean(stored, axis=-2, keepdims=True)
    moments = xp.concat([centred, backend.square_lengths(centred)[..., None]], axis=-1)
    softmax = get_separation("softmax")
    means, _ = backend.associate(state, stored, moments, beta, None, softmax)
    return mean_curvature(means[..., :-1], means[..., -1], beta, hull, backend)


def hull_of(stored: Array) -> int:
    """Return the dimension of the hull of patterns (..., N, d) in general position."""
    return min(stored.shape[-2] - 1, stored.shape[-1])


def mean_curvature(mean: Array, square: Array, beta: Any, hull: int, backend: Backend) -> Array:
    """Return the divergence from the weighted means of patterns (..., d) and of squares (...)."""
    variance = square - backend.square_lengths(mean)
    return 1.0 - beta * backend.xp.where(variance > 0, variance, 0.0) / hull


def jacobian_radius(state: Array, stored: Array, beta: Any) -> Array:
    r"""Return the largest eigenvalue of the Jacobian :math:`\beta \operatorname{Cov}_p(x)`.

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
    inputs = check_inputs(state, stored, beta=beta)
    backend, xp, (state, stored, beta) = inputs.backend, inputs.xp, in_precise_dtype(inputs)
    centred = stored - xp.mean(stored, axis=-2, keepdims=True)
    scores = backend.scores(state, stored, beta, None)
    weights = backend.separate(scores, get_separation("softmax"))[0]
    return beta * largest_variance(weights, centred, backend)


def largest_variance(weights: Array, patterns: Array, backend: Backend) -> Array:
    """Return the largest eigenvalue of patterns' covariance (..., N, d), weighted (..., L, N)."""
    xp = backend.xp
    across = xp.matrix_transpose(patterns)
    start = np.random.default_rng(0).standard_normal(weights.shape[-1]).astype(np.float32)
    guess = backend.astype(backend.asarray(start, device=backend.device(weights)), weights.dtype)

    def product(values: Array) -> Array:
        # Cov v = sum_i p_i (x_i - m) a_i with a_i = (x_i - m).v; the mean of a_i is subtracted.
        mean = xp.sum(weights * values, axis=-1, keepdims=True)
        return xp.matmul(weights * (values - mean), patterns)

    def body(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        vector, value, _ = carry
        length = norm(vector, xp)
        unit = vector / xp.where(length > 0, length, 1.0)[..., None]
        vector = product(xp.matmul(unit, across))
        new = xp.sum(unit * vector, axis=-1)
        return vector, new, xp.abs(new - value) > POWER_TOLERANCE * new

    first = product(xp.broadcast_to(guess, weights.shape))
    zero = xp.zeros_like(first[..., 0])
    init = (first, zero, zero == 0.0)
    value = backend.loop(lambda carry: xp.any(carry[2]), body, init, POWER_STEPS)[1]
    return xp.where(value > 0, value, 0.0)
