"""Stored patterns that are read a piece at a time: from a file, HDF5, Zarr, or any slices.

A :class:`Streamed` memory stands where stored patterns do: ``energy``, ``association`` and
``retrieve`` read it piece by piece, and join what the pieces recall (:mod:`hopcore.arrays._merge`). Every
update of a retrieval is one pass over the memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import cached_property, reduce
from typing import Any, TypeVar

import numpy as np

from hopcore.arrays._backend import mask_of_columns
from hopcore.arrays._discovery import backend
from hopcore.arrays._graph_kernels import chunks
from hopcore.arrays._validation import as_integer
from hopcore.streamed._sources import Piece, Source, needs, patterns_of, source_of

T = TypeVar("T")

PIECE = 1 << 24
"""Bytes of a piece, if not said otherwise: 16 MiB, of which two are held at a time."""

LEAST = 1024
"""Patterns from which on it is worth a thread to work on some of a piece."""

Track = Callable[[Iterable[Any], int], Iterable[Any]]
"""Passes on so many pieces and shows how far they are."""


class Streamed:
    """Stored patterns ``(S, d)`` that are never in memory all at once.

    Parameters
    ----------
    source : path or array-like
        A ``.npy`` file, ``FILE.h5:NAME`` for a data set of HDF5, a folder of Zarr; or whatever has
        a ``shape``, a ``dtype`` and gives NumPy arrays for slices of its first axis: a
        ``numpy.memmap``, a data set of h5py, an array of Zarr or Dask. Axes after the first
        are values of one pattern.
    dtype : str, optional
        Convert every piece to it, ``"float32"`` or ``"float64"``; the source's own if not given.
        Integers need one.
    rows : int, optional
        Patterns in a piece; as many as fit into 16 MiB if not given, and the blocks of a Dask array
        as they are.
    track : callable, optional
        Gets the pieces of each pass and how many they are, and passes them on: a progress bar.
    dask : bool
        Let Dask read the pieces and work on them, as if they were the blocks of a Dask array. On a
        distributed cluster each worker reads its own, so a file must be where all of them see it.

    Raises
    ------
    TypeError
        The source has no shape, no dtype, or no real numbers; integers without a ``dtype``.
    ValueError
        It holds no pattern, or is a file that is damaged or truncated; a bad ``dtype`` or ``rows``.
        While it is read: nan or inf; a source that is shorter than it was.
    OSError
        It cannot be opened or read.
    ModuleNotFoundError
        A file needs h5py (extra ``hdf5``) or Zarr (extra ``zarr``).

    Notes
    -----
    The states may be arrays of any library; each piece is taken to where they are. There are no
    derivatives. Two pieces are held at a time: one is read while the other is worked on.

    The blocks of a Dask array are worked on where they are, by the scheduler that is the default:
    the threads of this process, or the workers of the distributed client that was made last. What
    comes back does not grow with the memory.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> stored = hopcore.Streamed(np.eye(4), rows=3)
    >>> hopcore.association(np.ones((1, 4)), stored, beta=1.0)
    array([[0.25, 0.25, 0.25, 0.25]])
    """

    ndim = 2

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
        self.spread = spread_of(source, rows, dask)
        """What has Dask work on the pieces; None: they are read here, one after the other."""
        self.source: Source = self.spread or source_of(source)
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
        if self.spread is not None:
            self.parts = self.spread.parts or self.parts
        self.track = track
        self.checked = False
        """Whether a whole pass has found every value finite."""

    def __repr__(self) -> str:
        return f"<Streamed {self.shape} {self.dtype}, {self.rows} patterns at a time>"

    def astype(self, dtype: Any) -> Streamed:
        """The same patterns in another dtype, converted as they are read."""
        if np.dtype(dtype) == self.dtype:
            return self
        other = copy(self)
        other.dtype = np.dtype(dtype)
        return other

    def read(self, rows: slice, name: str = "stored") -> np.ndarray:
        """Some patterns, ``(n, d)``; nan and inf are refused."""
        found = self.source.read(rows.start, rows.stop)
        return patterns_of(found, self.dtype, rows.start, known=self.checked, name=name)

    def pieces(self, values: Any = None, mask: Any = None) -> Iterator[Piece]:
        """One pass over the memory; the next piece is read while one is worked on.

        Beside their patterns pieces have their rows of projections ``values (..., S, v)``, which
        may be streamed too, and their columns of a ``mask (..., L, S)``.
        """

        def read(rows: slice) -> tuple[np.ndarray, np.ndarray | None]:
            beside = values.read(rows, "projection") if isinstance(values, Streamed) else None
            return self.read(rows), beside

        parts = self.parts
        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(read, parts[0])
            tracked = parts if self.track is None else self.track(parts, len(parts))
            for following, rows in zip([*parts[1:], None], tracked, strict=True):
                patterns, beside = ahead.result()
                if following is not None:
                    ahead = reader.submit(read, following)
                if beside is None and values is not None:
                    beside = values[..., rows, :]
                yield Piece(rows, patterns, beside, mask_of_columns(mask, rows))
                del patterns, beside  # before the piece after the next one is read
        self.checked = True
        if isinstance(values, Streamed):
            values.checked = True

    def reduce(
        self,
        work: Callable[[Piece], T],
        join: Callable[[T, T], T],
        *,
        values: Any = None,
        mask: Any = None,
    ) -> T:
        """What ``work`` makes of each piece, joined in any order; see :meth:`pieces`.

        Both may be called in other processes.
        """
        if self.spread is not None:
            return self.spread.reduce(self, work, join, values=values, mask=mask)
        return reduce(join, map(work, self.pieces(values, mask)))

    @cached_property
    def radius(self) -> float:
        """M, the largest norm; one pass over the memory, the first time."""
        return self.reduce(radius, max)

    @cached_property
    def magnitude(self) -> float:
        """The largest magnitude of a value; one pass over the memory, the first time."""
        return self.reduce(magnitude, max)


def spread_of(source: Any, rows: int | None, dask: bool) -> Any:
    """A Dask array as a source, or another one that Dask is to read; None of anything else."""
    blocks = hasattr(source, "__dask_graph__")
    if not (blocks or dask):
        return None
    try:
        from hopcore.streamed._dask import Blocks, Pieces  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise needs("dask", "workers", "dask") from None
    return Blocks(source, rows) if blocks else Pieces(source_of(source))


def radius(piece: Piece) -> float:
    """M of one piece."""
    half = piece.patterns.dtype == np.float16
    patterns = piece.patterns.astype(np.float32) if half else piece.patterns
    return float(backend("numpy").radius(patterns, None)[0])


def magnitude(piece: Piece) -> float:
    """The largest magnitude of a value of one piece."""
    return max(float(piece.patterns.max()), -float(piece.patterns.min()))


def cut(piece: Piece, count: int) -> list[Piece]:
    """About so many parts of a piece."""
    patterns = piece.patterns.shape[0]
    parts = []
    for rows in chunks(patterns, max(LEAST, math.ceil(patterns / count))):
        place = slice(piece.rows.start + rows.start, piece.rows.start + rows.stop)
        values = None if piece.values is None else piece.values[..., rows, :]
        parts.append(Piece(place, piece.patterns[rows], values, mask_of_columns(piece.mask, rows)))
    return parts
