"""Update states and recall values in the association space, for all heads of a layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from hopcore.arrays._array_checks import backend_of_input, broadcast_shapes, shape
from hopcore.arrays._backend import (
    BLOCK,
    Array,
    beta_of_rows,
    mask_of_rows,
    orders_of,
    orders_of_rows,
    with_orders,
)
from hopcore.arrays._graph_kernels import chunks
from hopcore.arrays._inputs import Inputs
from hopcore.arrays._library import SomeArray
from hopcore.diffusion._graph_attention import (
    anchored,
    diffused_weights,
    neighbor_mask,
    spread_weights,
)
from hopcore.layers._projections import Association
from hopcore.layers._settings import HopfieldSettings
from hopcore.memory._compact import conjugate_of, is_absolute
from hopcore.memory._compact import recall as recall_in_reach
from hopcore.memory._compact import weights_of as weights_by
from hopcore.memory._k_subsets import KSubsets
from hopcore.memory._scores import PLAIN, Scores
from hopcore.memory._stopping_loop import broadcast_state, iterate_to_fixed_point

Drop = Callable[[Array], Array]
"""Dropout of association weights ``(..., H, L, S)``."""

DROPPED = BLOCK >> 1
"""How many weights of a block are dropped at a time; a derivative holds about ten such arrays."""

MAPPED = BLOCK >> 3
"""The same where JAX maps over the blocks: there smaller ones are faster, too."""

MAX_UPDATES = 1000
"""The largest number of updates if ``update_steps_max`` is None."""


def update_state(settings: HopfieldSettings, association: Association) -> Association:
    """Update the state in the association space until it converges or the limit is reached."""
    inputs, limit, tol = association.inputs, settings.update_steps_max, settings.update_steps_eps
    backend, xp, bias = inputs.backend, inputs.xp, association.bias
    inputs = inputs._replace(state=for_all_heads(settings, association, inputs.state))
    device = backend.device(inputs.state)
    limits = None
    if isinstance(limit, tuple):
        limits = xp.asarray(limit, dtype=xp.int32, device=device)[:, None]
        max_updates = max(limit)
    else:
        max_updates = MAX_UPDATES if limit is None else limit
    if isinstance(tol, tuple):
        precise = backend.precise[inputs.state.dtype]
        tol = xp.asarray(tol, dtype=precise, device=device)[:, None]

    orders, scores = orders_of(association.separation), association.scores
    if scores is not PLAIN:
        scores = replace(scores, values=backend.values_for(scores.keys, inputs.stored))
    split = len(scores.arrays)

    def update(now: Inputs, *others: Array) -> Array:
        others, arrays = others[: len(others) - split], others[len(others) - split :]
        function = with_orders(association.separation, None if orders is None else others[-1])
        moved = association._replace(
            inputs=now._replace(projection=now.stored),
            bias=None if bias is None else others[0],
            separation=function,
            scores=scores.with_arrays(arrays),
        )
        if is_absolute(function):
            output, found = recalled_in_reach(moved)
            return xp.where(found[..., None], output, now.state)
        return association_of(moved)

    state = iterate_to_fixed_point(
        inputs,
        update,
        max_updates,
        tol,
        limits=limits,
        gradient="implicit" if limit is None else "unrolled",
        others=tuple(x for x in (bias, orders) if x is not None),
        shared=scores.arrays,
    )[0]
    return association._replace(inputs=inputs._replace(state=state))


def recall(
    settings: HopfieldSettings, association: Association, drop: Drop | None, hard: bool = False
) -> Array:
    """Return the output of all heads, ``(..., H, L, v)``, with dropout of the weights.

    If ``hard``, the largest weight becomes 1 and the others 0, as :func:`straight_through` does.
    """
    needs_weights = drop is not None or association.bias is not None
    needs_weights = needs_weights or association.graph is not None
    needs_weights = needs_weights or association.spreading is not None
    # Weights at their bound of 1/k are equal, and the first of equal ones is chosen.
    needs_weights = needs_weights or isinstance(association.separation, KSubsets)
    if hard and not needs_weights and not is_absolute(association.separation):
        return for_all_heads(settings, association, chosen_of(association))
    if drop is None and not hard:
        return for_all_heads(settings, association, association_of(association))
    values = recalled_with_weights(settings, association, drop, hard)
    return for_all_heads(settings, association, values)


def recalled_with_weights(
    settings: HopfieldSettings, association: Association, drop: Drop | None, hard: bool
) -> Array:
    """Return the output of the heads from their weights, in blocks of queries where possible."""

    def of_block(some: Association, drop: Drop | None) -> Array:
        weights = for_all_heads(settings, some, weights_of(some))
        weights = weights if drop is None else drop(weights)
        weights = straight_through(weights) if hard else weights
        return some.inputs.backend.recalled(weights, some.inputs.projection)

    each = math.prod(association.lead) * settings.num_heads * association.inputs.stored.shape[-2]
    return in_blocks(association, of_block, drop, each)


def in_blocks(
    association: Association,
    of_block: Callable[[Association, Drop | None], Array],
    drop: Drop | None,
    each: int,
) -> Array:
    """Return ``of_block(association, drop)``, in blocks of queries where that holds less.

    Parameters
    ----------
    association : Association
    of_block : callable
        It returns outputs ``(..., L, v)`` of queries from their weights.
    drop : callable or None
        Dropout of the weights.
    each : int
        The number of weights of one query of all heads and inputs.
    """
    inputs = association.inputs
    backend = inputs.backend
    alone = association.graph is None and association.spreading is None
    # Blocks of JAX need a dropout that says what it draws for each of them.
    mapped = drop is not None and hasattr(drop, "of_block") and backend.maps_blocks(inputs.state)
    mapped = mapped and (association.bias is None or association.bias.shape[-2] == 1)
    recomputes = mapped or backend.recomputes(inputs.state)
    if not (alone and association.scores is PLAIN and recomputes):
        return of_block(association, drop)
    block = (MAPPED if mapped else DROPPED) * max(1, backend.block(inputs.state) // BLOCK)
    rows, queries = max(1, block // max(1, each)), inputs.state.shape[-2]
    if rows >= queries:
        return of_block(association, drop)
    if mapped:
        dropout: Any = drop
        return backend.in_mapped_blocks(
            lambda part, number: of_block(block_of(association, part), dropout.of_block(number)),
            queries,
            rows,
        )
    again = partial(backend.recomputed, lambda some: of_block(some, drop))
    parts = (block_of(association, part) for part in chunks(queries, rows))
    return inputs.xp.concat([again(some) for some in parts], axis=-2)


def block_of(association: Association, part: Any) -> Association:
    """Return the association of some queries, a slice or an array of their numbers."""
    inputs = association.inputs
    some = inputs._replace(
        state=inputs.state[..., part, :],
        beta=beta_of_rows(inputs.beta, part),
        mask=mask_of_rows(inputs.mask, part),
    )
    separation = orders_of_rows(association.separation, part)
    bias = mask_of_rows(association.bias, part)
    return association._replace(inputs=some, bias=bias, separation=separation)


def straight_through(weights: SomeArray) -> SomeArray:
    """Replace the largest weight of each row by 1 and the others by 0, and keep the gradient.

    Parameters
    ----------
    weights : array (..., S)
        Rows of zeros, where nothing may be attended to, stay zeros. Of equal weights, the first is
        chosen.

    Returns
    -------
    array (..., S)

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> print(hopcore.layers.straight_through(np.asarray([[0.2, 0.5, 0.3], [0.0, 0.0, 0.0]])))
    [[0. 1. 0.]
     [0. 0. 0.]]
    """
    backend = backend_of_input("weights", weights)
    if weights.shape[-1] == 0:
        return weights
    xp, soft = backend.xp, backend.constant(weights)
    places = xp.arange(weights.shape[-1], device=backend.device(weights))
    largest = xp.argmax(soft, axis=-1, keepdims=True) == places
    chosen = backend.astype(largest & (soft > 0), weights.dtype)
    return chosen + (weights - soft)


def chosen_of(association: Association) -> Array:
    """Return the value with the largest score for each query, without an array of all weights.

    Its derivative by queries and keys is that of the soft association with constant values.
    """
    inputs, scored = association.inputs, association.scored
    backend, xp, state, stored, values, beta, mask = scored
    index, attends = backend.choose(state, stored, beta, mask)
    lead = broadcast_shapes(index=shape(index)[:-1], values=shape(values)[:-2])
    index = xp.broadcast_to(index, (*lead, index.shape[-1]))[..., None]
    values = xp.broadcast_to(values, (*lead, *values.shape[-2:]))
    index = xp.broadcast_to(index, (*index.shape[:-1], values.shape[-1]))
    found = xp.take_along_axis(values, index, axis=-2)
    found = xp.where(attends[..., None], found, 0.0)
    learned = beta, orders_of(association.separation)
    arrays = (x for x in learned if x is not None and not isinstance(x, float))
    # A function transform does not say whether it differentiates.
    if backend.requires_gradient(state, stored, *arrays) or not backend.can_fetch_values(state):
        still = inputs._replace(projection=backend.constant(inputs.projection))
        scores = association.scores
        if scores.values is not None:
            scores = replace(scores, values=backend.constant(scores.values))
        soft = association_of(association._replace(inputs=still, scores=scores))
        return association.scores.recalled(inputs, found) + (soft - backend.constant(soft))
    return association.scores.recalled(inputs, found)


def association_of(association: Association) -> Array:
    """Return the average of the values by their association weights, ``(..., H, L, v)``."""
    inputs, bias, scores = association.inputs, association.bias, association.scores
    graph, spreading, separation = association.graph, association.spreading, association.separation
    backend = inputs.backend
    if is_absolute(separation):
        return recalled_in_reach(association)[0]
    if bias is not None:
        return associated_with_bias(association, bias)
    if spreading is not None:
        return diffused_weights(inputs, spreading)
    if graph is not None:
        return anchored(inputs, graph, None)
    return scores.recalled(inputs, backend.associate(*association.scored[2:], separation)[0])


def associated_with_bias(association: Association, bias: Array) -> Array:
    """Return :func:`association_of` where a bias is added to the scores."""
    inputs, scores, backend = association.inputs, association.scores, association.inputs.backend
    if association.spreading is not None or association.graph is not None:
        return backend.recalled(weights_of(association), inputs.projection)
    if bias.shape[-2:-1] == (1,) and scores is PLAIN and not fuses_bias(association):
        return association_of(with_bias_in_keys(association))
    output = backend.associate_biased(*association.scored[2:], bias, association.separation)
    return scores.recalled(inputs, output)


def fuses_bias(association: Association) -> bool:
    """Whether the library adds a bias to the scores without an array of all of them."""
    backend, _, state, stored, projection, beta, _ = association.inputs
    given = state, stored, projection, beta, association.bias, association.separation
    return backend.fuses_bias(*given)


def with_bias_in_keys(association: Association) -> Association:
    """Return an association whose bias, the same for all queries, is a coordinate of the keys."""
    inputs, bias = association.inputs, association.bias
    assert bias is not None
    backend, xp = inputs.backend, inputs.xp
    row = xp.where(bias > -math.inf, bias, 0.0)[..., 0, :]  # the mask says what is left out
    row = xp.broadcast_to(row, (*row.shape[:-1], inputs.stored.shape[-2]))
    keys = backend.keys(inputs.stored, None, row)
    scores = Scores(keys, backend.values_for(keys, inputs.projection), biased=True)
    return association._replace(bias=None, scores=scores)


def recalled_in_reach(association: Association) -> tuple[Array, Array]:
    """Return the association by a compact kernel, and whether a query is in reach of any key."""
    output, found = recall_in_reach(association.scored, association.separation)
    return association.scores.recalled(association.inputs, output), found


def weights_of(association: Association) -> Array:
    """Return the association weights of the heads, ``(..., H, L, S)``."""
    inputs = association.inputs
    return inputs.backend.astype(separated(association)[0], inputs.state.dtype)


def separated(association: Association) -> tuple[Array, Array]:
    """Return the association weights in the precise dtype, and the conjugate of their scores."""
    backend, xp, state, stored, _, beta, mask = association.scored
    scores = backend.scores(state, stored, beta, mask)
    if association.bias is not None:
        scores = scores + association.bias
    if association.graph is not None:
        anchors = xp.argmax(backend.constant(scores), axis=-1)
        near = neighbor_mask(broadcast_state(association.inputs), association.graph, anchors)
        scores = xp.where(near, scores, -math.inf)
    if is_absolute(association.separation):
        weights = weights_by(backend, scores, association.separation)
        return weights, conjugate_of(association.scored, association.separation)
    weights, conjugate = backend.separate(scores, association.separation)
    if association.spreading is not None:
        weights = spread_weights(weights, scores, association.spreading, xp)
    return weights, conjugate


def for_all_heads(settings: HopfieldSettings, association: Association, values: Array) -> Array:
    """Broadcast ``(..., H or 1, L, v)``, with one head for all heads, to the full shape."""
    full = (*association.lead, settings.num_heads, *values.shape[-2:])
    if values.ndim == len(full) and values.shape == full:
        return values
    return association.inputs.xp.broadcast_to(values, full)
