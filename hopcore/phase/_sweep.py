"""Sweeps of inverse temperatures: a memory as it is cooled and as it is heated.

Between the saddle-node and the loss of the centroid's stability the two differ: a heated memory
keeps its patterns, a cooled one its average. This is the hysteresis of a first-order transition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._library import QUIET
from hopcore.arrays._reprs import one_line
from hopcore.arrays._scalar_checks import MOST_STEPS, check_integer, check_positive
from hopcore.memory._retrieval import retrieve
from hopcore.memory._scores import Similarity
from hopcore.phase._fixed_points import describe_states, group_states, tolerance
from hopcore.phase._patterns import (
    HELD,
    checked_memory,
    origin_of,
    padded_rows,
    rows_at,
    spaced_rows,
    to_host,
)
from hopcore.phase._progress import Track, silent

NUDGE = 0.01
"""The share of the way to its pattern by which a state that became a saddle is pushed."""


class Branch(NamedTuple):
    """A memory at each inverse temperature, heated or cooled: arrays (B,) on the host.

    Shares and means are taken over the patterns that are followed.

    Attributes
    ----------
    minima : integer array
        The number of distinct states that the patterns converge to.
    retrieved : array
        The share of the patterns whose state holds them, with 0.55 of its weight or more.
    largest : array
        The share of the patterns that converge to the most common state.
    participation : array
        The mean number of patterns that a state mixes.
    sharpness : array
        The mean of :func:`hopcore.phase.normalized_divergence` of the states.
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

    def __repr__(self) -> str:
        return one_line(self)


class Sweep(NamedTuple):
    """The result of a sweep.

    Attributes
    ----------
    betas : array (B,)
        In ascending order.
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

    def __repr__(self) -> str:
        return one_line(self)


@suggest_names
@QUIET
def sweep(
    stored: Array,
    betas: Sequence[float] | np.ndarray,
    *,
    patterns: int | None = None,
    similarity: Similarity = "dot",
    max_steps: int = 2000,
    tol: float | None = None,
    track: Track = silent,
) -> Sweep:
    r"""Follow the states of patterns through inverse temperatures, down and up.

    Each temperature starts from the states of the one before. On the way up, minima stay; a state
    that has become a saddle splits into the states that its patterns find from it.

    Parameters
    ----------
    stored : array (N, d)
        N >= 2 patterns.
    betas : sequence of float
        Inverse temperatures, positive, in any order.
    patterns : int, optional
        The number of patterns to follow, evenly spaced; all if not given.
    similarity, max_steps, tol
        As in :func:`hopcore.phase.minima`.
    track : callable
        ``track(parts, total)`` yields the parts and may show the progress.

    Returns
    -------
    Sweep

    Warns
    -----
    HypothesisWarning
        Patterns that coincide or, with dot products, have very different norms.

    Raises
    ------
    TypeError, ValueError
        As :func:`hopcore.phase.minima`, or there are no inverse temperatures.

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
    check_integer("max_steps", max_steps, 0, MOST_STEPS)
    check_integer("patterns", patterns, 1, optional=True)
    backend, precise = checked_memory(stored, similarity)
    precise = precise - origin_of(precise, similarity, backend)
    count = precise.shape[0]
    followed = spaced_rows(count, count if patterns is None else patterns)
    tol = tolerance(precise, backend, tol)
    walk = Walk(backend, precise, followed, similarity, max_steps, tol)
    states, basin = walk.rows(precise, followed), np.arange(len(followed))
    views: list[list[tuple[float, ...]]] = [[], []]
    downward = [(beta, False) for beta in values[::-1]]
    way = [*downward, *((beta, True) for beta in values)]
    for beta, upward in track(way, len(way)):
        if upward:
            # Split first: a saddle moved by rounding would otherwise fall to one side as a whole.
            states, basin = walk.split_saddles(states, basin, float(beta))
        states, basin = walk.settle(states, basin, float(beta))
        if upward:
            states, basin = walk.split_saddles(states, basin, float(beta))
        views[upward].append(walk.summary(states, basin, float(beta)))
    heated, cooled = (
        Branch(*(np.asarray(column) for column in zip(*seen, strict=True)))
        for seen in (views[0][::-1], views[1])
    )
    return Sweep(values, heated, cooled)


class Walk(NamedTuple):
    """A memory whose states are followed; ``basin`` maps each pattern to its state."""

    backend: Backend
    stored: Array
    followed: np.ndarray
    similarity: Similarity
    max_steps: int
    tol: float

    def settle(self, states: Array, basin: np.ndarray, beta: float) -> tuple[Array, np.ndarray]:
        """Retrieve from states; return the distinct results and the basins."""
        states = retrieve(
            states,
            self.stored,
            beta,
            similarity=self.similarity,
            max_steps=self.max_steps,
            tol=self.tol,
        ).state
        group, first = group_states(states, self.stored, self.tol, self.backend)
        return self.rows(states, first), group[basin]

    def split_saddles(
        self, states: Array, basin: np.ndarray, beta: float
    ) -> tuple[Array, np.ndarray]:
        """Split the states of several patterns that have become saddles."""
        shared = np.nonzero(np.bincount(basin) > 1)[0]
        if not len(shared):
            return states, basin
        rows = self.rows(states, shared)
        seen = describe_states(rows, self.stored, beta, self.similarity, with_radius=True)
        radius = seen.radius
        radius = np.asarray(self.backend.to_numpy(radius))[: len(shared)]
        saddle = shared[radius > 1.0 + 1e-6]
        if not len(saddle):
            return states, basin
        moved = np.nonzero(np.isin(basin, saddle))[0]
        saddles = self.rows(states, basin[moved])
        patterns = self.rows(self.stored, self.followed[moved])
        nudged = saddles + NUDGE * (patterns - saddles)
        both = self.backend.xp.concat([states, nudged], axis=0)
        place = basin.copy()
        place[moved] = states.shape[0] + np.arange(len(moved))
        kept, used = np.unique(place, return_inverse=True)
        return self.settle(self.rows(both, kept), used.reshape(-1), beta)

    def rows(self, states: Array, rows: np.ndarray) -> Array:
        """Take rows of states, padded to a power of two for a library that compiles."""
        return rows_at(states, padded_rows(rows, states, self.backend), self.backend)

    def summary(self, states: Array, basin: np.ndarray, beta: float) -> tuple[float, ...]:
        """Return the fields of a branch at one inverse temperature."""
        seen = describe_states(states, self.stored, beta, self.similarity, with_radius=False)
        weight, mixed, sharp, level = (
            to_host(x, self.backend)
            for x in (seen.weight, seen.participation, seen.sharpness, seen.energy)
        )
        count = np.bincount(basin)
        retrieved = (seen.pattern[basin] == self.followed) & (weight[basin] > HELD)
        means = (float(np.mean(values[basin])) for values in (mixed, sharp, level))
        return len(count), float(np.mean(retrieved)), count.max() / len(basin), *means
