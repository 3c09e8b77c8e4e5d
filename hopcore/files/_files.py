"""Files at the edge: arrays read without trust, results written beside and renamed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np


def read_array(path: Path) -> np.ndarray:
    """The real array of a ``.npy`` file. Nothing is ever unpickled.

    Parameters
    ----------
    path : Path
        A file written by ``numpy.save``.

    Returns
    -------
    array
        Integer or real floating, every value finite.

    Raises
    ------
    ValueError
        The file is not a ``.npy`` file, is truncated, holds pickled objects, or nan or inf.
    TypeError
        The array holds something else than real numbers.
    OSError
        The file cannot be opened.

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
    with open(path, "rb") as file:
        try:
            array = np.lib.format.read_array(file, allow_pickle=False)
        except Exception as error:  # a damaged header is parsed as Python, and fails as it happens
            reason = " ".join(str(error).split())
            raise ValueError(f"{path} is not a whole .npy file of numbers: {reason}") from None
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{path} must hold real numbers, got {array.dtype}")
    if not np.isfinite(array).all():
        where = tuple(int(axis) for axis in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{path} must be finite, got {array[where]} at index {where}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a file that appears under its name only when it is whole.

    It is written beside its place, flushed to the disk and renamed. Whatever stops it, a file that
    was there before stays as it was.

    Parameters
    ----------
    path : Path
        Where the file will be; its folder exists. Its suffix is left as it is.
    write : callable
        Gets the open binary file.

    Raises
    ------
    OSError
        The folder is missing, the place is taken by something that is not a plain file, the disk is
        full.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from hopcore.files import write_whole
    >>> path = Path(tempfile.mkdtemp()) / "note.txt"
    >>> write_whole(path, lambda file: file.write(b"whole"))
    >>> path.read_text()
    'whole'
    """
    place = place_of(path)
    beside = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        with open(beside, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, place)
    finally:
        beside.unlink(missing_ok=True)


def place_of(path: Path) -> Path:
    """Where a file will be written, links followed; asked before long work as well as after.

    Raises
    ------
    OSError
        The folder is missing, or the place is taken by something that is not a plain file.
    """
    place = path.resolve()
    if not place.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {path.parent} does not exist")
    if place.exists() and not place.is_file():
        raise OSError(f"{path} is not a plain file")
    return place
