"""Which inverse temperatures and temperatures are accepted, and what the errors say."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np

from hopcore.arrays._array_checks import (
    backend_of_input,
    broadcast_shapes,
    check_alike,
    check_floating,
    shape,
)
from hopcore.arrays._backend import Array, Backend, Beta
from hopcore.arrays._scalar_checks import as_number, is_number

COLDEST, HOTTEST = 1e-30, 1e30
"""Temperatures are clipped to these, so that scores divided by them stay finite in float32."""


EXTREME = 1e12
"""Only an inverse temperature of at least this size is compared with the sizes of the patterns."""


def check_beta(backend: Backend, state: Array, beta: Any) -> Beta:
    """Return the inverse temperature as a Python float, or unchanged if it is an array."""
    if isinstance(beta, (bool, np.bool_)):
        raise TypeError("beta must be a positive number or array, got a bool")
    if isinstance(beta, float) or is_number(beta):
        if not (type(beta) is float and 0.0 < beta < math.inf):
            beta = as_number("beta", beta, positive=True)
        return beta
    if getattr(beta, "weak_type", False):
        # A number that JAX traces takes the dtype of the state, as a number does outside a trace.
        beta = backend.astype(beta, state.dtype)
    if isinstance(beta, str):
        raise TypeError(
            f"beta must be a positive number or array, got {beta!r}; "
            "hopcore.suggest_beta(stored).beta gives one, and retrieve takes beta='auto'"
        )
    check_alike(backend, state, "beta", beta)
    if beta.ndim > 0:
        if beta.shape[-1] != 1 and beta.shape[-1] != state.shape[-2]:
            raise ValueError(
                f"beta must broadcast to (..., L) = (..., {state.shape[-2]}), got {shape(beta)}"
            )
        broadcast_shapes(state=state.shape[:-2], beta=beta.shape[:-1])
    if backend.can_read_values(beta) and not bool(backend.xp.all((beta > 0) & (beta < math.inf))):
        bad = backend.xp.nonzero(~((beta > 0) & (beta < math.inf))) if beta.ndim else ()
        index = tuple(int(axis[0]) for axis in bad)
        place = f" at index {index}" if index else ""
        value = float(backend.constant(beta)[index])
        raise ValueError(f"beta must be positive and finite, got {value}{place}")
    return beta


def check_overflow(
    backend: Backend,
    state: Array,
    stored: Array,
    beta: Beta,
    mask: Array | None,
    reach: Array | None = None,
) -> None:
    """Raise if an inverse temperature would make scores infinite, and their sums nan.

    ``reach`` holds the patterns that an updated state averages: it may become as large as they are.
    """
    if isinstance(beta, float):
        largest = beta
    elif not backend.can_read_values(beta) or bool(backend.xp.all(beta < EXTREME)):
        return
    else:
        largest = float(backend.xp.max(backend.constant(beta)))  # torch warns of a gradient
    wide = backend.precise[state.dtype]
    most = float(backend.xp.finfo(wide).max) / (4 * state.shape[-1])
    largest_state = backend.magnitude(state)
    if reach is not None:
        largest_state = max(largest_state, backend.magnitude(reach, mask))
    longest = max(1.0, largest_state) * max(1.0, backend.magnitude(stored, mask))
    if not largest <= most / longest:
        raise ValueError(
            f"beta must be at most {most / longest:.2g} for scores of these patterns to be finite, "
            f"got {largest:g}"
        )


def check_temperature(backend: Backend, like: Array, temperature: Any) -> Any:
    """Return the temperature of a call, one positive number, as a float or as an array.

    It is clipped to [:data:`COLDEST`, :data:`HOTTEST`]; an array gets the dtype in which the scores
    of ``like`` are computed.
    """
    if isinstance(temperature, bool | np.bool_):
        raise TypeError("temperature must be a positive number, got a bool")
    if is_number(temperature):
        return min(max(as_number("temperature", temperature, positive=True), COLDEST), HOTTEST)
    other = backend_of_input("temperature", temperature)
    if other is not backend:
        raise TypeError(
            f"state and temperature must be of one library, got {backend.name} and {other.name}"
        )
    check_floating(backend, "temperature", temperature)
    if temperature.ndim > 0:
        raise ValueError(f"temperature must be one number, got shape {shape(temperature)}")
    if backend.can_read_values(temperature):
        value = float(backend.constant(temperature))  # torch warns if it has a gradient
        if not 0.0 < value < math.inf:
            raise ValueError(f"temperature must be positive and finite, got {value}")
    precise = backend.astype(temperature, backend.precise[like.dtype])
    return clip(precise, COLDEST, HOTTEST, backend.xp)


def clip_beta_to_dtype(backend: Backend, beta: Any, state: Array) -> Any:
    """Convert an inverse temperature to the state's dtype, keeping it positive and finite."""
    if isinstance(beta, float):
        return beta
    limits = backend.xp.finfo(state.dtype)
    least, most = float(limits.smallest_normal), float(limits.max)
    return backend.astype(clip(beta, least, most, backend.xp), state.dtype)


def clip(values: Array, least: float, most: float, xp: ModuleType) -> Array:
    """Clip values to a range, also where a compiler leaves the numbers open."""
    return xp.where(values < least, least, xp.where(values > most, most, values))
