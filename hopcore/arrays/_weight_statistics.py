r"""Statistics of association weights, for a memory that is one array and for one in parts.

The functions use sums and maxima over the last axis and arithmetic value by value, nothing else. So
they take the namespaces of memories in parts, too (:class:`hopcore.arrays.OverWorkers` and
``hopcore/streamed/_scores.py``), whose sums and maxima go over all parts.

The entropy is a sum of terms that are not negative, so that nothing cancels. A weight above one
half, of which there is at most one, is close to 1 where its logarithm would be lost in rounding;
this logarithm comes from the sum of the other weights instead.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

from hopcore.arrays._library import Array


def weight_statistics(weights: Any, xp: ModuleType) -> tuple[Array, Array, Array]:
    r"""Entropy, sum of squares and largest value of weights ``(..., S)``, each ``(...)``.

    Parameters
    ----------
    weights : array (..., S)
        Weights that sum to one, or zeros, of which all statistics are 0.
    xp : module
        Their namespace, or that of a memory in parts.

    Returns
    -------
    array (...)
        The entropy :math:`-\sum_i w_i \log w_i`, in nats. Its error is a few roundings relative to
        the entropy, however small this is.
    array (...)
        :math:`\sum_i w_i^2`.
    array (...)
        :math:`\max_i w_i`; equal weights share its derivative.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> entropy, square, largest = hopcore.arrays.weight_statistics(np.asarray([0.5, 0.5]), np)
    >>> entropy.round(4), square, largest
    (np.float64(0.6931), np.float64(0.5), np.float64(0.5))
    """
    dtype = weights.dtype
    largest = xp.max(weights, axis=-1, keepdims=True)
    zero = xp.zeros_like(largest)
    # Arithmetic instead of where, which the weights of a streamed memory do not have.
    minor = weights * xp.astype(weights <= 0.5, dtype)
    others = xp.sum(minor, axis=-1)
    logarithm = xp.log(xp.maximum(weights, zero + xp.finfo(dtype).smallest_normal))
    terms = xp.sum(minor * logarithm, axis=-1)
    ties = xp.astype(weights >= largest, dtype)
    shared = xp.sum(weights * ties, axis=-1) / xp.sum(ties, axis=-1)
    # The one weight above one half is the largest. Without one, the others sum to 1 or 0.
    major = xp.where(shared > 0.5, shared, zero[..., 0])
    others = xp.where(shared > 0.5, others, zero[..., 0])
    entropy = 0.0 - (terms + major * xp.log1p(-others))  # never -0.0
    return entropy, xp.sum(weights * weights, axis=-1), shared


def merged_statistics(
    xp: ModuleType, first: tuple[Array, ...], second: tuple[Array, ...]
) -> tuple[Array, ...]:
    r"""Merge log-sum-exps, entropies, sums of squares and largest weights of two parts.

    With the shares :math:`p_k = e^{l_k - l}` of the parts and the statistics of the softmax in each
    of them, the entropy of all weights is :math:`H(p) + \sum_k p_k H_k`, their sum of squares
    :math:`\sum_k p_k^2 q_k` and the largest of them :math:`\max_k p_k m_k`.
    """
    lse, entropy, square, largest = (
        xp.stack(pair, axis=-1) for pair in zip(first, second, strict=True)
    )
    top = xp.max(lse, axis=-1, keepdims=True)
    level = xp.where(top == -math.inf, xp.zeros_like(top), top)
    weights = xp.exp(lse - level)
    total = xp.sum(weights, axis=-1, keepdims=True)
    divisor = xp.where(total > 0.0, total, xp.ones_like(total))
    shares = weights / divisor
    whole = xp.where(total > 0.0, level + xp.log(divisor), -math.inf)[..., 0]
    return (
        whole,
        weight_statistics(shares, xp)[0] + xp.sum(shares * entropy, axis=-1),
        xp.sum(shares * shares * square, axis=-1),
        xp.max(shares * largest, axis=-1),
    )
