r"""A suggested inverse temperature for a memory, with its reason.

If a noisy copy of :math:`x_i` scores higher with it than with any other pattern, by a margin m,
then one update errs by at most :math:`2 (N-1) M e^{-\beta m}`, as in theorem 5 of Ramsauer et al.
(2021). With distances this holds for the distances' margin and for M, the largest distance from the
mean of the patterns.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._backend import Array, orders_of
from hopcore.arrays._library import QUIET, AnyArray
from hopcore.arrays._reprs import one_line
from hopcore.arrays._scalar_checks import as_number, short_repr
from hopcore.memory._compact import is_absolute
from hopcore.memory._entmax import Entmax
from hopcore.memory._k_subsets import KSubsets
from hopcore.memory._normmax import Normmax
from hopcore.memory._own_options import own_options
from hopcore.memory._scores import Similarity, check_similarity
from hopcore.memory._separation import Separation, get_separation
from hopcore.phase._critical import variance
from hopcore.phase._error_bound import retrieval_error_bound
from hopcore.phase._lost import separated, what_is_lost
from hopcore.phase._patterns import checked_memory, checked_patterns, spaced_rows, to_host
from hopcore.phase._progress import Track, silent
from hopcore.phase._sweep import sweep

Goal = Literal["retrieve", "metastable", "average"]

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
    similarity : str
        The one of the call, for which the inverse temperature is.
    lost : float
        The share of the patterns that cannot be retrieved at any inverse temperature; nan unless
        the goal is to retrieve. The reason names it, and says how many the distance would lose.

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
    similarity: str
    lost: float

    def __repr__(self) -> str:
        return one_line(self)


@suggest_names
@own_options
@QUIET
def suggest_beta(
    stored: AnyArray,
    goal: Goal = "retrieve",
    *,
    noise: float | None = None,
    separation: Separation = "softmax",
    similarity: Similarity = "dot",
    track: Track = silent,
) -> Suggestion:
    r"""Suggest an inverse temperature for a memory, from its patterns.

    ``"retrieve"``: the lowest one at which noisy queries reach their pattern in one update, up
    to 1 % of M. Their margin is :math:`\Delta_i - \sigma \|x_i - x_j\|` with the nearest
    competitor j and the noise :math:`\sigma`, and at least a quarter of the separation
    :math:`\Delta_i`; it is half of the separation if the noise is unknown. The separation is
    :math:`x_i \cdot x_i - \max_{j \ne i} x_i \cdot x_j` for dot products and
    :math:`\min_{j \ne i} \|x_i - x_j\|^2 / 2` for distances. The 5 % quantile of the
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
    similarity : {"dot", "distance"}
        The one that will be used, as in :func:`hopcore.association`. With distances, M is the
        largest distance of a pattern from the mean of all.
    track : callable
        ``track(parts, total)`` yields the parts of a sweep and may show the progress.

    Returns
    -------
    Suggestion

    Warns
    -----
    HypothesisWarning
        In a sweep: patterns coincide or, with dot products, have very different norms.

    Raises
    ------
    TypeError, ValueError
        The goal or the similarity is unknown, the noise is negative, or patterns as in
        :func:`hopcore.phase.minima`.

    Notes
    -----
    Patterns that are not their own best match (:math:`\Delta_i \le 0`: copies, or covered by a
    longer pattern) cannot be retrieved at any inverse temperature and do not count. With distances
    these are only the copies: if dot products lose more patterns than distances, the reason says
    so. Entmax is exact as soon as :math:`\beta m \ge 1/(\alpha - 1)`, normmax from 1 on.

    For a compact kernel, :math:`\beta = 2 / R^2` with a radius whose square lies between those of
    the distances of a query from its pattern and from all others,
    :math:`R^2 / 2 = \sigma^2 d / 2 + m`. Then one update is exact. Noise in many dimensions leaves
    little room between them, so that few queries are retrieved exactly.

    The suggestion is for retrieval until convergence. For one update that should return a similar
    state rather than a pattern, use :math:`1/\sigma^2`, which gives the posterior mean: with
    distances of any patterns, with dot products of patterns of equal norm.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> found = hopcore.suggest_beta(np.eye(10))
    >>> round(found.beta, 2), round(found.error, 4)
    (14.99, 0.01)
    >>> hopcore.suggest_beta(np.eye(10), "average").reason
    'up to beta = 4.31 all patterns go to one state'
    >>> covered = np.asarray([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0]])
    >>> hopcore.suggest_beta(covered).reason.split("; ")[1]
    "33% of the patterns are copies or covered by longer ones, and similarity='distance' loses none"
    >>> hopcore.suggest_beta(covered, similarity="distance").lost
    0.0
    """
    noise = check_question(goal, noise)
    check_similarity(similarity)
    function = get_separation(separation, similarity)
    if orders_of(function) is not None:
        raise ValueError("a suggestion needs a single number as alpha, got an array of alphas")
    if isinstance(function, KSubsets):
        raise ValueError(
            "a beta is suggested for the retrieval of one pattern, not of means of k patterns; "
            f"give a number as beta with {short_repr(function)}"
        )
    if goal == "retrieve":
        return for_retrieval(stored, noise, function, similarity)
    if not function.softmax:
        raise ValueError(f"{goal} states are those of the softmax, got {short_repr(separation)}")
    return by_sweep(stored, goal, similarity, track)


def check_question(goal: str, noise: float | None) -> float | None:
    """Return the noise as a float; raise unless the goal is known and the noise >= 0, finite."""
    if goal not in get_args(Goal):
        raise ValueError(f"goal must be one of {', '.join(get_args(Goal))}, got {short_repr(goal)}")
    return None if noise is None else as_number("noise", noise, 0.0)


def for_retrieval(
    stored: Array, noise: float | None, function: Separation, similarity: Similarity = "dot"
) -> Suggestion:
    """Return the lowest beta at which nearly all patterns are retrieved in one update."""
    backend, precise = checked_patterns(stored)
    count, depth = precise.shape
    gap, apart, largest, lost = separated(precise, similarity, backend)
    unit = math.sqrt(largest) or 1.0
    hidden_by = 0.0 if noise is None else min(noise, 1e100) * apart  # which does not overflow
    margins = 0.5 * gap if noise is None else np.maximum(gap - hidden_by, 0.25 * gap)
    # Every inverse temperature retrieves the pattern of a memory that has only one.
    margin = float(np.quantile(margins, 0.05)) if len(gap) else 0.5 * (largest or 1.0)
    compact = is_absolute(function)
    needed = math.log(2.0 * max(count - 1, 1) / PRECISION)
    error = PRECISION * unit
    reason = (
        f"queries keep a margin of {margin:.3g} (5% quantile): "
        f"one update errs by {PRECISION:g} M at most"
    )
    if isinstance(function, Entmax | Normmax):
        needed, error = function.reach, 0.0
        reason = f"queries keep a margin of {margin:.3g} (5% quantile): one update is exact"
    away = 0.0 if noise is None else min(noise, 1e100) * math.sqrt(depth)
    if compact:
        radius = math.hypot(away, math.sqrt(2.0 * margin))
        needed, error = 2.0 * margin / radius**2, 0.0
        reason = (
            f"queries keep a margin of {margin:.3g} (5% quantile) about the radius {radius:.3g}: "
            "one update is exact"
        )
    if noise is not None and len(gap):
        hidden = float(np.mean(gap <= hidden_by))
        if hidden > 0.5:
            reason += f"; noise of {noise:g} hides {hidden:.0%} of the patterns at any beta"
    reason += what_is_lost(lost, precise, similarity, backend)
    beta = needed / margin
    bound = [2.0 * unit if compact else 0.0]
    if len(gap) and not compact:
        rows = spaced_rows(count, SWEPT)
        bound = retrieval_error_bound(
            precise, beta, radius=away, patterns=rows, similarity=similarity
        )
    typical = float(np.median(bound))
    return Suggestion(beta, "retrieve", reason, margin, error, typical, similarity, lost)


def by_sweep(stored: Array, goal: str, similarity: Similarity, track: Track) -> Suggestion:
    """Return the beta of mixtures or of one average, from a sweep that heats the patterns."""
    return overview(stored, track, similarity).suggested(goal)


def overview(stored: Array, track: Track = silent, similarity: Similarity = "dot") -> Overview:
    """Sweep a memory through all inverse temperatures, for the goals that need no queries."""
    backend, precise = checked_memory(stored, similarity)
    count = precise.shape[0]
    # All patterns of a small memory; fewer of a large one, so that the time stays the same.
    followed = count if count <= SWEPT else max(64, SWEPT * SWEPT // count)
    start = 1.0 / variance(to_host(precise, backend))
    cold = for_retrieval(precise, 0.0, get_separation("softmax"), similarity).beta
    betas = np.geomspace(start / 8.0, max(cold, 2.0 * start), BETAS)
    heated = sweep(precise, betas, patterns=followed, similarity=similarity, track=track).heated
    held = np.rint(heated.retrieved * followed).astype(int)
    return Overview(betas, heated.minima, held, similarity)


class Overview(NamedTuple):
    """Numbers of minima of a heated memory at each inverse temperature; ``held`` are patterns."""

    betas: np.ndarray
    minima: np.ndarray
    held: np.ndarray
    similarity: Similarity

    def suggested(self, goal: str) -> Suggestion:
        """Return the beta of mixtures or of one average."""
        # A single state that is a pattern, the longest one, is not an average.
        single = np.nonzero((self.minima == 1) & (self.held == 0))[0]
        one = float(self.betas[single[-1] if len(single) else 0])
        if goal == "average":
            reason = f"up to beta = {one:.3g} all patterns go to one state"
            return self.suggestion(0.5 * one, goal, reason)
        mixed = self.minima - self.held
        # Take the middle one: at the hot end, states have just separated and average nearly all.
        most = np.nonzero(mixed == mixed.max())[0]
        best = int(most[len(most) // 2])
        if mixed[best] < 2:
            # Equidistant patterns have no metastable states (spec P3).
            held = np.nonzero(self.held > 0)[0]
            beta = math.sqrt(one * float(self.betas[held[0]])) if len(held) else one
            reason = "no temperature has metastable states; here patterns are about to appear"
            return self.suggestion(beta, goal, reason)
        reason = f"{mixed[best]} states are means of several patterns, more than at any other beta"
        return self.suggestion(float(self.betas[best]), goal, reason)

    def suggestion(self, beta: float, goal: str, reason: str) -> Suggestion:
        """Return a suggestion in which margin, error, bound and share lost are nan.

        These four numbers exist only for the goal ``"retrieve"``.
        """
        unknown = math.nan, math.nan, math.nan
        return Suggestion(beta, goal, reason, *unknown, self.similarity, math.nan)
