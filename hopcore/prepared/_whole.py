"""Certified associations with all patterns, for queries that few patterns cannot answer.

Scores are products in float64 with the patterns as they are. Where these are far from the origin,
or of an unusual size, they are taken relative to the centre of the sketch and scaled.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hopcore.arrays import Backend
from hopcore.arrays._exponentials import exponentiate
from hopcore.prepared._found import UNIT, Sketched
from hopcore.prepared._partial import certificate_of, moved_by

QUERIES = 512
"""How many queries are associated in one pass over the patterns."""

PIECE = 1 << 16
"""About so many values of patterns are converted to float64 at once; they fit into a cache."""

EACH = 8
"""So many patterns, at least, are read for each query before its average is scaled down."""

FAR = 2.0**3
"""Patterns are shifted if their centre is so many times their distance from it from the origin."""

LARGEST = float(np.finfo(np.float64).max)
"""The largest number."""

USUAL = 2.0**200
"""Patterns are scaled, too, where numbers are larger than this, or smaller than one part of it."""


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
    peak, total = np.full(len(states), -LARGEST), np.zeros(len(states))
    output, parts = np.zeros((len(states), memory.values.shape[1])), 0
    for rows, patterns, values in memory.parts(asked.at_once):
        scores, own = asked.scores(rows, patterns)
        highest = np.maximum(peak, scores.max(axis=-1))
        if (highest > peak).any():
            faded = np.exp(peak - highest)
            total *= faded
            output *= faded[:, None]
            peak = highest
        scores -= peak[:, None]
        exponentiate(scores)
        total += scores.sum(axis=-1)
        output += scores @ (values.astype(np.float64) if own is None else own)
        parts += 1
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
    for rows, patterns, _ in memory.parts(asked.at_once):
        scores[:, rows], _ = asked.scores(rows, patterns)
    weights, _ = backend.separate(scores, separation)
    share = 0.5 * np.count_nonzero(weights, axis=-1) * moved_by(asked.wrong, separation)
    share = np.where(np.isfinite(share), share, 1.0)
    output = np.zeros((len(states), memory.values.shape[1]))
    needed = np.flatnonzero((weights != 0.0).any(axis=0))
    for begin in range(0, len(needed), asked.at_once):
        some = needed[begin : begin + asked.at_once]
        output += weights[:, some] @ memory.values[some].astype(np.float64)
    return output, certificate_of(memory, share, np.full(len(share), float(count)))


class Asked:
    """Scores of some queries ``(L, d)`` with one part of the patterns after another.

    Attributes
    ----------
    shifts : bool
        Whether patterns are taken relative to the centre, and scaled.
    at_once : int
        How many patterns a part should have.
    longest : float
        The largest length of a pattern so far, as it is taken.
    """

    def __init__(self, memory: Sketched, states: np.ndarray, beta: np.ndarray) -> None:
        self.memory, self.beta = memory, beta
        directions = memory.directions
        size = max(float(np.abs(states).max(initial=0.0)), directions.scale, 1.0 / directions.scale)
        centre = float(np.linalg.norm(directions.centre))
        self.shifts = not (size < USUAL and centre <= FAR * directions.scale)
        if self.shifts:
            _, _, self.states = directions.query(states)
            self.cold = beta * directions.scale**2
        else:
            self.states, self.cold = states.astype(np.float64), beta
        self.at_once = max(PIECE // states.shape[1], EACH * len(states), 1)
        self.room = np.empty((self.at_once, states.shape[1]))
        self.longest = 0.0
        self.gone = np.zeros(0, np.int64) if memory.dead is None else memory.dead

    def scores(self, rows: slice, patterns: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the scores of some patterns ``(L, n)``, up to a number for each query.

        The second result are their values in float64 ``(n, d)``, valid until the next call, where
        these are the patterns as they were taken.
        """
        memory = self.memory
        if self.shifts:
            taken = memory.directions.shifted(patterns)
        else:
            taken = self.room[: len(patterns)]
            np.copyto(taken, patterns)
        squares = np.vecdot(taken, taken)
        self.longest = max(self.longest, math.sqrt(squares.max(initial=0.0)))
        scores = self.states @ taken.T
        if memory.directions.distance:
            squares *= 0.5
            scores -= squares
        scores *= self.cold[:, None]
        if memory.bias is not None:
            scores += memory.bias[rows]
        if len(self.gone):
            first, last = np.searchsorted(self.gone, (rows.start, rows.start + len(patterns)))
            scores[:, self.gone[first:last] - rows.start] = -np.inf
        return scores, None if self.shifts or memory.values is not memory.patterns else taken

    @property
    def wrong(self) -> np.ndarray:
        """How wrong the scores may be by rounding ``(L,)``."""
        memory, longest, depth = self.memory, self.longest, self.states.shape[1]
        lengths = np.sqrt(np.vecdot(self.states, self.states))
        products = longest * lengths + (longest * longest if memory.directions.distance else 0.0)
        wrong = self.cold * ((4.0 * depth + 64.0) * UNIT * products + depth * 2.0**-1060)
        if memory.bias is not None:
            wrong = wrong + 8.0 * UNIT * float(np.max(np.abs(memory.bias)))
        return wrong
