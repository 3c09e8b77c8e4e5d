r"""The stored pattern with the largest score and its weight, for a memory of one array or in parts.

What is known of a part is its best pattern: the index, the score, and the weight among the patterns
of this part. With the log-sum-exps :math:`l_k` of the parts, the softmax weight among all patterns
is that among the part times :math:`e^{l_k - l}`. Other weights need all scores, and are given as
they are in the whole memory.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import TypeAlias

from hopcore.arrays._library import Array
from hopcore.arrays._merge import Collectives

Best: TypeAlias = tuple[Array, Array, Array]
"""The index, the score and the weight of the best pattern of each query, each ``(..., L)``."""


def best_of(xp: ModuleType, scores: Array, weights: Array) -> Best:
    """The best of patterns with these scores and weights ``(..., L, S)``, the first of equals."""
    top = xp.argmax(scores, axis=-1), xp.max(scores, axis=-1)
    return *top, xp.max(weights, axis=-1)


def better(xp: ModuleType, first: Best, second: Best) -> Best:
    """The better of the best patterns of two parts, that with the lower index of equals."""
    (index, score, _), (other_index, other_score, _) = first, second
    mine = (score > other_score) | ((score == other_score) & (index < other_index))
    index, score, weight = (
        xp.where(mine, one, other) for one, other in zip(first, second, strict=True)
    )
    return index, score, weight


def better_softmax(
    xp: ModuleType, first: tuple[Array, ...], second: tuple[Array, ...]
) -> tuple[Array, ...]:
    """The same for softmax weights among the patterns of each part, followed by log-sum-exps."""
    top = xp.maximum(first[3], second[3])
    level = xp.where(top == -math.inf, 0.0, top)
    shares = [xp.exp(part[3] - level) for part in (first, second)]
    total = shares[0] + shares[1]
    divisor = xp.where(total > 0.0, total, 1.0)
    parts = [
        (part[0], part[1], part[2] * (share / divisor))
        for part, share in zip((first, second), shares, strict=True)
    ]
    lse = xp.where(total > 0.0, level + xp.log(divisor), -math.inf)
    return *better(xp, parts[0], parts[1]), lse


def best_over_workers(xp: ModuleType, workers: Collectives, own: Best, start: Array | int) -> Best:
    """The best of the patterns of all workers; ``start`` is the index of a worker's first one."""
    index, score, weight = own
    top = workers.max(score)
    lowest = xp.where(score == top, -(index + start), xp.iinfo(index.dtype).min)
    return -workers.max(lowest), top, workers.max(weight)
