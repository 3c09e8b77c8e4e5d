r"""Normmax: sparse weights whose negentropy is a norm.

The threshold is that of an entmax of another order, so the solvers of :mod:`hopcore.memory._entmax`
find it. For scores at a threshold :math:`\tau`, :math:`q_i = \max(z_i - \tau, 0)^{1/(\alpha-1)}`
has the norm :math:`\|q\|_\alpha = 1` if :math:`u_i = q_i^\alpha = \max(z_i - \tau, 0)^p` sums to
one, with :math:`p = \alpha / (\alpha - 1)`. These u are the weights of entmax of the order
:math:`1 + 1/p = 2 - 1/\alpha` for the scores pz.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._backend import Array, Loop
from hopcore.arrays._scalar_checks import as_number, short_repr
from hopcore.memory._entmax import (
    below_top,
    indicator,
    largest_by_sorting,
    largest_weight,
    normalized_weights,
    power,
    where_empty,
)

LARGEST_EXPONENT = 40.0
"""A bound on the logarithms in the Jacobian, as for entmax."""


@suggest_names
@dataclass(frozen=True)
class Normmax:
    r"""Norm entropy, :math:`\alpha > 1`: :math:`w = q / \sum_i q_i`, the q as follows.

    :math:`q_i = \max(z_i - \tau, 0)^{1/(\alpha-1)}`, and :math:`\tau` is the number for which
    :math:`\|q\|_\alpha = 1`. The weights maximise :math:`\langle w, z \rangle - \Omega(w)` over the
    distributions, with :math:`\Omega(w) = \|w\|_\alpha - 1`. Patterns whose score is 1 or more
    below the largest get exactly no weight, whatever :math:`\alpha` is, so a pattern that is
    separated by that margin is retrieved exactly.

    Parameters
    ----------
    alpha : float
        Greater than 1 and finite. As alpha tends to 1, the patterns with the largest score share
        the weight; as it grows, all patterns in the support of sparsemax get the same weight.

    Raises
    ------
    TypeError
        ``alpha`` is not a real number. An array of orders is not accepted.
    ValueError
        ``alpha`` is not finite or not above 1.

    Notes
    -----
    On the support, :math:`(w_i / \|w\|_\alpha)^{\alpha-1} = z_i - \tau` (Karush-Kuhn-Tucker), and
    :math:`\Omega^*(z) = \tau + 1`. With N equal weights, :math:`-\Omega(\frac1N \mathbf 1) = 1 -
    N^{1/\alpha - 1}`. The derivative of :math:`\tau` is w. With
    :math:`s_i = \|w\|_\alpha^{\alpha-1} w_i^{2-\alpha} / (\alpha - 1)` on the support, 0 elsewhere,

    .. math::
        \mathrm{D}w(z) = (I - w \mathbf 1^T) \, \mathrm{diag}(s) \, (I - \mathbf 1 w^T) .

    For :math:`\alpha = 2` the threshold has the closed form of 1.5-entmax for the scores 2z, and
    :math:`w_i` is proportional to :math:`\max(z_i - \tau, 0)`.

    The solver has no lower bound for :math:`\alpha`: the exponents are multiplied by logarithms of
    differences of scores, which are precise for every :math:`\alpha > 1`. A rounding error of a
    score changes its weight by up to :math:`1/(\alpha-1)` times this error, as in the formula.

    Sources: Blondel, Martins and Niculae 2020, "Learning with Fenchel-Young losses"; Santos et al.
    2024, "Hopfield-Fenchel-Young networks".

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.separate(np.asarray([0.8, 0.6, -2.0]), hopcore.Normmax(2)).round(4)
    array([0.5714, 0.4286, 0.    ])
    >>> hopcore.separate(np.asarray([1.0, 0.0, -0.5]), "normmax:5")
    array([1., 0., 0.])
    """

    alpha: float
    softmax = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", as_number("alpha", self.alpha))
        if not self.alpha > 1.0:
            raise ValueError(
                f"alpha of normmax must be above 1 and finite, got {short_repr(self.alpha)}"
            )

    @property
    def reach(self) -> float:
        """The margin 1, in units of score."""
        return 1.0

    def reach_of(self, largest: Array) -> Array:
        """1: the number of patterns, which is not known here, decides how much less it is."""
        return 0.0 * largest + self.reach

    def lowest(self, scores: Array, weights: Array, xp: ModuleType) -> Array:
        r"""The score ``(..., 1)`` below which no pattern has a weight, from some of the scores.

        It is :math:`\tau` of these scores: with fewer patterns, :math:`\tau` can only be smaller.
        ``weights`` are those of the given scores among themselves.
        """
        eps = float(xp.finfo(scores.dtype).eps)
        top = xp.max(scores, axis=-1, keepdims=True)
        margin = xp.ones_like(top)
        # Each weight has a rounding error, which the power alpha multiplies.
        rounding = (16.0 + 8.0 * self.alpha) * eps
        if rounding < 0.5:
            order = (self.alpha - 1.0) / self.alpha
            smaller = xp.exp(-order * self._norm(weights, xp).log_sum) * (1.0 + rounding)
            margin = xp.minimum(smaller, margin)
        return top - (margin + 8.0 * eps * (1.0 + xp.abs(top)))

    def negentropy(self, weights: Array, xp: ModuleType) -> Array:
        r""":math:`\Omega(w) = \|w\|_\alpha - 1` of weights ``(..., S)``, -1 where all are 0."""
        norm = self._norm(weights, xp)
        return xp.squeeze(norm.largest * xp.exp(norm.log_sum / norm.alpha), axis=-1) - 1.0

    def uniform(self, count: Array, xp: ModuleType) -> Array:
        r""":math:`-\Omega(1/N) = 1 - N^{1/\alpha - 1}` for counts N >= 1."""
        return -xp.expm1(-(self.alpha - 1.0) / self.alpha * xp.log(count))

    def evaluate(
        self, scores: Array, xp: ModuleType, loop: Loop, largest: Array | None = None
    ) -> tuple[Array, Array]:
        """Weights and conjugate of scores ``(..., S)``; all masked gives zeros and -inf."""
        near, top, empty = self._near(scores, xp)
        a = (self.alpha - 1.0) / self.alpha
        s = largest_weight(near, xp.ones_like(top), a, xp, loop)
        return self._at_root(near, s, top, empty, xp)

    @property
    def has_closed_form(self) -> bool:
        r"""Whether :meth:`evaluate_sorted` applies: for :math:`\alpha = 2`."""
        return self.alpha == 2.0

    def evaluate_sorted(self, scores: Array, xp: ModuleType) -> tuple[Array, Array]:
        """Weights and conjugate by sorting, without a loop, for traces that cannot have one."""
        near, top, empty = self._near(scores, xp)
        s = xp.where(empty, 1.0, largest_by_sorting(near, 1.5, xp))
        return self._at_root(near, s, top, empty, xp)

    def _near(self, scores: Array, xp: ModuleType) -> tuple[Array, Array, Array]:
        """Return p times the scores less the largest one, the largest, and whether it is -inf."""
        shifted, top, empty = below_top(scores, xp)
        # Scores beyond the reach have no influence; clipping keeps the arithmetic finite. They are
        # stretched by a rounding, so that a score at a distance of exactly 1 gets no weight.
        p = self.alpha / (self.alpha - 1.0)
        clipped = xp.maximum(shifted, xp.zeros_like(top) - 2.0)
        return clipped * (p * (1.0 + 4.0 * float(xp.finfo(top.dtype).eps))), top, empty

    def _at_root(
        self, near: Array, s: Array, top: Array, empty: Array, xp: ModuleType
    ) -> tuple[Array, Array]:
        r"""Weights and conjugate, given the largest u; the threshold is :math:`s^{1/p}` below."""
        a = self.alpha - 1.0
        order = a / self.alpha
        ratio = power(near * (order / s**order), 1.0 / a, xp.zeros_like(s), xp)
        gain = -xp.expm1(order * xp.log(s))
        return normalized_weights(ratio, xp), where_empty(top + gain, empty, xp)

    def _norm(self, weights: Array, xp: ModuleType) -> NormParts:
        """The parts of the norm of weights ``(..., S)``."""
        eps = float(xp.finfo(weights.dtype).eps)
        # Beyond, the weights of the support differ by roundings; a power of them must not overflow.
        alpha = min(self.alpha, 1.0 / eps)
        largest = xp.max(weights, axis=-1, keepdims=True)
        ratio = weights / xp.where(largest > 0.0, largest, 1.0)
        # Stay away from 0, whose logarithm has no derivative.
        logarithm = xp.log(xp.maximum(ratio, xp.zeros_like(largest) + eps**2))
        total = xp.sum(indicator(weights, xp) * xp.exp(alpha * logarithm), axis=-1, keepdims=True)
        return NormParts(alpha, largest, logarithm, xp.log(xp.where(total > 0.0, total, 1.0)))

    def tangent(self, weights: Array, change: Array, xp: ModuleType) -> Array:
        r""":math:`(I - w \mathbf 1^T) \, \mathrm{diag}(s) \, (I - \mathbf 1 w^T) \, dz`."""
        alpha, largest, logarithm, log_sum = self._norm(weights, xp)
        # As w_i = r_i max w, the powers of the largest weight leave one factor of it.
        exponent = (2.0 - alpha) * logarithm + (alpha - 1.0) / alpha * log_sum
        bounded = xp.exp(xp.minimum(exponent, xp.zeros_like(largest) + LARGEST_EXPONENT))
        s = indicator(weights, xp) * bounded * (largest / (alpha - 1.0))
        moved = s * (change - xp.sum(weights * change, axis=-1, keepdims=True))
        return moved - weights * xp.sum(moved, axis=-1, keepdims=True)


class NormParts(NamedTuple):
    r"""A norm of order :math:`\alpha` by the ratios :math:`r_i = w_i / \max_j w_j`."""

    alpha: float
    largest: Array
    r"""The largest weight, ``(..., 1)``."""
    logarithm: Array
    r""":math:`\log r_i`, bounded below."""
    log_sum: Array
    r""":math:`\log \sum_i r_i^\alpha`, ``(..., 1)``."""
