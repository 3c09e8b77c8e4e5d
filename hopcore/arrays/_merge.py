r"""A memory in parts: what each part recalls, joined into what the whole recalls, exactly.

With outputs :math:`o_k` and log-sum-exps :math:`l_k` of the parts, :math:`l = \log \sum_k e^{l_k}`
and :math:`o = \sum_k e^{l_k - l} o_k`. The parts may be read one after the other
(:mod:`hopcore.streamed._streamed`) or lie on the workers of a mesh, which then exchange :math:`o_k` and
:math:`l_k` alone, never patterns: what they exchange does not grow with the memory.

Other separation functions than the softmax do not merge after the fact. They look at all scores
through sums and maxima over the stored patterns; where these go over all parts
(:class:`OverWorkers`), every part finds its own weights in the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any, Protocol

from hopcore.arrays._library import Array


class Collectives(Protocol):
    """What workers do together; each of them gets the same result."""

    def sum(self, array: Array) -> Array:
        """The sum of the arrays of all workers."""
        ...

    def max(self, array: Array) -> Array:
        """The largest of the values of all workers, without a derivative."""
        ...


def merged(
    xp: ModuleType, first: tuple[Array, Array], second: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Output ``(..., L, v)`` and log-sum-exp ``(..., L)`` of two parts together."""
    (output, lse), (more, more_lse) = first, second
    top = xp.maximum(lse, more_lse)
    level = xp.where(top == -math.inf, 0.0, top)
    ours, theirs = xp.exp(lse - level), xp.exp(more_lse - level)
    total = ours + theirs
    share = xp.where(total > 0.0, total, 1.0)
    ours, theirs = (xp.astype(x / share, output.dtype)[..., None] for x in (ours, theirs))
    whole = xp.where(total > 0.0, level + xp.log(share), -math.inf)
    return ours * output + theirs * more, whole


def merge_over_workers(
    xp: ModuleType, workers: Collectives, output: Array | None, lse: Array
) -> tuple[Array | None, Array]:
    """The same over all workers, each of which has one part; without an output, of lse alone."""
    top = workers.max(lse)
    level = xp.where(top == -math.inf, 0.0, top)
    weight = xp.exp(lse - level)
    if output is None:
        total = workers.sum(weight)
    else:
        # Weighted outputs and their weights in one sum: each exchange has to be waited for.
        share = xp.broadcast_to(weight[..., None], (*output.shape[:-1], 1))
        both = xp.concat([share * xp.astype(output, share.dtype), share], axis=-1)
        both = workers.sum(both)
        total = both[..., -1]
        whole = both[..., :-1] / xp.where(total > 0.0, total, 1.0)[..., None]
        output = xp.astype(whole, output.dtype)
    lse = level + xp.log(xp.where(total > 0.0, total, 1.0))
    return output, xp.where(total > 0.0, lse, -math.inf)


def too_many_weights(what: str) -> TypeError:
    """Why association weights of a memory in parts are refused."""
    return TypeError(
        f"association weights hold a number for every stored pattern; of {what} there are too many"
    )


class OverWorkers:
    """A namespace whose sums and maxima over the last axis go over the parts of all workers.

    Separation functions that are handed it find, of the scores of one part, its weights among all.
    """

    def __init__(self, xp: ModuleType, workers: Collectives) -> None:
        self._xp, self._workers = xp, workers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._xp, name)

    def sum(self, array: Array, /, **options: Any) -> Array:
        """Of the last axis, over all parts."""
        return self._workers.sum(self._over(self._xp.sum, array, options))

    def max(self, array: Array, /, **options: Any) -> Array:
        """Of the last axis, over all parts."""
        return self._workers.max(self._over(self._xp.max, array, options))

    @staticmethod
    def _over(function: Callable[..., Array], array: Array, options: dict[str, Any]) -> Array:
        if options.get("axis") != -1:
            raise NotImplementedError("only the axis of the stored patterns, the last, is in parts")
        return function(array, **options)
