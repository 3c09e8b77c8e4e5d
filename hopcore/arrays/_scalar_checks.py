"""Checks of numbers, each of which raises a one-line error.

One of them checks each scalar argument of hopcore. ``as_number`` and ``as_integer`` accept numbers
of Python and NumPy and return Python numbers. The checks of settings, whose values are written to
files, accept only Python numbers.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np

LONGEST = 60
"""The largest number of characters of a value in an error message."""

MOST_STEPS = 1_000_000
"""The largest number of steps of a loop, so that a call ends."""

MOST_NUMBER = 2**31 - 1
"""The largest number of entries or nodes, which are counted in 32 bits."""

MOST = 2**53
"""The largest integer unless another bound is given; up to here, floats count exactly."""

MOST_SEED = 2**63 - 1
"""The largest seed that every library takes."""


def short_repr(value: Any) -> str:
    """The repr of a value on one line, shortened if it is long."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python refuses to write out an integer of more than 4300 digits.
        return f"an integer of {value.bit_length()} bits"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def one_line(error: BaseException) -> str:
    """The message of another library's error on one line, shortened if it is long."""
    text = " ".join(str(error).split())
    return text if len(text) <= 2 * LONGEST else f"{text[: 2 * LONGEST - 3]}..."


def is_number(value: Any) -> bool:
    """Whether a value is a real number of Python or NumPy, or a NumPy array of one without axes."""
    # torch.compile does not trace a union of these two.
    if isinstance(value, (np.ndarray, np.generic)):
        return value.ndim == 0 and value.dtype.kind not in "bcSUOMmV"
    return isinstance(value, int | float) and not isinstance(value, bool)


def as_number(name: str, value: Any, least: float = -math.inf, *, positive: bool = False) -> float:
    """Return a finite number that is at least ``least``, or positive, as a ``float``."""
    if not is_number(value):
        raise TypeError(f"{name} must be a number, got {short_repr(value)}")
    check_range(name, value, least, positive=positive)
    return float(value)


def as_fraction(name: str, value: Any) -> float:
    """Return a number above 0 and below 1 as a ``float``."""
    number = as_number(name, value)
    if not 0.0 < number < 1.0:
        raise ValueError(f"{name} must be between 0 and 1, got {short_repr(value)}")
    return number


def check_range(name: str, value: Any, least: float = -math.inf, *, positive: bool = False) -> None:
    """Raise if a number is not finite as a float, below ``least``, or not positive."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if positive:
        right, bound = 0.0 < number < math.inf, "positive and finite"
    else:
        right = least <= number < math.inf and number > -math.inf
        bound = "finite" if least == -math.inf else f">= {least:g} and finite"
    if not right:
        got = value if isinstance(value, int) else number
        raise ValueError(f"{name} must be {bound}, got {short_repr(got)}")


def as_integer(name: str, value: Any, least: int = 0, most: float = MOST) -> int:
    """Return an integer argument as an ``int``; NumPy's integers are accepted, too."""
    if type(value) is int and least <= value <= most:
        return value
    # Truth values of NumPy and torch are numbers 0 and 1 to `index`, some with a warning.
    boolean = isinstance(value, bool) or "bool" in str(getattr(value, "dtype", ""))
    if not boolean and getattr(value, "shape", ()) == ():
        with suppress(TypeError):
            value = operator.index(value)
    check_integer(name, value, least, most)
    return value


def check_integer(
    name: str, value: Any, least: int = 0, most: float = MOST, *, optional: bool = False
) -> None:
    """Raise if a value is not an integer from ``least`` to ``most``."""
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, got {short_repr(value)}")
    if value < least:
        raise ValueError(f"{name} must be >= {least}, got {short_repr(value)}")
    if value > most:
        raise ValueError(f"{name} must be <= {most}, got {short_repr(value)}")


def check_number(name: str, value: Any, least: float = -math.inf) -> None:
    """Raise if a value is not a finite number of Python, or is smaller than ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, got {short_repr(value)}")
    check_range(name, value, least)


def check_positive(name: str, value: Any) -> None:
    """Raise if a value is not a positive, finite number of Python."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, got {short_repr(value)}")
    check_range(name, value, positive=True)


def check_probability(name: str, value: Any) -> None:
    """Raise if a value is not a number in [0, 1)."""
    check_number(name, value, 0.0)
    if value >= 1.0:
        raise ValueError(f"{name} must be a probability in [0, 1), got {short_repr(value)}")


def check_bool(name: str, value: Any) -> None:
    """Raise if a value is not True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be a bool, got {short_repr(value)}")


def check_one_of(name: str, value: Any, known: Iterable[Any]) -> None:
    """Raise if a value, which may have any type, is not one of the known values."""
    if not any(isinstance(value, type(one)) and value == one for one in known):
        raise ValueError(
            f"{name} must be one of {', '.join(map(repr, known))}, got {short_repr(value)}"
        )
