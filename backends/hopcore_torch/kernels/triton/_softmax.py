"""The forward pass of the softmax: one pass over the patterns, with a running largest score.

What is known of the patterns so far, their largest score, the sum of their exponentials and their
weighted sum, is rescaled when a larger score is found (Milakov and Gimelshein 2018, "Online
normalizer calculation for softmax"). The conjugate is the log-sum-exp of the scores.
"""

from __future__ import annotations

import triton.language as tl  # pyright: ignore[reportMissingImports]
from triton import jit  # pyright: ignore

from hopcore_torch.kernels.triton._entropy import (
    along_rescaled,
    log1p,
    others_rescaled,
    without,
)
from hopcore_torch.kernels.triton._tiles import (
    LEAD,
    dot,
    end_of,
    finite,
    keys_of,
    narrow,
    offset_of,
    queries_of,
    scores_of,
    store_rows,
    values_of,
)


@jit
def store(call, results, lead, rows, top, total, index):
    """Store the numbers of each query but those of its entropy."""
    empty = total == 0.0
    root = tl.log(tl.where(empty, 1.0, total))
    offset = offset_of(call, lead, LEAD) * call.queries
    inside = rows < call.queries
    if results.conjugate is not None:
        tl.store(results.conjugate + offset + rows, top + root, mask=inside)
    if results.top is not None:
        tl.store(results.top + offset + rows, top, mask=inside)
    if results.root is not None:
        tl.store(results.root + offset + rows, root, mask=inside)
    if results.index is not None:
        tl.store(results.index + offset + rows, index, mask=inside)
    if results.weight is not None:
        weight = tl.where(empty, 0.0, 1.0 / tl.where(empty, 1.0, total))
        tl.store(results.weight + offset + rows, weight, mask=inside)


@jit
def softmax_forward(
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
    top = tl.zeros_like(after) + float("-inf")
    total = tl.zeros_like(after)
    rest = tl.zeros_like(after)
    along = tl.zeros_like(after)
    square = tl.zeros_like(after)
    index = tl.zeros_like(rows)
    output = tl.zeros((BLOCK, WIDTH), tl.float32)
    for start in range(0, end, TILE):
        columns = start + tl.arange(0, TILE)
        keys = keys_of(call, lead, columns, DEPTH)
        scores = scores_of(call, lead, scaled, after, keys, rows, columns, CAUSAL)
        highest = tl.max(scores, 1)
        changes = highest > top
        index = tl.where(changes, start + tl.argmax(scores, 1), index)
        highest = tl.maximum(top, highest)
        level = finite(highest)
        shrink = tl.exp(top - level)
        near = scores - level[:, None]
        weights = tl.exp(near)
        if results.entropy is not None:
            rest = others_rescaled(rest, top, shrink, changes)
            rest += tl.sum(without(weights, columns, index), 1)
            along = along_rescaled(along, total, top, level, shrink)
            along -= tl.sum(weights * tl.where(weights > 0.0, near, 0.0), 1)
            square = square * shrink * shrink + tl.sum(weights * weights, 1)
        top = highest
        total = total * shrink + tl.sum(weights, 1)
        if results.output is not None:
            values = values_of(call, lead, columns, WIDTH)
            output *= shrink[:, None]
            output += dot(narrow(weights, values.dtype), values)

    store(call, results, lead, rows, top, total, index)
    share = 1.0 / tl.where(total == 0.0, 1.0, total)
    offset = offset_of(call, lead, LEAD) * call.queries
    if results.output is not None:
        found = output * share[:, None]
        store_rows(results.output, offset, rows, call.queries, call.width, found, WIDTH)
        if results.mean is not None:
            store_rows(results.mean, offset, rows, call.queries, call.width, found, WIDTH)
    if results.entropy is not None:
        entropy, inside = log1p(rest) + along * share, rows < call.queries
        tl.store(results.entropy + offset + rows, entropy, mask=inside)
        tl.store(results.square + offset + rows, square * share * share, mask=inside)
