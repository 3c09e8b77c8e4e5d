"""Stored patterns that are read piece by piece, from a file, HDF5, Zarr, or any sliceable object.

A :class:`Streamed` memory is passed in place of stored patterns: ``energy``, ``association`` and
``retrieve`` read it piece by piece and merge the associations with the pieces. Every update of a
retrieval is one pass over the memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._backend import mask_of_columns
from hopcore.arrays._discovery import backend
from hopcore.arrays._graph_kernels import chunks
from hopcore.arrays._library import Array
from hopcore.arrays._long_sums import in_pairs
from hopcore.arrays._scalar_checks import as_integer
from hopcore.streamed._sources import (
    Piece,
    Source,
    attended_rows,
    missing_extra,
    patterns_of,
    source_of,
)

T = TypeVar("T")

PIECE = 1 << 24
"""The size of a piece in bytes, 16 MiB, unless ``rows`` is given; two are in memory at a time."""

LEAST = 1024
"""The fewest patterns of a piece for which another thread is started."""

Track = Callable[[Iterable[Any], int], Iterable[Any]]
"""``track(pieces, count)`` passes the pieces on and shows the progress."""


@suggest_names
class Streamed:
    """Stored patterns ``(S, d)`` of which only two pieces are in memory at a time.

    Parameters
    ----------
    source : path or array-like
        A ``.npy`` file, ``FILE.h5:NAME`` for an HDF5 data set, a Zarr folder, or any object with a
        ``shape`` and a ``dtype`` whose slices of the first axis are NumPy arrays: a
        ``numpy.memmap``, a data set of h5py, an array of Zarr or Dask. All axes after the first
        are values of one pattern.
    dtype : str, optional
        The dtype of the pieces, ``"float32"`` or ``"float64"``; that of the source if not given. It
        must be given for integers.
    rows : int, optional
        The number of patterns in a piece. If not given, a piece has as many as fit into 16 MiB, and
        the pieces of a Dask array are its blocks.
    track : callable, optional
        A function such as a progress bar: it receives the pieces of each pass and their number, and
        yields the pieces.
    dask : bool
        Let Dask read and process the pieces, as if they were the blocks of a Dask array. On a
        distributed cluster each worker reads its own pieces, so all workers must be able to read
        the file.

    Raises
    ------
    TypeError
        The source has no shape, no dtype, or no real numbers; integers without a ``dtype``.
    ValueError
        It contains no pattern, or the file is damaged or truncated; a bad ``dtype`` or ``rows``.
        While reading: nan or inf, a source that has become shorter, or a file that has changed.
    OSError
        It cannot be opened or read.
    ModuleNotFoundError
        A file needs h5py (extra ``hdf5``) or Zarr (extra ``zarr``).

    Notes
    -----
    The states may be arrays of any library; each piece is moved to their device. There are no
    derivatives. Two pieces are in memory at a time: one is read while the other is processed.

    The default scheduler of Dask processes the blocks of a Dask array: on the threads of this
    process, or on the workers of the distributed client that was made last. The size of the results
    does not grow with the memory.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> stored = hopcore.Streamed(np.eye(4), rows=3)
    >>> hopcore.association(np.ones((1, 4)), stored, beta=1.0)
    array([[0.25, 0.25, 0.25, 0.25]])
    """

    ndim = 2

    keys: Keys | None = None
    """How the patterns that are read become keys, where scores are not products with them."""

    def __init__(
        self,
        source: Any,
        *,
        dtype: str | None = None,
        rows: int | None = None,
        track: Track | None = None,
        dask: bool = False,
    ) -> None:
        rows = None if rows is None else as_integer("rows", rows, 1)
        self.dask_source = dask_source_of(source, rows, dask)
        """The source whose pieces Dask processes, or None if they are read here one by one."""
        self.source: Source = self.dask_source or source_of(source)
        patterns, *values = self.source.shape
        self.shape = (patterns, math.prod(values))
        if 0 in self.shape:
            raise ValueError(
                f"{self.source.name} must hold at least one pattern of one value, "
                f"got {self.source.shape}"
            )
        if dtype not in (None, "float32", "float64"):
            raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
        if dtype is None and self.source.dtype.kind != "f":
            raise TypeError(
                f"{self.source.name} holds {self.source.dtype}; "
                "say what to convert it to, for example dtype='float32'"
            )
        self.dtype = np.dtype(self.source.dtype if dtype is None else dtype)
        fitting = max(1, PIECE // (self.shape[1] * self.dtype.itemsize))
        self.rows = rows or self.source.aligned(fitting)
        self.parts = list(chunks(patterns, self.rows))
        """The rows of each piece."""
        if self.dask_source is not None:
            self.parts = self.dask_source.parts or self.parts
        self.track = track

    def __repr__(self) -> str:
        return f"<Streamed {self.shape} {self.dtype}, {self.rows} patterns at a time>"

    def astype(self, dtype: Any) -> Streamed:
        """Return the same patterns in another dtype, converted when they are read."""
        if np.dtype(dtype) == self.dtype:
            return self
        other = copy(self)
        other.dtype = np.dtype(dtype)
        return other

    def with_keys(self, keys: Keys) -> Streamed:
        """Return the same patterns, from which keys are made after reading."""
        other = copy(self)
        other.keys = keys
        return other

    def read(
        self,
        rows: slice,
        name: str = "stored",
        attended: np.ndarray | None = None,
        check: bool = True,
    ) -> np.ndarray:
        """Read some patterns, ``(n, d)``; raise if they contain nan or inf.

        Patterns that are not ``attended (n,)`` may contain anything. Without ``check``, patterns
        that are all attended are not checked for nan: the caller checks the results instead.
        """
        patterns = self.source.read(rows.start, rows.stop)
        return patterns_of(
            patterns, self.dtype, rows.start, name=name, attended=attended, check=check
        )

    def pieces(
        self, values: Any = None, mask: Any = None, check: bool = True
    ) -> Generator[Piece, None, None]:
        """Yield the pieces of one pass; the next piece is read while one is processed.

        Besides its patterns, a piece has its rows of the projections ``values (..., S, v)``, which
        may also be streamed, and its columns of a ``mask (..., L, S)``. Without ``check``, ``work``
        must find nan and inf.
        """
        parts, attended = self.parts, attended_rows(mask, self.shape[0])

        def read(rows: slice) -> tuple[np.ndarray, np.ndarray | None]:
            shown = None if attended is None else attended[rows]
            projection = None
            if isinstance(values, Streamed):
                projection = values.read(rows, "projection", shown)
            return self.read(rows, attended=shown, check=check), projection

        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(read, parts[0])
            tracked = parts if self.track is None else self.track(parts, len(parts))
            for following, rows in zip([*parts[1:], None], tracked, strict=True):
                patterns, projection = ahead.result()
                if following is not None:
                    ahead = reader.submit(read, following)
                if projection is None and values is not None:
                    projection = values[..., rows, :]
                yield Piece(rows, patterns, projection, mask_of_columns(mask, rows))
                del patterns, projection  # before the piece after the next one is read

    def reduce(
        self,
        work: Callable[[Piece], T],
        join: Callable[[T, T], T],
        *,
        values: Any = None,
        mask: Any = None,
        check: bool = True,
    ) -> T:
        """Apply ``work`` to each piece (see :meth:`pieces`) and join the results in any order.

        Both functions may be called in other processes. Raise a ValueError if the file has changed
        since it was opened, before the pass or during it.
        """
        sources = [self.source, *([values.source] if isinstance(values, Streamed) else [])]
        for source in sources:
            source.check_unchanged()
        found = self._reduced(work, join, values, mask, check)
        for source in sources:
            source.check_unchanged()
        return found

    def _reduced(
        self,
        work: Callable[[Piece], T],
        join: Callable[[T, T], T],
        values: Any,
        mask: Any,
        check: bool,
    ) -> T:
        if self.dask_source is not None:
            return self.dask_source.reduce(self, work, join, values=values, mask=mask)
        # Closed here even if work raises: the garbage collector may run in the reader's thread,
        # which cannot wait for itself.
        with closing(self.pieces(values, mask, check)) as pieces:
            return in_pairs(join, map(work, pieces))

    @cached_property
    def mean(self) -> np.ndarray:
        """The mean of the patterns, ``(d,)``; the first access takes one pass over the memory."""
        return self.reduce(total, np.add) / self.shape[0]

    @cached_property
    def radius(self) -> float:
        """M, the largest norm; the first access takes one pass over the memory."""
        return self.reduce(radius, max)

    @cached_property
    def magnitude(self) -> float:
        """The largest magnitude of a value; the first access takes one pass over the memory."""
        return self.reduce(magnitude, max)


@dataclass(frozen=True)
class Keys:
    """How patterns become keys (see :meth:`hopcore.Backend.keys`), in the library of the states."""

    of: Streamed
    """The patterns."""
    origin: Array | None
    bias: Array | None
    squares: bool
    only_shifted: bool = False
    """Whether to leave out the coordinates that follow those of the patterns."""


def dask_source_of(source: Any, rows: int | None, dask: bool) -> Any:
    """Return the source of a Dask array, or of an array that Dask should read, or None."""
    blocks = hasattr(source, "__dask_graph__")
    if not (blocks or dask):
        return None
    try:
        from hopcore.streamed._dask import DaskBlocks, DaskPieces  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise missing_extra("dask", "workers", "dask") from None
    return DaskBlocks(source, rows) if blocks else DaskPieces(source_of(source))


def total(piece: Piece) -> np.ndarray:
    """The sum of the patterns of one piece, in float64."""
    return piece.patterns.sum(axis=0, dtype=np.float64)


def radius(piece: Piece) -> float:
    """M, the largest norm, of one piece."""
    half = piece.patterns.dtype == np.float16
    patterns = piece.patterns.astype(np.float32) if half else piece.patterns
    return float(backend("numpy").radius(patterns, None)[0])


def magnitude(piece: Piece) -> float:
    """The largest magnitude of a value of one piece."""
    return max(float(piece.patterns.max()), -float(piece.patterns.min()))


def split_piece(piece: Piece, count: int) -> list[Piece]:
    """Split a piece into about ``count`` parts."""
    patterns = piece.patterns.shape[0]
    parts = []
    for rows in chunks(patterns, max(LEAST, math.ceil(patterns / count))):
        place = slice(piece.rows.start + rows.start, piece.rows.start + rows.stop)
        values = None if piece.values is None else piece.values[..., rows, :]
        parts.append(Piece(place, piece.patterns[rows], values, mask_of_columns(piece.mask, rows)))
    return parts
