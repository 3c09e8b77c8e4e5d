r"""The forward pass of an entmax: thresholds by Newton's method over tiles of patterns.

The root r of a query solves :math:`F(r) = \sum_i (r + a z_i)_+^{1/a} = 1`, with :math:`z_i` the
scores minus the largest one, :math:`a = \alpha - 1 \in (0, 1]` and :math:`0 < r \le 1`. Instead of
F we take its power :math:`N = F^a`, which is the norm of order 1/a of the positive parts. A norm of
convex increasing functions is convex and increasing, and it is linear where the scores of the
support are equal, so that Newton's steps for N = 1,

.. math::
    r \leftarrow r - \frac{F - F^{1-a}}{\sum_i (r + a z_i)_+^{1/a - 1}},

decrease to the root from every start above it, and need fewer passes over the patterns than those
for F = 1 (for a = 1 they are the same, and take finitely many).

The pass that finds the largest scores also makes one such step with each tile. The root of fewer
patterns is above the root of all, so each of these steps stays above it, too, and the next passes
start near it. A pass more computes the association, the conjugate and what the derivative needs.
"""

from __future__ import annotations

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]

from hopcore_torch.kernels.triton._tiles import (
    KEY,
    LEAD,
    PRECISION,
    QUERY,
    VALUE,
    before_product,
    betas_of,
    offset_of,
    rows_of,
    scores_of,
    slopes_of,
    store_rows,
    weights_of,
)

CLOSE: tl.constexpr = tl.constexpr(4.8e-7)
"""A relative step of the root at which it is found: four roundings of float32."""

PASSES: tl.constexpr = tl.constexpr(48)
"""The largest number of passes; about four are made."""


@triton.jit
def power_less(total, a, KIND: tl.constexpr):
    """Return ``total ** (1 - a)``."""
    if KIND == "half":
        return tl.sqrt(total)
    elif KIND == "one":
        return tl.zeros_like(total) + 1.0
    else:
        return tl.exp2((1.0 - a) * tl.log2(total))


@triton.jit
def step_of(near, root, a, KIND: tl.constexpr):
    """Return the sums over a tile that a step of Newton's method takes."""
    inner = tl.maximum(root[:, None] + a * near, 0.0)
    slopes = slopes_of(inner, a, KIND)
    return tl.sum(inner * slopes, 1), tl.sum(slopes, 1)


@triton.jit
def newton(root, total, slope, a, KIND: tl.constexpr):
    """Return how far a step of Newton's method lowers the root; 0 without patterns."""
    some = total > 0.0
    total = tl.where(some, total, 1.0)
    return tl.where(some, (total - power_less(total, a, KIND)) / tl.where(some, slope, 1.0), 0.0)


@triton.jit
def entmax_forward(
    query, key, value, mask, bias, beta, heat, table, sizes, results, a,
    KIND: tl.constexpr, CAUSAL: tl.constexpr,
    BLOCK: tl.constexpr, TILE: tl.constexpr, DEPTH: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Associate one block of queries of one leading index with all patterns."""
    blocks = tl.cdiv(sizes.queries, BLOCK)
    lead, block = tl.program_id(0) // blocks, tl.program_id(0) % blocks
    rows = block * BLOCK + tl.arange(0, BLOCK)
    betas = betas_of(beta, heat, table, lead, rows, sizes.queries)
    queries = rows_of(query, offset_of(table, lead, QUERY), rows, sizes.queries, sizes.depth, DEPTH)
    before = before_product(betas, queries.dtype)
    after = betas / before
    queries = (queries * before[:, None]).to(queries.dtype)
    key_offset, value_offset = offset_of(table, lead, KEY), offset_of(table, lead, VALUE)
    end = sizes.patterns
    if CAUSAL:
        end = tl.minimum(end, (block + 1) * BLOCK)

    top = tl.zeros((BLOCK,), tl.float32) + float("-inf")
    root = tl.zeros((BLOCK,), tl.float32) + 1.0
    for start in range(0, end, TILE):
        columns = start + tl.arange(0, TILE)
        keys = rows_of(key, key_offset, columns, sizes.patterns, sizes.depth, DEPTH)
        scores = scores_of(
            queries, after, keys, rows, columns, sizes, mask, bias, table, lead, CAUSAL
        )
        highest = tl.maximum(top, tl.max(scores, 1))
        level = tl.where(highest == float("-inf"), 0.0, highest)
        rise = tl.where(top == float("-inf"), float("inf"), level - top)
        root = tl.minimum(root + a * rise, 1.0)
        top = highest
        total, slope = step_of(scores - level[:, None], root, a, KIND)
        root -= tl.maximum(newton(root, total, slope, a, KIND), 0.0)

    level = tl.where(top == float("-inf"), 0.0, top)
    passes = 0
    moving = True
    while moving:
        total = tl.zeros((BLOCK,), tl.float32)
        slope = tl.zeros((BLOCK,), tl.float32)
        for start in range(0, end, TILE):
            columns = start + tl.arange(0, TILE)
            keys = rows_of(key, key_offset, columns, sizes.patterns, sizes.depth, DEPTH)
            scores = scores_of(
                queries, after, keys, rows, columns, sizes, mask, bias, table, lead, CAUSAL
            )
            more, more_slope = step_of(scores - level[:, None], root, a, KIND)
            total += more
            slope += more_slope
        step = newton(root, total, slope, a, KIND)
        root -= step
        passes += 1
        moving = (tl.max((tl.abs(step) > CLOSE * root).to(tl.int32), 0) > 0) & (passes < PASSES)

    total = tl.zeros((BLOCK,), tl.float32)
    slope = tl.zeros((BLOCK,), tl.float32)
    along = tl.zeros((BLOCK,), tl.float32)
    output = tl.zeros((BLOCK, WIDTH), tl.float32)
    mean = tl.zeros((BLOCK, WIDTH), tl.float32)
    first = end
    last = 0
    for start in range(0, end, TILE):
        columns = start + tl.arange(0, TILE)
        keys = rows_of(key, key_offset, columns, sizes.patterns, sizes.depth, DEPTH)
        scores = scores_of(
            queries, after, keys, rows, columns, sizes, mask, bias, table, lead, CAUSAL
        )
        near = scores - level[:, None]
        weights, slopes = weights_of(near, root, a, KIND)
        if tl.max(tl.max(weights, 1), 0) > 0.0:
            first = tl.minimum(first, start)
            last = start + TILE
            total += tl.sum(weights, 1)
            slope += tl.sum(slopes, 1)
            along += tl.sum(tl.where(weights > 0.0, weights * near, 0.0), 1)
            if results.output is not None:
                values = rows_of(value, value_offset, columns, sizes.patterns, sizes.width, WIDTH)
                output += tl.dot(weights.to(values.dtype), values, input_precision=PRECISION)
                if results.mean is not None:
                    mean += tl.dot(slopes.to(values.dtype), values, input_precision=PRECISION)

    empty = total == 0.0
    share = 1.0 / tl.where(empty, 1.0, total)
    offset = offset_of(table, lead, LEAD) * sizes.queries
    inside = rows < sizes.queries
    if results.output is not None:
        store_rows(
            results.output, offset, rows, sizes.queries, sizes.width, output * share[:, None], WIDTH
        )
        if results.mean is not None:
            mean = mean / tl.where(empty, 1.0, slope)[:, None]
            store_rows(results.mean, offset, rows, sizes.queries, sizes.width, mean, WIDTH)
    gain = (a * along * share + (1.0 - root) / a) / (a + 1.0)
    conjugate = tl.where(empty, float("-inf"), level + gain)
    tl.store(results.conjugate + offset + rows, conjugate, mask=inside)
    if results.top is not None:
        tl.store(results.top + offset + rows, top, mask=inside)
        tl.store(results.root + offset + rows, root, mask=inside)
        place = offset_of(table, lead, LEAD) * blocks + block
        tl.store(results.first + place, first)
        tl.store(results.last + place, last)
    if results.passes is not None:
        tl.store(results.passes + offset_of(table, lead, LEAD) * blocks + block, passes + 2)
