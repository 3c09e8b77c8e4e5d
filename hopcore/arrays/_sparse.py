"""Sparse supports: the few stored patterns that have a positive weight.

With fewer patterns the largest weight can only be larger. So the largest weight for the maxima of
groups of scores bounds the distance below the largest score from which weights are 0. Only the
scores above this bound are passed to the solver. This is for NumPy, which can write by index.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

from hopcore.arrays._backend import Array, Loop, SeparationFunction, orders_of, with_orders

GROUP = 16
"""Scores per group."""

SMALL = 128
"""With fewer scores than this, a search for the support does not save time."""

CACHED = 1 << 16
"""Scores that a solver works on at a time (256 KiB in float32)."""


class Support(NamedTuple):
    """The candidates of R queries, padded to the K of the query with the most."""

    index: Array | None
    """(R, K) integers, the stored pattern of each weight; None where the weights are dense."""
    weights: Array
    """(R, K), zero where padded; (R, S) where dense."""
    conjugate: Array
    """(R,)"""
    scores: Array | None = None
    """The scores of the weights, in their shape."""


def support(scores: Array, separation: SeparationFunction, xp: ModuleType, loop: Loop) -> Support:
    """Find weights and conjugate of scores ``(R, S)``, -inf where masked; sparse if few are > 0."""
    rows, width = scores.shape
    evaluate: Any = getattr(separation, "evaluate_whole", separation.evaluate)
    if rows == 0 or width < SMALL:
        found, conjugate = evaluate(scores, xp, loop)
        return Support(None, found, conjugate, scores)
    grouped = width - width % GROUP
    groups = xp.reshape(scores[:, :grouped], (rows, GROUP, -1))
    maxima = xp.concat([xp.max(groups, axis=1), scores[:, grouped:]], axis=1)
    _, weights, _, weighted = support(maxima, separation, xp, loop)
    # Rounded up, since it must be an upper bound; it is 0 where all patterns are masked.
    largest = xp.max(weights, axis=-1, keepdims=True) * (1.0 + 8.0 * xp.finfo(scores.dtype).eps)
    largest = xp.where(largest > 0.0, largest, 1.0)
    top = xp.max(maxima, axis=-1, keepdims=True)
    find: Any = getattr(separation, "lowest", None)
    lowest = find(weighted, weights, xp) if find else top - separation.reach_of(largest)
    # The top itself is always in reach, also where top - reach rounds to top.
    candidates = chosen(scores, xp.where(top == -xp.inf, xp.inf, lowest), xp)
    if candidates is None:
        return dense(scores, largest, separation, xp, loop)
    index, values = candidates
    found, conjugate = evaluate(values, xp, loop, largest)
    return Support(index, found, conjugate, values)


def dense(
    scores: Array, largest: Array, separation: SeparationFunction, xp: ModuleType, loop: Loop
) -> Support:
    """Find all weights a few rows at a time, so that the solver's passes stay within the cache."""
    weights, conjugate = xp.empty_like(scores), xp.empty_like(scores[:, 0])
    rows, orders = max(1, CACHED // scores.shape[1]), orders_of(separation)
    fill: Any = getattr(separation, "fill_rows", None)
    if fill is not None and fill(scores, largest, weights, conjugate, rows):
        return Support(None, weights, conjugate, scores)
    for start in range(0, scores.shape[0], rows):
        part = slice(start, start + rows)
        some = with_orders(separation, None if orders is None else orders[part])
        evaluate: Any = getattr(some, "evaluate_whole", some.evaluate)
        weights[part], conjugate[part] = evaluate(scores[part], xp, loop, largest[part])
    return Support(None, weights, conjugate, scores)


def chosen(scores: Array, lowest: Array, xp: ModuleType) -> tuple[Array, Array] | None:
    """Index and value ``(R, K)`` of the scores from ``lowest`` up; None if K > S / 4."""
    rows, width = scores.shape
    above = scores >= lowest
    if 4 * int(xp.count_nonzero(above)) > rows * width:  # so many in one row, at least
        return None
    flat = xp.nonzero(xp.reshape(above, (-1,)))[0]
    starts = xp.searchsorted(flat, xp.arange(rows + 1, dtype=flat.dtype) * width)
    most = max(1, int(xp.max(starts[1:] - starts[:-1])))
    if 4 * most > width:
        return None
    row = flat // width
    slot = row * most + (xp.arange(flat.shape[0], dtype=flat.dtype) - starts[row])
    values = xp.full((rows * most,), -xp.inf, dtype=scores.dtype)
    values[slot] = xp.reshape(scores, (-1,))[flat]
    index = xp.zeros((rows * most,), dtype=flat.dtype)
    index[slot] = flat - row * width
    return xp.reshape(index, (rows, most)), xp.reshape(values, (rows, most))
