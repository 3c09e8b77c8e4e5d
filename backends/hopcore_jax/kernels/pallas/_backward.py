r"""The backward pass: derivatives by states, temperatures, stored patterns, projections and bias.

With g the derivative by the output and :math:`g^*` that by the conjugate, the derivative by the
scores of a query is

.. math::
    s_i (v_i \cdot g - \bar v \cdot g) + w_i g^*, \qquad
    \bar v = \sum_i s_i v_i / \sum_i s_i,

where the forward pass saved :math:`\bar v`. The weights w and slopes s of a tile are computed again
from the two numbers of each query. One kernel sums over the patterns of a block of queries, the
other over the queries of a tile of patterns, so that no sum depends on the order of programs.

Tiles without support are skipped: the forward pass saved between which patterns the support of each
block of queries is. Between them, a tile whose slopes are all 0 costs one of five products.

The derivative by a bias of each pattern is the sum of those by its scores. For the conjugate alone,
with g* = 1, it is the sum of the weights that a pattern receives.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jax.experimental.pallas import triton as plgpu

from hopcore_jax.kernels.pallas._layout import Arrays, Given, Sizes, Wanted
from hopcore_jax.kernels.pallas._tiles import (
    LOWEST,
    Queries,
    Tile,
    count,
    dot,
    end_of,
    finite,
    has_support,
    numbers_of,
    over_tiles,
    part_of,
    product,
    queries_of,
    rows_of,
    scores_of,
    store_rows,
    weights_of,
)


class Saved(NamedTuple):
    """What the derivatives of a block of queries are computed from."""

    level: Tile
    root: Tile
    by: Tile
    along: Tile
    more: Tile


def saved_of(sizes: Sizes, given: Given, start: Any, queries: Queries) -> Saved:
    """Load what was saved, the derivative g and its products with the mean projections."""
    inside = queries.inside
    level = finite(numbers_of(given.top, start, inside, LOWEST))
    root = numbers_of(given.root, start, inside, 0.0)
    by, along = queries.states, jnp.zeros_like(root)
    more = along
    if given.by_output is not None:
        rows = start, queries.rows, sizes.queries, sizes.width
        by = rows_of(given.by_output, *rows)
        along = jnp.sum(by.astype(jnp.float32) * rows_of(given.mean, *rows), axis=1)
    if given.by_conjugate is not None:
        more = numbers_of(given.by_conjugate, start, inside, 0.0)
    return Saved(level, root, by, along, more)


def by_scores_of(
    sizes: Sizes, given: Given, saved: Saved, weights: Tile, slopes: Tile, values: Tile
) -> Tile:
    """Return the derivative by the scores of a tile."""
    by_scores = weights * saved.more[:, None]
    if given.by_output is not None:
        change = dot(sizes, saved.by, values, transposed=True)
        by_scores += slopes * (change - saved.along[:, None])
    return by_scores


def by_query(sizes: Sizes, call: Arrays, given: Given, wanted: Wanted) -> None:
    """Compute the derivatives by the states and temperatures of one block of queries."""
    queries = queries_of(sizes, call, 0, part_of(sizes.blocks) * sizes.block)
    saved = saved_of(sizes, given, 0, queries)
    begin: Any = 0
    end = end_of(sizes, queries)
    if sizes.kind != "softmax":
        begin, end = given.first[0], given.last[0]

    def step(start: Any, total: Tile) -> Tile:
        columns = count(start, sizes.tile)
        keys = rows_of(call.key, start, columns, sizes.patterns, sizes.depth)
        scores = scores_of(sizes, call, queries, keys, columns)
        weights, slopes = weights_of(sizes, scores - saved.level[:, None], saved.root)

        def add(total: Tile) -> Tile:
            values = keys
            if given.by_output is not None:
                values = rows_of(call.value, start, columns, sizes.patterns, sizes.width)
            by_scores = by_scores_of(sizes, given, saved, weights, slopes, values)
            return total + product(sizes, by_scores, keys)

        return lax.cond(has_support(slopes), add, lambda total: total, total)

    total = jnp.zeros(queries.states.shape, jnp.float32)
    total = over_tiles(begin, end, sizes.tile, step, total)
    if wanted.beta is not None:
        by_beta = jnp.sum(total * queries.states.astype(jnp.float32), axis=1)
        plgpu.store(wanted.beta, by_beta, mask=queries.inside)
    if wanted.state is not None:
        total = total * queries.betas[:, None]
        store_rows(wanted.state, queries.rows, sizes.queries, sizes.depth, total)


def by_memory(sizes: Sizes, call: Arrays, given: Given, wanted: Wanted) -> None:
    """Compute the derivatives by one tile of stored patterns and of projections."""
    begin = part_of(sizes.tiles) * sizes.tile
    columns = count(begin, sizes.tile)
    keys = rows_of(call.key, 0, columns, sizes.patterns, sizes.depth)
    values = keys
    if call.value is not None:
        values = rows_of(call.value, 0, columns, sizes.patterns, sizes.width)

    def add(start: Any, sums: Any) -> Any:
        queries = queries_of(sizes, call, start, start)
        saved = saved_of(sizes, given, start, queries)
        scores = scores_of(sizes, call, queries, keys, columns)
        weights, slopes = weights_of(sizes, scores - saved.level[:, None], saved.root)

        def more(sums: Any) -> Any:
            by_stored, by_projection, by_bias = sums
            if wanted.projection is not None:
                by_projection += product(sizes, weights.T, saved.by)
            if wanted.stored is not None or wanted.bias is not None:
                by_scores = by_scores_of(sizes, given, saved, weights, slopes, values)
                if wanted.stored is not None:
                    scaled = by_scores * queries.after[:, None]
                    by_stored += product(sizes, scaled.T, queries.scaled)
                if wanted.bias is not None:
                    by_bias += jnp.sum(by_scores, axis=0)
            return by_stored, by_projection, by_bias

        return lax.cond(has_support(slopes), more, lambda sums: sums, sums)

    def step(start: Any, sums: Any) -> Any:
        near = is_near(sizes, given, start, begin)
        if near is None:
            return add(start, sums)
        return lax.cond(near, lambda sums: add(start, sums), lambda sums: sums, sums)

    by_stored, by_projection = (jnp.zeros(x.shape, jnp.float32) for x in (keys, values))
    init = by_stored, by_projection, jnp.zeros(sizes.tile, jnp.float32)
    by_stored, by_projection, by_bias = over_tiles(0, sizes.queries, sizes.block, step, init)
    if wanted.stored is not None:
        store_rows(wanted.stored, columns, sizes.patterns, sizes.depth, by_stored)
    if wanted.projection is not None:
        store_rows(wanted.projection, columns, sizes.patterns, sizes.width, by_projection)
    if wanted.bias is not None:
        plgpu.store(wanted.bias, by_bias, mask=columns < sizes.patterns)


def is_near(sizes: Sizes, given: Given, start: Any, begin: Any) -> Any:
    """Return whether a block of queries may have support in a tile; None if nothing is known."""
    if sizes.kind == "softmax":
        if not sizes.length:
            return None
        rows = count(start, sizes.block)
        position = lax.rem(rows, jnp.full_like(rows, sizes.length))
        return jnp.max(jnp.where(rows < sizes.queries, position, 0)) >= begin
    block = lax.div(start, jnp.int32(sizes.block))
    return (given.first[block] < begin + sizes.tile) & (given.last[block] > begin)
