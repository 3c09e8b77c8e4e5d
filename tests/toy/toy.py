"""A third party's array library, as small as it can be.

Its arrays are no NumPy arrays, though they hold one; its functions are NumPy's, wrapped, and as
silent about infinities as a compiled library's. It has no eigenvalues and no large arrays.
"""

from __future__ import annotations

import operator
import sys
from typing import Any

import array_api_compat.numpy as xp
import numpy as np

LARGEST = 2_500_000


class ToyArray:
    """An array that speaks the Array API through this module."""

    device = "toybox"

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)
        if self.values.size > LARGEST:
            raise ValueError(f"a toy holds {LARGEST} numbers at most, got shape {self.shape}")

    dtype = property(lambda self: self.values.dtype)
    shape = property(lambda self: self.values.shape)
    ndim = property(lambda self: self.values.ndim)
    size = property(lambda self: self.values.size)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return sys.modules[__name__]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype)

    def __getitem__(self, key: Any) -> ToyArray:
        return ToyArray(self.values[unwrapped(key)])

    def __bool__(self) -> bool:
        return bool(self.values)

    def __int__(self) -> int:
        return int(self.values)

    def __float__(self) -> float:
        return float(self.values)

    def __invert__(self) -> ToyArray:
        return ToyArray(~self.values)

    def __neg__(self) -> ToyArray:
        return ToyArray(-self.values)


def unwrapped(value: Any) -> Any:
    """The value with NumPy arrays in place of toys."""
    if isinstance(value, tuple | list):
        return type(value)(map(unwrapped, value))
    return value.values if isinstance(value, ToyArray) else value


def wrapped(value: Any) -> Any:
    """The value with toys in place of NumPy arrays."""
    if isinstance(value, tuple | list):
        return tuple(map(wrapped, value))
    return ToyArray(value) if isinstance(value, np.ndarray | np.generic) else value


@np.errstate(all="ignore")
def applied(work: Any, *operands: Any) -> ToyArray:
    return ToyArray(work(*map(unwrapped, operands)))


def forward(work: Any) -> Any:
    return lambda self, other: applied(work, self, other)


def backward(work: Any) -> Any:
    return lambda self, other: applied(work, other, self)


for _name in ("add", "sub", "mul", "mod", "truediv", "pow", "lt", "le", "gt", "ge", "eq", "ne"):
    setattr(ToyArray, f"__{_name}__", forward(getattr(operator, _name)))
    setattr(ToyArray, f"__r{_name}__", backward(getattr(operator, _name)))
ToyArray.__and__, ToyArray.__or__ = forward(operator.and_), forward(operator.or_)


def __getattr__(name: str) -> Any:
    return function_of(xp, name)


def function_of(source: Any, name: str) -> Any:
    """NumPy's function of a name, from toys to toys."""
    found = getattr(source, name)
    if isinstance(found, type) or not callable(found):
        return found

    def function(*arguments: Any, device: Any = None, **options: Any) -> Any:
        if device not in (None, ToyArray.device):
            raise ValueError(f"toys live in the {ToyArray.device}, got {device}")
        with np.errstate(all="ignore"):
            return wrapped(
                found(*unwrapped(arguments), **{k: unwrapped(v) for k, v in options.items()})
            )

    return function


class linalg:
    """Its functions of matrices."""

    diagonal = staticmethod(function_of(xp.linalg, "diagonal"))
