"""The scores of a streamed memory, used like an array but recomputed piece by piece.

Separation functions use scores ``(..., L, S)`` only in elementwise arithmetic with numbers
``(..., L, 1)`` and in sums and maxima over the last axis. :class:`Scores` supports just that:
arithmetic is recorded, and each sum or maximum is one pass over the memory.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from types import ModuleType
from typing import Any

from hopcore.arrays._library import Array

Pass = Callable[[Callable[[Array], Array], Callable[[Array, Array], Array]], Array]
"""``over(work, join)`` applies ``work`` to blocks of the scores ``(..., L, n)`` and joins them."""


class Scores:
    """Scores ``(..., L, S)``, or the result of arithmetic with them."""

    __array_ufunc__ = None  # so that NumPy's arrays leave arithmetic to the operators below

    def __init__(self, over: Pass, dtype: Any, of: Callable[[Array], Array] = lambda x: x) -> None:
        self.over, self.dtype, self.of = over, dtype, of

    def then(self, function: Callable[[Array], Array]) -> Scores:
        """Apply a function to every value."""
        of = self.of
        return Scores(self.over, self.dtype, lambda scores: function(of(scores)))

    def _with(self, other: Any, function: Callable[[Any, Any], Array]) -> Scores:
        """Apply a function to these and to other scores of the same memory, or numbers."""
        if isinstance(other, Scores):
            # Only the functions of the scores are kept, since they may be sent to workers.
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

    def __le__(self, other: Any) -> Scores:
        return self._with(other, operator.le)

    def __ge__(self, other: Any) -> Scores:
        return self._with(other, operator.ge)

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
        """Convert every value."""
        return self._of_each(array, lambda values: self.xp.astype(values, dtype))

    def ones_like(self, array: Any, /) -> Any:
        """Ones in the shape of an array."""
        return self._of_each(array, self.xp.ones_like)

    def zeros_like(self, array: Any, /) -> Any:
        """Zeros in the shape of an array."""
        return self._of_each(array, self.xp.zeros_like)

    @staticmethod
    def _of_each(array: Any, function: Callable[[Array], Array]) -> Any:
        return array.then(function) if isinstance(array, Scores) else function(array)

    def sum(self, array: Any, /, **options: Any) -> Array:
        """Sum over the last axis, in one pass over the memory."""
        return self._reduced(array, self.xp.sum, operator.add, options)

    def max(self, array: Any, /, **options: Any) -> Array:
        """Take the maximum over the last axis, in one pass over the memory."""
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
"""Functions that are applied value by value."""
