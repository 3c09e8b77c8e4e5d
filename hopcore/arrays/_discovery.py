"""Discovery of the backend of an array, from the array itself; nothing is switched globally.

Third parties register a backend in the entry-point group ``hopcore.backends``, under the name of
its array namespace. A namespace that nobody registered runs the portable kernels.
"""

from __future__ import annotations

import pkgutil
import warnings
from functools import cache
from importlib.metadata import EntryPoint, entry_points

import array_api_compat
import numpy as np

from hopcore.arrays._backend import Array, Backend


@cache
def _registered() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="hopcore.backends")}


@cache
def backend(name: str) -> Backend:
    """Return the backend of a name, for code that must choose before it has arrays.

    Parameters
    ----------
    name : str
        ``"numpy"``, ``"torch"``, ``"jax"``, another registered name, or the name of an importable
        Array-API namespace (``"array_api_strict"``, ``"cupy"``, ``"dask.array"``), which then runs
        the portable kernels.

    Returns
    -------
    Backend

    Raises
    ------
    ValueError
        No such backend is registered and no such namespace can be imported.

    Examples
    --------
    >>> import hopcore
    >>> numpy = hopcore.backend("numpy")
    >>> numpy.asarray([1.0, 2.0], dtype="float32")
    array([1., 2.], dtype=float32)
    """
    if not isinstance(name, str):
        raise TypeError(f"a backend is chosen by its name, got {type(name).__name__}")
    point = _registered().get(name)
    if point is not None:
        try:
            backend_class = point.load()
            # Importing its package may have made the backend just now.
            made = [known for known in BY_TYPE.values() if type(known) is backend_class]
            instance = made[0] if made else backend_class()
            BY_TYPE.update(dict.fromkeys(instance.types, instance))
            return instance
        except ModuleNotFoundError as missing:
            extra = name.partition(".")[0]
            raise ValueError(
                f"backend {name!r} needs {missing.name}; install it: pip install 'hopcore[{extra}]'"
            ) from missing
    for module in (f"array_api_compat.{name}", name):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                xp = __import__(module, fromlist=["_"])
        except (ImportError, ValueError):
            continue
        if hasattr(xp, "matmul") and hasattr(xp, "float32"):
            return Backend(name, xp)
    known = ", ".join(sorted(_registered()))
    raise ValueError(f"unknown backend {name!r}; registered: {known}")


BY_TYPE: dict[type, Backend] = {}
"""The backend of each array type met so far, so that a further look-up costs 0.1 us."""

_BACKENDS_OF_TYPES: dict[str, str] = {}
"""By the full name of an array type, the backend class that is imported with its first array."""


def register_array_type(array_type: str, backend_class: str) -> None:
    """Give an array type a backend of its own, which is imported when its first array is met.

    Parameters
    ----------
    array_type : str
        The full name of the type, ``"package.module.Type"``; it holds for subclasses, too.
    backend_class : str
        The class of the backend, ``"package.module:Class"``, which takes no arguments.

    Examples
    --------
    >>> from hopcore.arrays import register_array_type
    >>> register_array_type(
    ...     "torch.distributed.tensor.DTensor",
    ...     "hopcore_torch.distributed._backend:DistributedBackend",
    ... )
    """
    _BACKENDS_OF_TYPES[array_type] = backend_class


def backend_of(array: Array) -> Backend:
    """Return the backend of an array: one dictionary look-up after the first array of a type.

    Raises
    ------
    TypeError
        The object is not an array of a library that speaks the Array API.
    """
    known = BY_TYPE.get(type(array))
    if known is None:
        known = BY_TYPE[type(array)] = _discover(array)
    return known


def _discover(array: Array) -> Backend:
    if isinstance(array, np.ma.MaskedArray | np.matrix):
        raise TypeError("arithmetic that is not that of an array")
    xp = array_api_compat.array_namespace(array)
    name = xp.__name__.removeprefix("array_api_compat.")
    name = "jax" if name == "jax.numpy" else name
    # Loading the backend of a library also registers its distributed array types.
    library = backend(name) if name in _registered() else Backend(name, xp)
    for base in type(array).__mro__:
        backend_class = _BACKENDS_OF_TYPES.get(f"{base.__module__}.{base.__qualname__}")
        if backend_class is not None:
            return pkgutil.resolve_name(backend_class)()
    return library
