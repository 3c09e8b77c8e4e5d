r"""Sums over long memories in parts, so that rounding errors do not grow with the memory.

A product of weights ``(L, S)`` and patterns ``(S, v)`` adds S numbers for each result. Most
libraries add them one after another, so their rounding errors add up, too: a float32 sum of equal
numbers has a relative error of up to :math:`S \epsilon / 2`, and stops growing after
:math:`2^{24}` of them. Here parts of :data:`PART` patterns are multiplied separately, and their
results are added in pairs. So the error is at most that of one part and of
:math:`\log_2 (S / \mathrm{PART})` additions. Plain sums and maxima of libraries do not need this,
since they add in pairs or in many lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import TypeVar

from hopcore.arrays._library import Array
from hopcore.arrays._scalar_checks import MOST_NUMBER

T = TypeVar("T")

LONG = 1 << 14
"""Products over more stored patterns than this are computed in parts."""

PART = 1 << 12
"""Stored patterns in a part of a long product."""


def in_pairs(join: Callable[[T, T], T], results: Iterable[T]) -> T:
    r"""Join at least one result in the order of a balanced tree, so that each is added few times.

    At most about :math:`\log_2` of their number are stored at a time.
    """
    waiting: list[tuple[int, T]] = []
    for result in results:
        size = 1
        while waiting and waiting[-1][0] == size:
            result = join(waiting.pop()[1], result)  # noqa: PLW2901 - the tree grows upwards
            size *= 2
        waiting.append((size, result))
    _, whole = waiting.pop()
    while waiting:
        whole = join(waiting.pop()[1], whole)
    return whole


def long_product(xp: ModuleType, weights: Array, values: Array) -> Array:
    """Return ``weights (..., L, S) @ values (..., S, v)`` for a large S, summed part by part.

    Parameters
    ----------
    xp : module
        The Array-API namespace of the arrays.
    weights : array (..., L, S)
        Weights of the patterns, or other factors; S is at least 4096.
    values : array (..., S, v)
        The values to sum. Leading axes broadcast.

    Returns
    -------
    array (..., L, v)
        The product, whose rounding error does not grow with S.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> ones = np.ones((20_000, 1), dtype=np.float32)
    >>> hopcore.arrays.long_product(np, ones.T, ones)
    array([[20000.]], dtype=float32)
    """
    size = values.shape[-2]
    parts, rest = divmod(size, PART)
    whole = parts * PART
    left = xp.reshape(weights[..., :whole], (*weights.shape[:-1], parts, PART))
    right = xp.reshape(values[..., :whole, :], (*values.shape[:-2], parts, PART, values.shape[-1]))
    products = xp.matmul(swapped(xp, left), right)
    while products.shape[-3] > 1:
        half = products.shape[-3] // 2
        odd = products[..., 2 * half :, :, :]
        products = products[..., :half, :, :] + products[..., half : 2 * half, :, :]
        if odd.shape[-3]:
            products = xp.concat(
                [products[..., :-1, :, :], products[..., -1:, :, :] + odd], axis=-3
            )
    total = products[..., 0, :, :]
    if rest:
        last = slice(size - rest, size)
        total = total + xp.matmul(weights[..., last], values[..., last, :])
    return total


def swapped(xp: ModuleType, array: Array) -> Array:
    """The array with its second and third axis from the end exchanged."""
    axes = tuple(range(array.ndim))
    return xp.permute_dims(array, (*axes[:-3], axes[-2], axes[-3], axes[-1]))


def check_numbers(what: str, count: int) -> None:
    """Raise a ValueError where entries or nodes are more than 32 bits can number."""
    if count > MOST_NUMBER:
        raise ValueError(
            f"{what} are numbered in 32 bits, at most {MOST_NUMBER}, got {count}: "
            "divide the memory, or choose fewer neighbours"
        )
