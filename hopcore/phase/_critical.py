r"""The critical inverse temperatures of any memory, found by following its fixed points.

As a function of :math:`\beta` the fixed point of a pattern ends at a fold. It is therefore followed
as a function of the pattern's weight: each weight :math:`p_i` has one :math:`\beta`, and the
pattern's minimum appears where :math:`\beta` is lowest.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import backend_of_input
from hopcore.arrays._backend import BLOCK, Array
from hopcore.arrays._library import QUIET, AnyArray
from hopcore.arrays._reprs import one_line
from hopcore.arrays._scalar_checks import check_integer
from hopcore.memory._retrieval import retrieve
from hopcore.memory._scores import Similarity
from hopcore.phase._continuation import Curve, energy_slope, follow
from hopcore.phase._fixed_points import describe_states, tolerance
from hopcore.phase._patterns import (
    array_like,
    checked_memory,
    origin_of,
    spaced_rows,
    to_host,
)
from hopcore.phase._progress import Track, silent

FOLLOWED = 1024
"""The default number of patterns that are followed; they are a sample of all."""

CENTRAL = 96
"""The number of inverse temperatures at which the state of the mean is computed."""


class CriticalBetas(NamedTuple):
    r"""Inverse temperatures at which a memory changes, for the n patterns that were followed.

    Attributes
    ----------
    pattern : integer NumPy array (n,)
        The patterns.
    appear : NumPy array (n,)
        The lowest :math:`\beta` with a fixed point that holds 0.55 of its weight at the pattern,
        connected with the pattern. Below it the pattern is not retrieved, not even from
        itself. inf for a pattern that never is: a copy or, with dot products, one that a longer one
        covers.
    coexist : NumPy array (n,)
        The :math:`\beta` above which that minimum lies below the state that the mean of all
        patterns converges to; nan if the mean converges to this pattern itself.
    centroid : float
        :math:`1 / \lambda_{max}(\operatorname{Cov}(X))`: above it the mean, where it is a fixed
        point, is no minimum.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> found = hopcore.critical_betas(np.eye(10))
    >>> theory = hopcore.transition(10)
    >>> print(f"{found.appear[0]:.4f} {found.coexist[0]:.4f} {found.centroid:.4f}")
    4.5598 4.9438 10.0000
    >>> print("{:.4f} {:.4f} {:.4f}".format(*theory))
    4.5598 4.9438 10.0000
    """

    pattern: np.ndarray
    appear: np.ndarray
    coexist: np.ndarray
    centroid: float

    def __repr__(self) -> str:
        return one_line(self)


@suggest_names
@QUIET
def critical_betas(
    stored: AnyArray,
    *,
    patterns: int | None = None,
    similarity: Similarity = "dot",
    track: Track = silent,
) -> CriticalBetas:
    r"""Find the critical inverse temperatures of a memory, pattern by pattern, by continuation.

    Parameters
    ----------
    stored : array (N, d)
        N >= 2 patterns.
    patterns : int, optional
        The number of patterns to follow, evenly spaced; the default is 1024, or all if fewer.
    similarity : {"dot", "distance"}
        As in :func:`hopcore.association`. With distances every pattern that is no copy appears, and
        the result does not change if all patterns are moved.
    track : callable
        ``track(parts, total)`` yields the parts and may show the progress.

    Returns
    -------
    CriticalBetas

    Warns
    -----
    HypothesisWarning
        Patterns that coincide or, with dot products, have very different norms.

    Raises
    ------
    TypeError, ValueError
        There are fewer than two patterns, all are alike, or they are not finite and real floating;
        the similarity is unknown.

    Notes
    -----
    For N equidistant patterns the result is :func:`hopcore.transition` divided by
    :func:`hopcore.phase.effective_scale`, to 1e-6. If three or more patterns are close, a minimum
    may fade without a fold; it appears, by definition, where the weight passes 0.55, since at one
    half it could not be told from a mixture of two. For N = 2, where minima separate gradually,
    this is 0.3 % above the transition. In random memories, about one pattern in a thousand has a
    lower fixed point that continuation misses, or is given up too early.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> angles = np.asarray([0.0, 0.3, 2.0, 4.0])
    >>> circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    >>> hopcore.critical_betas(circle).appear.round(2)
    array([44.93, 44.93,  2.78,  2.25])
    >>> hopcore.critical_betas(circle + 9.0, similarity="distance").appear.round(2)
    array([44.93, 44.93,  2.78,  2.25])
    """
    backend, precise = checked_memory(stored, similarity)
    precise = precise - origin_of(precise, similarity, backend)
    # In units of the largest value, beta and its products stay within the range of the dtype.
    unit = float(backend.xp.max(backend.xp.abs(precise)))
    precise, count = precise / unit, precise.shape[0]
    wanted = min(FOLLOWED, count) if patterns is None else patterns
    check_integer("patterns", wanted, 1)
    followed = spaced_rows(count, wanted)
    parts = np.array_split(followed, math.ceil(len(followed) / max(1, BLOCK // count)))
    branches = [follow(precise, rows, backend, similarity) for rows in track(parts, len(parts))]
    branch = Curve(*(np.concatenate(column, axis=-1) for column in zip(*branches, strict=True)))
    appear = branch.appear
    coexist = appear + math.nan
    if np.isfinite(appear).any():
        coexist = coexistence(branch, precise, similarity)
    centroid = 1.0 / variance(to_host(precise, backend))
    return CriticalBetas(followed, appear / unit**2, coexist / unit**2, centroid / unit**2)


def variance(patterns: np.ndarray) -> float:
    """Return the largest eigenvalue of the covariance of patterns (N, d) of weight 1/N."""
    centred = patterns - patterns.mean(axis=0)
    count, depth = centred.shape
    square = centred.T @ centred if depth <= count else centred @ centred.T
    return float(np.linalg.eigvalsh(square)[-1]) / count


def coexistence(branch: Curve, stored: Array, similarity: Similarity) -> np.ndarray:
    """Find where each branch has the energy of the state that the patterns' mean converges to."""
    finite = branch.beta[np.isfinite(branch.beta)]
    betas = np.geomspace(finite.min(), finite.max(), CENTRAL)
    central = central_curve(stored, betas, similarity)
    coexist = np.full(branch.beta.shape[1], math.nan)
    for column in range(len(coexist)):
        beta, level, slope = (row[:, column] for row in branch[:3])
        # The part of the branch from the pattern to the fold is a minimum.
        stable = slice(0, int(np.argmin(beta)) + 1)
        coexist[column] = crossing(beta[stable], level[stable], slope[stable], betas, *central)
    return coexist


def central_curve(
    stored: Array, betas: np.ndarray, similarity: Similarity
) -> tuple[np.ndarray, np.ndarray]:
    """Return energies and their slopes of the states that the patterns' mean converges to."""
    backend = backend_of_input("stored", stored)
    xp = backend.xp
    mean = xp.mean(stored, axis=0, keepdims=True)
    states = xp.broadcast_to(mean, (len(betas), mean.shape[1]))
    each = array_like(betas, stored, backend)
    tol = tolerance(stored, backend, None)
    central = retrieve(states, stored, each, similarity=similarity, max_steps=2000, tol=tol)
    seen = describe_states(central.state, stored, each, similarity, with_radius=False)
    level, mixed = (to_host(x, backend) for x in (central.energy, seen.participation))
    return level, energy_slope(np.log(mixed), betas, stored.shape[0], similarity)


def crossing(
    beta: np.ndarray, level: np.ndarray, slope: np.ndarray,
    betas: np.ndarray, central: np.ndarray, slopes: np.ndarray,
) -> float:  # fmt: skip
    """Return the beta above which a branch lies below the central energy; nan if none."""
    known = np.isfinite(beta)
    beta, level, slope = beta[known], level[known], slope[known]
    if len(beta) < 2:
        return math.nan
    from scipy.interpolate import CubicHermiteSpline  # noqa: PLC0415  not for importing hopcore
    from scipy.optimize import brentq  # noqa: PLC0415

    other = CubicHermiteSpline(betas, central, slopes)
    above = level - other(beta)
    lower = np.nonzero(above < -1e-6 * np.abs(central).max())[0]
    higher = np.nonzero(above > 0.0)[0]
    if not len(lower):
        return math.nan
    if not len(higher) or higher[-1] < lower[0]:
        return float(beta[-1])
    last = higher[higher > lower[0]][0]
    pair = [last, last - 1]
    own = CubicHermiteSpline(beta[pair], level[pair], slope[pair])
    low, high = beta[pair]
    beta_at_crossing: Any = brentq(lambda b: own(b) - other(b), low, high, xtol=1e-14)
    return float(beta_at_crossing)
