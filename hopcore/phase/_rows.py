"""Rows of a memory, chosen on the host."""

from __future__ import annotations

from typing import Any

import numpy as np

from hopcore.arrays._backend import Array, Backend


def spaced(count: int, wanted: int) -> np.ndarray:
    """So many rows of all, or fewer, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).astype(np.int64))


def rows_at(patterns: Array, rows: Any, backend: Backend) -> Array:
    """Some rows, by integers on the host."""
    index = backend.asarray(np.asarray(rows, np.int64), device=backend.device(patterns))
    return backend.xp.take(patterns, index, axis=0)


def filled(rows: np.ndarray, like: Array, backend: Backend) -> np.ndarray:
    """The rows, for a library that compiles for each shape repeated up to a power of two of them.

    What is done with rows one by one is done twice with some, and to the first ones unchanged.
    """
    if backend.has_dynamic_shapes(like) or not len(rows):
        return rows
    return np.resize(rows, 1 << (len(rows) - 1).bit_length())
