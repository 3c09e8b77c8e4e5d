r"""Learnable temperatures: positive, and exact at the start of training.

:math:`T = \operatorname{softplus}(\theta) = \ln(1 + e^\theta)`, times a second
temperature that several layers may share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import backend_of_input
from hopcore.arrays._backend import Array
from hopcore.arrays._beta_checks import clip
from hopcore.arrays._fields import check_types, known_fields
from hopcore.arrays._scalar_checks import check_bool, check_integer, check_positive

Profile: TypeAlias = Literal["standard", "hot-to-cold", "throbbing", "hot-reasoner"]
PROFILES: tuple[Profile, ...] = get_args(Profile)
"""The names of the first temperatures of a stack of layers."""

LEAST, MOST = 1e-15, 1e15
"""The bounds of learned temperatures."""

MOST_HEADS = 1 << 16
"""The most heads that may each learn a temperature of their own."""

HOT, COLD = 2.0, 0.5
"""The factors of hot and cold layers or heads."""


@suggest_names
@dataclass(frozen=True, kw_only=True)
class LearnableTemperature:
    r"""A temperature of scores that is learned; the ``scaling`` of a Hopfield layer.

    Scores are divided by :math:`T = \operatorname{softplus}(\theta)`, which starts at exactly
    ``factor`` times the usual temperature :math:`\sqrt{d_k}`.

    Attributes
    ----------
    factor : float or tuple of float
        Positive. With a tuple, one for each head, each head learns its own temperature.
    per_head : bool
        Whether each head learns its own temperature, even if all start with the same.
    shared : bool
        Whether to multiply by a second temperature, which starts at 1 and which layers may share.

    Raises
    ------
    TypeError, ValueError
        A factor is not positive.

    Notes
    -----
    theta is about as large as the temperature, 8 for heads of depth 64. Optimisers such as Adam,
    whose steps are as long as the learning rate, change it little in a short training: give it a
    larger learning rate of its own.

    Examples
    --------
    >>> import hopcore
    >>> learned = hopcore.LearnableTemperature(factor=(2.0, 1.0))
    >>> settings = hopcore.HopfieldSettings(input_size=8, num_heads=2, scaling=learned)
    >>> settings.beta, hopcore.layers.parameter_shapes(settings)["temperature"]
    ((0.25, 0.5), (2,))
    """

    factor: float | tuple[float, ...] = 1.0
    per_head: bool = False
    shared: bool = False

    def __post_init__(self) -> None:
        """Validate the settings."""
        if isinstance(self.factor, list):
            object.__setattr__(self, "factor", tuple(self.factor))
        for factor in self.factor if isinstance(self.factor, tuple) else (self.factor,):
            check_positive("factor", factor)
        for name in ("per_head", "shared"):
            check_bool(name, getattr(self, name))

    def of_heads(self, heads: int) -> LearnableTemperature:
        """Return the setting with a factor for each head, if each learns its own."""
        if not isinstance(self.factor, tuple):
            if self.per_head and heads > MOST_HEADS:
                raise ValueError(
                    f"at most {MOST_HEADS} heads can each learn a temperature, got {heads}"
                )
            return replace(self, factor=(self.factor,) * heads) if self.per_head else self
        if len(self.factor) != heads:
            raise ValueError(
                f"factor must hold one value for each of the {heads} heads, got {len(self.factor)}"
            )
        return self

    def betas(self, usual: float) -> float | tuple[float, ...]:
        """Return the first inverse temperatures, given the usual one."""
        if isinstance(self.factor, tuple):
            return tuple(usual / factor for factor in self.factor)
        return usual / self.factor

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LearnableTemperature:
        """Return the setting of a mapping that ``dataclasses.asdict`` made."""
        given = known_fields(cls, values)
        check_types(cls, given)
        return cls(**given)


def theta_of_beta(betas: float | tuple[float, ...]) -> float | tuple[float, ...]:
    """Return, for each beta, the theta whose softplus is ``1 / beta``."""
    if isinstance(betas, tuple):
        return tuple(inverse_softplus(1.0 / beta) for beta in betas)
    return inverse_softplus(1.0 / betas)


def inverse_softplus(value: float) -> float:
    r"""Return the :math:`\theta` with :math:`\ln(1 + e^\theta) = v`, :math:`v + \ln(1 - e^{-v})`.

    Parameters
    ----------
    value : float
        v > 0.

    Examples
    --------
    >>> from hopcore.schedules import inverse_softplus
    >>> round(inverse_softplus(8.0), 6), round(inverse_softplus(1e-9), 6)
    (7.999664, -20.723266)
    """
    check_positive("value", value)
    return value + math.log(-math.expm1(-value))


def softplus(values: Array) -> Array:
    r"""Return :math:`\ln(1 + e^\theta)` in at least float32.

    It is clipped to 1e-15 and 1e15, where its inverse has a finite derivative in float32 too;
    beyond them its derivative is 0.
    """
    backend = backend_of_input("values", values)
    values = backend.astype(values, backend.precise[values.dtype])
    result = backend.xp.logaddexp(values, backend.xp.zeros_like(values))
    return clip(result, LEAST, MOST, backend.xp)


def learned_temperature(theta: Array, shared: Array | None = None) -> Array:
    """Return the temperature softplus(theta), times softplus(shared) if given.

    It is positive and finite for every finite theta, between 1e-15 and 1e15.
    """
    backend, temperature = backend_of_input("temperature", theta), softplus(theta)
    if shared is None:
        return temperature
    return clip(temperature * softplus(shared), LEAST, MOST, backend.xp)


@suggest_names
def temperature_profile(
    profile: Profile, layers: int, heads: int = 1
) -> tuple[LearnableTemperature, ...]:
    """Return the first temperatures of a stack of layers, in units of the usual one.

    ``"standard"``: 1 everywhere. ``"hot-to-cold"``: from 2 in the first layer to 1/2 in the last,
    by the same factor from layer to layer. ``"throbbing"``: alternating between 2 and 1/2.
    ``"hot-reasoner"``: in every layer 2 for one head and 1 for the others; each head learns its
    own.

    Parameters
    ----------
    profile : str
        One of the four names above.
    layers, heads : int
        At least 1; the hot reasoner needs two heads.

    Returns
    -------
    tuple of LearnableTemperature
        The ``scaling`` of each layer.

    Raises
    ------
    ValueError
        The profile is unknown.

    Examples
    --------
    >>> import hopcore
    >>> [one.factor for one in hopcore.schedules.temperature_profile("throbbing", 4)]
    [2.0, 0.5, 2.0, 0.5]
    >>> [one.factor for one in hopcore.schedules.temperature_profile("hot-to-cold", 3)]
    [2.0, 1.0, 0.5]
    >>> hopcore.schedules.temperature_profile("hot-reasoner", 1, heads=4)[0].factor
    (2.0, 1.0, 1.0, 1.0)
    """
    check_integer("layers", layers, 1)
    check_integer("heads", heads, 1)
    if profile == "standard":
        factors: list[Any] = [1.0] * layers
    elif profile == "hot-to-cold":
        ratio = COLD / HOT
        factors = [HOT * ratio ** (layer / max(layers - 1, 1)) for layer in range(layers)]
    elif profile == "throbbing":
        factors = [(HOT, COLD)[layer % 2] for layer in range(layers)]
    elif profile == "hot-reasoner":
        check_integer("heads", heads, 2)
        factors = [(HOT, *[1.0] * (heads - 1))] * layers
    else:
        raise ValueError(f"unknown profile {profile!r}; known: {', '.join(PROFILES)}")
    return tuple(LearnableTemperature(factor=factor) for factor in factors)
