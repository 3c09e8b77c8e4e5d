"""What a schedule is: the temperature at every step of a training; and one after another.

A schedule is a frozen object and a function of the step, a Python integer or an array that may be
traced. The kinds differ in the way from a start to an end (:mod:`hopcore.schedules._kinds`); all of
them can wait first (``warmup``), stop on the way (``freeze_after``), and stay above a ``floor``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from hopcore.arrays._backend import Array
from hopcore.arrays._inputs import backend_of_input
from hopcore.arrays._validation import check_integer, check_number

KINDS: dict[str, type[Schedule]] = {}
"""The kinds of schedules by their names; each enters its own when it is defined."""


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
        check_number("floor", self.floor, 0.0)
        check_integer("freeze_after", self.freeze_after, 0, optional=True)
        check_integer("warmup", self.warmup, 0)
        self._check()
        start = float(self._after(np.float64(0.0), np))
        if start < self.floor:
            raise ValueError(
                f"a schedule must start at its floor or above, got {start:g} below {self.floor:g}"
            )

    def __init_subclass__(cls) -> None:
        """A class with a name of its own is a kind that :meth:`from_dict` knows."""
        if cls.__dict__.get("KIND"):
            KINDS[cls.KIND] = cls

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
        name = given.pop("schedule", None)
        if name not in KINDS:
            raise ValueError(f"unknown schedule {name!r}; known: {', '.join(sorted(KINDS))}")
        kind = KINDS[name]
        unknown = sorted(set(given) - {field.name for field in fields(kind)})
        if unknown:
            raise ValueError(f"a {kind.KIND} schedule has no {', '.join(unknown)}")
        for name, value in given.items():
            if isinstance(value, Mapping):
                given[name] = Schedule.from_dict(value)
        return kind(**given)


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
        check_integer("at", self.at, 0)

    def _after(self, steps: Any, xp: Any) -> Any:
        later = xp.where(steps < self.at, xp.zeros_like(steps), steps - float(self.at))
        return xp.where(steps < self.at, self.first._at(steps, xp), self.second._at(later, xp))
