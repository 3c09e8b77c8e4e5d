r"""k-subsets: each pattern gets a weight of at most 1/k, so at least k patterns share the weight.

The threshold lies between two numbers. The solver narrows this bracket with the loop of a backend,
or, where a trace cannot have one, by sorting. Both end in :func:`between`, which reads the weights
from the bracket.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import ModuleType

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._backend import Array, Loop
from hopcore.arrays._scalar_checks import as_integer
from hopcore.memory._entmax import indicator, where_empty

MOST_STEPS = 128
"""More steps than are needed, even for scores that differ by hundreds of magnitudes."""

STUCK = 3.0
"""After so many steps that all move the same end of the bracket, the solver halves the bracket."""

WIDE = 4.0
"""If one end is more than so many times as far below the top as the other, divide geometrically."""


@suggest_names
@dataclass(frozen=True)
class KSubsets:
    r"""SparseMAP of a budget of k patterns: :math:`w_i = \min(\max(z_i - \tau, 0), 1) / k`.

    :math:`\tau` is the number for which the weights sum to one. The weights are a mixture of means
    of k patterns (k-subsets). If the k largest scores exceed all others by at least 1, exactly
    their patterns have weights, 1/k each, so the mean of k patterns is retrieved exactly.

    Parameters
    ----------
    k : int
        At least 1. With 1 this is sparsemax. A query that may attend to only N < k patterns gets
        the weight 1/N for each of them, as with k = N.

    Raises
    ------
    TypeError
        ``k`` is not an integer.
    ValueError
        ``k`` is below 1.

    Notes
    -----
    With :math:`\Omega(w) = \frac k2 \sum_i w_i^2 - \frac12` on the distributions with
    :math:`w_i \le 1/k`, and y = kw,

    .. math::
        \Omega^*(z) = \max_w \langle w, z \rangle - \Omega(w)
        = \frac1k \Big(\langle y, z \rangle - \frac12 \sum_i y_i^2\Big) + \frac12 .

    The constants :math:`-\frac12` and :math:`+\frac12` are chosen so that :math:`\Omega` is 0 at
    the corners, the uniform weights of k patterns, as for every other separation function. They
    cancel in the energy, :math:`-(\Omega^*(\beta X \xi) + \Omega(\frac1N \mathbf 1)) / \beta +
    \frac12 \|\xi\|^2 + \frac12 M^2`, so with
    :math:`-\Omega(\frac1N \mathbf 1) = \frac12 (1 - \frac kN)` the energy is never negative, and
    the energy of a memory of copies of one pattern, at this pattern, is 0.

    The sum of :math:`\min(\max(z_i - \tau, 0), 1)` falls with :math:`\tau` and is linear between
    the scores and the scores less 1.

    Source: Santos et al. 2024, "Sparse and structured Hopfield networks", section 4.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.separate(np.asarray([2.0, 0.5, 0.25, -3.0]), hopcore.KSubsets(2))
    array([0.5   , 0.3125, 0.1875, 0.    ])
    >>> hopcore.separate(np.asarray([2.0, 1.5, 0.25]), "k-subsets:2")
    array([0.5, 0.5, 0. ])
    """

    k: int
    softmax = False
    has_closed_form = True
    """:meth:`evaluate_sorted` always applies."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", as_integer("k", self.k, 1))

    @property
    def reach(self) -> float:
        """Infinite for k > 1, since k patterns have weights however far apart their scores are."""
        return 1.0 if self.k == 1 else math.inf

    def reach_of(self, largest: Array) -> Array:
        """The largest weight for k = 1, otherwise infinite."""
        return largest * self.reach

    def lowest(self, scores: Array, weights: Array, xp: ModuleType) -> Array:
        r"""The score ``(..., 1)`` below which no pattern has a weight, from some of the scores.

        With fewer patterns :math:`\tau` can only be smaller. ``weights`` are those of the given
        scores among themselves; up to k patterns, there is no such score.
        """
        y = weights * float(self.k)
        largest = xp.max(weights, axis=-1, keepdims=True)
        eps = xp.finfo(scores.dtype).eps
        level = xp.min(xp.where(y > 0.0, scores - y, math.inf), axis=-1, keepdims=True)
        level = level - 8.0 * eps * (1.0 + xp.abs(level))
        few = largest * self.k > 1.0 + 4.0 * eps
        return xp.where(few | (level == math.inf), -math.inf, level)

    def uniform(self, count: Array, xp: ModuleType) -> Array:
        r""":math:`-\Omega(1/N) = (1 - k/N) / 2` for counts N >= 1, 0 for N < k."""
        return 0.5 * (1.0 - self._size(count, xp) / count)

    def _size(self, count: Array, xp: ModuleType) -> Array:
        """The smaller one of k and N, for counts N."""
        return xp.minimum(count, xp.zeros_like(count) + float(self.k))

    def evaluate(
        self, scores: Array, xp: ModuleType, loop: Loop, largest: Array | None = None
    ) -> tuple[Array, Array]:
        """Weights and conjugate of scores ``(..., S)``; all masked gives zeros and -inf."""
        top, lowest, count = range_of(scores, xp)
        low, high = bracket(scores, top, lowest, count, float(self.k), xp, loop)
        return self._between(scores, top, low, high, count, xp)

    def evaluate_whole(
        self, scores: Array, xp: ModuleType, loop: Loop, largest: Array | None = None
    ) -> tuple[Array, Array]:
        """:meth:`evaluate` of an array, whose k-th largest score gives a small bracket."""
        top, lowest, count = range_of(scores, xp)
        if self.k >= scores.shape[-1]:
            return self._between(scores, top, lowest, lowest, count, xp)
        place = scores.shape[-1] - self.k
        score = xp.sort(scores, axis=-1)[..., place : place + 1]
        score = xp.where(score == -math.inf, top, score)
        low = score - 1.0 - 2.0 * xp.finfo(top.dtype).eps * xp.abs(score)
        ends = low, score
        low, high = bracket(scores, top, lowest, count, float(self.k), xp, loop, ends)
        return self._between(scores, top, low, high, count, xp)

    def evaluate_sorted(self, scores: Array, xp: ModuleType) -> tuple[Array, Array]:
        """Weights and conjugate by sorting, without a loop, for traces that cannot have one."""
        top, lowest, count = range_of(scores, xp)
        low, high = sorted_bracket(scores, top, lowest, count, float(self.k), xp)
        return self._between(scores, top, low, high, count, xp)

    def _between(
        self, scores: Array, top: Array, low: Array, high: Array, count: Array, xp: ModuleType
    ) -> tuple[Array, Array]:
        """Weights and conjugate, given a bracket of the threshold."""
        y, level = between(scores, low, high, float(self.k), xp)
        size = xp.maximum(self._size(count, xp), xp.ones_like(count))
        level = xp.where(count > self.k, level, top)
        # Scores less the threshold stay precise; masked ones have y = 0, and must be finite.
        above = xp.maximum(scores - level, xp.zeros_like(top) - xp.finfo(top.dtype).max)
        gain = xp.sum(y * (above - y * 0.5), axis=-1, keepdims=True) / size
        return y / size, where_empty(level + gain + 0.5, count == 0.0, xp)

    def tangent(self, weights: Array, change: Array, xp: ModuleType) -> Array:
        r""":math:`\frac1k (\mathrm{diag}(s) - s s^T / \sum_i s_i)\, dz`, s = 1 for 0 < w < 1/k."""
        # A weight within a few roundings of 1/k is at its bound.
        bound = (1.0 - 4.0 * xp.finfo(weights.dtype).eps) / self.k
        s = indicator(weights, xp) * xp.astype(weights < bound, weights.dtype)
        total = xp.sum(s, axis=-1, keepdims=True)
        mean = xp.sum(s * change, axis=-1, keepdims=True) / xp.where(total > 0.0, total, 1.0)
        return s * (change - mean) / self.k


def range_of(scores: Array, xp: ModuleType) -> tuple[Array, Array, Array]:
    """The largest score (0 if all are masked), a number below all others, and their count."""
    top = xp.max(scores, axis=-1, keepdims=True)
    top = xp.where(top == -math.inf, 0.0, top)
    # Differences of scores are finite, so this one overflows nowhere, and scores less it neither.
    lowest = xp.maximum(top, xp.zeros_like(top)) - xp.finfo(top.dtype).max
    count = xp.sum(xp.astype(scores > -math.inf, top.dtype), axis=-1, keepdims=True)
    return top, lowest, count


def shares(scores: Array, threshold: Array, xp: ModuleType) -> Array:
    """``min(max(z - tau, 0), 1)``."""
    zero = xp.zeros_like(threshold)
    return xp.minimum(xp.maximum(scores - threshold, zero), zero + 1.0)


def bracket(
    scores: Array,
    top: Array,
    lowest: Array,
    count: Array,
    k: float,
    xp: ModuleType,
    loop: Loop,
    ends: tuple[Array, Array] | None = None,
) -> tuple[Array, Array]:
    """Two numbers as close as possible with the threshold between them; ``lowest`` for N <= k.

    The threshold lies between ``ends``, if they are given.

    The bracket is divided by the secant of the sum. An end that stays twice counts half (the
    Illinois rule), so both ends move. Far below the top, where the sum is a staircase, the
    distances from the top are divided geometrically.
    """
    eps = xp.finfo(top.dtype).eps

    def excess(threshold: Array) -> Array:
        return xp.sum(shares(scores, threshold, xp), axis=-1, keepdims=True) - k

    def narrowed(state: tuple[Array, ...], middle: Array, active: Array) -> tuple[Array, ...]:
        low, high, over, under, last, _ = state
        found = excess(middle)
        rises = found >= 0.0
        side = xp.where(rises, xp.ones_like(found), -xp.ones_like(found))
        side = side + xp.where(side * last > 0.0, last, 0.0)
        again = 1.0 - 0.5 * xp.astype(xp.abs(side) > 1.0, found.dtype)
        # Near a sum within rounding of k, but not k, a share grows: the threshold is this close.
        rounding = eps * (k + xp.abs(middle))
        met = xp.abs(found) <= xp.minimum(2.0 * rounding, xp.zeros_like(found) + 0.25)
        around = 4.0 * rounding * xp.astype(found != 0.0, found.dtype)
        new_low = xp.where(met, middle - around, xp.where(rises, middle, low))
        new_high = xp.where(met, middle + around, xp.where(rises, high, middle))
        wide = ~met & (new_high - new_low > rounding)
        return (
            xp.where(active, new_low, low),
            xp.where(active, new_high, high),
            xp.where(active, xp.where(rises, found, over * again), over),
            xp.where(active, xp.where(rises, under * again, found), under),
            xp.where(active, side, last),
            active & wide,
        )

    def step(state: tuple[Array, ...]) -> tuple[Array, ...]:
        low, high, over, under, last, active = state
        fall = xp.maximum(over, xp.zeros_like(over)) - under
        middle = high + (high - low) * (under / xp.where(fall > 0.0, fall, 1.0))
        far, near = 1.0 + (top - low), 1.0 + (top - high)
        geometric = top + 1.0 - xp.sqrt(far) * xp.sqrt(near)
        inside = (middle > low) & (middle < high) & (xp.abs(last) < STUCK)
        middle = xp.where(inside, middle, 0.5 * low + 0.5 * high)
        middle = xp.where(far > WIDE * near, geometric, middle)
        inside = (middle > low) & (middle < high)
        middle = xp.where(inside, middle, 0.5 * low + 0.5 * high)
        inside = (middle > low) & (middle < high)
        return narrowed(state, middle, active & inside)

    many = count > k
    none = xp.zeros_like(top)
    if ends is None:
        state = lowest, top, count - k, none - k, none, many
        # Where the scores are close to each other, or k = 1, this step finds a small bracket.
        state = narrowed(state, top - 1.0, many)
    else:
        state = *ends, *map(excess, ends), none, many
    low, high, *_ = loop(lambda state: xp.any(state[-1]), step, state, MOST_STEPS)
    return xp.where(many, low, lowest), xp.where(many, high, lowest)


def sorted_bracket(
    scores: Array, top: Array, lowest: Array, count: Array, k: float, xp: ModuleType
) -> tuple[Array, Array]:
    """The neighbours among the scores and the scores less 1 with the threshold between them."""
    finite = xp.maximum(scores, lowest)
    ends = xp.concat([finite, finite - 1.0], axis=-1)
    order = xp.argsort(ends, axis=-1, descending=True)
    ends = xp.sort(ends, axis=-1, descending=True)
    # Of the interval below an end, how many shares grow and how many are 1; integers stay exact.
    begins = xp.astype(order < scores.shape[-1], xp.int64)
    growing, whole = (
        xp.astype(xp.cumulative_sum(x, axis=-1)[..., :-1], ends.dtype)
        for x in (2 * begins - 1, 1 - begins)
    )
    total = xp.cumulative_sum(growing * (ends[..., :-1] - ends[..., 1:]), axis=-1)
    # Where a score less 1 is the same number, only the count of whole shares rises.
    total = xp.minimum(xp.maximum(total, whole), whole + growing)
    total = xp.concat([xp.zeros_like(top), total], axis=-1)
    high = xp.min(xp.where(total < k, ends, math.inf), axis=-1, keepdims=True)
    low = xp.max(xp.where(total < k, -math.inf, ends), axis=-1, keepdims=True)
    many = count > k
    low, high = xp.where(many, low, 0.0), xp.where(many, high, 0.0)
    # Shares of two scores that rounding takes for one grow together, between neighbouring numbers.
    over, under = (
        xp.sum(shares(scores, end, xp), axis=-1, keepdims=True) - k for end in (low, high)
    )
    rounding = 2.0 * xp.finfo(top.dtype).eps
    low, high = (
        xp.where(over < 0.0, low - rounding * xp.abs(low), xp.where(under > 0.0, high, low)),
        xp.where(under > 0.0, high + rounding * xp.abs(high), xp.where(over < 0.0, low, high)),
    )
    return xp.where(many, low, lowest), xp.where(many, high, lowest)


def between(
    scores: Array, low: Array, high: Array, k: float, xp: ModuleType
) -> tuple[Array, Array]:
    """The shares ``k w_i`` and the threshold, given a bracket of it.

    If the sum is exactly k at the largest score within rounding of the bracket, that score is the
    threshold, so a gap of exactly 1 gives shares of exactly 0 and 1. Otherwise the shares at the
    ends are mixed so that they sum to k, which is exact where no share reaches 0 or 1 in between.
    """
    slack = 4.0 * xp.finfo(high.dtype).eps * xp.maximum(xp.abs(high), xp.ones_like(high))
    outside = indicator(scores - (high + slack), xp)
    # Scores outside are replaced by the top end of the bracket less 2, which is no candidate.
    inner = scores * (outside * -1.0 + 1.0) + outside * (low - 2.0)
    score = xp.max(inner, axis=-1, keepdims=True)
    usable = score - low >= -slack
    score = xp.where(usable, score, low)
    exact = usable & (xp.sum(shares(scores, score, xp), axis=-1, keepdims=True) == k)
    low, high = xp.where(exact, score, low), xp.where(exact, score, high)
    most, least = shares(scores, low, xp), shares(scores, high, xp)
    over, under = (xp.sum(y, axis=-1, keepdims=True) for y in (most, least))
    share = (over - k) / xp.where(over > under, over - under, 1.0)
    share = xp.where(share > 0.0, xp.where(share < 1.0, share, 1.0), 0.0)
    return most + (least - most) * share, low + (high - low) * share
