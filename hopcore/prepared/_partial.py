r"""Associations from the few patterns that matter, and how far they may be from the exact ones.

With visited patterns V, their sum :math:`Z_V = \sum_{i \in V} e^{z_i - z_b}` and an upper bound T
of the same sum of the others, the association with V alone is off by at most
:math:`2 M T / (Z_V + T)`, where no projection is farther than M from some point. Scores that are
wrong by at most e change this by another :math:`2 M e`, and the rest is the rounding of an average.
A sparse separation function gives the patterns that are not visited no weight: its association is
exact up to rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from hopcore.arrays import Backend
from hopcore.memory import Entmax
from hopcore.prepared._found import UNIT, Found, Sketched
from hopcore.prepared._survivors import survivors

PRECISE = 1e-9
"""The share by which sums of a few bounds are rounded up."""

LONGEST_PAUSE = 16
"""For so many calls, at most, a memory does not try after few patterns were not enough."""

BATCH = 16
"""Calls with so many queries are remembered apart from those with fewer."""

MANY = 64
"""Of so many queries, a few are tried before the others."""


class Answer(NamedTuple):
    """Associations of the queries that were answered from few patterns, in float64.

    Attributes
    ----------
    queries : integer array (k,)
    output : array (k, v)
    conjugate : array (k,)
    best : integer array (k,)
        The row of the best pattern.
    certain : array (k,)
        Its weight.
    certificate : array (k,)
        How far an output may be from the exact association; in this number nothing is rounded to
        the dtype of the call yet.
    visited : integer array (k,)
        The number of patterns of which the association is an average.
    read : integer array (k,)
        The number of patterns of which more than the sketch was read.
    """

    queries: np.ndarray
    output: np.ndarray
    conjugate: np.ndarray
    best: np.ndarray
    certain: np.ndarray
    certificate: np.ndarray
    visited: np.ndarray
    read: np.ndarray


@dataclass
class Habit:
    """Remembers at which inverse temperatures it was in vain to leave patterns out.

    After a call in which all patterns were needed, the next calls at up to twice its inverse
    temperature read all of them at once. These are 3 calls, then 9, then :data:`LONGEST_PAUSE`.

    Attributes
    ----------
    proven : float
        The lowest inverse temperature at which few patterns were enough, or would have been enough
        for a call that read all of them.
    """

    beta: float = 0.0
    pause: int = 0
    left: int = field(default=0)
    proven: float = math.inf

    def allows(self, beta: float) -> bool:
        """Whether a call at this inverse temperature should try."""
        if beta > self.beta or self.left <= 0:
            return True
        self.left -= 1
        return False

    def expects(self, beta: float) -> None:
        """Remember that few patterns would have been enough for a call that read all of them."""
        self.proven = min(self.proven, beta)

    def saw(self, beta: float, answered: bool) -> None:
        """Remember whether most queries of a call were answered."""
        if answered:
            self.proven = min(self.proven, beta)
            if beta <= self.beta:
                self.beta, self.pause = 0.0, 0
            return
        if beta >= self.proven:
            self.proven = math.inf
        self.beta = max(self.beta, 2.0 * beta)
        self.pause = min(LONGEST_PAUSE, 2 * self.pause + 3)
        self.left = self.pause


class Habits(NamedTuple):
    """What is remembered of single queries and of batches, which are often of another kind."""

    few: Habit
    batches: Habit

    def of(self, count: int) -> Habit:
        """Return what is remembered of calls with so many queries."""
        return self.batches if count >= BATCH else self.few


def gap_of(separation: Any, memory: Sketched, error: float) -> float | None:
    """Return how far below the best a score must be to be left out; None if none may be."""
    if isinstance(separation, Entmax):
        return separation.reach * (1.0 + 1e-6) if separation.orders is None else None
    if not separation.softmax:
        return None
    part = 0.5 if memory.spread == 0.0 else min(0.5, error / (2.0 * memory.spread))
    if part < 1e-280:
        return None
    return math.log(memory.count / part)


@np.errstate(over="ignore", under="ignore", invalid="ignore")
def answer(
    memory: Sketched, states: np.ndarray, beta: np.ndarray, separation: Any, error: float,
    backend: Backend,
) -> Answer | None:  # fmt: skip
    """Return the associations of the queries for which few patterns are enough; None if none may.

    Parameters
    ----------
    memory : Sketched
    states : array (L, d)
    beta : float64 array (L,)
    separation : separation function
    error : float
        The largest part of a certificate that comes from patterns left out.
    backend : Backend
        That of NumPy.
    """
    gap = gap_of(separation, memory, error)
    if gap is None:
        return None
    found = survivors(memory, states, beta, gap, memory.share(len(states)))
    if separation.softmax:
        return softmax_answer(memory, found, gap)
    return sparse_answer(memory, found, separation, backend)


def answer_if_most(
    memory: Sketched, states: np.ndarray, beta: np.ndarray, separation: Any, error: float,
    backend: Backend,
) -> Answer | None:  # fmt: skip
    """Return :func:`answer`, but None if few patterns are not enough for most of a few queries.

    So a batch for which it is in vain takes next to no time.
    """
    if len(states) < MANY or not memory.tries(len(states)):
        return answer(memory, states, beta, separation, error, backend)
    tried = np.linspace(0, len(states) - 1, min(16, max(4, len(states) // 16))).astype(np.int64)
    first = answer(memory, states[tried], beta[tried], separation, error, backend)
    if first is None or 2 * len(first.queries) < len(tried):
        return None if first is None else nothing(memory)
    rest = np.setdiff1d(np.arange(len(states)), tried)
    second = answer(memory, states[rest], beta[rest], separation, error, backend)
    if second is None:
        return None
    queries = np.concatenate([tried[first.queries], rest[second.queries]])
    order = np.argsort(queries)
    joined = (np.concatenate(both)[order] for both in zip(first[1:], second[1:], strict=True))
    return Answer(queries[order], *joined)


def softmax_answer(memory: Sketched, found: Found, gap: float) -> Answer:
    """Return averages with the weights of the softmax."""
    if not len(found.queries):
        return nothing(memory)
    peak = np.maximum.reduceat(found.score, found.start)  # 0, or a little more by rounding
    weights = np.exp(found.score - np.repeat(peak, found.sizes))
    total = np.add.reduceat(weights, found.start)
    output = averages(memory, found, weights) / total[:, None]
    wrong = np.maximum.reduceat(found.error, found.start) + 16.0 * UNIT
    tail = found.excluded * np.exp(wrong - gap)
    share = tail / (total + tail) + wrong
    return Answer(
        found.queries,
        output,
        found.top + peak + np.log(total),
        found.best,
        1.0 / total,
        certificate_of(memory, share, found.sizes),
        found.sizes,
        found.read,
    )


def sparse_answer(memory: Sketched, found: Found, separation: Entmax, backend: Backend) -> Answer:
    """Return averages with sparse weights, which patterns that were left out do not have."""
    if not len(found.queries):
        return nothing(memory)
    weights, conjugate = np.empty(len(found.row)), np.empty(len(found.queries))
    for i, (first, size) in enumerate(zip(found.start, found.sizes, strict=True)):
        part = slice(first, first + size)
        weights[part], conjugate[i] = backend.separate(found.score[part], separation)
    moved = moved_by(np.maximum.reduceat(found.error, found.start), separation)
    best = np.maximum.reduceat(weights, found.start)
    return Answer(
        found.queries,
        averages(memory, found, weights),
        found.top + conjugate,
        found.best,
        best,
        certificate_of(memory, 0.5 * found.sizes * moved, found.sizes),
        found.sizes,
        found.read,
    )


def nothing(memory: Sketched) -> Answer:
    """Return the answer to no query."""
    none, width = np.empty(0), memory.values.shape[1]
    index = np.empty(0, np.int64)
    return Answer(index, np.empty((0, width)), none, index, none, none, index, index)


def averages(memory: Sketched, found: Found, weights: np.ndarray) -> np.ndarray:
    """Return the sums of the values of the patterns of each query, weighted, in float64."""
    output = np.empty((len(found.queries), memory.values.shape[1]))
    for i, (first, size) in enumerate(zip(found.start, found.sizes, strict=True)):
        part = slice(first, first + size)
        output[i] = weights[part] @ memory.values[found.row[part]].astype(np.float64)
    return output


def certificate_of(memory: Sketched, share: np.ndarray, visited: np.ndarray) -> np.ndarray:
    """Return a bound of the error if at most a share of the weight is wrong, with roundings."""
    longest = memory.spread + memory.middle
    found = 2.0 * memory.spread * np.minimum(share, 1.0)
    return (found + (2.0 * visited + 32.0) * UNIT * longest) * (1.0 + PRECISE)


def moved_by(wrong: np.ndarray, separation: Entmax) -> np.ndarray:
    """Return by how much the weights of entmax may be wrong if scores are, and by rounding.

    The threshold of entmax moves by at most as much as its scores, so a weight moves by at most
    twice as much for an order up to 2; for larger orders by a power of it.
    """
    order = separation.alpha - 1.0
    power = min(1.0, 1.0 / order)
    return (2.0 * max(1.0, order) * wrong) ** power + (64.0 * UNIT) ** power


def rounded(certificate: np.ndarray, output: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return certificates of outputs that are rounded to a dtype, in that dtype, rounded up."""
    limits = np.finfo(dtype)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        lengths = np.sqrt(np.vecdot(output, output))
        least = math.sqrt(output.shape[-1]) * float(limits.smallest_subnormal)
        whole = (certificate + float(limits.eps) * lengths) * (1.0 + PRECISE) + least
        return np.nextafter(whole.astype(dtype), dtype.type(np.inf))
