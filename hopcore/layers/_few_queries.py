r"""The association of few queries with a large set, without projecting the set.

With the normalised set :math:`\hat x_s`, the key of a head is :math:`k_s = W_K \hat x_s + b_K` and
its value :math:`v_s = W_V \hat x_s + b_V`. Therefore

.. math::
    q \cdot k_s = (W_K^T q) \cdot \hat x_s + q \cdot b_K, \qquad
    \sum_s w_s v_s = W_V \sum_s w_s \hat x_s + b_V \sum_s w_s .

The second term of the score is the same for all patterns, so that the weights do not depend on it.
A scale of the normalisation is a part of the maps, and its shift a part of their biases. So the
maps are applied to H L queries instead of S patterns, and the set itself is key and value of all
heads. With few queries, as in pooling, this takes a fraction of the time.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from hopcore.arrays._backend import Array, Backend, SeparationFunction, orders_of, with_orders
from hopcore.layers._masks import CoreMasks
from hopcore.layers._parameters import Parameters
from hopcore.layers._projections import (
    Patterns,
    beta_of,
    input_projections,
    normalize,
    separation_of,
    split_heads,
)
from hopcore.layers._recall import Drop
from hopcore.layers._settings import HopfieldSettings

WORTH = 4_000_000
"""With fewer products saved, the additional steps of a call take longer (measured in torch)."""


def obstacle_to_moved_maps(
    settings: HopfieldSettings, parameters: Parameters, backend: Backend, patterns: Patterns
) -> str:
    """Say why the maps of keys and values cannot move to the queries, or do not pay; else "".

    A score of a moved query takes d products instead of d / H, but the set of S patterns is not
    projected. So S d (d - L (H - 1)) products are saved, twice, and a few small ones are added.
    """
    state, stored, _ = patterns
    if state is stored:
        return "a sequence that associates with itself has as many queries as patterns"
    if not (backend.has_known_sizes(state) and backend.has_known_sizes(stored)):
        return "sizes are open in a trace"
    queries, count, depth = state.shape[-2], stored.shape[-2], stored.shape[-1]
    if 2 * queries > count:
        return "there are too many queries"
    saved = math.prod(stored.shape[:-1]) * depth * (depth - queries * (settings.num_heads - 1))
    if saved < WORTH:
        return "there are too many queries for so small a set"
    obstacles = {
        "keys are diffused, updated from, or added": settings.diffusion is not None
        or settings.update_steps_max != 0
        or settings.added > 0,
        "distances need the keys": settings.similarity != "dot",
        "keys are normalised in the association space": settings.normalize_hopfield_space,
        "keys or values are not maps of the patterns": any(settings.static_patterns[1:])
        or settings.pattern_projection_as_connected,
        "a normalisation was replaced": any(
            norm is not None and norm[0] in parameters for norm in settings.normalizations
        ),
        "rounding to half precision would be another one": stored.dtype
        != backend.precise[stored.dtype]
        or backend.uses_autocast(stored),
    }
    return next((why for why, found in obstacles.items() if found), "")


class Map(NamedTuple):
    """An affine map of patterns to all heads, ``(H, d_h, d)`` and ``(H, 1, d_h)`` or None."""

    weight: Array
    bias: Array | None


def map_of(settings: HopfieldSettings, parameters: Parameters, backend: Backend, which: int) -> Map:
    """Return the map of stored patterns (1) or projections (2), with their scale and shift."""
    xp, heads = backend.xp, settings.num_heads
    weights, biases = input_projections(settings, parameters, backend)
    weight, bias = weights[which], biases[which]
    assert weight is not None
    norm = settings.normalizations[which]
    scale = shift = None
    if norm is not None:
        scale, shift = parameters.get(norm[1]), parameters.get(norm[2])
    if shift is not None:
        moved = backend.linear(shift[None, :], weight, None)[0, :]
        bias = moved if bias is None else bias + moved
    if scale is not None:
        weight = weight * scale
    weight = xp.reshape(weight, (heads, -1, weight.shape[-1]))
    return Map(weight, None if bias is None else xp.reshape(bias, (heads, 1, -1)))


def recalled_by_few(
    settings: HopfieldSettings,
    parameters: Parameters,
    backend: Backend,
    patterns: Patterns,
    lead: tuple[int, ...],
    masks: CoreMasks,
    drop: Drop | None,
) -> Array:
    """Return the output of all heads, ``(..., H, L, v)``, where there is no obstacle."""
    xp, heads, queries = backend.xp, settings.num_heads, patterns.state.shape[-2]
    query, beta, separation = moved_queries(settings, parameters, backend, patterns.state)
    stored, projection = normalized_sets(settings, backend, patterns)
    mask, bias = (in_rows(xp, numbers, heads, queries) for numbers in masks)
    if drop is not None:
        scores = backend.scores(query, stored, beta, mask)
        weights, _ = backend.separate(scores if bias is None else scores + bias, separation)
        weights = backend.astype(in_heads(xp, weights, lead, heads), stored.dtype)
        weights = drop(weights)
        total: Array | None = xp.sum(weights, axis=-1, keepdims=True)
        output = backend.recalled(
            xp.reshape(weights, (*lead, heads * queries, weights.shape[-1])), projection
        )
    else:
        total = None if masks.mask is None else xp.any(masks.mask, axis=-1, keepdims=True)
        given = query, stored, projection, beta, mask
        if bias is None:
            output = backend.associate(*given, separation)[0]
        else:
            output = backend.associate_biased(*given, bias, separation)
    values = map_of(settings, parameters, backend, 2)
    output = mapped_by_heads(xp, in_heads(xp, output, lead, heads), values.weight)
    if values.bias is None:
        return output
    # The weights of a query sum to one, except with dropout or where it may attend to nothing.
    return output + (
        values.bias if total is None else values.bias * backend.astype(total, output.dtype)
    )


def moved_queries(
    settings: HopfieldSettings, parameters: Parameters, backend: Backend, state: Array
) -> tuple[Array, Any, SeparationFunction]:
    """Return the queries ``(..., H L, d)`` after the map of the keys, beta and the separation."""
    xp, heads = backend.xp, settings.num_heads
    state = normalize(settings, parameters, backend, state, 0)
    if settings.static_patterns[0]:
        state = state[..., None, :, :]
    else:
        weights, biases = input_projections(settings, parameters, backend)
        state = split_heads(backend, backend.linear(state, weights[0], biases[0]), heads)
    queries = state.shape[-2]
    keys = map_of(settings, parameters, backend, 1)
    query = xp.matmul(state, keys.weight)
    if keys.bias is not None:
        # It changes no weight, so its derivative is zero, and not missing.
        query = query + 0.0 * xp.sum(state * keys.bias, axis=-1, keepdims=True)
    query = xp.reshape(query, (*query.shape[:-3], heads * queries, query.shape[-1]))
    beta = beta_of(settings, parameters, backend, state)
    if not isinstance(beta, float) and beta.ndim > 0:
        beta = xp.reshape(xp.broadcast_to(beta, (heads, queries)), (-1,))
    separation = separation_of(settings, parameters, backend, state)
    orders = orders_of(separation)
    if orders is not None and orders.ndim > 0:
        orders = xp.reshape(xp.broadcast_to(orders, (heads, queries)), (-1,))
        separation = with_orders(separation, orders)
    return query, beta, separation


def normalized_sets(
    settings: HopfieldSettings, backend: Backend, patterns: Patterns
) -> tuple[Array, Array]:
    """Return stored patterns and projections without scale and shift; one array if they agree."""
    eps = tuple(None if norm is None else norm[3] for norm in settings.normalizations)

    def normalized(which: int) -> Array:
        number = eps[which]
        if number is None:
            return patterns[which]
        return backend.layer_norm(patterns[which], None, None, number)

    stored = normalized(1)
    if patterns.projection is patterns.stored and eps[1] == eps[2]:
        return stored, stored
    return stored, normalized(2)


def in_heads(xp: Any, rows: Array, lead: tuple[int, ...], heads: int) -> Array:
    """Return ``(..., H L, n)`` as ``(..., H, L, n)`` with all leading axes."""
    rows = xp.broadcast_to(rows, (*lead, *rows.shape[-2:]))
    return xp.reshape(rows, (*lead, heads, rows.shape[-2] // heads, rows.shape[-1]))


def mapped_by_heads(xp: Any, features: Array, weight: Array) -> Array:
    """Map ``(..., H, L, n)`` by ``(H, m, n)`` to ``(..., H, L, m)``: one product for each head."""
    axes, rank = tuple(range(features.ndim)), features.ndim
    first = xp.permute_dims(features, (rank - 3, *axes[:-3], rank - 2, rank - 1))
    rows = xp.reshape(first, (weight.shape[0], -1, features.shape[-1]))
    mapped = xp.matmul(rows, xp.matrix_transpose(weight))
    mapped = xp.reshape(mapped, (*first.shape[:-1], weight.shape[1]))
    return xp.permute_dims(mapped, (*(axis + 1 for axis in axes[:-3]), 0, rank - 2, rank - 1))


def in_rows(xp: Any, mask: Array | None, heads: int, queries: int) -> Array | None:
    """Return a mask or bias ``(..., H, L, S)`` as ``(..., H L, S)``; axes of size 1 stay."""
    if mask is None or mask.ndim < 2:
        return mask
    lead, own = (mask.shape[:-3], mask.shape[-3]) if mask.ndim > 2 else ((), 1)
    if own == mask.shape[-2] == 1:
        return xp.reshape(mask, (*lead, 1, mask.shape[-1]))
    full = xp.broadcast_to(mask, (*lead, heads, queries, mask.shape[-1]))
    return xp.reshape(full, (*lead, heads * queries, mask.shape[-1]))
