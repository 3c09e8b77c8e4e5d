r"""Scores of patterns relative to the best of a query, in float64.

For patterns of float32, scores :math:`-\tfrac\beta2 \|x_i - \xi\|^2` or
:math:`\beta\, x_i \cdot \xi` in float64 are mostly precise enough. Where they are not, and for
patterns of float64, the difference of two scores is computed from differences of patterns, in which
nothing cancels.
"""

from __future__ import annotations

import math

import numpy as np

from hopcore.prepared._found import UNIT, Found, Sketched

TOGETHER = 4
"""So many queries are compared together; fewer take less time one after another."""

PIECE = 1 << 15
"""About so many values of patterns are converted to float64 at once; they fit into a cache."""

NEGLIGIBLE = 2.0**-10
"""An error of this share of a rounding of the result does not matter."""


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
    left = np.arange(len(sizes))
    if states.dtype == np.float32 and len(sizes) >= TOGETHER:
        _compare_lengths(memory, states, beta, row, sizes, (score, error, best, top))
        worst = np.maximum.reduceat(error, start)
        left = np.flatnonzero(~(worst <= NEGLIGIBLE * np.finfo(np.float32).eps))
    for i in left:
        part = slice(start[i], start[i] + sizes[i])
        state = states[i].astype(np.float64)
        score[part], error[part], at, top[i] = _relative(memory, state, beta[i], row[part])
        best[i] = row[start[i] + at]
    found = Found(queries, start, row, score, error, best, top, excluded, read)
    finite = np.isfinite(top) & np.isfinite(
        np.add.reduceat(score + error, start) if len(row) else 0
    )
    return found if finite.all() else found.of(np.flatnonzero(finite))


def _compare_lengths(
    memory: Sketched, states: np.ndarray, beta: np.ndarray, row: np.ndarray, sizes: np.ndarray,
    into: tuple[np.ndarray, ...],
) -> None:  # fmt: skip
    """Write scores relative to the best, their errors, and the row and score of the best."""
    score, error, best, top = into
    ends = np.cumsum(sizes)
    number = ends * states.shape[1] // PIECE
    cuts = np.flatnonzero(np.diff(number, prepend=-1)).tolist()
    for first, last in zip(cuts, [*cuts[1:], len(sizes)], strict=True):
        start = ends[first:last] - sizes[first:last]
        part = slice(start[0], ends[last - 1])
        start, owner = start - start[0], np.repeat(np.arange(first, last), sizes[first:last])
        rows = row[part]
        values, wrong = _rough(memory, states[first:last].astype(np.float64), rows, owner - first)
        values *= beta[owner]
        wrong = beta[owner] * (wrong + states.shape[1] * 2.0**-1060)
        if memory.bias is not None:
            values += memory.bias[rows]
            wrong += 4.0 * UNIT * np.abs(memory.bias[rows])
        highest = np.maximum.reduceat(values, start)
        equal = np.flatnonzero(values == highest[owner - first])
        places = np.searchsorted(owner[equal], np.arange(first, last))
        at = equal[np.minimum(places, len(equal) - 1)] if len(equal) else start  # nan equals none
        values -= highest[owner - first]
        wrong += wrong[at][owner - first] + 4.0 * UNIT * np.abs(values)
        wrong[start[sizes[first:last] == 1]] = 0.0  # the best one itself
        score[part], error[part] = values, wrong
        best[first:last], top[first:last] = rows[at], highest


def _rough(
    memory: Sketched, states: np.ndarray, rows: np.ndarray, owner: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores at an inverse temperature of 1, without a bias, and how wrong they may be."""
    patterns = memory.patterns[rows].astype(np.float64)
    share = (states.shape[1] + 16) * UNIT
    if memory.directions.distance:
        patterns -= states[owner]
        values = -0.5 * np.vecdot(patterns, patterns)
        return values, -share * values
    lengths = np.sqrt(np.vecdot(patterns, patterns) * np.vecdot(states, states)[owner])
    return np.vecdot(patterns, states[owner]), share * lengths


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
