r"""The share of patterns that come back from corrupted copies, by measurement and by theorems.

The margin of a query :math:`\xi`, made from pattern i, is the lead of the score of this pattern
over all others at :math:`\beta = 1`, :math:`m = z_i(\xi) - \max_{j \ne i} z_j(\xi)`. The query is
certain to end within the distance :math:`\delta` of its pattern under these conditions:

- softmax: :math:`2 (N-1) M e^{-\beta m} \le \rho` and
  :math:`2 (N-1) M e^{-\beta (\Delta_i - 2 \rho M)} \le \rho` for some :math:`\rho \le \delta`. The
  first update goes into the ball of radius :math:`\rho` around the pattern, and no later one leaves
  it (theorems 4 and 5 of Ramsauer et al. 2021);
- entmax: :math:`m` and :math:`\Delta_i` are at least :math:`1 / ((\alpha - 1) \beta)`. The first
  update is exact (Santos et al. 2024);
- compact kernels: the pattern is the only one in reach of the query, and of itself. The first
  update is exact (Hoover et al. 2025).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import backend_of_input, check_finite, shape
from hopcore.arrays._backend import Array, Backend, orders_of
from hopcore.arrays._edge import as_floating
from hopcore.arrays._library import QUIET, AnyArray
from hopcore.arrays._memory_kernels import norm
from hopcore.arrays._reprs import one_line
from hopcore.arrays._scalar_checks import (
    MOST_SEED,
    MOST_STEPS,
    as_integer,
    as_number,
    is_number,
    short_repr,
)
from hopcore.memory._compact import is_absolute
from hopcore.memory._entmax import Entmax
from hopcore.memory._k_subsets import KSubsets
from hopcore.memory._normmax import Normmax
from hopcore.memory._retrieval import retrieve
from hopcore.memory._scores import Similarity
from hopcore.memory._separation import Separation, get_separation
from hopcore.phase._error_bound import blocks_of, scores_of_others, separations, update_error
from hopcore.phase._patterns import array_like, checked_memory, origin_of, rows_at, to_host

ROUNDING = 64.0
"""This many rounding errors of the scores are subtracted from a margin before it guarantees."""

LEAST = 1e-5
"""The smallest tolerance, some rounding errors of float32."""

BALLS = 4.0 ** -np.arange(8.0)
"""The radii of the balls that are tried, in units of the largest one."""


class RetrievingMemory(Protocol):
    """Any memory with a method ``retrieve``, such as :class:`hopcore.convex.ConvexMemory`.

    It may have a method ``certain(state, stored)``, too, which returns a boolean array ``(N,)``:
    whether a theorem takes state i to stored pattern i. None says that no theorem is known.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> class Nearest:
    ...     def retrieve(self, state, stored, *, max_steps, tol):
    ...         return hopcore.retrieve(state, stored, 1e4, max_steps=max_steps, tol=tol)
    >>> hopcore.phase.capacity(np.eye(4), noise=0.1, memory=Nearest()).measured
    1.0
    """

    def retrieve(self, state: Any, stored: Any, *, max_steps: int, tol: float) -> Any:
        """Return a result whose ``state`` is where the states ``(L, d)`` end."""
        ...


class Capacity(NamedTuple):
    """The share of patterns that come back from corrupted copies.

    Attributes
    ----------
    measured : float
        The share of patterns that were retrieved.
    guaranteed : float
        The share that a theorem guarantees, at most ``measured``; nan where there is no theorem.
    retrieved : boolean NumPy array (N,)
        Which patterns were retrieved.
    certain : boolean NumPy array (N,)
        Which patterns a theorem guarantees; all False where there is none.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.phase.capacity(np.eye(3), 20.0, noise=0.1).certain
    array([ True,  True,  True])
    """

    measured: float
    guaranteed: float
    retrieved: np.ndarray
    certain: np.ndarray

    def __repr__(self) -> str:
        return one_line(self)


@suggest_names
@QUIET
def capacity(
    stored: AnyArray,
    beta: float | None = None,
    *,
    noise: float | AnyArray,
    separation: Separation = "softmax",
    similarity: Similarity | None = None,
    memory: RetrievingMemory | None = None,
    tolerance: float = 0.01,
    max_steps: int = 100,
    tol: float = 1e-6,
    seed: int = 0,
) -> Capacity:
    r"""Return the share of patterns that come back from corrupted copies of them.

    Each pattern is corrupted once. It is *retrieved* if retrieval from the corrupted copy ends
    within the distance ``tolerance * M`` of the pattern. It is *certain* if a theorem says so
    beforehand, from the margin of the query and the separation of the pattern alone.

    Parameters
    ----------
    stored : array (N, d)
        N >= 2 patterns.
    beta : float
        Inverse temperature, positive; None with ``memory``, which has its own.
    noise : float, or array (N, d)
        The standard deviation, per value, of normal noise, >= 0; or what is added to the patterns,
        for example ``np.where(flipped, -2 * stored, 0)``.
    separation, similarity
        As in :func:`hopcore.retrieve`.
    memory : RetrievingMemory, optional
        A memory of two convex functions, or another object with the method
        ``retrieve(state, stored, *, max_steps, tol)``. Then ``beta``, ``separation`` and
        ``similarity`` are not given. What is guaranteed is what its method
        ``certain(state, stored)`` says, if it has one.
    tolerance : float
        From 1e-5 to 1, in units of M, the largest norm of a pattern; for distances, the largest
        distance from the mean of the patterns.
    max_steps, tol
        As in :func:`hopcore.retrieve`; at least one step.
    seed : int
        Draws the noise with NumPy, so that it is the same in every library.

    Returns
    -------
    Capacity
        ``measured, guaranteed, retrieved, certain``.

    Raises
    ------
    TypeError, ValueError
        Patterns as in :func:`hopcore.phase.minima`; inputs do not fit together; an array of alphas.

    Notes
    -----
    Patterns are corrupted and retrieved in the precise dtype, float32 for half precision. Margins
    that are smaller than 64 rounding errors of the scores guarantee nothing, so that a guarantee
    holds in floating point, too. There are theorems for the softmax, entmax, normmax, Epanechnikov
    kernels and, of memories of two convex functions, those whose states are signs
    (:meth:`hopcore.convex.ConvexMemory.certain`). A pattern that has a copy is retrieved where the
    copy is.

    Sources: theorems 4 and 5 of Ramsauer et al. 2021, "Hopfield networks is all you need"; Santos
    et al. 2024, "Hopfield-Fenchel-Young networks"; Hoover et al. 2025, "Dense associative memory
    with Epanechnikov energy".

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> patterns = np.random.default_rng(0).choice([-1.0, 1.0], size=(200, 64))
    >>> found = hopcore.phase.capacity(patterns, 0.3, noise=0.5)
    >>> found.measured, found.guaranteed
    (1.0, 0.825)
    >>> from hopcore.convex import AbsoluteSum, ConvexMemory, Polynomial
    >>> for power in (2, 3, 6):
    ...     memory = ConvexMemory(Polynomial(power), AbsoluteSum())
    ...     print(hopcore.phase.capacity(patterns, noise=0.5, memory=memory).measured)
    0.03
    0.98
    1.0
    """
    max_steps = as_integer("max_steps", max_steps, 1, MOST_STEPS)
    tol, tolerance = as_number("tol", tol, 0.0), checked_tolerance(tolerance)
    seed = as_integer("seed", seed, 0, MOST_SEED)
    function: Any = None
    heat = math.nan
    if memory is not None:
        check_memory(memory, beta, separation, similarity)
        similarity = "dot"
    else:
        heat = as_number("beta", beta, positive=True)
        if similarity is None:
            similarity = "distance" if is_absolute(separation) else "dot"
        function = get_separation(separation, similarity)
        if orders_of(function) is not None:
            raise ValueError("a capacity needs a single number as alpha, got an array of alphas")
    backend, precise = checked_memory(stored, similarity, warn=False)
    queries = corrupted(precise, noise, seed, backend)
    view = view_of(queries, precise, similarity, backend)
    unit = tolerance * view.largest
    certain = None
    if memory is not None:
        found = memory.retrieve(queries, precise, max_steps=max_steps, tol=tol)
        certain = own_guarantees(memory, queries, precise, backend)
    else:
        found = retrieve(
            queries, precise, heat, separation=function, similarity=similarity,
            max_steps=max_steps, tol=tol,
        )  # fmt: skip
        certain = guarantees(view, heat, function, unit)
    retrieved = to_host(norm(found.state - precise, backend.xp), backend) <= unit
    guaranteed = math.nan if certain is None else float(np.mean(certain))
    certain = np.zeros(len(retrieved), bool) if certain is None else certain
    return Capacity(float(np.mean(retrieved)), guaranteed, retrieved, certain)


def own_guarantees(
    memory: Any, queries: Array, stored: Array, backend: Backend
) -> np.ndarray | None:
    """Return which queries a memory itself calls certain, or None if it says nothing."""
    if not callable(getattr(memory, "certain", None)):
        return None
    certain = memory.certain(queries, stored)
    if certain is None:
        return None
    if shape(certain) != (count := shape(stored)[0],):
        raise ValueError(
            f"certain(state, stored) of the memory must return {count} booleans, one for each "
            f"pattern, got shape {shape(certain)}"
        )
    return to_host(certain, backend) > 0.0


def checked_tolerance(tolerance: float) -> float:
    """Return a tolerance in units of M, or raise."""
    tolerance = as_number("tolerance", tolerance, LEAST)
    if tolerance > 1.0:
        raise ValueError(f"tolerance is in units of M and must be <= 1, got {tolerance:g}")
    return tolerance


def check_memory(memory: Any, beta: Any, separation: Any, similarity: Any) -> None:
    """Raise unless a memory has the method ``retrieve``, and no other memory is described."""
    if isinstance(memory, type) or not callable(getattr(memory, "retrieve", None)):
        raise TypeError(
            "memory must have a method retrieve(state, stored, *, max_steps, tol), such as "
            f"hopcore.convex.ConvexMemory, got {short_repr(memory)}"
        )
    if beta is not None or separation != "softmax" or similarity is not None:
        raise ValueError("a memory= has its own functions: leave out beta, separation, similarity")


def corrupted(patterns: Array, noise: Any, seed: int, backend: Backend) -> Array:
    """Return patterns with normal noise of a standard deviation, or with an array, added."""
    if is_number(noise):
        added = np.random.default_rng(seed).standard_normal(tuple(patterns.shape))
        factor = as_number("noise", noise, 0.0)
    else:
        noise = as_floating("noise", noise)
        own = backend_of_input("noise", noise)
        if shape(noise) != shape(patterns):
            raise ValueError(
                f"noise must be a number or have the shape of stored, {shape(patterns)}, "
                f"got {shape(noise)}"
            )
        check_finite(own, "noise", noise)
        added, factor = to_host(noise, own), 1.0
    largest = factor * float(np.max(np.abs(added)))
    if largest > math.sqrt(1e-6 * float(backend.xp.finfo(patterns.dtype).max)):
        raise ValueError(
            f"noise must have values whose squares fit into {patterns.dtype}, got {largest:.3g}"
        )
    return patterns + array_like(factor * added, patterns, backend)


class View(NamedTuple):
    """What the theorems know of N queries and their patterns, on the host, at beta = 1.

    Attributes
    ----------
    margin, gap : array (N,)
        The margins of the queries and of the patterns themselves, less their rounding errors.
    own, other : array (N,)
        Half of the squared distance of a query from its pattern, and from the nearest other one,
        where scores are distances: rounded up, and down.
    largest : float
        M.
    rounding : float
        The relative rounding error.
    """

    margin: np.ndarray
    gap: np.ndarray
    own: np.ndarray
    other: np.ndarray
    largest: float
    rounding: float


def view_of(queries: Array, stored: Array, similarity: Similarity, backend: Backend) -> View:
    """Return the margins of queries, one for each stored pattern, in blocks."""
    xp, rows = backend.xp, np.arange(stored.shape[0])
    gap, _, largest = separations(stored, rows, backend, similarity)
    origin = origin_of(stored, similarity, backend)
    queries, stored = queries - origin, stored - origin
    score = xp.sum(queries * stored, axis=-1)
    if similarity == "distance":
        score = score - 0.5 * backend.square_lengths(stored)
    best = []
    for part in blocks_of(rows, len(rows)):
        states = rows_at(queries, part, backend)
        scores = scores_of_others(states, part, stored, similarity, backend)
        best.append(to_host(xp.max(scores, axis=-1), backend))
    margin = to_host(score, backend) - np.concatenate(best)
    own = 0.5 * to_host(backend.square_lengths(queries - stored), backend)
    unit, rounding = math.sqrt(largest), ROUNDING * float(xp.finfo(stored.dtype).eps)
    error = rounding * (unit + to_host(norm(queries, xp), backend)) ** 2
    return View(
        margin - error, gap - rounding * largest, own + error, own + margin - error, unit, rounding
    )


def guarantees(view: View, beta: float, function: Any, unit: float) -> np.ndarray | None:
    """Return which queries a theorem says come back within a distance, or None without one."""
    if is_absolute(function):
        reach = 1.0 / beta  # half of the squared radius
        return (view.own < reach) & (view.other > reach) & (view.gap > reach)
    # Means of several patterns, which have an infinite reach, are never a pattern.
    if isinstance(function, Entmax | Normmax | KSubsets) and math.isfinite(function.reach):
        needed = function.reach / beta
        return np.minimum(view.margin, view.gap) >= needed
    if not getattr(function, "softmax", False):
        return None
    limit, count = 2.0 * view.largest, len(view.gap)
    first = update_error(view.margin, beta, count, limit, 0.0)
    certain = np.zeros(count, bool)
    for radius in BALLS * (unit - view.rounding * view.largest):
        later = update_error(view.gap, beta, count, limit, radius)
        certain |= (first <= radius) & (later <= radius)
    return certain
