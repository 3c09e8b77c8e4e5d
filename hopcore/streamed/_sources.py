"""Where streamed patterns come from: files, and whatever gives arrays for slices."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

HDF5 = (".h5", ".hdf5", ".hdf")
"""Suffixes of files with named data sets: ``FILE.h5:NAME``."""


class Piece(NamedTuple):
    """Some stored patterns, which ones they are, and what belongs to them."""

    rows: slice
    patterns: np.ndarray
    values: Any = None
    """Their projections, if they have others than themselves."""
    mask: Any = None
    """The columns of the mask that are theirs."""


class Source(Protocol):
    """Patterns that are read by their rows."""

    name: str
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
        self.name = str(path)
        self.path = path.absolute()  # whoever reads it may be at work in another folder
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
        real(self.name, self.kind)
        if fortran and len(self.shape) > 1:
            raise ValueError(
                f"{path} is in Fortran order, whose patterns are not together on the disk; "
                "save numpy.ascontiguousarray of it"
            )
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
            size = self.path.stat().st_size - self.offset
            row = max(size, 0) // (values * self.kind.itemsize)
            raise ValueError(
                f"{self.name} was truncated while it was read: it ends in row {row} "
                f"of {self.shape[0]}"
            )
        return found.reshape(stop - start, *self.shape[1:]).astype(self.dtype, copy=False)

    def aligned(self, rows: int) -> int:
        """See :class:`Source`."""
        return rows


class Sliced:
    """Whatever has a shape, a dtype and arrays for slices of its first axis."""

    def __init__(self, array: Any, name: str) -> None:
        self.array, self.name = array, name
        self.shape = tuple(array.shape)
        kind = np.dtype(array.dtype)
        real(name, kind)
        self.dtype = kind.newbyteorder("=")

    def read(self, start: int, stop: int) -> np.ndarray:
        """See :class:`Source`."""
        try:
            # A copy: what a memmap gives would be read when it is used, by who uses it.
            found = np.array(self.array[start:stop], dtype=self.dtype)
        except Exception as error:  # each library has its own types
            reason = " ".join(str(error).split()) or type(error).__name__
            message = f"{self.name} cannot be read, rows {start} to {stop}: {reason}"
            raise OSError(message) from error
        wanted = (stop - start, *self.shape[1:])
        if found.shape != wanted:
            raise ValueError(
                f"{self.name} changed while it was read: rows {start} to {stop} must be {wanted}, "
                f"got {found.shape}"
            )
        return found

    def aligned(self, rows: int) -> int:
        """Whole chunks, where it lies in chunks; shards, where chunks lie in those."""
        chunks = getattr(self.array, "shards", None) or getattr(self.array, "chunks", None)
        chunk = chunks[0] if chunks and isinstance(chunks[0], int) else 1
        return max(rows // chunk, 1) * chunk


class Hdf5File(Sliced):
    """A data set of an HDF5 file, which is opened for every read: other processes may do that."""

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path.absolute(), key
        with self.opened() as file:
            found = file.get(key)
            if not hasattr(found, "shape"):
                known = ", ".join(sorted(k for k in file if hasattr(file[k], "shape")))
                raise ValueError(f"{path} has no data set {key!r}; known: {known or 'none'}")
            super().__init__(found, f"{path}:{key}")
            self.rows = super().aligned(1)
        self.array = None

    def opened(self) -> Any:
        """The file."""
        try:
            import h5py  # noqa: PLC0415 - an extra
        except ModuleNotFoundError:
            raise needs("h5py", "HDF5 files", "hdf5") from None
        with open(self.path, "rb"):  # whose errors say more
            pass
        try:
            return h5py.File(self.path, "r")
        except OSError as error:
            raise ValueError(f"{self.path} is not a whole HDF5 file: {error}") from None

    def read(self, start: int, stop: int) -> np.ndarray:
        """See :class:`Source`."""
        with self.opened() as file:
            return Sliced(file[self.key], self.name).read(start, stop)

    def aligned(self, rows: int) -> int:
        """See :class:`Source`."""
        return max(rows // self.rows, 1) * self.rows


def source_of(given: Any) -> Source:
    """The source that was meant.

    Parameters
    ----------
    given : path or array-like
        As in :class:`hopcore.Streamed`.

    Raises
    ------
    TypeError
        It has no shape, no dtype or no slices; it holds no real numbers.
    ValueError
        A file that is damaged or truncated; fewer than two axes.
    ModuleNotFoundError
        h5py, Zarr or Dask is needed and not installed.
    OSError
        A file that cannot be opened.
    """
    if hasattr(given, "aligned"):  # it is one already
        return given
    found = of_path(given) if isinstance(given, str | os.PathLike) else of_slices(given)
    if len(found.shape) < 2:
        raise ValueError(f"{found.name} must be (S, d), got {found.shape}")
    return found


def of_path(given: str | os.PathLike[str]) -> Source:
    """A ``.npy`` file, ``FILE.h5:NAME``, or a folder of Zarr."""
    text = os.fspath(given)
    stem, colon, key = text.rpartition(":")
    if colon and stem.endswith(HDF5):
        return Hdf5File(Path(stem), key)
    path = Path(text)
    if path.suffix in HDF5:
        raise ValueError(f"{path} holds data sets by name; give {path}:NAME")
    if not path.is_dir():
        return NpyFile(path)
    try:
        import zarr  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise needs("zarr", "folders", "zarr") from None
    try:
        array = zarr.open_array(path.absolute(), mode="r")
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} is not an array of Zarr: {reason}") from None
    return Sliced(array, text)


def of_slices(given: Any) -> Source:
    """Whatever has a shape, a dtype and slices."""
    try:
        for needed in ("shape", "dtype", "__getitem__"):
            getattr(given, needed)
        name = name_of(given)
    except AttributeError:
        raise TypeError(
            "a streamed memory needs a file or something with a shape, a dtype and slices, "
            f"got {type(given).__name__}"
        ) from None
    except Exception as error:  # what h5py raises of a file that is closed
        reason = " ".join(str(error).split())
        raise ValueError(f"stored cannot be read; was its file closed? {reason}") from None
    return Sliced(given, name)


def name_of(array: Any) -> str:
    """What an error calls an array: its file, if it has one."""
    file = getattr(array, "filename", None)  # of a memmap
    if file is not None:
        return os.fspath(file)
    file = getattr(getattr(array, "file", None), "filename", None)  # of h5py
    return "stored" if file is None else f"{file}:{array.name.lstrip('/')}"


def patterns_of(
    found: np.ndarray, dtype: np.dtype, start: int, *, known: bool = False, name: str = "stored"
) -> np.ndarray:
    """Rows from ``start`` on, ``(n, d)`` in the dtype asked for; nan and inf are refused.

    ``known`` says that all of them have been found finite before.
    """
    with np.errstate(over="ignore"):
        found = found.reshape(found.shape[0], -1).astype(dtype, copy=False)
    # A product with itself first: it is finite if every value is, and does not overflow.
    with np.errstate(over="ignore", invalid="ignore"):
        if known or math.isfinite(np.vdot(found, found)) or np.isfinite(found).all():
            return found
    row, value = (int(x) for x in np.argwhere(~np.isfinite(found))[0])
    raise ValueError(
        f"{name} must be finite, got {found[row, value]} at index {(start + row, value)}"
    )


def real(name: str, dtype: np.dtype) -> None:
    """Refuse what is not a real number."""
    if dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold real numbers, got {dtype}")


def needs(module: str, what: str, extra: str) -> ModuleNotFoundError:
    """The error of an extra that is not installed."""
    return ModuleNotFoundError(
        f"{what} need {module}; install it: pip install 'hopcore[{extra}]'", name=module
    )
