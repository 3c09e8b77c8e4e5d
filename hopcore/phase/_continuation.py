r"""Continuation: the fixed point of a pattern is followed as the pattern's weight falls.

A fixed point where pattern i has the weight :math:`p` is :math:`\xi = p x_i + (1-p) y`, with
:math:`y` the mean of the others under their softmax. Given p, the others and :math:`\beta` follow
from :math:`\ln \frac{p}{1-p} = \beta z_i - \operatorname{lse}_{j \ne i}(\beta z_j)` with
:math:`z_j = x_j \cdot \xi`, for distances :math:`x_j \cdot \xi - \|x_j\|^2 / 2`, whose right side
grows with :math:`\beta`. As a function of p the branch has no fold.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hopcore.arrays._backend import Array, Backend
from hopcore.memory._energy import energy
from hopcore.memory._retrieval import retrieve
from hopcore.memory._scores import Similarity, keys_from_zero, with_one
from hopcore.memory._separation import get_separation
from hopcore.phase._patterns import HELD, array_like, rows_at, to_host

POINTS = 22
"""The number of weights on a branch, from nearly 1 down to just above one half."""

REFINE = 4
"""The number of parabolas through the lowest points of a branch."""

FEW = 64
"""So few branches are iterated together until all have converged."""

STEPS, QUICK = 150, 12
"""The most steps for one weight, and those before steps are halved to avoid cycles."""

RUNAWAY = 1e3
"""A beta that grows by this factor at one weight diverges: there is no such fixed point."""

BEYOND = 2.0
"""A branch is followed until beta has risen to this multiple of its lowest value."""


STRIDE = 0.9
"""The factor by which beta falls in each step until the pattern is lost."""

STRIDES, HALVES = 80, 12
"""The most such steps, and the halvings of the last one, which give a precision of 3e-5."""

UPDATES = 3000
"""The most updates of a state at one beta."""


class Curve(NamedTuple):
    """Branches of n patterns, from the patterns on: arrays (weights, n) on the host.

    Attributes
    ----------
    beta : array
        inf if the pattern cannot have that weight.
    energy : array
    slope : array
        The derivative of the energy by beta.
    appear : array (n,)
        The lowest beta at which the fixed point holds the pattern.
    """

    beta: np.ndarray
    energy: np.ndarray
    slope: np.ndarray
    appear: np.ndarray


class Point(NamedTuple):
    """A point of each branch, on the host; ``others`` and ``heat`` continue it on the device."""

    logit: np.ndarray
    beta: np.ndarray
    energy: np.ndarray
    slope: np.ndarray
    others: Array
    heat: Array


class Followed(NamedTuple):
    """The patterns whose branches are followed, and their memory."""

    backend: Backend
    stored: Array
    patterns: Array
    itself: Array
    similarity: Similarity
    keys: Array
    """The stored patterns; for distances with a further coordinate, minus half of their square."""
    own_keys: Array
    """The same of the patterns that are followed."""

    def query(self, states: Array) -> Array:
        """Return what the keys are multiplied with."""
        return states if self.similarity == "dot" else with_one(self.backend.xp, states)

    def scores(self, states: Array) -> Array:
        """Return the scores of states with all stored patterns, at beta = 1."""
        return self.backend.scores(self.query(states), self.keys, 1.0, None)

    def own_scores(self, states: Array) -> Array:
        """Return the score of each state with its own pattern, at beta = 1."""
        return self.backend.xp.sum(self.query(states) * self.own_keys, axis=-1)

    def to_device(self, values: np.ndarray) -> Array:
        """Convert numbers to the dtype and the device of the patterns."""
        return array_like(values, self.stored, self.backend)

    def to_host(self, values: Array) -> np.ndarray:
        """Convert an array to NumPy in double precision."""
        return to_host(values, self.backend)

    def mixed(self, logit: np.ndarray, others: Array) -> Array:
        """Return the states in which the patterns have given weights."""
        weight = self.to_device(1.0 / (1.0 + np.exp(-logit)))[:, None]
        return weight * self.patterns + (1.0 - weight) * others

    def only(self, rows: np.ndarray) -> Followed:
        """Select some of the patterns."""
        patterns, itself, own_keys = (
            rows_at(x, rows, self.backend) for x in (self.patterns, self.itself, self.own_keys)
        )
        return self._replace(patterns=patterns, itself=itself, own_keys=own_keys)


def followed_in(
    stored: Array, rows: np.ndarray, similarity: Similarity, backend: Backend
) -> Followed:
    """Return patterns to follow; for distances the stored ones are relative to their mean."""
    xp = backend.xp
    index = backend.asarray(rows, device=backend.device(stored))
    places = xp.arange(stored.shape[0], device=backend.device(stored))
    itself = places[None, :] == backend.astype(index, places.dtype)[:, None]
    keys = stored if similarity == "dot" else keys_from_zero(backend, stored)
    patterns, own_keys = (rows_at(x, rows, backend) for x in (stored, keys))
    return Followed(backend, stored, patterns, itself, similarity, keys, own_keys)


def follow(
    stored: Array, rows: np.ndarray, backend: Backend, similarity: Similarity = "dot"
) -> Curve:
    """Follow the branches of some patterns on a grid of weights and near their lowest beta."""
    count, followed = stored.shape[0], followed_in(stored, rows, similarity, backend)
    # For N equidistant patterns, coexistence with the centroid is at the logit ln (N-1).
    others, heat, ended, top = first_guess(followed, math.log(count) + 2.0)
    grid = np.linspace(top, np.full_like(top, math.log(HELD / (1.0 - HELD))), POINTS)
    best = find_points(followed, grid[0], others, heat, ended)
    points = [best]
    for logit in grid[1:]:
        last = points[-1]
        new = find_points(followed, logit, last.others, last.heat, ended)
        best = lower_beta(best, new, followed)
        ended = ended | (new.beta > BEYOND * best.beta)
        points.append(new)
    for _ in range(REFINE):
        away = ~np.isfinite(best.beta)
        points.append(find_points(followed, parabola_vertex(points), best.others, best.heat, away))
        best = lower_beta(best, points[-1], followed)
    order = np.argsort(-np.stack([point.logit for point in points]), axis=0, kind="stable")
    beta, level, slope = (
        np.take_along_axis(np.stack([getattr(point, name) for point in points]), order, axis=0)
        for name in ("beta", "energy", "slope")
    )
    return Curve(beta, level, slope, lowest_betas(followed, beta, best))


def lowest_betas(followed: Followed, beta: np.ndarray, best: Point) -> np.ndarray:
    """Return the lowest beta of each branch; branches lost on the way are continued in beta.

    Two patterns may be so close that beta falls a long way at almost constant weight. The branch
    cannot be followed in the weight there.
    """
    appear, fold = beta.min(axis=0), np.argmin(beta, axis=0)
    after = np.take_along_axis(beta, np.minimum(fold + 1, len(beta) - 1)[None, :], axis=0)[0]
    unsure = np.nonzero(np.isfinite(appear) & ~np.isfinite(after))[0]
    if len(unsure):
        few = followed.only(unsure)
        others = rows_at(best.others, unsure, followed.backend)
        states = few.mixed(best.logit[unsure], others)
        appear[unsure] = follow_down_in_beta(few, states, appear[unsure])
    return appear


def first_guess(followed: Followed, logit: float) -> tuple[Array, Array, np.ndarray, np.ndarray]:
    """Guess the first points, near the patterns; return others, beta, covered patterns and logits.

    The logits are at least the given one. They are higher for a pattern that is nearly covered by
    another one: with weight w, it folds where w (1-w) beta times their square distance is about 1.
    """
    backend, xp = followed.backend, followed.backend.xp
    scores, mine = followed.scores(followed.patterns), followed.own_scores(followed.patterns)
    lowest = -float(xp.finfo(scores.dtype).max)  # not -inf, at which JAX can be told to stop
    gap = mine - xp.max(xp.where(followed.itself, lowest, scores), axis=-1)
    # Rounding gives copies a small gap, which does not count.
    largest = xp.max(backend.square_lengths(followed.patterns))
    floor = 16.0 * float(xp.finfo(mine.dtype).eps) * largest
    positive = xp.where(gap > floor, gap, 1.0)
    heat = (logit + math.log(followed.stored.shape[0])) / positive
    shares, _, _ = weights_of_others(followed, scores, heat)
    covered = followed.to_host(backend.astype(gap > floor, mine.dtype)) == 0
    others = xp.matmul(shares, followed.stored)
    square = followed.to_host(heat * backend.square_lengths(followed.patterns - others))
    top = np.maximum(logit, np.log(np.maximum(square, 1.0)) + 2.0)
    return others, heat + followed.to_device(top - logit) / positive, covered, top


def weights_of_others(followed: Followed, scores: Array, heat: Array) -> tuple[Array, Array, Array]:
    """Return the softmax weights of the other patterns, their lse and their entropy."""
    xp = followed.backend.xp
    hot = xp.where(followed.itself, -math.inf, heat[:, None] * scores)
    shares, level = followed.backend.separate(hot, get_separation("softmax"))
    return shares, level, level - heat * xp.sum(shares * scores, axis=-1)


def find_points(
    followed: Followed, logit: np.ndarray, others: Array, heat: Array, ended: np.ndarray
) -> Point:
    """Find the fixed points in which the patterns have given weights, from a guess."""
    backend, xp = followed.backend, followed.backend.xp
    entropy, far = xp.zeros_like(heat), np.ones(len(logit), bool)
    rows, pieces = np.arange(len(logit)), []

    def set_aside(chosen: np.ndarray) -> None:
        fields = (rows_at(x, chosen, backend) for x in (others, heat, entropy))
        pieces.append((rows[chosen], far[chosen], *fields))

    current, left = followed, ~ended
    end, guess = RUNAWAY * followed.to_host(heat), (others, heat)
    for step in range(STEPS):
        if not left.any():
            break
        # Remove converged branches once they are half of all: few shapes, little waste.
        if 2 * left.sum() <= len(left) > FEW:
            set_aside(np.nonzero(~left)[0])
            keep = np.nonzero(left)[0]
            rows, far, current = rows[keep], far[keep], current.only(keep)
            others, heat, entropy = (rows_at(x, keep, backend) for x in (others, heat, entropy))
        others, heat, entropy, converged = newton_step(
            current, logit[rows], others, heat, step >= QUICK
        )
        heat = xp.minimum(heat, followed.to_device(end[rows]))
        lost = followed.to_host(heat) > 0.99 * end[rows]
        far = far & (~converged | lost)
        left = far & ~lost & ~ended[rows]
    set_aside(np.arange(len(rows)))
    rows, far = (np.concatenate([piece[i] for piece in pieces]) for i in (0, 1))
    order = np.argsort(rows)
    others, heat, entropy = (
        rows_at(xp.concat([piece[i] for piece in pieces], axis=0), order, backend)
        for i in (2, 3, 4)
    )
    # A failed attempt leaves the guess for the next weight unchanged.
    far = far[order] | ended
    kept = followed.to_device(far.astype(np.float64)) > 0
    others = xp.where(kept[:, None], guess[0], others)
    return describe_points(followed, logit, others, xp.where(kept, guess[1], heat), entropy, far)


def newton_step(
    followed: Followed, logit: np.ndarray, others: Array, heat: Array, half: bool
) -> tuple[Array, Array, Array, np.ndarray]:
    """Improve others and beta by one step; return also the entropy and which have converged."""
    backend, xp, stored = followed.backend, followed.backend.xp, followed.stored
    close = 1e-9 if float(xp.finfo(stored.dtype).eps) < 1e-12 else 5e-5
    state = followed.mixed(logit, others)
    shares, level, entropy = weights_of_others(followed, followed.scores(state), heat)
    mine = followed.own_scores(state)
    # A Newton step for beta. If the score of the others grows faster than that of the pattern,
    # there is no solution, and beta diverges.
    rise = mine - (level - entropy) / heat
    lack = followed.to_device(logit) - (heat * mine - level)
    new = xp.where(rise > 0, heat + lack / xp.where(rise > 0, rise, 1.0), 2.0 * heat)
    new = xp.clip(new, 0.5 * heat, 2.0 * heat)
    converged = xp.abs(new - heat) <= close * heat
    means = xp.matmul(shares, stored)
    if half:
        new, means = 0.5 * (new + heat), 0.5 * (means + others)
    return means, new, entropy, followed.to_host(backend.astype(converged, heat.dtype)) > 0


def describe_points(
    followed: Followed,
    logit: np.ndarray,
    others: Array,
    heat: Array,
    entropy: Array,
    far: np.ndarray,
) -> Point:
    """Return fixed points with their energies; those not found have an infinite beta."""
    similarity = followed.similarity
    level = energy(followed.mixed(logit, others), followed.stored, heat, similarity=similarity)
    # The entropy of all weights has two parts: pattern or others, and the choice among the others.
    up, down = np.log1p(np.exp(-logit)), np.log1p(np.exp(logit))
    mixed = np.exp(-up) * up + np.exp(-down) * (down + followed.to_host(entropy))
    beta = followed.to_host(heat)
    slope = energy_slope(mixed, beta, followed.stored.shape[0], similarity)
    return Point(logit, np.where(far, math.inf, beta), followed.to_host(level), slope, others, heat)


def energy_slope(
    entropy: np.ndarray, beta: np.ndarray, count: int, similarity: Similarity
) -> np.ndarray:
    """Return the derivative of the energy by beta, from the entropy of the weights (spec E5).

    The energy of distances has no term log N / beta.
    """
    return (entropy - (math.log(count) if similarity == "dot" else 0.0)) / beta**2


def lower_beta(best: Point, new: Point, followed: Followed) -> Point:
    """Select, for each branch, the point with the lower beta; energies and slopes stay."""
    less = new.beta < best.beta
    xp = followed.backend.xp
    mask = followed.to_device(less.astype(np.float64)) > 0
    return best._replace(
        logit=np.where(less, new.logit, best.logit),
        beta=np.where(less, new.beta, best.beta),
        others=xp.where(mask[:, None], new.others, best.others),
        heat=xp.where(mask, new.heat, best.heat),
    )


def parabola_vertex(points: list[Point]) -> np.ndarray:
    """Return the vertex of the parabola through each branch's lowest point and its neighbours."""
    logit, beta = np.stack([p.logit for p in points]), np.stack([p.beta for p in points])
    order = np.argsort(logit, axis=0)
    logit, beta = (np.take_along_axis(x, order, axis=0) for x in (logit, beta))
    middle = np.clip(np.argmin(beta, axis=0), 1, len(points) - 2)
    near = np.arange(-1, 2)[:, None] + middle
    (x0, x1, x2), (y0, y1, y2) = (np.take_along_axis(x, near, axis=0) for x in (logit, beta))
    with np.errstate(invalid="ignore", divide="ignore"):
        left, right = (x1 - x0) * (y1 - y2), (x1 - x2) * (y1 - y0)
        place = x1 - 0.5 * ((x1 - x0) * left - (x1 - x2) * right) / (left - right)
    inside = np.isfinite(place) & (place > x0) & (place < x2)
    return np.where(inside, place, 0.5 * (x0 + x1))


def follow_down_in_beta(followed: Followed, states: Array, betas: np.ndarray) -> np.ndarray:
    """Return the lowest beta at which patterns are held, from states that hold them at ``betas``.

    Parameters
    ----------
    followed : Followed
        The n patterns and their memory.
    states : array (n, d)
    betas : array (n,)

    Returns
    -------
    array (n,)
    """
    held, lost = betas.copy(), np.zeros(len(betas))
    for _ in range(STRIDES):
        seeking = lost == 0.0
        if not seeking.any():
            break
        trial = np.where(seeking, STRIDE * held, held)
        states, holds = retrieve_where_held(followed, states, trial)
        held, lost = np.where(holds, trial, held), np.where(seeking & ~holds, trial, lost)
    for _ in range(HALVES):
        trial = np.sqrt(held * np.where(lost > 0.0, lost, held))
        states, holds = retrieve_where_held(followed, states, trial)
        held, lost = np.where(holds, trial, held), np.where(holds, lost, trial)
    return held


def retrieve_where_held(
    followed: Followed, states: Array, betas: np.ndarray
) -> tuple[Array, np.ndarray]:
    """Retrieve at new inverse temperatures; keep results that hold their patterns."""
    backend, xp, stored = followed.backend, followed.backend.xp, followed.stored
    heat, similarity = followed.to_device(betas), followed.similarity
    tol = 4.0 * float(xp.finfo(stored.dtype).eps) ** 0.6
    retrieved = retrieve(
        states, stored, heat, similarity=similarity, max_steps=UPDATES, tol=tol
    ).state
    # The weight of the pattern follows from the log-sum-exp, without an array of all weights.
    query = followed.query(retrieved)
    level = backend.conjugate(query, followed.keys, heat, None, get_separation("softmax"))
    weight = xp.exp(heat * followed.own_scores(retrieved) - level)
    holds = weight > HELD
    states = xp.where(holds[:, None], retrieved, states)
    return states, np.asarray(backend.to_numpy(backend.astype(holds, stored.dtype))) > 0
