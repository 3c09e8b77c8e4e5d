"""Which backend an array belongs to, found from the array itself; nothing is switched globally.

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
    """The backend of a name, for code that must choose before it has arrays.

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
            kind = point.load()
            # Its package may have asked for the backend when it was imported just now.
            found = next((known for known in BY_TYPE.values() if type(known) is kind), None)
            found = found or kind()
            BY_TYPE.update(dict.fromkeys(found.types, found))
            return found
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
"""The backend of each type of array met so far."""

_DISTRIBUTED: dict[str, str] = {}


def register_array_type(kind: str, target: str) -> None:
    """Give the arrays of a type a backend of their own, which is imported with the first of them.

    Parameters
    ----------
    kind : str
        The full name of the type, ``"package.module.Type"``. Its subclasses follow.
    target : str
        The backend's class, ``"package.module:Class"``, which takes no arguments.

    Examples
    --------
    >>> from hopcore.arrays import register_array_type
    >>> register_array_type(
    ...     "torch.distributed.tensor.DTensor",
    ...     "hopcore_torch.distributed._backend:DistributedBackend",
    ... )
    """
    _DISTRIBUTED[kind] = target


def backend_of(array: Array) -> Backend:
    """The backend that owns an array: one dictionary look-up after the first array of a type.

    Raises
    ------
    TypeError
        The object is not an array of a library that speaks the Array API.
    """
    found = BY_TYPE.get(type(array))
    if found is None:
        found = BY_TYPE[type(array)] = _discover(array)
    return found


def _discover(array: Array) -> Backend:
    if isinstance(array, np.ma.MaskedArray | np.matrix):
        raise TypeError("arithmetic that is not that of an array")
    xp = array_api_compat.array_namespace(array)
    name = xp.__name__.removeprefix("array_api_compat.")
    name = "jax" if name == "jax.numpy" else name
    found = backend(name) if name in _registered() else Backend(name, xp)
    for kind in type(array).__mro__:
        target = _DISTRIBUTED.get(f"{kind.__module__}.{kind.__qualname__}")
        if target is not None:
            return pkgutil.resolve_name(target)()
    return found
