"""Plain calls: two arrays and an inverse temperature, nothing else.

Whatever is unusual goes the usual way, which converts arrays, raises errors and gives warnings. So
arrays that are what they should be are looked at once, in one function (:func:`plain_inputs`).

For an association even that takes long: it reads the whole memory, which takes half as long as one
of the two products that a query needs. nan and infinity in a memory are also visible in the result
of those products, so a backend may look for them there
(:meth:`hopcore.Backend.associate_unchecked`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, TypeVar, cast

from hopcore.arrays._beta_checks import EXTREME
from hopcore.arrays._discovery import BY_TYPE
from hopcore.arrays._inputs import Inputs
from hopcore.memory._separation import Softmax

Function = TypeVar("Function", bound=Callable[..., Any])

SOFTMAX: Any = Softmax()

PLAINLY: dict[type, Callable[[Any, Any, Any], Any]] = {}
"""By the type of a memory: what :func:`plainly_associated` does with such a memory."""


def plain_calls(function: Function) -> Function:
    """Decorate a function that, given two arrays and ``beta``, is an update with the softmax.

    Only calls with the two arrays by position are plain; ``beta`` is the third argument, or named.
    The default ``separation="softmax"`` may be named, too.
    """
    third = list(signature(function).parameters)[2] == "beta"

    @wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        if len(args) == 2 and "beta" in named and (len(named) == 1 or says_softmax(named)):
            found = plainly_associated(*args, named["beta"])
            if found is not None:
                return found
        elif third and len(args) == 3 and not named:
            found = plainly_associated(*args)
            if found is not None:
                return found
        return function(*args, **named)

    return cast(Function, call)


def says_softmax(named: dict[str, Any]) -> bool:
    """Whether the second of two named arguments is the default separation function."""
    separation = named.get("separation")
    return len(named) == 2 and type(separation) is str and separation == "softmax"


def plainly_associated(state: Any, stored: Any, beta: Any) -> Any:
    """Return the association of a plain call, or None if it has to go the usual way."""
    kind = type(state)
    backend = BY_TYPE.get(kind)
    prepared = PLAINLY.get(type(stored))
    if prepared is not None:
        return prepared(state, stored, beta)
    if backend is None or type(stored) is not kind or type(beta) not in (float, int):
        return None
    if not 0 < beta < EXTREME:
        return None
    return backend.associate_unchecked(state, stored, float(beta), SOFTMAX)


def plain_inputs(state: Any, stored: Any, beta: Any) -> tuple[Inputs, bool] | None:
    """Return what :func:`hopcore.arrays._edge.inputs_at_edge` returns for a plain call.

    The state has all leading axes of the memory. None if the call has to go the usual way.
    """
    kind = type(state)
    backend = BY_TYPE.get(kind)
    if backend is None or type(stored) is not kind or type(beta) not in (float, int):
        return None
    usual = (
        0 < beta < EXTREME
        and not backend.refusal_as_state
        and state.dtype in backend.precise
        and state.dtype == stored.dtype
        and backend.are_plain(state, stored)
    )
    if not usual:
        return None
    single = state.ndim == 1
    if single:
        state = state[None, :]
    fits = (
        state.ndim >= 2
        and stored.ndim >= 2
        and (stored.ndim == 2 or state.shape[:-2] == stored.shape[:-2])
        and state.shape[-1] == stored.shape[-1]
        and 0 not in stored.shape[-2:]
    )
    if not fits:
        return None
    return Inputs(backend, backend.xp, state, stored, stored, float(beta), None), single
