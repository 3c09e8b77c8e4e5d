"""Pooling, lookup and transformer layers, in plain NumPy around a plain Hopfield layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hopcore_conformance.oracle.heads import (
    Array,
    Blur,
    Parameters,
    activated,
    exact,
    linear,
    normal,
)
from hopcore_conformance.oracle.layers import layer


def inner(parameters: Parameters, name: str) -> Parameters:
    """The parameters whose names begin with another, without it."""
    start = f"{name}."
    return {key.removeprefix(start): x for key, x in parameters.items() if key.startswith(start)}


def pooling(
    settings: Any,
    parameters: Parameters,
    stored: Array,
    projection: Array | None = None,
    **rest: Any,
) -> Array:
    """Pooling: the same learned queries for each sample."""
    first = settings.hopfield.batch_first
    queries = parameters["pooling_weights"].reshape(settings.quantity, -1)
    own = inner(parameters, "hopfield")
    found = layer(settings.hopfield, own, stored, queries, projection, **rest).output
    found = found if first or found.ndim < 3 else np.moveaxis(found, 0, -2)
    return found.reshape(*found.shape[:-2], -1)


def lookup(settings: Any, parameters: Parameters, state: Array, **rest: Any) -> Array:
    """Queries, associated with the same learned memory."""
    stored = parameters["lookup_weights"].reshape(settings.quantity, -1)
    values = parameters.get("target_weights")
    values = stored if values is None else values.reshape(settings.quantity, -1)
    return layer(
        settings.hopfield, inner(parameters, "hopfield"), stored, state, values, **rest
    ).output


def associated(settings: Any, parameters: Parameters, x: Array, **rest: Any) -> Array:
    """A sequence associated with itself, or with the learned memory of a lookup."""
    if hasattr(settings, "quantity"):
        return lookup(settings, parameters, x, **rest)
    return layer(settings, parameters, x, **rest).output


def branches(
    settings: Any,
    parameters: Parameters,
    blur: Blur,
    x: Array,
    works: dict[str, Callable[[Array], Array]],
) -> Array:
    """Residual branches, by the names of their normalisations, and at last the two linear maps."""

    def norm(name: str, x: Array) -> Array:
        weight, bias = parameters[f"{name}.weight"], parameters.get(f"{name}.bias")
        return normal(x, weight, bias, settings.layer_norm_eps, blur)

    def affine(name: str, x: Array) -> Array:
        return linear(x, parameters[f"{name}.weight"], parameters.get(f"{name}.bias"), blur)

    def feed_forward(x: Array) -> Array:
        hidden = activated(settings.activation, affine("linear_residual", x), blur)
        return affine("linear_output", hidden)

    for name, work in {**works, "norm_output": feed_forward}.items():
        x = x + work(norm(name, x)) if settings.norm_first else norm(name, x + work(x))
    return x


def replaced_by(maps: Sequence[Array] | None, index: int) -> Callable[[Array], Array] | None:
    """Return a function that replaces the weights of a layer by the given ones, in order."""
    return None if maps is None else lambda _: maps[index]


def encoder(
    settings: Any,
    parameters: Parameters,
    src: Array,
    src_mask: Array | None = None,
    src_key_padding_mask: Array | None = None,
    blur: Blur = exact,
    maps: Sequence[Array] | None = None,
) -> Array:
    """An encoder layer; the weights of ``maps``, if given, replace its own."""

    def own(x: Array) -> Array:
        return associated(
            settings.hopfield,
            inner(parameters, "hopfield_association"),
            x,
            association_mask=src_mask,
            stored_pattern_padding_mask=src_key_padding_mask,
            drop=replaced_by(maps, 0),
            blur=blur,
        )

    return branches(settings, parameters, blur, src, {"norm_residual": own})


def decoder(
    settings: Any,
    parameters: Parameters,
    tgt: Array,
    memory: Array,
    tgt_mask: Array | None = None,
    memory_mask: Array | None = None,
    tgt_key_padding_mask: Array | None = None,
    memory_key_padding_mask: Array | None = None,
    blur: Blur = exact,
    maps: Sequence[Array] | None = None,
) -> Array:
    """A decoder layer; the weights of ``maps``, if given, replace its own."""

    def own(x: Array) -> Array:
        return associated(
            settings.hopfield,
            inner(parameters, "hopfield_association_self"),
            x,
            association_mask=tgt_mask,
            stored_pattern_padding_mask=tgt_key_padding_mask,
            drop=replaced_by(maps, 0),
            blur=blur,
        )

    def cross(x: Array) -> Array:
        return layer(
            settings.cross,
            inner(parameters, "hopfield_association_cross"),
            memory,
            x,
            association_mask=memory_mask,
            stored_pattern_padding_mask=memory_key_padding_mask,
            drop=replaced_by(maps, 1),
            blur=blur,
        ).output

    works = {"norm_residual_self": own, "norm_residual_cross": cross}
    return branches(settings, parameters, blur, tgt, works)
