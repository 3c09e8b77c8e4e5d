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

import triton.language as tl  # pyright: ignore[reportMissingImports]
from triton import jit  # pyright: ignore

from hopcore.memory import FusedOrder
from hopcore_torch.kernels.triton._entropy import entropy_of, without
from hopcore_torch.kernels.triton._tiles import (
    LEAD,
    SMALLEST,
    dot,
    end_of,
    finite,
    has_support,
    inner_of,
    keys_of,
    narrow,
    offset_of,
    queries_of,
    scores_of,
    slopes_of,
    store_rows,
    values_of,
    weights_of,
)

CLOSE: tl.constexpr = tl.constexpr(FusedOrder.CLOSE)
PASSES: tl.constexpr = tl.constexpr(FusedOrder.PASSES)


@jit
def newton(root, total, slope, a, KIND: tl.constexpr):
    """Return how far a step of Newton's method lowers the root; 0 without patterns."""
    some = total > 0.0
    total = tl.where(some, total, 1.0)
    if KIND == "half":
        power = tl.sqrt(total)
    elif KIND == "one":
        power = tl.zeros_like(total) + 1.0
    else:
        power = tl.exp2((1.0 - a) * tl.log2(total))
    return tl.where(some, (total - power) / tl.where(some, slope, 1.0), 0.0)


@jit
def sums_of(call, near, root, KIND: tl.constexpr):
    """Return the sums over a tile that a step of Newton's method needs."""
    inner = inner_of(call, near, root)
    slopes = slopes_of(inner, call.a, KIND)
    return tl.sum(inner * slopes, 1), tl.sum(slopes, 1)


@jit
def start_of(
    call, lead, scaled, after, rows, end,
    KIND: tl.constexpr, CAUSAL: tl.constexpr, TILE: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Return the largest scores, which patterns have them, and numbers above the roots."""
    top = tl.zeros_like(after) + float("-inf")
    root = tl.zeros_like(after) + 1.0
    index = tl.zeros_like(rows)
    for start in range(0, end, TILE):
        columns = start + tl.arange(0, TILE)
        keys = keys_of(call, lead, columns, DEPTH)
        scores = scores_of(call, lead, scaled, after, keys, rows, columns, CAUSAL)
        highest = tl.max(scores, 1)
        index = tl.where(highest > top, start + tl.argmax(scores, 1), index)
        highest = tl.maximum(top, highest)
        level = finite(highest)
        # The threshold a * top - root must not fall when the largest score rises.
        rise = tl.where(top == float("-inf"), 1.0 / call.a, level - top)
        root = tl.minimum(root + call.steep * rise, 1.0)
        top = highest
        total, slope = sums_of(call, scores - level[:, None], root, KIND)
        root -= tl.maximum(newton(root, total, slope, call.a, KIND), 0.0)
    return top, index, root


@jit
def root_of(
    call, lead, scaled, after, rows, end, level, root,
    KIND: tl.constexpr, CAUSAL: tl.constexpr, TILE: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Return the roots, and the number of passes that found them."""
    passes = 0
    moving = True
    while moving:
        total = tl.zeros_like(root)
        slope = tl.zeros_like(root)
        for start in range(0, end, TILE):
            columns = start + tl.arange(0, TILE)
            keys = keys_of(call, lead, columns, DEPTH)
            scores = scores_of(call, lead, scaled, after, keys, rows, columns, CAUSAL)
            more, more_slope = sums_of(call, scores - level[:, None], root, KIND)
            total += more
            slope += more_slope
        step = newton(root, total, slope, call.a, KIND)
        root -= step
        passes += 1
        far = (tl.abs(step) > root * CLOSE).to(tl.int32)
        moving = (tl.max(far, 0) > 0) & (passes < PASSES)
    return root, passes


@jit
def store(call, results, lead, rows, level, top, root, total, along, index, KIND: tl.constexpr):
    """Store the numbers of each query."""
    empty = total == 0.0
    share = 1.0 / tl.where(empty, 1.0, total)
    offset = offset_of(call, lead, LEAD) * call.queries
    inside = rows < call.queries
    if results.conjugate is not None:
        gain = (call.a * along * share + (1.0 - root) / call.a) / (call.a + 1.0)
        conjugate = tl.where(empty, float("-inf"), level + gain)
        tl.store(results.conjugate + offset + rows, conjugate, mask=inside)
    if results.top is not None:
        tl.store(results.top + offset + rows, top, mask=inside)
    if results.root is not None:
        tl.store(results.root + offset + rows, root, mask=inside)
    if results.index is not None:
        tl.store(results.index + offset + rows, index, mask=inside)
    if results.weight is not None:
        weight = largest_of(call, root, total, KIND)
        tl.store(results.weight + offset + rows, weight, mask=inside)


@jit
def largest_of(call, root, total, KIND: tl.constexpr):
    """Return the weight of the largest score, whose inner number is the root."""
    weights, _ = weights_of(call, tl.zeros_like(root)[:, None], root, KIND)  # pyright: ignore
    empty = total == 0.0
    return tl.where(empty, 0.0, tl.sum(weights, 1) / tl.where(empty, 1.0, total))


@jit
def store_means(call, results, lead, rows, output, mean, total, slope, WIDTH: tl.constexpr):
    """Store the means of the projections, weighted by weights and by slopes."""
    empty = total == 0.0
    offset = offset_of(call, lead, LEAD) * call.queries
    found = output / tl.where(empty, 1.0, total)[:, None]
    store_rows(results.output, offset, rows, call.queries, call.width, found, WIDTH)
    if results.mean is not None:
        mean = mean / tl.where(empty, 1.0, slope)[:, None]
        store_rows(results.mean, offset, rows, call.queries, call.width, mean, WIDTH)


@jit
def store_entropies(
    call, results, lead, rows, root, total, rest, minor, square, KIND: tl.constexpr
):  # fmt: skip
    """Store entropies and sums of squares."""
    some = tl.where(total == 0.0, 1.0, total)
    entropy = entropy_of(largest_of(call, root, total, KIND), some, rest, minor)
    places = offset_of(call, lead, LEAD) * call.queries + rows
    tl.store(results.entropy + places, entropy, mask=rows < call.queries)
    tl.store(results.square + places, square / (some * some), mask=rows < call.queries)


@jit
def entmax_forward(
    call, results,
    KIND: tl.constexpr, CAUSAL: tl.constexpr,
    BLOCK: tl.constexpr, TILE: tl.constexpr, DEPTH: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Associate one block of queries of one leading index with all patterns."""
    blocks = tl.cdiv(call.queries, BLOCK)
    lead, block = tl.program_id(0) // blocks, tl.program_id(0) % blocks
    rows = block * BLOCK + tl.arange(0, BLOCK)
    _, scaled, after = queries_of(call, lead, rows, DEPTH)
    end = end_of(call, block, CAUSAL, BLOCK)
    top, index, root = start_of(
        call, lead, scaled, after, rows, end, KIND, CAUSAL, TILE, DEPTH
    )  # fmt: skip
    level = finite(top)
    root, passes = root_of(
        call, lead, scaled, after, rows, end, level, root, KIND, CAUSAL, TILE, DEPTH
    )  # fmt: skip

    total = tl.zeros_like(root)
    slope = tl.zeros_like(root)
    along = tl.zeros_like(root)
    rest = tl.zeros_like(root)
    minor = tl.zeros_like(root)
    square = tl.zeros_like(root)
    output = tl.zeros((BLOCK, WIDTH), tl.float32)
    mean = tl.zeros((BLOCK, WIDTH), tl.float32)
    first, last = end, 0
    for start in range(0, end, TILE):
        columns = start + tl.arange(0, TILE)
        keys = keys_of(call, lead, columns, DEPTH)
        scores = scores_of(call, lead, scaled, after, keys, rows, columns, CAUSAL)
        near = scores - level[:, None]
        weights, slopes = weights_of(call, near, root, KIND)
        if has_support(slopes):
            first = tl.minimum(first, start)
            last = start + TILE
            total += tl.sum(weights, 1)
            slope += tl.sum(slopes, 1)
            along += tl.sum(weights * tl.where(weights > 0.0, near, 0.0), 1)
            if results.entropy is not None:
                others = without(weights, columns, index)
                rest += tl.sum(others, 1)
                minor -= tl.sum(others * tl.log(tl.maximum(others, SMALLEST)), 1)
                square += tl.sum(weights * weights, 1)
            if results.output is not None:
                values = values_of(call, lead, columns, WIDTH)
                output += dot(narrow(weights, values.dtype), values)
                if results.mean is not None:
                    mean += dot(narrow(slopes, values.dtype), values)

    store(call, results, lead, rows, level, top, root, total, along, index, KIND)
    if results.output is not None:
        store_means(call, results, lead, rows, output, mean, total, slope, WIDTH)
    if results.entropy is not None:
        store_entropies(call, results, lead, rows, root, total, rest, minor, square, KIND)
    place = offset_of(call, lead, LEAD) * blocks + block
    if results.first is not None:
        tl.store(results.first + place, first)
        tl.store(results.last + place, last)
    if results.passes is not None:
        tl.store(results.passes + place, passes + 2)
