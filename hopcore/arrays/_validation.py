"""Checks of numbers, each of which raises an error of one line."""

from __future__ import annotations

import math
import operator
from contextlib import suppress
from typing import Any

LONGEST = 60
"""Most characters of a value in an error message."""


def short_repr(value: Any) -> str:
    """The repr of a value on one line, shortened if it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def one_line(error: BaseException) -> str:
    """The message of another library's error on one line, shortened if it is long."""
    text = " ".join(str(error).split())
    return text if len(text) <= 2 * LONGEST else f"{text[: 2 * LONGEST - 3]}..."


def as_integer(name: str, value: Any, least: int = 0) -> int:
    """Return an integer argument as an ``int``; NumPy's integers are accepted, too."""
    if type(value) is int and value >= least:
        return value
    if not isinstance(value, bool) and getattr(value, "shape", ()) == ():
        with suppress(TypeError):
            value = operator.index(value)
    check_integer(name, value, least)
    return value


def check_integer(name: str, value: Any, least: int = 0, *, optional: bool = False) -> None:
    """Raise if a value is not an integer or is smaller than ``least``."""
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, got {short_repr(value)}")
    if value < least:
        raise ValueError(f"{name} must be >= {least}, got {value}")


def check_number(name: str, value: Any, least: float) -> None:
    """Raise if a value is not a finite number or is smaller than ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, got {short_repr(value)}")
    if not (least <= value < math.inf and value > -math.inf):
        bound = "finite" if least == -math.inf else f">= {least:g} and finite"
        raise ValueError(f"{name} must be {bound}, got {short_repr(value)}")


def check_positive(name: str, value: Any) -> None:
    """Raise if a value is not a positive number."""
    check_number(name, value, -math.inf)
    if value <= 0:
        raise ValueError(f"{name} must be positive, got {short_repr(value)}")


def check_probability(name: str, value: Any) -> None:
    """Raise if a value is not a number in [0, 1)."""
    check_number(name, value, 0.0)
    if value >= 1.0:
        raise ValueError(f"{name} must be a probability in [0, 1), got {short_repr(value)}")
