r"""Where a pattern of a memory appears, from what it sees of the others: nothing is followed.

It is the saddle-node of equidistant patterns with what they have in common made each pattern's own.
"""

from __future__ import annotations

import math

import numpy as np

from hopcore.memory import Similarity
from hopcore.phase._patterns import HELD

HALVINGS = 30
"""Of the interval in which a local saddle-node lies, by its logarithm."""


def local_saddle_node(
    stored: np.ndarray, rows: np.ndarray, similarity: Similarity = "dot"
) -> np.ndarray:
    r"""Where some patterns would appear if the others, as they see them, stood still.

    A state with weight :math:`1 - q` at :math:`x_i` is :math:`x_i - q (x_i - y)`, with y the mean
    of the others under their softmax. With y as it is at :math:`q = 0` the fixed points fulfil
    :math:`\ln \frac{q}{1-q} = L + g q` with :math:`L = \operatorname{lse}_{j \ne i} \beta (x_j -
    x_i) \cdot x_i` and :math:`g = \beta \|x_i - y\|^2`. The local saddle-node is the lowest
    :math:`\beta` at which there is one with :math:`q \le 0.45`, so that the pattern is held. By
    distance, :math:`L = \operatorname{lse}_{j \ne i} -\tfrac\beta2 \|x_i - x_j\|^2`, with the
    softmax of these scores, and the rest is the same.

    For N >= 3 equidistant patterns it is :math:`b_{sn}` over the scale, exactly. Otherwise it is a
    lower bound as long as :math:`q \beta \operatorname{Cov}` of the others has no eigenvalue above
    1: then y goes away from :math:`x_i` as q grows, and their lse, which is convex, grows faster.

    Parameters
    ----------
    stored : float64 array (N, d)
    rows : integer array (n,)
    similarity : {"dot", "distance"}
        As in :func:`hopcore.retrieve`.

    Returns
    -------
    array (n,)
        inf where another pattern scores as high with :math:`x_i` as itself.
    """
    own = stored[rows]
    scores = own @ stored.T
    mine = np.sum(own**2, axis=-1)
    lead = scores - mine[:, None]
    if similarity == "distance":
        lead = lead - 0.5 * (np.sum(stored**2, axis=-1) - mine[:, None])
    lead[np.arange(len(rows)), rows] = -math.inf
    gap = -lead.max(axis=-1)
    covered = gap <= 1e-9 * mine.max()

    def appeared(beta: np.ndarray) -> np.ndarray:
        heat = beta[:, None] * lead
        most = heat.max(axis=-1, keepdims=True)
        weights = np.exp(heat - most)
        total = weights.sum(axis=-1, keepdims=True)
        others = (weights / total) @ stored
        pull = beta * np.sum((own - others) ** 2, axis=-1)
        # ln (q / (1-q)) - g q is highest where q (1-q) = 1 / g, or at the end, where g < 4.
        q = 0.5 * (1.0 - np.sqrt(np.maximum(1.0 - 4.0 / np.maximum(pull, 4.0), 0.0)))
        q = np.minimum(q, 1.0 - HELD)
        return (most + np.log(total))[:, 0] <= np.log(q / (1.0 - q)) - pull * q

    low = 0.1 / np.where(covered, 1.0, gap)
    high = 20.0 * low
    while not (arrived := appeared(high) | covered).all():
        high = np.where(arrived, high, 2.0 * high)
    for _ in range(HALVINGS):
        middle = np.sqrt(low * high)
        there = appeared(middle)
        low, high = np.where(there, low, middle), np.where(there, middle, high)
    return np.where(covered, math.inf, high)
