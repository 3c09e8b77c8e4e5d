"""Numbers that are given: refused in one line where they are not what they should be."""

from __future__ import annotations

import math
import operator
from contextlib import suppress
from typing import Any

LONGEST = 60
"""Characters of a value that are quoted at most."""


def short_repr(value: Any) -> str:
    """A value as an error quotes it: on one line, and not all of an array."""
    words = " ".join(repr(value).split())
    return words if len(words) <= LONGEST else f"{words[: LONGEST - 3]}..."


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
    """Refuse what is no integer, or below ``least``."""
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, got {short_repr(value)}")
    if value < least:
        raise ValueError(f"{name} must be >= {least}, got {value}")


def check_number(name: str, value: Any, least: float) -> None:
    """Refuse what is no number, not finite, or below ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, got {short_repr(value)}")
    if not (least <= value < math.inf and value > -math.inf):
        bound = "finite" if least == -math.inf else f">= {least:g} and finite"
        raise ValueError(f"{name} must be {bound}, got {short_repr(value)}")


def check_positive(name: str, value: Any) -> None:
    """Refuse what is no positive number."""
    check_number(name, value, -math.inf)
    if value <= 0:
        raise ValueError(f"{name} must be positive, got {short_repr(value)}")


def check_probability(name: str, value: Any) -> None:
    """Refuse what is no number in [0, 1)."""
    check_number(name, value, 0.0)
    if value >= 1.0:
        raise ValueError(f"{name} must be a probability in [0, 1), got {short_repr(value)}")
