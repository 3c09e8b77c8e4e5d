"""Which arrays are accepted, one by one, and what the errors say.

Scalars are checked in :mod:`hopcore.arrays._scalar_checks`.
"""

from __future__ import annotations

from typing import Any

from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._discovery import BY_TYPE, backend_of


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


def check_finite(backend: Backend, name: str, array: Array) -> None:
    """Raise if an array whose values can be read contains nan or inf."""
    if not backend.all_finite(array):
        bad = backend.xp.nonzero(~backend.xp.isfinite(array))
        index = tuple(int(axis[0]) for axis in bad)
        raise ValueError(f"{name} must be finite, got {float(array[index])} at index {index}")


def shape(array: Array) -> tuple[int, ...]:
    """The shape of an array as a plain tuple, for error messages."""
    return tuple(array.shape)


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
