"""The sketch of streamed patterns: a sample, and one pass over all of them."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Any, NamedTuple, cast

import numpy as np

from hopcore.prepared._checks import as_bias, as_rows
from hopcore.prepared._file_rows import FileRows
from hopcore.prepared._file_snapshot import FileSnapshot
from hopcore.prepared._partial import Habit, Habits
from hopcore.prepared._rows import Settings, farthest
from hopcore.prepared._sketch import EXTRA, SAMPLE, directions_of
from hopcore.prepared._snapshot import LARGEST, Rows
from hopcore.streamed import Streamed
from hopcore.streamed._sources import Piece
from hopcore.streamed._streamed import magnitude, radius, total

ALIVE = np.iinfo(np.int32).max
"""The version in which a row that was not removed dies."""


class Seen(NamedTuple):
    """What a pass finds in the pieces of a memory."""

    total: np.ndarray
    """The sum of the patterns."""
    radius: float
    magnitude: float
    spreads: tuple[float, float]
    largest: float
    """The largest magnitude of a value of a pattern or a projection."""


def both(one: Seen, other: Seen) -> Seen:
    """Return the numbers of two pieces of a file together."""
    return Seen(
        one.total + other.total,
        max(one.radius, other.radius),
        max(one.magnitude, other.magnitude),
        (max(one.spreads[0], other.spreads[0]), max(one.spreads[1], other.spreads[1])),
        max(one.largest, other.largest),
    )


def sample_of(stored: Any) -> np.ndarray:
    """Return at most :data:`SAMPLE` evenly spaced patterns of something that is indexed by rows."""
    count = len(stored)
    return stored[np.unique(np.linspace(0, count - 1, min(count, SAMPLE)).astype(np.int64))]


def file_rows(name: str, stored: Streamed) -> FileRows:
    """Return the rows of a streamed memory; raise if they cannot be read one by one."""
    if stored.dask_source is not None:
        raise TypeError(
            f"{name} must be read by rows, and Dask would compute whole blocks for each: write a "
            ".npy file or a Zarr array, and give Streamed(path)"
        )
    if stored.dtype not in (np.float32, np.float64):
        raise TypeError(
            f"{name} must be float32 or float64 in a Memory, got {stored.dtype}: write "
            "Streamed(..., dtype='float32')"
        )
    return FileRows(stored, name)


def file_snapshot(
    patterns: FileRows, values: Any, bias: Any, keys: Any, settings: Settings
) -> FileSnapshot:
    """Return a snapshot of streamed patterns; a pass makes the sketch if there is an error."""
    count, stored = len(patterns), cast(Any, patterns)
    own = projections(values, patterns)
    number = None if bias is None else as_bias(bias, count)
    chosen = stored if own is None else own
    middle, spreads, largest = np.zeros(chosen.shape[1]), (0.0, 0.0), 0.0
    directions, table = None, None
    if settings.error > 0.0:
        directions = directions_of(stored, settings.similarity == "distance")
        table = np.empty((count, len(directions.basis) + EXTRA), np.float32)
        if own is not None:
            middle = sample_of(own).mean(axis=0, dtype=np.float64)
        spreads, largest = swept(patterns, own, directions, table, middle)
    if not largest < LARGEST:
        directions, table = None, None
    died = np.full(count, ALIVE, np.int32)
    rows = Rows(stored, chosen, number, table, died, keys, directions, middle)
    return FileSnapshot(
        rows, count, 0, count, spreads, largest, settings.similarity, settings.separation,
        settings.beta, settings.error, Habits(Habit(), Habit()),
    )  # fmt: skip


def projections(values: Any, patterns: FileRows) -> Any:
    """Return the rows of projections, or None if there are none."""
    if values is None:
        return None
    if not isinstance(values, Streamed):
        return as_rows("values", values, patterns.dtype, len(patterns)).copy()
    if values.shape[0] != len(patterns):
        raise ValueError(
            f"values must hold a row for each of {len(patterns)} patterns, got {values.shape}"
        )
    found = file_rows("values", values)
    if found.dtype != patterns.dtype:
        raise TypeError(
            f"values must be {patterns.dtype} as the patterns, got {found.dtype}: write "
            f"Streamed(..., dtype='{patterns.dtype}')"
        )
    return found


@np.errstate(over="ignore", under="ignore", invalid="ignore")
def swept(
    patterns: FileRows, own: Any, directions: Any, table: np.ndarray, middle: np.ndarray
) -> tuple[tuple[float, float], float]:
    """Fill the table of a sketch in one pass; return the spreads and the largest magnitude.

    What a call with all patterns needs of them is kept with the streamed memory.
    """

    def work(piece: Piece) -> Seen:
        table[piece.rows] = directions.rows(piece.patterns)
        spread, largest = farthest(piece.patterns, directions.centre), magnitude(piece)
        spreads, whole = (spread, spread), largest
        if own is not None:
            spreads = spread, farthest(piece.values, middle)
            whole = max(largest, magnitude(Piece(piece.rows, piece.values)))
        return Seen(total(piece), radius(piece), largest, spreads, whole)

    stored = patterns.streamed = copy(patterns.streamed)
    values = own.streamed if isinstance(own, FileRows) else own
    seen = stored.reduce(work, both, values=values)
    vars(stored).update(
        mean=seen.total / len(patterns), radius=seen.radius, magnitude=seen.magnitude
    )
    return seen.spreads, seen.largest


class Numbers:
    """The places of rows whose keys are their numbers, without a dictionary of all of them."""

    def __init__(self, count: int, gone: frozenset[int] = frozenset()) -> None:
        self.count, self.gone = count, set(gone)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, int) and 0 <= key < self.count and key not in self.gone

    def __getitem__(self, key: Any) -> int:
        if key not in self:
            raise KeyError(key)
        return key

    def __iter__(self) -> Iterator[int]:
        return (key for key in range(self.count) if key not in self.gone)

    def pop(self, key: int, default: Any = None) -> Any:
        """Remove a key."""
        if key not in self:
            return default
        self.gone.add(key)
        return key

    def copy(self) -> Numbers:
        """Return a copy."""
        return Numbers(self.count, frozenset(self.gone))
