"""Scores of patterns relative to the best of a query, from differences in float64."""

from __future__ import annotations

import math

import numpy as np

from hopcore.prepared._found import UNIT, Found, Sketched


def compared(
    memory: Sketched,
    states: np.ndarray,
    beta: np.ndarray,
    row: np.ndarray,
    sizes: np.ndarray,
    queries: np.ndarray,
    read: np.ndarray,
) -> Found:
    """Return the scores of patterns relative to the best of their query, in float64."""
    start = np.cumsum(sizes) - sizes
    excluded = memory.count - sizes
    score, error = np.empty(len(row)), np.empty(len(row))
    best, top = np.empty(len(sizes), np.int64), np.empty(len(sizes))
    for i, (first, size) in enumerate(zip(start, sizes, strict=True)):
        part = slice(first, first + size)
        state = states[i].astype(np.float64)
        score[part], error[part], at, top[i] = _relative(memory, state, beta[i], row[part])
        best[i] = row[first + at]
    found = Found(queries, start, row, score, error, best, top, excluded, read)
    finite = np.isfinite(top) & np.isfinite(
        np.add.reduceat(score + error, start) if len(row) else 0
    )
    return found if finite.all() else found.of(np.flatnonzero(finite))


def _relative(
    memory: Sketched, state: np.ndarray, beta: float, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int, float]:
    """Return scores relative to the best, how wrong they may be, and the place and score of it."""
    patterns = memory.patterns[rows].astype(np.float64)
    distance = memory.directions.distance
    bias = 0.0 if memory.bias is None else memory.bias[rows]
    apart = patterns - state if distance else patterns
    rough = -0.5 * np.vecdot(apart, apart) if distance else patterns @ state
    at = int(np.argmax(beta * rough + bias))
    top = float((beta * rough + bias)[at])
    if len(rows) == 1:
        return np.zeros(1), np.zeros(1), 0, top
    # A second time, relative to a better pattern, where rounding had hidden which one is best.
    score = error = np.zeros(len(rows))
    for attempt in range(2):
        if distance:
            # Half of the difference of two squares, as a product, in which nothing cancels.
            differences, sums = patterns - patterns[at], apart + apart[at]
            score = -0.5 * np.vecdot(differences, sums)
            lengths = np.sqrt(np.vecdot(apart, apart))
            lengths = 0.5 * (lengths + lengths[at])
        else:
            differences = patterns - patterns[at]
            score = differences @ state
            lengths = math.sqrt(np.vdot(state, state))
        error = np.sqrt(np.vecdot(differences, differences)) * lengths
        error *= (2 * len(state) + 16) * UNIT
        score, error = beta * score, beta * (error + len(state) * 2.0**-1060)
        if memory.bias is not None:
            own = memory.bias[rows]
            score = score + (own - own[at])
            error = error + 4.0 * UNIT * (np.abs(own) + abs(own[at]))
        error += 4.0 * UNIT * np.abs(score)
        if not score.max() > 0.0:
            break
        if attempt == 0:
            at = int(np.argmax(score))
    return score, error, at, top
