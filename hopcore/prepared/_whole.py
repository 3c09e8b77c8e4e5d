"""Certified associations with all patterns, for queries that few patterns cannot answer.

Scores are products of float64 with patterns relative to the centre of the sketch, so that their
error is a few roundings of the largest product.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hopcore.arrays import Backend
from hopcore.prepared._found import UNIT, Sketched
from hopcore.prepared._partial import certificate_of, moved_by

QUERIES = 512
"""How many queries are associated in one pass over the patterns."""

PATTERNS = 4096
"""How many patterns are converted to float64 at once."""


@np.errstate(over="ignore", under="ignore", invalid="ignore")
def whole_answer(
    memory: Sketched, states: np.ndarray, beta: np.ndarray, separation: Any, backend: Backend
) -> tuple[np.ndarray, np.ndarray]:
    """Return associations of states ``(L, d)`` in float64, and their certificates."""
    output = np.empty((len(states), memory.values.shape[1]))
    certificate = np.empty(len(states))
    rows = QUERIES if separation.softmax else max(1, memory.at_once // len(memory.table))
    for first in range(0, len(states), rows):
        part = slice(first, first + rows)
        if separation.softmax:
            found = softmax_of_all(memory, states[part], beta[part])
        else:
            found = sparse_of_all(memory, states[part], beta[part], separation, backend)
        output[part], certificate[part] = found
    return output, certificate


def softmax_of_all(
    memory: Sketched, states: np.ndarray, beta: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return averages with the weights of the softmax, in one pass over the patterns.

    What was summed is scaled down when a larger score is found, by at most three roundings.
    """
    asked = Asked(memory, states, beta)
    peak, total = np.full(len(states), -np.inf), np.zeros(len(states))
    output, parts = np.zeros((len(states), memory.values.shape[1])), 0
    for rows, patterns, values in memory.parts(PATTERNS):
        scores = asked.scores(rows, patterns)
        higher = np.maximum(peak, scores.max(axis=-1))
        level = np.where(higher == -np.inf, 0.0, higher)
        faded, weights = np.exp(peak - level), np.exp(scores - level[:, None])
        total = total * faded + weights.sum(axis=-1)
        output = output * faded[:, None] + weights @ values.astype(np.float64)
        peak, parts = higher, parts + 1
    share = 2.0 * asked.wrong + 16.0 * UNIT
    share = np.where(np.isfinite(share), share, 1.0)
    visited = np.full(len(share), len(memory.table) + 4.0 * parts)
    return output / total[:, None], certificate_of(memory, share, visited)


def sparse_of_all(
    memory: Sketched, states: np.ndarray, beta: np.ndarray, separation: Any, backend: Backend
) -> tuple[np.ndarray, np.ndarray]:
    """Return averages with sparse weights, of which all scores are needed at once."""
    asked, count = Asked(memory, states, beta), len(memory.table)
    scores = np.empty((len(states), count))
    for rows, patterns, _ in memory.parts(PATTERNS):
        scores[:, rows] = asked.scores(rows, patterns)
    weights, _ = backend.separate(scores, separation)
    share = 0.5 * np.count_nonzero(weights, axis=-1) * moved_by(asked.wrong, separation)
    share = np.where(np.isfinite(share), share, 1.0)
    output = np.zeros((len(states), memory.values.shape[1]))
    needed = np.flatnonzero((weights != 0.0).any(axis=0))
    for begin in range(0, len(needed), PATTERNS):
        some = needed[begin : begin + PATTERNS]
        output += weights[:, some] @ memory.values[some].astype(np.float64)
    return output, certificate_of(memory, share, np.full(len(share), float(count)))


class Asked:
    """Scores of some queries ``(L, d)`` with one part of the patterns after another.

    Attributes
    ----------
    longest : float
        The largest length of a pattern so far, relative to the centre and scaled.
    """

    def __init__(self, memory: Sketched, states: np.ndarray, beta: np.ndarray) -> None:
        self.memory = memory
        _, _, self.centred = memory.directions.query(states)
        self.cold = beta * memory.directions.scale**2
        self.longest = 0.0
        self.gone = np.zeros(0, np.int64) if memory.dead is None else memory.dead

    def scores(self, rows: slice, patterns: np.ndarray) -> np.ndarray:
        """Return the scores of some patterns ``(L, n)``, up to a number for each query."""
        memory = self.memory
        shifted = memory.directions.shifted(patterns)
        squares = np.vecdot(shifted, shifted)
        self.longest = max(self.longest, float(np.sqrt(squares.max(initial=0.0))))
        scores = self.centred @ shifted.T
        if memory.directions.distance:
            scores -= 0.5 * squares
        scores *= self.cold[:, None]
        if memory.bias is not None:
            scores += memory.bias[rows]
        first, last = np.searchsorted(self.gone, (rows.start, rows.start + len(patterns)))
        scores[:, self.gone[first:last] - rows.start] = -np.inf
        return scores

    @property
    def wrong(self) -> np.ndarray:
        """How wrong the scores may be by rounding ``(L,)``."""
        memory, longest = self.memory, self.longest
        lengths = np.sqrt(np.vecdot(self.centred, self.centred))
        products = longest * lengths + (longest * longest if memory.directions.distance else 0.0)
        wrong = (4.0 * self.centred.shape[1] + 64.0) * UNIT * self.cold * products
        if memory.bias is not None:
            wrong = wrong + 8.0 * UNIT * float(np.max(np.abs(memory.bias)))
        return wrong
