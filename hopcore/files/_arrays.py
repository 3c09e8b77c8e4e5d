"""Read arrays from ``.npy`` and ``.npz`` files without trusting them."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from hopcore.files._plain import check_growth, open_plain, size_of

HEADER = 1 << 16
"""Bytes in which a header must fit."""


class NpyHeader(NamedTuple):
    """What the header of a ``.npy`` file announces."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    offset: int
    """Where the values begin."""

    @property
    def size(self) -> int:
        """The bytes that header and values take together."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize


def read_header(file: BinaryIO) -> NpyHeader:
    """Return the header of a ``.npy`` file that is open at its begin.

    Raises
    ------
    ValueError
        It is no such header.
    """
    head = io.BytesIO(file.read(HEADER))
    try:
        version = np.lib.format.read_magic(head)
        one = version == (1, 0)
        read = np.lib.format.read_array_header_1_0 if one else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(head)
    except Exception as error:  # a damaged header is parsed as Python, and fails as it happens
        raise ValueError(" ".join(str(error).split())) from None
    if any(not 0 <= axis < 1 << 62 for axis in shape) or dtype.itemsize == 0:
        raise ValueError(f"its header says {dtype} of shape {shape}")
    return NpyHeader(shape, fortran, dtype, head.tell())


def read_array(path: Path, *, missing: bool = False, boolean: bool = False) -> np.ndarray:
    """The real array of a ``.npy`` file. Nothing is ever unpickled.

    The size that the header announces is compared with that of the file before anything is
    allocated.

    Parameters
    ----------
    path : Path
        A file written by ``numpy.save``.
    missing : bool
        Whether nan is accepted, which marks a value that is not known.
    boolean : bool
        Accept an array of booleans.

    Returns
    -------
    array
        Integer or real floating, every value finite.

    Raises
    ------
    ValueError
        The file is not a ``.npy`` file, is truncated, holds pickled objects, or nan or inf that
        are not accepted.
    TypeError
        The array holds something else than real numbers.
    OSError
        The file cannot be opened, or is not a plain file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from hopcore.files import read_array
    >>> path = Path(tempfile.mkdtemp()) / "patterns.npy"
    >>> np.save(path, np.eye(2))
    >>> read_array(path)
    array([[1., 0.],
           [0., 1.]])
    """
    with open_plain(path) as file:
        try:
            array = array_in(file, size_of(file))
        except ValueError as error:
            raise ValueError(f"{path} is not a whole .npy file of numbers: {error}") from None
    if array.dtype.kind not in ("biuf" if boolean else "iuf"):
        raise TypeError(f"{path} must hold real numbers, got {array.dtype}")
    wrong = np.isinf(array) if missing else ~np.isfinite(array)
    if wrong.any():
        where = tuple(int(axis) for axis in np.argwhere(wrong)[0])
        raise ValueError(f"{path} must be finite, got {array[where]} at index {where}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def array_in(file: BinaryIO, size: int) -> np.ndarray:
    """Return the array of an open ``.npy`` file of ``size`` bytes."""
    header = read_header(file)
    if header.dtype.hasobject:
        raise ValueError("it holds Python objects, which are never unpickled (allow_pickle=False)")
    if header.size > size:
        raise ValueError(f"it has {size} bytes of {header.size}")
    file.seek(header.offset)
    content = np.empty(header.size - header.offset, np.uint8)
    if file.readinto(memoryview(content)) != len(content):  # type: ignore[attr-defined]
        raise ValueError(f"it was truncated while it was read, from {size} bytes")
    flat = content.view(header.dtype)
    if header.fortran:
        return flat.reshape(header.shape[::-1]).T
    return flat.reshape(header.shape)


def read_archive(path: Path, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Return the arrays of an ``.npz`` file, all or some of them by their names.

    Raises
    ------
    ValueError
        The file is no such archive or lacks a name; an array is larger than announced, or
        suspiciously large for its compressed size, or holds pickled objects.
    OSError
        The file cannot be opened, or is not a plain file.
    """
    with open_plain(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                parts = {part.filename.removesuffix(".npy"): part for part in archive.infolist()}
                check_growth(path, sum(part.file_size for part in parts.values()), size_of(file))
                found = {}
                for name in parts if names is None else names:
                    if name not in parts:
                        raise ValueError(f"it has no {name}")
                    with archive.open(parts[name]) as member:
                        found[name] = array_in(member, parts[name].file_size)  # type: ignore[arg-type]
                        member.read(1)  # the sum is checked at the end
        except Exception as error:  # a damaged archive fails as it happens, deep in its reader
            kind = "whole .npz file" if names is None else f".npz file of {', '.join(names)}"
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"{path} is no {kind}: {reason}") from None
    return found
