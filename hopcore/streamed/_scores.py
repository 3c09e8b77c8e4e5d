"""The scores of a streamed memory as if they were an array: found again, piece by piece, in sums.

Separation functions look at scores ``(..., L, S)`` through elementwise arithmetic with numbers
``(..., L, 1)`` and through sums and maxima over the last axis. That is all a :class:`Scores` can
do: arithmetic is remembered, and each sum or maximum is one pass over the memory.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from types import ModuleType
from typing import Any

from hopcore.arrays._library import Array

Pass = Callable[[Callable[[Array], Array], Callable[[Array, Array], Array]], Array]
"""``over(work, join)``: what ``work`` makes of blocks of the scores ``(..., L, n)``, joined."""


class Scores:
    """Scores ``(..., L, S)``, or what arithmetic made of them."""

    __array_ufunc__ = None  # NumPy leaves arithmetic with them to them

    def __init__(self, over: Pass, dtype: Any, of: Callable[[Array], Array] = lambda x: x) -> None:
        self.over, self.dtype, self.of = over, dtype, of

    def then(self, function: Callable[[Array], Array]) -> Scores:
        """A function of every value."""
        of = self.of
        return Scores(self.over, self.dtype, lambda scores: function(of(scores)))

    def _with(self, other: Any, function: Callable[[Any, Any], Array]) -> Scores:
        """A function of this and of other scores of the same memory, or of numbers."""
        if isinstance(other, Scores):
            # Of the others nothing is kept but what they are of the scores: it may travel.
            of, of_other = self.of, other.of
            return Scores(self.over, self.dtype, lambda x: function(of(x), of_other(x)))
        return self.then(lambda values: function(values, other))

    def __add__(self, other: Any) -> Scores:
        return self._with(other, operator.add)

    def __sub__(self, other: Any) -> Scores:
        return self._with(other, operator.sub)

    def __mul__(self, other: Any) -> Scores:
        return self._with(other, operator.mul)

    def __truediv__(self, other: Any) -> Scores:
        return self._with(other, operator.truediv)

    def __pow__(self, other: Any) -> Scores:
        return self._with(other, operator.pow)

    def __gt__(self, other: Any) -> Scores:
        return self._with(other, operator.gt)

    def __neg__(self) -> Scores:
        return self.then(operator.neg)

    __radd__, __rmul__ = __add__, __mul__


class ScoresNamespace:
    """A namespace in which :class:`Scores` stand for arrays."""

    def __init__(self, xp: ModuleType) -> None:
        self.xp = xp

    def __reduce__(self) -> Any:
        return ScoresNamespace, (self.xp,)

    def __getattr__(self, name: str) -> Any:
        plain = getattr(self.xp, name)
        if name not in ELEMENTWISE:
            return plain

        def elementwise(first: Any, /, *others: Any) -> Any:
            given = (first, *others)
            if not any(isinstance(x, Scores) for x in given):
                return plain(*given)
            if not isinstance(first, Scores):
                return others[0]._with(first, lambda ours, theirs: plain(theirs, ours))
            return first._with(others[0], plain) if others else first.then(plain)

        return elementwise

    def astype(self, array: Any, dtype: Any, /) -> Any:
        """Conversion of every value."""
        return self._of_each(array, lambda values: self.xp.astype(values, dtype))

    def ones_like(self, array: Any, /) -> Any:
        """Ones."""
        return self._of_each(array, self.xp.ones_like)

    def zeros_like(self, array: Any, /) -> Any:
        """Zeros."""
        return self._of_each(array, self.xp.zeros_like)

    @staticmethod
    def _of_each(array: Any, function: Callable[[Array], Array]) -> Any:
        return array.then(function) if isinstance(array, Scores) else function(array)

    def sum(self, array: Any, /, **options: Any) -> Array:
        """Over the last axis: one pass over the memory."""
        return self._reduced(array, self.xp.sum, operator.add, options)

    def max(self, array: Any, /, **options: Any) -> Array:
        """Over the last axis: one pass over the memory."""
        return self._reduced(array, self.xp.max, self.xp.maximum, options)

    @staticmethod
    def _reduced(
        array: Any,
        function: Callable[..., Array],
        join: Callable[[Array, Array], Array],
        options: dict[str, Any],
    ) -> Array:
        if not isinstance(array, Scores):
            return function(array, **options)
        of = array.of
        return array.over(lambda scores: function(of(scores), **options), join)


ELEMENTWISE = {
    "abs", "exp", "expm1", "log", "log1p", "maximum", "minimum", "sqrt", "square", "where",
}  # fmt: skip
"""Functions that are taken value by value."""
