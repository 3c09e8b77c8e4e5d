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
from hopcore.prepared._found import SHARE, SLIP, Found, Sketched
from hopcore.prepared._products import FEW, excluded_by_products
from hopcore.prepared._sketch import TINY

BLOCK = 1 << 19
"""How many bounds are computed at once; they fit into a cache."""


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
    rows = min(max(1, BLOCK // count), len(states))
    blocks = [slice(i, min(i + rows, len(states))) for i in range(0, len(states), rows)]
    room = np.empty((rows, count), np.float32)
    found = [
        _of_block(memory, states[one], beta[one], gap, share, one.start, room) for one in blocks
    ]
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
    memory: Sketched, states: np.ndarray, beta: np.ndarray, gap: float, share: int, first: int,
    room: np.ndarray,
) -> Found:  # fmt: skip
    """:func:`survivors` of a few queries, the first of which has the number ``first``."""
    cold = beta * memory.directions.scale**2
    usable = np.flatnonzero((cold > 0.0) & (cold < np.inf))
    if len(usable) < len(states):
        states, beta, cold = states[usable], beta[usable], cold[usable]
    query, size, centred = memory.directions.query(states)
    bounds = _bounds(memory, query, size * cold, room[: len(query)])
    most = max(FEW, memory.count // share)
    kept = not_excluded(memory, bounds, centred, size, cold, gap, most) if len(usable) else []
    chosen = np.asarray([i for i, rows in enumerate(kept) if rows is not None], np.int64)
    rows = [rows for rows in kept if rows is not None]
    sizes = np.asarray([len(some) for some in rows], np.int64)
    row = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    if len(chosen) < len(states):
        states, beta = states[chosen], beta[chosen]
    read = sizes
    row, sizes = excluded_by_products(memory, states, beta, gap, row, sizes)
    return compared(memory, states, beta, row, sizes, usable[chosen] + first, read)


def _bounds(memory: Sketched, query: np.ndarray, unit: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Return the bounds of all patterns, of scores with a bias, or else in the units given."""
    if len(query) == 1:
        np.matmul(memory.table, query[0], out=room[0])
    else:
        np.matmul(query, memory.table.T, out=room)
    bounds = room
    if memory.bias is not None:
        bounds = (room.astype(np.float64) + TINY) * unit[:, None]
        bounds += memory.bias + SLIP * np.abs(memory.bias)
    if memory.dead is not None:
        bounds[:, memory.dead] = -np.inf
    return bounds
