"""The association of a Hopfield layer as a separate module."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

import hopcore
from hopcore.layers import (
    CORE,
    AssociationProperties,
    HopfieldSettings,
    as_numbers,
    core_settings,
    named_arguments,
    suggest_names,
)
from hopcore_jax.layers._base import Key, ParameterOwner, as_array, optional


class HopfieldCore(ParameterOwner, AssociationProperties):
    """Association in several heads without normalisation, like ``torch.nn.MultiheadAttention``.

    Parameters
    ----------
    embed_dim : int, optional
        The number of features of the queries.
    num_heads, dropout, bias, add_bias_kv, add_zero_attn, kdim, vdim
        As in ``torch.nn.MultiheadAttention``.
    head_dim, pattern_dim, out_dim : int, optional
        The number of features of the association space, of the values of a head, and of the output.
    disable_out_projection, key_as_static, query_as_static, value_as_static, value_as_connected
        As in :class:`hopcore.HopfieldSettings`, under other names.
    normalize_pattern, normalize_pattern_affine, normalize_pattern_eps
        Normalisation in the association space.
    batch_first : bool
        Whether inputs have the shape ``(N, L, E)``, and otherwise ``(L, N, E)``.
    key, dtype, inference
        As in :class:`Hopfield`.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from hopcore_jax import HopfieldCore
    >>> core = HopfieldCore(embed_dim=8, num_heads=2, key=jax.random.key(0))
    >>> output, weights, *_ = core(*3 * [jnp.ones((5, 3, 8))])
    >>> output.shape, weights.shape
    ((5, 3, 8), (3, 5, 5))
    """

    KIND: ClassVar[type] = HopfieldSettings
    settings: HopfieldSettings = eqx.field(static=True)

    @suggest_names
    def __init__(
        self,
        embed_dim: int | None = None,
        num_heads: int = 1,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        head_dim: int | None = None,
        pattern_dim: int | None = None,
        out_dim: int | None = None,
        disable_out_projection: bool = False,
        key_as_static: bool = False,
        query_as_static: bool = False,
        value_as_static: bool = False,
        value_as_connected: bool = False,
        normalize_pattern: bool = False,
        normalize_pattern_affine: bool = False,
        normalize_pattern_eps: float = 1e-5,
        *,
        batch_first: bool = False,
        key: Key | None = None,
        dtype: DTypeLike | None = None,
        inference: bool = False,
    ) -> None:
        settings = core_settings(named_arguments(CORE, locals()), batch_first=batch_first)
        self._own(settings, key, dtype, inference)

    @property
    def association_settings(self) -> HopfieldSettings:
        """The settings of the association."""
        return self.settings

    @suggest_names
    def __call__(
        self,
        query: jax.Array,
        key_: jax.Array,
        value: jax.Array,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        scaling: Any = None,
        update_steps_max: Any = 0,
        update_steps_eps: Any = 1e-4,
        return_raw_associations: bool = False,
        return_pattern_projections: bool = False,
        *,
        key: Key | None = None,
        inference: bool | None = None,
    ) -> tuple[jax.Array, jax.Array | None, jax.Array | None, jax.Array | None]:
        """Return the output and, if asked for, weights of all heads together, of each, and values.

        Stored patterns are called ``key_`` as in ``equinox.nn.MultiheadAttention``, because ``key``
        is the key of dropout. Masks are True for patterns that are ignored, or numbers that are
        added to the scores. A ``scaling`` that is a JAX array is differentiated; the default is 1.
        """
        arrays = self.arrays()
        if isinstance(scaling, jax.Array):
            arrays["scaling"], scaling = scaling, None
        settings = replace(
            self.settings,
            scaling=as_numbers(1.0 if scaling is None else scaling),
            update_steps_max=as_numbers(update_steps_max),
            update_steps_eps=as_numbers(update_steps_eps),
        )
        masks: dict[str, Any] = {
            "stored_pattern_padding_mask": optional(key_padding_mask),
            "association_mask": optional(attn_mask),
        }
        given = settings, arrays, *(as_array("an input", x) for x in (key_, query, value))
        drop = self._dropout(settings.dropout, key, inference)
        output = hopcore.hopfield(*given, **masks, drop=drop)
        weights = raw = projections = None
        if need_weights or return_raw_associations:
            raw = hopcore.layers.hopfield_weights(*given, **masks)
            weights = jnp.mean(raw, axis=-3) if need_weights else None
        if return_pattern_projections:
            projections = hopcore.layers.hopfield_projections(*given)
        return output, weights, raw if return_raw_associations else None, projections
