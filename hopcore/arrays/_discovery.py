"""Discovery of the backend of an array from the type of the array; there is no global switch.

The names in :data:`OWN` are reserved for the backends of hopcore. Third parties register a backend
in the entry-point group ``hopcore.backends``, under the name of its array namespace. A namespace
that is not registered uses the portable kernels.

Threads may look up backends at the same time. All of them use the instance that is first stored in
one of the tables. No lock is held while a library is imported.
"""

from __future__ import annotations

import pkgutil
import sys
import warnings
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import array_api_compat
import numpy as np

from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._scalar_checks import one_line, short_repr

OWN = {
    "numpy": "hopcore.arrays._numpy:NumpyBackend",
    "torch": "hopcore_torch.kernels:TorchBackend",
    "jax": "hopcore_jax.kernels:JaxBackend",
    "dask.array": "hopcore.arrays._dask:DaskBackend",
}
"""The backends of hopcore. Entry points of other distributions cannot replace them."""

PORTABLE = ("array_api_strict", "cupy", "ndonnx", "sparse")
"""Array-API namespaces that :func:`backend` imports although they have no backend of their own."""

BY_TYPE: dict[type, Backend] = {}
"""The backend of each array type seen so far, so that the next lookup costs 0.1 us."""

_BY_NAME: dict[str, Backend] = {}
"""The backend of each name requested so far."""

_BY_CLASS: dict[type, Backend] = {}
"""The one instance of each backend class that takes no arguments."""

_BACKENDS_OF_TYPES: dict[str, str] = {}
"""Full names of array types, and the backend class that is imported with their first array."""


def backend(name: str) -> Backend:
    """Return the backend with a name, for code that must choose one before it has arrays.

    Parameters
    ----------
    name : str
        ``"numpy"``, ``"torch"``, ``"jax"``, ``"dask.array"``, or a name that another distribution
        registered. ``"array_api_strict"``, ``"cupy"``, and any other Array-API namespace that is
        already imported, use the portable kernels. No other name imports anything.

    Returns
    -------
    Backend

    Raises
    ------
    TypeError
        The name is not a string.
    ValueError
        No such backend is known, or it cannot be loaded. The error names the distribution that
        registered it.

    Examples
    --------
    >>> import hopcore
    >>> numpy = hopcore.backend("numpy")
    >>> numpy.asarray([1.0, 2.0], dtype="float32")
    array([1., 2.], dtype=float32)
    """
    if not isinstance(name, str):
        raise TypeError(f"a backend is chosen by its name, got {type(name).__name__}")
    known = _BY_NAME.get(name)
    if known is None:
        known = _BY_NAME.setdefault(name, _load(name))
        for array_type in known.types:
            BY_TYPE.setdefault(array_type, known)
    return known


def _load(name: str) -> Backend:
    """Import the backend of a name."""
    if name in OWN:
        return _load_own(name)
    points = _registered().get(name)
    if points is not None:
        return _load_registered(name, points)
    for module in (f"array_api_compat.{name}", name):
        xp = _namespace(module, name in PORTABLE)
        if xp is not None:
            return Backend(name, xp)
    known = ", ".join(sorted({*OWN, *_registered()}))
    raise ValueError(
        f"unknown backend {short_repr(name)}; registered: {known}; the namespace of another "
        "Array-API library has to be imported first"
    )


def _load_own(name: str) -> Backend:
    """Import a backend of hopcore; its library may be missing or broken."""
    try:
        return _instance(pkgutil.resolve_name(OWN[name]))
    except ModuleNotFoundError as missing:
        extra = "" if name == "numpy" else f"[{name.partition('.')[0]}]"
        raise ValueError(
            f"backend {name!r} needs {missing.name}; install it: pip install 'hopcore{extra}'"
        ) from missing


def _load_registered(name: str, points: list[EntryPoint]) -> Backend:
    """Import a backend of another distribution, and turn every error of its code into one line."""
    owners = " and ".join(sorted({_distribution(point) for point in points}))
    if len(points) > 1:
        raise ValueError(f"backend {name!r} is registered by {owners}; uninstall all but one")
    try:
        found = _instance(points[0].load())
        if not isinstance(found, Backend):
            raise TypeError(f"{points[0].value} is not a subclass of hopcore.Backend")
        taken = [kind for kind in found.types if _library_of(kind) in OWN]
        if taken:
            raise TypeError(f"the type {taken[0].__qualname__} belongs to a backend of hopcore")
    except (Exception, SystemExit) as error:
        reason = (
            f"needs the module {error.name}, which is not installed"
            if isinstance(error, ModuleNotFoundError)
            else f"cannot be loaded: {type(error).__name__}: {one_line(error)}"
        )
        raise ValueError(f"backend {name!r} of the distribution {owners} {reason}") from error
    return found


def _instance(backend_class: Any) -> Backend:
    """Return the one instance of a backend class, which is made when it is first needed."""
    found = _BY_CLASS.get(backend_class)
    if found is None:
        found = _BY_CLASS.setdefault(backend_class, backend_class())
    return found


@cache
def _registered() -> dict[str, list[EntryPoint]]:
    """Return the entry points of other distributions by name; several if they conflict."""
    try:
        points = entry_points(group="hopcore.backends")
    except Exception as error:
        raise ValueError(
            "the entry points of the installed distributions cannot be read: "
            f"{type(error).__name__}: {one_line(error)}"
        ) from error
    found: dict[str, list[EntryPoint]] = {}
    for point in points:
        if point.name not in OWN:
            others = found.setdefault(point.name, [])
            if all(other.value != point.value for other in others):
                others.append(point)
    return found


def _distribution(point: EntryPoint) -> str:
    """The distribution of an entry point, with its version."""
    return "unknown" if point.dist is None else f"{point.dist.name} {point.dist.version}"


def _library_of(kind: type) -> str:
    """The package in which a type is defined, by the name of its backend."""
    package = kind.__module__.partition(".")[0]
    return {"jaxlib": "jax", "dask": "dask.array"}.get(package, package)


def _namespace(module: str, may_import: bool) -> Any:
    """Return a module if it is an Array-API namespace; import it only if that is allowed."""
    if may_import:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import_module(module)
        except ImportError:
            return None
    xp = sys.modules.get(module)
    return xp if hasattr(xp, "matmul") and hasattr(xp, "float32") else None


def restored(backend_class: type[Backend], name: str) -> Backend:
    """Return the backend that a pickle names: backends are compared by identity."""
    if backend_class in _BY_CLASS:
        return _BY_CLASS[backend_class]
    found = backend(name)
    if type(found) is backend_class:
        return found
    return Backend(name, found.xp) if backend_class is Backend else _instance(backend_class)


def register_array_type(array_type: str, backend_class: str) -> None:
    """Give an array type its own backend, which is imported with the first array of the type.

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
    """Return the backend of an array: one dictionary lookup after the first array of a type.

    Raises
    ------
    TypeError
        The object is not an array of a library with the Array API.
    """
    known = BY_TYPE.get(type(array))
    if known is None:
        known = BY_TYPE.setdefault(type(array), _discover(array))
    return known


def _discover(array: Array) -> Backend:
    if isinstance(array, np.ma.MaskedArray | np.matrix):
        raise TypeError("arithmetic that is not that of an array")
    xp = array_api_compat.array_namespace(array)
    name = xp.__name__.removeprefix("array_api_compat.")
    name = "jax" if name == "jax.numpy" else name
    # Loading the backend of a library also registers its distributed array types.
    if name in OWN or name in _registered():
        library = backend(name)
    else:
        library = _BY_NAME.get(name) or _BY_NAME.setdefault(name, Backend(name, xp))
    for base in type(array).__mro__:
        backend_class = _BACKENDS_OF_TYPES.get(f"{base.__module__}.{base.__qualname__}")
        if backend_class is not None:
            return _instance(pkgutil.resolve_name(backend_class))
    return library
