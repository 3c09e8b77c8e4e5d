"""Check the values of a mapping against the type hints of a dataclass before making one."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hopcore.arrays._scalar_checks import short_repr

LARGEST = 2**63 - 1
"""The largest integer that a field may hold."""


def known_fields(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values by name, or raise if some of the names are not fields of a dataclass."""
    if not isinstance(values, Mapping):
        raise TypeError(f"the settings must be a mapping, got {short_repr(values)}")
    known = sorted(field.name for field in fields(kind))
    unknown = sorted(set(values) - set(known))
    if unknown:
        names = short_repr(", ".join(map(str, unknown)))[1:-1]
        raise ValueError(f"no such fields: {names}; there are {', '.join(known)}")
    return dict(values)


def check_types(kind: Any, values: Mapping[str, Any]) -> None:
    """Raise a TypeError if a value does not have the type of its field.

    Integers must fit into 64 bits, and numbers into a float. Lists are accepted as tuples, since
    JSON has no tuples. Which strings a Literal allows is checked by the class itself, whose error
    lists them.
    """
    hints = type_hints(kind)
    for field in fields(kind):
        if field.name in values and not fits(value := values[field.name], hints[field.name]):
            words = words_of(field.type, hints[field.name])
            raise TypeError(f"{field.name} must be {words}, got {short_repr(value)}")


def words_of(name: Any, hint: Any) -> str:
    """Return a type hint as in the source, but with the strings that a Literal allows."""
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if not any(get_origin(one) is Literal for one in parts):
        return str(name)
    words: list[str] = []
    for one in parts:
        literal = get_origin(one) is Literal
        words += map(repr, get_args(one)) if literal else [getattr(one, "__name__", str(one))]
    return " | ".join(words).replace("NoneType", "None")


@cache
def type_hints(kind: Any) -> dict[str, Any]:
    """Return the type hints of a class, and Any for a hint whose name cannot be found."""
    try:
        return get_type_hints(kind)
    except NameError:  # imported for type checkers only, or local to a function
        return dict.fromkeys((field.name for field in fields(kind)), Any)


def fits(value: Any, hint: Any) -> bool:
    """Whether a value has the type of a hint."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(fits(value, one) for one in inner)
    if origin is Literal:
        return any(type(value) is type(one) for one in inner)
    if origin is not None:
        return holds(value, origin, inner)
    if isinstance(value, bool):
        return hint in (bool, Any)
    if isinstance(value, int):
        most = sys.float_info.max if hint is float else LARGEST
        return hint in (int, float, Any) and abs(value) <= most
    return hint is Any or isinstance(value, hint)


def holds(value: Any, kind: Any, hints: tuple[Any, ...]) -> bool:
    """Whether a value is a tuple or a mapping whose items have the types of the hints."""
    if kind is tuple:
        return isinstance(value, list | tuple) and items_fit(value, hints)
    if not isinstance(value, kind):
        return False
    if not isinstance(value, Mapping):
        return True
    keys, items = hints
    return all(fits(key, keys) and fits(one, items) for key, one in value.items())


def items_fit(values: Sequence[Any], hints: tuple[Any, ...]) -> bool:
    """Whether the number and the types of values agree with the hint of a tuple."""
    if hints[-1] is Ellipsis:
        return all(fits(one, hints[0]) for one in values)
    return len(values) == len(hints) and all(map(fits, values, hints))
