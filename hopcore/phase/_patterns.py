"""Checks of the patterns of a memory against the hypotheses of the theory, and choices of rows."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from hopcore.arrays._array_checks import backend_of_input, check_finite, check_floating, shape
from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._edge import as_floating
from hopcore.memory._scores import Similarity, check_similarity

NORMS = 2.0
"""Norms of patterns count as equal up to this factor between the longest and the shortest."""

HELD = 0.55
"""A state holds a pattern whose weight is larger; at one half it may be a mixture of two."""


class HypothesisWarning(UserWarning):
    """Patterns violate a hypothesis of the theory; the message names it. Results are still defined.

    Examples
    --------
    >>> import numpy as np, warnings, hopcore
    >>> with warnings.catch_warnings(record=True) as seen:
    ...     warnings.simplefilter("always")
    ...     found = hopcore.critical_betas(np.eye(3)[[0, 0, 1, 2]])
    >>> print(seen[0].message)
    patterns should be distinct, but 1 of 4 repeats another; copies share one minimum
    """


def checked_memory(
    stored: Array, similarity: Similarity = "dot", *, warn: bool = True
) -> tuple[Backend, Array]:
    """Check N >= 2 patterns, not all alike; return their backend, and them in its precise dtype.

    Norms matter only to dot products, so distances give no warning of them.

    Raises
    ------
    TypeError, ValueError
        As :func:`checked_patterns`, or there are fewer than two patterns, or all are alike; an
        unknown similarity.
    """
    check_similarity(similarity)
    backend, precise = checked_patterns(stored, least=2)
    norms = similarity == "dot"
    check_distinct(np.asarray(backend.to_numpy(precise)), warn=warn, norms=norms)
    return backend, precise


def origin_of(patterns: Array, similarity: Similarity, backend: Backend) -> Array | float:
    """Return what is subtracted from patterns (N, d): their mean for distances, else 0.

    Distances do not change when everything is moved, and are more exact near the origin.
    """
    if similarity == "dot":
        return 0.0
    # Relative to one of them first, so that copies of one pattern become exactly 0.
    first = patterns[:1, :]
    return first + backend.xp.mean(patterns - first, axis=0, keepdims=True)


def checked_patterns(stored: Array, *, least: int = 1) -> tuple[Backend, Array]:
    """Check patterns (N, d); return their backend, and them in its precise dtype.

    Raises
    ------
    TypeError, ValueError
        There are fewer patterns than ``least``, their dtype is not real floating, they hold nan or
        inf, or their squares overflow or vanish.
    """
    stored = as_floating("stored", stored)
    backend = backend_of_input("stored", stored)
    check_floating(backend, "stored", stored)
    if not backend.can_fetch_values(stored):
        raise TypeError(
            "stored must have values that can be read, which jit, vmap, torch.compile, Dask "
            "and the device meta hide: call this function outside, and pass its numbers in"
        )
    if stored.ndim != 2 or stored.shape[0] < least or stored.shape[1] < 1:
        hint = "; hopcore.as_patterns(stored) flattens images" if stored.ndim > 2 else ""
        raise ValueError(
            f"stored must be (N, d) with N >= {least} patterns, got {shape(stored)}{hint}"
        )
    check_finite(backend, "stored", stored)
    precise = backend.constant(backend.astype(stored, backend.precise[stored.dtype]))
    largest = float(backend.xp.max(backend.xp.abs(precise)))
    limits = backend.xp.finfo(precise.dtype)
    low, high = math.sqrt(limits.smallest_normal), math.sqrt(1e-6 * limits.max)
    if largest > 0.0 and not low < largest < high:
        raise ValueError(
            f"stored must hold values whose squares fit into {precise.dtype}, got {largest:.3g}; "
            "scale the patterns, and divide beta by the square of the factor"
        )
    return backend, precise


def check_distinct(patterns: np.ndarray, *, warn: bool, norms: bool = True) -> None:
    """Raise if all patterns are alike; warn of copies and, unless told, of different norms."""
    count = len(patterns)
    # Copies are equal to the last bit; adding 0 makes -0 the same as 0.
    distinct = len({row.tobytes() for row in patterns + 0.0})
    if distinct == 1:
        raise ValueError(f"stored holds {count} copies of one pattern, which has no transition")
    if not warn:
        return
    if distinct < count:
        copies = count - distinct
        warnings.warn(
            f"patterns should be distinct, but {copies} of {count} "
            f"{'repeats another' if copies == 1 else 'repeat others'}; copies share one minimum",
            HypothesisWarning,
            stacklevel=5,
        )
    lengths = np.linalg.norm(patterns.astype(np.float64), axis=-1)
    if norms and lengths.max() > NORMS * lengths.min():
        warnings.warn(
            f"patterns should have equal norms, got {lengths.min():.3g} to {lengths.max():.3g}; "
            "long patterns win against short ones, which may have no minimum at any temperature, "
            "unless similarity='distance'",
            HypothesisWarning,
            stacklevel=5,
        )


def spaced_rows(count: int, wanted: int) -> np.ndarray:
    """Return ``wanted`` of ``count`` rows, or all of them, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).astype(np.int64))


def rows_at(patterns: Array, rows: Any, backend: Backend) -> Array:
    """Take rows of an array by integers on the host."""
    index = backend.asarray(np.asarray(rows, np.int64), device=backend.device(patterns))
    return backend.xp.take(patterns, index, axis=0)


def to_host(array: Array, backend: Backend) -> np.ndarray:
    """Convert an array to NumPy in double precision."""
    return np.asarray(backend.to_numpy(array), np.float64)


def array_like(values: np.ndarray, like: Array, backend: Backend) -> Array:
    """Convert numbers to the dtype and the device of an array."""
    return backend.astype(backend.asarray(values, device=backend.device(like)), like.dtype)


def padded_rows(rows: np.ndarray, like: Array, backend: Backend) -> np.ndarray:
    """Repeat rows up to a power of two of them, for a library that compiles for each shape.

    The first rows stay as they are, so that results for the others can be dropped.
    """
    if backend.has_dynamic_shapes(like) or not len(rows):
        return rows
    return np.resize(rows, 1 << (len(rows) - 1).bit_length())
