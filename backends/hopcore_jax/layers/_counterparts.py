"""Equinox's attention as a Hopfield layer with the same weights, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from hopcore.layers import PATTERNS, HopfieldSettings, hopfield_settings, layer_parameters
from hopcore_jax.layers._hopfield import Hopfield

PROJECTIONS = "query_proj", "key_proj", "value_proj", "output_proj"
UNPACKED = "q_proj_weight", "k_proj_weight", "v_proj_weight"
CORE = "association_core."


def with_weights_of(attention: Any, options: Mapping[str, Any]) -> Hopfield:
    """Return the Hopfield layer that computes what equinox's attention does."""
    check_attention(attention)
    settings = hopfield_settings(
        {
            "input_size": attention.query_size,
            "hidden_size": attention.qk_size,
            "pattern_size": None if attention.vo_size == attention.qk_size else attention.vo_size,
            "output_size": attention.output_size,
            "num_heads": attention.num_heads,
            "stored_pattern_size": attention.key_size,
            "pattern_projection_size": attention.value_size,
            "dropout": attention.dropout.p,
            "input_bias": attention.use_query_bias,
            **{f"normalize_{name}": False for name in PATTERNS},
            **options,
        }
    )
    weights = [getattr(attention, name).weight for name in PROJECTIONS]
    biases = [getattr(attention, name).bias for name in PROJECTIONS]
    given = {"out_proj.weight": weights[3]}
    if settings.packed:
        given["in_proj_weight"] = jnp.concatenate(weights[:3], axis=-2)
    else:
        given.update(zip(UNPACKED, weights[:3], strict=True))
    if settings.input_bias:
        given["in_proj_bias"] = jnp.concatenate(biases[:3], axis=-1)
        given["out_proj.bias"] = biases[3]
    parameters = {CORE + name: value for name, value in given.items()}
    lead, dtype = weights[0].shape[:-2], weights[0].dtype
    for name, one in layer_parameters(settings).items():
        if name not in parameters:  # a learned temperature or alpha, whose start is not random
            start = jnp.asarray(one.start, dtype)
            parameters[name] = jnp.broadcast_to(start, (*lead, *one.shape))
    layer = object.__new__(Hopfield)
    layer._hold(settings, parameters, attention.dropout.inference)
    return layer


def check_attention(attention: Any) -> None:
    """Raise an error if attention does not compute what equinox's does."""
    if type(attention).__call__ is not eqx.nn.MultiheadAttention.__call__:
        raise TypeError(
            f"a {type(attention).__name__} has a call of its own: write the layer with Hopfield"
        )
    for name in PROJECTIONS:
        if type(projection := getattr(attention, name)) is not eqx.nn.Linear:
            raise TypeError(
                f"{name} must be an equinox.nn.Linear, got {type(projection).__name__}: "
                "make what an adapter computes permanent"
            )
    if type(attention.dropout) is not eqx.nn.Dropout:
        raise TypeError(
            f"dropout must be an equinox.nn.Dropout, got {type(attention.dropout).__name__}"
        )
    biases = {name: getattr(attention, name).bias is not None for name in PROJECTIONS}
    if len(set(biases.values())) > 1:
        without = ", ".join(name for name, given in biases.items() if not given)
        raise ValueError(
            f"all projections or none must have a bias, but {without} has none: "
            "give it a bias of zeros"
        )


def attention_of(layer: Hopfield) -> eqx.nn.MultiheadAttention:
    """Return equinox's attention that computes what a Hopfield layer does."""
    settings = layer.settings
    check_settings(settings)
    sizes = settings.head_size, settings.head_size, settings.value_size
    parameters = {name.removeprefix(CORE): x for name, x in layer.parameters.items()}
    rows = [settings.num_heads * (size or 0) for size in sizes]
    cuts = [rows[0], rows[0] + rows[1]]
    if settings.packed:
        weights = jnp.split(parameters["in_proj_weight"], cuts, axis=-2)
    else:
        weights = [parameters[name] for name in UNPACKED]
    biases: list[Any] = [None, None, None]
    if settings.input_bias:
        biases = jnp.split(parameters["in_proj_bias"], cuts, axis=-1)
    weights = [*weights, parameters["out_proj.weight"]]
    biases = [*biases, parameters.get("out_proj.bias")]
    bias = settings.input_bias
    make = eqx.Partial(
        eqx.nn.MultiheadAttention,
        settings.num_heads,
        settings.input_size,
        settings.stored_size,
        settings.projection_size,
        settings.out_size,
        settings.head_size,
        settings.value_size,
        use_query_bias=bias,
        use_key_bias=bias,
        use_value_bias=bias,
        use_output_bias=bias,
        dropout_p=float(settings.dropout),
        inference=layer.inference,
        key=jax.random.key(0),
    )
    values = [x for pair in zip(weights, biases, strict=True) for x in pair if x is not None]
    return eqx.tree_at(arrays_of, eqx.filter_eval_shape(make), values)


def arrays_of(attention: Any) -> list[Any]:
    """Return the weights and biases of equinox's attention."""
    parts = [getattr(attention, name) for name in PROJECTIONS]
    return [x for part in parts for x in (part.weight, part.bias) if x is not None]


def check_settings(settings: HopfieldSettings) -> None:
    """Raise an error for settings that equinox's attention does not have."""
    sizes = {x.name for x in fields(settings) if x.name.endswith(("_size", "_affine", "_eps"))}
    free = sizes | {"num_heads", "scaling", "dropout", "input_bias", "batch_first"}
    wanted = {x.name: x.default for x in fields(settings) if x.name not in free}
    wanted.update({f"normalize_{name}": False for name in PATTERNS})
    other = [
        f"{k}={getattr(settings, k)!r}" for k, x in wanted.items() if getattr(settings, k) != x
    ]
    if not other and settings.beta != replace(settings, scaling=None).beta:
        other = [f"scaling={settings.scaling!r}"]
    if other:
        raise ValueError(f"equinox's attention has no {', '.join(other[:3])}")
