"""One state of a memory, which never changes, and the arrays that kernels get of it.

Rows are only ever appended, and a removed row is marked with the version from which on it is gone.
So a reader that holds a snapshot sees the same patterns whatever the writer does meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from hopcore.arrays import Array, Backend
from hopcore.prepared._found import Sketched
from hopcore.prepared._partial import Habits, gap_of
from hopcore.prepared._probe import Probe, probe_of
from hopcore.prepared._sketch import Directions

LARGEST = 1e100
"""Larger values are not left to partial retrieval, whose squares in float64 could overflow."""


SMALL = 1 << 20
"""A memory of fewer values is read whole, which takes no longer than looking for what matters."""


@dataclass(frozen=True)
class Rows:
    """The arrays of a memory, with room for more rows; written to beyond the rows in use only.

    Attributes
    ----------
    patterns : array (capacity, d)
    values : array (capacity, v)
        The same array if the memory has no projections of its own.
    bias : float64 array (capacity,) or None
    table : float32 array (capacity, m + 3) or None
        The sketch.
    died : integer array (capacity,)
        The version from which on a row is gone.
    keys : list
        The key of each row.
    directions : Directions or None
    middle : float64 array (v,)
        The point from which the spread of the values is measured.
    """

    patterns: np.ndarray
    values: np.ndarray
    bias: np.ndarray | None
    table: np.ndarray | None
    died: np.ndarray
    keys: list[Any]
    directions: Directions | None
    middle: np.ndarray


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The patterns of a memory at one time; kernels take it in place of stored patterns.

    Attributes
    ----------
    rows : Rows
    used : int
        The number of rows in use, with those that were removed.
    version : int
    count : int
        The number of patterns.
    spreads : pair of float
        No pattern is farther than the first from the centre of the sketch, and no projection
        farther than the second from :attr:`Rows.middle`.
    largest : float
        No value of a pattern or a projection has a larger magnitude.
    similarity, separation, beta, error
        The settings of the memory.
    habits : Habits
    """

    rows: Rows
    used: int
    version: int
    count: int
    spreads: tuple[float, float]
    largest: float
    similarity: Any
    separation: Any
    beta: float
    error: float
    habits: Habits

    ndim = 2

    streamed = False
    """Whether the patterns are not in memory."""

    @property
    def shape(self) -> tuple[int, int]:
        """The number of patterns and their length."""
        return self.count, self.rows.patterns.shape[1]

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the patterns."""
        return self.rows.patterns.dtype

    @property
    def has_values(self) -> bool:
        """Whether there are projections besides the patterns."""
        return self.rows.values is not self.rows.patterns

    @cached_property
    def alive(self) -> np.ndarray | None:
        """The rows that were not removed, or None if none was."""
        if self.count == self.used:
            return None
        return np.flatnonzero(self.rows.died[: self.used] > self.version)

    @cached_property
    def patterns(self) -> np.ndarray:
        """The patterns, ``(N, d)``, which cannot be written to."""
        return self.taken(self.rows.patterns)

    @cached_property
    def values(self) -> np.ndarray:
        """The projections, ``(N, v)``, which cannot be written to."""
        return self.taken(self.rows.values) if self.has_values else self.patterns

    @cached_property
    def bias(self) -> np.ndarray | None:
        """The numbers that are added to scores, ``(N,)``, or None."""
        return None if self.rows.bias is None else self.taken(self.rows.bias)

    @property
    def keys(self) -> list[Any]:
        """The keys of the patterns."""
        keys = self.rows.keys
        return keys[: self.used] if self.alive is None else [keys[i] for i in self.alive]

    def used_rows(self, array: Any) -> Any:
        """Return the rows of an array that are in use."""
        return array[: self.used]

    def some(self, places: Any) -> np.ndarray:
        """Return some patterns by their places, an array or a slice."""
        return self.patterns[places]

    def taken(self, array: np.ndarray) -> np.ndarray:
        """Return the rows of an array that were not removed."""
        found = array[: self.used] if self.alive is None else array[self.alive]
        found = found.view()
        found.flags.writeable = False
        return found

    def places(self, rows: np.ndarray) -> np.ndarray:
        """Return the places of rows among those that were not removed."""
        return rows if self.alive is None else np.searchsorted(self.alive, rows)

    @cached_property
    def sketched(self) -> Sketched | None:
        """What partial retrieval of patterns reads; None if every call must read everything."""
        rows = self.rows
        if rows.directions is None or rows.table is None or not self.largest < LARGEST:
            return None
        gone = None
        if self.alive is not None:
            gone = np.flatnonzero(rows.died[: self.used] <= self.version)
        patterns = self.used_rows(rows.patterns)
        return self.sketch_of(
            rows.directions,
            rows.table[: self.used],
            patterns,
            patterns,
            gone,
            None if rows.bias is None else rows.bias[: self.used],
            self.spreads[0],
            length(rows.directions.centre),
        )

    @cached_property
    def probe(self) -> Probe:
        """What tells whether it is in vain to leave patterns out; the memory has a sketch."""
        assert self.sketched is not None
        return probe_of(self.sketched)

    @cached_property
    def warmest(self) -> float:
        """The beta up to which it is in vain to leave patterns out, for queries like patterns.

        It is 0 for streamed patterns, where all patterns take much longer than a trial.
        """
        if self.streamed:
            return 0.0
        gaps = self.gap, self.gap_of_values
        return min((self.probe.warmest(gap) for gap in gaps if gap is not None), default=math.inf)

    @cached_property
    def gap(self) -> float | None:
        """How far below the best a score must be for a pattern to be left out, or None."""
        memory = self.sketched
        return None if memory is None else gap_of(self.separation, memory, self.error)

    @cached_property
    def gap_of_values(self) -> float | None:
        """The same where the projections are associated."""
        memory = self.sketched_values
        return None if memory is None else gap_of(self.separation, memory, self.error)

    def sketch_of(self, *parts: Any) -> Sketched:
        """Return what partial retrieval reads."""
        return Sketched(*parts)

    @property
    def is_small(self) -> bool:
        """Whether the memory is read whole, because that takes no time."""
        return self.count * self.rows.patterns.shape[1] < SMALL

    @cached_property
    def sketched_values(self) -> Sketched | None:
        """What partial retrieval of projections reads."""
        found = self.sketched
        if found is None or not self.has_values:
            return found
        values = self.used_rows(self.rows.values)
        return replace(
            found, values=values, spread=self.spreads[1], middle=length(self.rows.middle)
        )

    @cached_property
    def _kept(self) -> dict[Any, Any]:
        return {}

    def kept(self, what: Any, states: Backend, where: Any, make: Callable[[], Any]) -> Any:
        """Return what was computed once for a library and a device."""
        key = what, states.name, str(where)
        found = self._kept.get(key)
        if found is None:
            with states.cache_context():
                found = self._kept.setdefault(key, make())
        return found

    def array(self, states: Backend, where: Any) -> Array:
        """Return the patterns in a library, on a device."""
        return self.kept("patterns", states, where, lambda: put(self.patterns, states, where))


def put(values: np.ndarray, states: Backend, where: Any) -> Array:
    """Return values as an array of a library, on a device; NumPy's and streamed as they are."""
    if states.name == "numpy" or not isinstance(values, np.ndarray):
        return values
    return states.asarray(np.array(values), dtype=values.dtype.name, device=where)


def length(vector: np.ndarray) -> float:
    """Return an upper bound of the length of a vector."""
    return float(np.linalg.norm(vector)) * (1.0 + 1e-12)
