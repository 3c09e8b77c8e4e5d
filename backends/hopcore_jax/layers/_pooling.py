"""Layers that learn one side of the association: pooling its queries, lookup its memory."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import hopcore
from hopcore.layers import (
    LearnedPatternMethods,
    LookupSettings,
    PoolingSettings,
    learned,
    quantity_of,
    refuse_arguments,
)
from hopcore_jax.layers._base import Key, ParameterOwner, association, optional, part
from hopcore_jax.layers._hopfield import Hopfield


class _Learned(ParameterOwner, LearnedPatternMethods):
    """What pooling and lookup share: a Hopfield layer, and patterns of their own."""

    @property
    def hopfield(self) -> Hopfield:
        """The Hopfield layer within, with its share of the parameters."""
        return part(self, Hopfield, "hopfield", self.settings.hopfield)


class HopfieldPooling(_Learned):
    """Hopfield pooling: learned state patterns recall from a set, whatever its size.

    Parameters
    ----------
    input_size : int
        Depth of the set, and of the state patterns.
    quantity : int
        How many state patterns are learned.
    trainable : bool
        Whether they are trained; where not, their gradient is 0, and an optimiser that decays
        weights is to be masked.
    key, dtype, inference, **settings
        As in :class:`Hopfield`.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from hopcore_jax import HopfieldPooling
    >>> layer = HopfieldPooling(8, num_heads=2, quantity=2, key=jax.random.key(0))
    >>> layer(jnp.ones((3, 50, 8))).shape
    (3, 16)
    """

    KIND: ClassVar[type] = PoolingSettings
    settings: PoolingSettings = eqx.field(static=True)

    def __init__(
        self,
        *args: Any,
        quantity: int = 1,
        trainable: bool = True,
        key: Key | None = None,
        dtype: Any = None,
        inference: bool = False,
        **settings: Any,
    ) -> None:
        layer_settings = PoolingSettings(
            hopfield=association(*args, **settings), quantity=quantity, trainable=trainable
        )
        self._own(layer_settings, key, dtype, inference)

    def __call__(
        self,
        input: jax.Array | tuple[jax.Array, jax.Array],
        stored_pattern_padding_mask: Any = None,
        association_mask: Any = None,
        *,
        key: Key | None = None,
        inference: bool | None = None,
        **others: Any,
    ) -> jax.Array:
        """The answers to the state patterns, ``(..., quantity * output_size)``.

        ``input`` is the set ``(..., S, d)``, or the set and its pattern projections; all else is as
        in :meth:`Hopfield.__call__`.
        """
        if others:
            refuse_arguments(others)
        return hopcore.layers.hopfield_pooling(
            self.settings,
            self.arrays(),
            *two(input),
            stored_pattern_padding_mask=optional(stored_pattern_padding_mask),
            association_mask=optional(association_mask),
            drop=self._dropout(self.settings.hopfield.dropout, key, inference),
        )

    def unpack_inputs(self, input: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
        stored, projection = two(input)
        return stored, learned(self.arrays()["pooling_weights"]), projection


class HopfieldLayer(_Learned):
    """Hopfield lookup: state patterns recall from a learned memory.

    Parameters
    ----------
    input_size : int
        Depth of the state patterns.
    quantity : int
        How many patterns the memory holds; ``num_pattern_repetitions`` is the same.
    lookup_weights_as_separated : bool
        Values are learned, too; otherwise they are the stored patterns.
    lookup_targets_as_trainable, trainable : bool
        Whether separate values, and stored patterns, are trained; see :class:`HopfieldPooling`.
    key, dtype, inference, **settings
        As in :class:`Hopfield`.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from hopcore_jax import HopfieldLayer
    >>> layer = HopfieldLayer(8, num_pattern_repetitions=32, key=jax.random.key(0))
    >>> layer(jnp.ones((3, 10, 8))).shape
    (3, 10, 8)
    """

    KIND: ClassVar[type] = LookupSettings
    settings: LookupSettings = eqx.field(static=True)

    def __init__(
        self,
        *args: Any,
        quantity: int | None = None,
        num_pattern_repetitions: int | None = None,
        lookup_weights_as_separated: bool = False,
        lookup_targets_as_trainable: bool = True,
        trainable: bool = True,
        key: Key | None = None,
        dtype: Any = None,
        inference: bool = False,
        **settings: Any,
    ) -> None:
        layer_settings = LookupSettings(
            hopfield=association(*args, **settings),
            quantity=quantity_of(quantity, num_pattern_repetitions),
            lookup_weights_as_separated=lookup_weights_as_separated,
            lookup_targets_as_trainable=lookup_targets_as_trainable,
            trainable=trainable,
        )
        self._own(layer_settings, key, dtype, inference)

    def __call__(
        self,
        input: jax.Array,
        stored_pattern_padding_mask: Any = None,
        association_mask: Any = None,
        *,
        key: Key | None = None,
        inference: bool | None = None,
        **others: Any,
    ) -> jax.Array:
        """What state patterns ``(..., L, d)`` recall; all else is as in :class:`Hopfield`."""
        if others:
            refuse_arguments(others)
        return hopcore.layers.hopfield_lookup(
            self.settings,
            self.arrays(),
            one(input),
            stored_pattern_padding_mask=optional(stored_pattern_padding_mask),
            association_mask=optional(association_mask),
            drop=self._dropout(self.settings.hopfield.dropout, key, inference),
        )

    def unpack_inputs(self, input: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
        arrays = self.arrays()
        stored = arrays["lookup_weights"]
        return learned(stored), one(input), learned(arrays.get("target_weights", stored))


def one(input: Any) -> jax.Array:
    """Return state patterns as a JAX array."""
    if not isinstance(input, jax.Array | np.ndarray):
        raise TypeError(f"input must be one array, state patterns, got {type(input).__name__}")
    return jnp.asarray(input)


def two(input: Any) -> tuple[jax.Array, jax.Array]:
    """Return stored patterns and pattern projections."""
    if isinstance(input, jax.Array | np.ndarray):
        patterns = jnp.asarray(input)
        return patterns, patterns
    if isinstance(input, tuple | list) and len(input) == 2:
        return jnp.asarray(input[0]), jnp.asarray(input[1])
    raise TypeError(
        "input must be one array, or two: stored patterns and pattern projections; "
        f"got {type(input).__name__}"
    )
