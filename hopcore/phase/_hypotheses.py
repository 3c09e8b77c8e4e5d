"""What theory asks of patterns: at least two, finite, distinct, of one length."""

from __future__ import annotations

import math
import warnings

import numpy as np

from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._inputs import backend_of_input, check_finite, check_floating, shape

NORMS = 2.0
"""Patterns whose longest is longer than the shortest by this factor are no longer of one length."""


HELD = 0.55
"""A state holds a pattern if that has more weight: at one half it may be a mixture of two."""


class HypothesisWarning(UserWarning):
    """Patterns break a hypothesis of the theory; the message names it, the answer is defined.

    Examples
    --------
    >>> import numpy as np, warnings, hopcore
    >>> with warnings.catch_warnings(record=True) as seen:
    ...     warnings.simplefilter("always")
    ...     found = hopcore.critical_betas(np.eye(3)[[0, 0, 1, 2]])
    >>> print(seen[0].message)
    patterns should be distinct, but 1 of 4 repeats another; copies share one minimum
    """


def memory(stored: Array, *, warn: bool = True) -> tuple[Backend, Array]:
    """The backend and N >= 2 patterns, not all alike, in its precise dtype; warns as it is asked.

    Raises
    ------
    TypeError, ValueError
        As :func:`patterns_of`; fewer than two patterns, or all of them alike.
    """
    backend, wide = patterns_of(stored, least=2)
    check(np.asarray(backend.to_numpy(wide)), warn=warn)
    return backend, wide


def patterns_of(stored: Array, *, least: int = 1) -> tuple[Backend, Array]:
    """The backend and the patterns (N, d) in its precise dtype.

    Raises
    ------
    TypeError, ValueError
        Not so many patterns of a real floating dtype; nan or inf; values whose squares overflow or
        vanish.
    """
    backend = backend_of_input("stored", stored)
    check_floating(backend, "stored", stored)
    if stored.ndim != 2 or stored.shape[0] < least or stored.shape[1] < 1:
        raise ValueError(f"stored must be (N, d) with N >= {least} patterns, got {shape(stored)}")
    check_finite(backend, "stored", stored)
    wide = backend.constant(backend.astype(stored, backend.precise[stored.dtype]))
    largest, limits = float(backend.xp.max(backend.xp.abs(wide))), backend.xp.finfo(wide.dtype)
    low, high = math.sqrt(limits.smallest_normal), math.sqrt(1e-6 * limits.max)
    if largest > 0.0 and not low < largest < high:
        raise ValueError(
            f"stored must hold values whose squares fit into {wide.dtype}, got {largest:.3g}; "
            "scale the patterns, and divide beta by the square of the factor"
        )
    return backend, wide


def check(patterns: np.ndarray, *, warn: bool) -> None:
    """Refuse patterns that are all alike; warn of copies and of lengths that differ much."""
    count = len(patterns)
    # A pattern is known by its bytes: copies are equal to the last bit.
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
            stacklevel=4,
        )
    lengths = np.linalg.norm(patterns.astype(np.float64), axis=-1)
    if lengths.max() > NORMS * lengths.min():
        warnings.warn(
            f"patterns should have equal norms, got {lengths.min():.3g} to {lengths.max():.3g}; "
            "long ones win against short ones, which may have no minimum at any temperature",
            HypothesisWarning,
            stacklevel=4,
        )
