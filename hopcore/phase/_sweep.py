"""What a memory does as it is cooled and as it is heated: a sweep of inverse temperatures.

Between the saddle-node and the loss of the centroid's stability the two differ: a memory that is
heated keeps its patterns, one that is cooled its average. That is the hysteresis of a transition of
first order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._validation import check_integer, check_positive
from hopcore.memory._retrieval import retrieve
from hopcore.phase._fixed_points import grouped, portrayed, tolerance
from hopcore.phase._hypotheses import HELD, memory
from hopcore.phase._progress import Track, silent
from hopcore.phase._rows import filled, rows_at, spaced

NUDGE = 0.01
"""How far, of the way to its pattern, a state that is no minimum any more is pushed."""


class Branch(NamedTuple):
    """A memory at each inverse temperature, on the way up or down: arrays (B,) on the host.

    Shares and means are over the patterns that are followed.

    Attributes
    ----------
    minima : integer array
        How many distinct states its patterns go to.
    retrieved : array
        The share of the patterns whose state holds them, with 0.55 of its weight or more.
    largest : array
        The share of the patterns that go to the most common state.
    participation : array
        How many patterns a state mixes, the mean over the patterns.
    sharpness : array
        The mean curvature of the states, :func:`hopcore.phase.normalized_divergence`, over the patterns.
    energy : array
        The mean energy over the patterns.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.phase.sweep(np.eye(4), [1.0, 8.0]).heated.participation.round(2)
    array([4.  , 1.01])
    """

    minima: np.ndarray
    retrieved: np.ndarray
    largest: np.ndarray
    participation: np.ndarray
    sharpness: np.ndarray
    energy: np.ndarray


class Sweep(NamedTuple):
    """What a sweep found.

    Attributes
    ----------
    betas : array (B,)
        In rising order.
    heated : Branch
        From the patterns at the largest beta down to the smallest.
    cooled : Branch
        From the state of the smallest beta up to the largest.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> found = hopcore.phase.sweep(np.eye(10), [4.0, 4.7, 6.0, 9.0, 11.0])
    >>> found.heated.minima, found.cooled.minima
    (array([ 1, 10, 10, 10, 10]), array([ 1,  1,  1,  1, 10]))
    """

    betas: np.ndarray
    heated: Branch
    cooled: Branch


def sweep(
    stored: Array,
    betas: Sequence[float] | np.ndarray,
    *,
    patterns: int | None = None,
    max_steps: int = 2000,
    tol: float | None = None,
    track: Track = silent,
) -> Sweep:
    r"""Follow the states of patterns through inverse temperatures, down and up.

    Each temperature starts from the states of the one before. On the way up states that are minima
    stay; one that has become a saddle falls apart, into what its patterns find from it.

    Parameters
    ----------
    stored : array (N, d)
        N >= 2 patterns.
    betas : sequence of float
        Inverse temperatures, positive, in any order.
    patterns : int, optional
        How many are followed, evenly spaced, in the memory of all; all if not given.
    max_steps, tol
        As in :func:`hopcore.phase.minima`.
    track : callable
        ``track(parts, total)`` passes the parts on and may show how far they are.

    Returns
    -------
    Sweep

    Warns
    -----
    HypothesisWarning
        Patterns that coincide or have very different norms.

    Raises
    ------
    TypeError, ValueError
        As :func:`hopcore.phase.minima`; no inverse temperatures.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> found = hopcore.phase.sweep(np.eye(3), [2.7, 2.8, 2.9, 3.1])
    >>> found.heated.retrieved - found.cooled.retrieved
    array([0., 1., 1., 0.])
    """
    values = np.unique(np.asarray(betas, np.float64).reshape(-1))
    if not len(values):
        raise ValueError("sweep needs at least one beta, got none")
    for value in values:
        check_positive("beta", float(value))
    check_integer("max_steps", max_steps, 0)
    check_integer("patterns", patterns, 1, optional=True)
    backend, wide = memory(stored)
    count = wide.shape[0]
    followed = spaced(count, count if patterns is None else patterns)
    walk = Walk(backend, wide, followed, max_steps, tolerance(wide, backend, tol))
    states, basin = walk.some(wide, followed), np.arange(len(followed))
    views: list[list[tuple[float, ...]]] = [[], []]
    downward = [(beta, False) for beta in values[::-1]]
    way = [*downward, *((beta, True) for beta in values)]
    for beta, upward in track(way, len(way)):
        if upward:
            # Before it rests: a saddle that rounding has moved aside would fall to one side whole.
            states, basin = walk.fall(states, basin, float(beta))
        states, basin = walk.rest(states, basin, float(beta))
        if upward:
            states, basin = walk.fall(states, basin, float(beta))
        views[upward].append(walk.view(states, basin, float(beta)))
    heated, cooled = (
        Branch(*(np.asarray(column) for column in zip(*seen, strict=True)))
        for seen in (views[0][::-1], views[1])
    )
    return Sweep(values, heated, cooled)


class Walk(NamedTuple):
    """A memory whose states are followed; ``basin`` says to which state each pattern went."""

    backend: Backend
    stored: Array
    followed: np.ndarray
    max_steps: int
    tol: float

    def rest(self, states: Array, basin: np.ndarray, beta: float) -> tuple[Array, np.ndarray]:
        """Where states come to rest, each of them once."""
        found = retrieve(states, self.stored, beta, max_steps=self.max_steps, tol=self.tol).state
        group, first = grouped(found, self.stored, self.tol, self.backend)
        return self.some(found, first), group[basin]

    def fall(self, states: Array, basin: np.ndarray, beta: float) -> tuple[Array, np.ndarray]:
        """The same after states of several patterns that are no minima fell apart."""
        shared = np.nonzero(np.bincount(basin) > 1)[0]
        if not len(shared):
            return states, basin
        some = self.some(states, shared)
        found = portrayed(some, self.stored, beta, with_radius=True).radius
        radius = np.asarray(self.backend.to_numpy(found))[: len(shared)]
        saddle = shared[radius > 1.0 + 1e-6]
        if not len(saddle):
            return states, basin
        moved = np.nonzero(np.isin(basin, saddle))[0]
        here, patterns = (
            self.some(states, basin[moved]),
            self.some(self.stored, self.followed[moved]),
        )
        nudged = here + NUDGE * (patterns - here)
        both = self.backend.xp.concat([states, nudged], axis=0)
        place = basin.copy()
        place[moved] = states.shape[0] + np.arange(len(moved))
        kept, used = np.unique(place, return_inverse=True)
        return self.rest(self.some(both, kept), used.reshape(-1), beta)

    def some(self, states: Array, rows: np.ndarray) -> Array:
        """Rows of states; for a library that compiles, a power of two of them."""
        return rows_at(states, filled(rows, states, self.backend), self.backend)

    def view(self, states: Array, basin: np.ndarray, beta: float) -> tuple[float, ...]:
        """The fields of a branch at one inverse temperature."""
        seen = portrayed(states, self.stored, beta, with_radius=False)
        weight, mixed, sharp, level = (
            np.asarray(self.backend.to_numpy(x), np.float64)
            for x in (seen.weight, seen.participation, seen.sharpness, seen.energy)
        )
        count = np.bincount(basin)
        found = (seen.pattern[basin] == self.followed) & (weight[basin] > HELD)
        means = (float(np.mean(values[basin])) for values in (mixed, sharp, level))
        return len(count), float(np.mean(found)), count.max() / len(basin), *means
