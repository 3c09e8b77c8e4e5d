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

SCORES = 1 << 21
"""How many scores are stored at once."""

PATTERNS = 4096
"""How many patterns are converted to float64 at once."""


@np.errstate(over="ignore", under="ignore", invalid="ignore")
def whole_answer(
    memory: Sketched, states: np.ndarray, beta: np.ndarray, separation: Any, backend: Backend
) -> tuple[np.ndarray, np.ndarray]:
    """Return associations of states ``(L, d)`` in float64, and their certificates."""
    count = len(memory.table)
    output = np.empty((len(states), memory.values.shape[1]))
    certificate = np.empty(len(states))
    rows = max(1, SCORES // count)
    for first in range(0, len(states), rows):
        part = slice(first, first + rows)
        scores, wrong = scores_of(memory, states[part], beta[part])
        weights, _ = backend.separate(scores, separation)
        if separation.softmax:
            share = 2.0 * wrong + 16.0 * UNIT
        else:
            sizes = np.count_nonzero(weights, axis=-1)
            share = 0.5 * sizes * moved_by(wrong, separation)
        share = np.where(np.isfinite(share), share, 1.0)
        output[part] = 0.0
        for begin in range(0, count, PATTERNS):
            some = slice(begin, begin + PATTERNS)
            output[part] += weights[:, some] @ memory.values[some].astype(np.float64)
        visited = np.full(len(share), float(count))
        certificate[part] = certificate_of(memory, share, visited)
    return output, certificate


def scores_of(
    memory: Sketched, states: np.ndarray, beta: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return all scores ``(L, n)`` up to a number for each query, and how wrong they may be."""
    directions = memory.directions
    _, _, centred = directions.query(states)
    cold = beta * directions.scale**2
    scores = np.empty((len(states), len(memory.table)))
    longest = 0.0
    for begin in range(0, scores.shape[1], PATTERNS):
        part = slice(begin, begin + PATTERNS)
        patterns = directions.shifted(memory.patterns[part])
        squares = np.vecdot(patterns, patterns)
        longest = max(longest, float(np.sqrt(squares.max(initial=0.0))))
        scores[:, part] = centred @ patterns.T
        if directions.distance:
            scores[:, part] -= 0.5 * squares
    scores *= cold[:, None]
    lengths = np.sqrt(np.vecdot(centred, centred))
    products = longest * lengths + (longest * longest if directions.distance else 0.0)
    wrong = (4.0 * states.shape[1] + 64.0) * UNIT * cold * products
    if memory.bias is not None:
        scores += memory.bias
        wrong = wrong + 8.0 * UNIT * float(np.max(np.abs(memory.bias)))
    if memory.dead is not None:
        scores[:, memory.dead] = -np.inf
    return scores, wrong
