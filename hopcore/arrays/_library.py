"""What the arrays of a library are: namespace, dtypes, devices, and what may be read of them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any, TypeAlias

import array_api_compat
import numpy as np

Array: TypeAlias = Any
"""An array of any supported library; Python has no better name for it yet."""


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
    """Why an array of this library cannot be a state, if it can only be a memory in parts."""

    def __init__(self, name: str, xp: ModuleType) -> None:
        self.name = name
        self.xp = xp
        self.types: tuple[type, ...] = ()
        """Types of arrays known to be of this library before the first one is met."""
        self.precise: dict[Any, Any] = {}
        """Dtypes accepted, each with the dtype in which its scores and energies are computed."""
        for dtype in (xp.float32, xp.float64):
            self.precise[xp.empty(0, dtype=dtype).dtype] = dtype

    def __repr__(self) -> str:
        return f"<hopcore backend {self.name!r}>"

    def backend_for_states(self, states: ArrayLibrary, state: Array) -> Any:
        """The backend of calls with a state of another one and a memory of this one; None: none.

        Only a library of memories in parts has one: see ``hopcore.arrays._merge``.
        """
        return None

    def mixes_with(self, other: ArrayLibrary) -> bool:
        """Whether arrays of another library may stand beside those of this one in a call."""
        return other is self

    def dtype(self, array: Array) -> Any:
        """The dtype of an array, as this library calls it."""
        return array.dtype

    def constant(self, array: Array) -> Array:
        """The array (or a float) without its gradient."""
        return array

    def can_read_values(self, array: Array) -> bool:
        """Whether values may be read here and now: not under a trace, not behind a device queue."""
        return True

    def can_fetch_values(self, array: Array) -> bool:
        """Whether values may be read at all, if need be by waiting for a device."""
        return self.can_read_values(array)

    def cache_context(self) -> AbstractContextManager[Any]:
        """Where arrays are made that outlive the mode in which the caller runs."""
        return nullcontext()

    def requires_gradient(self, *arrays: Array) -> bool:
        """Whether a derivative by any of the arrays may be asked for."""
        return False

    def has_dynamic_shapes(self, array: Array) -> bool:
        """Whether shapes may depend on values, so that finished queries can be dropped."""
        return False

    def all_finite(self, array: Array) -> bool:
        """Whether every value is finite; only called where values are visible."""
        return bool(self.xp.all(self.xp.isfinite(array)))

    def asarray(self, values: Any, *, dtype: str | None = None, device: Any = None) -> Array:
        """An array of this library from values; ``dtype`` by name, ``device`` as it calls it."""
        kind = None if dtype is None else getattr(self.xp, dtype)
        return self.xp.asarray(np.asarray(values), dtype=kind, device=device)

    def to_numpy(self, array: Array) -> np.ndarray:
        """A NumPy array with the values of an array of this library."""
        if array_api_compat.is_cupy_array(array):  # which leaves its device only when told to
            array = array_api_compat.to_device(array, "cpu")
        return np.asarray(array)

    def astype(self, array: Array, dtype: Any) -> Array:
        """The array in another dtype of this library; the array itself where it has it already."""
        return array if array.dtype == dtype else self.xp.astype(array, dtype)

    def device(self, array: Array) -> Any:
        """The device of an array, or None where it is not known."""
        return array_api_compat.device(array)

    def uses_autocast(self, array: Array) -> bool:
        """Whether kernels choose for themselves the dtype they compute in, as under autocast."""
        return False
