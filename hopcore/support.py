"""Sparse supports: the few stored patterns that a query of a sparse separation function attends to.

A pattern whose score is the separation's reach or more below the largest score gets no weight, so the
weights of a block of scores are found on the candidates alone. For eager libraries that write into
arrays by index (NumPy, torch on the CPU).
"""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

from hopcore.backend import Array, Backend, SeparationFunction


class Support(NamedTuple):
    """The candidates of R queries, padded to the K of the query that has most."""

    index: Array
    """(R, K) integers: which stored pattern."""
    weights: Array
    """(R, K); zero where padded."""
    conjugate: Array
    """(R,)"""


def support(
    scores: Array, separation: SeparationFunction, backend: Backend, xp: ModuleType
) -> Support | None:
    """The support of scores ``(R, S)``, or None where it is no smaller than a dense solution.

    ``scores`` must be contiguous; -inf is masked. A query with everything masked gets no candidates.
    """
    rows, width = scores.shape
    top = xp.max(scores, axis=-1, keepdims=True)
    # At least the top itself is a candidate, also where top - reach rounds to top.
    floor = xp.where(top == -xp.inf, xp.inf, top - separation.reach)
    flat = xp.nonzero(xp.reshape(scores >= floor, (-1,)))[0]
    starts = xp.searchsorted(flat, xp.arange(rows + 1, dtype=flat.dtype) * width)
    most = max(1, int(xp.max(starts[1:] - starts[:-1]))) if rows else 1
    if 4 * most > width:
        return None
    row = flat // width
    slot = row * most + (xp.arange(flat.shape[0], dtype=flat.dtype) - starts[row])
    candidates = xp.full((rows * most,), -xp.inf, dtype=scores.dtype)
    candidates[slot] = xp.reshape(scores, (-1,))[flat]
    index = xp.zeros((rows * most,), dtype=flat.dtype)
    index[slot] = flat - row * width
    weights, conjugate = backend.separate(xp.reshape(candidates, (rows, most)), separation)
    return Support(xp.reshape(index, (rows, most)), weights, conjugate)
