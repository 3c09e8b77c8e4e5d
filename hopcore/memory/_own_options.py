"""Memories with options of their own, which a call need not repeat.

A :class:`hopcore.Memory` is prepared for one similarity and one separation function. Functions of
memories look up the type of what is stored before anything else, and let such a memory complete the
call.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])

COMPLETED: dict[type, Callable[[Any, Callable[..., Any], dict[str, Any]], Any]] = {}
"""By the type of a memory: the function that calls another one with all of its arguments."""


def own_options(function: Function) -> Function:
    """Decorate a function with an argument ``stored`` that may be a memory with options."""
    names = list(signature(function).parameters)
    place = names.index("stored")

    @wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        stored = args[place] if len(args) > place else named.get("stored")
        completed = COMPLETED.get(type(stored))
        if completed is None:
            return function(*args, **named)
        given = dict(zip(names, args, strict=False))
        if not given.keys().isdisjoint(named):
            return function(*args, **named)  # which says that it got an argument twice
        return completed(stored, function, given | named)

    return cast(Function, call)
