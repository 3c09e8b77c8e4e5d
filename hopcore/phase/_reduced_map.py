r"""The update of N equidistant patterns on the line from their centroid to one of them.

On this line the N - 1 other patterns have equal weights, and the update maps one number, the
overlap :math:`s = p_1 - p_j`: 0 at the centroid, 1 at the pattern. This is the mean-field Potts
model with N states.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from hopcore.arrays._array_checks import backend_of_input, check_floating
from hopcore.arrays._backend import Array
from hopcore.arrays._scalar_checks import MOST_STEPS, as_number, check_integer, check_positive
from hopcore.phase._theory import saddle_node_beta


def reduced_map(overlap: float | Array, b: float, patterns: int) -> Any:
    r"""Return the overlap after one update, :math:`f(s) = (e^{bs} - 1) / (e^{bs} + N - 1)`.

    Parameters
    ----------
    overlap : float, or array of any shape
        s, from -1/(N-1) to 1; 0 is the centroid and 1 the pattern.
    b : float
        Effective inverse temperature :math:`\beta \Delta^2 / 2`, positive.
    patterns : int
        N >= 2.

    Returns
    -------
    float, or array
        As ``overlap``; half precision is computed in float32 and converted back.

    Raises
    ------
    TypeError, ValueError
        The overlap is not a real floating array, b is not positive, or N is below 2.

    Notes
    -----
    Spec P1. Only exponentials of ``-b |s|`` are computed, so that neither end overflows.

    Examples
    --------
    >>> import hopcore
    >>> round(hopcore.phase.reduced_map(0.5, 6.0, 10), 6), hopcore.phase.reduced_map(1.0, 1e6, 10)
    (0.656187, 1.0)
    """
    check_positive("b", b)
    check_integer("patterns", patterns, 2)
    if isinstance(overlap, int | float | np.generic):
        return float(map_overlaps(np.float64(as_number("overlap", overlap)), b, patterns, np))
    backend = backend_of_input("overlap", overlap)
    check_floating(backend, "overlap", overlap)
    precise = backend.astype(overlap, backend.precise[overlap.dtype])
    return backend.astype(map_overlaps(precise, b, patterns, backend.xp), overlap.dtype)


def map_overlaps(overlap: Array, b: float, patterns: int, xp: Any) -> Array:
    """Return the reduced map of an array."""
    # Each of the two forms is exact on its side of 0, and 0 on the other.
    # Farther out the map is constant up to rounding: no exponential vanishes, no product overflows.
    limits = xp.finfo(overlap.dtype)
    most = min(-math.log(float(limits.smallest_normal)) / b, float(limits.max))
    overlap = xp.where(overlap > most, xp.full_like(overlap, most), overlap)
    overlap = xp.where(overlap < -most, xp.full_like(overlap, -most), overlap)
    up = xp.where(overlap > 0, overlap, xp.zeros_like(overlap))
    down = overlap - up
    above = -xp.expm1(-b * up) / (1.0 + (patterns - 1.0) * xp.exp(-b * up))
    below = xp.expm1(b * down) / (xp.exp(b * down) + (patterns - 1.0))
    return above + below


def cobweb(overlap: float, b: float, patterns: int, *, steps: int = 50) -> np.ndarray:
    """Return the path of a cobweb diagram: up to the map, across to the diagonal, and so on.

    Parameters
    ----------
    overlap : float
        The first overlap.
    b, patterns
        As in :func:`hopcore.phase.reduced_map`.
    steps : int
        Updates, >= 0.

    Returns
    -------
    array (2 steps + 1, 2)
        Points (s, s'), the first on the diagonal.

    Raises
    ------
    TypeError, ValueError
        As in :func:`hopcore.phase.reduced_map`, or the overlap is not finite.

    Examples
    --------
    >>> import hopcore
    >>> hopcore.phase.cobweb(0.5, 6.0, 10, steps=1).round(3)
    array([[0.5  , 0.5  ],
           [0.5  , 0.656],
           [0.656, 0.656]])
    """
    check_integer("steps", steps, 0, MOST_STEPS)
    overlap = as_number("overlap", overlap)
    points = [(overlap, overlap)]
    for _ in range(steps):
        new = reduced_map(points[-1][1], b, patterns)
        points += [(points[-1][1], new), (new, new)]
    return np.asarray(points, np.float64)


class ReducedFixedPoint(NamedTuple):
    """A fixed point of the reduced map.

    Attributes
    ----------
    overlap : float
        s = f(s).
    slope : float
        f'(s); below 1 the fixed point attracts on the line.

    Examples
    --------
    >>> import hopcore
    >>> hopcore.phase.reduced_fixed_points(3.0, 10)
    (ReducedFixedPoint(overlap=0.0, slope=0.3),)
    """

    overlap: float
    slope: float


def reduced_fixed_points(b: float, patterns: int) -> tuple[ReducedFixedPoint, ...]:
    r"""Return all fixed points of the reduced map, sorted by overlap.

    The centroid s = 0 has the slope b / N. Above the saddle-node there are two more: the pattern's
    minimum, and the barrier between it and the centroid, which passes the centroid at b = N.

    Parameters
    ----------
    b, patterns
        As in :func:`hopcore.phase.reduced_map`.

    Returns
    -------
    tuple of ReducedFixedPoint
        One or three.

    Examples
    --------
    >>> import hopcore
    >>> [round(point.overlap, 4) for point in hopcore.phase.reduced_fixed_points(6.0, 10)]
    [0.0, 0.2317, 0.9713]
    """
    check_positive("b", b)
    check_integer("patterns", patterns, 2)
    start = saddle_node_beta(patterns)
    overlaps = [0.0]
    if b > start:
        rest = patterns - 1.0
        # At the fold, p_1 / p_j = u is the larger solution of b_sn = (u + N - 1)^2 / (N u).
        half = 0.5 * (patterns * start - 2.0 * rest)
        u = half + math.sqrt(max(half * half - rest * rest, 0.0))
        fold = (u - 1.0) / (u + rest)
        overlaps.append(bisect_overlap(b, patterns, fold, 1.0))
        if b != patterns:
            ends = (fold, 1e-300) if b < patterns else (-1e-300, -1.0 / rest)
            overlaps.append(bisect_overlap(b, patterns, *ends))
    return tuple(ReducedFixedPoint(s, slope(s, b, patterns)) for s in sorted(overlaps))


def slope(overlap: float, b: float, patterns: int) -> float:
    """Return the derivative of the reduced map, b N u / (u + N - 1)^2 with u = e^{bs}."""
    # In terms of e^{-b|s|}: near a pattern, 1 - s would be lost to rounding.
    small = math.exp(-b * abs(overlap))
    whole = small + patterns - 1.0 if overlap < 0.0 else 1.0 + (patterns - 1.0) * small
    if b * patterns == math.inf:
        return b * (patterns * small / whole**2)
    return b * patterns * small / whole**2


def bisect_overlap(b: float, patterns: int, low: float, high: float) -> float:
    """Find the fixed point between the overlap of a lower b and that of a higher b."""

    def excess(s: float) -> float:
        # b(s) - b, where s is a fixed point at b(s): unlike f(s) - s it has no root at 0.
        if s >= 1.0 or (patterns - 1.0) * s <= -1.0:
            return math.inf
        return (math.log1p((patterns - 1.0) * s) - math.log1p(-s)) / s - b

    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        low, high = (middle, high) if excess(middle) < 0.0 else (low, middle)
    return 0.5 * (low + high)
