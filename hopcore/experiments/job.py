"""One retrieval job: NumPy arrays in and out, any backend between, a few queries at a time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

import hopcore
from hopcore.backend import Array
from hopcore.separation import Entmax, Separation, separation_named

CHUNK = 1024
"""Queries retrieved at once: a progress bar moves, and a device works on enough of them."""

SUCCESS = 0.9
"""A pattern is retrieved if its cosine with the retrieved state is larger (Santos et al. 2024)."""

Track = Callable[[Iterable[slice], int], Iterable[slice]]
"""Passes on so many parts of the queries and shows how far they are."""


class Outcome(NamedTuple):
    """What a job found.

    Attributes
    ----------
    found : Retrieval
        ``state, steps, converged, residual, energy``, as NumPy arrays.
    before : array (L,)
        The energy of the queries.
    seconds : float
        From the arrays on the device to the arrays back on the host.
    """

    found: hopcore.Retrieval
    before: np.ndarray
    seconds: float


def run_job(
    queries: np.ndarray,
    stored: np.ndarray,
    beta: float,
    *,
    separation: Separation = "softmax",
    max_steps: int = 100,
    tol: float = 1e-6,
    backend: str = "numpy",
    device: str | None = None,
    track: Track = lambda parts, total: parts,
) -> Outcome:
    """Retrieve queries from a memory on a backend chosen by its name.

    Parameters
    ----------
    queries : array (L, d)
        Where the states start.
    stored : array (S, d)
        Stored patterns, of the queries' dtype.
    beta, separation, max_steps, tol
        As in :func:`hopcore.retrieve`.
    backend, device : str
        As in :func:`hopcore.backend` and as the backend's library calls its devices.
    track : callable
        Gets the parts of the queries and how many they are; shows the progress.

    Raises
    ------
    TypeError, ValueError
        As :func:`hopcore.retrieve`; an unknown backend; a device or dtype it does not have.
    """
    chosen = hopcore.backend(backend)
    memory = on_device(chosen, stored, device)
    parts = [slice(start, start + CHUNK) for start in range(0, max(len(queries), 1), CHUNK)]
    done: list[tuple[np.ndarray, ...]] = []
    begun = time.perf_counter()
    for part in track(parts, len(parts)):
        state = on_device(chosen, queries[part], device)
        before = hopcore.energy(state, memory, beta, separation=separation)
        found = hopcore.retrieve(
            state, memory, beta, separation=separation, max_steps=max_steps, tol=tol
        )
        done.append(tuple(map(chosen.to_numpy, (before, *found))))
    seconds = time.perf_counter() - begun
    before, *fields = (np.concatenate(pieces) for pieces in zip(*done, strict=True))
    return Outcome(hopcore.Retrieval(*fields), before, seconds)


def on_device(backend: hopcore.Backend, values: np.ndarray, device: str | None) -> Array:
    """The values as an array of the backend, in their own dtype, or an error that says why not."""
    kind = values.dtype.name
    try:
        array = backend.asarray(values, dtype=kind, device=device)
    except (ValueError, TypeError):
        raise
    except Exception as error:  # each library has its own type for a device that is not there
        reason = f"{type(error).__name__} {error}"
        raise ValueError(f"{backend.name} has no {kind} on device {device!r}: {reason}") from error
    if kind not in str(array.dtype):
        raise ValueError(f"{backend.name} made {array.dtype} of {kind}; convert it first")
    return array


def suggested_beta(stored: np.ndarray, separation: Separation = "softmax") -> float:
    r"""An inverse temperature at which the stored patterns are retrieved, from their separation.

    A query with margin :math:`m = \min_{j \ne i} \xi \cdot (x_i - x_j) > 0` goes to :math:`x_i`
    in one update: exactly, under an entmax, once :math:`\beta m \ge 1/(\alpha - 1)`; and under the
    softmax up to :math:`2 (N-1) M e^{-\beta m}` (as in theorem 5 of Ramsauer et al. 2021), which is
    set to :math:`M / 100`. For the margin it takes half the separation
    :math:`\Delta_i = x_i \cdot x_i - \max_{j \ne i} x_i \cdot x_j`, as if a query had lost half of
    its pattern, and of the :math:`\Delta_i` the 5 % quantile, lest the two most alike patterns of a
    memory decide for all.

    Parameters
    ----------
    stored : array (S, d)
        Stored patterns.
    separation : str or separation function
        The one that will be used.

    Returns
    -------
    float
        Positive and finite. Patterns scaled by c get this divided by c^2.

    Notes
    -----
    Patterns that are not their own best match (:math:`\Delta_i \le 0`: duplicates, or shadowed by a
    longer pattern) cannot be retrieved at any inverse temperature and do not count. In a memory of
    more than 4096 patterns as many, evenly spaced, are compared with all.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.job import suggested_beta
    >>> suggested_beta(np.eye(3), "sparsemax")
    2.0
    """
    wide = np.asarray(stored, np.float64)
    scale = float(np.abs(wide).max(initial=0.0)) or 1.0
    wide = wide / scale
    gap, largest = gaps(wide)
    # Rounding makes a separation out of duplicates; it is not one.
    gap = gap[gap > 1e-9 * largest]
    # A memory of one pattern, or of copies of one: every inverse temperature retrieves it.
    margin = 0.5 * (float(np.quantile(gap, 0.05)) if len(gap) else largest or 1.0)
    needed = math.log(200.0 * max(len(wide) - 1, 1))
    function = separation_named(separation)
    if isinstance(function, Entmax):
        needed = 1.0 / (function.alpha - 1.0)
    return needed / margin / scale / scale


def gaps(stored: np.ndarray) -> tuple[np.ndarray, float]:
    r"""The separations :math:`\Delta_i` of at most 4096 patterns from all the others, and M^2."""
    count = len(stored)
    square = np.sum(stored**2, axis=-1)
    largest = float(square.max())
    if count == 1:
        return np.zeros(0), largest
    rows = np.unique(np.linspace(0, count - 1, min(count, 4096)).astype(int))
    found = []
    for part in np.array_split(rows, math.ceil(len(rows) * count / 2**22)):
        scores = stored[part] @ stored.T
        scores[np.arange(len(part)), part] = -np.inf
        found.append(square[part] - scores.max(axis=-1))
    return np.concatenate(found), largest


def cosine(states: np.ndarray, patterns: np.ndarray) -> np.ndarray:
    """The cosine of each state with its pattern; 0 where either is zero."""
    states, patterns = states.astype(np.float64), patterns.astype(np.float64)
    length = np.linalg.norm(states, axis=-1) * np.linalg.norm(patterns, axis=-1)
    return np.sum(states * patterns, axis=-1) / np.where(length > 0, length, 1.0)


def nearest(states: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """The row of the stored pattern that is nearest to each state, in Euclidean distance."""
    offset = 0.5 * np.sum(stored**2, axis=-1)
    parts = [states[start : start + CHUNK] for start in range(0, max(len(states), 1), CHUNK)]
    return np.concatenate([np.argmax(part @ stored.T - offset, axis=-1) for part in parts])
