"""Transformer layers whose attention is a Hopfield layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
from jax.typing import DTypeLike

import hopcore
from hopcore import DiffusionConfig
from hopcore.layers import (
    ActivationName,
    AssociationProperties,
    DecoderMethods,
    DecoderSettings,
    EncoderMethods,
    EncoderSettings,
    HopfieldSettings,
    LookupSettings,
    hopfield_settings,
    suggest_names,
    transformer_arguments,
)
from hopcore.memory import LearnableAlpha, SeparationName, Similarity
from hopcore_jax.layers._base import Key, ParameterOwner, Scaling, as_array, part
from hopcore_jax.layers._hopfield import Hopfield
from hopcore_jax.layers._pooling import HopfieldLayer

RESIDUAL = "dropout_residual", "dropout_output"
"""Where transformer layers drop values, beside their associations."""


class _TransformerLayer(ParameterOwner, AssociationProperties):
    """What encoder and decoder layers share: how they are made, and keys for their parts."""

    def _construct(self, scope: Mapping[str, Any]) -> None:
        """Make the layer from the arguments of its constructor, ``locals()``."""
        own, inner = transformer_arguments(scope)
        settings = self.KIND(hopfield=hopfield_settings(inner), **own)
        self._own(settings, scope["key"], scope["dtype"], scope["inference"])

    @property
    def association_settings(self) -> HopfieldSettings:
        """The settings of the association."""
        return self.settings.association

    @property
    def norm_first(self) -> bool:
        """Whether a branch begins with its normalisation."""
        return self.settings.norm_first

    def as_array(self, sequence: Any) -> jax.Array:
        """Return a sequence as an array of JAX."""
        return as_array("a sequence", sequence)

    def _association(self, name: str) -> Any:
        """Return the association of this name, with its share of the parameters."""
        settings = self.settings.parts()[name]
        kind = HopfieldLayer if isinstance(settings, LookupSettings) else Hopfield
        return part(self, kind, name, settings)

    def _keys(self, key: Key | None) -> dict[str, Any]:
        """A key for each association and for each place that drops values."""
        parts = self.settings.PARTS
        names = *parts, *(f"dropout_{name}" for name in parts), *RESIDUAL
        if key is None:
            return dict.fromkeys(names)
        return dict(zip(names, jax.random.split(key, len(names)), strict=True))

    def _drop(
        self, keys: dict[str, Any], inference: bool | None
    ) -> Callable[[str, jax.Array], jax.Array]:
        def drop(name: str, values: jax.Array) -> jax.Array:
            dropout = self._dropout(self.settings.dropout, keys[name], inference)
            return values if dropout is None else dropout(values)

        return drop


class HopfieldEncoderLayer(_TransformerLayer, EncoderMethods):
    """A transformer encoder layer whose attention is a Hopfield layer.

    Parameters
    ----------
    d_model, nhead : int
        Depth of the sequence, and heads.
    dim_feedforward, dropout, activation, layer_norm_eps, norm_first, bias
        As in :class:`hopcore.layers.EncoderSettings`; ``dropout`` also of the association weights.
    batch_first : bool
        Sequences are ``(..., L, d)``; unlike in torch, that is the default.
    input_bias : bool, optional
        Whether the projections of the Hopfield layer have a bias; the default is ``bias``.
    hidden_size, output_size, pattern_size, scaling, learnable_scaling, separation
    similarity, update_steps_max, update_steps_eps
    normalize_stored_pattern, normalize_stored_pattern_affine, normalize_stored_pattern_eps
    normalize_state_pattern, normalize_state_pattern_affine, normalize_state_pattern_eps
    normalize_pattern_projection, normalize_pattern_projection_affine
    normalize_pattern_projection_eps
    normalize_hopfield_space, normalize_hopfield_space_affine, normalize_hopfield_space_eps
    stored_pattern_as_static, state_pattern_as_static, pattern_projection_as_static
    pattern_projection_as_connected, stored_pattern_size, pattern_projection_size
    association_activation, concat_bias_pattern, add_zero_association, disable_out_projection
    diffusion, key, dtype, inference
        As in :class:`Hopfield`; ``of`` takes :class:`hopcore.layers.EncoderSettings`, which may
        hold those of a :class:`HopfieldLayer`.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from hopcore_jax import HopfieldEncoderLayer
    >>> layer = HopfieldEncoderLayer(d_model=8, nhead=2, key=jax.random.key(0))
    >>> layer(jnp.ones((3, 5, 8)), key=jax.random.key(1)).shape
    (3, 5, 8)
    """

    KIND: ClassVar[type] = EncoderSettings
    settings: EncoderSettings = eqx.field(static=True)

    @suggest_names
    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: ActivationName = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = True,
        norm_first: bool = False,
        bias: bool = True,
        *,
        hidden_size: int | None = None,
        output_size: int | None = None,
        pattern_size: int | None = None,
        scaling: Scaling | None = None,
        learnable_scaling: bool = False,
        separation: SeparationName | float | LearnableAlpha = "softmax",
        similarity: Similarity = "dot",
        update_steps_max: int | tuple[int, ...] | None = 0,
        update_steps_eps: float | tuple[float, ...] = 1e-4,
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
        association_activation: ActivationName | None = None,
        input_bias: bool | None = None,
        concat_bias_pattern: bool = False,
        add_zero_association: bool = False,
        disable_out_projection: bool = False,
        diffusion: DiffusionConfig | None = None,
        key: Key | None = None,
        dtype: DTypeLike | None = None,
        inference: bool = False,
    ) -> None:
        self._construct(locals())

    @property
    def hopfield_association(self) -> Hopfield | HopfieldLayer:
        """The association, with its share of the parameters."""
        return self._association("hopfield_association")

    @suggest_names
    def __call__(
        self,
        src: jax.Array,
        src_mask: Any = None,
        src_key_padding_mask: Any = None,
        *,
        key: Key | None = None,
        inference: bool | None = None,
    ) -> jax.Array:
        """Return the encoded sequence ``(..., L, d)``.

        Masks are True where a pattern is not attended to, or numbers that are added to the scores;
        ``~jnp.tri(L, dtype=bool)`` masks what comes later. ``key`` and ``inference`` are as in
        :meth:`Hopfield.__call__`.
        """
        keys = self._keys(key)

        def associate(values: jax.Array) -> jax.Array:
            own: Any = {"key": keys["hopfield_association"], "inference": inference}
            return self.hopfield_association(values, src_key_padding_mask, src_mask, **own)

        return hopcore.layers.encoder_layer(
            self.settings,
            self.arrays(),
            as_array("src", src),
            src_key_padding_mask=src_key_padding_mask,
            associate=associate,
            drop=self._drop(keys, inference),
        )


class HopfieldDecoderLayer(_TransformerLayer, DecoderMethods):
    """A transformer decoder layer whose attentions are Hopfield layers.

    Parameters
    ----------
    d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first
        As in :class:`HopfieldEncoderLayer`.
    bias, input_bias
        As in :class:`HopfieldEncoderLayer`.
    hidden_size, output_size, pattern_size, scaling, learnable_scaling, separation
    similarity, update_steps_max, update_steps_eps
    normalize_stored_pattern, normalize_stored_pattern_affine, normalize_stored_pattern_eps
    normalize_state_pattern, normalize_state_pattern_affine, normalize_state_pattern_eps
    normalize_pattern_projection, normalize_pattern_projection_affine
    normalize_pattern_projection_eps
    normalize_hopfield_space, normalize_hopfield_space_affine, normalize_hopfield_space_eps
    stored_pattern_as_static, state_pattern_as_static, pattern_projection_as_static
    pattern_projection_as_connected, stored_pattern_size, pattern_projection_size
    association_activation, concat_bias_pattern, add_zero_association, disable_out_projection
    diffusion, key, dtype, inference
        As in :class:`Hopfield`, for both Hopfield layers; ``of`` takes settings of each.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from hopcore_jax import HopfieldDecoderLayer
    >>> layer = HopfieldDecoderLayer(d_model=8, nhead=2, key=jax.random.key(0))
    >>> layer(jnp.ones((3, 5, 8)), jnp.ones((3, 7, 8)), inference=True).shape
    (3, 5, 8)
    """

    KIND: ClassVar[type] = DecoderSettings
    settings: DecoderSettings = eqx.field(static=True)

    @suggest_names
    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: ActivationName = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = True,
        norm_first: bool = False,
        bias: bool = True,
        *,
        hidden_size: int | None = None,
        output_size: int | None = None,
        pattern_size: int | None = None,
        scaling: Scaling | None = None,
        learnable_scaling: bool = False,
        separation: SeparationName | float | LearnableAlpha = "softmax",
        similarity: Similarity = "dot",
        update_steps_max: int | tuple[int, ...] | None = 0,
        update_steps_eps: float | tuple[float, ...] = 1e-4,
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
        association_activation: ActivationName | None = None,
        input_bias: bool | None = None,
        concat_bias_pattern: bool = False,
        add_zero_association: bool = False,
        disable_out_projection: bool = False,
        diffusion: DiffusionConfig | None = None,
        key: Key | None = None,
        dtype: DTypeLike | None = None,
        inference: bool = False,
    ) -> None:
        self._construct(locals())

    @property
    def hopfield_association_self(self) -> Hopfield | HopfieldLayer:
        """The association of the target with itself."""
        return self._association("hopfield_association_self")

    @property
    def hopfield_association_cross(self) -> Hopfield:
        """The association of the target with the memory."""
        return self._association("hopfield_association_cross")

    @suggest_names
    def __call__(
        self,
        tgt: jax.Array,
        memory: jax.Array,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        *,
        key: Key | None = None,
        inference: bool | None = None,
    ) -> jax.Array:
        """Return the decoded target ``(..., L, d)``, given a memory ``(..., S, d)``.

        All else is as in :meth:`HopfieldEncoderLayer.__call__`.
        """
        keys = self._keys(key)
        memory = as_array("memory", memory)

        def associate(values: jax.Array) -> jax.Array:
            own: Any = {"key": keys["hopfield_association_self"], "inference": inference}
            return self.hopfield_association_self(values, tgt_key_padding_mask, tgt_mask, **own)

        def cross(values: jax.Array) -> jax.Array:
            own: Any = {"key": keys["hopfield_association_cross"], "inference": inference}
            patterns = memory, values, memory
            return self.hopfield_association_cross(
                patterns, memory_key_padding_mask, memory_mask, **own
            )

        return hopcore.layers.decoder_layer(
            self.settings,
            self.arrays(),
            as_array("tgt", tgt),
            memory,
            tgt_key_padding_mask=tgt_key_padding_mask,
            associate=associate,
            cross=cross,
            drop=self._drop(keys, inference),
        )
