"""Hard lookup: the projection of the pattern with the largest score, which is beta to infinity."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.experimental.pallas import triton as plgpu

from hopcore_jax.kernels.pallas._layout import Arrays, Results, Sizes
from hopcore_jax.kernels.pallas._tiles import (
    LOWEST,
    count,
    end_of,
    over_tiles,
    part_of,
    queries_of,
    rows_of,
    scores_of,
    store_rows,
)


def hard_lookup(sizes: Sizes, call: Arrays, results: Results) -> None:
    """Find the first pattern with the largest score, and gather its projection.

    A query that may attend to nothing gets -1 as index and zeros.
    """
    queries = queries_of(sizes, call, 0, part_of(sizes.blocks) * sizes.block)

    def step(start: Any, value: Any) -> Any:
        top, index = value
        columns = count(start, sizes.tile)
        keys = rows_of(call.key, start, columns, sizes.patterns, sizes.depth)
        scores = scores_of(sizes, call, queries, keys, columns)
        highest = jnp.max(scores, axis=1)
        index = jnp.where(highest > top, start + lax.argmax(scores, 1, jnp.int32), index)
        return jnp.maximum(top, highest), index

    init = jnp.zeros_like(queries.after) + LOWEST, jnp.zeros_like(queries.rows) - 1
    top, index = over_tiles(0, end_of(sizes, queries), sizes.tile, step, init)
    shape = index.shape[0], results.output.shape[-1]
    columns = jnp.broadcast_to(count(0, shape[1])[None, :], shape)
    rows = jnp.broadcast_to(jnp.maximum(index, 0)[:, None], shape)
    inside = (index >= 0)[:, None] & (columns < sizes.width)
    found = plgpu.load(call.value.at[rows, columns], mask=inside, other=0.0)
    store_rows(results.output, queries.rows, sizes.queries, sizes.width, found)
    plgpu.store(results.index, index, mask=queries.inside)
    plgpu.store(results.top, top, mask=queries.inside)
