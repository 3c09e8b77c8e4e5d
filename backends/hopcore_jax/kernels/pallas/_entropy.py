r"""Entropies and sums of squares of the weights, in the pass that finds the association.

An entropy is a sum of terms that are not negative, so that a small one is as exact as a large one.
With :math:`z_i \le 0` the scores minus the largest one, R the sum of :math:`e^{z_i}` over all
patterns but the best one, and T = 1 + R, that of the softmax is

.. math::
    H = \log(1 + R) + \frac{1}{T} \sum_i e^{z_i} (-z_i).

When the largest score rises by d, the sum of the second term gains d times the former T before it
is rescaled. The weights of an entmax are known when they are added up, so its entropy is the sum of
:math:`-w \log w`. A largest weight above one half gets its logarithm from the sum of the others.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from hopcore_jax.kernels.pallas._tiles import LOWEST, SMALLEST, Tile


def without(tile: Tile, columns: Tile, index: Tile) -> Tile:
    """Return a tile with zeros at the pattern of each query that has the number ``index``."""
    return jnp.where(columns[None, :] == index[:, None], 0.0, tile)


def log1p(x: Tile) -> Tile:
    """Return log(1 + x) for x >= -1/2, with few roundings also where x is small.

    Up to 1/2 it is the series 2 (s + s^3 / 3 + ...) of s = x / (2 + x), since the logarithm of a
    GPU has an absolute error.
    """
    near = jnp.minimum(x, 0.5)
    s = near / (2.0 + near)
    q = s * s
    series = jnp.zeros_like(q)
    for odd in range(17, 1, -2):
        series = q * (1.0 / odd + series)
    return jnp.where(x <= 0.5, 2.0 * s * (1.0 + series), jnp.log(1.0 + x))


class SoftmaxSums(NamedTuple):
    """What entropies and sums of squares are computed from."""

    rest: Tile
    """The sum of the exponentials of all patterns but the best one."""
    along: Tile
    """The sum of the exponentials times minus their scores."""
    square: Tile

    def rescaled(self, top: Tile, level: Tile, total: Tile, changes: Tile) -> SoftmaxSums:
        """Return the sums after the largest scores have risen from ``top`` to ``level``.

        The pattern that was the best one, whose exponential was 1, is now one of the others.
        """
        former = (top > LOWEST).astype(jnp.float32)
        shrink = jnp.exp(top - level)
        rise = jnp.where(top == LOWEST, 0.0, level - top)
        rest = jnp.where(changes, (self.rest + former) * shrink, self.rest)
        return SoftmaxSums(
            rest, (self.along + rise * total) * shrink, self.square * shrink * shrink
        )

    def added(self, near: Tile, weights: Tile, others: Tile) -> SoftmaxSums:
        """Return the sums with a tile of exponentials and their scores."""
        along = jnp.sum(weights * jnp.where(weights > 0.0, near, 0.0), axis=1)
        square = jnp.sum(weights * weights, axis=1)
        rest = jnp.sum(others, axis=1)
        return SoftmaxSums(self.rest + rest, self.along - along, self.square + square)


class EntmaxSums(NamedTuple):
    """What entropies and sums of squares are computed from."""

    rest: Tile
    """The sum of the weights of all patterns but the best one."""
    minor: Tile
    """The sum of -w log w over these patterns."""
    square: Tile

    def added(self, weights: Tile, others: Tile) -> EntmaxSums:
        """Return the sums with a tile of weights; ``others`` has zeros at the best patterns."""
        minor = jnp.sum(others * jnp.log(jnp.maximum(others, SMALLEST)), axis=1)
        square = jnp.sum(weights * weights, axis=1)
        return EntmaxSums(
            self.rest + jnp.sum(others, axis=1), self.minor - minor, self.square + square
        )


def entropy_of(largest: Tile, total: Tile, sums: EntmaxSums) -> Tile:
    """Return entropies by the largest weights and the sums over the others.

    The sums have not been divided by the total, whose logarithm is its difference from 1. Where the
    largest weight is above one half, its logarithm comes from the sum of the others, since it would
    be lost in rounding.
    """
    small = jnp.log(jnp.maximum(largest, SMALLEST))
    logarithm = jnp.where(largest > 0.5, log1p(-jnp.minimum(sums.rest / total, 0.5)), small)
    return (sums.minor + sums.rest * (total - 1.0)) / total - largest * logarithm
