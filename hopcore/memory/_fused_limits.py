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

PROGRAMS = 2**31 - 1
"""The most programs of a launch of CUDA."""

FEWEST = 16
"""The smallest number of queries, or of patterns, of a program."""

CAPABILITY = 8, 0
"""The least compute capability: the first with bfloat16 and with products of 11-bit parts."""


def fused_refusal(
    separation: Any,
    coordinates: int,
    patterns: int,
    *,
    queries: int = 1,
    lead: int = 1,
    interpreted: float | None = None,
) -> str:
    """Say why the kernels for GPUs do not compute an association; return "" if they do.

    Parameters
    ----------
    separation : separation function
        An object, not a name.
    coordinates : int
        The largest width of states, stored patterns and projections.
    patterns : int
        The number of stored patterns.
    queries : int
        The number of queries.
    lead : int
        The number of leading indices, each of which has so many queries and patterns.
    interpreted : float, optional
        The most tiles of 4 x 4 scores that an interpreter takes; not given on a GPU.

    Returns
    -------
    str
        The reason, or an empty string.

    Examples
    --------
    >>> import hopcore
    >>> hopcore.memory.fused_refusal(hopcore.Entmax(1.5), 64, 1000)
    ''
    >>> hopcore.memory.fused_refusal(hopcore.Entmax(3.0), 64, 1000)
    'alpha=3 is not between 1.0625 and 2.0'
    """
    return order_refusal(separation) or size_refusal(
        coordinates, patterns, queries, lead, interpreted
    )


def order_refusal(separation: Any) -> str:
    """Say why the kernels do not compute a separation function; return "" if they do."""
    if getattr(separation, "softmax", False):
        return ""
    if not isinstance(separation, Entmax) or orders_of(separation) is not None:
        return "the separation function is neither the softmax nor an entmax of one order"
    if not LEAST_ORDER <= separation.alpha <= MOST_ORDER:
        return f"alpha={separation.alpha:g} is not between {LEAST_ORDER} and {MOST_ORDER}"
    return ""


def size_refusal(
    coordinates: int, patterns: int, queries: int, lead: int, interpreted: float | None
) -> str:
    """Say why the kernels do not take so large arrays; return "" if they do."""
    if coordinates > WIDEST:
        return f"{coordinates} coordinates are more than {WIDEST}"
    if patterns > LONGEST:
        return f"{patterns} patterns are more than float32 should add up, {LONGEST}"
    programs = lead * -(-max(queries, patterns) // FEWEST)
    if programs > PROGRAMS:
        return f"{programs} programs are more than a launch has, {PROGRAMS}"
    if interpreted is not None and lead * -(-queries // 4) * -(-patterns // 4) > interpreted:
        return f"{lead} x {queries} x {patterns} scores take the interpreter too long"
    return ""


def fused_gpu_refusal(capability: tuple[int, int]) -> str:
    """Say why the kernels for GPUs do not run on one of a compute capability; return "" if they do.

    Examples
    --------
    >>> import hopcore
    >>> hopcore.memory.fused_gpu_refusal((7, 5))
    'compute capability 7.5 is below 8.0'
    """
    if capability < CAPABILITY:
        found, least = (".".join(map(str, x)) for x in (capability, CAPABILITY))
        return f"compute capability {found} is below {least}"
    return ""
