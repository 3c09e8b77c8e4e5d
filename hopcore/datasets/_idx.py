"""IDX files of bytes, the format of MNIST."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import IO

import numpy as np

from hopcore.files._plain import check_growth, open_plain, size_of


def read_idx(path: Path) -> np.ndarray:
    """The bytes of an IDX file, gzipped or not, as an array of its own shape.

    The format: two zero bytes, the type (8: unsigned byte, the only one read), the number of axes,
    each axis as a big-endian 32-bit integer, then the values.

    Raises
    ------
    ValueError
        The file is not an IDX file of bytes, is truncated, or has bytes left over; it would grow
        suspiciously when it is decompressed.
    OSError
        The file cannot be opened, or is not a plain file.
    """
    with open_plain(path) as file:
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            with gzip.GzipFile(fileobj=file) if zipped else nullcontext(file) as content:
                return idx_in(content, path, size_of(file), zipped)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path} is damaged: {error}") from None


def idx_in(content: IO[bytes] | gzip.GzipFile, path: Path, size: int, zipped: bool) -> np.ndarray:
    """Read the array of an open IDX file of ``size`` bytes, and no more than it announces."""
    first = content.read(4)
    if len(first) < 4 or first[:3] != b"\0\0\x08":
        raise ValueError(f"{path} is not an IDX file of bytes: it begins with {first.hex(' ')}")
    axes = content.read(4 * first[3])
    begin = 4 + 4 * first[3]
    if len(axes) + 4 < begin:
        raise ValueError(f"{path} is truncated within its header of {begin} bytes")
    shape = struct.unpack(f">{first[3]}I", axes)
    wanted = math.prod(shape)
    if zipped:
        check_growth(path, wanted, size)
        raw = content.read(wanted)
        got = f"{len(raw)}"
        if content.read(1):  # at the end the sum is checked
            got = f"more than {wanted}"
    else:
        raw = content.read(wanted) if wanted == size - begin else b""
        got = f"{size - begin}"
    if got != f"{wanted}":
        raise ValueError(f"{path} must hold {wanted} bytes for shape {shape}, got {got}")
    return np.frombuffer(raw, np.uint8).reshape(shape)
