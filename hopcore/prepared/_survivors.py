r"""The patterns that can matter for a query: all others are shown to have next to no weight.

Scores are bounded in three steps, each for the patterns that the step before could not exclude: by
the sketch, by a product in the dtype of the patterns, and by differences from the best pattern in
float64. Let :math:`s_b` be a lower bound of the largest score. A pattern whose score is at most
:math:`s_b + \log \tau` is excluded, so that n excluded patterns have together at most the weight
:math:`n \tau` of the best one. A sparse separation function gives such a pattern no weight at all
if :math:`\log \tau` is minus its reach.
"""

from __future__ import annotations

import numpy as np

from hopcore.prepared._differences import compared
from hopcore.prepared._excluded import not_excluded
from hopcore.prepared._found import Found, Sketched
from hopcore.prepared._products import FEW, excluded_by_products

BLOCK = 1 << 21
"""How many bounds are computed at once."""

SHARE = 8
"""A query that may need more than one in so many patterns is answered by the whole memory."""


def survivors(
    memory: Sketched, states: np.ndarray, beta: np.ndarray, gap: float, share: int = SHARE
) -> Found:
    r"""Return the patterns whose scores are not shown to be ``gap`` below the best.

    Parameters
    ----------
    memory : Sketched
        It has at least one pattern.
    states : array (L, d)
        In the dtype of the patterns.
    beta : float64 array (L,)
        Inverse temperatures.
    gap : float
        :math:`-\log \tau`, positive.
    share : int
        A query that may need more than one in so many patterns is not answered.
    """
    count = len(memory.table)
    rows = max(1, BLOCK // count)
    blocks = [slice(i, min(i + rows, len(states))) for i in range(0, len(states), rows)]
    found = [_of_block(memory, states[one], beta[one], gap, share, one.start) for one in blocks]
    if len(found) == 1:
        return found[0]
    ends = np.cumsum([0, *(len(one.row) for one in found)])
    starts = [one.start + end for one, end in zip(found, ends[:-1], strict=True)]
    joined = {
        name: np.concatenate([getattr(one, name) for one in found])
        for name in ("queries", "row", "score", "error", "best", "top", "excluded", "read")
    }
    return Found(start=np.concatenate(starts), **joined)


@np.errstate(over="ignore", under="ignore", invalid="ignore")
def _of_block(
    memory: Sketched, states: np.ndarray, beta: np.ndarray, gap: float, share: int, first: int
) -> Found:
    """:func:`survivors` of a few queries, the first of which has the number ``first``."""
    query, size, centred = memory.directions.query(states)
    bounds = (memory.table @ query[0])[None] if len(query) == 1 else query @ memory.table.T
    if memory.dead is not None:
        bounds[:, memory.dead] = -np.inf
    cold = beta * memory.directions.scale**2
    most = max(FEW, memory.count // share)
    queries, rows = [], []
    for i in np.flatnonzero((cold > 0.0) & (cold < np.inf)):
        kept = not_excluded(memory, bounds[i], centred[i], size[i], cold[i], gap, most)
        if kept is not None:
            queries.append(i)
            rows.append(kept)
    chosen = np.asarray(queries, np.int64)
    sizes = np.asarray([len(some) for some in rows], np.int64)
    row = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    states, beta = states[chosen], beta[chosen]
    read = sizes
    row, sizes = excluded_by_products(memory, states, beta, gap, row, sizes)
    return compared(memory, states, beta, row, sizes, chosen + first, read)
