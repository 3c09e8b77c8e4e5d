"""What partial retrieval reads of a memory, and the patterns that it finds for queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from hopcore.prepared._sketch import Directions

UNIT = 2.0**-53
"""The unit roundoff of float64."""

SLIP = 16.0 * UNIT
"""The share by which a few operations in float64 may be wrong."""

SHARE = 8
"""A query that may need more than one in so many patterns is answered by the whole memory."""


@dataclass(frozen=True)
class Sketched:
    """What partial retrieval reads of one snapshot; no array is ever changed.

    Attributes
    ----------
    directions : Directions
    table : float32 array (n, m + 3)
        The rows of the sketch.
    patterns : array (n, d)
    values : array (n, v)
        What is associated with the patterns; often the patterns themselves.
    dead : integer array (k,) or None
        Rows whose patterns were removed. They are still in the table, and never survive.
    bias : float64 array (n,) or None
        A number for each pattern, which is added to its score.
    spread : float
        M: no value is farther than this from :attr:`middle`.
    middle : float
        The length of the point from which the spread is measured.
    """

    directions: Directions
    table: np.ndarray
    patterns: np.ndarray
    values: np.ndarray
    dead: np.ndarray | None
    bias: np.ndarray | None
    spread: float
    middle: float

    at_once: ClassVar[int] = 1 << 21
    """How many scores with all patterns are stored at once."""

    @property
    def count(self) -> int:
        """The number of patterns that were not removed."""
        return len(self.table) - (0 if self.dead is None else len(self.dead))

    def share(self, queries: int) -> int:
        """Return S: none of so many queries is answered that may need one in S patterns."""
        return SHARE

    def tries(self, queries: int) -> bool:
        """Return whether so many queries may be answered faster than by one pass."""
        return True

    def parts(self, size: int) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Yield the rows of at most ``size`` patterns after another, these, and their values."""
        for first in range(0, len(self.table), size):
            rows = slice(first, first + size)
            yield rows, self.patterns[rows], self.values[rows]


@dataclass(frozen=True)
class Found:
    """The patterns that matter, for all queries one after another.

    Attributes
    ----------
    queries : integer array (k,)
        The queries for which they were found, increasing; the others need the whole memory.
    start : integer array (k,)
        Where the patterns of each of these queries begin.
    row : integer array (n,)
        The patterns.
    score : float64 array (n,)
        Their scores, relative to the best of the query.
    error : float64 array (n,)
        How wrong these may be, by rounding.
    best : integer array (k,)
        The best pattern of each query.
    top : float64 array (k,)
        Its score.
    excluded : integer array (k,)
        How many patterns were excluded.
    read : integer array (k,)
        How many patterns were read after the sketch.
    """

    queries: np.ndarray
    start: np.ndarray
    row: np.ndarray
    score: np.ndarray
    error: np.ndarray
    best: np.ndarray
    top: np.ndarray
    excluded: np.ndarray
    read: np.ndarray

    @cached_property
    def owner(self) -> np.ndarray:
        """The place of the query of each pattern, ``(n,)``."""
        return np.repeat(np.arange(len(self.start)), self.sizes)

    @cached_property
    def sizes(self) -> np.ndarray:
        """The number of patterns of each query, ``(k,)``."""
        return np.diff(np.append(self.start, len(self.row)))

    def of(self, chosen: np.ndarray) -> Found:
        """Return what was found for some of the queries."""
        sizes, keep = self.sizes[chosen], np.isin(self.owner, chosen)
        return Found(
            self.queries[chosen],
            np.cumsum(sizes) - sizes,
            self.row[keep],
            self.score[keep],
            self.error[keep],
            self.best[chosen],
            self.top[chosen],
            self.excluded[chosen],
            self.read[chosen],
        )
