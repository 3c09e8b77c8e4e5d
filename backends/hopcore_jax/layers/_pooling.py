"""Layers that learn one side of the association: pooling learns queries, lookup a memory."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import numpy as np
from jax.typing import DTypeLike

import hopcore
from hopcore import DiffusionConfig
from hopcore.layers import (
    ActivationName,
    HopfieldSettings,
    LearnedPatternMethods,
    LookupSettings,
    PoolingSettings,
    hopfield_settings,
    learned,
    lookup_patterns,
    named_arguments,
    quantity_of,
    suggest_names,
)
from hopcore.memory import LearnableAlpha, SeparationName, Similarity
from hopcore_jax.layers._base import Key, ParameterOwner, Scaling, as_array, optional, part
from hopcore_jax.layers._hopfield import Hopfield


class _Learned(ParameterOwner, LearnedPatternMethods):
    """The base of pooling and lookup: a Hopfield layer, and learned patterns."""

    @property
    def hopfield(self) -> Hopfield:
        """The inner Hopfield layer, with its parameters."""
        return part(self, Hopfield, "hopfield", self.settings.hopfield)


class HopfieldPooling(_Learned):
    """Hopfield pooling: the association of learned states with a set of any size.

    Parameters
    ----------
    input_size : int
        The number of features of the set and of the states.
    quantity : int
        The number of learned states.
    trainable : bool
        Whether the learned states are trained. If not, their gradient is 0; mask them in an
        optimiser with weight decay.
    hidden_size, output_size, pattern_size, num_heads, scaling, update_steps_max, update_steps_eps
    learnable_scaling, separation, similarity, association_activation, dropout, input_bias
    batch_first
    normalize_stored_pattern, normalize_stored_pattern_affine, normalize_stored_pattern_eps
    normalize_state_pattern, normalize_state_pattern_affine, normalize_state_pattern_eps
    normalize_pattern_projection, normalize_pattern_projection_affine
    normalize_pattern_projection_eps
    normalize_hopfield_space, normalize_hopfield_space_affine, normalize_hopfield_space_eps
    stored_pattern_as_static, state_pattern_as_static, pattern_projection_as_static
    pattern_projection_as_connected, stored_pattern_size, pattern_projection_size
    concat_bias_pattern, add_zero_association, disable_out_projection
    diffusion, key, dtype, inference
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

    @suggest_names
    def __init__(
        self,
        input_size: int | None = None,
        hidden_size: int | None = None,
        output_size: int | None = None,
        pattern_size: int | None = None,
        num_heads: int = 1,
        scaling: Scaling | None = None,
        update_steps_max: int | tuple[int, ...] | None = 0,
        update_steps_eps: float | tuple[float, ...] = 1e-4,
        *,
        quantity: int = 1,
        trainable: bool = True,
        learnable_scaling: bool = False,
        separation: SeparationName | float | LearnableAlpha = "softmax",
        similarity: Similarity = "dot",
        normalize_stored_pattern: bool = True,
        normalize_stored_pattern_affine: bool = True,
        normalize_stored_pattern_eps: float = 1e-5,
        normalize_state_pattern: bool = True,
        normalize_state_pattern_affine: bool = True,
        normalize_state_pattern_eps: float = 1e-5,
        normalize_pattern_projection: bool = True,
        normalize_pattern_projection_affine: bool = True,
        normalize_pattern_projection_eps: float = 1e-5,
        normalize_hopfield_space: bool = False,
        normalize_hopfield_space_affine: bool = False,
        normalize_hopfield_space_eps: float = 1e-5,
        stored_pattern_as_static: bool = False,
        state_pattern_as_static: bool = False,
        pattern_projection_as_static: bool = False,
        pattern_projection_as_connected: bool = False,
        stored_pattern_size: int | None = None,
        pattern_projection_size: int | None = None,
        batch_first: bool = True,
        association_activation: ActivationName | None = None,
        dropout: float = 0.0,
        input_bias: bool = True,
        concat_bias_pattern: bool = False,
        add_zero_association: bool = False,
        disable_out_projection: bool = False,
        diffusion: DiffusionConfig | None = None,
        key: Key | None = None,
        dtype: DTypeLike | None = None,
        inference: bool = False,
    ) -> None:
        inner = hopfield_settings(named_arguments(HopfieldSettings, locals()))
        settings = PoolingSettings(hopfield=inner, quantity=quantity, trainable=trainable)
        self._own(settings, key, dtype, inference)

    @suggest_names
    def __call__(
        self,
        input: jax.Array | tuple[jax.Array, jax.Array],
        stored_pattern_padding_mask: Any = None,
        association_mask: Any = None,
        *,
        key: Key | None = None,
        inference: bool | None = None,
    ) -> jax.Array:
        """Return the outputs of the learned states, ``(..., quantity * output_size)``.

        ``input`` is the set ``(..., S, d)``, or the set and its projections; other arguments are as
        in :meth:`Hopfield.__call__`.
        """
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
    """Hopfield lookup: the association of states with learned stored patterns.

    Parameters
    ----------
    input_size : int
        The number of features of the states.
    quantity, num_pattern_repetitions : int, optional
        The number of learned stored patterns, by default 1; both names mean the same.
    lookup_weights_as_separated : bool
        Whether the values are learned separately; otherwise they are the stored patterns.
    lookup_targets_as_trainable, trainable : bool
        Whether separate values, and stored patterns, are trained; see :class:`HopfieldPooling`.
    hidden_size, output_size, pattern_size, num_heads, scaling, update_steps_max, update_steps_eps
    learnable_scaling, separation, similarity, association_activation, dropout, input_bias
    batch_first
    normalize_stored_pattern, normalize_stored_pattern_affine, normalize_stored_pattern_eps
    normalize_state_pattern, normalize_state_pattern_affine, normalize_state_pattern_eps
    normalize_pattern_projection, normalize_pattern_projection_affine
    normalize_pattern_projection_eps
    normalize_hopfield_space, normalize_hopfield_space_affine, normalize_hopfield_space_eps
    stored_pattern_as_static, state_pattern_as_static, pattern_projection_as_static
    pattern_projection_as_connected, stored_pattern_size, pattern_projection_size
    concat_bias_pattern, add_zero_association, disable_out_projection
    diffusion, key, dtype, inference
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

    @suggest_names
    def __init__(
        self,
        input_size: int | None = None,
        hidden_size: int | None = None,
        output_size: int | None = None,
        pattern_size: int | None = None,
        num_heads: int = 1,
        scaling: Scaling | None = None,
        update_steps_max: int | tuple[int, ...] | None = 0,
        update_steps_eps: float | tuple[float, ...] = 1e-4,
        *,
        quantity: int | None = None,
        num_pattern_repetitions: int | None = None,
        lookup_weights_as_separated: bool = False,
        trainable: bool = True,
        lookup_targets_as_trainable: bool = True,
        learnable_scaling: bool = False,
        separation: SeparationName | float | LearnableAlpha = "softmax",
        similarity: Similarity = "dot",
        normalize_stored_pattern: bool = True,
        normalize_stored_pattern_affine: bool = True,
        normalize_stored_pattern_eps: float = 1e-5,
        normalize_state_pattern: bool = True,
        normalize_state_pattern_affine: bool = True,
        normalize_state_pattern_eps: float = 1e-5,
        normalize_pattern_projection: bool = True,
        normalize_pattern_projection_affine: bool = True,
        normalize_pattern_projection_eps: float = 1e-5,
        normalize_hopfield_space: bool = False,
        normalize_hopfield_space_affine: bool = False,
        normalize_hopfield_space_eps: float = 1e-5,
        stored_pattern_as_static: bool = False,
        state_pattern_as_static: bool = False,
        pattern_projection_as_static: bool = False,
        pattern_projection_as_connected: bool = False,
        stored_pattern_size: int | None = None,
        pattern_projection_size: int | None = None,
        batch_first: bool = True,
        association_activation: ActivationName | None = None,
        dropout: float = 0.0,
        input_bias: bool = True,
        concat_bias_pattern: bool = False,
        add_zero_association: bool = False,
        disable_out_projection: bool = False,
        diffusion: DiffusionConfig | None = None,
        key: Key | None = None,
        dtype: DTypeLike | None = None,
        inference: bool = False,
    ) -> None:
        settings = LookupSettings(
            hopfield=hopfield_settings(named_arguments(HopfieldSettings, locals())),
            quantity=quantity_of(quantity, num_pattern_repetitions),
            lookup_weights_as_separated=lookup_weights_as_separated,
            lookup_targets_as_trainable=lookup_targets_as_trainable,
            trainable=trainable,
        )
        self._own(settings, key, dtype, inference)

    @suggest_names
    def __call__(
        self,
        input: jax.Array,
        stored_pattern_padding_mask: Any = None,
        association_mask: Any = None,
        *,
        key: Key | None = None,
        inference: bool | None = None,
    ) -> jax.Array:
        """Return the output for states ``(..., L, d)``; arguments as in :class:`Hopfield`."""
        return hopcore.layers.hopfield_lookup(
            self.settings,
            self.arrays(),
            one(input),
            stored_pattern_padding_mask=optional(stored_pattern_padding_mask),
            association_mask=optional(association_mask),
            drop=self._dropout(self.settings.hopfield.dropout, key, inference),
        )

    def unpack_inputs(self, input: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
        return lookup_patterns(self.arrays(), one(input))


def one(input: Any) -> jax.Array:
    """Return states as a JAX array."""
    if not isinstance(input, jax.Array | np.ndarray):
        raise TypeError(f"input must be one array, state patterns, got {type(input).__name__}")
    return as_array("input", input)


def two(input: Any) -> tuple[jax.Array, jax.Array]:
    """Return stored patterns and projections."""
    if isinstance(input, jax.Array | np.ndarray):
        patterns = as_array("input", input)
        return patterns, patterns
    if isinstance(input, tuple | list) and len(input) == 2:
        return as_array("stored patterns", input[0]), as_array("pattern projections", input[1])
    raise TypeError(
        "input must be one array, or two: stored patterns and pattern projections; "
        f"got {type(input).__name__}"
    )
