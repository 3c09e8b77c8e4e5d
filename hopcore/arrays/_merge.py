r"""Memories in parts: the associations with the parts are merged into that with the whole.

With outputs :math:`o_k` and log-sum-exps :math:`l_k` of the parts, :math:`l = \log \sum_k e^{l_k}`
and :math:`o = \sum_k e^{l_k - l} o_k`, exactly. The parts may be read one after another
(:class:`hopcore.Streamed`) or be stored on the workers of a mesh, which then exchange :math:`o_k`
and :math:`l_k` but never patterns: the amount of exchanged data does not grow with the memory.

The results of other separation functions cannot be merged afterwards. They depend on all scores
through sums and maxima over the stored patterns. If these are taken over all parts
(:class:`OverWorkers`), every part computes the weights of its patterns in the whole memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any, Protocol

from hopcore.arrays._library import Array


class Collectives(Protocol):
    """Reductions over all workers; every worker gets the same result."""

    def sum(self, array: Array) -> Array:
        """The sum of the arrays of all workers."""
        ...

    def max(self, array: Array) -> Array:
        """The largest of the values of all workers, without a derivative."""
        ...


def merged(
    xp: ModuleType, first: tuple[Array, Array], second: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Merge output ``(..., L, v)`` and log-sum-exp ``(..., L)`` of two parts."""
    (output, lse), (other_output, other_lse) = first, second
    top = xp.maximum(lse, other_lse)
    level = xp.where(top == -math.inf, 0.0, top)
    weight, other_weight = xp.exp(lse - level), xp.exp(other_lse - level)
    total = weight + other_weight
    divisor = xp.where(total > 0.0, total, 1.0)
    share = xp.astype(weight / divisor, output.dtype)[..., None]
    other_share = xp.astype(other_weight / divisor, output.dtype)[..., None]
    merged_lse = xp.where(total > 0.0, level + xp.log(divisor), -math.inf)
    return share * output + other_share * other_output, merged_lse


def merge_over_workers(
    xp: ModuleType, workers: Collectives, output: Array | None, lse: Array
) -> tuple[Array | None, Array]:
    """Merge the parts of all workers; without an output, only their log-sum-exps."""
    top = workers.max(lse)
    level = xp.where(top == -math.inf, 0.0, top)
    weight = xp.exp(lse - level)
    if output is None:
        total = workers.sum(weight)
    else:
        # Outputs and weights are summed together, since workers wait for each exchange.
        share = xp.broadcast_to(weight[..., None], (*output.shape[:-1], 1))
        both = xp.concat([share * xp.astype(output, share.dtype), share], axis=-1)
        both = workers.sum(both)
        total = both[..., -1]
        whole = both[..., :-1] / xp.where(total > 0.0, total, 1.0)[..., None]
        output = xp.astype(whole, output.dtype)
    lse = level + xp.log(xp.where(total > 0.0, total, 1.0))
    return output, xp.where(total > 0.0, lse, -math.inf)


def too_many_weights(what: str) -> TypeError:
    """The error for association weights of a memory in parts."""
    return TypeError(
        f"association weights hold a number for every stored pattern; of {what} there are too many"
    )


def orders_in_parts(what: str) -> TypeError:
    """The error for an entmax whose alpha is an array, with a memory in parts."""
    return TypeError(f"{what} takes an alpha that is a number, got an array of them")


class OverWorkers:
    """A namespace whose ``sum`` and ``max`` over the last axis run over the parts of all workers.

    A separation function that uses it computes, from the scores of one part, the weights that its
    patterns have in the whole memory.
    """

    def __init__(self, xp: ModuleType, workers: Collectives) -> None:
        self._xp, self._workers = xp, workers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._xp, name)

    def sum(self, array: Array, /, **options: Any) -> Array:
        """Sum over the last axis and all parts."""
        return self._workers.sum(self._over(self._xp.sum, array, options))

    def max(self, array: Array, /, **options: Any) -> Array:
        """Take the maximum over the last axis and all parts."""
        return self._workers.max(self._over(self._xp.max, array, options))

    @staticmethod
    def _over(function: Callable[..., Array], array: Array, options: dict[str, Any]) -> Array:
        if options.get("axis") != -1:
            raise NotImplementedError(
                "only the last axis, that of the stored patterns, is divided into parts"
            )
        return function(array, **options)
