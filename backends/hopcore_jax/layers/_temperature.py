"""Attention that learns its temperature, and a temperature that layers share."""

from __future__ import annotations

from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from hopcore import LearnableTemperature
from hopcore.layers import (
    CORE,
    attention_mask,
    attention_patterns,
    attention_settings,
    named_arguments,
    suggest_names,
)
from hopcore.memory import LearnableAlpha, SeparationName, Similarity, Statistics
from hopcore_jax.layers._base import Key, ParameterOwner
from hopcore_jax.layers._hopfield import Hopfield

Layers = TypeVar("Layers")
SHARED = "shared_temperature"
"""The last part of the name of a shared temperature."""


class LearnableTemperatureAttention(Hopfield):
    """Multi-head attention whose temperature is learned and stays positive.

    Scores are divided by ``softplus(theta)``, which starts at exactly ``init_temp_factor`` times
    the usual ``sqrt(d_model / num_heads)``; see :class:`hopcore.LearnableTemperature`.

    Parameters
    ----------
    d_model, num_heads : int
        The number of features of the sequence, and the number of heads.
    init_temp_factor : float or tuple of float
        The initial temperature; a tuple has one for each head.
    per_head : bool
        Whether each head learns its own temperature.
    shared : bool
        Whether to multiply by a second temperature, which layers may share
        (:func:`share_temperature`).
    separation : str or float
    similarity : {"dot", "distance"}
        As in :class:`hopcore.HopfieldSettings`.
    key, dtype, inference
        As in :class:`Hopfield`.
    dropout, bias, add_bias_kv, add_zero_attn, kdim, vdim, head_dim, pattern_dim, out_dim
    disable_out_projection, key_as_static, query_as_static, value_as_static, value_as_connected
    normalize_pattern, normalize_pattern_affine, normalize_pattern_eps
        As in :class:`HopfieldCore`.

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

    @suggest_names
    def __init__(
        self,
        d_model: int,
        num_heads: int,
        init_temp_factor: float | tuple[float, ...] = 1.0,
        per_head: bool = False,
        shared: bool = False,
        *,
        separation: SeparationName | float | LearnableAlpha = "softmax",
        similarity: Similarity = "dot",
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
        key: Key | None = None,
        dtype: DTypeLike | None = None,
        inference: bool = False,
    ) -> None:
        learned = LearnableTemperature(factor=init_temp_factor, per_head=per_head, shared=shared)
        arguments = named_arguments(CORE, locals())
        settings = attention_settings(d_model, learned, separation, similarity, arguments)
        self._own(settings, key, dtype, inference)

    @suggest_names
    def __call__(
        self,
        query: jax.Array,
        key_: jax.Array | None = None,
        value: jax.Array | None = None,
        key_padding_mask: Any = None,
        attn_mask: Any = None,
        *,
        mask: Any = None,
        key: Key | None = None,
        inference: bool | None = None,
    ) -> jax.Array:
        """Return the association of queries ``(..., L, d)`` with keys and values ``(..., S, d)``.

        The default of the keys is the queries, and the default of the values is the keys. Masks are
        True for keys that are ignored, or numbers that are added to the scores. ``key`` and
        ``inference`` are as in :meth:`Hopfield.__call__`.

        ``mask`` has the opposite meaning: True, or not 0, where a query may attend to a key, as in
        :func:`hopcore.association`. It broadcasts to ``(..., H, L, S)`` and is instead of
        ``attn_mask``.
        """
        masks = key_padding_mask, attention_mask(attn_mask, mask)
        patterns = attention_patterns(query, key_, value)
        return super().__call__(patterns, *masks, key=key, inference=inference)

    @suggest_names
    def association_weights(
        self,
        query: jax.Array,
        key_: jax.Array | None = None,
        value: jax.Array | None = None,
        key_padding_mask: Any = None,
        attn_mask: Any = None,
        *,
        mask: Any = None,
    ) -> jax.Array:
        """Return how much each query of each head attends to each key, ``(..., H, L, S)``."""
        masks = key_padding_mask, attention_mask(attn_mask, mask)
        return super().association_weights(attention_patterns(query, key_, value), *masks)

    @suggest_names
    def statistics(
        self,
        query: jax.Array,
        key_: jax.Array | None = None,
        value: jax.Array | None = None,
        key_padding_mask: Any = None,
        attn_mask: Any = None,
        *,
        mask: Any = None,
    ) -> Statistics[jax.Array]:
        """Return the statistics of each head, see :meth:`Hopfield.statistics`."""
        masks = key_padding_mask, attention_mask(attn_mask, mask)
        return super().statistics(attention_patterns(query, key_, value), *masks)

    def get_association_matrix(
        self,
        query: jax.Array,
        key_: jax.Array | None = None,
        value: jax.Array | None = None,
        key_padding_mask: Any = None,
        attn_mask: Any = None,
        *,
        mask: Any = None,
    ) -> jax.Array:
        """:meth:`association_weights` without a gradient."""
        masks = key_padding_mask, attention_mask(attn_mask, mask)
        return jax.lax.stop_gradient(self.association_weights(query, key_, value, *masks))


def share_temperature(layers: Layers, theta: Any = None) -> Layers:
    """Let layers share one temperature, as one array in each of them.

    Within a loss, so that its gradient with respect to ``theta`` is the sum over the layers.

    Parameters
    ----------
    layers : layer, or pytree of them
        A list, a module ...; each layer has a ``LearnableTemperature(shared=True)`` for its
        ``scaling``, itself or within.
    theta : array (), optional
        The parameter whose softplus is the shared temperature; that of the first layer if not
        given, which then gets the whole gradient.

    Returns
    -------
    layers
        Copies of the same structure.

    Raises
    ------
    ValueError
        A layer has no shared temperature, or theta is not a single number.

    Examples
    --------
    >>> import jax
    >>> from hopcore_jax import LearnableTemperatureAttention, share_temperature
    >>> keys = jax.random.split(jax.random.key(0), 3)
    >>> layers = [LearnableTemperatureAttention(8, 2, shared=True, key=key) for key in keys]
    >>> shared = share_temperature(layers, jax.numpy.asarray(0.5))
    >>> [float(layer.parameters["shared_temperature"]) for layer in shared]
    [0.5, 0.5, 0.5]
    """
    leaves, structure = jax.tree.flatten(
        layers, is_leaf=lambda one: isinstance(one, ParameterOwner)
    )
    owners = [one for one in leaves if isinstance(one, ParameterOwner)]
    for layer in owners:
        if not shared_names(layer):
            raise ValueError(
                f"{type(layer).__name__} has no shared temperature: "
                "scaling=LearnableTemperature(shared=True)"
            )
    if not owners:
        raise ValueError("layers must hold a layer with a shared temperature, got none")
    if theta is None:
        theta = owners[0].parameters[shared_names(owners[0])[0]]
    if jnp.ndim(theta):
        raise ValueError(f"theta must be one number, got shape {jnp.shape(theta)}")
    return jax.tree.unflatten(
        structure,
        [
            with_shared_temperature(one, theta) if isinstance(one, ParameterOwner) else one
            for one in leaves
        ],
    )


def shared_names(layer: ParameterOwner) -> list[str]:
    """Return the names of the shared temperatures of a layer."""
    return [name for name in layer.parameters if name.split(".")[-1] == SHARED]


def with_shared_temperature(layer: ParameterOwner, theta: Any) -> ParameterOwner:
    """Return the layer with another shared temperature."""
    names = shared_names(layer)
    new = {name: jnp.asarray(theta, layer.parameters[name].dtype) for name in names}
    return eqx.tree_at(lambda one: one.parameters, layer, {**layer.parameters, **new})
