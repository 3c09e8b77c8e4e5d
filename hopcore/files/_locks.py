"""Lock a folder, so that two processes do not write into it at once."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK = ".lock"
"""The name of the file in a folder that is locked."""

WITHOUT = errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP
"""What file systems without locks answer; their folders are not locked."""

FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder while the block runs.

    The system releases the lock of a process that ends, however it ends, so nothing stale is left.

    Raises
    ------
    ValueError
        Another process, or another run in this one, holds the lock.
    OSError
        The file of the lock cannot be made.
    """
    path = folder / LOCK
    descriptor = locked_file(path)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # while it is locked, so that it is nobody else's
        os.close(descriptor)


def locked_file(path: Path) -> int:
    """Open a file, lock it and return its descriptor; make it anew if its owner removes it."""
    while True:
        descriptor = os.open(path, FLAGS, 0o666)
        try:
            lock(descriptor)
        except BlockingIOError:
            os.close(descriptor)
            raise ValueError(
                f"{path.parent} is being written to by another run: wait for its end, or name "
                "another folder"
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        with suppress(OSError):
            if os.path.samestat(os.stat(path), os.fstat(descriptor)):
                return descriptor
        os.close(descriptor)


def lock(descriptor: int) -> None:
    """Lock an open file, or raise a BlockingIOError if another has locked it."""
    try:
        import fcntl  # noqa: PLC0415  not on Windows
    except ModuleNotFoundError:
        import msvcrt  # noqa: PLC0415

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError as error:
            raise BlockingIOError(str(error)) from None
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in WITHOUT:
            raise
