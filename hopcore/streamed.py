"""Stored patterns that are read a piece at a time: from a file, HDF5, Zarr, or any slices.

A :class:`Streamed` memory stands where stored patterns do: ``energy``, ``association`` and
``retrieve`` read it piece by piece, and join what the pieces recall (:mod:`hopcore.parts`). Every
update of a retrieval is one pass over the memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np

from hopcore.memory_kernels import norm
from hopcore.number_checks import count
from hopcore.streamed_sources import Source, source_of

T = TypeVar("T")

PIECE = 1 << 24
"""Bytes of a piece, if not said otherwise: 16 MiB, of which two are held at a time."""

Track = Callable[[Iterable[Any], int], Iterable[Any]]
"""Passes on so many pieces and shows how far they are."""


class Piece(NamedTuple):
    """Some stored patterns, and which ones they are."""

    rows: slice
    patterns: np.ndarray


class Extent(NamedTuple):
    """How far a memory reaches."""

    radius: float
    """M, the largest norm."""
    magnitude: float
    """The largest magnitude of a value."""


class Streamed:
    """Stored patterns ``(S, d)`` that are never in memory all at once.

    Parameters
    ----------
    source : path or array-like
        A ``.npy`` file, or whatever has a ``shape``, a ``dtype`` and gives NumPy arrays for slices
        of its first axis: a :class:`numpy.memmap`, a data set of h5py, an array of Zarr or Dask.
        Axes after the first are values of one pattern.
    dtype : str, optional
        Convert every piece to it, ``"float32"`` or ``"float64"``; the source's own if not given.
    rows : int, optional
        Patterns in a piece; as many as fit into 16 MiB if not given.
    track : callable, optional
        Gets the pieces of each pass and how many they are, and passes them on: a progress bar.

    Raises
    ------
    TypeError
        The source has no shape, no dtype, or no real numbers.
    ValueError
        It holds no pattern, or is a file that is damaged or truncated; a bad ``dtype`` or ``rows``.
        While it is read: nan or inf.

    Notes
    -----
    The states may be arrays of any library; each piece is taken to where they are. There are no
    derivatives. Two pieces are held at a time: one is read while the other is worked on.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> stored = hopcore.Streamed(np.eye(4), rows=3)
    >>> hopcore.association(np.ones((1, 4)), stored, beta=1.0)
    array([[0.25, 0.25, 0.25, 0.25]])
    """

    def __init__(
        self,
        source: Any,
        *,
        dtype: str | None = None,
        rows: int | None = None,
        track: Track | None = None,
    ) -> None:
        self.source: Source = source_of(source)
        patterns, *values = self.source.shape
        self.shape = (patterns, math.prod(values))
        self.ndim = 2
        if 0 in self.shape:
            raise ValueError(
                f"stored must hold at least one pattern of one value, got {self.source.shape}"
            )
        self.dtype = np.dtype(self.source.dtype if dtype is None else floating_named(dtype))
        fitting = max(1, PIECE // (self.shape[1] * self.dtype.itemsize))
        self.rows = self.source.aligned(fitting) if rows is None else count("rows", rows, 1)
        self.track: Track = track or (lambda pieces, total: pieces)
        self.checked = False
        """Whether a whole pass has found every value finite."""

    def __repr__(self) -> str:
        return f"<Streamed {self.shape} {self.dtype}, {self.rows} patterns at a time>"

    def astype(self, dtype: Any) -> Streamed:
        """The same patterns in another dtype, converted as they are read."""
        if np.dtype(dtype) == self.dtype:
            return self
        other = Streamed(self.source, dtype=np.dtype(dtype).name, rows=self.rows, track=self.track)
        other.checked = self.checked
        return other

    def read(self, rows: slice) -> np.ndarray:
        """Some patterns, ``(n, d)``; nan and inf are refused."""
        found = self.source.read(rows.start, rows.stop)
        found = found.reshape(found.shape[0], -1).astype(self.dtype, copy=False)
        if not (self.checked or math.isfinite(np.vdot(found, found)) or np.isfinite(found).all()):
            row, value = (int(x) for x in np.argwhere(~np.isfinite(found))[0])
            where = rows.start + row, value
            raise ValueError(f"stored must be finite, got {found[row, value]} at index {where}")
        return found

    def pieces(self) -> Iterator[Piece]:
        """One pass over the memory; the next piece is read while one is worked on."""
        ends = range(0, self.shape[0], self.rows)
        parts = [slice(start, min(start + self.rows, self.shape[0])) for start in ends]
        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(self.read, parts[0])
            for i, part in enumerate(self.track(parts, len(parts))):
                piece = Piece(part, ahead.result())
                if i + 1 < len(parts):
                    ahead = reader.submit(self.read, parts[i + 1])
                yield piece
        self.checked = True

    @cached_property
    def extent(self) -> Extent:
        """Of all patterns; one pass over the memory, the first time."""

        def work(piece: Piece) -> Extent:
            wide = piece.patterns.astype(np.float64, copy=False)
            return Extent(float(norm(wide, np).max()), float(np.abs(wide).max()))

        return self.reduce(work, lambda one, other: Extent(*map(max, one, other)))

    def reduce(self, work: Callable[[Piece], T], join: Callable[[T, T], T]) -> T:
        """What ``work`` makes of each piece, joined in any order."""
        found = map(work, self.pieces())
        total = next(found)
        for more in found:
            total = join(total, more)
        return total


def floating_named(dtype: str) -> str:
    """The name of a floating dtype that NumPy has kernels for."""
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
    return dtype
