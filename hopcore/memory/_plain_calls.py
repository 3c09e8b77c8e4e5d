"""Plain calls of an association: two arrays and an inverse temperature, nothing else.

The usual checks read the whole memory, which takes half as long as one of the two products that a
query needs. nan and infinity in a memory are also visible in the result of those products, so a
backend may look for them there (:meth:`hopcore.Backend.associate_unchecked`). Whatever is unusual
goes the usual way, which raises its errors and gives its warnings.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, TypeVar, cast

from hopcore.arrays._beta_checks import EXTREME
from hopcore.arrays._discovery import BY_TYPE
from hopcore.memory._separation import Softmax

Function = TypeVar("Function", bound=Callable[..., Any])

SOFTMAX = Softmax()


def plain_calls(function: Function) -> Function:
    """Decorate a function that, given two arrays and ``beta``, is an update with the softmax.

    Only calls with the two arrays by position are plain; ``beta`` is the third argument, or named.
    """
    third = list(signature(function).parameters)[2] == "beta"

    @wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        if len(args) == 2 and len(named) == 1 and "beta" in named:
            found = plainly_associated(*args, named["beta"])
            if found is not None:
                return found
        elif third and len(args) == 3 and not named:
            found = plainly_associated(*args)
            if found is not None:
                return found
        return function(*args, **named)

    return cast(Function, call)


def plainly_associated(state: Any, stored: Any, beta: Any) -> Any:
    """Return the association of a plain call, or None if it has to go the usual way."""
    kind = type(state)
    backend = BY_TYPE.get(kind)
    if backend is None or type(stored) is not kind or type(beta) not in (float, int):
        return None
    if not 0 < beta < EXTREME:
        return None
    return backend.associate_unchecked(state, stored, float(beta), SOFTMAX)
