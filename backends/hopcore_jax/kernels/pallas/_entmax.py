r"""The forward pass of an entmax: thresholds by Newton's method over tiles of patterns.

The root r of a query solves :math:`F(r) = \sum_i (r + a z_i)_+^{1/a} = 1`, with :math:`z_i` the
scores minus the largest one, :math:`a = \alpha - 1 \in (0, 1]` and :math:`0 < r \le 1`. Instead of
F we take its power :math:`N = F^a`, which is the norm of order 1/a of the positive parts. A norm of
convex increasing functions is convex and increasing, and it is linear where the scores of the
support are equal. So Newton's steps for N = 1,

.. math::
    r \leftarrow r - \frac{F - F^{1-a}}{\sum_i (r + a z_i)_+^{1/a - 1}},

decrease to the root from every start above it, and need fewer passes over the patterns than those
for F = 1. For a = 1 both are the same, and find the root in finitely many steps.

The pass that finds the largest scores also makes one such step with each tile. The root of fewer
patterns is above the root of all, so each of these steps stays above it, too, and the next passes
start near it. The last pass computes the association, the conjugate and what the derivative needs.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.experimental.pallas import triton as plgpu

from hopcore.memory import FusedOrder
from hopcore_jax.kernels.pallas._entropy import EntmaxSums, entropy_of, without
from hopcore_jax.kernels.pallas._layout import Arrays, Results, Sizes
from hopcore_jax.kernels.pallas._tiles import (
    LOWEST,
    Queries,
    Tile,
    count,
    dot,
    end_of,
    finite,
    has_support,
    inner_of,
    over_tiles,
    part_of,
    queries_of,
    rows_of,
    scores_of,
    slopes_of,
    store_rows,
    weights_of,
)


def newton(sizes: Sizes, total: Tile, slope: Tile) -> Tile:
    """Return how far a step of Newton's method lowers the root; 0 without patterns."""
    some = total > 0.0
    total = jnp.where(some, total, 1.0)
    if sizes.kind == "half":
        power = jnp.sqrt(total)
    elif sizes.kind == "one":
        power = jnp.ones_like(total)
    else:
        power = jnp.exp((1.0 - sizes.a) * jnp.log(total))
    return jnp.where(some, (total - power) / jnp.where(some, slope, 1.0), 0.0)


def sums_of(sizes: Sizes, near: Tile, root: Tile) -> tuple[Tile, Tile]:
    """Return the sums over a tile that a step of Newton's method needs."""
    inner = inner_of(sizes, near, root)
    slopes = slopes_of(sizes, inner)
    return jnp.sum(inner * slopes, axis=1), jnp.sum(slopes, axis=1)


def tile_of(sizes: Sizes, call: Arrays, queries: Queries, start: Any) -> Tile:
    """Return the scores of the tile that begins with pattern ``start``."""
    columns = count(start, sizes.tile)
    keys = rows_of(call.key, start, columns, sizes.patterns, sizes.depth)
    return scores_of(sizes, call, queries, keys, columns)


def start_of(sizes: Sizes, call: Arrays, queries: Queries, end: Any) -> tuple[Tile, Tile, Tile]:
    """Return the largest scores, which patterns have them, and numbers above the roots."""

    def step(start: Any, value: Any) -> Any:
        top, index, root = value
        scores = tile_of(sizes, call, queries, start)
        highest = jnp.max(scores, axis=1)
        index = jnp.where(highest > top, start + lax.argmax(scores, 1, jnp.int32), index)
        highest = jnp.maximum(top, highest)
        level = finite(highest)
        # The threshold a * top - root must not fall when the largest score rises.
        rise = jnp.where(top == LOWEST, 1.0 / sizes.a, level - top)
        root = jnp.minimum(root + sizes.steep * rise, 1.0)
        total, slope = sums_of(sizes, scores - level[:, None], root)
        root = root - jnp.maximum(newton(sizes, total, slope), 0.0)
        return highest, index, root

    nothing = jnp.zeros_like(queries.after)
    init = nothing + LOWEST, jnp.zeros_like(queries.rows), nothing + 1.0
    return over_tiles(0, end, sizes.tile, step, init)


def root_of(
    sizes: Sizes, call: Arrays, queries: Queries, end: Any, level: Tile, root: Tile
) -> tuple[Tile, Tile]:
    """Return the roots, and the number of passes that found them."""

    def read(root: Tile) -> Any:
        def step(start: Any, sums: Any) -> Any:
            near = tile_of(sizes, call, queries, start) - level[:, None]
            more, more_slope = sums_of(sizes, near, root)
            return sums[0] + more, sums[1] + more_slope

        nothing = jnp.zeros_like(root)
        return over_tiles(0, end, sizes.tile, step, (nothing, nothing))

    def move(value: Any) -> Any:
        root, passes, _ = value
        step = newton(sizes, *read(root))
        root = root - step
        far = (jnp.abs(step) > root * FusedOrder.CLOSE).astype(jnp.int32)
        return root, passes + 1, jnp.max(far, axis=0)

    def moving(value: Any) -> Any:
        return (value[2] > 0) & (value[1] < FusedOrder.PASSES)

    root, passes, _ = lax.while_loop(moving, move, (root, jnp.int32(0), jnp.int32(1)))
    return root, passes


def entmax_forward(sizes: Sizes, call: Arrays, results: Results) -> None:
    """Associate one block of queries of one memory with all patterns."""
    queries = queries_of(sizes, call, 0, part_of(sizes.blocks) * sizes.block)
    end = end_of(sizes, queries)
    top, index, root = start_of(sizes, call, queries, end)
    level = finite(top)
    root, passes = root_of(sizes, call, queries, end, level, root)

    def add(start: Any, near: Tile, weights: Tile, slopes: Tile, value: Any) -> Any:
        total, slope, along, output, mean, first, _, sums = value
        columns = count(start, sizes.tile)
        if sums is not None:
            sums = sums.added(weights, without(weights, columns, index))
        along += jnp.sum(weights * jnp.where(weights > 0.0, near, 0.0), axis=1)
        if results.output is not None:
            values = rows_of(call.value, start, columns, sizes.patterns, sizes.width)
            output += dot(sizes, weights.astype(values.dtype), values)
            if results.mean is not None:
                mean += dot(sizes, slopes.astype(values.dtype), values)
        total, slope = total + jnp.sum(weights, axis=1), slope + jnp.sum(slopes, axis=1)
        first, last = jnp.minimum(first, start), start + sizes.tile
        return total, slope, along, output, mean, first, last, sums

    def step(start: Any, value: Any) -> Any:
        near = tile_of(sizes, call, queries, start) - level[:, None]
        weights, slopes = weights_of(sizes, near, root)
        return lax.cond(
            has_support(slopes),
            lambda value: add(start, near, weights, slopes, value),
            lambda value: value,
            value,
        )

    nothing = jnp.zeros_like(root)
    output, mean = (
        jnp.zeros(() if ref is None else ref.shape, jnp.float32)
        for ref in (results.output, results.mean)
    )
    sums = None if results.entropy is None else EntmaxSums(nothing, nothing, nothing)
    init = nothing, nothing, nothing, output, mean, jnp.int32(end), jnp.int32(0), sums
    found = over_tiles(0, end, sizes.tile, step, init)
    total, slope, along, output, mean, first, last, sums = found
    numbers = numbers_of_queries(sizes, level, top, root, total, along)
    if sums is not None:
        some = jnp.where(total == 0.0, 1.0, total)
        numbers["entropy"] = entropy_of(numbers["weight"], some, sums)
        numbers["square"] = sums.square / (some * some)
    if results.output is not None:
        found = output / jnp.where(total == 0.0, 1.0, total)[:, None]
        store_rows(results.output, queries.rows, sizes.queries, sizes.width, found)
        if results.mean is not None:
            mean = mean / jnp.where(total == 0.0, 1.0, slope)[:, None]
            store_rows(results.mean, queries.rows, sizes.queries, sizes.width, mean)
    for name, values in {**numbers, "index": index}.items():
        if (ref := getattr(results, name)) is not None:
            plgpu.store(ref, values, mask=queries.inside)
    of_blocks = {"first": first, "last": last, "passes": passes + 2}
    for name, number in of_blocks.items():
        if (ref := getattr(results, name)) is not None:
            ref[0] = number


def numbers_of_queries(
    sizes: Sizes, level: Tile, top: Tile, root: Tile, total: Tile, along: Tile
) -> dict[str, Tile]:
    """Return the numbers of each query that a forward pass stores."""
    empty = total == 0.0
    share = 1.0 / jnp.where(empty, 1.0, total)
    gain = (sizes.a * along * share + (1.0 - root) / sizes.a) / (sizes.a + 1.0)
    # The weight of the largest score, whose inner number is the root.
    largest = root * slopes_of(sizes, root)
    return {
        "conjugate": jnp.where(empty, LOWEST, level + gain),
        "top": top,
        "root": root,
        "weight": jnp.where(empty, 0.0, largest * share),
    }
