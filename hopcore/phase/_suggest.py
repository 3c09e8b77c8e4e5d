r"""Which inverse temperature to take, and why.

The answer to a noisy copy of :math:`x_i` is right if the copy still scores higher with it than with
any other pattern, by a margin m: one update then errs by at most :math:`2 (N-1) M e^{-\beta m}`, as
in theorem 5 of Ramsauer et al. (2021).
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import numpy as np

from hopcore.arrays._backend import Array
from hopcore.arrays._validation import short_repr
from hopcore.memory._separation import Entmax, Separation, get_separation
from hopcore.phase._critical import variance
from hopcore.phase._error_bound import retrieval_error_bound, separations
from hopcore.phase._hypotheses import memory, patterns_of
from hopcore.phase._progress import Track, silent
from hopcore.phase._rows import spaced
from hopcore.phase._sweep import sweep

Goal = Literal["retrieve", "metastable", "average"]

SAMPLE = 4096
"""So many patterns, evenly spaced, are compared with all others."""

SWEPT, BETAS = 1024, 48
"""So many patterns are followed through so many inverse temperatures."""

PRECISION = 0.01
"""The error of one update that is allowed, in units of M."""


class Suggestion(NamedTuple):
    r"""An inverse temperature and the numbers behind it.

    Attributes
    ----------
    beta : float
        Positive and finite. Patterns scaled by c get this divided by c^2.
    goal : str
        What it is for.
    reason : str
        One sentence.
    margin : float
        By how much queries score higher with their pattern than with any other; nan unless the
        goal is to retrieve.
    error : float
        The bound on the distance from a pattern after one update of a query with that margin,
        :math:`2 (N-1) M e^{-\beta m}` or less; nan unless the goal is to retrieve.
    bound : float
        The median over the patterns of :func:`hopcore.phase.retrieval_error_bound` for queries at the
        distance that the noise has; the trivial 2 M where that theorem says nothing.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.suggest_beta(np.eye(10), noise=0.1).reason
    'queries keep a margin of 0.859 (5 % quantile): one update errs by 0.01 M at most'
    """

    beta: float
    goal: str
    reason: str
    margin: float
    error: float
    bound: float


def suggest_beta(
    stored: Array,
    goal: Goal = "retrieve",
    *,
    noise: float | None = None,
    separation: Separation = "softmax",
    track: Track = silent,
) -> Suggestion:
    r"""An inverse temperature for a memory, from its patterns.

    ``"retrieve"``: the lowest at which noisy queries reach their pattern in one update, up to 1 %
    of M. Their margin is :math:`\Delta_i - \sigma \|x_i - x_j\|` with the nearest competitor j and
    the noise :math:`\sigma`, but a quarter of the separation :math:`\Delta_i` at least; half of it
    if the noise is not known. Of the patterns the 5 % quantile decides, lest the two most alike
    decide for all. ``"metastable"``: the one with the most states that are means of several
    patterns, found by a sweep. ``"average"``: half of that up to which there is one state.

    Parameters
    ----------
    stored : array (N, d)
        Stored patterns. For ``"retrieve"`` one pattern will do.
    goal : {"retrieve", "metastable", "average"}
    noise : float, optional
        Standard deviation, per value, of what is added to a pattern to make a query; >= 0.
    separation : str or separation function
        The one that will be used; softmax unless the goal is to retrieve.
    track : callable
        ``track(parts, total)`` passes the parts of a sweep on and may show how far they are.

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
        An unknown goal; a noise that is negative; patterns as in :func:`hopcore.phase.minima`.

    Notes
    -----
    Patterns that are not their own best match (:math:`\Delta_i \le 0`: copies, or covered by a
    longer pattern) cannot be retrieved at any inverse temperature and do not count. An entmax is
    exact once :math:`\beta m \ge 1/(\alpha - 1)`.

    The suggestion is for retrieval to rest. Who makes one update and wants a state that is similar
    rather than a pattern takes :math:`1/\sigma^2`: of patterns of one length that is their
    posterior mean.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> found = hopcore.suggest_beta(np.eye(10))
    >>> round(found.beta, 2), round(found.error, 4)
    (14.99, 0.01)
    >>> hopcore.suggest_beta(np.eye(10), "average").reason
    'up to beta = 4.31 all patterns go to one state'
    """
    check_question(goal, noise)
    function = get_separation(separation)
    if goal == "retrieve":
        return for_retrieval(stored, noise, function)
    if not function.softmax:
        raise ValueError(f"{goal} states are those of the softmax, got {short_repr(separation)}")
    return by_sweep(stored, goal, track)


def check_question(goal: str, noise: float | None) -> None:
    """Refuse an unknown goal, and noise that is none."""
    if goal not in get_args(Goal):
        raise ValueError(f"goal must be one of {', '.join(get_args(Goal))}, got {short_repr(goal)}")
    if noise is not None and not 0.0 <= noise < math.inf:
        raise ValueError(f"noise must be >= 0 and finite, got {noise}")


def for_retrieval(stored: Array, noise: float | None, function: Separation) -> Suggestion:
    """The lowest beta at which nearly all patterns are retrieved in one update."""
    backend, wide = patterns_of(stored)
    count, depth = wide.shape
    gap, apart, largest = separations(wide, spaced(count, SAMPLE), backend)
    unit = math.sqrt(largest) or 1.0
    # Rounding makes a separation out of copies; it is none.
    own = gap > 16.0 * float(backend.xp.finfo(wide.dtype).eps) * largest
    gap, apart = gap[own], apart[own]
    lost = 1.0 - len(gap) / max(len(own), 1)
    margins = 0.5 * gap if noise is None else np.maximum(gap - noise * apart, 0.25 * gap)
    # A memory of one pattern, or of copies of one: every inverse temperature retrieves it.
    margin = float(np.quantile(margins, 0.05)) if len(gap) else 0.5 * (largest or 1.0)
    needed = math.log(2.0 * max(count - 1, 1) / PRECISION)
    error = PRECISION * unit
    reason = (
        f"queries keep a margin of {margin:.3g} (5 % quantile): "
        f"one update errs by {PRECISION:g} M at most"
    )
    if isinstance(function, Entmax):
        needed, error = 1.0 / (function.alpha - 1.0), 0.0
        reason = f"queries keep a margin of {margin:.3g} (5 % quantile): one update is exact"
    if noise is not None and len(gap):
        hidden = float(np.mean(gap <= noise * apart))
        if hidden > 0.5:
            reason += f"; noise of {noise:g} hides {hidden:.0%} of the patterns at any beta"
    if lost >= 0.005 and count > 1:
        reason += f"; {lost:.0%} of the patterns are copies or covered by longer ones"
    beta = needed / margin
    away = 0.0 if noise is None else noise * math.sqrt(depth)
    bound = [0.0]
    if np.any(own):
        rows = spaced(count, SWEPT)
        bound = retrieval_error_bound(wide, beta, radius=away, patterns=rows)
    return Suggestion(beta, "retrieve", reason, margin, error, float(np.median(bound)))


def by_sweep(stored: Array, goal: str, track: Track) -> Suggestion:
    """The beta of mixtures, or of one average, as a sweep from the patterns down sees them."""
    return overview(stored, track).suggested(goal)


def overview(stored: Array, track: Track = silent) -> Overview:
    """A memory through all inverse temperatures, as far as goals without queries need it."""
    backend, wide = memory(stored)
    count = wide.shape[0]
    # All of a small memory; of a large one fewer, so that it takes the same time.
    followed = count if count <= SWEPT else max(64, SWEPT * SWEPT // count)
    start = 1.0 / variance(np.asarray(backend.to_numpy(wide), np.float64))
    high = max(for_retrieval(wide, 0.0, get_separation("softmax")).beta, 2.0 * start)
    betas = np.geomspace(start / 8.0, high, BETAS)
    heated = sweep(wide, betas, patterns=followed, track=track).heated
    return Overview(betas, heated.minima, np.rint(heated.retrieved * followed).astype(int))


class Overview(NamedTuple):
    """How many minima a heated memory has at each inverse temperature, how many are patterns."""

    betas: np.ndarray
    minima: np.ndarray
    held: np.ndarray

    def suggested(self, goal: str) -> Suggestion:
        """The beta of mixtures, or of one average."""
        # One state that is a pattern, the longest, is no average.
        single = np.nonzero((self.minima == 1) & (self.held == 0))[0]
        one = float(self.betas[single[-1] if len(single) else 0])
        if goal == "average":
            reason = f"up to beta = {one:.3g} all patterns go to one state"
            return Suggestion(0.5 * one, goal, reason, math.nan, math.nan, math.nan)
        mixed = self.minima - self.held
        # The middle of those: at the hot end states have just parted, and are means of nearly all.
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
