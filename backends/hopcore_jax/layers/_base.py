"""The base of modules that own the parameters of a layer of :mod:`hopcore`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeAlias, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from hopcore.layers import (
    check_parameters,
    inner,
    layer_parameters,
)
from hopcore.schedules import LearnableTemperature

Key = jax.Array
"""A key of :mod:`jax.random`."""

Scaling: TypeAlias = float | tuple[float, ...] | jax.Array | LearnableTemperature
"""An inverse temperature, one for each head, or a temperature that is learned."""


Layer = TypeVar("Layer", bound="ParameterOwner")


class ParameterOwner(eqx.Module):
    """A module with static settings and the parameters of these settings, by the same names.

    Attributes
    ----------
    settings
        The settings; modules with equal settings are compiled once.
    parameters : dict of str to array
        The parameters by the names of :func:`hopcore.layers.parameter_shapes`, which are those of a
        torch state dict.
    inference : bool
        Whether dropout is switched off; ``equinox.nn.inference_mode`` sets it.
    """

    KIND: ClassVar[type]
    settings: Any = eqx.field(static=True)
    parameters: dict[str, jax.Array]
    inference: bool

    @classmethod
    def of(
        cls,
        settings: Any,
        *,
        key: Key | None = None,
        dtype: DTypeLike | None = None,
        parameters: Mapping[str, Any] | None = None,
        inference: bool = False,
    ) -> Self:
        """Return the layer with these settings, and with these parameters if they are given.

        Parameters
        ----------
        settings
            Of this kind of layer.
        key : jax.random key, optional
            The key of the initial parameters.
        dtype : optional
            The dtype of the parameters; the default is that of the given ones, or JAX's own.
        parameters : mapping of str to array, optional
            Arrays of NumPy or JAX, for example from a checkpoint.
        inference : bool Whether dropout is switched off.
        """
        if not isinstance(settings, cls.KIND):
            raise TypeError(f"settings must be {cls.KIND.__name__}, got {type(settings).__name__}")
        layer = object.__new__(cls)
        if parameters is None:
            layer._own(settings, key, dtype, inference)
        else:
            check_parameters(settings, parameters)
            arrays = {name: jnp.asarray(value, dtype) for name, value in parameters.items()}
            layer._hold(settings, arrays, inference)
        return layer

    def _own(
        self, settings: Any, key: Key | None, dtype: DTypeLike | None, inference: bool
    ) -> None:
        self._hold(settings, drawn(settings, key, dtype), inference)

    def _hold(self, settings: Any, parameters: Mapping[str, jax.Array], inference: bool) -> None:
        values = {"settings": settings, "parameters": dict(parameters), "inference": inference}
        for name, value in values.items():
            object.__setattr__(self, name, value)  # as equinox does when it unflattens

    def arrays(self) -> dict[str, jax.Array]:
        """The parameters as the functions of :mod:`hopcore` take them.

        Parameters that are not trained have no gradient.
        """
        declared = layer_parameters(self.settings)
        return {
            name: value if declared[name].trainable else lax.stop_gradient(value)
            for name, value in self.parameters.items()
        }

    def _dropout(
        self, rate: float, key: Key | None, inference: bool | None
    ) -> Callable[[jax.Array], jax.Array] | None:
        """Return dropout of an array, or None if nothing is dropped."""
        if rate == 0.0 or (self.inference if inference is None else inference):
            return None
        if key is None:
            raise ValueError(
                f"dropout={rate:g} is drawn in training: call with key=, or with inference=True"
            )
        return Dropout(rate, key)


@dataclass(frozen=True)
class Dropout:
    """Dropout of an array, or of its blocks, which draw numbers of their own."""

    rate: float
    key: Key

    def __call__(self, values: jax.Array) -> jax.Array:
        """Drop some of the values, and divide the others by the probability to stay."""
        return eqx.nn.Dropout(self.rate)(values, key=self.key)

    def of_block(self, number: jax.Array) -> Dropout:
        """Return the dropout of a block with this number."""
        return Dropout(self.rate, jax.random.fold_in(self.key, number))


def part(layer: ParameterOwner, kind: type[Layer], name: str, settings: Any) -> Layer:
    """Return an inner layer, with its parameters."""
    inner_layer = object.__new__(kind)
    inner_layer._hold(settings, inner(layer.parameters, name), layer.inference)
    return inner_layer


def drawn(settings: Any, key: Key | None, dtype: DTypeLike | None) -> dict[str, jax.Array]:
    """Draw the initial parameters of a layer."""
    parameters = layer_parameters(settings)
    at_random = [name for name, one in parameters.items() if one.start is None]
    keys: dict[str, Key] = {}
    if at_random:
        if key is None:
            raise TypeError("the parameters are drawn at random: give key=, as jax.random.key(0)")
        keys = dict(zip(at_random, jax.random.split(key, len(at_random)), strict=True))
    kind = jnp.result_type(float) if dtype is None else dtype
    return {
        name: one.spread * jax.random.normal(keys[name], one.shape, kind)
        if one.start is None
        else jnp.broadcast_to(jnp.asarray(one.start, kind), one.shape)
        for name, one in parameters.items()
    }


def as_array(name: str, values: Any) -> jax.Array:
    """Return numbers as a JAX array; raise a ``TypeError`` for anything else."""
    try:
        return jnp.asarray(values)
    except (TypeError, ValueError, OverflowError):
        kind = type(values).__name__
        raise TypeError(f"{name} must be an array of numbers, got {kind}") from None


def optional(mask: Any) -> Any:
    """Return a mask as a JAX array; None and a name such as ``"causal"`` as they are."""
    return mask if mask is None or isinstance(mask, str) else as_array("a mask", mask)
