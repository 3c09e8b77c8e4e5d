r"""Annealing schedules: the temperature at every step of a training.

A schedule is a frozen object and a function of the step, a Python integer or an array that may be
traced. The kinds differ in the way from a start to an end; all of them can wait first (``warmup``),
stop on the way (``freeze_after``), and stay above a ``floor``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np

from hopcore.arrays import backend_of_input
from hopcore.backend import Array
from hopcore.phase import effective_scale, transition
from hopcore.setting_checks import number, positive, whole


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A temperature for every step; the base of all schedules.

    Attributes
    ----------
    floor : float
        The temperature is never below it.
    freeze_after : int, optional
        From this step on the temperature stays what it is there.
    warmup : int
        So many steps the temperature stays at its start before it changes.

    Examples
    --------
    >>> from hopcore import Linear
    >>> schedule = Linear(1.0, 0.0625, steps=10, floor=0.25, warmup=5)
    >>> schedule(0), schedule(5), schedule(100)
    (1.0, 1.0, 0.25)
    """

    KIND: ClassVar[str] = ""
    floor: float = 0.0
    freeze_after: int | None = None
    warmup: int = 0

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        number("floor", self.floor, 0.0)
        whole("freeze_after", self.freeze_after, 0, optional=True)
        whole("warmup", self.warmup, 0)
        self._check()
        start = float(self._after(np.float64(0.0), np))
        if start < self.floor:
            raise ValueError(
                f"a schedule must start at its floor or above, got {start:g} below {self.floor:g}"
            )

    def __call__(self, step: int | Array) -> Any:
        """The temperature at a step.

        Parameters
        ----------
        step : int, or integer array of any shape
            >= 0, which is not checked of arrays. Beyond its end a schedule stays what it was there.

        Returns
        -------
        float, or array
            For an array one of the same library and shape; of integers in the library's default
            floating dtype.
        """
        if isinstance(step, int | np.integer):
            if step < 0:
                raise ValueError(f"step must be >= 0, got {step}")
            return float(self._at(np.float64(step), np))
        backend = backend_of_input("step", step)
        if step.dtype not in backend.precise:
            step = backend.astype(step, backend.xp.asarray(0.0).dtype)
        return self._at(step, backend.xp)

    def _at(self, step: Any, xp: Any) -> Any:
        last = math.inf if self.freeze_after is None else float(self.freeze_after)
        waited = xp.where(step < last, step, xp.full_like(step, last)) - float(self.warmup)
        found = self._after(xp.where(waited > 0.0, waited, xp.zeros_like(waited)), xp)
        # A temperature stays positive, also where a factor was applied a thousand times.
        least = max(self.floor, float(xp.finfo(found.dtype).smallest_normal))
        return xp.where(found > least, found, xp.full_like(found, least))

    def _check(self) -> None:
        """Refuse fields of this kind that make no sense."""
        raise NotImplementedError

    def _after(self, steps: Any, xp: Any) -> Any:
        """The temperature so many steps after the warm-up, whatever the floor."""
        raise NotImplementedError

    def then(self, other: Schedule, at: int) -> Joined:
        """The schedule before the step ``at``; from then on another, from its own step 0."""
        return Joined(self, other, at)

    def to_dict(self) -> dict[str, Any]:
        """The schedule as numbers, strings and mappings."""
        found: dict[str, Any] = {"schedule": self.KIND}
        for field in fields(self):
            value = getattr(self, field.name)
            found[field.name] = value.to_dict() if isinstance(value, Schedule) else value
        return found

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Schedule:
        """The schedule of a mapping that :meth:`to_dict` made, of whichever kind it is."""
        given = dict(values)
        kind = schedule_kind(given.pop("schedule", None))
        unknown = sorted(set(given) - {field.name for field in fields(kind)})
        if unknown:
            raise ValueError(f"a {kind.KIND} schedule has no {', '.join(unknown)}")
        for name, value in given.items():
            if isinstance(value, Mapping):
                given[name] = Schedule.from_dict(value)
        return kind(**given)


@dataclass(frozen=True)
class Constant(Schedule):
    """One temperature.

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
        positive("value", self.value)

    def _after(self, steps: Any, xp: Any) -> Any:
        return xp.full_like(steps, self.value)


@dataclass(frozen=True)
class Between(Schedule):
    """Schedules that go from a start to an end in a number of steps.

    Attributes
    ----------
    start : float
        A positive temperature.
    end : float
        Another.
    steps : int
        At least 1, after the warm-up.
    """

    start: float
    end: float
    steps: int

    def _check(self) -> None:
        positive("start", self.start)
        positive("end", self.end)
        whole("steps", self.steps, 1)

    def _after(self, steps: Any, xp: Any) -> Any:
        going = steps < float(self.steps)
        done = xp.where(going, steps / float(self.steps), xp.ones_like(steps))
        # The end itself, and not what rounding makes of it; asked of the steps, since compilers
        # divide by multiplying, and 49 * (1 / 49) is below 1.
        return xp.where(going, self._share(done, xp), xp.full_like(done, self.end))

    def _share(self, done: Any, xp: Any) -> Any:
        """The temperature when a share of the steps, in [0, 1], is done."""
        raise NotImplementedError


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
        In which it goes from one to the other.

    Examples
    --------
    >>> import hopcore
    >>> [round(hopcore.Linear(0.1, 0.001, steps=1000)(n), 5) for n in (0, 250, 500, 750, 1000)]
    [0.1, 0.07525, 0.0505, 0.02575, 0.001]
    """

    KIND: ClassVar[str] = "linear"

    def _share(self, done: Any, xp: Any) -> Any:
        return self.start + (self.end - self.start) * done


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
        In which it goes from one to the other.

    Examples
    --------
    >>> import hopcore
    >>> [round(hopcore.Cosine(0.1, 0.001, steps=1000)(n), 4) for n in (0, 250, 500, 750, 1000)]
    [0.1, 0.0855, 0.0505, 0.0155, 0.001]
    """

    KIND: ClassVar[str] = "cosine"

    def _share(self, done: Any, xp: Any) -> Any:
        return self.end + (self.start - self.end) * (1.0 + xp.cos(math.pi * done)) / 2.0


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
        In which it goes from one to the other.

    Examples
    --------
    >>> import hopcore
    >>> [round(hopcore.Exponential(0.1, 0.001, steps=1000)(n), 4) for n in (0, 250, 500, 750, 1000)]
    [0.1, 0.0316, 0.01, 0.0032, 0.001]
    """

    KIND: ClassVar[str] = "exponential"

    def _share(self, done: Any, xp: Any) -> Any:
        return self.start * xp.exp((math.log(self.end) - math.log(self.start)) * done)


@dataclass(frozen=True)
class Geometric(Schedule):
    r"""A factor for every so many steps, :math:`T = a \gamma^{\lfloor n / m \rfloor}`.

    Attributes
    ----------
    start : float
        a, positive.
    factor : float
        gamma, in (0, 1].
    every : int
        m, for example the steps of an epoch.

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
        positive("start", self.start)
        positive("factor", self.factor)
        if self.factor > 1.0:
            raise ValueError(f"factor must be in (0, 1]: it is applied for ever, got {self.factor}")
        whole("every", self.every, 1)

    def _after(self, steps: Any, xp: Any) -> Any:
        # Not the floor of a quotient, which compilers may round to below a whole number.
        times = xp.floor_divide(steps, xp.full_like(steps, float(self.every)))
        return self.start * xp.exp(math.log(self.factor) * times)


@dataclass(frozen=True)
class PhaseAware(Between):
    r"""Slow where a memory passes its phase transition, by the same factor at each step elsewhere.

    :math:`\ln T` is piecewise linear in t: a ``share`` of the steps, or more where the way is
    longer, is spent between the temperatures ``hot`` and ``cold`` of the transition, the others in
    proportion outside of them.

    Attributes
    ----------
    start : float
        A positive temperature.
    end : float
        Another.
    steps : int
        In which it goes from one to the other.
    hot : float
        Below it the memory has minima at its patterns.
    cold : float
        Above it the memory has one at the centroid.
    share : float
        In (0, 1).

    Examples
    --------
    >>> import hopcore
    >>> schedule = hopcore.PhaseAware(1.0, 0.01, steps=100, hot=0.2, cold=0.1, share=0.8)
    >>> inside = [n for n in range(101) if 0.1 <= schedule(n) <= 0.2]
    >>> len(inside)
    80
    """

    KIND: ClassVar[str] = "phase-aware"
    hot: float
    cold: float
    share: float = 0.5

    def _check(self) -> None:
        super()._check()
        positive("cold", self.cold)
        number("hot", self.hot, self.cold)
        positive("share", self.share)
        if self.share >= 1.0:
            raise ValueError(f"share must be in (0, 1), got {self.share}")

    @classmethod
    def of_patterns(
        cls, stored: Array, start: float, end: float, steps: int, **others: Any
    ) -> Self:
        r"""The schedule for stored patterns, as if they were equidistant.

        At :math:`T = s / b` with half the mean square distance s of the patterns the effective
        inverse temperature is b: ``hot`` is where the pattern minima appear, ``cold`` where the
        centroid loses its own (:func:`hopcore.transition`).

        Parameters
        ----------
        stored : array (N, d)
            N >= 2 patterns, in the space where they are scored, not all the same.
        start, end : float
        steps : int
        **others
            ``share``, ``floor``, ``freeze_after``, ``warmup``.

        Examples
        --------
        >>> import numpy as np, hopcore
        >>> schedule = hopcore.PhaseAware.of_patterns(np.eye(10), 1.0, 0.01, 100)
        >>> round(schedule.hot, 4), schedule.cold
        (0.2193, 0.1)
        """
        return cls.of_memory(effective_scale(stored), stored.shape[-2], start, end, steps, **others)

    @classmethod
    def of_memory(
        cls, scale: float, patterns: int, start: float, end: float, steps: int, **others: Any
    ) -> Self:
        """The schedule for a memory of which only the scale and the number of patterns are known.

        Parameters
        ----------
        scale : float
            The effective inverse temperature at temperature 1.
        patterns : int
            N >= 2.
        start, end, steps, **others
            As in :meth:`of_patterns`.
        """
        betas = transition(patterns)
        if scale <= 0.0:
            raise ValueError("the stored patterns are all the same: they have no transition")
        return cls(
            start, end, steps, hot=scale / betas.saddle_node, cold=scale / betas.spinodal, **others
        )

    def _share(self, done: Any, xp: Any) -> Any:
        times, logs = self._knots()
        found = xp.full_like(done, logs[0])
        for i in range(3):
            if times[i + 1] > times[i]:
                slope = (logs[i + 1] - logs[i]) / (times[i + 1] - times[i])
                found = xp.where(done < times[i], found, logs[i] + slope * (done - times[i]))
        return xp.exp(found)

    def _knots(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Where the logarithm of the temperature bends: shares of the steps, logarithms."""
        first, last = math.log(self.start), math.log(self.end)
        low, high = min(first, last), max(first, last)
        hot, cold = (min(max(math.log(x), low), high) for x in (self.hot, self.cold))
        near, far = (hot, cold) if first >= last else (cold, hot)
        before, inside, after = abs(near - first), abs(far - near), abs(last - far)
        whole_way, outside = before + inside + after, before + after
        if whole_way == 0.0:
            return (0.0, 1.0, 1.0, 1.0), (first,) * 4
        share = max(self.share, inside / whole_way) if inside > 0.0 else 0.0
        if outside == 0.0:
            return (0.0, 0.0, 1.0, 1.0), (first, near, far, last)
        begun = (1.0 - share) * before / outside
        return (0.0, begun, begun + share, 1.0), (first, near, far, last)


@dataclass(frozen=True)
class Joined(Schedule):
    """One schedule, then another.

    Attributes
    ----------
    first : Schedule
    second : Schedule
        Begins with its own step 0.
    at : int
        The step at which it begins.

    Examples
    --------
    >>> import hopcore
    >>> schedule = hopcore.Linear(1.0, 0.5, steps=4).then(hopcore.Constant(2.0), at=6)
    >>> [schedule(n) for n in (0, 4, 5, 6)]
    [1.0, 0.5, 0.5, 2.0]
    """

    KIND: ClassVar[str] = "joined"
    first: Schedule
    second: Schedule
    at: int

    def _check(self) -> None:
        for name in ("first", "second"):
            if not isinstance(value := getattr(self, name), Schedule):
                raise TypeError(f"{name} must be a schedule, got {type(value).__name__}")
        whole("at", self.at, 0)

    def _after(self, steps: Any, xp: Any) -> Any:
        later = xp.where(steps < self.at, xp.zeros_like(steps), steps - float(self.at))
        return xp.where(steps < self.at, self.first._at(steps, xp), self.second._at(later, xp))


KINDS: tuple[type[Schedule], ...] = (
    Constant,
    Linear,
    Cosine,
    Exponential,
    Geometric,
    PhaseAware,
    Joined,
)
ANNEALING: dict[str, type[Between]] = {kind.KIND: kind for kind in (Linear, Cosine, Exponential)}
"""The schedules that a start, an end and a number of steps define."""


def schedule_kind(name: Any) -> type[Schedule]:
    """The kind of schedule of a name, or a ValueError that lists them."""
    known = {kind.KIND: kind for kind in KINDS}
    if name not in known:
        raise ValueError(f"unknown schedule {name!r}; known: {', '.join(known)}")
    return known[name]


def compute_annealed_temperature(
    step: int | Array,
    total_steps: int,
    temp_start: float,
    temp_end: float,
    schedule: str = "linear",
) -> Any:
    """The temperature at a step of an annealing from a start to an end.

    Parameters
    ----------
    step : int, or integer array
        >= 0; beyond ``total_steps`` the temperature stays at its end.
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
        Temperatures that are not positive, no steps, an unknown schedule.

    Examples
    --------
    >>> import hopcore
    >>> hopcore.compute_annealed_temperature(500, 1000, 0.1, 0.001, schedule="cosine")
    0.0505
    """
    if schedule not in ANNEALING:
        raise ValueError(f"unknown schedule {schedule!r}; known: {', '.join(ANNEALING)}")
    return ANNEALING[schedule](temp_start, temp_end, total_steps)(step)
