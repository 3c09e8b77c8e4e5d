"""Where streamed patterns come from: ``.npy`` files, and whatever gives arrays for slices."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np


class Source(Protocol):
    """Patterns that are read by their rows."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows ``start`` to ``stop``, as an array of NumPy in the byte order of the machine."""
        ...

    def aligned(self, rows: int) -> int:
        """About so many rows, as they are read best."""
        ...


class NpyFile:
    """A ``.npy`` file, read by seeking: no more of it is ever held than was asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with open(path, "rb") as file:
            try:
                version = np.lib.format.read_magic(file)
                read = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                self.shape, fortran, self.kind = read(file)
            except Exception as error:  # a damaged header is parsed as Python
                reason = " ".join(str(error).split())
                raise ValueError(f"{path} is not a .npy file of numbers: {reason}") from None
            self.offset = file.tell()
            size = os.fstat(file.fileno()).st_size
        real(str(path), self.kind)
        if fortran and len(self.shape) > 1:
            raise ValueError(f"{path} is in Fortran order, whose rows are not together on the disk")
        whole = self.offset + math.prod(self.shape) * self.kind.itemsize
        if size < whole:
            raise ValueError(f"{path} is truncated: {size} bytes of {whole}")
        self.dtype = self.kind.newbyteorder("=")

    def read(self, start: int, stop: int) -> np.ndarray:
        """See :class:`Source`."""
        values = math.prod(self.shape[1:])
        found = np.fromfile(
            self.path,
            dtype=self.kind,
            count=(stop - start) * values,
            offset=self.offset + start * values * self.kind.itemsize,
        )
        if found.size != (stop - start) * values:
            raise ValueError(f"{self.path} was truncated while it was read, at row {start}")
        return found.reshape(stop - start, *self.shape[1:]).astype(self.dtype, copy=False)

    def aligned(self, rows: int) -> int:
        """See :class:`Source`."""
        return rows


class Sliced:
    """Whatever has a shape, a dtype and arrays for slices of its first axis."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.shape = tuple(array.shape)
        kind = np.dtype(array.dtype)
        real("stored", kind)
        self.dtype = kind.newbyteorder("=")

    def read(self, start: int, stop: int) -> np.ndarray:
        """See :class:`Source`."""
        return np.asarray(self.array[start:stop], dtype=self.dtype)

    def aligned(self, rows: int) -> int:
        """Whole chunks, where it lies in chunks."""
        chunks = getattr(self.array, "chunks", None)
        chunk = chunks[0] if chunks and isinstance(chunks[0], int) else 1
        return max(rows // chunk, 1) * chunk


def source_of(given: Any) -> Source:
    """The source that was meant."""
    if isinstance(given, NpyFile | Sliced):
        return given
    if isinstance(given, str | os.PathLike):
        return NpyFile(Path(given))
    if not (hasattr(given, "shape") and hasattr(given, "dtype") and hasattr(given, "__getitem__")):
        raise TypeError(
            "a streamed memory needs a .npy file or something with a shape, a dtype and slices, "
            f"got {type(given).__name__}"
        )
    if len(given.shape) < 2:
        raise ValueError(f"stored must be (S, d), got {tuple(given.shape)}")
    return Sliced(given)


def real(name: str, dtype: np.dtype) -> None:
    """Refuse what is not a real number."""
    if dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold real numbers, got {dtype}")
