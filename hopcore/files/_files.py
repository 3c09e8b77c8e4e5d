"""Write files whole: each is filled beside its place under a name of its own and renamed."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
"""Flags that open a file that did not exist, and never one that a link points to."""


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a file that appears under its name only when it is whole.

    It is written beside its place under a name that nobody else uses, flushed to the disk and
    renamed. Whatever stops it, a file that was there before stays as it was. The new file has the
    permissions of the old one, or those of any new file.

    Parameters
    ----------
    path : Path
        Where the file will be; its folder exists. Its suffix is left as it is. If it is a link,
        what it points to is replaced.
    write : callable
        Gets the open binary file.

    Raises
    ------
    OSError
        The folder is missing or cannot be written to, the place is taken by something that is not
        a plain file, the disk is full.

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
    mode = mode_of(place)
    descriptor, beside = new_file(place.parent, 0o666 if mode is None else 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            if mode is not None:
                os.chmod(beside, mode)
            os.fsync(file.fileno())
        os.replace(beside, place)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    sync_folder(place.parent)


def place_of(path: Path) -> Path:
    """Where a file will be written, links followed; asked before long work as well as after.

    Raises
    ------
    OSError
        The folder is missing or cannot be written to, or the place is taken by something that is
        not a plain file.
    """
    try:
        place = path.resolve()
    except RuntimeError:  # Python 3.11 and 3.12 say so of links that point to each other
        place = path
    if not place.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {path.parent} does not exist")
    if place.is_symlink() or (place.exists() and not place.is_file()):
        raise OSError(f"{path} is not a plain file")
    if not os.access(place.parent, os.W_OK):
        raise PermissionError(f"{path}: the folder {path.parent} cannot be written to")
    return place


def mode_of(place: Path) -> int | None:
    """Return the permissions of a file, or None if there is no such file."""
    try:
        return stat.S_IMODE(place.stat().st_mode)
    except FileNotFoundError:
        return None


def new_file(folder: Path, mode: int) -> tuple[int, Path]:
    """Create a file with a name that is not taken; return its descriptor and its path.

    The name is short, so that it fits wherever the name of the target does.
    """
    while True:
        path = folder / f".{secrets.token_hex(8)}.part"
        with suppress(FileExistsError):
            return os.open(path, NEW, mode), path


def sync_folder(folder: Path) -> None:
    """Flush a folder to the disk, where the system can do that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_places(
    writes: Mapping[str, Path | None], reads: Mapping[str, Path | None] | None = None
) -> None:
    """Raise before the work begins if a command cannot or must not write one of its files.

    Parameters
    ----------
    writes, reads : mapping of str to Path or None
        What the command writes and reads, by the options that say so; None is skipped. A folder
        that is read stands for all files within it.

    Raises
    ------
    ValueError
        A file is written that is read as well, or that another option writes.
    OSError
        As :func:`place_of`.
    """
    places: dict[str, Path] = {}
    for name, path in writes.items():
        if path is None:
            continue
        place = place_of(path)
        for other, read in (reads or {}).items():
            if read is not None and overlaps(place, read):
                raise ValueError(
                    f"{name} {path} would overwrite {read} of {other}: name another file"
                )
        for other, taken in places.items():
            if place == taken or same_file(place, taken):
                raise ValueError(f"{other} and {name} are both {path}: name two files")
        places[name] = place


def overlaps(place: Path, read: Path) -> bool:
    """Whether a place is a file that is read, or lies within a folder that is read."""
    with suppress(RuntimeError):
        read = read.resolve()
    return place == read or same_file(place, read) or (read.is_dir() and read in place.parents)


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths are one file, for example by a hard link."""
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them is not there
        return False
