r"""When a memory should say that it does not know a query: split-conformal thresholds.

The score of a query is its distance to the nearest pattern, or its energy. With the scores
:math:`s_1 \le \dots \le s_n` of n queries that the memory should know, the threshold is
:math:`s_k` with :math:`k = \lceil (n + 1)(1 - \alpha) \rceil`. A further query of the same kind
scores higher with a probability of at most :math:`\alpha`, whatever the distribution is (Vovk,
Gammerman and Shafer 2005).
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np

from hopcore.arrays._reprs import one_line
from hopcore.arrays._scalar_checks import as_fraction, as_integer, as_number, short_repr
from hopcore.memory import energy
from hopcore.prepared._checks import as_rows
from hopcore.prepared._snapshot import Snapshot
from hopcore.prepared._survivors import BLOCK, survivors

Score = Literal["distance", "energy"]

DRAWN = 1000
"""How many noisy copies of patterns a calibration draws."""


class Calibration(NamedTuple):
    """Up to which score a memory accepts a query.

    Attributes
    ----------
    threshold : float
        A query is accepted if its score is at most this.
    score : {"distance", "energy"}
        The distance to the nearest pattern, or the energy at the inverse temperature ``beta``.
    false_alarms : float
        The largest share of queries like those of the calibration that are not accepted.
    queries : int
        The number of queries of the calibration.
    patterns : int
        The number of patterns of the memory at that time.
    beta : float

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> memory = hopcore.Memory(np.eye(3), beta=8.0)
    >>> found = memory.calibrate(noise=0.1, false_alarms=0.1)
    >>> round(found.threshold, 2), found.queries
    (0.25, 1000)
    """

    threshold: float
    score: Score
    false_alarms: float
    queries: int
    patterns: int
    beta: float

    def __repr__(self) -> str:
        return one_line(self)


def calibrated(
    snapshot: Snapshot, queries: Any, noise: Any, false_alarms: Any, score: Any, seed: Any
) -> Calibration:
    """Return the threshold of a memory for queries, or for noisy copies of its patterns."""
    rate = as_fraction("false_alarms", false_alarms)
    if score not in ("distance", "energy"):
        raise ValueError(f"score must be 'distance' or 'energy', got {short_repr(score)}")
    if (queries is None) == (noise is None):
        raise ValueError("give queries, or the standard deviation of their noise, noise=")
    if snapshot.count == 0:
        raise ValueError("a memory without patterns cannot be calibrated")
    if noise is None:
        states = as_rows("queries", queries, snapshot.dtype, depth=snapshot.shape[1])
    else:
        states = noisy(snapshot, as_number("noise", noise, 0.0), as_integer("seed", seed))
    count = len(states)
    rank = math.ceil((count + 1) * (1.0 - rate))
    if rank > count:
        least = math.ceil(1.0 / rate) - 1
        raise ValueError(f"false_alarms={rate:g} needs at least {least} queries, got {count}")
    found = np.sort(scores_of(snapshot, states, score, snapshot.beta))
    return Calibration(float(found[rank - 1]), score, rate, count, snapshot.count, snapshot.beta)


def noisy(snapshot: Snapshot, noise: float, seed: int) -> np.ndarray:
    """Return patterns drawn at random, with normal noise in each value."""
    generator = np.random.default_rng(seed)
    drawn = snapshot.some(generator.integers(0, snapshot.count, DRAWN))
    return (drawn + noise * generator.standard_normal(drawn.shape)).astype(snapshot.dtype)


def scores_of(snapshot: Snapshot, states: np.ndarray, score: Score, beta: float) -> np.ndarray:
    """Return the score of each state ``(L, d)``, lower for those that the memory knows better."""
    if score == "energy":
        return np.asarray(energy(states, snapshot, beta), np.float64)
    return nearest(snapshot, states)


@np.errstate(over="ignore", under="ignore", invalid="ignore")
def nearest(snapshot: Snapshot, states: np.ndarray) -> np.ndarray:
    """Return the distance of each state ``(L, d)`` to the nearest pattern."""
    if snapshot.count == 0:
        return np.full(len(states), math.inf)
    found, left = np.empty(len(states)), np.arange(len(states))
    memory = snapshot.sketched
    usable = snapshot.similarity == "distance" and snapshot.bias is None
    if memory is not None and usable and not snapshot.is_small:
        share = memory.share(len(states))
        near = survivors(memory, states, np.ones(len(states)), 1e-9, share)
        found[near.queries] = np.sqrt(-2.0 * near.top)
        left = np.setdiff1d(left, near.queries)
    centre = snapshot.some(slice(0, 1)).astype(np.float64)
    rows = max(1, BLOCK // min(4096, snapshot.count))
    for begin in range(0, len(left), rows):
        some = left[begin : begin + rows]
        at = states[some].astype(np.float64)
        best, level = np.zeros(len(some), np.int64), np.full(len(some), -math.inf)
        for first in range(0, snapshot.count, 4096):
            keys = snapshot.some(slice(first, first + 4096)) - centre
            scores = (at - centre) @ keys.T - 0.5 * np.vecdot(keys, keys)
            place = scores.argmax(axis=-1)
            value = np.take_along_axis(scores, place[:, None], axis=-1)[:, 0]
            best = np.where(value > level, first + place, best)
            level = np.maximum(value, level)
        apart = at - snapshot.some(best)
        found[some] = np.sqrt(np.vecdot(apart, apart))
    return found
