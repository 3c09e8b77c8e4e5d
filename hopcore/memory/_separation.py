r"""Separation functions: how scores become association weights.

A separation function is the gradient of a conjugate. With a strictly convex :math:`\Omega` on the
simplex,

.. math::
    \Omega^*(z) = \max_{y \in \Delta} \langle y, z \rangle - \Omega(y), \qquad
    w(z) = \nabla \Omega^*(z) = \arg\max_{y \in \Delta} \langle y, z \rangle - \Omega(y).

Both the energy (through the conjugate) and the association (through the weights) follow from it:
Shannon's negentropy gives the softmax and the log-sum-exp, Tsallis negentropies give
:math:`\alpha`-entmax, of which sparsemax is :math:`\alpha = 2` (Santos et al. 2024,
"Hopfield-Fenchel-Young networks").
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeAlias

from hopcore.arrays._backend import Array, Loop, SeparationFunction
from hopcore.arrays._inputs import backend_of_input, check_floating
from hopcore.arrays._validation import check_number, short_repr

Separation: TypeAlias = "str | SeparationFunction"
"""A name such as ``"softmax"`` or ``"entmax:1.5"``, or an object such as ``Entmax(1.5)``."""


@dataclass(frozen=True)
class Softmax:
    r"""Shannon: :math:`w_i = e^{z_i} / \sum_j e^{z_j}`, :math:`\Omega^*(z) = \log \sum_j e^{z_j}`.

    Every pattern that is not masked keeps some weight; no memory is ever retrieved exactly.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.separate(np.asarray([0.0, 0.0]), hopcore.Softmax())
    array([0.5, 0.5])
    """

    softmax = True

    @property
    def reach(self) -> float:
        """Infinite, since there is no score so low that its weight is exactly 0."""
        return math.inf

    def uniform(self, count: Array, xp: ModuleType) -> Array:
        r""":math:`-\Omega(1/N) = \log N` for counts N >= 1."""
        return xp.log(count)

    def evaluate(
        self, scores: Array, xp: ModuleType, loop: Loop, largest: Array | None = None
    ) -> tuple[Array, Array]:
        """Weights and log-sum-exp of scores ``(..., S)``; all masked gives zeros and -inf."""
        shifted, top, empty = below_top(scores, xp)
        weights = xp.exp(shifted)
        total = xp.sum(weights, axis=-1, keepdims=True)
        weights = weights / xp.where(empty, 1.0, total)
        conjugate = top + xp.log(xp.where(empty, 1.0, total))
        return weights, where_empty(conjugate, empty, xp)

    def tangent(self, weights: Array, change: Array, xp: ModuleType) -> Array:
        r""":math:`(\mathrm{diag}(w) - w w^T)\, dz`."""
        return weights * (change - xp.sum(weights * change, axis=-1, keepdims=True))


@dataclass(frozen=True)
class Entmax:
    r"""Tsallis, :math:`\alpha > 1`: :math:`w_i = [(\alpha-1) z_i - \tau]_+^{1/(\alpha-1)}`.

    :math:`\tau` is the number for which the weights sum to one, and
    :math:`\Omega(y) = (\sum_i y_i^\alpha - 1) / (\alpha (\alpha - 1))`. Patterns whose score is
    :attr:`reach` = :math:`1/(\alpha-1)` or more below the largest get exactly no weight, so a
    pattern that is separated by that margin is retrieved exactly.

    Parameters
    ----------
    alpha : float
        Greater than 1 and finite. 2 is sparsemax; towards 1 it becomes the softmax.

    Raises
    ------
    TypeError
        ``alpha`` is not a real number.
    ValueError
        ``alpha`` is not finite or not above 1.

    Notes
    -----
    With z shifted so that its largest entry is 0, :math:`a = \alpha - 1` and s the largest weight,
    :math:`w_i = s (1 + a z_i s^{-a})_+^{1/a}`, and s is the root in [1/N, 1] of
    :math:`G(s) = \sum_i w_i(s) - 1`. For :math:`\alpha \le 2` G is convex and increasing, so
    Newton's steps from s = 1 fall to the root without a bracket (finitely many for sparsemax, where
    each step is the closed form on the patterns still in the support). For :math:`\alpha > 2` a
    bracket is halved, and the weights at its two ends are mixed so that they sum to one, which
    stays right where the weights jump by more than a rounding of s.

    Source: Peters, Niculae and Martins 2019, "Sparse sequence-to-sequence models", section 3.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.separate(np.asarray([0.3, 0.1, -2.0]), hopcore.Entmax(2))
    array([0.6, 0.4, 0. ])
    """

    alpha: float
    softmax = False

    def __post_init__(self) -> None:
        check_number("alpha", self.alpha)
        if not self.alpha > 1.0:
            raise ValueError(
                f"alpha must be above 1 and finite (1 is the softmax), got {short_repr(self.alpha)}"
            )

    @property
    def reach(self) -> float:
        r"""The margin :math:`1/(\alpha - 1)`, in units of score."""
        return 1.0 / (self.alpha - 1.0)

    def reach_of(self, largest: Array) -> Array:
        r""":math:`s^{\alpha-1}/(\alpha-1)`: the margin if the largest weight is s."""
        return largest ** (self.alpha - 1.0) * self.reach

    def uniform(self, count: Array, xp: ModuleType) -> Array:
        r""":math:`-\Omega(1/N) = (1 - N^{1-\alpha}) / (\alpha (\alpha-1))` for counts N >= 1."""
        a = self.alpha - 1.0
        return -xp.expm1(-a * xp.log(count)) / (self.alpha * a)

    def evaluate(
        self, scores: Array, xp: ModuleType, loop: Loop, largest: Array | None = None
    ) -> tuple[Array, Array]:
        """Weights and conjugate of scores ``(..., S)``; all masked gives zeros and -inf.

        ``largest (..., 1)``, if given, is an upper bound of the largest weight, where the solver
        starts.
        """
        near, top, empty = self._near(scores, xp)
        start = xp.ones_like(top) if largest is None else largest
        solve = self._newton if self.alpha <= 2.0 else self._halve
        weights, gain = solve(near, start, xp, loop)
        return weights, where_empty(top + gain, empty, xp)

    @property
    def has_closed_form(self) -> bool:
        r"""Whether :meth:`evaluate_sorted` applies: for :math:`\alpha` of 1.5 and 2."""
        return self.alpha in (1.5, 2.0)

    def evaluate_sorted(self, scores: Array, xp: ModuleType) -> tuple[Array, Array]:
        r"""Weights and conjugate by sorting, without a loop, for traces that cannot have one.

        Of the sorted scores, the k largest are the support for the largest k whose own threshold
        :math:`\tau` does not exclude the last of them.
        """
        near, top, empty = self._near(scores, xp)
        ordered = xp.sort(near * (self.alpha - 1.0), axis=-1, descending=True)
        # Counted in integers, which stay exact; asking for a device would warn under torch.compile.
        ones = xp.ones_like(ordered, dtype=xp.int64)
        count = xp.astype(xp.cumulative_sum(ones, axis=-1), ordered.dtype)
        mean = xp.cumulative_sum(ordered, axis=-1) / count
        threshold = mean - 1.0 / count
        if self.alpha == 1.5:
            squares = xp.cumulative_sum(ordered * ordered, axis=-1) / count
            room = 1.0 / count - (squares - mean * mean)
            threshold = mean - xp.sqrt(xp.where(room > 0.0, room, 0.0))
        support = xp.sum(xp.astype(threshold <= ordered, xp.int64), axis=-1, keepdims=True)
        # A sum picks the threshold, since torch's take_along_dim fixes the sizes of an export.
        last = xp.astype(support, count.dtype) == count
        largest = -xp.sum(xp.where(last, threshold, 0.0), axis=-1, keepdims=True)
        if self.alpha == 1.5:
            largest = largest * largest
        weights, gain = self._at_root(near, xp.where(empty, 1.0, largest), xp)
        return weights, where_empty(top + gain, empty, xp)

    def _near(self, scores: Array, xp: ModuleType) -> tuple[Array, Array, Array]:
        """Scores below the largest one, clipped; the largest one; whether there is none."""
        shifted, top, empty = below_top(scores, xp)
        # Scores beyond the reach have no influence; clipping keeps the arithmetic finite. They are
        # stretched by a rounding, since a * reach may be below 1, which would leave a weight there.
        lowest = xp.zeros_like(top) - 2.0 * self.reach
        near = xp.maximum(shifted * (1.0 + 2.0 * xp.finfo(shifted.dtype).eps), lowest)
        return near, top, empty

    def tangent(self, weights: Array, change: Array, xp: ModuleType) -> Array:
        r""":math:`(\mathrm{diag}(s) - s s^T / \sum_i s_i)\, dz`.

        :math:`s_i = w_i^{2-\alpha}` on the support, 0 elsewhere.
        """
        support = indicator(weights, xp)
        s = support
        if self.alpha != 2.0:
            # Stay away from 0, where the power has no derivative, and below overflow.
            least = xp.zeros_like(weights[..., :1]) + xp.finfo(weights.dtype).eps ** 2
            exponent = (2.0 - self.alpha) * xp.log(xp.maximum(weights, least))
            s = support * xp.exp(xp.minimum(exponent, xp.zeros_like(least) + 40.0))
        total = xp.sum(s, axis=-1, keepdims=True)
        mean = xp.sum(s * change, axis=-1, keepdims=True) / xp.where(total > 0, total, 1.0)
        return s * (change - mean)

    def _power(self, base: Array, exponent: float, zero: Array, xp: ModuleType) -> Array:
        """``(1 + base)_+ ** exponent``, exponent >= 0; no ``where``, which is slow."""
        inner = xp.maximum(base + 1.0, zero)
        if exponent == 0.0:
            return indicator(inner, xp)
        if exponent == 1.0:
            return inner
        if exponent == 2.0:
            return inner * inner
        # A large power would magnify the rounding of 1 + base: use log1p, but never of -1 itself.
        logarithm = xp.log1p(xp.maximum(base, zero - 1.0 + xp.finfo(base.dtype).eps))
        return indicator(inner, xp) * xp.exp(exponent * logarithm)

    def _newton(
        self, shifted: Array, start: Array, xp: ModuleType, loop: Loop
    ) -> tuple[Array, Array]:
        """Weights and gain of the conjugate over the top score, for alpha <= 2."""
        a = self.alpha - 1.0
        tolerance, zero = xp.finfo(shifted.dtype).eps, xp.zeros_like(start)

        def step(carry: tuple[Array, Array]) -> tuple[Array, Array]:
            s, _ = carry
            base = shifted * (a / s**a)
            slope = self._power(base, self.reach - 1.0, zero, xp)
            ratio = slope * self._power(base, 1.0, zero, xp)
            excess = s * xp.sum(ratio, axis=-1, keepdims=True) - 1.0
            slope = xp.sum(slope, axis=-1, keepdims=True)
            smaller = s - excess / xp.where(slope > 0.0, slope, 1.0)
            # Once the root is reached, rounding may make a step rise or stand still.
            smaller = xp.where(smaller < s, smaller, s)
            return smaller, s - smaller > tolerance * s

        s, _ = loop(lambda carry: xp.any(carry[1]), step, (start, start > 0), 64)
        return self._at_root(shifted, s, xp)

    def _at_root(self, shifted: Array, s: Array, xp: ModuleType) -> tuple[Array, Array]:
        """Weights and gain of the conjugate, given the largest weight, for alpha <= 2."""
        a, zero = self.alpha - 1.0, xp.zeros_like(s)
        weights = normalized_weights(self._power(shifted * (a / s**a), self.reach, zero, xp), xp)
        # As w_i ** a = s ** a + a z_i on the support, Omega needs no power of the weights.
        along = xp.sum(weights * shifted, axis=-1, keepdims=True)
        return weights, (a * along - xp.expm1(a * xp.log(s)) / a) / self.alpha

    def _halve(
        self, shifted: Array, start: Array, xp: ModuleType, loop: Loop
    ) -> tuple[Array, Array]:
        """Weights and gain of the conjugate over the top score, for alpha > 2."""
        a = self.alpha - 1.0
        zero = xp.zeros_like(start)
        below = indicator(-shifted, xp)
        gap = xp.log(a * xp.maximum(-shifted, zero + xp.finfo(shifted.dtype).smallest_normal))

        def weights(s: Array) -> Array:
            # s ** a may underflow, its logarithm does not; from exponent 0 on the weight is 0.
            exponent = xp.minimum(gap - a * xp.log(s), xp.zeros_like(s))
            return self._power(-below * xp.exp(exponent), self.reach, zero, xp) * s

        def step(carry: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = carry
            middle = 0.5 * (low + high)
            above = xp.sum(weights(middle), axis=-1, keepdims=True) > 1.0
            return xp.where(above, low, middle), xp.where(above, middle, high)

        def can_be_halved(carry: tuple[Array, Array]) -> Array:
            low, high = carry
            return xp.any(0.5 * (low + high) > low)

        # 1/N, with N counted over all parts of a memory.
        low = 1.0 / xp.sum(xp.ones_like(shifted), axis=-1, keepdims=True)
        low, high = loop(
            can_be_halved, step, (low, start), 24 if "32" in str(shifted.dtype) else 53
        )
        least, most = weights(low), weights(high)
        under = xp.sum(least, axis=-1, keepdims=True)
        over = xp.sum(most, axis=-1, keepdims=True)
        share = (1.0 - under) / xp.where(over > under, over - under, 1.0)
        share = xp.where(share > 0.0, xp.where(share < 1.0, share, 1.0), 0.0)
        mixed = normalized_weights(least + (most - least) * share, xp)
        along = xp.sum(mixed * shifted, axis=-1, keepdims=True)
        total = xp.sum(mixed**self.alpha, axis=-1, keepdims=True)
        return mixed, along - (total - 1.0) / (self.alpha * a)


SEPARATIONS: dict[str, Any] = {
    "softmax": Softmax(),
    "sparsemax": Entmax(2.0),
    "entmax15": Entmax(1.5),
}


def entmax_named(name: str) -> Entmax:
    """Return the entmax of a name such as ``"entmax:1.5"``."""
    family, _, alpha = name.partition(":")
    if family == "entmax" and alpha:
        with suppress(ValueError):
            return Entmax(float(alpha))
        raise ValueError(f"separation 'entmax:alpha' needs a number above 1, got {name!r}")
    known = ", ".join(map(repr, SEPARATIONS))
    raise ValueError(f"unknown separation {name!r}; known: {known}, 'entmax:1.5', or Entmax(alpha)")


def get_separation(separation: Separation) -> Any:
    """Return the separation function of a name; an object is returned as it is."""
    if isinstance(separation, str):
        found = SEPARATIONS.get(separation)
        return entmax_named(separation) if found is None else found
    if isinstance(separation, type) or not hasattr(separation, "evaluate"):
        raise TypeError(
            f"separation must be a name or a separation function such as Entmax(1.5), "
            f"got {type(separation).__name__}"
        )
    return separation


def separate(scores: Array, separation: Separation = "softmax") -> Array:
    r"""Association weights of scores: a distribution over the last axis.

    Parameters
    ----------
    scores : array (..., S)
        Scores, S >= 1; -inf marks a masked pattern.
    separation : str or separation function
        As in :func:`hopcore.association`.

    Returns
    -------
    array (..., S)
        Weights that sum to one; zeros where every score is -inf. Differentiable in torch and JAX.

    Raises
    ------
    TypeError, ValueError
        Scores that are not a real floating array with a last axis; nan or +inf among them; an
        unknown separation.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.separate(np.asarray([[0.0, -np.inf]]), "sparsemax")
    array([[1., 0.]])
    """
    backend = backend_of_input("scores", scores)
    check_floating(backend, "scores", scores)
    if scores.ndim == 0 or scores.shape[-1] == 0:
        raise ValueError(f"scores must be (..., S) with S >= 1, got {tuple(scores.shape)}")
    if backend.can_read_values(scores) and not bool(backend.xp.all(scores < math.inf)):
        bad = float(backend.xp.max(scores))  # nan if one of them is nan
        raise ValueError(f"scores must be finite, or -inf where masked, got {bad}")
    precise_scores = backend.astype(scores, backend.precise[scores.dtype])
    weights = backend.separate(precise_scores, get_separation(separation))[0]
    return backend.astype(weights, scores.dtype)


def below_top(scores: Array, xp: ModuleType) -> tuple[Array, Array, Array]:
    """Scores minus their maximum, the maximum (0 if all are masked), and whether all are masked."""
    top = xp.max(scores, axis=-1, keepdims=True)
    empty = top == -math.inf
    top = xp.where(empty, 0.0, top)
    return scores - top, top, empty


def where_empty(conjugate: Array, empty: Array, xp: ModuleType) -> Array:
    """The conjugate ``(...)`` with -inf where nothing may be attended."""
    return xp.squeeze(xp.where(empty, -math.inf, conjugate), axis=-1)


def normalized_weights(weights: Array, xp: ModuleType) -> Array:
    """Scale weights so that they sum to one; zeros stay zeros."""
    total = xp.sum(weights, axis=-1, keepdims=True)
    return weights / xp.where(total > 0.0, total, 1.0)


def indicator(values: Array, xp: ModuleType) -> Array:
    """1 where a value is positive, else 0, in the values' dtype."""
    return xp.astype(values > 0.0, values.dtype)
