"""Sources of streamed patterns: files, and any object whose slices are arrays."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np

from hopcore.arrays._discovery import backend, backend_of
from hopcore.files._arrays import read_header
from hopcore.files._plain import Version, open_plain, size_of, version_of
from hopcore.streamed._gather import GAP, fill, gathered

HDF5 = (".h5", ".hdf5", ".hdf")
"""Suffixes of files with named data sets: ``FILE.h5:NAME``."""


class Piece(NamedTuple):
    """Some stored patterns, with their rows, their projections and their columns of the mask."""

    rows: slice
    patterns: np.ndarray
    values: Any = None
    """Their projections, if these differ from the patterns."""
    mask: Any = None
    """Their columns of the mask."""


class Source(Protocol):
    """Patterns that are read by their rows."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return rows ``start`` to ``stop`` as a NumPy array in the machine's byte order."""
        ...

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return some rows, which increase, as :meth:`read` does."""
        ...

    def aligned(self, rows: int) -> int:
        """Return about this number of rows, rounded to a number that is read efficiently."""
        ...

    def check_unchanged(self) -> None:
        """Raise if the patterns are known to have changed since the source was made."""
        ...


class Original:
    """The size, time and inode number of a file when it was opened, to notice later changes.

    Another process compares only the size, because times and inode numbers may differ between
    machines.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.path = path.absolute()  # a worker may run in another folder
        with open_plain(path) as file:
            self.version: Version = version_of(file)
        self.process = os.getpid()

    def check(self, file: BinaryIO) -> None:
        """Raise if an open file has changed."""
        found = version_of(file)
        same = found == self.version
        if self.process != os.getpid():
            same = found.size == self.version.size
        if not same:
            raise ValueError(
                f"{self.name} has changed since it was opened: make a new Streamed memory of it"
            )

    def check_unchanged(self) -> None:
        """Raise if the file has changed."""
        with open_plain(self.path) as file:
            self.check(file)


class NpyFile:
    """A ``.npy`` file, read by seeking, so that only the requested rows are in memory."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.original = Original(path)
        with open_plain(path) as file:
            try:
                header = read_header(file)
            except ValueError as error:
                raise ValueError(f"{path} is not a .npy file of numbers: {error}") from None
            self.original.check(file)
        self.shape, self.kind, self.offset = header.shape, header.dtype, header.offset
        check_real(self.name, self.kind)
        if header.fortran and len(self.shape) > 1:
            raise ValueError(
                f"{path} is in Fortran order, in which a pattern is not contiguous on the disk; "
                "save numpy.ascontiguousarray of it"
            )
        size = self.original.version.size
        if size < header.size:
            raise ValueError(f"{path} is truncated: {size} bytes of {header.size}")
        self.dtype = self.kind.newbyteorder("=")

    def read(self, start: int, stop: int) -> np.ndarray:
        """See :class:`Source`."""
        values = math.prod(self.shape[1:])
        offset = self.offset + start * values * self.kind.itemsize
        count = (stop - start) * values
        with open_plain(self.original.path) as file:
            values_read = np.fromfile(file, dtype=self.kind, count=count, offset=offset)
            self.check(file)  # afterwards, so that a change while it is read is noticed
        return values_read.reshape(stop - start, *self.shape[1:]).astype(self.dtype, copy=False)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """See :class:`Source`; the file is opened once."""
        values = math.prod(self.shape[1:])
        size = values * self.kind.itemsize
        with open_plain(self.original.path) as file:
            raw = getattr(file, "raw", file)  # a buffer would read more than was asked for

            def read(start: int, stop: int) -> np.ndarray:
                found = np.empty((stop - start, values), self.kind)
                raw.seek(self.offset + start * size)
                if not fill(raw, found):
                    self.check(file)
                    raise OSError(f"{self.name} cannot be read, rows {start} to {stop}")
                return found

            found = gathered(read, rows, GAP // size)
            self.check(file)
        return found.reshape(len(rows), *self.shape[1:]).astype(self.dtype, copy=False)

    def aligned(self, rows: int) -> int:
        """See :class:`Source`."""
        return rows

    def check(self, file: BinaryIO) -> None:
        """Raise if the open file has changed; if it was truncated, say where it ends."""
        values, size = math.prod(self.shape[1:]), size_of(file)
        if size < self.offset + self.shape[0] * values * self.kind.itemsize:
            row = max(size - self.offset, 0) // (values * self.kind.itemsize)
            raise ValueError(
                f"{self.name} was truncated after it was opened: it ends in row {row} "
                f"of {self.shape[0]}"
            )
        self.original.check(file)

    def check_unchanged(self) -> None:
        """See :class:`Source`."""
        with open_plain(self.original.path) as file:
            self.check(file)


class Sliced:
    """Any object with a shape and a dtype whose slices of the first axis are arrays."""

    def __init__(self, array: Any, name: str) -> None:
        self.array, self.name = array, name
        mapped = getattr(array, "filename", None)  # of a memmap, whose pages must be in the file
        self.mapped = None if mapped is None else (os.fspath(mapped), os.stat(mapped).st_size)
        self.shape = tuple(array.shape)
        kind = np.dtype(array.dtype)
        check_real(name, kind)
        self.dtype = kind.newbyteorder("=")

    def read(self, start: int, stop: int) -> np.ndarray:
        """See :class:`Source`."""
        self.check_unchanged()
        try:
            # A copy, since otherwise a memmap would be read only when it is used.
            rows = np.array(self.array[start:stop], dtype=self.dtype)
        except Exception as error:  # each library has its own types
            reason = " ".join(str(error).split()) or type(error).__name__
            message = f"{self.name} cannot be read, rows {start} to {stop}: {reason}"
            raise OSError(message) from error
        wanted = (stop - start, *self.shape[1:])
        if rows.shape != wanted:
            raise ValueError(
                f"{self.name} changed while it was read: rows {start} to {stop} must be {wanted}, "
                f"got {rows.shape}"
            )
        return rows

    def take(self, rows: np.ndarray) -> np.ndarray:
        """See :class:`Source`; a chunk of which a row is needed is decoded as a whole."""
        if isinstance(self.array, np.ndarray):
            self.check_unchanged()
            return np.array(self.array[rows], dtype=self.dtype)
        values = math.prod(self.shape[1:])
        apart = GAP // (values * self.dtype.itemsize)
        return gathered(self.read, rows, apart, self.aligned(1))

    def aligned(self, rows: int) -> int:
        """Round to whole chunks, or to whole shards if chunks are parts of shards."""
        chunks = getattr(self.array, "shards", None) or getattr(self.array, "chunks", None)
        chunk = chunks[0] if chunks and isinstance(chunks[0], int) else 1
        return max(rows // chunk, 1) * chunk

    def check_unchanged(self) -> None:
        """Raise if the file of a memmap was truncated: reading it would end the process."""
        if self.mapped is not None and os.stat(self.mapped[0]).st_size < self.mapped[1]:
            raise ValueError(f"{self.name} was truncated after it was mapped")


class Hdf5File(Sliced):
    """A data set of an HDF5 file; each read opens the file anew, in any process."""

    def __init__(self, path: Path, key: str) -> None:
        self.original, self.key = Original(path), key
        with self.opened() as file:
            data = file.get(key)
            if not hasattr(data, "shape"):
                known = ", ".join(sorted(k for k in file if hasattr(file[k], "shape")))
                raise ValueError(f"{path} has no data set {key!r}; known: {known or 'none'}")
            super().__init__(data, f"{path}:{key}")
            self.rows = super().aligned(1)
        self.array = None

    def opened(self) -> Any:
        """Open the file."""
        try:
            import h5py  # noqa: PLC0415 - an extra
        except ModuleNotFoundError:
            raise missing_extra("h5py", "HDF5 files", "hdf5") from None
        self.original.check_unchanged()  # gives clearer errors than h5py, too
        path = self.original.path
        try:
            return h5py.File(path, "r")
        except OSError as error:
            raise ValueError(f"{path} is not a whole HDF5 file: {error}") from None

    def read(self, start: int, stop: int) -> np.ndarray:
        """See :class:`Source`."""
        with self.opened() as file:
            return Sliced(file[self.key], self.name).read(start, stop)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """See :class:`Source`; the file is opened once."""
        with self.opened() as file:
            return Sliced(file[self.key], self.name).take(rows)

    def aligned(self, rows: int) -> int:
        """See :class:`Source`."""
        return max(rows // self.rows, 1) * self.rows

    def check_unchanged(self) -> None:
        """See :class:`Source`."""
        self.original.check_unchanged()


def source_of(given: Any) -> Source:
    """Return the source of a path or of an object that can be sliced.

    Parameters
    ----------
    given : path or array-like
        As in :class:`hopcore.Streamed`.

    Raises
    ------
    TypeError
        It has no shape, no dtype or no slices, or it does not contain real numbers.
    ValueError
        A file that is damaged or truncated; fewer than two axes.
    ModuleNotFoundError
        h5py, Zarr or Dask is needed and not installed.
    OSError
        A file that cannot be opened.
    """
    if hasattr(given, "aligned"):  # it already is a source
        return given
    source = (
        source_of_path(given) if isinstance(given, str | os.PathLike) else source_of_slices(given)
    )
    if len(source.shape) < 2:
        raise ValueError(f"{source.name} must be (S, d), got {source.shape}")
    return source


def file_of(given: str | os.PathLike[str]) -> Path:
    """Return the file or folder of a path, without the data set of ``FILE.h5:NAME``."""
    stem, colon, _ = os.fspath(given).rpartition(":")
    return Path(stem if colon and stem.endswith(HDF5) else given)


def source_of_path(given: str | os.PathLike[str]) -> Source:
    """Open a ``.npy`` file, ``FILE.h5:NAME``, or a Zarr folder."""
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
        raise missing_extra("zarr", "folders", "zarr") from None
    try:
        array = zarr.open_array(path.absolute(), mode="r")
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} is not an array of Zarr: {reason}") from None
    return Sliced(array, text)


def source_of_slices(given: Any) -> Source:
    """Wrap an object that has a shape, a dtype and slices."""
    try:
        for needed in ("shape", "dtype", "__getitem__"):
            getattr(given, needed)
        name = name_of(given)
    except AttributeError:
        raise TypeError(
            "a streamed memory needs a file or something with a shape, a dtype and slices, "
            f"got {type(given).__name__}"
        ) from None
    except Exception as error:  # h5py raises several types for a closed file
        reason = " ".join(str(error).split())
        raise ValueError(f"stored cannot be read; was its file closed? {reason}") from None
    return Sliced(given, name)


def name_of(array: Any) -> str:
    """The name of an array in error messages: its file, if it has one."""
    file = getattr(array, "filename", None)  # a memmap
    if file is not None:
        return os.fspath(file)
    file = getattr(getattr(array, "file", None), "filename", None)  # h5py
    return "stored" if file is None else f"{file}:{array.name.lstrip('/')}"


def patterns_of(
    patterns: np.ndarray,
    dtype: np.dtype,
    start: int,
    *,
    name: str = "stored",
    attended: np.ndarray | None = None,
    check: bool = True,
) -> np.ndarray:
    """Return rows as patterns ``(n, d)`` in a dtype, and raise if they contain nan or inf.

    ``start`` is their first row in the memory. Rows that are not ``attended (n,)`` may contain
    anything; values there that are not moderate become 0. Without ``check``, rows that are all
    attended are returned unchanged: the caller checks the results that are computed from them.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        patterns = patterns.reshape(patterns.shape[0], -1).astype(dtype, copy=False)
        if attended is not None and not backend("numpy").all_moderate(patterns):
            patterns = np.where(attended[:, None], patterns, np.zeros((), dtype))
    if attended is None and not check:
        return patterns
    # If the product with itself is finite, so is every value.
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isfinite(np.vdot(patterns, patterns)) or np.isfinite(patterns).all():
            return patterns
    row, value = (int(x) for x in np.argwhere(~np.isfinite(patterns))[0])
    raise ValueError(
        f"{name} must be finite, got {patterns[row, value]} at index {(start + row, value)}"
    )


def attended_rows(mask: Any, count: int) -> np.ndarray | None:
    """Which of ``count`` patterns at least one query may attend to, by a mask or None."""
    if mask is None:
        return None
    values = backend_of(mask).to_numpy(mask)
    some = values.reshape(-1, values.shape[-1]).any(axis=0)
    return np.broadcast_to(some, (count,))


def check_real(name: str, dtype: np.dtype) -> None:
    """Raise if a dtype is not one of real numbers."""
    if dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold real numbers, got {dtype}")


def missing_extra(module: str, what: str, extra: str) -> ModuleNotFoundError:
    """The error for an extra that is not installed."""
    return ModuleNotFoundError(
        f"{what} need {module}; install it: pip install 'hopcore[{extra}]'", name=module
    )
