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
    bias : float64 array (k,) or None
    depth : float
        For patterns as queries, the largest distance between the scores that :meth:`in_vain`
        compares, divided by beta.
    """

    directions: Directions
    coordinates: np.ndarray
    longest: float
    bias: np.ndarray | None
    depth: float = math.inf

    def warmest(self, gap: float) -> float:
        """Return the beta up to which it is surely in vain for queries that are like patterns.

        It is half of the lowest beta at which it is not; 0 with a bias.
        """
        return 0.5 * gap / max(self.depth, 1e-300) if self.bias is None else 0.0

    def in_vain(
        self, states: np.ndarray, beta: np.ndarray, gap: float, conjugate: np.ndarray | None = None
    ) -> np.ndarray:
        r"""Say for which states ``(L, d)`` the sketch will exclude too few patterns, ``(L,)``.

        The largest score is at most :math:`\beta \|h\|^2 / 2` for distances, that of a pattern
        equal to the query, and :math:`\beta \|h\| \max_i \|y_i\|` for dot products. If it were as
        large as this, the most patterns would be excluded. The answer is yes if even then so many
        of them would remain that reading all is faster, or twice as many as a query may need.

        With the ``conjugate`` ``(L,)`` of all scores, which exceeds the largest by little where few
        patterns matter, the answer is yes if more patterns remain than a query may need.
        """
        directions = self.directions
        cold, most = beta * directions.scale**2, self.worth
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            scores, best = self.compared(states)
            scores *= cold[:, None]
            best *= cold
            if self.bias is not None:
                scores += self.bias
            if conjugate is not None:
                most = min(most, 1.0 / SHARE)
                moved = best if directions.distance else -beta * (states @ directions.centre)
                best = conjugate + moved
            elif self.bias is not None:
                best += self.bias.max()
            remaining = (scores >= (best - gap)[:, None]).sum(axis=1)
        return remaining > most * scores.shape[1]

    @property
    def worth(self) -> float:
        """The share of the patterns up to which it is faster to read them than to read all.

        To take a pattern of d values from its place and to compare it in float64 takes as long as
        to read ``4 + 200 / d`` patterns in a row.
        """
        return min(2.0 / SHARE, 1.0 / (4.0 + 200.0 / len(self.directions.centre)))

    def compared(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the bounds ``(L, k)`` and that of the largest score ``(L,)``, without beta."""
        directions = self.directions
        centred = directions.shifted(states) if directions.distance else states / directions.scale
        query = np.ones((len(states), len(self.coordinates)))
        along = np.matmul(centred, directions.basis.T, out=query[:, :-2])
        squares = np.vecdot(centred, centred)
        query[:, -2] = np.sqrt(np.maximum(squares - np.vecdot(along, along), 0.0))
        best = 0.5 * squares if directions.distance else self.longest * np.sqrt(squares)
        return query @ self.coordinates, best


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
        None if memory.bias is None else memory.bias[rows],
    )
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        scores, best = probe.compared(memory.patterns[rows[:ASKED]])
        place = math.floor((1.0 - probe.worth) * scores.shape[1])
        depth = float(np.max(best - np.partition(scores, place, axis=1)[:, place]))
    return replace(probe, depth=depth * memory.directions.scale**2)
