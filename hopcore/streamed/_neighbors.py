"""Nearest neighbours in a streamed memory: each piece is compared with all pieces.

There is one pass over the memory for each piece. Only the k neighbours of every pattern and their
similarities are kept in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any

import numpy as np

from hopcore.arrays._backend import mask_of_columns
from hopcore.arrays._discovery import backend
from hopcore.streamed._sources import Piece
from hopcore.streamed._streamed import Streamed

Near = tuple[np.ndarray, np.ndarray]
"""Similarities ``(n, k)`` of some patterns with their neighbours, and the neighbours' indices."""

Unit = Callable[[np.ndarray, np.ndarray | None], np.ndarray]
"""Scales patterns ``(n, d)`` to norm 1, or to 0 where a mask ``(n,)`` is False."""


def nearest_in_pieces(memory: Streamed, k: int, mask: np.ndarray | None, unit: Unit) -> Near:
    """Find the k most similar patterns of each, ``(S, k)``; a missing one has similarity < 0."""
    if memory.dtype not in backend("numpy").precise:
        raise TypeError(f"patterns must be float32 or float64, got {memory.dtype}; give dtype=")
    passes = copy(memory)
    passes.track = None  # one progress bar for all passes
    parts = memory.parts
    similarities = np.empty((memory.shape[0], k), dtype=memory.dtype)
    choices = np.empty((memory.shape[0], k), dtype=np.int32)
    for rows in parts if memory.track is None else memory.track(parts, len(parts)):
        shown = mask_of_columns(mask, rows)
        patterns = unit(passes.read(rows, attended=shown), shown)
        compare = neighbors_in_piece(patterns, rows.start, k, unit)
        if k == 0:  # there is only one pattern, and reading it found it finite
            continue
        similarities[rows], choices[rows] = passes.reduce(compare, partial(merge, k), mask=mask)
    return similarities, choices


def neighbors_in_piece(
    patterns: np.ndarray, start: int, k: int, unit: Unit
) -> Callable[[Piece], Near]:
    """Return a function that compares patterns, from number ``start`` on, with those of a piece."""

    def work(piece: Piece) -> Near:
        numpy: Any = backend("numpy")
        others, first = unit(piece.patterns, piece.mask), piece.rows.start
        similarities, places = numpy.nearest_among(patterns, others, k, start - first)
        return similarities, places + first

    return work


def merge(k: int, one: Near, other: Near) -> Near:
    """Return the k most similar patterns of two pieces; of equal ones, the lowest indices."""
    both: Any = [np.concatenate(pair, axis=1) for pair in zip(one, other, strict=True)]
    order = np.argsort(both[1], axis=1)
    similarities, choices = (np.take_along_axis(x, order, axis=1) for x in both)
    similarities, places = backend("numpy").top_k(similarities, k)
    return similarities, np.take_along_axis(choices, places, axis=1)
