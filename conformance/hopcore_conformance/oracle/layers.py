"""Hopfield layers, written plainly in NumPy float64 and independent of hopcore: sample by sample.

Parts and rounding are those of :mod:`hopcore_conformance.oracle.heads`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from hopcore_conformance.oracle import compact
from hopcore_conformance.oracle import diffused as dense
from hopcore_conformance.oracle import memory as plain
from hopcore_conformance.oracle.heads import (
    Array,
    Blur,
    Heads,
    Noise,
    Parameters,
    Steady,
    activated,
    exact,
    heads_of,
    linear,
    softmax,
    temperature,
)

REST = 1000
"""Updates until the state rests, at most."""

CUT = 1e-6
"""Error of a series of diffusion."""


class Layer(NamedTuple):
    """The results of a layer: its output, and the weights and values of each head."""

    output: Array
    weights: Array
    values: Array


def longer(settings: Any, parameters: Parameters, x: Array, name: str, head: int) -> Array:
    """The memory of a head with the bias pattern and the pattern of zeros at its end."""
    if settings.concat_bias_pattern:
        bias = parameters.get(f"association_core.{name}")
        own = np.zeros(x.shape[-1]) if bias is None else bias.reshape(settings.num_heads, -1)[head]
        x = np.concatenate([x, own[None]])
    if settings.add_zero_association:
        x = np.concatenate([x, np.zeros((1, x.shape[-1]))])
    return x


def scores(settings: Any, beta: float, q: Array, keys: Array, blur: Blur) -> Array:
    """``beta K q``, or ``-beta |k - q|^2 / 2`` for each key k."""
    size = np.abs(keys) @ np.abs(q)
    if settings.similarity == "dot":
        return blur(beta * keys @ q, beta * size)
    lengths = np.sum(keys**2, axis=-1) + np.sum(q**2)
    return blur(-0.5 * beta * np.sum((keys - q) ** 2, axis=-1), beta * (size + 0.5 * lengths))


def separated(settings: Any, z: Array) -> Array:
    """Weights (S,) of scores by the separation function of the settings."""
    if settings.separation == "softmax":
        return softmax(z)
    family, _, power = str(settings.separation).partition(":")
    if family == "epanechnikov":
        kernels = np.where(np.isneginf(z), 0.0, np.maximum(1.0 + z, 0.0))
        return compact.weights(kernels, int(power or 1))
    alpha = 2.0 if settings.separation == "sparsemax" else settings.separation
    return plain.weights(z, alpha)


def reaches_nothing(settings: Any, weights: Array) -> bool:
    """Whether a query of a compact kernel is in reach of no key, and so stays."""
    return str(settings.separation).startswith("epanechnikov") and not np.any(weights)


def of_head(value: Any, head: int) -> Any:
    """The setting of a head, if heads may have different ones."""
    return value[head] if isinstance(value, tuple) else value


def rested(
    settings: Any, beta: float, head: int, q: Array, keys: Array, numbers: Array, blur: Blur
) -> Array:
    """A query after its updates; it stops on its own."""
    limit = of_head(settings.update_steps_max, head)
    tol = of_head(settings.update_steps_eps, head)
    shown = ~np.isneginf(numbers)
    unit = np.max(np.linalg.norm(keys[shown], axis=-1), initial=0.0) or 1.0
    blur = Steady(blur) if isinstance(blur, Noise) else blur
    for _ in range(REST if limit is None else limit):
        w = separated(settings, scores(settings, beta, q, keys, blur) + numbers)
        if reaches_nothing(settings, w):
            break
        before, q = q, blur(w @ keys, w @ np.abs(keys))
        moved = np.asarray(np.linalg.norm(q - before))
        if blur(moved, len(q) * np.linalg.norm(q)) <= tol * unit:
            break
    return q


def spread_over(
    config: Any, patterns: Array, nodes: Array | None, eta: float, features: Array, blur: Blur
) -> Array:
    """Features (S, d), diffused over the graph of the nearest neighbours of patterns."""
    near = dense.neighbours(patterns, min(config.k_neighbors, len(patterns) - 1), nodes)
    matrix = dense.laplacian(near.weights, config.use_normalized_laplacian)
    found = dense.operator(matrix, eta, config.diffusion_mode, config.steps) @ features
    largest = np.max(np.sum(np.abs(matrix), axis=-1))
    size = np.max(np.abs(features)) * (8.0 + 2.0 * config.steps * (1.0 + eta * largest))
    series = config.adaptive_eta or config.diffusion_mode == "chebyshev"
    return blur(found, size, CUT * np.max(np.abs(features)) if series else 0.0)


def etas(
    settings: Any, beta: float, queries: Array, keys: Array, numbers: Array, blur: Blur
) -> Any:
    """The strength of diffusion for each query of a head."""
    config, many = settings.diffusion, len(queries)
    if not config.adaptive_eta:
        return [config.eta] * many
    rows = zip(queries, numbers, strict=True)
    found = [softmax(scores(settings, beta, q, keys, blur) + n) for q, n in rows]
    heat = dense.entropy(np.stack(found))
    if config.adaptive_eta != "query":
        attends = np.any(~np.isneginf(numbers), axis=-1)
        heat = np.full(many, np.mean(heat[attends]) if np.any(attends) else 0.0)
    return dense.adapted(config.eta, heat, config.adaptive_temperature, config.adaptive_threshold)


def along_graph(
    config: Any, sample: Heads, nodes: Array, z: Array, weights: Array, blur: Blur
) -> Array:
    """Weights (S,) of a query near its anchor, or diffused; ``z`` are its scores."""
    if config.attention_mode == "graph":
        near = dense.neighbours(sample.stored, min(config.k_neighbors, len(z) - 1), nodes)
        anchor = np.argmax(z)
        weights = softmax(
            np.where((near.weights[anchor] > 0) | (np.arange(len(z)) == anchor), z, -np.inf)
        )
    if config.use_logit_diffusion:
        eta = config.eta if config.logit_eta is None else config.logit_eta
        spread = spread_over(config, sample.stored, nodes, eta, weights[:, None], blur)[:, 0]
        spread = np.where(np.isneginf(z), 0.0, np.maximum(spread, 0.0))
        weights = spread / (np.sum(spread) or 1.0)
    return weights


def recalled(
    settings: Any,
    parameters: Parameters,
    sample: Heads,
    head: int,
    numbers: Array,
    nodes: Array,
    blur: Blur,
) -> tuple[Array, Array]:
    """Weights (L, S') and values (S', v) of a head; ``numbers`` (L, S) are added to the scores.

    ``nodes`` (S,) says which patterns some query of the sample may attend to.
    """
    beta, config = temperature(settings, parameters, head), settings.diffusion
    queries, keys = sample.queries[head], sample.keys[head]
    memories = [keys] * len(queries)
    if config is not None:
        strength = etas(settings, beta, queries, keys, numbers, blur)
        if config.diffuse_query:
            queries = spread_over(config, sample.state, None, config.eta, queries, blur)
        if config.diffuse_key:
            memories = [
                spread_over(config, sample.stored, nodes, eta, keys, blur) for eta in strength
            ]
    memories = [longer(settings, parameters, keys, "bias_k", head) for keys in memories]
    values = longer(settings, parameters, sample.values[head], "bias_v", head)
    more = np.zeros((len(queries), len(values) - numbers.shape[-1]))
    found = []
    for q, keys, row in zip(queries, memories, np.concatenate([numbers, more], 1), strict=True):
        still = rested(settings, beta, head, q, keys, row, blur)
        z = scores(settings, beta, still, keys, blur) + row
        weights = separated(settings, z)
        if config is not None and np.any(weights):
            weights = along_graph(config, sample, nodes, z, weights, blur)
        found.append(blur(weights))
    return np.stack(found), values


def added(lead: tuple[int, ...], heads: int, count: int, padding: Any, association: Any) -> Any:
    """The numbers (..., H, L, S) that masks add to the scores: -inf where they are True."""

    def numbers(mask: Array) -> Array:
        return np.where(mask, -np.inf, 0.0) if mask.dtype == np.bool_ else mask

    total = np.zeros((*lead, heads, 1, 1))
    if padding is not None:
        total = total + numbers(padding)[..., None, None, :]
    if association is not None:
        if association.ndim == 3:
            association = association.reshape(*lead, heads, *association.shape[1:])
        total = total + numbers(association)
    return total


def layer(
    settings: Any,
    parameters: Parameters,
    stored: Array,
    state: Array | None = None,
    projection: Array | None = None,
    *,
    stored_pattern_padding_mask: Array | None = None,
    association_mask: Array | None = None,
    drop: Callable[[Array], Array] | None = None,
    blur: Blur = exact,
) -> Layer:
    """A Hopfield layer."""
    given = [
        stored,
        stored if state is None else state,
        stored if projection is None else projection,
    ]
    if not settings.batch_first:
        given = [np.moveaxis(x, 0, -2) if x.ndim > 2 else x for x in given]
    lead = np.broadcast_shapes(*(x.shape[:-2] for x in given))
    stored, state, projection = (np.broadcast_to(x, (*lead, *x.shape[-2:])) for x in given)
    heads, shape = settings.num_heads, (state.shape[-2], stored.shape[-2])
    numbers = added(lead, heads, shape[1], stored_pattern_padding_mask, association_mask)
    numbers = np.broadcast_to(numbers, (*lead, heads, *shape))
    weights, values = [], []
    for at in np.ndindex(lead):
        sample = heads_of(settings, parameters, stored[at], state[at], projection[at], blur)
        nodes = np.any(~np.isneginf(numbers[at]), axis=(0, 1))
        for head in range(heads):
            w, v = recalled(settings, parameters, sample, head, numbers[at][head], nodes, blur)
            weights.append(w)
            values.append(v)
    every = [np.reshape(x, (*lead, heads, *x[0].shape)) for x in map(np.stack, (weights, values))]
    output = joined(
        settings, parameters, every[0] if drop is None else drop(every[0]), every[1], blur
    )
    if not settings.batch_first and output.ndim > 2:
        output = np.moveaxis(output, -2, 0)
    return Layer(output, *every)


def joined(
    settings: Any, parameters: Parameters, weights: Array, values: Array, blur: Blur
) -> Array:
    """The values by their weights, the heads beside each other, projected and activated."""
    heads = [
        blur(
            weights[..., h, :, :] @ values[..., h, :, :],
            weights[..., h, :, :] @ np.abs(values[..., h, :, :]),
        )
        for h in range(settings.num_heads)
    ]
    found = np.concatenate(heads, axis=-1)
    if not settings.disable_out_projection:
        weight, bias = (
            parameters.get(f"association_core.out_proj.{x}") for x in ("weight", "bias")
        )
        assert weight is not None
        found = linear(found, weight, bias, blur)
    return activated(settings.association_activation, found, blur)
