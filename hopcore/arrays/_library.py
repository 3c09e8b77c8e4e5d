"""The library of an array: its namespace, dtypes and devices, and whether values can be read."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from types import ModuleType
from typing import Any, Protocol, TypeAlias, TypeVar, cast

import array_api_compat
import numpy as np

from hopcore.arrays._scalar_checks import MOST_NUMBER

Array: TypeAlias = Any
"""An array of any supported library, whose operators and methods a type checker does not know."""


class AnyArray(Protocol):
    """Arrays of any library and memories in parts, but no strings, lists or numbers.

    Public functions use it as the type of array arguments. If they return an array, they use the
    type variable :data:`hopcore.arrays.SomeArray`, since the result for tensors of torch is a
    tensor, and for arrays of JAX an array of JAX.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        ...

    @property
    def ndim(self) -> int:
        """The number of axes."""
        ...

    @property
    def dtype(self) -> Any:
        """The data type, an object of the library."""
        ...


SomeArray = TypeVar("SomeArray", bound=AnyArray)
"""An array of one library, given to a function and returned by it."""

BetaLike: TypeAlias = float | AnyArray
"""An inverse temperature as a user gives it: a number, or one for each query."""


QUIET = np.errstate(under="ignore")
"""Decorator of functions that ignore underflow, whatever the error state of NumPy is."""

UNCHECKED = np.errstate(under="ignore", over="ignore", invalid="ignore")
"""Decorator of functions in which nan and infinity give nan, without a warning."""

Function = TypeVar("Function", bound=Callable[..., Any])


def quiet(function: Function) -> Function:
    """Decorate a function of arrays of any library like :data:`QUIET`."""
    return on_numpy(function, QUIET)


def unchecked(function: Function) -> Function:
    """Decorate a function of arrays of any library like :data:`UNCHECKED`."""
    return on_numpy(function, UNCHECKED)


def on_numpy(function: Function, decorator: np.errstate) -> Function:
    """Decorate a function for calls with an argument, or an array in a tuple, that is of NumPy.

    For others, the error state of NumPy is not set, since torch cannot trace this.
    """
    on_arrays = decorator(function)

    @wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        if holds_numpy(args) or holds_numpy(named.values()):
            return on_arrays(*args, **named)
        return function(*args, **named)

    return cast(Function, call)


def holds_numpy(values: Iterable[Any]) -> bool:
    """Whether one of the values, or a value in a tuple of them, is an array of NumPy."""
    for one in values:
        if isinstance(one, np.ndarray) or (isinstance(one, tuple) and holds_numpy(one)):
            return True
    return False


class ArrayLibrary:
    """One array library: its Array-API namespace, its dtypes, and whether values can be read.

    Parameters
    ----------
    name : str
        The name under which the backend is found, for example ``"torch"``.
    xp : module
        An Array-API namespace (2023.12 or later).
    """

    refusal_as_state = ""
    """The error for an array that can only be a memory in parts, and not a state."""

    def __init__(self, name: str, xp: ModuleType) -> None:
        self.name = name
        self.xp = xp
        self.types: tuple[type, ...] = ()
        """Types of arrays that are known to belong to this library before the first one is met."""
        self.precise: dict[Any, Any] = {}
        """Accepted dtypes, each with the dtype in which its scores and energies are computed."""
        for dtype in (xp.float32, xp.float64):
            self.precise[xp.empty(0, dtype=dtype).dtype] = dtype

    def __repr__(self) -> str:
        return f"<hopcore backend {self.name!r}>"

    def __reduce__(self) -> Any:
        """Restore pickles and copies by name, since arrays of one call share one backend."""
        # By its name, since the module of discovery imports this one.
        restored = pkgutil.resolve_name("hopcore.arrays._discovery:restored")
        return restored, (type(self), self.name)

    def backend_for_states(self, states: ArrayLibrary, state: Array) -> Any:
        """Return the backend of calls whose state belongs to another library, or None.

        Only a library of memories in parts has one: see ``hopcore.arrays._merge``.
        """
        return None

    def mixes_with(self, other: ArrayLibrary) -> bool:
        """Whether arrays of ``other`` may be mixed with this library's arrays in one call."""
        return other is self

    def dtype(self, array: Array) -> Any:
        """The dtype of an array, as this library calls it."""
        return array.dtype

    def constant(self, array: Array) -> Array:
        """The array (or a float) without its gradient."""
        return array

    def can_read_values(self, array: Array) -> bool:
        """Whether reading values is cheap: not under a trace, and without waiting for a device.

        If so, inputs are checked for nan and inf, which takes one pass over the array.
        """
        return True

    def can_fetch_values(self, array: Array) -> bool:
        """Whether values can be read at all, possibly by waiting for a device."""
        return self.can_read_values(array)

    def is_on_host(self, array: Array) -> bool:
        """Whether values lie in one piece in the memory of the host, where NumPy may read them."""
        return self.can_read_values(array)

    def identity(self, array: Array) -> Any:
        """Return an object that tells an array with its values from others, without reading them.

        It equals that of another array only if both are the same memory, which nobody has changed
        in between. It keeps no values, and is None where a library cannot tell.
        """
        return None

    def cache_context(self) -> AbstractContextManager[Any]:
        """The context in which to make arrays that outlive the caller's mode, as in a cache."""
        return nullcontext()

    def quiet(self) -> AbstractContextManager[Any]:
        """The context in which numbers may underflow, whatever the caller's error state is."""
        return nullcontext()

    def requires_gradient(self, *arrays: Array) -> bool:
        """Whether a derivative with respect to any of the arrays may be needed."""
        return False

    def has_known_sizes(self, array: Array) -> bool:
        """Whether the sizes of an array are numbers; in a trace they may be dynamic."""
        return True

    def index_dtype(self, count: Any) -> Any:
        """The dtype that numbers entries: int32, or int64 where there are too many of them.

        A count that is dynamic in a trace is assumed to be small.
        """
        return self.xp.int64 if isinstance(count, int) and count > MOST_NUMBER else self.xp.int32

    def has_dynamic_shapes(self, array: Array) -> bool:
        """Whether shapes may depend on values, so that finished queries can be dropped."""
        return False

    def all_finite(self, array: Array) -> bool:
        """Whether every value is finite; called only where values can be read."""
        return bool(self.xp.all(self.xp.isfinite(array)))

    def are_plain(self, state: Array, stored: Array) -> bool:
        """Whether two arrays are on one device, and their values can be read and are finite."""
        return (
            self.can_read_values(state)
            and self.device(state) == self.device(stored)
            and self.all_finite(state)
            and self.all_finite(stored)
        )

    def asarray(self, values: Any, *, dtype: str | None = None, device: Any = None) -> Array:
        """Make an array from values; ``dtype`` is a name, ``device`` a device of the library."""
        xp_dtype = None if dtype is None else getattr(self.xp, dtype)
        return self.xp.asarray(np.asarray(values), dtype=xp_dtype, device=device)

    def to_numpy(self, array: Array) -> np.ndarray:
        """A NumPy array with the values of an array of this library."""
        if array_api_compat.is_cupy_array(array):  # CuPy leaves its device only on demand
            array = array_api_compat.to_device(array, "cpu")
        return np.asarray(array)

    def copied(self, array: Array) -> Array:
        """A copy that shares no memory, but passes derivatives on."""
        return self.xp.asarray(array, copy=True)

    def astype(self, array: Array, dtype: Any) -> Array:
        """The array in another dtype of this library, or the array itself if it has that dtype."""
        return array if array.dtype == dtype else self.xp.astype(array, dtype)

    def check_layout(self, name: str, array: Array) -> None:
        """Raise an error with the name of an array if kernels cannot read it (a sparse one)."""

    def device(self, array: Array) -> Any:
        """The device of an array, or None where it is not known."""
        return array_api_compat.device(array)

    def uses_autocast(self, array: Array) -> bool:
        """Whether kernels choose the dtype of their computation, as under autocast."""
        return False
