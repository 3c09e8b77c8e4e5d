"""Open files that are not trusted: plain files only, and nothing larger than was announced."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, NamedTuple

FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""Flags with which opening a FIFO returns at once, if one is put into a file's place."""

FREE, RATIO = 1 << 26, 100
"""Compressed content may always hold 64 MiB, and beyond that 100 times its compressed size."""


class Version(NamedTuple):
    """What tells one content of a file from another without reading it."""

    size: int
    modified: int
    number: int


def open_plain(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a plain file for reading; refuse folders, FIFOs, sockets and devices without waiting.

    Raises
    ------
    OSError
        The file cannot be opened, or is not a plain file.
    """
    check_plain(path, os.stat(path))  # opening a device may have effects
    file = os.fdopen(os.open(path, FLAGS), "rb")
    try:
        check_plain(path, os.fstat(file.fileno()))
    except OSError:
        file.close()
        raise
    return file


def check_plain(path: str | os.PathLike[str], found: os.stat_result) -> None:
    """Raise an OSError if a path is not that of a plain file."""
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"{os.fspath(path)} is not a plain file")


def size_of(file: BinaryIO) -> int:
    """Return the size of an open file in bytes."""
    return os.fstat(file.fileno()).st_size


def version_of(file: BinaryIO) -> Version:
    """Return the version of an open file."""
    found = os.fstat(file.fileno())
    return Version(found.st_size, found.st_mtime_ns, found.st_ino)


def read_text(path: str | os.PathLike[str]) -> str:
    """Return the text of a plain file in UTF-8.

    Raises
    ------
    ValueError
        The file is not text in UTF-8.
    OSError
        The file cannot be opened, or is not a plain file.
    """
    with open_plain(path) as file:
        content = file.read()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{os.fspath(path)} is not text in UTF-8: {error}") from None


def check_growth(path: Path, announced: int, compressed: int) -> None:
    """Raise a ValueError if compressed content is announced to be suspiciously large."""
    if announced > max(FREE, RATIO * compressed):
        raise ValueError(
            f"{path} would grow from {compressed} to {announced} bytes, more than {RATIO} times: "
            "unpack it yourself if you trust it"
        )
