r"""Entmax of rows of scores in NumPy, most of which have weight: Newton's method in few arrays.

The equation is that of :func:`hopcore.memory._entmax.largest_weight`: the largest weight s is the
root of :math:`s \sum_i (1 + a z_i s^{-a})_+^{1/a} = 1`. A start within a few percent of it comes
from every :data:`SAMPLED`-th score, so that three steps with all scores are enough, and all passes
write into the same two arrays, which stay in a cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SAMPLED = 32
"""Of so many scores, one is looked at for the start."""

ROUGH = 1e-2
"""The change of the largest weight below which the start is good enough."""

MOST_STEPS = 64
"""Newton's method takes far fewer steps."""

Array = np.ndarray


class Scratch(NamedTuple):
    """Two arrays for intermediate results, ``(R, S)``."""

    base: Array
    powers: Array

    @classmethod
    def like(cls, scores: Array) -> Scratch:
        """Return arrays in the shape of some scores."""
        return cls(np.empty_like(scores), np.empty_like(scores))


@np.errstate(divide="ignore", under="ignore")
def fill_rows(
    scores: Array, largest: Array, a: float, weights: Array, conjugate: Array, at_once: int
) -> None:
    """Write the weights ``(R, S)`` and the conjugates ``(R,)`` of scores, -inf where masked.

    Parameters
    ----------
    scores : array (R, S)
    largest : array (R, 1)
        An upper bound of the largest weight.
    a : float
        The order minus 1, up to 1.
    weights, conjugate : array
        What is written.
    at_once : int
        So many rows are solved together.
    """
    top = scores.max(axis=-1, keepdims=True)
    empty = top == -np.inf
    top = np.where(empty, np.zeros_like(top), top)
    sample = scores[:, ::SAMPLED] - top
    start, scratch = largest, Scratch.like(sample)
    for _ in range(MOST_STEPS):
        before = start
        start = np.minimum(step(sample, before, a, scratch, SAMPLED), largest)
        if not (np.abs(start - before) > ROUGH * before).any():
            break
    scratch = Scratch.like(scores[:at_once])
    for first in range(0, len(scores), at_once):
        part = slice(first, first + at_once)
        near = np.subtract(scores[part], top[part], out=weights[part])
        room = Scratch(*(array[: len(near)] for array in scratch))
        s = root(near, start[part], largest[part], a, room)
        gain = finish(near, s, a, room)
        conjugate[part] = np.where(empty[part], -np.inf, top[part] + gain)[:, 0]


def root(near: Array, start: Array, largest: Array, a: float, room: Scratch) -> Array:
    """Return the largest weight ``(R, 1)``.

    The first step leads to the root or above it, and the others decrease until rounding stops them.
    """
    eps = float(np.finfo(near.dtype).eps)
    # The error of a step is about the square of the one before, unless the powers have no slope.
    tolerance = 0.1 * eps**0.5 if a <= 0.5 else eps
    s = np.minimum(step(near, start, a, room), largest)
    for _ in range(MOST_STEPS):
        smaller = np.minimum(step(near, s, a, room), s)
        moved = s - smaller > tolerance * s
        s = smaller
        if not moved.any():
            break
    return s


def step(near: Array, s: Array, a: float, room: Scratch, each: int = 1) -> Array:
    """Return Newton's next largest weight, where each score stands for so many."""
    base, powers = room
    raised(near, s, a, 1.0 / a - 1.0, base, powers)
    total = powers.sum(axis=-1, keepdims=True)
    excess = s * (total + np.vecdot(base, powers)[:, None]) - 1.0 / each
    return s - excess / np.where(total > 0.0, total, 1.0)


def raised(near: Array, s: Array, a: float, exponent: float, base: Array, powers: Array) -> None:
    """Write the base ``a z / s ** a``, from -1 on, and the powers ``(1 + base) ** exponent``.

    Scores are stretched by a rounding: a times the reach may be below 1, which would leave a weight
    to those that have none.
    """
    np.multiply(near, a * (1.0 + 2.0 * float(np.finfo(near.dtype).eps)) / s**a, out=base)
    np.maximum(base, base.dtype.type(-1.0), out=base)
    if exponent == 0.0:
        np.greater(base, -1.0, out=powers)
    elif exponent in (1.0, 2.0):
        np.add(base, 1.0, out=powers)
        if exponent == 2.0:
            powers *= powers
    else:
        # A large power would magnify the rounding error of 1 + base.
        np.log1p(base, out=powers)
        powers *= exponent
        np.exp(powers, out=powers)


def finish(near: Array, s: Array, a: float, room: Scratch) -> Array:
    """Replace the scores by their weights; return the gain of the conjugate over the top."""
    base, powers = room
    raised(near, s, a, 1.0 / a, base, powers)
    total = powers.sum(axis=-1, keepdims=True)
    powers /= np.where(total > 0.0, total, 1.0)
    along = np.vecdot(powers, np.maximum(near, near.dtype.type(-2.0 / a), out=near))[:, None]
    near[...] = powers
    # As w_i ** a = s ** a + a z_i on the support, Omega needs no power of the weights.
    return (a * along - np.expm1(a * np.log(s)) / a) / (a + 1.0)
