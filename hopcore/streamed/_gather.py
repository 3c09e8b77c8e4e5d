"""Single rows of a source: rows near each other are read together."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

GAP = 4096
"""Rows that are at most so many bytes apart are read together, with those between them."""

LONGEST = 1 << 16
"""The largest number of rows that are read together."""


def gathered(
    read: Callable[[int, int], np.ndarray], rows: np.ndarray, apart: int, chunk: int = 1
) -> np.ndarray:
    """Return some rows of a source.

    Parameters
    ----------
    read : callable
        ``read(start, stop)`` returns rows that follow each other.
    rows : integer array (k,)
        The rows, which increase; at least one.
    apart : int
        Up to so many rows that are not needed are read between two that are.
    chunk : int
        Rows are stored in chunks of this size, of which each is read as a whole.
    """
    found = None
    for first, last in ranges(rows, apart, chunk):
        some = rows[first:last]
        start, stop = int(some[0]), int(some[-1]) + 1
        part = read(start, stop)
        if len(part) != last - first:
            part = part[some - start]
        if last - first == len(rows):
            return part
        if found is None:
            found = np.empty((len(rows), *part.shape[1:]), part.dtype)
        found[first:last] = part
    assert found is not None
    return found


def ranges(rows: np.ndarray, apart: int, chunk: int = 1) -> list[tuple[int, int]]:
    """Return the places in ``rows`` between which one range of rows is read; see :func:`gathered`.

    A range ends where the next row is too far away, and after :data:`LONGEST` rows.
    """
    far = np.diff(rows) > apart + 1
    if chunk > 1:
        far &= np.diff(rows // chunk) > 1
    most = max(1, LONGEST // chunk) * chunk
    ends = np.flatnonzero(far | (np.diff(rows // most) > 0)) + 1
    bounds = [0, *ends.tolist(), len(rows)]
    return list(pairwise(bounds))


def fill(file: Any, array: np.ndarray) -> bool:
    """Fill an array ``(n, d)`` from a file; return whether the file was long enough."""
    view = array.view(np.uint8).data.cast("B")
    while len(view):
        count = file.readinto(view)
        if not count:
            return False
        view = view[count:]
    return True


class Left:
    """The rows of another source that were not removed.

    Attributes
    ----------
    source : Source
    rows : integer array (n,)
        Those that are left, which increase; at least one.
    """

    def __init__(self, source: Any, rows: np.ndarray) -> None:
        self.source, self.rows = source, rows
        self.name, self.dtype = source.name, source.dtype
        self.shape = (len(rows), *source.shape[1:])
        self.aligned, self.check_unchanged = source.aligned, source.check_unchanged

    def read(self, start: int, stop: int) -> np.ndarray:
        """See :class:`hopcore.streamed._sources.Source`."""
        rows = self.rows[start:stop]
        first, last = int(rows[0]), int(rows[-1]) + 1
        if last - first > 2 * len(rows):
            return self.source.take(rows)
        found = self.source.read(first, last)
        return found if len(found) == len(rows) else found[rows - first]

    def take(self, rows: np.ndarray) -> np.ndarray:
        """See :class:`hopcore.streamed._sources.Source`."""
        return self.source.take(self.rows[rows])
