r"""The fixed point that belongs to a pattern, followed as the pattern's weight falls.

A fixed point in which pattern i has the weight :math:`p` is :math:`\xi = p x_i + (1-p) y`, with
:math:`y` the mean of the others under their softmax. Given p, the others and :math:`\beta` follow
from :math:`\ln \frac{p}{1-p} = \beta x_i \cdot \xi - \operatorname{lse}_{j \ne i}(\beta x_j \cdot
\xi)`, whose right side grows with :math:`\beta`. Along p the branch has no fold.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hopcore.arrays._backend import Array, Backend
from hopcore.memory._energy import energy
from hopcore.memory._separation import get_separation
from hopcore.phase._descent import descended
from hopcore.phase._hypotheses import HELD
from hopcore.phase._rows import rows_at

POINTS = 22
"""Weights at which a branch is computed, from nearly 1 down to just above one half."""

REFINE = 4
"""Parabolas through the lowest points of a branch."""

FEW = 64
"""Branches of which none is put aside before the others."""

STEPS, QUICK = 150, 12
"""Of the iteration for one weight: at most; before it goes half the way only, lest it circle."""

RUNAWAY = 1e3
"""A beta that grows by this factor at one weight has no end: there is no such fixed point."""

BEYOND = 2.0
"""A branch on which beta has risen to so many times its lowest is not followed further."""


class Curve(NamedTuple):
    """Branches of n patterns, from the patterns on: arrays (weights, n) on the host.

    Attributes
    ----------
    beta : array
        inf where the pattern cannot have that weight.
    energy : array
    slope : array
        Of the energy by beta.
    appear : array (n,)
        The lowest beta at which the pattern is held.
    """

    beta: np.ndarray
    energy: np.ndarray
    slope: np.ndarray
    appear: np.ndarray


class Point(NamedTuple):
    """A point of each branch: where it is on the host, and what to go on from on the device."""

    logit: np.ndarray
    beta: np.ndarray
    energy: np.ndarray
    slope: np.ndarray
    others: Array
    heat: Array


class Pack(NamedTuple):
    """The patterns whose branches are followed, in the memory they belong to."""

    backend: Backend
    stored: Array
    own: Array
    itself: Array

    def to_device(self, values: np.ndarray) -> Array:
        """Numbers in the dtype and on the device of the patterns."""
        found = self.backend.asarray(values, device=self.backend.device(self.stored))
        return self.backend.astype(found, self.stored.dtype)

    def to_host(self, values: Array) -> np.ndarray:
        """Numbers in double precision."""
        return np.asarray(self.backend.to_numpy(values), np.float64)

    def mixed(self, logit: np.ndarray, others: Array) -> Array:
        """The states in which the patterns have given weights."""
        weight = self.to_device(1.0 / (1.0 + np.exp(-logit)))[:, None]
        return weight * self.own + (1.0 - weight) * others

    def only(self, rows: np.ndarray) -> Pack:
        """Some of the patterns."""
        own, itself = (rows_at(x, rows, self.backend) for x in (self.own, self.itself))
        return self._replace(own=own, itself=itself)


def follow(stored: Array, rows: np.ndarray, backend: Backend) -> Curve:
    """The branches of some patterns, on a grid of weights and near their lowest beta."""
    xp, count = backend.xp, stored.shape[0]
    index = backend.asarray(rows, device=backend.device(stored))
    places = xp.arange(count, device=backend.device(stored))
    itself = places[None, :] == backend.astype(index, places.dtype)[:, None]
    pack = Pack(backend, stored, rows_at(stored, rows, backend), itself)
    # A pattern and the centroid of N equidistant ones have equal energies at the logit ln (N-1).
    others, heat, ended, top = beginning(pack, math.log(count) + 2.0)
    grid = np.linspace(top, np.full_like(top, math.log(HELD / (1.0 - HELD))), POINTS)
    best = found(pack, grid[0], others, heat, ended)
    points = [best]
    for logit in grid[1:]:
        last = points[-1]
        new = found(pack, logit, last.others, last.heat, ended)
        best = lower(best, new, pack)
        ended = ended | (new.beta > BEYOND * best.beta)
        points.append(new)
    for _ in range(REFINE):
        away = ~np.isfinite(best.beta)
        points.append(found(pack, vertex(points), best.others, best.heat, away))
        best = lower(best, points[-1], pack)
    order = np.argsort(-np.stack([point.logit for point in points]), axis=0, kind="stable")
    beta, level, slope = (
        np.take_along_axis(np.stack([getattr(point, name) for point in points]), order, axis=0)
        for name in ("beta", "energy", "slope")
    )
    return Curve(beta, level, slope, lowest(pack, rows, beta, best))


def lowest(pack: Pack, rows: np.ndarray, beta: np.ndarray, best: Point) -> np.ndarray:
    """The lowest beta of each branch, searched on where the branch was lost on the way down.

    Two patterns may be so close that beta falls from one value to another at almost one weight;
    there the weight tells nothing, and the state is followed in beta itself.
    """
    appear, turn = beta.min(axis=0), np.argmin(beta, axis=0)
    after = np.take_along_axis(beta, np.minimum(turn + 1, len(beta) - 1)[None, :], axis=0)[0]
    unsure = np.nonzero(np.isfinite(appear) & ~np.isfinite(after))[0]
    if len(unsure):
        few = pack.only(unsure)
        others = rows_at(best.others, unsure, pack.backend)
        states = few.mixed(best.logit[unsure], others)
        appear[unsure] = descended(pack.stored, states, rows[unsure], appear[unsure], pack.backend)
    return appear


def beginning(pack: Pack, logit: float) -> tuple[Array, Array, np.ndarray, np.ndarray]:
    """Near the patterns: the others, their beta, which patterns another one covers, and logits.

    Those are as given, or higher where a pattern is nearly covered: it folds where the choice
    between the two, of variance w (1-w), has w (1-w) beta times their square distance about 1.
    """
    backend, xp = pack.backend, pack.backend.xp
    scores = backend.scores(pack.own, pack.stored, 1.0, None)
    mine = backend.square_lengths(pack.own)
    gap = mine - xp.max(xp.where(pack.itself, -math.inf, scores), axis=-1)
    # Rounding makes a gap out of copies; it is none.
    floor = 16.0 * float(xp.finfo(mine.dtype).eps) * xp.max(mine)
    some = xp.where(gap > floor, gap, 1.0)
    heat = (logit + math.log(pack.stored.shape[0])) / some
    shares, _, _ = shared(pack, scores, heat)
    covered = pack.to_host(backend.astype(gap > floor, mine.dtype)) == 0
    others = xp.matmul(shares, pack.stored)
    square = pack.to_host(heat * backend.square_lengths(pack.own - others))
    top = np.maximum(logit, np.log(np.maximum(square, 1.0)) + 2.0)
    return others, heat + pack.to_device(top - logit) / some, covered, top


def shared(pack: Pack, scores: Array, heat: Array) -> tuple[Array, Array, Array]:
    """Shares of the others, their lse, and the entropy of the shares."""
    xp = pack.backend.xp
    hot = xp.where(pack.itself, -math.inf, heat[:, None] * scores)
    shares, level = pack.backend.separate(hot, get_separation("softmax"))
    return shares, level, level - heat * xp.sum(shares * scores, axis=-1)


def found(pack: Pack, logit: np.ndarray, others: Array, heat: Array, ended: np.ndarray) -> Point:
    """The fixed points in which the patterns have given weights, from a guess."""
    backend, xp = pack.backend, pack.backend.xp
    entropy, far = xp.zeros_like(heat), np.ones(len(logit), bool)
    rows, pieces = np.arange(len(logit)), []

    def aside(chosen: np.ndarray) -> None:
        fields = (rows_at(x, chosen, backend) for x in (others, heat, entropy))
        pieces.append((rows[chosen], far[chosen], *fields))

    now, left = pack, ~ended
    end, guess = RUNAWAY * pack.to_host(heat), (others, heat)
    for step in range(STEPS):
        if not left.any():
            break
        # What rests is put aside when it is half of what there is: few shapes, little waste.
        if 2 * left.sum() <= len(left) > FEW:
            aside(np.nonzero(~left)[0])
            keep = np.nonzero(left)[0]
            rows, far, now = rows[keep], far[keep], now.only(keep)
            others, heat, entropy = (rows_at(x, keep, backend) for x in (others, heat, entropy))
        others, heat, entropy, still = improved(now, logit[rows], others, heat, step >= QUICK)
        heat = xp.minimum(heat, pack.to_device(end[rows]))
        lost = pack.to_host(heat) > 0.99 * end[rows]
        far = far & (~still | lost)
        left = far & ~lost & ~ended[rows]
    aside(np.arange(len(rows)))
    rows, far = (np.concatenate([piece[i] for piece in pieces]) for i in (0, 1))
    order = np.argsort(rows)
    others, heat, entropy = (
        rows_at(xp.concat([piece[i] for piece in pieces], axis=0), order, backend)
        for i in (2, 3, 4)
    )
    # From where nothing was found one goes on as if it had not been tried.
    far = far[order] | ended
    kept = pack.to_device(far.astype(np.float64)) > 0
    others = xp.where(kept[:, None], guess[0], others)
    return measured(pack, logit, others, xp.where(kept, guess[1], heat), entropy, far)


def improved(
    pack: Pack, logit: np.ndarray, others: Array, heat: Array, half: bool
) -> tuple[Array, Array, Array, np.ndarray]:
    """One step for others and beta, the entropy of the others' shares, and which are at rest."""
    backend, xp, stored = pack.backend, pack.backend.xp, pack.stored
    close = 1e-9 if float(xp.finfo(stored.dtype).eps) < 1e-12 else 5e-5
    state = pack.mixed(logit, others)
    scores = backend.scores(state, stored, 1.0, None)
    shares, level, entropy = shared(pack, scores, heat)
    mine = xp.sum(state * pack.own, axis=-1)
    # A step of Newton for beta. Where what the others score together grows faster than the pattern
    # there is none, and beta runs away.
    rise = mine - (level - entropy) / heat
    lack = pack.to_device(logit) - (heat * mine - level)
    new = xp.where(rise > 0, heat + lack / xp.where(rise > 0, rise, 1.0), 2.0 * heat)
    new = xp.clip(new, 0.5 * heat, 2.0 * heat)
    still = xp.abs(new - heat) <= close * heat
    means = xp.matmul(shares, stored)
    if half:
        new, means = 0.5 * (new + heat), 0.5 * (means + others)
    return means, new, entropy, pack.to_host(backend.astype(still, heat.dtype)) > 0


def measured(
    pack: Pack, logit: np.ndarray, others: Array, heat: Array, entropy: Array, far: np.ndarray
) -> Point:
    """What there is to say of fixed points; those not found have an infinite beta."""
    level = energy(pack.mixed(logit, others), pack.stored, heat)
    # The entropy of all weights: that of the choice between pattern and others, and of the others.
    up, down = np.log1p(np.exp(-logit)), np.log1p(np.exp(logit))
    mixed = np.exp(-up) * up + np.exp(-down) * (down + pack.to_host(entropy))
    beta = pack.to_host(heat)
    slope = energy_slope(mixed, beta, pack.stored.shape[0])
    return Point(logit, np.where(far, math.inf, beta), pack.to_host(level), slope, others, heat)


def energy_slope(entropy: np.ndarray, beta: np.ndarray, count: int) -> np.ndarray:
    """The derivative of the energy by beta, from the entropy of the weights (spec E5)."""
    return (entropy - math.log(count)) / beta**2


def lower(best: Point, new: Point, pack: Pack) -> Point:
    """Of two points of each branch the one with the lower beta; only what one goes on from."""
    less = new.beta < best.beta
    xp = pack.backend.xp
    where = pack.to_device(less.astype(np.float64)) > 0
    return best._replace(
        logit=np.where(less, new.logit, best.logit),
        beta=np.where(less, new.beta, best.beta),
        others=xp.where(where[:, None], new.others, best.others),
        heat=xp.where(where, new.heat, best.heat),
    )


def vertex(points: list[Point]) -> np.ndarray:
    """The lowest place of the parabola through the lowest point of each branch and those beside."""
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
