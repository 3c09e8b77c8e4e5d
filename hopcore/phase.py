r"""Where a memory of temperature goes from one average to single patterns.

Of N patterns that lie equally far from each other only their number counts, and the effective
inverse temperature :math:`b = \beta \Delta^2 / 2` with their distance :math:`\Delta`.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

from hopcore.arrays import backend_of_input, floating, shape
from hopcore.backend import Array
from hopcore.setting_checks import whole


class Transition(NamedTuple):
    """Effective inverse temperatures b of a memory of N equidistant patterns.

    Attributes
    ----------
    saddle_node : float
        Minima at the patterns appear.
    coexistence : float
        A pattern and the centroid have the same energy.
    spinodal : float
        The centroid is no minimum any more.

    Examples
    --------
    >>> from hopcore import transition
    >>> transition(2)
    Transition(saddle_node=2.0, coexistence=2.0, spinodal=2.0)
    """

    saddle_node: float
    coexistence: float
    spinodal: float


@cache
def transition(patterns: int) -> Transition:
    r"""The effective inverse temperatures at which a memory changes its minima.

    The saddle-node is :math:`b = (u+N-1)^2/(N u)` where :math:`u > 1` solves
    :math:`\ln u = (u-1)(u+N-1)/(N u)`; coexistence :math:`2 (N-1) \ln(N-1)/(N-2)`; the spinodal
    :math:`N`. Between the first and the last the memory has both kinds of minima. For N = 2 all
    three are 2.

    Parameters
    ----------
    patterns : int
        N >= 2.

    Returns
    -------
    Transition

    Raises
    ------
    TypeError, ValueError
        N is no integer, or below 2.

    Notes
    -----
    The map along :math:`p_1 - p_j` is that of the mean-field Potts model with N states.

    Examples
    --------
    >>> import hopcore
    >>> print("{:.6f} {:.6f} {:.0f}".format(*hopcore.transition(10)))
    4.559779 4.943755 10
    """
    whole("patterns", patterns, 2)
    n = patterns
    if n == 2:
        return Transition(2.0, 2.0, 2.0)

    from scipy.optimize import root_scalar  # noqa: PLC0415 - a third of a second that few need

    def excess(u: float) -> float:
        return math.log(u) - (u - 1.0) * (u + n - 1.0) / (n * u)

    # Positive between 1 and the root, where N - 1 is; negative beyond 2 N (ln N + 2).
    bracket = n - 1.0, 2.0 * n * (math.log(n) + 2.0)
    root = root_scalar(excess, bracket=bracket, rtol=1e-14).root
    return Transition(
        (root + n - 1.0) ** 2 / (n * root),
        2.0 * (n - 1.0) * math.log(n - 1.0) / (n - 2.0),
        float(n),
    )


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
    >>> round(hopcore.effective_scale(np.eye(5)), 12)
    1.0
    """
    backend = backend_of_input("stored", stored)
    floating(backend, "stored", stored)
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
