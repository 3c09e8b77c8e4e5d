"""Nearest neighbours in a streamed memory: each of its pieces is compared with all of them.

There is one pass over the memory for each of its pieces. What is kept are k neighbours of every
pattern and their similarities.
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
"""Similarities ``(n, k)`` of some patterns with those most similar to them, and which these are."""

Unit = Callable[[np.ndarray, np.ndarray | None], np.ndarray]
"""Patterns ``(n, d)`` with norm 1, or 0 where a mask ``(n,)`` says that they do not count."""


def nearest_in_pieces(memory: Streamed, k: int, mask: np.ndarray | None, unit: Unit) -> Near:
    """The k most similar patterns of each, ``(S, k)``; negative where there are no k of them."""
    if memory.dtype not in backend("numpy").precise:
        raise TypeError(f"patterns must be float32 or float64, got {memory.dtype}; give dtype=")
    passes = copy(memory)
    passes.track = None  # one bar, for all passes
    parts = memory.parts
    similarities = np.empty((memory.shape[0], k), dtype=memory.dtype)
    choices = np.empty((memory.shape[0], k), dtype=np.int32)
    for rows in parts if memory.track is None else memory.track(parts, len(parts)):
        patterns = unit(passes.read(rows), mask_of_columns(mask, rows))
        near = compared(patterns, rows.start, k, unit)
        if k == 0:  # there is one pattern, and it is finite
            continue
        similarities[rows], choices[rows] = passes.reduce(near, partial(most, k), mask=mask)
    return similarities, choices


def compared(patterns: np.ndarray, start: int, k: int, unit: Unit) -> Callable[[Piece], Near]:
    """What compares patterns, the first of which is number ``start``, with those of a piece."""

    def work(piece: Piece) -> Near:
        numpy: Any = backend("numpy")
        others, first = unit(piece.patterns, piece.mask), piece.rows.start
        similarities, places = numpy.nearest_among(patterns, others, k, start - first)
        return similarities, places + first

    return work


def most(k: int, one: Near, other: Near) -> Near:
    """The k most similar ones of two pieces."""
    both: Any = [np.concatenate(pair, axis=1) for pair in zip(one, other, strict=True)]
    similarities, choices = both
    similarities, places = backend("numpy").top_k(similarities, k)
    return similarities, np.take_along_axis(choices, places, axis=1)
