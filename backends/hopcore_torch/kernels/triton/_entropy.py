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

import triton.language as tl  # pyright: ignore[reportMissingImports]
from triton import jit  # pyright: ignore

from hopcore_torch.kernels.triton._tiles import SMALLEST


@jit
def without(tile, columns, index):
    """Return a tile with zeros at the pattern of each query that has the number ``index``."""
    return tl.where(columns[None, :] == index[:, None], 0.0, tile)


@jit
def log1p(x):
    """Return log(1 + x) for x >= -1/2, with few roundings also where x is small.

    Up to 1/2 it is the series 2 (s + s^3 / 3 + ...) of s = x / (2 + x), since the logarithm of a
    GPU has an absolute error.
    """
    near = tl.minimum(x, 0.5)
    s = near / (2.0 + near)
    q = s * s
    series = 1.0 / 15.0 + q / 17.0
    series = 1.0 / 11.0 + q * (1.0 / 13.0 + q * series)
    series = 1.0 / 7.0 + q * (1.0 / 9.0 + q * series)
    series = 1.0 / 3.0 + q * (1.0 / 5.0 + q * series)
    return tl.where(x <= 0.5, 2.0 * s * (1.0 + q * series), tl.log(1.0 + x))


@jit
def others_rescaled(rest, top, shrink, changes):
    """Return the sum over all patterns but the best one after the largest score has risen.

    The pattern that was the best one, whose exponential was 1, is now one of the others.
    """
    former = (top > float("-inf")).to(tl.float32)
    return tl.where(changes, (rest + former) * shrink, rest)


@jit
def along_rescaled(along, total, top, level, shrink):
    """Return the sum of exponentials times minus their scores after the largest score has risen."""
    rise = tl.where(top == float("-inf"), 0.0, level - top)
    return (along + rise * total) * shrink


@jit
def entropy_of(largest, total, rest, minor):
    """Return entropies: of the largest weights, and of the others with sum ``rest``.

    ``minor`` is the sum of -w log w over the others. Neither has been divided by the total, whose
    logarithm is its difference from 1. Where the largest weight is above one half, its logarithm
    comes from the sum of the others, since it would be lost in rounding.
    """
    small = tl.log(tl.maximum(largest, SMALLEST))
    logarithm = tl.where(largest > 0.5, log1p(-tl.minimum(rest / total, 0.5)), small)
    return (minor + rest * (total - 1.0)) / total - largest * logarithm
