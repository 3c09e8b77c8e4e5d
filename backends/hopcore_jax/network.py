"""Memories that are learned at a temperature of the call, and attention that learns its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

import hopcore
from hopcore import HNLSettings, HNMSettings, LearnableTemperature, Quantized, QuantizerSettings
from hopcore.arguments import core_settings
from hopcore_jax.hopfield import Hopfield
from hopcore_jax.owned import Key, Owned, part
from hopcore_jax.training import dropout_of, noise_of

Layers = TypeVar("Layers")
ROOM = "room"
"""The last part of the name of a room temperature."""


class _Network(Owned):
    """What modules share whose settings are all that their constructor takes."""

    def __init__(
        self,
        *,
        key: Key | None = None,
        dtype: Any = None,
        inference: bool = False,
        **settings: Any,
    ) -> None:
        self._own(self.KIND.from_dict(settings), key, dtype, inference)

    def _conditions(
        self, temperature: Any, noise_key: Key | None, key: Key | None, inference: bool | None
    ) -> dict[str, Any]:
        """Temperature, noise and dropout of a call."""
        drop = self._dropout(self.settings.dropout, key, inference)
        return {**heated(temperature, noise_key), "drop": drop}

    def _dropout(
        self, rate: float, key: Key | None, inference: bool | None
    ) -> Callable[[jax.Array], jax.Array] | None:
        """Dropout that draws with a key of its own in each layer."""
        if super()._dropout(rate, key, inference) is None or key is None:
            return None
        dropout = dropout_of(key)
        return lambda values: dropout(values, rate)


class HNL(_Network):
    """A Hopfield network layer: features recall from a learned memory, softly or one pattern.

    Parameters
    ----------
    input_size, output_size, quantity, num_heads, hidden_size, temperature, separation, dropout
        By name, see :class:`hopcore.HNLSettings`.
    key, dtype, inference
        As in :class:`Hopfield`.

    Raises
    ------
    TypeError, ValueError
        Settings that make no sense.

    Notes
    -----
    ``equinox.filter_jit`` takes a Python number for a constant and compiles again for another one:
    there give the temperature as an array ``()``, as a schedule gives it for a traced step.
    ``jax.jit`` traces numbers.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from hopcore_jax import HNL
    >>> layer = HNL(input_size=8, output_size=3, quantity=32, key=jax.random.key(0))
    >>> layer(jnp.ones((5, 8)), temperature=0.01, hard=True).shape
    (5, 3)
    """

    __init__ = _Network.__init__  # equinox inherits it, type checkers would not
    KIND: ClassVar[type] = HNLSettings
    settings: HNLSettings = eqx.field(static=True)

    @property
    def hopfield(self) -> Hopfield:
        """The association within, with its share of the parameters."""
        return part(self, Hopfield, "hopfield", self.settings.lookup.hopfield)

    def __call__(
        self,
        x: jax.Array,
        temperature: float | jax.Array | None = None,
        hard: bool = False,
        noise_key: Key | None = None,
        *,
        key: Key | None = None,
        inference: bool | None = None,
    ) -> jax.Array:
        """What features recall at a temperature.

        Parameters
        ----------
        x : array (..., n, d)
            Features, one a row.
        temperature : float or array (), optional
            Positive; that of the settings if not given.
        hard : bool
            Each head recalls one pattern, with the gradient of the soft weights.
        noise_key : jax.random key, optional
            For Gumbel noise of the scores; without one there is none.
        key, inference
            As in :meth:`Hopfield.__call__`.

        Returns
        -------
        array (..., n, output_size)
        """
        conditions = self._conditions(temperature, noise_key, key, inference)
        return hopcore.hnl(self.settings, self.arrays(), jnp.asarray(x), hard=hard, **conditions)


class HNM(_Network):
    """A stack of Hopfield network layers, all at one temperature.

    Parameters
    ----------
    input_size, output_size, widths
        By name, see :class:`hopcore.HNMSettings`.
    quantity, num_heads, hidden_size, temperature, separation, dropout
        Of every layer, see :class:`hopcore.HNLSettings`.
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

    __init__ = _Network.__init__
    KIND: ClassVar[type] = HNMSettings
    settings: HNMSettings = eqx.field(static=True)

    @property
    def layers(self) -> tuple[HNL, ...]:
        """The layers, each with its share of the parameters."""
        within = enumerate(self.settings.layers)
        return tuple(part(self, HNL, f"layers.{place}", one) for place, one in within)

    def __call__(
        self,
        x: jax.Array,
        temperature: float | jax.Array | None = None,
        hard: bool = False,
        noise_key: Key | None = None,
        *,
        key: Key | None = None,
        inference: bool | None = None,
    ) -> jax.Array:
        """The output of the last layer ``(..., n, output_size)``; all is as in :class:`HNL`."""
        conditions = self._conditions(temperature, noise_key, key, inference)
        return hopcore.hnm(self.settings, self.arrays(), jnp.asarray(x), hard=hard, **conditions)


class VectorQuantizer(_Network):
    """A vector quantiser: features become patterns of a codebook, softly or the nearest of them.

    Parameters
    ----------
    input_size, groups, quantity, temperature, commitment
        By name, see :class:`hopcore.QuantizerSettings`.
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

    __init__ = _Network.__init__
    KIND: ClassVar[type] = QuantizerSettings
    settings: QuantizerSettings = eqx.field(static=True)

    @property
    def codebook(self) -> jax.Array:
        """The codes, ``(groups, quantity, input_size / groups)``."""
        return self.parameters["codebook"]

    def __call__(
        self,
        x: jax.Array,
        temperature: float | jax.Array | None = None,
        hard: bool = False,
        noise_key: Key | None = None,
    ) -> Quantized:
        """Features ``(..., input_size)`` by their codes.

        Arguments are as in :class:`HNL`, the result is a :class:`hopcore.Quantized`: ``values``,
        ``codes``, ``weights`` and the losses ``commitment`` and ``divergence``.
        """
        conditions = heated(temperature, noise_key)
        return hopcore.quantize(
            self.settings, self.arrays(), jnp.asarray(x), hard=hard, **conditions
        )


class LearnableTemperatureAttention(Hopfield):
    """Multi-head attention whose temperature is learned and stays positive.

    Scores are divided by ``softplus(theta)``, which starts at exactly ``init_temp_factor`` times
    the usual ``sqrt(d_model / num_heads)``; see :class:`hopcore.LearnableTemperature`.

    Parameters
    ----------
    d_model, num_heads : int
        Depth of the sequence, and heads.
    init_temp_factor : float or tuple of float
        Where the temperature starts; a tuple has one for each head.
    per_head : bool
        Each head learns its own.
    room : bool
        Times a second temperature, which layers may share (:func:`share_room`).
    separation : str or float
        As in :class:`hopcore.HopfieldSettings`.
    key, dtype, inference
        As in :class:`Hopfield`.
    **arguments
        ``dropout``, ``bias``, ``add_bias_kv``, ``add_zero_attn``, ``kdim``, ``vdim``, ... as in
        :class:`HopfieldCore`.

    Notes
    -----
    It is a :class:`Hopfield` layer without normalisations, and in a checkpoint it is nothing else:
    ``load_layer`` gives a :class:`Hopfield`, whose ``settings`` and ``parameters`` ``of``
    takes.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from hopcore_jax import LearnableTemperatureAttention
    >>> layer = LearnableTemperatureAttention(16, 4, init_temp_factor=2.0, key=jax.random.key(0))
    >>> layer(jnp.ones((3, 5, 16)), jnp.ones((3, 7, 16))).shape
    (3, 5, 16)
    >>> round(float(layer.temperature), 6)
    4.0
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        init_temp_factor: float | tuple[float, ...] = 1.0,
        per_head: bool = False,
        room: bool = False,
        *,
        separation: str | float = "softmax",
        key: Key | None = None,
        dtype: Any = None,
        inference: bool = False,
        **arguments: Any,
    ) -> None:
        learned = LearnableTemperature(factor=init_temp_factor, per_head=per_head, room=room)
        plain = core_settings((d_model, num_heads), arguments, batch_first=True)
        settings = replace(plain, scaling=learned, separation=separation)
        self._own(settings, key, dtype, inference)

    def __call__(
        self,
        query: jax.Array,
        key_: jax.Array | None = None,
        value: jax.Array | None = None,
        key_padding_mask: Any = None,
        attn_mask: Any = None,
        *,
        key: Key | None = None,
        inference: bool | None = None,
    ) -> jax.Array:
        """What queries ``(..., L, d)`` recall of keys ``key_`` and values ``(..., S, d)``.

        Keys are the queries if not given, values the keys. Masks are True where a key is not
        attended to, or added to the scores. ``key`` and ``inference`` are as in
        :meth:`Hopfield.__call__`.
        """
        masks = key_padding_mask, attn_mask
        patterns = three(query, key_, value)
        return super().__call__(patterns, *masks, key=key, inference=inference)

    def association_weights(
        self,
        query: jax.Array,
        key_: jax.Array | None = None,
        value: jax.Array | None = None,
        key_padding_mask: Any = None,
        attn_mask: Any = None,
    ) -> jax.Array:
        """How much each query of each head attends to each key, ``(..., H, L, S)``."""
        return super().association_weights(three(query, key_, value), key_padding_mask, attn_mask)

    def get_association_matrix(self, *patterns: Any, **masks: Any) -> jax.Array:
        """:meth:`association_weights` without a gradient."""
        return jax.lax.stop_gradient(self.association_weights(*patterns, **masks))


def share_room(layers: Layers, room: Any = None) -> Layers:
    """Let layers share one room temperature: one array in each of them.

    Within a loss, so that its gradient with respect to ``room`` is the sum over the layers.

    Parameters
    ----------
    layers : layer, or pytree of them
        A list, a module ...; each layer has a ``LearnableTemperature(room=True)`` for its
        ``scaling``, itself or within.
    room : array (), optional
        The parameter whose softplus is the room temperature; that of the first layer if not given,
        which then gets the whole gradient.

    Returns
    -------
    layers
        Copies of the same structure.

    Raises
    ------
    ValueError
        A layer without a room temperature, a room that is no single number.

    Examples
    --------
    >>> import jax
    >>> from hopcore_jax import LearnableTemperatureAttention, share_room
    >>> keys = jax.random.split(jax.random.key(0), 3)
    >>> layers = [LearnableTemperatureAttention(8, 2, room=True, key=key) for key in keys]
    >>> shared = share_room(layers, jax.numpy.asarray(0.5))
    >>> [float(layer.parameters["room"]) for layer in shared]
    [0.5, 0.5, 0.5]
    """
    leaves, structure = jax.tree.flatten(layers, is_leaf=lambda one: isinstance(one, Owned))
    found = [one for one in leaves if isinstance(one, Owned)]
    for layer in found:
        if not rooms(layer):
            raise ValueError(
                f"{type(layer).__name__} has no room temperature: "
                "scaling=LearnableTemperature(room=True)"
            )
    if not found:
        raise ValueError("layers must hold a layer with a room temperature, got none")
    if room is None:
        room = found[0].parameters[rooms(found[0])[0]]
    if jnp.ndim(room):
        raise ValueError(f"room must be one number, got shape {jnp.shape(room)}")
    return jax.tree.unflatten(
        structure, [with_room(one, room) if isinstance(one, Owned) else one for one in leaves]
    )


def rooms(layer: Owned) -> list[str]:
    """The names of its room temperatures."""
    return [name for name in layer.parameters if name.split(".")[-1] == ROOM]


def with_room(layer: Owned, room: Any) -> Owned:
    """The layer with another room temperature."""
    names = rooms(layer)
    new = {name: jnp.asarray(room, layer.parameters[name].dtype) for name in names}
    return eqx.tree_at(lambda one: one.parameters, layer, {**layer.parameters, **new})


def three(
    query: jax.Array, key: jax.Array | None, value: jax.Array | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Keys, queries and values, as a Hopfield layer takes them."""
    key = query if key is None else key
    return key, query, key if value is None else value


def heated(temperature: Any, noise_key: Key | None) -> dict[str, Any]:
    """The temperature and the noise of a call."""
    noise = None if noise_key is None else noise_of(noise_key)
    return {"temperature": temperature, "noise": noise}
