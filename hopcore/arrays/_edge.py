"""Conversions of inputs in the functions that users call most; the core converts nothing.

Lists, integers, booleans and tables become arrays of the default floating dtype of their library.
float32 together with float64 is promoted by the rule of the library, and NumPy arrays are moved to
the library and the device of the state. No conversion changes a value: an input whose values would
change is refused, in a one-line error that says what to write. Arrays that need no conversion cost
only one check of their types (:func:`fits`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import backend_of_input, shape
from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._discovery import BY_TYPE, backend, backend_of
from hopcore.arrays._inputs import Inputs, check_inputs, own
from hopcore.arrays._scalar_checks import is_number, short_repr


def inputs_at_edge(
    state: Any, stored: Any, projection: Any = None, *, beta: Any, mask: Any = None
) -> tuple[Inputs, bool]:
    """Convert the arrays of one call and check them; say whether the state was one query ``(d,)``.

    A single query ``(d,)`` gets an axis L, which :func:`without_axis` removes from the results.
    """
    state, stored, projection, beta, mask = converted_inputs(state, stored, projection, beta, mask)
    single = getattr(state, "ndim", None) == 1 and not backend_of(state).refusal_as_state
    if single:
        state = state[None, :]
    return check_inputs(state, stored, projection, beta=beta, mask=mask), single


def fits(state: Any, stored: Any, projection: Any, beta: Any, mask: Any) -> bool:
    """Whether all arrays belong to one library and share one real floating dtype."""
    library = BY_TYPE.get(type(state))
    if library is None or BY_TYPE.get(type(stored)) is not library:
        return False
    dtype = state.dtype
    if dtype not in library.precise or stored.dtype != dtype:
        return False
    if projection is not None and (
        BY_TYPE.get(type(projection)) is not library or projection.dtype != dtype
    ):
        return False
    if not (type(beta) is float or is_number(beta)) and (
        BY_TYPE.get(type(beta)) is not library or beta.dtype != dtype
    ):
        return False
    return mask is None or BY_TYPE.get(type(mask)) is library


def converted_inputs(
    state: Any, stored: Any, projection: Any, beta: Any, mask: Any
) -> tuple[Any, Any, Any, Any, Any]:
    """Convert the arrays of one call where they need it."""
    if fits(state, stored, projection, beta, mask):
        return state, stored, projection, beta, mask
    return converted(state, stored, projection, beta, mask)


def without_axis(array: Array, single: bool) -> Array:
    """Remove the last axis, that of a single query, from a result ``(..., 1)``."""
    return array[..., 0] if single else array


def without_row(array: Array, single: bool) -> Array:
    """Remove the axis of a single query from patterns ``(..., 1, d)``."""
    return array[..., 0, :] if single else array


def converted(
    state: Any, stored: Any, projection: Any, beta: Any, mask: Any
) -> tuple[Any, Any, Any, Any, Any]:
    """Return the arrays of a call in one library and one floating dtype, as far as that is safe."""
    if is_number(projection):
        raise TypeError(
            f"projection must be an array, got {short_repr(projection)}; "
            "an inverse temperature is passed by name, beta=8.0"
        )
    given = {"state": state, "stored": stored, "projection": projection}
    if not is_number(beta):
        given["beta"] = beta
    untyped = {name for name, value in given.items() if isinstance(value, list | tuple)}
    given = {name: as_host_array(name, value) for name, value in given.items()}
    library, like = library_of_call(given, untyped)
    device = None if like is None else library.device(like)
    for name, value in given.items():
        given[name] = floating(name, value, library, device, untyped=name in untyped)
    memory = known_backend(given["stored"])
    if "state" in untyped and memory is not library and given["stored"].dtype in library.precise:
        given["state"] = library.astype(given["state"], given["stored"].dtype)
    promote(given, library)
    mask = as_mask(mask, library, device)
    return given["state"], given["stored"], given["projection"], given.get("beta", beta), mask


def as_floating(name: str, array: Any) -> Any:
    """Convert one array of patterns, as the argument of this name, to a real floating dtype."""
    library = BY_TYPE.get(type(array))
    if library is not None and array.dtype in library.precise:
        return array
    untyped = isinstance(array, list | tuple)
    array = as_host_array(name, array)
    library = known_backend(array)
    return array if library is None else floating(name, array, library, None, untyped=untyped)


@suggest_names
def as_patterns(images: Any) -> Array:
    """Flatten images ``(N, h, w)``, or arrays with more axes, to patterns ``(N, h * w)``.

    Parameters
    ----------
    images : array (N, ...)
        N images, real; integers and booleans are converted to the default floating dtype of their
        library. Lists and tables are converted to NumPy.

    Returns
    -------
    array (N, d)
        A copy with the same values. Bytes stay between 0 and 255: write
        ``hopcore.as_patterns(images) / 255`` for patterns between 0 and 1.

    Raises
    ------
    TypeError, ValueError
        Not an array of real numbers, fewer than two axes, or integers that the dtype cannot hold.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> images = np.full((10, 8, 8), 255, dtype=np.uint8)
    >>> patterns = hopcore.as_patterns(images) / 255
    >>> patterns.shape, patterns.dtype, float(patterns.max())
    ((10, 64), dtype('float64'), 1.0)
    """
    array = as_floating("images", images)
    library = backend_of_input("images", array)
    if array.ndim < 2:
        raise ValueError(f"images must be (N, h, w), got {shape(array)}; one is images[None]")
    width = 1
    for size in array.shape[1:]:
        width *= size
    return own(library, library.copied(library.xp.reshape(array, (array.shape[0], width))), images)


def as_host_array(name: str, value: Any) -> Any:
    """Return lists and tables as NumPy arrays; everything else as it is."""
    if hasattr(value, "pixels"):
        kind = type(value).__name__
        raise TypeError(f"{name} must be an array, got {kind}; write {name}.pixels")
    if isinstance(value, list | tuple):
        leaf: Any = value
        while isinstance(leaf, list | tuple) and leaf:
            leaf = leaf[0]
        library = None if isinstance(leaf, np.ndarray | np.generic) else known_backend(leaf)
        if library is not None:
            module = {"jax": "jnp"}.get(library.name, library.name)
            raise TypeError(
                f"{name} must be one array, got a {type(value).__name__} of arrays of "
                f"{library.name}; write {module}.stack({name})"
            )
        try:
            value = np.asarray(value)
        except ValueError:
            raise ValueError(
                f"{name} must have rows of one length, got a ragged {type(value).__name__}; "
                "pad the rows, and pass mask="
            ) from None
    elif hasattr(value, "to_numpy") and not hasattr(value, "__array_namespace__"):
        value = value.to_numpy()
    if isinstance(value, np.matrix):
        raise TypeError(f"{name} must be an array, got matrix; write np.asarray({name})")
    if isinstance(value, np.ndarray) and value.dtype.kind in "OSUTmMVc":
        raise TypeError(f"{name} must be real floating, got {value.dtype}; {advice(name, value)}")
    return value


def advice(name: str, array: np.ndarray) -> str:
    """What to write instead of an array whose values are not real numbers."""
    kind = array.dtype.kind
    if kind == "c":
        return f"write {name}.real or abs({name})"
    if kind in "mM":
        return f"write {name}.astype(float) if the unit does not matter"
    if kind == "V":
        return "write numpy.lib.recfunctions.structured_to_unstructured"
    return f"write np.asarray({name}, dtype=float) if all of it are numbers"


def known_backend(array: Any) -> Backend | None:
    """Return the backend of an array, or None for anything else."""
    try:
        return BY_TYPE.get(type(array)) or backend_of(array)
    except TypeError:
        return None


def library_of_call(given: dict[str, Any], untyped: set[str]) -> tuple[Backend, Any]:
    """Return the backend that lists and NumPy arrays are converted to, and an array on its device.

    It is the backend of the state, or of the memory if the state is a list.
    """
    names = ["state", "stored", "projection"]
    for name in sorted(names, key=lambda name: name in untyped):
        library = known_backend(given[name])
        if library is not None and not library.refusal_as_state:
            return library, None if name in untyped else given[name]
    return backend("numpy"), None


def floating(name: str, value: Any, library: Backend, device: Any, *, untyped: bool = False) -> Any:
    """Return an array in a library, with integers and lists in its default floating dtype.

    Anything else than numbers in an array of NumPy or of this library is returned unchanged: the
    checks of the core refuse it.
    """
    source = known_backend(value)
    moves = (
        source is not None
        and source is not library
        and isinstance(value, np.ndarray)
        and not library.mixes_with(source)
    )
    if source is None or not (moves or source is library):
        return value
    dtype = library.xp.asarray(0.0).dtype
    default = str(dtype).rpartition(".")[2]
    if source.xp.isdtype(value.dtype, ("bool", "integral")):
        if name == "beta" and source.xp.isdtype(value.dtype, "bool"):
            return value
        source.check_layout(name, value)
        check_exact(name, value, source, int(2.0 / library.xp.finfo(dtype).eps), dtype)
        untyped = True
    elif value.dtype not in source.precise:
        return value
    if moves:
        return library.asarray(value, dtype=default if untyped else None, device=device)
    return library.astype(value, dtype) if untyped else value


def check_exact(name: str, array: Any, library: Backend, most: int, dtype: Any) -> None:
    """Raise if integers are, or may be, too large for a floating dtype to hold each of them."""
    xp = library.xp
    if xp.isdtype(array.dtype, "bool") or int(xp.iinfo(array.dtype).max) <= most:
        return
    if getattr(array, "weak_type", False):
        return  # a number that JAX traces, which takes the dtype of the other arrays
    if not library.can_fetch_values(array):
        raise TypeError(
            f"{name} must be real floating where values cannot be read, as under jit, got "
            f"{array.dtype}; convert it first, {name}.astype(...), if no value is above {most}"
        )
    values = library.to_numpy(array)
    if values.size and max(int(values.max()), -int(values.min())) > most:
        raise ValueError(
            f"{name} must hold integers of at most {most}, which {dtype} holds exactly, got "
            f"{max(int(values.max()), int(values.min()), key=abs)}; convert it to float64, or "
            "scale it first"
        )


def promote(given: dict[str, Any], library: Backend) -> None:
    """Promote floating dtypes by the rule of the library; a beta without axes takes the others'."""
    alike = {
        name: value
        for name, value in given.items()
        if known_backend(value) is library
        and value.dtype in library.precise
        and not getattr(value, "weak_type", False)
    }
    kinds = [value.dtype for name, value in alike.items() if name != "beta" or value.ndim > 0]
    if not kinds:
        return
    dtype = library.xp.result_type(*kinds)
    for name, value in alike.items():
        given[name] = library.astype(value, dtype)


def as_mask(mask: Any, library: Backend, device: Any) -> Any:
    """Return a mask in the library of the call, if it holds truth values of NumPy or Python."""
    if isinstance(mask, list | tuple):
        mask = as_host_array("mask", mask)
    moves = isinstance(mask, np.ndarray) and not library.mixes_with(backend("numpy"))
    if moves and mask.dtype == np.bool_:
        return library.asarray(mask, dtype="bool", device=device)
    return mask
