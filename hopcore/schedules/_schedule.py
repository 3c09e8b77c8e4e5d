"""The base class of schedules, which give the temperature at every step of training.

A schedule is a frozen object that is called with a step, a Python integer or an array, which may be
traced. The kinds (:mod:`hopcore.schedules._kinds`) differ in the path from a start to an end. All
of them can wait first (``warmup``), stop on the way (``freeze_after``) and stay above a ``floor``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import backend_of_input, check_real
from hopcore.arrays._backend import Array
from hopcore.arrays._fields import check_types
from hopcore.arrays._scalar_checks import as_integer, check_integer, check_number, short_repr

KINDS: dict[str, type[Schedule]] = {}
"""The kinds of schedules by name; each class registers itself when it is defined."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A temperature for every step; the base of all schedules.

    Attributes
    ----------
    floor : float
        The lowest temperature.
    freeze_after : int, optional
        The step from which the temperature stays constant.
    warmup : int
        The number of steps at the first temperature before it changes.

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
        """Validate the settings."""
        check_number("floor", self.floor, 0.0)
        check_integer("freeze_after", self.freeze_after, 0, optional=True)
        check_integer("warmup", self.warmup, 0)
        self._check()
        start = float(self._after_warmup(np.float64(0.0), np))
        if start < self.floor:
            raise ValueError(
                f"a schedule must start at its floor or above, got {start:g} below {self.floor:g}"
            )

    def __init_subclass__(cls) -> None:
        """Register a class that has a name for :meth:`from_dict`."""
        if cls.__dict__.get("KIND"):
            KINDS[cls.KIND] = cls

    def __call__(self, step: int | Array) -> Any:
        """Return the temperature at a step.

        Parameters
        ----------
        step : int, or integer array of any shape
            >= 0, which is not checked for arrays. A schedule stays constant after its end.

        Returns
        -------
        float, or array
            An array of the same library and shape for an array; for integers in the library's
            default floating dtype.
        """
        if isinstance(step, int | np.integer):
            with np.errstate(under="ignore"):  # the temperature has a floor
                return float(self._temperature(np.float64(as_integer("step", step)), np))
        backend = backend_of_input("step", step)
        check_real("step", step)
        if step.dtype not in backend.precise:
            step = backend.astype(step, backend.xp.asarray(0.0).dtype)
        return self._temperature(step, backend.xp)

    def _temperature(self, step: Any, xp: Any) -> Any:
        last = math.inf if self.freeze_after is None else float(self.freeze_after)
        waited = xp.where(step < last, step, xp.full_like(step, last)) - float(self.warmup)
        temperature = self._after_warmup(xp.where(waited > 0.0, waited, xp.zeros_like(waited)), xp)
        # A temperature stays positive, even after a factor was applied a thousand times.
        floor = max(self.floor, float(xp.finfo(temperature.dtype).smallest_normal))
        return xp.where(temperature > floor, temperature, xp.full_like(temperature, floor))

    def _check(self) -> None:
        """Validate the fields of this kind."""
        raise NotImplementedError

    def _after_warmup(self, steps: Any, xp: Any) -> Any:
        """Return the temperature after steps since the warm-up, before the floor is applied."""
        raise NotImplementedError

    def then(self, other: Schedule, at: int) -> Joined:
        """Return a schedule that is this one up to the step ``at``, where ``other`` starts."""
        return Joined(self, other, at)

    def to_dict(self) -> dict[str, Any]:
        """Return the schedule as numbers, strings and mappings."""
        values: dict[str, Any] = {"schedule": self.KIND}
        for field in fields(self):
            value = getattr(self, field.name)
            values[field.name] = value.to_dict() if isinstance(value, Schedule) else value
        return values

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Schedule:
        """Return the schedule, of any kind, whose :meth:`to_dict` is the mapping."""
        if not isinstance(values, Mapping):
            raise TypeError(f"a schedule must be a mapping, got {short_repr(values)}")
        settings = dict(values)
        name = settings.pop("schedule", None)
        if not isinstance(name, str) or name not in KINDS:
            raise ValueError(
                f"unknown schedule {short_repr(name)}; known: {', '.join(sorted(KINDS))}"
            )
        kind = KINDS[name]
        unknown = sorted(set(settings) - {field.name for field in fields(kind)})
        if unknown:
            raise ValueError(f"a {kind.KIND} schedule has no {', '.join(unknown)}")
        for name, value in settings.items():
            if isinstance(value, Mapping):
                settings[name] = Schedule.from_dict(value)
        check_types(kind, settings)
        return kind(**settings)


@suggest_names
@dataclass(frozen=True)
class Joined(Schedule):
    """One schedule followed by another.

    Attributes
    ----------
    first : Schedule
    second : Schedule
        It begins with its own step 0.
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

    def _after_warmup(self, steps: Any, xp: Any) -> Any:
        later = xp.where(steps < self.at, xp.zeros_like(steps), steps - float(self.at))
        first, second = self.first._temperature(steps, xp), self.second._temperature(later, xp)
        return xp.where(steps < self.at, first, second)
