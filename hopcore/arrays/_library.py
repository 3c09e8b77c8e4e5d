"""The library of an array: its namespace, dtypes and devices, and whether values can be read."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from types import ModuleType
from typing import Any, Protocol, TypeAlias, TypeVar, cast

import array_api_compat
import numpy as np

from hopcore.arrays._validation import MOST_NUMBER

Array: TypeAlias = Any
"""An array of any supported library, whose operators and methods a type checker does not know."""


class AnyArray(Protocol):
    """What an array of every library has, and a memory in parts, but no string, list or number.

    Public functions declare their arguments so, and where an array comes back the type variable
    :data:`hopcore.arrays.SomeArray`: torch's tensors give a tensor, JAX's arrays an array of JAX.
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
"""Decorator of functions in which small numbers vanish, whatever NumPy is told to do there."""

Function = TypeVar("Function", bound=Callable[..., Any])


def quiet(function: Function) -> Function:
    """Decorate a function of arrays of any library like :data:`QUIET`.

    The state of NumPy is only set where an array, or one in a tuple of arrays, is NumPy's, since
    torch cannot trace it.
    """
    in_silence = QUIET(function)

    @wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        for one in (*args, *named.values()):
            for array in one if isinstance(one, tuple) else (one,):
                if isinstance(array, np.ndarray):
                    return in_silence(*args, **named)
        return function(*args, **named)

    return cast(Function, call)


class ArrayLibrary:
    """One array library: its Array-API namespace, its dtypes, and where values may be read.

    Parameters
    ----------
    name : str
        The name under which the backend is found, for example ``"torch"``.
    xp : module
        An Array-API namespace (2023.12 or later).
    """

    refusal_as_state = ""
    """The error for an array that cannot be a state, since it can only be a memory in parts."""

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
        """Whether values can be read at no cost: not under a trace, not from a device's queue.

        Inputs are checked for nan and inf where this holds. Reading takes one pass over the array.
        """
        return True

    def can_fetch_values(self, array: Array) -> bool:
        """Whether values can be read at all, if need be by waiting for a device."""
        return self.can_read_values(array)

    def cache_context(self) -> AbstractContextManager[Any]:
        """The context in which to make arrays that outlive the caller's mode, as in a cache."""
        return nullcontext()

    def requires_gradient(self, *arrays: Array) -> bool:
        """Whether a derivative by any of the arrays may be asked for."""
        return False

    def has_known_sizes(self, array: Array) -> bool:
        """Whether the sizes of an array are numbers; a trace may leave them open."""
        return True

    def index_dtype(self, count: Any) -> Any:
        """The dtype that numbers entries: int32, or int64 where there are too many of them.

        A count that a trace leaves open is taken for a small one.
        """
        return self.xp.int64 if isinstance(count, int) and count > MOST_NUMBER else self.xp.int32

    def has_dynamic_shapes(self, array: Array) -> bool:
        """Whether shapes may depend on values, so that finished queries can be dropped."""
        return False

    def all_finite(self, array: Array) -> bool:
        """Whether every value is finite; called only where values can be read."""
        return bool(self.xp.all(self.xp.isfinite(array)))

    def asarray(self, values: Any, *, dtype: str | None = None, device: Any = None) -> Array:
        """Make an array from values; ``dtype`` is a name, ``device`` what the library calls it."""
        xp_dtype = None if dtype is None else getattr(self.xp, dtype)
        return self.xp.asarray(np.asarray(values), dtype=xp_dtype, device=device)

    def to_numpy(self, array: Array) -> np.ndarray:
        """A NumPy array with the values of an array of this library."""
        if array_api_compat.is_cupy_array(array):  # CuPy leaves its device only on demand
            array = array_api_compat.to_device(array, "cpu")
        return np.asarray(array)

    def copied(self, array: Array) -> Array:
        """A copy with memory of its own, through which derivatives pass."""
        return self.xp.asarray(array, copy=True)

    def astype(self, array: Array, dtype: Any) -> Array:
        """The array in another dtype of this library, or the array itself if it has that dtype."""
        return array if array.dtype == dtype else self.xp.astype(array, dtype)

    def check_layout(self, name: str, array: Array) -> None:
        """Raise if a kernel cannot read an array, as one that is sparse; named in the error."""

    def device(self, array: Array) -> Any:
        """The device of an array, or None where it is not known."""
        return array_api_compat.device(array)

    def uses_autocast(self, array: Array) -> bool:
        """Whether kernels choose the dtype they compute in themselves, as under autocast."""
        return False
