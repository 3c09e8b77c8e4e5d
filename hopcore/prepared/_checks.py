"""Which patterns, keys and biases a memory accepts, and what the errors say."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from hopcore.arrays._array_checks import backend_of_input, check_finite, check_floating, shape
from hopcore.arrays._edge import as_floating, as_host_array
from hopcore.arrays._scalar_checks import short_repr

Key = Hashable
"""The name of a pattern: a string or an integer."""


def as_rows(
    name: str, array: Any, dtype: Any = None, count: int | None = None, *, depth: int | None = None
) -> np.ndarray:
    """Return patterns ``(n, d)`` as finite numbers of NumPy; one pattern ``(d,)`` is a row.

    Parameters
    ----------
    name : str
        The argument, for errors.
    array : array
        Of any library.
    dtype : dtype, optional
        That of the memory.
    count, depth : int, optional
        The wanted number of rows and their length.
    """
    array = as_floating(name, array)
    library = backend_of_input(name, array)
    check_floating(library, name, array)
    if not library.can_fetch_values(array):
        raise TypeError(f"{name} must have values that can be read, which a trace hides")
    if library.precise[array.dtype] != array.dtype:
        raise TypeError(
            f"{name} must be float32 or float64 in a Memory, got {array.dtype}; convert it first"
        )
    rows = library.to_numpy(library.constant(array))
    if rows.ndim == 1 and depth is not None:
        rows = rows[None]
    if rows.ndim != 2 or rows.shape[1] == 0 or depth not in (None, rows.shape[1]):
        wanted = "d" if depth is None else depth
        hint = "; hopcore.as_patterns flattens images" if rows.ndim > 2 else ""
        raise ValueError(f"{name} must be (n, {wanted}), got {shape(array)}{hint}")
    if count not in (None, len(rows)):
        raise ValueError(f"{name} must hold a row for each of {count} patterns, got {shape(array)}")
    check_finite(library, name, array)
    if dtype is not None and rows.dtype != dtype:
        if not np.can_cast(rows.dtype, dtype):
            raise TypeError(
                f"{name} must be {dtype} as in the memory, got {rows.dtype}; convert it first"
            )
        rows = rows.astype(dtype)
    return rows


def as_bias(bias: Any, count: int) -> np.ndarray:
    """Return a bias ``(N,)`` in float64."""
    array = as_floating("bias", as_host_array("bias", bias))
    library = backend_of_input("bias", array)
    check_finite(library, "bias", array)
    found = np.array(library.to_numpy(library.constant(array)), np.float64)
    if found.shape != (count,):
        raise ValueError(
            f"bias must hold a number for each pattern, ({count},), got {shape(array)}"
        )
    return found


def as_keys(keys: Sequence[Any] | Any, count: int | None = None) -> list[Any]:
    """Return a list of distinct keys, strings or integers; a single one becomes a list of it."""
    if isinstance(keys, str) or not hasattr(keys, "__iter__"):
        keys = [keys]
    found = [key.item() if isinstance(key, np.generic) else key for key in keys]
    if count is not None and len(found) != count:
        raise ValueError(f"keys must name each of {count} patterns, got {len(found)} keys")
    for key in found:
        if isinstance(key, bool) or not isinstance(key, str | int):
            raise TypeError(f"a key must be a string or an integer, got {short_repr(key)}")
    if len(set(found)) < len(found):
        seen: set[Any] = set()
        again = next(key for key in found if key in seen or seen.add(key))
        raise ValueError(f"keys must be distinct, got {short_repr(again)} twice")
    return found
