"""Checks of inputs: one library, one real floating dtype, one device, shapes that fit.

Every public function first passes its arrays to :func:`check_inputs`. Values are checked only where
reading them is cheap: on the host and outside a trace (see
:meth:`hopcore.Backend.can_read_values`). Sizes that are dynamic in a trace are compared with ``==``
and ``!=``, because ``in`` gives wrong results in the compiler of torch.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from hopcore.arrays._backend import Array, Backend, Beta
from hopcore.arrays._discovery import BY_TYPE, backend_of
from hopcore.arrays._validation import as_number, is_number

COLDEST, HOTTEST = 1e-30, 1e30
"""Temperatures are clipped to these, so that scores divided by them stay finite in float32."""

EXTREME = 1e12
"""Only an inverse temperature of at least this size is compared with the sizes of the patterns."""


class Inputs(NamedTuple):
    """The arrays of one call, checked."""

    backend: Backend
    xp: ModuleType
    state: Array
    stored: Array
    projection: Array
    beta: Beta
    mask: Array | None


def check_inputs(
    state: Array,
    stored: Array,
    projection: Array | None = None,
    *,
    beta: Any,
    mask: Array | None = None,
) -> Inputs:
    """Check the arrays of one call against each other.

    Parameters
    ----------
    state : array (..., L, d)
        State patterns.
    stored : array (..., S, d)
        Stored patterns, S >= 1.
    projection : array (..., S, v), optional
        Pattern projections; the stored patterns themselves if not given.
    beta : float or array broadcastable to (..., L)
        Inverse temperature, positive and finite.
    mask : boolean array broadcastable to (..., L, S), optional
        True where a query may attend to a stored pattern. Patterns that no query may attend to may
        contain anything, including nan and inf.

    Raises
    ------
    TypeError
        Not an array; not real floating; two libraries or dtypes; a mask that is not boolean.
    ValueError
        Shapes that do not fit; no patterns; two devices; nan or inf; ``beta`` not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.arrays import check_inputs
    >>> check_inputs(np.ones((1, 3)), np.eye(3), beta=2).beta
    2.0
    """
    states = BY_TYPE.get(type(state)) or backend_of_input("state", state)
    if states.refusal_as_state or state.dtype not in states.precise:
        check_state(states, state)
    # A memory in parts brings the backend of the call, which takes states of another library.
    memory = BY_TYPE.get(type(stored)) or backend_of_input("stored", stored)
    backend = states if memory is states else memory.backend_for_states(states, state) or states
    check_alike(backend, state, "stored", stored)
    if state.ndim < 2 or stored.ndim < 2:
        raise ValueError(
            "state must be (..., L, d) and stored (..., S, d), "
            f"got {shape(state)} and {shape(stored)}"
        )
    if state.shape[-1] != stored.shape[-1]:
        raise ValueError(
            "state and stored must share their last axis d, "
            f"got {shape(state)} and {shape(stored)}{hint_of_axes(state, stored)}"
        )
    if stored.shape[-2] == 0 or stored.shape[-1] == 0:
        raise ValueError(f"stored must hold at least one pattern of one value, got {shape(stored)}")
    values = stored
    if projection is not None:
        check_projection(backend, state, stored, projection)
        values = projection
    check_leading_axes(state, stored, projection)
    if mask is not None:
        check_mask(backend, state, stored, mask)
        stored, values = hide_memory(backend, state, stored, projection, mask)
    beta = check_beta(backend, state, beta)
    if backend.can_read_values(state):
        if not backend.all_finite(state):
            check_finite(backend, "state", state)
        if mask is None and backend.can_read_values(stored) and not backend.all_finite(stored):
            check_finite(backend, "stored", stored)
        if mask is None and projection is not None and backend.can_read_values(projection):
            check_finite(backend, "projection", projection)
        if not (isinstance(beta, float) and beta < EXTREME):
            check_overflow(backend, state, stored, beta, mask)
    return Inputs(backend, backend.xp, state, stored, values, beta, mask)


def backend_of_input(name: str, array: Any) -> Backend:
    """Return the backend of an input, or raise a TypeError that names the input."""
    try:
        return backend_of(array)
    except TypeError:
        hint = "; pass its data, and mask= (True = attend)" if hasattr(array, "mask") else ""
        if isinstance(array, list | tuple):
            hint = f"; write np.asarray({name}, dtype=float)"
        if not hint and hasattr(array, "shape") and hasattr(array, "dtype"):
            hint = "; hopcore.Streamed reads what gives arrays for slices"
        raise TypeError(
            f"{name} must be an array (NumPy, torch, JAX or another Array-API library), "
            f"got {type(array).__name__}{hint}"
        ) from None


def check_state(backend: Backend, state: Array) -> None:
    """Raise if an array cannot be a state: a memory in parts, or not real floating."""
    if backend.refusal_as_state:
        raise TypeError(backend.refusal_as_state)
    check_floating(backend, "state", state)


def check_leading_axes(state: Array, stored: Array, projection: Array | None) -> None:
    """Raise if the leading axes of the arrays do not broadcast."""
    values = stored if projection is None else projection
    # Ranks first: axes of different meaning are not compared, which would fix them in a trace.
    if not (
        state.ndim == stored.ndim == values.ndim
        and state.shape[:-2] == stored.shape[:-2] == values.shape[:-2]
    ):
        leading = {"state": state.shape[:-2], "stored": stored.shape[:-2]}
        if projection is not None:
            leading["projection"] = values.shape[:-2]
        broadcast_shapes(**leading)


def hint_of_axes(state: Array, stored: Array) -> str:
    """What to write if patterns of another length are images, or columns instead of rows."""
    for name, array, other in (("stored", stored, state), ("state", state, stored)):
        if array.ndim > 2 and array.shape[-1] * array.shape[-2] == other.shape[-1]:
            return f"; hopcore.as_patterns({name}) flattens images (N, h, w)"
    if stored.ndim == 2 and stored.shape[0] == state.shape[-1]:
        return "; stored holds one pattern in each row: write stored.T"
    return ""


def check_projection(backend: Backend, state: Array, stored: Array, projection: Any) -> None:
    """Raise if pattern projections do not fit the state or the number of stored patterns."""
    check_alike(backend, state, "projection", projection)
    if projection.ndim < 2 or projection.shape[-2] != stored.shape[-2]:
        raise ValueError(
            "projection must hold one row for each stored pattern: "
            f"(..., {stored.shape[-2]}, v), got {shape(projection)}"
        )


def check_floating(backend: Backend, name: str, array: Array) -> None:
    """Raise if the dtype of an array is not one of the backend's real floating dtypes."""
    if array.dtype not in backend.precise:
        accepted = ", ".join(str(dtype) for dtype in backend.precise)
        way = "convert it first"
        if "complex" in str(array.dtype):
            way = f"write {name}.real or abs({name})"
        raise TypeError(f"{name} must be real floating ({accepted}), got {array.dtype}; {way}")
    backend.check_layout(name, array)


def check_real(name: str, array: Array) -> None:
    """Raise if an array does not hold integers or real floating numbers."""
    if any(
        kind in str(array.dtype) for kind in ("bool", "complex", "time", "void", "object", "<U")
    ):
        raise TypeError(f"{name} must hold real numbers, got {array.dtype}")


def check_alike(backend: Backend, state: Array, name: str, array: Any) -> None:
    """Raise if an array differs from the state in its library, its dtype or its device."""
    other = BY_TYPE.get(type(array)) or backend_of_input(name, array)
    if other is not backend and not backend.mixes_with(other):
        library = other.name.partition("-")[0]  # a memory in parts takes states of its library
        raise TypeError(
            f"state and {name} must be arrays of one library, got {backend.name} and {other.name}"
            f"; convert one of them, for example hopcore.backend({library!r}).asarray(state)"
        )
    dtype = array.dtype if other is backend else backend.dtype(array)
    if dtype != state.dtype:
        check_floating(backend, name, array)
        raise TypeError(
            f"state and {name} must share one dtype, got {state.dtype} and {array.dtype}"
        )
    if backend.device(array) != backend.device(state):
        check_same_device(backend, state, name, array)


def check_same_device(backend: Backend, state: Array, name: str, array: Array) -> None:
    """Raise if an array is not on the device of the state; traced arrays may be on any device."""
    expected, device = backend.device(state), backend.device(array)
    if expected != device and expected is not None and device is not None:
        raise ValueError(f"state and {name} must be on one device, got {expected} and {device}")


def broadcast_shapes(**shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the common shape of leading axes, or raise an error that names all of them."""
    out: list[int] = []
    for axes in shapes.values():
        out[:0] = [1] * (len(axes) - len(out))
        for i, size in enumerate(reversed(axes), 1):
            if out[-i] == 1:
                out[-i] = size
            elif size != 1 and size != out[-i]:
                got = ", ".join(f"{name} {tuple(value)}" for name, value in shapes.items())
                raise ValueError(
                    f"leading axes do not broadcast: {got}; they are batches: images (N, h, w) "
                    "become patterns (N, h * w) with hopcore.as_patterns"
                )
    return tuple(out)


def check_mask(backend: Backend, state: Array, stored: Array, mask: Any) -> None:
    """Raise if a mask is not boolean or does not broadcast to ``(..., L, S)``."""
    other = backend_of_input("mask", mask)
    if not backend.mixes_with(other):
        raise TypeError(
            f"state and mask must be arrays of one library, got {backend.name} and {other.name}"
        )
    if "bool" not in str(mask.dtype):
        raise TypeError(
            f"mask must be boolean (True = attend), got {mask.dtype}; use mask != 0, or mask == 0 "
            "for a mask of a layer or of torch's attention, which is True where nothing is attended"
        )
    check_same_device(backend, state, "mask", mask)
    check_mask_shape(state, stored, mask)


def check_mask_shape(state: Array, stored: Array, mask: Array) -> None:
    """Raise if a mask does not broadcast to ``(..., L, S)``."""
    queries, patterns = state.shape[-2], stored.shape[-2]
    rows, columns = (1, 1, *mask.shape)[-2:]
    fits = (rows == 1 or rows == queries) and (columns == 1 or columns == patterns)
    if mask.ndim == 0 or not fits:
        raise ValueError(
            f"mask must broadcast to (..., L, S) = (..., {queries}, {patterns}), got {shape(mask)}"
        )
    broadcast_shapes(state=state.shape[:-2], stored=stored.shape[:-2], mask=mask.shape[:-2])


def broadcast_mask(backend: Backend, mask: Any, wanted: tuple[int, ...]) -> Array:
    """Return a boolean mask of values (True = counts), broadcast to the shape of the values."""
    if not backend.mixes_with(backend_of_input("mask", mask)) or "bool" not in str(mask.dtype):
        raise TypeError(
            f"mask must be a boolean array of {backend.name} (True = counts), got {mask.dtype}"
        )
    try:
        return backend.xp.broadcast_to(mask, wanted)
    except (ValueError, RuntimeError, TypeError):
        raise ValueError(f"mask must broadcast to {tuple(wanted)}, got {shape(mask)}") from None


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


def check_finite(backend: Backend, name: str, array: Array) -> None:
    """Raise if an array whose values can be read contains nan or inf."""
    if not backend.all_finite(array):
        bad = backend.xp.nonzero(~backend.xp.isfinite(array))
        index = tuple(int(axis[0]) for axis in bad)
        raise ValueError(f"{name} must be finite, got {float(array[index])} at index {index}")


def hide_memory(
    backend: Backend, state: Array, stored: Array, projection: Array | None, mask: Array
) -> tuple[Array, Array]:
    """Apply :func:`hide_unattended` to stored patterns and their projections."""
    readable = backend.can_read_values(state)
    hidden = hide_unattended(backend, "stored", stored, mask, readable)
    if projection is None:
        return hidden, hidden
    return hidden, hide_unattended(backend, "projection", projection, mask, readable)


def hide_unattended(
    backend: Backend, name: str, array: Array, mask: Array, readable: bool = True
) -> Array:
    """Return patterns or projections ``(..., S, d)`` whose unattended rows have no influence.

    Rows that no query may attend to may contain anything. They become zeros, unless all values can
    be read and are moderate. If ``readable``, all other rows are checked to be finite.
    """
    seen = backend.can_read_values(array)
    if seen and backend.all_moderate(array):
        return array
    hidden = backend.without_unattended(array, mask)
    if seen and readable:
        check_finite(backend, name, hidden)
    return hidden


def shape(array: Array) -> tuple[int, ...]:
    """The shape of an array as a plain tuple, for error messages."""
    return tuple(array.shape)


def own(backend: Backend, result: Array, *inputs: Any) -> Array:
    """Return a result, or a copy if it is an input, so that the two never share memory."""
    for given in inputs:
        if result is given:
            return backend.copied(result)
    return result


def backend_of_patterns(stored: Array, state: Array, projection: Array) -> Backend:
    """Return the backend of a layer's patterns, which have one library, dtype and device."""
    backend = BY_TYPE.get(type(stored)) or backend_of_input("stored", stored)
    if stored.dtype not in backend.precise:
        check_floating(backend, "stored", stored)
    device = backend.device(stored)
    for name, array in (("state", state), ("projection", projection)):
        alike = array is stored or (
            type(array) is type(stored)
            and array.dtype == stored.dtype
            and backend.device(array) == device
        )
        if not alike:
            check_alike(backend, stored, name, array)
    return backend


def in_precise_dtype(inputs: Inputs) -> tuple[Array, Array, Beta]:
    """Return the state, the stored patterns and beta in at least float32."""
    backend, beta = inputs.backend, inputs.beta
    dtype = backend.precise[inputs.state.dtype]
    if not isinstance(beta, float):
        beta = backend.astype(beta, dtype)
    return backend.astype(inputs.state, dtype), backend.astype(inputs.stored, dtype), beta
