"""The rows of a memory: how they are made, and how more are appended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hopcore.prepared._partial import Habit, Habits
from hopcore.prepared._sketch import EXTRA, directions_of
from hopcore.prepared._snapshot import LARGEST, Rows, Snapshot

LEAST = 16
"""Room for at least so many patterns."""

ALIVE = np.iinfo(np.int64).max
"""The version in which a row that was not removed dies."""


@dataclass(frozen=True)
class Settings:
    """What a memory is prepared for."""

    similarity: Any
    separation: Any
    beta: float
    error: float


@dataclass(frozen=True)
class New:
    """Patterns that are appended: checked, of one length, each with a key."""

    patterns: np.ndarray
    values: np.ndarray | None
    bias: np.ndarray | None
    keys: Sequence[Any]


def filled(new: New, settings: Settings, version: int, room: int = 0) -> Snapshot:
    """Return a snapshot in new arrays, with a new sketch, and room for more rows."""
    count = len(new.patterns)
    capacity = max(LEAST, count, room)
    patterns = with_room(new.patterns, capacity)
    values = patterns if new.values is None else with_room(new.values, capacity)
    directions, table = None, None
    largest = magnitude(new)
    if settings.error > 0.0 and count and largest < LARGEST:
        directions = directions_of(new.patterns, settings.similarity == "distance")
        table = np.empty((capacity, len(directions.basis) + EXTRA), np.float32)
        table[:count] = directions.rows(new.patterns)
    middle = np.zeros(values.shape[1])
    if count and largest < LARGEST:
        middle = values[:count].mean(axis=0, dtype=np.float64)
    rows = Rows(
        patterns,
        values,
        None if new.bias is None else with_room(new.bias, capacity),
        table,
        np.full(capacity, ALIVE),
        list(new.keys),
        directions,
        middle,
    )
    spreads = spreads_of(rows, new.patterns, new.values)
    return Snapshot(
        rows, count, version, count, spreads, largest, settings.similarity, settings.separation,
        settings.beta, settings.error, Habits(Habit(), Habit()),
    )  # fmt: skip


def appended(snapshot: Snapshot, new: New) -> Snapshot | None:
    """Return a snapshot with more patterns in the same arrays; None if there is no room for them.

    The old snapshot does not see the new rows.
    """
    rows, used, count = snapshot.rows, snapshot.used, len(new.patterns)
    if used + count > len(rows.patterns) or (used == 0 and snapshot.error > 0.0):
        return None
    part = slice(used, used + count)
    rows.patterns[part] = new.patterns
    if new.values is not None:
        rows.values[part] = new.values
    if rows.bias is not None:
        rows.bias[part] = 0.0 if new.bias is None else new.bias
    if rows.table is not None and rows.directions is not None:
        rows.table[part] = rows.directions.rows(new.patterns)
    rows.died[part] = ALIVE
    del rows.keys[used:]  # of a writer that failed
    rows.keys.extend(new.keys)
    spreads = spreads_of(rows, new.patterns, new.values)
    return Snapshot(
        rows, used + count, snapshot.version, snapshot.count + count,
        (max(spreads[0], snapshot.spreads[0]), max(spreads[1], snapshot.spreads[1])),
        max(snapshot.largest, magnitude(new)), snapshot.similarity, snapshot.separation,
        snapshot.beta, snapshot.error, snapshot.habits,
    )  # fmt: skip


def spreads_of(rows: Rows, patterns: np.ndarray, values: np.ndarray | None) -> tuple[float, float]:
    """Return how far patterns are from the centre at most, and projections from their middle.

    They are 0 where no pattern is ever left out.
    """
    if rows.directions is None:
        return 0.0, 0.0
    spread = farthest(patterns, rows.directions.centre)
    return spread, spread if values is None else farthest(values, rows.middle)


def farthest(points: np.ndarray, centre: np.ndarray) -> float:
    """Return an upper bound of the distances of points from a centre."""
    largest = 0.0
    with np.errstate(over="ignore", under="ignore"):
        for begin in range(0, len(points), 4096):
            apart = points[begin : begin + 4096].astype(np.float64)
            apart -= centre
            squares = np.vecdot(apart, apart)
            largest = max(largest, float(squares.max(initial=0.0)))
        return float(np.sqrt(largest) * (1.0 + 1e-12) + 1e-150)


def magnitude(new: New) -> float:
    """Return the largest magnitude of a value of a pattern or a projection."""
    arrays = [new.patterns] if new.values is None else [new.patterns, new.values]
    return max(float(max(x.max(initial=0.0), -x.min(initial=0.0))) for x in arrays)


def with_room(array: np.ndarray, capacity: int) -> np.ndarray:
    """Return a copy of an array with room for more rows."""
    found = np.empty((capacity, *array.shape[1:]), array.dtype)
    found[: len(array)] = array
    return found


def kept_rows(snapshot: Snapshot, rows: np.ndarray) -> New:
    """Return some rows of a snapshot."""
    own = snapshot.rows
    return New(
        own.patterns[rows],
        own.values[rows] if snapshot.has_values else None,
        None if own.bias is None else own.bias[rows],
        [own.keys[i] for i in rows],
    )


def joined(one: New, other: New) -> New:
    """Return the patterns of both."""

    def both(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
        return None if first is None or second is None else np.concatenate([first, second])

    bias = other.bias
    if one.bias is not None and bias is None:
        bias = np.zeros(len(other.patterns))
    patterns = np.concatenate([one.patterns, other.patterns])
    return New(
        patterns, both(one.values, other.values), both(one.bias, bias), [*one.keys, *other.keys]
    )
