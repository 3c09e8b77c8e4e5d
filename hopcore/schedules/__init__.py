"""Temperatures during training: annealing schedules and learnable temperatures.

A :class:`Schedule` gives the temperature at every step. With :class:`LearnableTemperature` as its
``scaling``, a layer learns its temperature instead.
"""

from hopcore.schedules._kinds import (
    Constant,
    Cosine,
    Exponential,
    Geometric,
    Linear,
    compute_annealed_temperature,
)
from hopcore.schedules._learnable_temperature import (
    LearnableTemperature,
    inverse_softplus,
    learned_temperature,
    softplus,
    temperature_profile,
)
from hopcore.schedules._phase_aware import PhaseAware
from hopcore.schedules._schedule import Joined, Schedule

__all__ = [
    "Constant",
    "Cosine",
    "Exponential",
    "Geometric",
    "Joined",
    "LearnableTemperature",
    "Linear",
    "PhaseAware",
    "Schedule",
    "compute_annealed_temperature",
    "inverse_softplus",
    "learned_temperature",
    "softplus",
    "temperature_profile",
]
