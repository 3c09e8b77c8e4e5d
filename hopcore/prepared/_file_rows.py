"""Patterns of a streamed memory that are read by rows, in place of an array of all patterns."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from hopcore.streamed import Streamed
from hopcore.streamed._sources import patterns_of

RECENT = 1 << 24
"""How many bytes of rows that were read last are kept, 16 MiB."""

ACCESS = 1 << 16
"""How many bytes are read one after another in about the time of reading one row elsewhere."""

TOGETHER = 16
"""A pass over a file takes longer with more queries than this: it is computation then."""


class FileRows:
    """The rows of a streamed memory, indexed by integers, arrays of integers, and slices.

    What is returned is always a new array. Rows that were read last are kept, because bounds,
    scores and averages need the same rows, and the updates of a retrieval do, too.

    Parameters
    ----------
    streamed : Streamed
    name : str
        The argument that it was, for errors.
    """

    ndim = 2

    def __init__(self, streamed: Streamed, name: str) -> None:
        self.streamed, self.name = streamed, name
        self.shape, self.dtype = streamed.shape, streamed.dtype
        self.row_bytes = self.shape[1] * streamed.source.dtype.itemsize
        slots = max(1, min(self.shape[0], RECENT // (self.shape[1] * self.dtype.itemsize)))
        # Row i is kept in slot i modulo the number of slots, if it is the last one read of these.
        self._row = np.full(slots, -1)
        self._kept = np.empty((slots, self.shape[1]), self.dtype)
        self._lock = threading.Lock()

    def __reduce__(self) -> Any:
        return FileRows, (self.streamed, self.name)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        """Return rows ``(..., d)`` for indices ``(...)``, or those of a slice."""
        if isinstance(index, slice):
            start, stop, _ = index.indices(len(self))
            return self.streamed.read(slice(start, stop), self.name)
        places = np.asarray(index)
        if places.ndim == 0:
            return self.taken(places[None])[0]
        if places.ndim > 1:
            return self[places.reshape(-1)].reshape(*places.shape, -1)
        if (places[1:] > places[:-1]).all():
            return self.taken(places)
        rows, back = np.unique(places, return_inverse=True)
        return self.taken(rows)[back]

    def share(self, queries: int) -> int:
        """Return of how many patterns one is read for a query in the time of half a pass."""
        chunk = self.streamed.source.aligned(1) * self.row_bytes
        return 2 * (1 + (ACCESS + chunk) // self.row_bytes) * min(queries, TOGETHER)

    def taken(self, rows: np.ndarray) -> np.ndarray:
        """Return some rows, which increase, from those that were read last or from the source."""
        if not len(rows):
            return np.empty((0, self.shape[1]), self.dtype)
        found = np.empty((len(rows), self.shape[1]), self.dtype)
        slots = rows % len(self._row)
        with self._lock:
            known = self._row[slots] == rows
            found[known] = self._kept[slots[known]]
        if known.all():
            self.streamed.source.check_unchanged()
            return found
        missing = rows[~known]
        new = self.checked(self.streamed.source.take(missing), missing)
        found[~known] = new
        slots, last = np.unique(missing % len(self._row), return_index=True)
        with self._lock:
            self._row[slots], self._kept[slots] = missing[last], new[last]
        return found

    def checked(self, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return rows in the dtype of the memory; raise if they contain nan or inf."""
        found = patterns_of(values, self.dtype, 0, name=self.name, check=False)
        wrong = np.flatnonzero(~np.isfinite(found).all(axis=-1))
        if len(wrong):
            first = wrong[0]
            patterns_of(found[first : first + 1], self.dtype, int(rows[first]), name=self.name)
        return found
