r"""The minima of a memory of Epanechnikov kernels: its patterns, and means of several of them.

The energy is :math:`-\tfrac1\beta \log \sum_i (1 - \tfrac{\beta}{2} \|\xi - x_i\|^2)_+`. Let
:math:`S(\xi)` be the patterns nearer than :math:`\sqrt{2/\beta}`. Inside of a set of balls the sum
is a paraboloid, whose maximum is the mean of their patterns; on a surface it has a kink upwards,
where no maximum can be. So the minima are the means of those sets of patterns that are themselves
:math:`S` of their mean.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._backend import BLOCK, Array, Backend
from hopcore.arrays._graph_kernels import chunks
from hopcore.arrays._inputs import check_inputs
from hopcore.arrays._library import QUIET
from hopcore.arrays._reprs import one_line
from hopcore.arrays._scalar_checks import as_number
from hopcore.memory._retrieval import retrieve
from hopcore.phase._patterns import array_like, checked_patterns, spaced_rows, to_host

ENUMERATED = 14
"""All sets of at most this many patterns are tried, 16,383."""

STARTS = 10_000
"""The largest number of midpoints that are retrieved where not all sets are tried."""


class CompactMinima(NamedTuple):
    """The K minima of a memory of Epanechnikov kernels, those of fewest patterns first.

    Attributes
    ----------
    state : array (K, d)
        The minima: each is the mean of its members.
    energy : NumPy array (K,)
    members : boolean NumPy array (K, N)
        The patterns that are nearer than the radius.
    size : integer NumPy array (K,)
        The number of members.
    emergent : boolean NumPy array (K,)
        Whether a minimum is no stored pattern: an emergent memory.
    exhaustive : bool
        Whether all sets of patterns were tried, so that no minimum is missing.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> found = hopcore.phase.compact_minima(np.asarray([[0.0], [1.0], [5.0]]), 3.0)
    >>> found.state[:, 0], found.emergent
    (array([0. , 1. , 5. , 0.5]), array([False, False, False,  True]))
    """

    state: Array
    energy: np.ndarray
    members: np.ndarray
    size: np.ndarray
    emergent: np.ndarray
    exhaustive: bool

    def __repr__(self) -> str:
        return one_line(self)


@suggest_names
@QUIET
def compact_minima(stored: Array, beta: float, *, starts: Array | None = None) -> CompactMinima:
    r"""Find the minima of a memory of Epanechnikov kernels, and which of them are emergent.

    A set of patterns whose mean is nearer than :math:`\sqrt{2/\beta}` to each of them and farther
    from all others has a minimum there. With one pattern this is the pattern itself; with several,
    it is an emergent memory, which was never stored.

    Parameters
    ----------
    stored : array (N, d)
        N >= 1 patterns.
    beta : float
        Inverse temperature, positive. ``2 / r**2`` gives the radius r.
    starts : array (L, d), optional
        States to retrieve. If they are not given, all sets of up to 14 patterns are tried. Of more
        patterns, the patterns themselves are retrieved, and the midpoints of pairs whose balls
        meet, up to 10,000 of these; minima that no start moves to are missing then.

    Returns
    -------
    CompactMinima
        ``state, energy, members, size, emergent, exhaustive``.

    Raises
    ------
    TypeError, ValueError
        Patterns as in :func:`hopcore.phase.minima`; inputs do not fit together.

    Notes
    -----
    Distances are computed in double precision on the host. A set does not count if another pattern
    lies exactly at the radius, from where the energy falls.

    Source: Hoover et al. 2025, "Dense associative memory with Epanechnikov energy".

    Examples
    --------
    Ten patterns hold up to 78 minima; then the balls are so large that only their mean is left:

    >>> import numpy as np, hopcore
    >>> from scipy.spatial.distance import pdist
    >>> patterns = np.random.default_rng(0).random((10, 8))
    >>> radii = pdist(patterns).min() * np.asarray([0.99, 1.43, 2.0, 2.5])
    >>> found = [hopcore.phase.compact_minima(patterns, 2.0 / r**2) for r in radii]
    >>> [len(each.size) for each in found], [int(each.emergent.sum()) for each in found]
    ([13, 38, 78, 1], [3, 30, 74, 1])
    """
    beta = as_number("beta", beta, positive=True)
    backend, precise = checked_patterns(stored)
    patterns = to_host(precise, backend)
    exhaustive = starts is None and len(patterns) <= ENUMERATED
    if exhaustive:
        count = len(patterns)
        numbers = np.arange(1, 1 << count)[:, None]
        candidates = ((numbers >> np.arange(count)) & 1).astype(bool)
    else:
        candidates = retrieved_sets(patterns, precise, beta, starts, backend)
    members = np.concatenate(
        [self_consistent(patterns, candidates[rows], beta)
         for rows in chunks(len(candidates), max(1, BLOCK // patterns.size))]
    )  # fmt: skip
    size = np.sum(members, axis=1)
    order = np.argsort(size, kind="stable")
    members, size = members[order], size[order]
    states = means(patterns, members)
    distances = square_distances(states, patterns)
    kernels = np.where(members, 1.0 - 0.5 * beta * distances, 0.0)
    nearest = np.min(distances, axis=1, initial=np.inf)
    unit = np.max(np.abs(patterns)) * 64.0 * np.finfo(np.float64).eps
    return CompactMinima(
        array_like(states, precise, backend), -np.log(np.sum(kernels, axis=1)) / beta, members,
        size, (size > 1) & (nearest > unit * unit), exhaustive,
    )  # fmt: skip


def retrieved_sets(
    patterns: np.ndarray, precise: Array, beta: float, starts: Any, backend: Backend
) -> np.ndarray:
    """Return the different sets of patterns in reach of the states that starts move to, (C, N)."""
    if starts is not None:
        check_inputs(starts, precise, beta=beta)
        states = to_host(starts, backend)
    else:
        one, other = np.nonzero(np.triu(square_distances(patterns, patterns) < 8.0 / beta, 1))
        some = spaced_rows(len(one), STARTS)
        states = np.concatenate([patterns, 0.5 * (patterns[one[some]] + patterns[other[some]])])
    given = array_like(states, precise, backend)
    found = retrieve(given, precise, beta, separation="epanechnikov", max_steps=10_000, tol=0.0)
    inside = square_distances(to_host(found.state, backend), patterns) < 2.0 / beta
    return np.unique(inside[np.any(inside, axis=1)], axis=0)


def self_consistent(patterns: np.ndarray, sets: np.ndarray, beta: float) -> np.ndarray:
    """Return those of the sets (C, N) that are the patterns in reach of their mean."""
    distances = square_distances(means(patterns, sets), patterns)
    inside, touched = distances < 2.0 / beta, distances <= 2.0 / beta
    return sets[np.all((inside == sets) & (touched == sets), axis=1)]


def means(patterns: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """Return the mean of each set (C, N) of patterns, (C, d)."""
    return (sets @ patterns) / np.sum(sets, axis=1)[:, None]


def square_distances(states: np.ndarray, patterns: np.ndarray) -> np.ndarray:
    """Return squared distances (C, N), each a sum of squares of differences."""
    from scipy.spatial.distance import cdist  # noqa: PLC0415  time that other calls save

    return cdist(states, patterns, "sqeuclidean")
