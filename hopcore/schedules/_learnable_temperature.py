r"""Temperatures that are learned: positive, and exact where they start.

:math:`T = \operatorname{softplus}(\theta) = \ln(1 + e^\theta)`, times a temperature that
several layers may share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hopcore.arrays._backend import Array
from hopcore.arrays._inputs import backend_of_input
from hopcore.arrays._validation import check_integer, check_positive, short_repr

PROFILES = "standard", "hot-to-cold", "throbbing", "hot-reasoner"
"""Where the temperatures of a stack of layers may start."""

LEAST, MOST = 1e-15, 1e15
"""Between which learned temperatures stay."""

HOT, COLD = 2.0, 0.5
"""The factors of what is hot and what is cold."""


@dataclass(frozen=True, kw_only=True)
class LearnableTemperature:
    r"""A temperature of scores that is learned; the ``scaling`` of a Hopfield layer.

    Scores are divided by :math:`T = \operatorname{softplus}(\theta)`, which starts at exactly
    ``factor`` times the usual temperature :math:`\sqrt{d_k}`.

    Attributes
    ----------
    factor : float or tuple of float
        Positive; a tuple has one for each head, and then each head learns its own.
    per_head : bool
        Each head learns its own temperature, also where all start with the same.
    shared : bool
        The temperature is multiplied by a second one, that starts at 1 and that layers may share.

    Raises
    ------
    TypeError, ValueError
        A factor that is not positive.

    Notes
    -----
    theta is about as large as the temperature, 8 for heads of depth 64. An optimiser whose steps
    are as long as its learning rate, as Adam's, moves it by little in a short training: give it a
    larger rate of its own.

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
        """Refuse what makes no sense."""
        if isinstance(self.factor, list):
            object.__setattr__(self, "factor", tuple(self.factor))
        for one in self.factor if isinstance(self.factor, tuple) else (self.factor,):
            check_positive("factor", one)
        for name in ("per_head", "shared"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be a bool, got {short_repr(getattr(self, name))}")

    def of_heads(self, heads: int) -> LearnableTemperature:
        """With a factor for each head, if each learns its own."""
        if not isinstance(self.factor, tuple):
            return replace(self, factor=(self.factor,) * heads) if self.per_head else self
        if len(self.factor) != heads:
            raise ValueError(
                f"factor must hold one value for each of the {heads} heads, got {len(self.factor)}"
            )
        return self

    def betas(self, usual: float) -> float | tuple[float, ...]:
        """The inverse temperatures at the start, from the usual one."""
        if isinstance(self.factor, tuple):
            return tuple(usual / one for one in self.factor)
        return usual / self.factor

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LearnableTemperature:
        """From the mapping of ``dataclasses.asdict``."""
        return cls(**values)


def theta_of_beta(betas: float | tuple[float, ...]) -> float | tuple[float, ...]:
    """The theta whose softplus is ``1 / beta``, of each beta."""
    if isinstance(betas, tuple):
        return tuple(inverse_softplus(1.0 / beta) for beta in betas)
    return inverse_softplus(1.0 / betas)


def inverse_softplus(value: float) -> float:
    r"""The :math:`\theta` with :math:`\ln(1 + e^\theta) = v`, :math:`v + \ln(1 - e^{-v})`.

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
    r""":math:`\ln(1 + e^\theta)`, in half precision in float32.

    It stays between 1e-15 and 1e15, where its inverse has a finite derivative in float32 too.
    """
    backend = backend_of_input("values", values)
    wide = backend.astype(values, backend.precise[values.dtype])
    found = backend.xp.logaddexp(wide, backend.xp.zeros_like(wide))
    return backend.xp.clip(found, LEAST, MOST)


def learned_temperature(theta: Array, shared: Array | None = None) -> Array:
    """The temperature of parameters: softplus(theta), times softplus(shared).

    Positive and finite for every finite theta, between 1e-15 and 1e15.
    """
    backend, found = backend_of_input("temperature", theta), softplus(theta)
    return found if shared is None else backend.xp.clip(found * softplus(shared), LEAST, MOST)


def temperature_profile(
    profile: str, layers: int, heads: int = 1
) -> tuple[LearnableTemperature, ...]:
    """Where the temperatures of a stack of layers start, in units of the usual one.

    ``"standard"``: 1 everywhere. ``"hot-to-cold"``: from 2 in the first layer to 1/2 in the last,
    by the same factor from layer to layer. ``"throbbing"``: 2 and 1/2 in turns.
    ``"hot-reasoner"``: in every layer one head with 2, the others with 1; each head learns its own.

    Parameters
    ----------
    profile : str
        One of these four.
    layers, heads : int
        At least 1; the hot reasoner needs two heads.

    Returns
    -------
    tuple of LearnableTemperature
        The ``scaling`` of each layer.

    Raises
    ------
    ValueError
        An unknown profile.

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
        factors = [HOT * ratio ** (place / max(layers - 1, 1)) for place in range(layers)]
    elif profile == "throbbing":
        factors = [(HOT, COLD)[place % 2] for place in range(layers)]
    elif profile == "hot-reasoner":
        check_integer("heads", heads, 2)
        factors = [(HOT, *[1.0] * (heads - 1))] * layers
    else:
        raise ValueError(f"unknown profile {profile!r}; known: {', '.join(PROFILES)}")
    return tuple(LearnableTemperature(factor=factor) for factor in factors)
