r"""The transition of N equidistant patterns: three temperatures, in closed form.

They depend only on N and on the effective inverse temperature :math:`b = \beta \Delta^2 / 2`, with
the distance :math:`\Delta` of the patterns.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import backend_of_input, check_real
from hopcore.arrays._backend import Array
from hopcore.arrays._scalar_checks import as_integer, check_integer, short_repr

NEWTON = 12
"""Steps of Newton's method; ten suffice for N from 3 to 1e12."""


class Transition(NamedTuple):
    """Effective inverse temperatures b of a memory of N equidistant patterns.

    Attributes
    ----------
    saddle_node : float
        The b above which each pattern has a minimum near it.
    coexistence : float
        The b at which that minimum is as low as the one at the centroid.
    spinodal : float
        The b above which the centroid is not a minimum.

    Examples
    --------
    >>> from hopcore import transition
    >>> transition(2)
    Transition(saddle_node=2.0, coexistence=2.0, spinodal=2.0)
    """

    saddle_node: float
    coexistence: float
    spinodal: float


@suggest_names
def transition(patterns: int) -> Transition:
    r"""Return the effective inverse temperatures at which the minima of a memory change.

    Between the first (:func:`hopcore.phase.saddle_node_beta`) and the last
    (:func:`hopcore.phase.centroid_beta`) it has minima of both kinds; they have the same energy at
    :func:`hopcore.phase.coexistence_beta`. For N = 2 all three are 2.

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
        N is not an integer, or is below 2.

    Notes
    -----
    The map along :math:`p_1 - p_j` is that of the mean-field Potts model with N states.

    Examples
    --------
    >>> import hopcore
    >>> print("{:.6f} {:.6f} {:.0f}".format(*hopcore.transition(10)))
    4.559779 4.943755 10
    """
    if getattr(patterns, "ndim", 0) > 0 or isinstance(patterns, list | tuple):
        raise TypeError(
            "patterns must be the number of patterns, an integer; for the patterns themselves use "
            "hopcore.critical_betas(patterns) or hopcore.suggest_beta(patterns)"
        )
    return transition_of(patterns)


@cache
def transition_of(patterns: int) -> Transition:
    """:func:`transition`, kept for each number of patterns."""
    check_integer("patterns", patterns, 2)
    betas = (saddle_node_beta, coexistence_beta, centroid_beta)
    return Transition(*(beta(patterns) for beta in betas))


def saddle_node_beta(patterns: int | Array) -> Any:
    r"""Return the effective inverse temperature above which N equidistant patterns are minima.

    :math:`b = (u+N-1)^2/(N u)` where :math:`u > 1` solves
    :math:`\ln u = (u-1)(u+N-1)/(N u)`, about :math:`\ln N + \ln \ln N + 1`; 2 for N = 2.

    Parameters
    ----------
    patterns : int, or array of any shape
        N >= 2. The relative error is 1e-15 in double precision, for N up to 1e12 and beyond.

    Returns
    -------
    float, or array
        For an array one of the same library and shape; of integers in the library's default
        floating dtype, of half precision in float32.

    Raises
    ------
    TypeError, ValueError
        N is not a number, or is below 2.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.phase.saddle_node_beta(np.asarray([2, 3, 10**12])).round(6)
    array([ 2.      ,  2.745644, 32.066625])
    """

    def formula(n: Array, xp: Any) -> Array:
        # Newton's method for x = ln u starts beyond the root of a concave function. It works with
        # u / N and 1 / u, which neither overflow nor cancel.
        x = xp.log(2.0 * n) + xp.log(xp.log(n) + 2.0)
        for _ in range(NEWTON):
            up, down = xp.exp(x) / n, (n - 1.0) / n * xp.exp(-x)
            x = x - (x - up - (n - 2.0) / n + down) / (1.0 - up - down)
        beta = xp.exp(x) / n + (n - 1.0) / n * (2.0 + (n - 1.0) * xp.exp(-x))
        return xp.where(n > 2.0, beta, n)

    return for_counts(patterns, formula)


def coexistence_beta(patterns: int | Array) -> Any:
    r"""Return the effective inverse temperature at which pattern and centroid have equal energies.

    :math:`b = 2 (N-1) \ln(N-1)/(N-2)` for N equidistant patterns, about :math:`2 \ln N`; 2 for
    N = 2.

    Parameters
    ----------
    patterns : int, or array of any shape
        As in :func:`hopcore.phase.saddle_node_beta`.

    Returns
    -------
    float, or array

    Examples
    --------
    >>> import hopcore
    >>> round(hopcore.phase.coexistence_beta(10), 6)
    4.943755
    """

    def formula(n: Array, xp: Any) -> Array:
        beyond = xp.where(n > 2.0, n - 2.0, xp.ones_like(n))
        return xp.where(n > 2.0, 2.0 * (n - 1.0) * xp.log1p(beyond) / beyond, n)

    return for_counts(patterns, formula)


def centroid_beta(patterns: int | Array) -> Any:
    """Return the effective inverse temperature above which the centroid is not a minimum: N.

    Parameters
    ----------
    patterns : int, or array of any shape
        As in :func:`hopcore.phase.saddle_node_beta`.

    Returns
    -------
    float, or array

    Examples
    --------
    >>> import hopcore
    >>> hopcore.phase.centroid_beta(10)
    10.0
    """
    return for_counts(patterns, lambda n, xp: 1.0 * n)


def for_counts(patterns: int | Array, formula: Callable[[Array, Any], Array]) -> Any:
    """Apply a formula to a number of patterns, an integer or an array."""
    if isinstance(patterns, int | np.integer):
        return float(formula(np.float64(as_integer("patterns", patterns, 2)), np))
    counts: Any = patterns
    backend = backend_of_input("patterns", counts)
    check_real("patterns", counts)
    if counts.dtype not in backend.precise:
        counts = backend.astype(counts, backend.xp.asarray(0.0).dtype)
    enough = (counts >= 2.0) & (counts < math.inf)
    if backend.can_read_values(counts) and not bool(backend.xp.all(enough)):
        raise ValueError(f"patterns must be >= 2 and finite, got {short_repr(counts)}")
    return formula(backend.astype(counts, backend.precise[counts.dtype]), backend.xp)
