r"""An estimate, from a few patterns, of whether the sketch of a memory can exclude most of them.

All bounds of a query cost up to half as much as its association with all patterns. At low inverse
temperatures they exclude nothing, which the bounds of a few patterns show already. The estimate
only decides how an association is computed; no certificate depends on it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from hopcore.prepared._found import SHARE, Sketched
from hopcore.prepared._sketch import EXTRA, Directions

PROBED = 256
"""How many patterns are looked at."""

ASKED = 16
"""With so many of them as queries it is found where no query like a pattern has a chance."""

GOLDEN = 0.6180339887498949
"""Multiples of this number, without their integer parts, are spread evenly and have no period."""


@dataclass(frozen=True)
class Probe:
    """Rows of the sketch of a few patterns, which are spread over the memory.

    Attributes
    ----------
    directions : Directions
    coordinates : float64 array (m + 2, k)
        The coordinates, and the last numbers of the bounds: the length of what the coordinates
        leave out, and minus half of the squared length.
    longest : float
        The length of the longest of these patterns.
    square : float
        The square of the scale of the sketch.
    worth : float
        The share of the patterns up to which it is faster to read them than to read all.
    bias : float64 array (k,) or None
    depth : float
        For patterns as queries, the largest distance between the scores that :meth:`in_vain`
        compares, divided by beta.
    """

    directions: Directions
    coordinates: np.ndarray
    longest: float
    square: float
    worth: float
    bias: np.ndarray | None
    depth: float = math.inf

    def warmest(self, gap: float) -> float:
        """Return the beta up to which it is surely in vain for queries that are like patterns.

        It is half of the lowest beta at which it is not; 0 with a bias.
        """
        return 0.5 * gap / max(self.depth, 1e-300) if self.bias is None else 0.0

    def in_vain(
        self, state: np.ndarray, beta: float, gap: float, level: float | None = None
    ) -> bool:
        r"""Whether the sketch will exclude too few patterns for a state ``(d,)``.

        The largest score is at most :math:`\beta \|h\|^2 / 2` for distances, that of a pattern
        equal to the query, and :math:`\beta \|h\| \max_i \|y_i\|` for dot products. If it were as
        large as this, the most patterns would be excluded. The answer is yes if even then so many
        of them would remain that reading all is faster, or twice as many as a query may need.

        With the ``level``, the conjugate of all scores, which exceeds the largest by little where
        few patterns matter, the answer is yes if more patterns remain than a query may need.
        """
        cold, most = beta * self.square, self.worth
        if not 0.0 < cold < math.inf:
            return False
        scores, best = self.compared(state)
        if level is not None:
            most = min(most, 1.0 / SHARE)
            if not self.directions.distance:
                best = -float(state @ self.directions.centre) / self.square
            best += level / cold
        if self.bias is not None:
            scores += self.bias / cold
            if level is None:
                best += float(self.bias.max()) / cold
        return bool(np.add.reduce(scores >= best - gap / cold) > most * len(scores))

    def compared(self, state: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the bounds ``(k,)`` and that of the largest score, without beta."""
        directions = self.directions
        centred = state - directions.centre if directions.distance else state.astype(np.float64)
        centred *= 1.0 / directions.scale
        along = directions.basis @ centred
        squares = float(centred @ centred)
        scores = along @ self.coordinates[:-2]
        scores += math.sqrt(max(squares - float(along @ along), 0.0)) * self.coordinates[-2]
        scores += self.coordinates[-1]
        return scores, 0.5 * squares if directions.distance else self.longest * math.sqrt(squares)


def worth(depth: int) -> float:
    """Return the share of the patterns up to which it is faster to read them than to read all.

    To take a pattern of d values from its place and to compare it in float64 takes as long as to
    read ``4 + 200 / d`` patterns in a row.
    """
    return min(2.0 / SHARE, 1.0 / (4.0 + 200.0 / depth))


def probe_of(memory: Sketched) -> Probe:
    """Return the probe of a memory that has at least one pattern."""
    rows = (np.arange(PROBED) * GOLDEN % 1.0 * memory.count).astype(np.int64)
    if memory.dead is not None:
        rows = np.setdiff1d(np.arange(len(memory.table)), memory.dead)[rows]
    table = memory.table[rows].astype(np.float64)
    chosen = [*range(table.shape[1] - EXTRA), -3, -1]
    probe = Probe(
        memory.directions,
        np.ascontiguousarray(table[:, chosen].T),
        float(table[:, -2].max()),
        memory.directions.scale**2,
        worth(len(memory.directions.centre)),
        None if memory.bias is None else memory.bias[rows],
    )
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        place, depth = math.floor((1.0 - probe.worth) * PROBED), -math.inf
        for row in rows[:ASKED]:
            scores, best = probe.compared(memory.patterns[row])
            depth = max(depth, best - float(np.partition(scores, place)[place]))
    return replace(probe, depth=depth * probe.square)
