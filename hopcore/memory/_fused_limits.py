"""Which separation functions and sizes the kernels for GPUs compute, in Triton and in Pallas."""

from __future__ import annotations

from typing import Any

from hopcore.arrays._backend import orders_of
from hopcore.memory._entmax import Entmax

LEAST_ORDER, MOST_ORDER = 1.0625, 2.0
"""Closer to 1, the power 1/(alpha - 1) would magnify the rounding of float32 more than 16 times;
above 2, the equation for the threshold is not convex."""

WIDEST = 256
"""The most coordinates of a pattern or a projection, which a program holds on the chip."""

LONGEST = 2**18
"""The most patterns. Sums of tiles of at least 16 patterns are added one after another in float32,
as many as a fused kernel of torch may add up (:data:`hopcore.arrays.LONG`)."""


def fused_refusal(separation: Any, coordinates: int, patterns: int) -> str:
    """Say why the kernels for GPUs do not compute an association; return "" if they do.

    Parameters
    ----------
    separation : separation function
        An object, not a name.
    coordinates : int
        The largest width of states, stored patterns and projections.
    patterns : int
        The number of stored patterns.

    Examples
    --------
    >>> import hopcore
    >>> hopcore.memory.fused_refusal(hopcore.Entmax(1.5), 64, 1000)
    ''
    >>> hopcore.memory.fused_refusal(hopcore.Entmax(3.0), 64, 1000)
    'alpha=3 is not between 1.0625 and 2.0'
    """
    if not getattr(separation, "softmax", False):
        if not isinstance(separation, Entmax) or orders_of(separation) is not None:
            return "the separation function is neither the softmax nor an entmax of one order"
        if not LEAST_ORDER <= separation.alpha <= MOST_ORDER:
            return f"alpha={separation.alpha:g} is not between {LEAST_ORDER} and {MOST_ORDER}"
    if coordinates > WIDEST:
        return f"{coordinates} coordinates are more than {WIDEST}"
    if patterns > LONGEST:
        return f"{patterns} patterns are more than float32 should add up, {LONGEST}"
    return ""
