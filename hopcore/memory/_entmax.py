r"""Entmax: sparse weights of one order alpha, or of an array of orders that may be learned.

The solvers take :math:`a = \alpha - 1` as a number or as an array ``(..., 1)``. Apart from this,
only the derivative of an order that is an array is special
(:mod:`hopcore.memory._order_derivative`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import backend_of_input, check_floating
from hopcore.arrays._backend import Array, Loop
from hopcore.arrays._scalar_checks import as_number, is_number, short_repr
from hopcore.memory._entmax_rows import ROUGH, SAMPLED, fill_rows
from hopcore.memory._order_derivative import expm1_ratio, order_change


@suggest_names
@dataclass(frozen=True)
class Entmax:
    r"""Tsallis, :math:`\alpha > 1`: :math:`w_i = [(\alpha-1) z_i - \tau]_+^{1/(\alpha-1)}`.

    :math:`\tau` is the number for which the weights sum to one, and
    :math:`\Omega(y) = (\sum_i y_i^\alpha - 1) / (\alpha (\alpha - 1))`. Patterns whose score is
    :attr:`reach` = :math:`1/(\alpha-1)` or more below the largest get exactly no weight, so a
    pattern that is separated by that margin is retrieved exactly.

    Parameters
    ----------
    alpha : float or array broadcastable to (..., L)
        Greater than 1 and finite. 2 is sparsemax; as alpha tends to 1, entmax becomes the softmax.
        An array contains one order for each query, or for each head ``(H, 1)``. It broadcasts
        against the scores without their last axis and has their library and dtype. It may contain
        1, which is the softmax, and it has a derivative in torch and JAX.

    Raises
    ------
    TypeError
        ``alpha`` is neither a real number nor an array of floating numbers.
    ValueError
        ``alpha`` is not finite or not above 1; in an array, below 1.

    Notes
    -----
    With z shifted so that its largest entry is 0, :math:`a = \alpha - 1` and s the largest weight,
    :math:`w_i = s (1 + a z_i s^{-a})_+^{1/a}`, and s is the root in [1/N, 1] of
    :math:`G(s) = \sum_i w_i(s) - 1`. For :math:`\alpha \le 2`, G is convex and increasing, so
    Newton's iterates from s = 1 decrease to the root without a bracket. (For sparsemax there are
    finitely many; each step is the closed form on the patterns still in the support.) For
    :math:`\alpha > 2` a bracket is halved, and the weights at its two ends are mixed so that they
    sum to one. The mixture is correct even if the weights at the two ends differ by more than the
    rounding error of s. In an array, each order is solved with its own method, and 1 is replaced
    by 1 plus the square of the unit roundoff.

    Sources: Peters, Niculae and Martins 2019, "Sparse sequence-to-sequence models", section 3; the
    derivative by alpha: Correia, Niculae and Martins 2019, "Adaptively sparse transformers".

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.separate(np.asarray([0.3, 0.1, -2.0]), hopcore.Entmax(2))
    array([0.6, 0.4, 0. ])
    >>> hopcore.separate(np.zeros((2, 2)), hopcore.Entmax(np.asarray([1.0, 1.5])))
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """

    alpha: Any
    softmax = False

    def __post_init__(self) -> None:
        if is_number(self.alpha) or not hasattr(self.alpha, "dtype"):
            object.__setattr__(self, "alpha", as_number("alpha", self.alpha))
            if not self.alpha > 1.0:
                raise ValueError(
                    "alpha must be above 1 and finite (1 is the softmax), "
                    f"got {short_repr(self.alpha)}"
                )
            return
        backend = backend_of_input("alpha", self.alpha)
        check_floating(backend, "alpha", self.alpha)
        if backend.can_read_values(self.alpha):
            alpha = backend.constant(self.alpha)
            right = (alpha >= 1.0) & (alpha < math.inf)
            if not bool(backend.xp.all(right)):
                bad = alpha[backend.xp.nonzero(~right)][0] if alpha.ndim else alpha
                raise ValueError(
                    "an alpha must be at least 1 (the softmax) and finite, in an array, too; "
                    f"got {float(bad)}"
                )

    @property
    def orders(self) -> Array | None:
        """Alpha where it is an array, and None where it is a number."""
        return None if isinstance(self.alpha, float) else self.alpha

    def with_orders(self, orders: Array) -> Entmax:
        """Return the same function with other orders, which are not checked."""
        other = object.__new__(Entmax)
        object.__setattr__(other, "alpha", orders)
        return other

    def _order(self, like: Array, xp: ModuleType) -> Any:
        """Alpha: a number, or an array ``(..., 1)`` in the dtype of ``like``."""
        if isinstance(self.alpha, float):
            return self.alpha
        return xp.astype(self.alpha, like.dtype)[..., None]

    def _excess(self, like: Array, xp: ModuleType) -> Any:
        """Alpha - 1, of an array at least the square of a rounding, as solvers take it."""
        if isinstance(self.alpha, float):
            return self.alpha - 1.0
        excess = self._order(like, xp) - 1.0
        return xp.maximum(excess, xp.zeros_like(excess) + xp.finfo(like.dtype).eps ** 2)

    @property
    def reach(self) -> float:
        r"""The margin :math:`1/(\alpha - 1)`, in units of score; infinite for an array."""
        return math.inf if self.orders is not None else 1.0 / (self.alpha - 1.0)

    def reach_of(self, largest: Array) -> Array:
        r""":math:`s^{\alpha-1}/(\alpha-1)`: the margin if the largest weight is s."""
        if self.orders is None:
            return largest ** (self.alpha - 1.0) * self.reach
        a = self._excess(largest, backend_of_input("largest", largest).xp)
        return largest**a / a

    def uniform(self, count: Array, xp: ModuleType) -> Array:
        r""":math:`-\Omega(1/N) = (1 - N^{1-\alpha}) / (\alpha (\alpha-1))` for counts N >= 1."""
        if self.orders is not None:
            order, logarithm = self._order(count, xp)[..., 0], xp.log(count)
            return logarithm * expm1_ratio(-(order - 1.0) * logarithm, xp) / order
        a = self.alpha - 1.0
        return -xp.expm1(-a * xp.log(count)) / (self.alpha * a)

    def evaluate(
        self, scores: Array, xp: ModuleType, loop: Loop, largest: Array | None = None
    ) -> tuple[Array, Array]:
        """Weights and conjugate of scores ``(..., S)``; all masked gives zeros and -inf.

        ``largest (..., 1)``, if given, is an upper bound of the largest weight. Then the scores
        are an array, a sample of which shows where Newton's method starts.
        """
        near, top, empty = self._near(scores, xp)
        bound = xp.ones_like(top) if largest is None else largest
        a = self._excess(near, xp)
        # Above order 1.5 the support is so small that a sample says little about it.
        sampled = largest is not None and not (isinstance(a, float) and a > 0.5)
        if isinstance(a, float) and a <= 1.0:
            weights, gain = newton(near, bound, a, xp, loop, sampled=sampled)
        elif isinstance(a, float):
            weights, gain = halve(near, bound, a, xp, loop)
        else:
            # Each solver gets all orders, those of the other one as sparsemax and solved at once.
            one, convex = xp.ones_like(a), a <= 1.0
            low = xp.minimum(a, one)
            weights, gain = newton(near, bound, low, xp, loop, convex, sampled)
            others, other_gain = halve(near, bound, xp.maximum(a, one), xp, loop, ~convex)
            # Not by where, which the scores of a streamed memory do not have.
            first = xp.astype(convex, near.dtype)
            weights = weights * first + others * (1.0 - first)
            gain = xp.where(convex, gain, other_gain)
        return weights, where_empty(top + gain, empty, xp)

    def fill_rows(
        self, scores: Any, largest: Any, weights: Any, conjugate: Any, at_once: int
    ) -> bool:
        """Write what :meth:`evaluate` returns into arrays of NumPy ``(R, S)`` and ``(R,)``.

        So many rows are solved at once. False if this is not faster: for orders above 2, and for an
        array of them.
        """
        if self.orders is not None or self.alpha > 2.0:
            return False
        fill_rows(scores, largest, self.alpha - 1.0, weights, conjugate, at_once)
        return True

    @property
    def has_closed_form(self) -> bool:
        r"""Whether :meth:`evaluate_sorted` applies: for :math:`\alpha` of 1.5 and 2."""
        return self.orders is None and self.alpha in (1.5, 2.0)

    def evaluate_sorted(self, scores: Array, xp: ModuleType) -> tuple[Array, Array]:
        """Weights and conjugate by sorting, without a loop, for traces that cannot have one."""
        near, top, empty = self._near(scores, xp)
        largest = largest_by_sorting(near, self.alpha, xp)
        largest = xp.where(empty, 1.0, largest)
        weights, gain = at_root(near, largest, self.alpha - 1.0, xp)
        return weights, where_empty(top + gain, empty, xp)

    def _near(self, scores: Array, xp: ModuleType) -> tuple[Array, Array, Array]:
        """Return the clipped scores minus the largest one, the largest, and whether it is -inf."""
        shifted, top, empty = below_top(scores, xp)
        # Scores beyond the reach have no influence; clipping keeps the arithmetic finite. They are
        # stretched by a rounding, since a * reach may be below 1, which would leave a weight there.
        lowest = xp.zeros_like(top) - 2.0 / self._excess(shifted, xp)
        near = xp.maximum(shifted * (1.0 + 2.0 * xp.finfo(shifted.dtype).eps), lowest)
        return near, top, empty

    def tangent(self, weights: Array, change: Array, xp: ModuleType) -> Array:
        r""":math:`(\mathrm{diag}(s) - s s^T / \sum_i s_i)\, dz`.

        :math:`s_i = w_i^{2-\alpha}` on the support, 0 elsewhere.
        """
        support = indicator(weights, xp)
        s = support
        order = self._order(weights, xp)
        if not isinstance(order, float) or order != 2.0:
            # Stay away from 0, where the power has no derivative, and below overflow.
            least = xp.zeros_like(weights[..., :1]) + xp.finfo(weights.dtype).eps ** 2
            exponent = (2.0 - order) * xp.log(xp.maximum(weights, least))
            s = support * xp.exp(xp.minimum(exponent, xp.zeros_like(least) + 40.0))
        total = xp.sum(s, axis=-1, keepdims=True)
        mean = xp.sum(s * change, axis=-1, keepdims=True) / xp.where(total > 0, total, 1.0)
        return s * (change - mean)

    def order_change(self, weights: Array, xp: ModuleType) -> tuple[Array, Array]:
        r"""Return how the weights and the conjugate change with an array alpha.

        The first result is the change of the scores ``(..., S)`` that :meth:`tangent` turns into
        :math:`\partial w / \partial \alpha`. The second is
        :math:`\partial \Omega^* / \partial \alpha` ``(...)``.
        """
        return order_change(weights, self._order(weights, xp), xp)


def largest_by_sorting(near: Array, alpha: float, xp: ModuleType) -> Array:
    r"""The largest weight for :math:`\alpha` of 1.5 or 2, given scores whose largest one is 0.

    Of the sorted scores, the k largest are the support for the largest k whose own threshold
    :math:`\tau` does not exclude the last of them.
    """
    ordered = xp.sort(near * (alpha - 1.0), axis=-1, descending=True)
    # Counted in integers, which stay exact; asking for a device would warn under torch.compile.
    ones = xp.ones_like(ordered, dtype=xp.int64)
    count = xp.astype(xp.cumulative_sum(ones, axis=-1), ordered.dtype)
    mean = xp.cumulative_sum(ordered, axis=-1) / count
    threshold = mean - 1.0 / count
    if alpha == 1.5:
        squares = xp.cumulative_sum(ordered * ordered, axis=-1) / count
        room = 1.0 / count - (squares - mean * mean)
        threshold = mean - xp.sqrt(xp.where(room > 0.0, room, 0.0))
    support = xp.sum(xp.astype(threshold <= ordered, xp.int64), axis=-1, keepdims=True)
    # A sum picks the threshold, since torch's take_along_dim fixes the sizes of an export.
    last = xp.astype(support, count.dtype) == count
    largest = -xp.sum(xp.where(last, threshold, 0.0), axis=-1, keepdims=True)
    return largest * largest if alpha == 1.5 else largest


def power(base: Array, exponent: Any, zero: Array, xp: ModuleType) -> Array:
    """``(1 + base)_+ ** exponent``, exponent >= 0; no ``where``, which is slow."""
    inner = xp.maximum(base + 1.0, zero)
    if isinstance(exponent, float):
        if exponent == 0.0:
            return indicator(inner, xp)
        if exponent == 1.0:
            return inner
        if exponent == 2.0:
            return inner * inner
    limits = xp.finfo(base.dtype)
    # log is faster; with a larger exponent, the rounding error of 1 + base would need log1p.
    if isinstance(exponent, float) and exponent <= 4.0:
        logarithm = xp.log(xp.maximum(inner, zero + limits.smallest_normal))
    else:
        logarithm = xp.log1p(xp.maximum(base, zero - 1.0 + limits.eps))
    return indicator(inner, xp) * xp.exp(exponent * logarithm)


def newton(
    shifted: Array,
    bound: Array,
    a: Any,
    xp: ModuleType,
    loop: Loop,
    rows: Array | None = None,
    sampled: bool = False,
) -> tuple[Array, Array]:
    """Weights and gain of the conjugate over the top score, for 0 < a <= 1, in ``rows``.

    ``bound (..., 1)`` is one of the largest weight. If ``sampled``, the solver starts where every
    :data:`SAMPLED`-th score leads, which is close if most scores have weight.
    """
    start = bound
    if sampled:
        sample = shifted[..., ::SAMPLED]
        start = largest_weight(sample, bound, a, xp, loop, rows, each=SAMPLED, tolerance=ROUGH)
    largest = largest_weight(shifted, bound, a, xp, loop, rows, start=start)
    return at_root(shifted, largest, a, xp)


def largest_weight(
    shifted: Array,
    bound: Array,
    a: Any,
    xp: ModuleType,
    loop: Loop,
    rows: Array | None = None,
    *,
    start: Array | None = None,
    each: int = 1,
    tolerance: float | None = None,
) -> Array:
    """The largest weight ``(..., 1)`` for 0 < a <= 1 in ``rows``, by Newton's method.

    From any positive ``start``, the first step leads to the root or above it, but at most to
    ``bound``, and the others decrease. The second one may rise, too: in ``1 - (N - 1) / N``, as the
    first step may be, all digits but a few are lost.

    Parameters
    ----------
    shifted : array (..., S)
    bound : array (..., 1)
        An upper bound of the largest weight, where the method starts unless ``start`` is given.
    a : float or array (..., 1)
    xp : module
    loop : callable
    rows : array (..., 1) of bool, optional
        The rows to solve; the others keep their start.
    start : array (..., 1), optional
    each : int, default 1
        Each score stands for so many.
    tolerance : float, optional
        The relative change of the last step. By default, the error is a rounding.
    """
    start, zero = bound if start is None else start, xp.zeros_like(bound)
    if tolerance is None:
        eps = xp.finfo(shifted.dtype).eps
        # The error of a step is about the square of the last one, unless the powers have no slope.
        tolerance = 0.1 * eps**0.5 if isinstance(a, float) and a <= 0.5 else eps

    def newtons(s: Array) -> Array:
        base = shifted * (a / s**a)
        inner = xp.maximum(base + 1.0, zero)
        linear = isinstance(a, float) and a == 0.5
        slope = inner if linear else power(base, 1.0 / a - 1.0, zero, xp)
        excess = s * xp.sum(slope * inner, axis=-1, keepdims=True) - 1.0 / each
        total = xp.sum(slope, axis=-1, keepdims=True)
        found = s - excess / xp.where(total > 0.0, total, 1.0)
        return xp.where(found < bound, found, bound)

    def step(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        s, _, free = carry
        found = newtons(s)
        # Once the root is reached, rounding may make a step rise or stand still.
        found = xp.where(free | (found < s), found, s)
        moved = xp.abs(s - found) > tolerance * s
        return found, moved if rows is None else moved & rows, xp.zeros_like(free)

    active = bound > 0 if rows is None else (bound > 0) & rows
    first = (xp.where(active, newtons(start), start), active, xp.ones_like(active))
    return loop(lambda carry: xp.any(carry[1]), step, first, 64)[0]


def at_root(shifted: Array, s: Array, a: Any, xp: ModuleType) -> tuple[Array, Array]:
    """Weights and gain of the conjugate, given the largest weight, for 0 < a <= 1."""
    zero = xp.zeros_like(s)
    weights = normalized_weights(power(shifted * (a / s**a), 1.0 / a, zero, xp), xp)
    # As w_i ** a = s ** a + a z_i on the support, Omega needs no power of the weights.
    along = xp.sum(weights * shifted, axis=-1, keepdims=True)
    return weights, (a * along - xp.expm1(a * xp.log(s)) / a) / (a + 1.0)


def halve(
    shifted: Array, start: Array, a: Any, xp: ModuleType, loop: Loop, rows: Array | None = None
) -> tuple[Array, Array]:
    """Weights and gain of the conjugate over the top score, for a > 1, in ``rows``."""
    zero = xp.zeros_like(start)
    below = indicator(-shifted, xp)
    gap = xp.log(a * xp.maximum(-shifted, zero + xp.finfo(shifted.dtype).smallest_normal))

    def weights(s: Array) -> Array:
        # s ** a may underflow, its logarithm does not; from exponent 0 on the weight is 0.
        exponent = xp.minimum(gap - a * xp.log(s), xp.zeros_like(s))
        return power(-below * xp.exp(exponent), 1.0 / a, zero, xp) * s

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
    low = low if rows is None else xp.where(rows, low, start)
    low, high = loop(can_be_halved, step, (low, start), 24 if "32" in str(shifted.dtype) else 53)
    least, most = weights(low), weights(high)
    under = xp.sum(least, axis=-1, keepdims=True)
    over = xp.sum(most, axis=-1, keepdims=True)
    share = (1.0 - under) / xp.where(over > under, over - under, 1.0)
    share = xp.where(share > 0.0, xp.where(share < 1.0, share, 1.0), 0.0)
    mixed = normalized_weights(least + (most - least) * share, xp)
    along = xp.sum(mixed * shifted, axis=-1, keepdims=True)
    total = xp.sum(mixed ** (a + 1.0), axis=-1, keepdims=True)
    return mixed, along - (total - 1.0) / ((a + 1.0) * a)


def below_top(scores: Array, xp: ModuleType) -> tuple[Array, Array, Array]:
    """Scores minus their maximum, the maximum (0 if all are masked), and whether all are masked."""
    top = xp.max(scores, axis=-1, keepdims=True)
    empty = top == -math.inf
    top = xp.where(empty, 0.0, top)
    return scores - top, top, empty


def where_empty(conjugate: Array, empty: Array, xp: ModuleType) -> Array:
    """Return the conjugate ``(...)``, with -inf for queries that may attend to nothing."""
    return xp.squeeze(xp.where(empty, -math.inf, conjugate), axis=-1)


def normalized_weights(weights: Array, xp: ModuleType) -> Array:
    """Scale weights so that they sum to one; zeros stay zeros."""
    total = xp.sum(weights, axis=-1, keepdims=True)
    return weights / xp.where(total > 0.0, total, 1.0)


def indicator(values: Array, xp: ModuleType) -> Array:
    """1 where a value is positive, else 0, in the values' dtype."""
    return xp.astype(values > 0.0, values.dtype)
