"""Samples of repeated measurements: quartiles, intervals of a mean, and how both are printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
"""The probability of the intervals."""


class Quartiles(NamedTuple):
    """The smallest value of a sample and its quartiles."""

    worst: float
    lower: float
    median: float
    upper: float


def quartiles(values: Sequence[float]) -> Quartiles:
    """Return the smallest value and the quartiles, interpolated linearly.

    Examples
    --------
    >>> from hopcore.experiments import samples
    >>> tuple(samples.quartiles([0.0, 0.5, 0.75, 1.0, 1.0]))
    (0.0, 0.5, 0.75, 1.0)
    """
    return Quartiles(*(float(one) for one in np.quantile(values, [0.0, 0.25, 0.5, 0.75])))


def interval(values: Sequence[float], folds: int = 1) -> tuple[float, float | None, float | None]:
    r"""Return the mean of paired differences and its 95 % confidence interval by Student's t.

    With J differences of deviation s, the interval is :math:`\pm t_{J-1} s \sqrt{1/J + r}`. If
    each seed draws its own bags, r is 0. The folds of a cross-validation share training bags, so
    that their differences depend on each other; there r is the number of test bags divided by that
    of training bags, ``1 / (folds - 1)`` (Nadeau and Bengio 2003).

    Parameters
    ----------
    values : sequence of float
    folds : int
        The number of folds of each seed; 1 if there is no cross-validation.

    Returns
    -------
    mean, low, high
        The limits are None if there is one value.

    Examples
    --------
    >>> from hopcore.experiments import samples
    >>> [round(one, 3) for one in samples.interval([0.1, 0.2, 0.3])]
    [0.2, -0.048, 0.448]
    >>> [round(one, 3) for one in samples.interval([0.1, 0.2, 0.3], folds=3)]
    [0.2, -0.193, 0.593]
    """
    from scipy.stats import t  # noqa: PLC0415  half a second that other calls save

    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return mean, None, None
    shared = 1.0 / (folds - 1) if folds > 1 else 0.0
    quantile = float(t.ppf(0.5 + 0.5 * CONFIDENCE, count - 1))
    half = quantile * float(np.std(values, ddof=1)) * (1.0 / count + shared) ** 0.5
    return mean, mean - half, mean + half


def in_hundredths(value: float, sign: str = "") -> str:
    """Return a share in percent with one decimal; what rounds to 0 has no sign."""
    rounded = round(100 * value, 1) + 0.0
    return f"{rounded:{sign if rounded else ''}.1f}"


def distribution(value: Quartiles) -> str:
    """Return the median and the quartiles around it."""
    lower, median, upper = (in_hundredths(one) for one in value[1:])
    return f"{median} ({lower}-{upper})"


def with_limits(mean: float, low: float | None, high: float | None) -> str:
    """Return a difference in percent points with the limits of its interval, if there are any."""
    if low is None or high is None:
        return in_hundredths(mean, "+")
    limits = in_hundredths(low, "+"), in_hundredths(high, "+")
    return f"{in_hundredths(mean, '+')} ({' to '.join(limits)})"
