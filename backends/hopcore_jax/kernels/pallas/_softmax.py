"""The forward pass of the softmax: one pass over the patterns, with a running largest score.

What is known of the patterns so far, their largest score, the sum of their exponentials and their
weighted sum, is rescaled when a larger score is found (Milakov and Gimelshein 2018, "Online
normalizer calculation for softmax"). The conjugate is the log-sum-exp of the scores.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.experimental.pallas import triton as plgpu

from hopcore_jax.kernels.pallas._entropy import SoftmaxSums, log1p, without
from hopcore_jax.kernels.pallas._layout import Arrays, Results, Sizes
from hopcore_jax.kernels.pallas._tiles import (
    LOWEST,
    count,
    dot,
    end_of,
    finite,
    over_tiles,
    part_of,
    queries_of,
    rows_of,
    scores_of,
    store_rows,
)


def softmax_forward(sizes: Sizes, call: Arrays, results: Results) -> None:
    """Associate one block of queries of one memory with all patterns."""
    queries = queries_of(sizes, call, 0, part_of(sizes.blocks) * sizes.block)
    nothing = jnp.zeros_like(queries.after)
    output = jnp.zeros(() if results.output is None else results.output.shape, jnp.float32)

    def step(start: Any, value: Any) -> Any:
        top, total, index, output, sums = value
        columns = count(start, sizes.tile)
        keys = rows_of(call.key, start, columns, sizes.patterns, sizes.depth)
        scores = scores_of(sizes, call, queries, keys, columns)
        highest = jnp.max(scores, axis=1)
        changes = highest > top
        index = jnp.where(changes, start + lax.argmax(scores, 1, jnp.int32), index)
        highest = jnp.maximum(top, highest)
        level = finite(highest)
        shrink = jnp.exp(top - level)
        near = scores - level[:, None]
        weights = jnp.exp(near)
        if sums is not None:
            sums = sums.rescaled(top, level, total, changes)
            sums = sums.added(near, weights, without(weights, columns, index))
        total = total * shrink + jnp.sum(weights, axis=1)
        if results.output is not None:
            values = rows_of(call.value, start, columns, sizes.patterns, sizes.width)
            output = output * shrink[:, None] + dot(sizes, weights.astype(values.dtype), values)
        return highest, total, index, output, sums

    sums = None if results.entropy is None else SoftmaxSums(nothing, nothing, nothing)
    init = nothing + LOWEST, nothing, jnp.zeros_like(queries.rows), output, sums
    top, total, index, output, sums = over_tiles(0, end_of(sizes, queries), sizes.tile, step, init)
    empty = total == 0.0
    share = 1.0 / jnp.where(empty, 1.0, total)
    root = jnp.log(jnp.where(empty, 1.0, total))
    if results.output is not None:
        found = output * share[:, None]
        store_rows(results.output, queries.rows, sizes.queries, sizes.width, found)
        if results.mean is not None:
            store_rows(results.mean, queries.rows, sizes.queries, sizes.width, found)
    numbers = {
        "conjugate": top + root,
        "top": top,
        "root": root,
        "index": index,
        "weight": jnp.where(empty, 0.0, share),
    }
    if sums is not None:
        entropy = log1p(sums.rest) + sums.along * share
        numbers |= {"entropy": entropy, "square": sums.square * share * share}
    for name, values in numbers.items():
        if (ref := getattr(results, name)) is not None:
            plgpu.store(ref, values, mask=queries.inside)
