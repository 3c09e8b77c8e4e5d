"""The settings of a training: epochs, learning rate, and the schedule of the temperature."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Self

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._fields import check_types, known_fields
from hopcore.arrays._scalar_checks import (
    MOST_SEED,
    check_bool,
    check_integer,
    check_number,
    check_positive,
    short_repr,
)
from hopcore.schedules._kinds import ANNEALING, Constant, Geometric
from hopcore.schedules._phase_aware import PhaseAware
from hopcore.schedules._schedule import Schedule

SCHEDULES = ("constant", "geometric", "phase-aware", *ANNEALING)
"""The names of the schedules of the temperature."""

RATES = "constant", "cosine", "temperature"
"""How the learning rate changes: constant, along a cosine to 0, or with the temperature."""

PATHS = "soft", "hard"
"""The paths: average the stored patterns, or choose one of them."""


@suggest_names
@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The settings of a training; immutable, checked, serialisable.

    Attributes
    ----------
    epochs : int
    batch_size : int
    learning_rate : float
        The learning rate of AdamW.
    weight_decay : float
        The weight decay of AdamW.
    rate : str
        How the learning rate changes: one of ``RATES``.
    clip_norm : float, optional
        The norm to which gradients are clipped. At a low temperature, a few batches have very large
        gradients.
    temp_start : float, optional
        The temperature at the first step; None turns annealing off: the model keeps the
        temperature of its own settings, except for those in ``schedules``.
    temp_end : float
        The temperature at the end of the annealing.
    temp_anneal_steps : int, optional
        The number of steps of the annealing; the default is all steps of the training.
    schedule : str
        ``"constant"`` (``temp_start``), ``"linear"``, ``"cosine"``, ``"exponential"``,
        ``"geometric"`` (``temp_start`` times ``factor`` after every epoch), or ``"phase-aware"``
        (:class:`hopcore.PhaseAware` of the memory at the start of each epoch; the temperature never
        rises).
    factor : float
        The factor of the geometric schedule.
    floor : float
        The lowest temperature.
    warmup : int
        The number of epochs at ``temp_start`` before the annealing, which is shorter by them.
    freeze_after : int, optional
        The number of epochs after which the temperature stays constant.
    path : str
        The path whose loss is minimised: ``"soft"``, or ``"hard"`` with the straight-through
        gradient.
    gumbel : bool
        Whether to add Gumbel noise to the scores during training.
    select : str
        The path whose accuracy decides which epoch is the best.
    seed : int
        Seeds the initial parameters, the order of the batches, the dropout and the noise.
    schedules : mapping of str to Schedule
        Other schedules for some temperatures by name, as functions of the step.

    Raises
    ------
    TypeError, ValueError
        A setting is not valid.

    Examples
    --------
    >>> from hopcore.training import TrainConfig
    >>> config = TrainConfig(epochs=4, schedule="cosine")
    >>> schedule = config.schedule_of(steps=100)
    >>> schedule(0), schedule(400)
    (0.1, 0.001)
    """

    epochs: int = 40
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    rate: str = "cosine"
    clip_norm: float | None = 1.0
    temp_start: float | None = 0.1
    temp_end: float = 1e-3
    temp_anneal_steps: int | None = None
    schedule: str = "linear"
    factor: float = 0.97
    floor: float = 0.0
    warmup: int = 0
    freeze_after: int | None = None
    path: str = "soft"
    gumbel: bool = False
    select: str = "hard"
    seed: int = 0
    schedules: Mapping[str, Schedule] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        """Validate the settings."""
        for name in ("epochs", "batch_size"):
            check_integer(name, getattr(self, name), 1)
        check_integer("seed", self.seed, 0, MOST_SEED)
        check_integer("warmup", self.warmup, 0)
        check_integer("freeze_after", self.freeze_after, 0, optional=True)
        check_integer("temp_anneal_steps", self.temp_anneal_steps, 1, optional=True)
        for name in ("learning_rate", "weight_decay", "floor"):
            check_number(name, getattr(self, name), 0.0)
        for name in ("temp_end", "factor"):
            check_positive(name, getattr(self, name))
        if self.factor > 1.0:
            raise ValueError(f"factor must be in (0, 1], got {self.factor}")
        if self.clip_norm is not None:
            check_positive("clip_norm", self.clip_norm)
        self._check_start()
        if self.warmup >= self.epochs:
            raise ValueError(f"warmup must end before {self.epochs} epochs, got {self.warmup}")
        check_bool("gumbel", self.gumbel)
        known = {"schedule": SCHEDULES, "rate": RATES, "path": PATHS, "select": PATHS}
        for name, values in known.items():
            one = getattr(self, name)
            if not isinstance(one, str) or one not in values:
                raise ValueError(f"unknown {name} {short_repr(one)}; known: {', '.join(values)}")
        if not isinstance(self.schedules, Mapping):
            got = short_repr(self.schedules)
            raise TypeError(f"schedules must be a mapping of names to schedules, got {got}")
        for name, one in self.schedules.items():
            if not isinstance(one, Schedule):
                raise TypeError(
                    f"the schedule of {name} in schedules must be a Schedule, got {short_repr(one)}"
                )
        object.__setattr__(self, "schedules", MappingProxyType(dict(self.schedules)))

    def _check_start(self) -> None:
        """Check the first temperature, if there is one."""
        if self.temp_start is None:
            if self.rate == "temperature":
                raise ValueError("rate 'temperature' needs a temp_start, got None")
            return
        check_positive("temp_start", self.temp_start)
        if self.temp_start < self.floor:
            raise ValueError(
                f"temp_start must not be below the floor, got {self.temp_start:g} and "
                f"{self.floor:g}"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        """Give pickles and copies a plain mapping, since a read-only one cannot be pickled."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return partial(TrainConfig, **values | {"schedules": dict(self.schedules)}), ()

    def schedule_of(self, steps: int, memory: tuple[float, int] | None = None) -> Schedule:
        """Return the schedule of the temperature.

        Parameters
        ----------
        steps : int
            The number of steps in an epoch.
        memory : tuple of float and int, optional
            Scale and number of patterns (:func:`hopcore.layers.effective_memory`), for
            ``"phase-aware"``.

        Raises
        ------
        ValueError
            The annealing is off or longer than the training, or a memory is needed and not given.
        """
        if self.temp_start is None:
            raise ValueError("no temperature is annealed: temp_start is None")
        waits = self.warmup * steps
        left = self.epochs * steps - waits
        anneal = left if self.temp_anneal_steps is None else self.temp_anneal_steps
        if anneal > left:
            raise ValueError(
                f"temp_anneal_steps must be within the {left} steps of the training after its "
                f"warmup, got {anneal}"
            )
        freeze = None if self.freeze_after is None else self.freeze_after * steps
        limits: dict[str, Any] = {"floor": self.floor, "freeze_after": freeze, "warmup": waits}
        if self.schedule == "constant":
            return Constant(self.temp_start, **limits)
        if self.schedule == "geometric":
            return Geometric(self.temp_start, self.factor, steps, **limits)
        if self.schedule == "phase-aware":
            if memory is None:
                raise ValueError("a phase-aware schedule needs a model with a memory: hnm")
            return PhaseAware.of_memory(*memory, self.temp_start, self.temp_end, anneal, **limits)
        return ANNEALING[self.schedule](self.temp_start, self.temp_end, anneal, **limits)

    def rate_at(self, step: int, steps: int, temperature: float) -> float:
        """Return the factor of the learning rate at a step, given all steps and the temperature."""
        if self.rate == "cosine":
            return (1.0 + math.cos(math.pi * step / steps)) / 2.0
        if self.rate == "temperature" and self.temp_start is not None:
            return temperature / self.temp_start
        return 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as numbers, strings and mappings."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return plain | {"schedules": {k: one.to_dict() for k, one in self.schedules.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return settings from a mapping; missing fields keep their default."""
        given = known_fields(cls, values)
        own = given.get("schedules", {})
        if isinstance(own, Mapping):
            given["schedules"] = {name: Schedule.from_dict(one) for name, one in own.items()}
        check_types(cls, given)
        return cls(**given)
