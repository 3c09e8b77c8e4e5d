"""Patterns of the user's own, from whatever kind of file they are in."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from hopcore.experiments.data.pictures import SUFFIXES, images_in, read_images
from hopcore.files._arrays import read_array
from hopcore.files._numbers import read_numbers
from hopcore.files._plain import open_plain
from hopcore.streamed._sources import HDF5, Source, file_of, patterns_of, source_of

KINDS = (
    "a .npy or .csv file, a PNG or JPEG image, a folder of them, FILE.h5:NAME or a folder of Zarr"
)
"""What patterns are read from, for help and errors."""

ZARR = "zarr.json", ".zarray"
"""Files of which one is in every array of Zarr."""

NUMPY = b"\x93NUMPY"
"""What a ``.npy`` file begins with, whatever its name."""


def read_patterns(path: Path, *, missing: bool = False) -> np.ndarray:
    """Read all patterns of a file or of a folder.

    Parameters
    ----------
    path : Path
        A ``.npy`` or ``.csv`` file, a PNG or JPEG image, a folder of such images, ``FILE.h5:NAME``
        or a folder of Zarr. The header of a ``.npy`` file counts, whatever its name.
    missing : bool
        Whether nan is accepted, which marks a value that is not known.

    Returns
    -------
    array
        (n, d) of a table, (n, h, w) of images; of the other files the array that they hold.

    Raises
    ------
    TypeError, ValueError, OSError
        Another kind of file; one that is damaged; values that are not real and finite.
    ModuleNotFoundError
        An extra is needed and not installed.
    """
    if is_stored(path):
        source = stored_source(path)
        values = source.read(0, source.shape[0])
        known = np.where(np.isnan(values), 0, values) if missing else values
        patterns_of(known, source.dtype, 0, name=source.name)
        return values
    if path.is_dir():
        return read_images(images_in(path))
    kind = path.suffix.lower()
    if kind in SUFFIXES:
        return read_images([path])
    if kind == ".npy" or begins_as_array(path):
        return read_array(path, missing=missing)
    if kind == ".csv":
        return read_numbers(path, missing=missing)
    raise ValueError(f"{path} holds no patterns that can be read: give {KINDS}")


def read_known(path: Path) -> np.ndarray:
    """Read which values are known, a boolean array or one of 0 and 1.

    Raises
    ------
    TypeError, ValueError, OSError
        As :func:`read_patterns`; other numbers than 0 and 1.
    """
    is_numpy = not path.is_dir() and (path.suffix.lower() == ".npy" or begins_as_array(path))
    values = read_array(path, boolean=True) if is_numpy else read_patterns(path)
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        raise ValueError(
            f"{path} must hold booleans or 0 and 1 (1 = known), got {values[wrong][0]:g}"
        )
    return values != 0


def stored_source(path: Path) -> Source:
    """Return the source that reads a file of .npy, HDF5 or Zarr one piece at a time."""
    file = file_of(path)
    if file.is_dir() and not any((file / name).exists() for name in ZARR):
        raise ValueError(f"{path} is a folder without PNG or JPEG images, and not an array of Zarr")
    return source_of(path)


def is_stored(path: Path) -> bool:
    """Whether a path means a data set of an HDF5 file or a folder of Zarr."""
    file = file_of(path)
    if file.suffix in HDF5:
        return True
    return file.is_dir() and (not images_in(file) or any((file / one).exists() for one in ZARR))


def is_streamable(path: Path) -> bool:
    """Return whether a file or folder can be read one piece at a time."""
    return is_stored(path) or (
        not path.is_dir() and (path.suffix.lower() == ".npy" or begins_as_array(path))
    )


def begins_as_array(path: Path) -> bool:
    """Whether a file begins as numpy.save writes it."""
    with open_plain(path) as file:
        return file.read(len(NUMPY)) == NUMPY


def files_given(
    files: list[Path] | None, options: dict[str, Path | None]
) -> dict[str, Path | None]:
    """Return the files by their options: those without a name take the free places, in order.

    Parameters
    ----------
    files : list of Path, optional
        Files that were given without an option.
    options : dict of str to Path or None
        What was given with each option, in the order in which files without one are meant.

    Raises
    ------
    ValueError
        There are more files than free places.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hopcore.experiments.data.inputs import files_given
    >>> found = files_given([Path("Q.npy")], {"--patterns": Path("P.npy"), "--queries": None})
    >>> found["--queries"].name
    'Q.npy'
    """
    free = [name for name, path in options.items() if path is None]
    given = files or []
    if len(given) > len(free):
        extra = ", ".join(map(os.fspath, given[len(free) :]))
        raise ValueError(f"too many files, {extra}: {' and '.join(options)} are given already")
    return options | dict(zip(free, given, strict=False))
