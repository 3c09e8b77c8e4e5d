r"""A suggested inverse temperature for a memory, with its reason.

If a noisy copy of :math:`x_i` scores higher with it than with any other pattern, by a margin m,
then one update errs by at most :math:`2 (N-1) M e^{-\beta m}`, as in theorem 5 of Ramsauer et al.
(2021).
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._backend import Array, orders_of
from hopcore.arrays._library import QUIET, AnyArray
from hopcore.arrays._reprs import one_line
from hopcore.arrays._validation import as_number, short_repr
from hopcore.memory._entmax import Entmax
from hopcore.memory._k_subsets import KSubsets
from hopcore.memory._separation import Separation, get_separation
from hopcore.phase._critical import variance
from hopcore.phase._error_bound import retrieval_error_bound, separations
from hopcore.phase._patterns import checked_memory, checked_patterns, spaced_rows, to_host
from hopcore.phase._progress import Track, silent
from hopcore.phase._sweep import sweep

Goal = Literal["retrieve", "metastable", "average"]

SAMPLE = 4096
"""The number of patterns, evenly spaced, that are compared with all others."""

SWEPT, BETAS = 1024, 48
"""The numbers of patterns and of inverse temperatures in a sweep."""

PRECISION = 0.01
"""The largest error of one update, in units of M."""


class Suggestion(NamedTuple):
    r"""An inverse temperature and the numbers that support it.

    Attributes
    ----------
    beta : float
        Positive and finite. Patterns scaled by c get this divided by c^2.
    goal : str
        The purpose: to retrieve, metastable states or an average.
    reason : str
        One sentence.
    margin : float
        The margin by which queries score higher with their pattern than with any other; nan unless
        the goal is to retrieve.
    error : float
        The bound on the distance from a pattern after one update of a query with that margin,
        :math:`2 (N-1) M e^{-\beta m}` or less; nan unless the goal is to retrieve.
    bound : float
        The median of :func:`hopcore.phase.retrieval_error_bound` over the patterns, for queries at
        the distance of the noise; the trivial 2 M where that theorem does not apply.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.suggest_beta(np.eye(10), noise=0.1).reason
    'queries keep a margin of 0.859 (5% quantile): one update errs by 0.01 M at most'
    """

    beta: float
    goal: str
    reason: str
    margin: float
    error: float
    bound: float

    def __repr__(self) -> str:
        return one_line(self)


@suggest_names
@QUIET
def suggest_beta(
    stored: AnyArray,
    goal: Goal = "retrieve",
    *,
    noise: float | None = None,
    separation: Separation = "softmax",
    track: Track = silent,
) -> Suggestion:
    r"""Suggest an inverse temperature for a memory, from its patterns.

    ``"retrieve"``: the lowest one at which noisy queries reach their pattern in one update, up
    to 1 % of M. Their margin is :math:`\Delta_i - \sigma \|x_i - x_j\|` with the nearest
    competitor j and the noise :math:`\sigma`, and at least a quarter of the separation
    :math:`\Delta_i`; it is half of the separation if the noise is unknown. The 5 % quantile of the
    margins decides, so that the two most similar patterns do not decide for all.
    ``"metastable"``: the one with the most states that are means of several patterns, found by a
    sweep. ``"average"``: half of the largest one up to which there is only one state.

    Parameters
    ----------
    stored : array (N, d)
        Stored patterns. For ``"retrieve"`` one pattern will do.
    goal : {"retrieve", "metastable", "average"}
    noise : float, optional
        Standard deviation, per value, of the noise of queries, >= 0.
    separation : str or separation function
        The one that will be used; softmax unless the goal is to retrieve.
    track : callable
        ``track(parts, total)`` yields the parts of a sweep and may show the progress.

    Returns
    -------
    Suggestion

    Warns
    -----
    HypothesisWarning
        Patterns that coincide or have very different norms, of a sweep.

    Raises
    ------
    TypeError, ValueError
        The goal is unknown, the noise is negative, or patterns as in :func:`hopcore.phase.minima`.

    Notes
    -----
    Patterns that are not their own best match (:math:`\Delta_i \le 0`: copies, or covered by a
    longer pattern) cannot be retrieved at any inverse temperature and do not count. Entmax is
    exact as soon as :math:`\beta m \ge 1/(\alpha - 1)`.

    The suggestion is for retrieval until convergence. For one update that should return a similar
    state rather than a pattern, use :math:`1/\sigma^2`, which gives the posterior mean of patterns
    of equal norm.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> found = hopcore.suggest_beta(np.eye(10))
    >>> round(found.beta, 2), round(found.error, 4)
    (14.99, 0.01)
    >>> hopcore.suggest_beta(np.eye(10), "average").reason
    'up to beta = 4.31 all patterns go to one state'
    """
    noise = check_question(goal, noise)
    function = get_separation(separation)
    if orders_of(function) is not None:
        raise ValueError("a beta is suggested for one alpha, a number, got an array of them")
    if isinstance(function, KSubsets):
        raise ValueError(
            "a beta is suggested for the retrieval of one pattern, not of means of k patterns; "
            f"give a number as beta with {short_repr(function)}"
        )
    if goal == "retrieve":
        return for_retrieval(stored, noise, function)
    if not function.softmax:
        raise ValueError(f"{goal} states are those of the softmax, got {short_repr(separation)}")
    return by_sweep(stored, goal, track)


def check_question(goal: str, noise: float | None) -> float | None:
    """Return the noise as a float; raise unless the goal is known and the noise >= 0, finite."""
    if goal not in get_args(Goal):
        raise ValueError(f"goal must be one of {', '.join(get_args(Goal))}, got {short_repr(goal)}")
    return None if noise is None else as_number("noise", noise, 0.0)


def for_retrieval(stored: Array, noise: float | None, function: Separation) -> Suggestion:
    """Return the lowest beta at which nearly all patterns are retrieved in one update."""
    backend, precise = checked_patterns(stored)
    count, depth = precise.shape
    gap, apart, largest = separations(precise, spaced_rows(count, SAMPLE), backend)
    unit = math.sqrt(largest) or 1.0
    # Rounding gives copies a small separation, which does not count.
    retrievable = gap > 16.0 * float(backend.xp.finfo(precise.dtype).eps) * largest
    gap, apart = gap[retrievable], apart[retrievable]
    lost = 1.0 - len(gap) / max(len(retrievable), 1)
    hidden_by = 0.0 if noise is None else min(noise, 1e100) * apart  # which does not overflow
    margins = 0.5 * gap if noise is None else np.maximum(gap - hidden_by, 0.25 * gap)
    # Every inverse temperature retrieves the pattern of a memory that has only one.
    margin = float(np.quantile(margins, 0.05)) if len(gap) else 0.5 * (largest or 1.0)
    needed = math.log(2.0 * max(count - 1, 1) / PRECISION)
    error = PRECISION * unit
    reason = (
        f"queries keep a margin of {margin:.3g} (5% quantile): "
        f"one update errs by {PRECISION:g} M at most"
    )
    if isinstance(function, Entmax):
        needed, error = 1.0 / (function.alpha - 1.0), 0.0
        reason = f"queries keep a margin of {margin:.3g} (5% quantile): one update is exact"
    if noise is not None and len(gap):
        hidden = float(np.mean(gap <= hidden_by))
        if hidden > 0.5:
            reason += f"; noise of {noise:g} hides {hidden:.0%} of the patterns at any beta"
    if lost >= 0.005 and count > 1:
        reason += f"; {lost:.0%} of the patterns are copies or covered by longer ones"
    beta = needed / margin
    away = 0.0 if noise is None else min(noise, 1e100) * math.sqrt(depth)
    bound = [0.0]
    if np.any(retrievable):
        rows = spaced_rows(count, SWEPT)
        bound = retrieval_error_bound(precise, beta, radius=away, patterns=rows)
    return Suggestion(beta, "retrieve", reason, margin, error, float(np.median(bound)))


def by_sweep(stored: Array, goal: str, track: Track) -> Suggestion:
    """Return the beta of mixtures or of one average, from a sweep that heats the patterns."""
    return overview(stored, track).suggested(goal)


def overview(stored: Array, track: Track = silent) -> Overview:
    """Sweep a memory through all inverse temperatures, for the goals that need no queries."""
    backend, precise = checked_memory(stored)
    count = precise.shape[0]
    # All patterns of a small memory; fewer of a large one, so that the time stays the same.
    followed = count if count <= SWEPT else max(64, SWEPT * SWEPT // count)
    start = 1.0 / variance(to_host(precise, backend))
    high = max(for_retrieval(precise, 0.0, get_separation("softmax")).beta, 2.0 * start)
    betas = np.geomspace(start / 8.0, high, BETAS)
    heated = sweep(precise, betas, patterns=followed, track=track).heated
    return Overview(betas, heated.minima, np.rint(heated.retrieved * followed).astype(int))


class Overview(NamedTuple):
    """Numbers of minima of a heated memory at each inverse temperature; ``held`` are patterns."""

    betas: np.ndarray
    minima: np.ndarray
    held: np.ndarray

    def suggested(self, goal: str) -> Suggestion:
        """Return the beta of mixtures or of one average."""
        # A single state that is a pattern, the longest one, is not an average.
        single = np.nonzero((self.minima == 1) & (self.held == 0))[0]
        one = float(self.betas[single[-1] if len(single) else 0])
        if goal == "average":
            reason = f"up to beta = {one:.3g} all patterns go to one state"
            return Suggestion(0.5 * one, goal, reason, math.nan, math.nan, math.nan)
        mixed = self.minima - self.held
        # Take the middle one: at the hot end, states have just separated and average nearly all.
        most = np.nonzero(mixed == mixed.max())[0]
        best = int(most[len(most) // 2])
        if mixed[best] < 2:
            # Equidistant patterns have no metastable states (spec P3).
            held = np.nonzero(self.held > 0)[0]
            beta = math.sqrt(one * float(self.betas[held[0]])) if len(held) else one
            reason = "no temperature has metastable states; here patterns are about to appear"
            return Suggestion(beta, goal, reason, math.nan, math.nan, math.nan)
        reason = f"{mixed[best]} states are means of several patterns, more than at any other beta"
        return Suggestion(float(self.betas[best]), goal, reason, math.nan, math.nan, math.nan)
