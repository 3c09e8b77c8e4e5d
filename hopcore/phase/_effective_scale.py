"""The effective inverse temperature of a memory, from the distances of its patterns."""

from __future__ import annotations

import math

from hopcore.arrays._array_checks import backend_of_input, check_floating, shape
from hopcore.arrays._library import AnyArray
from hopcore.arrays._scalar_checks import check_positive


def effective_beta(stored: AnyArray, beta: float) -> float:
    r"""Return the effective inverse temperature :math:`b`, beta times the scale of a memory.

    Parameters
    ----------
    stored : array (..., N, d)
        As in :func:`hopcore.phase.effective_scale`.
    beta : float
        Positive.

    Returns
    -------
    float
        Comparable with :func:`hopcore.transition` of N patterns; exact if they are equidistant.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> round(hopcore.phase.effective_beta(2.0 * np.eye(5), 0.5), 12)
    2.0
    """
    check_positive("beta", beta)
    return beta * effective_scale(stored)


def effective_scale(stored: AnyArray) -> float:
    r"""Return the scale of a memory: half the mean square distance of its stored patterns.

    :math:`\operatorname{mean}_{i<j} \|x_i - x_j\|^2 / 2`, computed as the total variance
    :math:`\sum_i \|x_i - \bar x\|^2 / (N - 1)`.

    Parameters
    ----------
    stored : array (..., N, d)
        N >= 2 patterns; several memories give the mean of their scales.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        There are fewer than two patterns, or they are not finite or not real floating.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> round(hopcore.phase.effective_scale(np.eye(5)), 12)
    1.0
    """
    backend = backend_of_input("stored", stored)
    check_floating(backend, "stored", stored)
    if stored.ndim < 2 or stored.shape[-2] < 2:
        raise ValueError(f"stored must be (..., N, d) with N >= 2 patterns, got {shape(stored)}")
    if 0 in stored.shape[:-2]:
        raise ValueError(f"stored must hold at least one memory, got {shape(stored)}")
    xp = backend.xp
    precise = backend.astype(stored, backend.precise[stored.dtype])
    centred = precise - xp.mean(precise, axis=-2, keepdims=True)
    squares = xp.sum(centred * centred, axis=(-2, -1))
    scale = float(backend.constant(xp.mean(squares))) / (stored.shape[-2] - 1)
    if not math.isfinite(scale):
        raise ValueError(f"stored must be finite, its mean square distance is {scale}")
    return scale
