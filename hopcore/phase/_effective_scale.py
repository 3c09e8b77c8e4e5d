"""How far apart the patterns of a memory lie, and whether theory speaks of them."""

from __future__ import annotations

import math

from hopcore.arrays._backend import Array
from hopcore.arrays._inputs import backend_of_input, check_floating, shape
from hopcore.arrays._validation import check_positive


def effective_beta(stored: Array, beta: float) -> float:
    r"""The effective inverse temperature of a memory, :math:`b = \beta` times its scale.

    Parameters
    ----------
    stored : array (..., N, d)
        As in :func:`hopcore.phase.effective_scale`.
    beta : float
        Positive.

    Returns
    -------
    float
        To be compared with what :func:`hopcore.transition` says of N patterns; exact where they
        are equidistant.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> round(hopcore.phase.effective_beta(2.0 * np.eye(5), 0.5), 12)
    2.0
    """
    check_positive("beta", beta)
    return beta * effective_scale(stored)


def effective_scale(stored: Array) -> float:
    r"""Half the mean square distance of stored patterns, so that :math:`b = \beta` times it.

    :math:`\operatorname{mean}_{i<j} \|x_i - x_j\|^2 / 2`, computed as the total variance
    :math:`\sum_i \|x_i - \bar x\|^2 / (N - 1)`.

    Parameters
    ----------
    stored : array (..., N, d)
        N >= 2 patterns; of several memories the mean is taken.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        Not N >= 2 patterns of a real floating dtype, or not finite.

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
    xp = backend.xp
    wide = backend.astype(stored, backend.precise[stored.dtype])
    centred = wide - xp.mean(wide, axis=-2, keepdims=True)
    squares = xp.sum(centred * centred, axis=(-2, -1))
    found = float(backend.constant(xp.mean(squares))) / (stored.shape[-2] - 1)
    if not math.isfinite(found):
        raise ValueError(f"stored must be finite, its mean square distance is {found}")
    return found
