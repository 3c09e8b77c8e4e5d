"""Schedules given by a formula: constant, linear, cosine, exponential and geometric."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._backend import Array
from hopcore.arrays._scalar_checks import check_integer, check_positive
from hopcore.schedules._schedule import Schedule


@suggest_names
@dataclass(frozen=True)
class Constant(Schedule):
    """A constant temperature.

    Attributes
    ----------
    value : float
        Positive.

    Examples
    --------
    >>> import hopcore
    >>> hopcore.Constant(0.5)(1000)
    0.5
    """

    KIND: ClassVar[str] = "constant"
    value: float

    def _check(self) -> None:
        check_positive("value", self.value)

    def _after_warmup(self, steps: Any, xp: Any) -> Any:
        return xp.full_like(steps, self.value)


@dataclass(frozen=True)
class Between(Schedule):
    """The base of schedules from a start to an end in a number of steps.

    Attributes
    ----------
    start : float
        A positive temperature.
    end : float
        A positive temperature.
    steps : int
        At least 1, after the warm-up.
    """

    start: float
    end: float
    steps: int

    def _check(self) -> None:
        check_positive("start", self.start)
        check_positive("end", self.end)
        check_integer("steps", self.steps, 1)

    def _after_warmup(self, steps: Any, xp: Any) -> Any:
        going = steps < float(self.steps)
        done = xp.where(going, steps / float(self.steps), xp.ones_like(steps))
        # The end is exact, free of rounding. The condition compares steps: compilers may divide by
        # multiplication, and 49 * (1 / 49) is below 1.
        return xp.where(going, self._interpolate(done, xp), xp.full_like(done, self.end))

    def _interpolate(self, done: Any, xp: Any) -> Any:
        """Return the temperature after a share of the steps, in [0, 1]."""
        raise NotImplementedError


@suggest_names
@dataclass(frozen=True)
class Linear(Between):
    r"""The same change at every step, :math:`T = a + (b-a)\,t`.

    Attributes
    ----------
    start : float
        a, positive.
    end : float
        b, positive.
    steps : int
        The number of steps from one to the other.

    Examples
    --------
    >>> import hopcore
    >>> [round(hopcore.Linear(0.1, 0.001, steps=1000)(n), 5) for n in (0, 250, 500, 750, 1000)]
    [0.1, 0.07525, 0.0505, 0.02575, 0.001]
    """

    KIND: ClassVar[str] = "linear"

    def _interpolate(self, done: Any, xp: Any) -> Any:
        return self.start + (self.end - self.start) * done


@suggest_names
@dataclass(frozen=True)
class Cosine(Between):
    r"""Slow, fast, slow, :math:`T = b + (a-b)\,(1 + \cos \pi t)/2`.

    Attributes
    ----------
    start : float
        a, positive.
    end : float
        b, positive.
    steps : int
        The number of steps from one to the other.

    Examples
    --------
    >>> import hopcore
    >>> [round(hopcore.Cosine(0.1, 0.001, steps=1000)(n), 4) for n in (0, 250, 500, 750, 1000)]
    [0.1, 0.0855, 0.0505, 0.0155, 0.001]
    """

    KIND: ClassVar[str] = "cosine"

    def _interpolate(self, done: Any, xp: Any) -> Any:
        return self.end + (self.start - self.end) * (1.0 + xp.cos(math.pi * done)) / 2.0


@suggest_names
@dataclass(frozen=True)
class Exponential(Between):
    r"""The same factor at every step, :math:`T = a\,e^{t \ln(b/a)}`.

    Attributes
    ----------
    start : float
        a, positive.
    end : float
        b, positive.
    steps : int
        The number of steps from one to the other.

    Examples
    --------
    >>> import hopcore
    >>> [round(hopcore.Exponential(0.1, 0.001, steps=1000)(n), 4) for n in (0, 250, 500, 750, 1000)]
    [0.1, 0.0316, 0.01, 0.0032, 0.001]
    """

    KIND: ClassVar[str] = "exponential"

    def _interpolate(self, done: Any, xp: Any) -> Any:
        return self.start * xp.exp((math.log(self.end) - math.log(self.start)) * done)


@suggest_names
@dataclass(frozen=True)
class Geometric(Schedule):
    r"""The same factor after every m steps, :math:`T = a \gamma^{\lfloor n / m \rfloor}`.

    Attributes
    ----------
    start : float
        a, positive.
    factor : float
        gamma, in (0, 1].
    every : int
        m, for example the number of steps in an epoch.

    Examples
    --------
    >>> import hopcore
    >>> schedule = hopcore.Geometric(1.0, 0.5, every=10, floor=0.2)
    >>> [schedule(n) for n in (0, 9, 10, 29, 30)]
    [1.0, 1.0, 0.5, 0.25, 0.2]
    """

    KIND: ClassVar[str] = "geometric"
    start: float
    factor: float
    every: int = 1

    def _check(self) -> None:
        check_positive("start", self.start)
        check_positive("factor", self.factor)
        if self.factor > 1.0:
            raise ValueError(f"factor must be in (0, 1], or temperatures grow, got {self.factor}")
        check_integer("every", self.every, 1)

    def _after_warmup(self, steps: Any, xp: Any) -> Any:
        # The floor of a quotient would not do: compilers may round it to below an integer.
        times = xp.floor_divide(steps, xp.full_like(steps, float(self.every)))
        return self.start * xp.exp(math.log(self.factor) * times)


Annealing: TypeAlias = Literal["linear", "cosine", "exponential"]
"""The names of the schedules from a start to an end."""

ANNEALING: dict[str, type[Between]] = {kind.KIND: kind for kind in (Linear, Cosine, Exponential)}
"""The schedules that are defined by a start, an end and a number of steps."""


@suggest_names
def compute_annealed_temperature(
    step: int | Array,
    total_steps: int,
    temp_start: float,
    temp_end: float,
    schedule: Annealing = "linear",
) -> Any:
    """Return the temperature at a step of annealing from a start to an end.

    Parameters
    ----------
    step : int, or integer array
        >= 0; the temperature stays at its end after ``total_steps``.
    total_steps : int
        At least 1.
    temp_start, temp_end : float
        Positive.
    schedule : {"linear", "cosine", "exponential"}

    Returns
    -------
    float, or array

    Raises
    ------
    TypeError, ValueError
        Temperatures are not positive, there are no steps, or the schedule is unknown.

    Examples
    --------
    >>> import hopcore
    >>> hopcore.schedules.compute_annealed_temperature(500, 1000, 0.1, 0.001, schedule="cosine")
    0.0505
    """
    if schedule not in ANNEALING:
        raise ValueError(f"unknown schedule {schedule!r}; known: {', '.join(ANNEALING)}")
    return ANNEALING[schedule](temp_start, temp_end, total_steps)(step)
