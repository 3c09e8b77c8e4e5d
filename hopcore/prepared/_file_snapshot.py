"""A memory of streamed patterns at one time: its sketch is in memory, its patterns are not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from hopcore.prepared._file_rows import FileRows
from hopcore.prepared._found import Sketched
from hopcore.prepared._partial import Habit, Habits
from hopcore.prepared._sketch import SAMPLE
from hopcore.prepared._snapshot import Snapshot
from hopcore.streamed import Streamed
from hopcore.streamed._gather import Left

FASTER = 4
"""How many bytes of memory are read in the time of one byte of a file."""


@dataclass(frozen=True, eq=False)
class FileSnapshot(Snapshot):
    """A snapshot whose patterns stay in a file (:class:`FileRows`); its projections may, too.

    Rows may be removed, and nothing else changes. Where all patterns are needed, kernels get a
    :class:`hopcore.Streamed` memory of the rows that are left.
    """

    streamed = True

    def __reduce__(self) -> Any:
        return type(self), tuple(getattr(self, name) for name in self.__dataclass_fields__)

    def apart(self) -> FileSnapshot:
        """Return a copy from which rows can be removed without a change of this snapshot."""
        rows = replace(self.rows, died=self.rows.died.copy())
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return FileSnapshot(**fields | {"rows": rows, "habits": Habits(Habit(), Habit())})

    def used_rows(self, array: Any) -> Any:
        """Return the rows of an array that are in use, which are all rows."""
        return array

    def sketch_of(self, *parts: Any) -> Sketched:
        """Return what partial retrieval reads."""
        return FileSketch(*parts)

    def taken(self, array: Any) -> Any:
        """Return the rows that were not removed; those of a file as a streamed memory."""
        if not isinstance(array, FileRows):
            return super().taken(array)
        stored = array.streamed
        if self.alive is None:
            return stored
        if not len(self.alive):
            return np.empty((0, stored.shape[1]), stored.dtype)
        left: Any = Left(stored.source, self.alive)
        return Streamed(left, dtype=stored.dtype.name, rows=stored.rows, track=stored.track)

    @cached_property
    def values(self) -> Any:
        """The projections of the patterns that are left."""
        return self.taken(self.rows.values) if self.has_values else self.patterns

    def some(self, places: Any) -> np.ndarray:
        """Return some patterns by their places, an array or a slice."""
        return self.rows.patterns[places if self.alive is None else self.alive[places]]

    def sample(self) -> np.ndarray:
        """Return at most :data:`SAMPLE` evenly spaced patterns."""
        places = np.linspace(0, self.count - 1, min(self.count, SAMPLE)).astype(np.int64)
        return self.some(np.unique(places))


@dataclass(frozen=True)
class FileSketch(Sketched):
    """A sketch in memory of patterns in a file."""

    at_once: ClassVar[int] = 1 << 24

    def share(self, queries: int) -> int:
        """See :class:`hopcore.prepared._survivors.Sketched`."""
        rows: Any = self.patterns
        return max(super().share(queries), rows.share(queries))

    def tries(self, queries: int) -> bool:
        """See :class:`hopcore.prepared._survivors.Sketched`; each query reads the whole sketch."""
        rows: Any = self.patterns
        return queries * self.table.shape[1] * self.table.itemsize <= FASTER * rows.row_bytes

    def parts(self, size: int) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """See :class:`hopcore.prepared._survivors.Sketched`; pieces of the file are read ahead."""
        rows: Any = self.patterns
        own: Any = None if self.values is self.patterns else self.values
        values = own.streamed if isinstance(own, FileRows) else own
        sources = [rows.streamed.source, *([values.source] if values is not own else [])]
        for source in sources:
            source.check_unchanged()
        with closing(rows.streamed.pieces(values)) as pieces:
            for piece in pieces:
                associated = piece.patterns if piece.values is None else piece.values
                for first in range(0, len(piece.patterns), size):
                    some = slice(first, min(first + size, len(piece.patterns)))
                    place = slice(piece.rows.start + some.start, piece.rows.start + some.stop)
                    yield place, piece.patterns[some], associated[some]
        for source in sources:
            source.check_unchanged()


def refuse_streamed(snapshot: Snapshot, what: str) -> None:
    """Raise a TypeError if a memory is streamed."""
    if snapshot.streamed:
        raise TypeError(f"the patterns of this Memory are streamed: {what}")
