"""Hard lookup: the projection of the pattern with the largest score, which is beta to infinity."""

from __future__ import annotations

import triton.language as tl  # pyright: ignore[reportMissingImports]
from triton import jit  # pyright: ignore

from hopcore_torch.kernels.triton._tiles import (
    LEAD,
    VALUE,
    begin_of,
    end_of,
    keys_of,
    offset_of,
    queries_of,
    rows_of,
    scores_of,
    store_rows,
)


@jit
def hard_lookup(
    call, results,
    KIND: tl.constexpr, CAUSAL: tl.constexpr,
    BLOCK: tl.constexpr, TILE: tl.constexpr, DEPTH: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Find the first pattern with the largest score, and gather its projection.

    A query that may attend to nothing gets -1 as index and zeros.
    """
    blocks = tl.cdiv(call.queries, BLOCK)
    lead, block = tl.program_id(0) // blocks, tl.program_id(0) % blocks
    rows = block * BLOCK + tl.arange(0, BLOCK)
    _, scaled, after = queries_of(call, lead, rows, DEPTH)
    top = tl.zeros_like(after) + float("-inf")
    index = tl.zeros_like(rows) - 1
    for start in range(0, end_of(call, block, CAUSAL, BLOCK), TILE):
        columns = start + tl.arange(0, TILE)
        keys = keys_of(call, lead, columns, DEPTH)
        scores = scores_of(call, lead, scaled, after, keys, rows, columns, CAUSAL)
        highest = tl.max(scores, 1)
        index = tl.where(highest > top, start + tl.argmax(scores, 1), index)
        top = tl.maximum(top, highest)
    # A row beyond the end is loaded as zeros.
    chosen = tl.where(index < 0, call.patterns, index)
    offset = begin_of(call, lead, VALUE)
    found = rows_of(call.value, offset, chosen, call.patterns, call.width, WIDTH)
    own = offset_of(call, lead, LEAD) * call.queries
    store_rows(results.output, own, rows, call.queries, call.width, found, WIDTH)
    tl.store(results.index + own + rows, index, mask=rows < call.queries)
    tl.store(results.top + own + rows, top, mask=rows < call.queries)
