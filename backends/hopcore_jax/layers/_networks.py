"""Networks with a learned memory, whose temperature is an argument of the call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

import hopcore
from hopcore.layers import (
    HNLSettings,
    HNMSettings,
    Quantized,
    QuantizerSettings,
    named_arguments,
    suggest_names,
)
from hopcore.memory import SeparationName
from hopcore_jax.layers._base import Key, ParameterOwner, as_array, part
from hopcore_jax.layers._hopfield import Hopfield
from hopcore_jax.training import dropout_of, noise_of


class _Network(ParameterOwner):
    """The base of modules whose constructor takes only settings."""

    def _conditions(
        self, temperature: Any, noise_key: Key | None, key: Key | None, inference: bool | None
    ) -> dict[str, Any]:
        """Temperature, noise and dropout of a call."""
        drop = self._dropout(self.settings.dropout, key, inference)
        return {**conditions_of(temperature, noise_key), "drop": drop}

    def _dropout(
        self, rate: float, key: Key | None, inference: bool | None
    ) -> Callable[[jax.Array], jax.Array] | None:
        """Return dropout that uses a separate key in each layer."""
        if super()._dropout(rate, key, inference) is None or key is None:
            return None
        dropout = dropout_of(key)
        return lambda values: dropout(values, rate)


class HNL(_Network):
    """A Hopfield network layer: features attend to a learned memory, on the soft or hard path.

    Parameters
    ----------
    input_size, output_size, quantity, num_heads, hidden_size, temperature, separation, dropout
        See :class:`hopcore.layers.HNLSettings`.
    key, dtype, inference
        As in :class:`Hopfield`.

    Raises
    ------
    TypeError, ValueError
        A setting is not valid.

    Notes
    -----
    ``equinox.filter_jit`` treats a Python number as a constant and compiles again for another
    number. So pass the temperature as an array ``()``, which a schedule returns for a traced step.
    ``jax.jit`` traces numbers.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from hopcore_jax import HNL
    >>> layer = HNL(input_size=8, output_size=3, quantity=32, key=jax.random.key(0))
    >>> layer(jnp.ones((5, 8)), temperature=0.01, hard=True).shape
    (5, 3)
    """

    KIND: ClassVar[type] = HNLSettings
    settings: HNLSettings = eqx.field(static=True)

    @suggest_names
    def __init__(
        self,
        *,
        input_size: int,
        output_size: int | None = None,
        quantity: int = 64,
        num_heads: int = 8,
        hidden_size: int = 16,
        temperature: float = 0.1,
        separation: SeparationName | float = "softmax",
        dropout: float = 0.0,
        key: Key | None = None,
        dtype: DTypeLike | None = None,
        inference: bool = False,
    ) -> None:
        settings = HNLSettings.from_dict(named_arguments(HNLSettings, locals()))
        self._own(settings, key, dtype, inference)

    @property
    def hopfield(self) -> Hopfield:
        """The inner association, with its parameters."""
        return part(self, Hopfield, "hopfield", self.settings.lookup.hopfield)

    @suggest_names
    def __call__(
        self,
        x: jax.Array,
        condition: float | jax.Array | bool | None = None,
        hard: bool = False,
        noise_key: Key | None = None,
        *,
        temperature: float | jax.Array | None = None,
        key: Key | None = None,
        inference: bool | None = None,
    ) -> jax.Array:
        """Return the association of features with the memory at a temperature.

        Parameters
        ----------
        x : array (..., n, d)
            Features, one sample in each row.
        condition : float, array (), bool or jax.random key, optional
            What is given by position after the features is known by its type: a number is
            ``temperature``, a bool is ``hard``, and a key is ``key``. So ``layer(x, 0.1)``,
            ``layer(x, True, key=key)`` and ``network(x, key, hard=True)`` are all understood.
        hard : bool
            Each head returns one pattern, with the gradient of the soft weights.
        noise_key : jax.random key, optional
            The key of Gumbel noise for the scores; without a key there is no noise.
        temperature : float or array (), optional
            Positive; the default is that of the settings.
        key, inference
            As in :meth:`Hopfield.__call__`.

        Returns
        -------
        array (..., n, output_size)
        """
        temperature, hard, key = by_type(condition, hard, temperature, key)
        conditions = self._conditions(temperature, noise_key, key, inference)
        return hopcore.layers.hnl(
            self.settings, self.arrays(), as_array("x", x), hard=hard, **conditions
        )


class HNM(_Network):
    """A stack of Hopfield network layers, all at the same temperature.

    Parameters
    ----------
    input_size, output_size, widths
        See :class:`hopcore.layers.HNMSettings`.
    quantity, num_heads, hidden_size, temperature, separation, dropout
        Settings of every layer, see :class:`hopcore.layers.HNLSettings`.
    key, dtype, inference
        As in :class:`Hopfield`.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from hopcore_jax import HNM
    >>> model = HNM(input_size=8, output_size=3, widths=(16,), key=jax.random.key(0))
    >>> model(jnp.ones((5, 8)), temperature=0.01).shape
    (5, 3)
    """

    KIND: ClassVar[type] = HNMSettings
    settings: HNMSettings = eqx.field(static=True)

    @suggest_names
    def __init__(
        self,
        *,
        input_size: int,
        output_size: int,
        widths: tuple[int, ...] = (64,),
        quantity: int = 64,
        num_heads: int = 8,
        hidden_size: int = 16,
        temperature: float = 0.1,
        separation: SeparationName | float = "softmax",
        dropout: float = 0.0,
        key: Key | None = None,
        dtype: DTypeLike | None = None,
        inference: bool = False,
    ) -> None:
        settings = HNMSettings.from_dict(named_arguments(HNMSettings, locals()))
        self._own(settings, key, dtype, inference)

    @property
    def layers(self) -> tuple[HNL, ...]:
        """The layers, each with its parameters."""
        within = enumerate(self.settings.layers)
        return tuple(part(self, HNL, f"layers.{place}", one) for place, one in within)

    @suggest_names
    def __call__(
        self,
        x: jax.Array,
        condition: float | jax.Array | bool | None = None,
        hard: bool = False,
        noise_key: Key | None = None,
        *,
        temperature: float | jax.Array | None = None,
        key: Key | None = None,
        inference: bool | None = None,
    ) -> jax.Array:
        """Return the output of the last layer, with arguments as in :class:`HNL`."""
        temperature, hard, key = by_type(condition, hard, temperature, key)
        conditions = self._conditions(temperature, noise_key, key, inference)
        return hopcore.layers.hnm(
            self.settings, self.arrays(), as_array("x", x), hard=hard, **conditions
        )


class VectorQuantizer(_Network):
    """A vector quantiser: features become a soft mixture of codes, or the nearest code.

    Parameters
    ----------
    input_size, groups, quantity, temperature, commitment
        See :class:`hopcore.layers.QuantizerSettings`.
    key, dtype, inference
        As in :class:`Hopfield`; nothing is dropped.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from hopcore_jax import VectorQuantizer
    >>> layer = VectorQuantizer(input_size=8, groups=2, quantity=16, key=jax.random.key(0))
    >>> found = layer(jnp.ones((5, 8)), temperature=0.1, hard=True)
    >>> found.values.shape, found.codes.shape
    ((5, 8), (5, 2))
    """

    KIND: ClassVar[type] = QuantizerSettings
    settings: QuantizerSettings = eqx.field(static=True)

    @suggest_names
    def __init__(
        self,
        *,
        input_size: int,
        groups: int = 1,
        quantity: int = 64,
        temperature: float = 1.0,
        commitment: float = 0.25,
        key: Key | None = None,
        dtype: DTypeLike | None = None,
        inference: bool = False,
    ) -> None:
        settings = QuantizerSettings.from_dict(named_arguments(QuantizerSettings, locals()))
        self._own(settings, key, dtype, inference)

    @property
    def codebook(self) -> jax.Array:
        """The codes, ``(groups, quantity, input_size / groups)``."""
        return self.parameters["codebook"]

    @suggest_names
    def __call__(
        self,
        x: jax.Array,
        temperature: float | jax.Array | None = None,
        hard: bool = False,
        noise_key: Key | None = None,
    ) -> Quantized[jax.Array]:
        """Return features ``(..., input_size)`` replaced by codes.

        Arguments are as in :class:`HNL`, the result is a :class:`hopcore.layers.Quantized`:
        ``values``, ``codes``, ``weights`` and the losses ``commitment`` and ``divergence``.
        """
        conditions = conditions_of(temperature, noise_key)
        return hopcore.layers.quantize(
            self.settings, self.arrays(), as_array("x", x), hard=hard, **conditions
        )


def by_type(
    condition: Any, hard: Any, temperature: Any, key: Key | None
) -> tuple[Any, Any, Key | None]:
    """Return temperature, ``hard`` and key of a call whose second argument may be any of them."""
    if is_key(hard):  # layer(x, hard, key)
        hard, key = False, once("key", hard, key)
    if condition is None:
        return temperature, hard, key
    if isinstance(condition, bool | np.bool_):
        return temperature, once("hard", bool(condition), hard or None), key
    if is_key(condition):
        return temperature, hard, once("key", condition, key)
    return once("temperature", condition, temperature), hard, key


def once(name: str, given: Any, other: Any) -> Any:
    """Return an argument that was given by position; raise if its name was given as well."""
    if other is not None:
        raise ValueError(f"{name} was given twice, by position and by name")
    return given


def is_key(value: Any) -> bool:
    """Whether a value is a key of ``jax.random``, typed or of two unsigned integers."""
    dtype = getattr(value, "dtype", None)
    if dtype is None:
        return False
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return True
    return dtype == np.uint32 and value.shape == (2,)


def conditions_of(temperature: Any, noise_key: Key | None) -> dict[str, Any]:
    """Return the temperature and the noise of a call."""
    noise = None if noise_key is None else noise_of(noise_key)
    return {"temperature": temperature, "noise": noise}
