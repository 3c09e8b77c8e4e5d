r"""At which inverse temperatures a memory of any patterns changes, found by following its states.

The fixed point that belongs to a pattern is followed not in :math:`\beta`, in which it ends at a
fold, but in the weight of the pattern, in which it has none: a state with weight :math:`p_i` has
one :math:`\beta`, and the pattern's minimum appears where that is lowest.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from hopcore.arrays._backend import BLOCK, Array
from hopcore.arrays._inputs import backend_of_input
from hopcore.arrays._validation import check_integer
from hopcore.memory._retrieval import retrieve
from hopcore.phase._continuation import Curve, energy_slope, follow
from hopcore.phase._fixed_points import portrayed, tolerance
from hopcore.phase._hypotheses import memory
from hopcore.phase._progress import Track, silent
from hopcore.phase._rows import spaced

FOLLOWED = 1024
"""How many patterns are followed if not told; their quantiles speak for the others."""

CENTRAL = 96
"""At how many inverse temperatures the state of the mean is computed."""


class CriticalBetas(NamedTuple):
    r"""Inverse temperatures at which a memory changes, of n patterns that were followed.

    Attributes
    ----------
    pattern : integer NumPy array (n,)
        Which patterns.
    appear : NumPy array (n,)
        The lowest :math:`\beta` with a fixed point that holds 0.55 of its weight at the pattern,
        connected with the pattern. Below it the pattern is not retrieved, not even from
        itself. inf for a pattern that never is: a copy, or one that a longer one covers.
    coexist : NumPy array (n,)
        From where on that minimum lies below the state to which the mean of all patterns goes; nan
        where it never does, because the mean goes to this pattern itself.
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


def critical_betas(
    stored: Array, *, patterns: int | None = None, track: Track = silent
) -> CriticalBetas:
    r"""The critical inverse temperatures of a memory, pattern by pattern, by continuation.

    Parameters
    ----------
    stored : array (N, d)
        N >= 2 patterns.
    patterns : int, optional
        How many are followed, evenly spaced; 1024, or all where there are fewer, if not given.
    track : callable
        ``track(parts, total)`` passes the parts on and may show how far they are.

    Returns
    -------
    CriticalBetas

    Warns
    -----
    HypothesisWarning
        Patterns that coincide or have very different norms.

    Raises
    ------
    TypeError, ValueError
        Fewer than two patterns, or all alike; nan or inf; a dtype that is not real floating.

    Notes
    -----
    With N equidistant patterns they are those of :func:`hopcore.transition` over
    :func:`hopcore.phase.effective_scale`, to 1e-6. Where three or more patterns are close, a pattern's
    minimum may fade without a fold; it appears, by definition, where the weight passes 0.55: at
    one half it could not be told from a mixture of two. For N = 2, where minima part gradually,
    that is 0.3 % above the transition. Of the patterns of random memories one in a thousand has a
    fixed point below the beta at which it finds it from where it is, or is given up too early.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> angles = np.asarray([0.0, 0.3, 2.0, 4.0])
    >>> circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    >>> hopcore.critical_betas(circle).appear.round(2)
    array([44.93, 44.93,  2.78,  2.25])
    """
    backend, wide = memory(stored)
    # In units of the largest value, so that neither beta nor its products leave the dtype.
    unit = float(backend.xp.max(backend.xp.abs(wide)))
    wide, count = wide / unit, wide.shape[0]
    wanted = min(FOLLOWED, count) if patterns is None else patterns
    check_integer("patterns", wanted, 1)
    followed = spaced(count, wanted)
    parts = np.array_split(followed, math.ceil(len(followed) / max(1, BLOCK // count)))
    branches = [follow(wide, rows, backend) for rows in track(parts, len(parts))]
    branch = Curve(*(np.concatenate(column, axis=-1) for column in zip(*branches, strict=True)))
    appear = branch.appear
    coexist = coexistence(branch, wide) if np.isfinite(appear).any() else appear + math.nan
    centroid = 1.0 / variance(np.asarray(backend.to_numpy(wide), np.float64))
    return CriticalBetas(followed, appear / unit**2, coexist / unit**2, centroid / unit**2)


def variance(patterns: np.ndarray) -> float:
    """The largest eigenvalue of the covariance of patterns (N, d), all of weight 1/N."""
    centred = patterns - patterns.mean(axis=0)
    count, depth = centred.shape
    square = centred.T @ centred if depth <= count else centred @ centred.T
    return float(np.linalg.eigvalsh(square)[-1]) / count


def coexistence(branch: Curve, stored: Array) -> np.ndarray:
    """Where each branch has the energy of the state that the mean of all patterns goes to."""
    finite = branch.beta[np.isfinite(branch.beta)]
    betas = np.geomspace(finite.min(), finite.max(), CENTRAL)
    central = central_curve(stored, betas)
    found = np.full(branch.beta.shape[1], math.nan)
    for column in range(len(found)):
        beta, level, slope = (row[:, column] for row in branch[:3])
        # From the pattern down to the fold: the part of the branch that is a minimum.
        stable = slice(0, int(np.argmin(beta)) + 1)
        found[column] = crossing(beta[stable], level[stable], slope[stable], betas, *central)
    return found


def central_curve(stored: Array, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energies, and their slopes by beta, of the states to which the mean of all patterns goes."""
    backend = backend_of_input("stored", stored)
    xp = backend.xp
    mean = xp.mean(stored, axis=0, keepdims=True)
    states = xp.broadcast_to(mean, (len(betas), mean.shape[1]))
    each = backend.asarray(betas, device=backend.device(stored))
    each = backend.astype(each, stored.dtype)
    found = retrieve(states, stored, each, max_steps=2000, tol=tolerance(stored, backend, None))
    mixed = portrayed(found.state, stored, each, with_radius=False).participation
    level, mixed = (np.asarray(backend.to_numpy(x), np.float64) for x in (found.energy, mixed))
    return level, energy_slope(np.log(mixed), betas, stored.shape[0])


def crossing(
    beta: np.ndarray, level: np.ndarray, slope: np.ndarray,
    betas: np.ndarray, central: np.ndarray, slopes: np.ndarray,
) -> float:  # fmt: skip
    """From which beta on a branch lies below the central energy; nan if it never does."""
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
    found: Any = brentq(lambda b: own(b) - other(b), low, high, xtol=1e-14)
    return float(found)
