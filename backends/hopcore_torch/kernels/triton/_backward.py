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

import triton.language as tl  # pyright: ignore[reportMissingImports]
from triton import jit  # pyright: ignore

from hopcore_torch.kernels.triton._tiles import (
    LEAD,
    betas_of,
    dot,
    end_of,
    finite,
    has_support,
    keys_of,
    offset_of,
    own_rows,
    product,
    queries_of,
    scores_of,
    store_rows,
    values_of,
    weights_of,
)


class Given(NamedTuple):
    """Derivatives by the results, of which one may be None, and what the forward pass saved."""

    by_output: Any
    by_conjugate: Any
    mean: Any
    top: Any
    root: Any
    first: Any
    last: Any


class Wanted(NamedTuple):
    """Derivatives to be computed; None where one is not needed."""

    state: Any = None
    beta: Any = None
    stored: Any = None
    projection: Any = None
    bias: Any = None
    """By a bias of each pattern: for each memory the sums over its queries."""


@jit
def numbers_of(call, given, offset, rows):
    """Load the largest score and the root of each query."""
    inside = rows < call.queries
    top = tl.load(given.top + offset + rows, mask=inside, other=float("-inf"))
    return finite(top), tl.load(given.root + offset + rows, mask=inside, other=0.0)


@jit
def derivatives_of(call, given, offset, rows, scaled, WIDTH: tl.constexpr):
    """Load g, its products with the mean projections, and the derivative by the conjugate."""
    by = scaled
    along = tl.zeros_like(rows).to(tl.float32)
    more = along
    if given.by_output is not None:
        by = own_rows(given.by_output, offset, rows, call.queries, call.width, WIDTH)
        mean = own_rows(given.mean, offset, rows, call.queries, call.width, WIDTH)
        along = tl.sum(by.to(tl.float32) * mean, 1)
    if given.by_conjugate is not None:
        more = tl.load(given.by_conjugate + offset + rows, mask=rows < call.queries, other=0.0)
    return by, along, more


@jit
def by_scores_of(given, weights, slopes, values, by, along, more):
    """Return the derivative by the scores of a tile."""
    by_scores = weights * more[:, None]
    if given.by_output is not None:
        change = dot(by, tl.trans(values))
        by_scores += slopes * (change - along[:, None])
    return by_scores


@jit
def by_query(
    call, given, wanted,
    KIND: tl.constexpr, CAUSAL: tl.constexpr,
    BLOCK: tl.constexpr, TILE: tl.constexpr, DEPTH: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Compute the derivatives by the states and temperatures of one block of queries."""
    blocks = tl.cdiv(call.queries, BLOCK)
    lead, block = tl.program_id(0) // blocks, tl.program_id(0) % blocks
    rows = block * BLOCK + tl.arange(0, BLOCK)
    states, scaled, after = queries_of(call, lead, rows, DEPTH)
    caller = offset_of(call, lead, LEAD)
    offset = caller * call.queries
    level, root = numbers_of(call, given, offset, rows)
    by, along, more = derivatives_of(call, given, offset, rows, scaled, WIDTH)
    start = 0
    end = end_of(call, block, CAUSAL, BLOCK)
    if KIND != "softmax":
        start = tl.load(given.first + caller * blocks + block)
        end = tl.load(given.last + caller * blocks + block)
    total = tl.zeros((BLOCK, DEPTH), tl.float32)
    for column in range(start, end, TILE):
        columns = column + tl.arange(0, TILE)
        keys = keys_of(call, lead, columns, DEPTH)
        scores = scores_of(call, lead, scaled, after, keys, rows, columns, CAUSAL)
        weights, slopes = weights_of(call, scores - level[:, None], root, KIND)
        if has_support(slopes):
            values = keys
            if given.by_output is not None:
                values = values_of(call, lead, columns, WIDTH)
            by_scores = by_scores_of(given, weights, slopes, values, by, along, more)
            total += product(by_scores, keys)
    if wanted.beta is not None:
        by_beta = tl.sum(total * states.to(tl.float32), 1)
        tl.store(wanted.beta + offset + rows, by_beta, mask=rows < call.queries)
    if wanted.state is not None:
        betas = betas_of(call, lead, rows)
        total *= betas[:, None]
        store_rows(wanted.state, offset, rows, call.queries, call.depth, total, DEPTH)


@jit
def store_sums(call, wanted, memory, columns, sums, DEPTH: tl.constexpr, WIDTH: tl.constexpr):
    """Store the derivatives by a tile of patterns, by its projections and by its bias."""
    row = memory.to(tl.int64) * call.patterns
    if wanted.stored is not None:
        store_rows(wanted.stored, row, columns, call.patterns, call.depth, sums[0], DEPTH)
    if wanted.projection is not None:
        store_rows(wanted.projection, row, columns, call.patterns, call.width, sums[1], WIDTH)
    if wanted.bias is not None:
        tl.store(wanted.bias + row + columns, sums[2], mask=columns < call.patterns)


@jit
def by_memory(
    call, given, wanted, group,
    KIND: tl.constexpr, CAUSAL: tl.constexpr,
    BLOCK: tl.constexpr, TILE: tl.constexpr, DEPTH: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Compute the derivatives by one tile of stored patterns, of projections and of a bias.

    ``group`` leading indices, one after another in the table, share each memory.
    """
    tiles = tl.cdiv(call.patterns, TILE)
    memory, tile = tl.program_id(0) // tiles, tl.program_id(0) % tiles
    columns = tile * TILE + tl.arange(0, TILE)
    keys = keys_of(call, memory * group, columns, DEPTH)
    values = values_of(call, memory * group, columns, WIDTH)
    blocks = tl.cdiv(call.queries, BLOCK)
    begin = 0
    if CAUSAL:
        begin = tile * TILE // BLOCK
    by_stored = tl.zeros((TILE, DEPTH), tl.float32)
    by_projection = tl.zeros((TILE, WIDTH), tl.float32)
    by_bias = tl.zeros((TILE,), tl.float32)
    for member in range(group):
        lead = memory * group + member
        caller = offset_of(call, lead, LEAD)
        offset = caller * call.queries
        for block in range(begin, blocks):
            near = True
            if KIND != "softmax":
                first = tl.load(given.first + caller * blocks + block)
                last = tl.load(given.last + caller * blocks + block)
                near = (first < (tile + 1) * TILE) & (last > tile * TILE)
            if near:
                rows = block * BLOCK + tl.arange(0, BLOCK)
                _, scaled, after = queries_of(call, lead, rows, DEPTH)
                level, root = numbers_of(call, given, offset, rows)
                scores = scores_of(call, lead, scaled, after, keys, rows, columns, CAUSAL)
                weights, slopes = weights_of(call, scores - level[:, None], root, KIND)
                if has_support(slopes):
                    by, along, more = derivatives_of(call, given, offset, rows, scaled, WIDTH)
                    if wanted.projection is not None:
                        by_projection += product(tl.trans(weights), by)
                    if wanted.stored is not None or wanted.bias is not None:
                        by_scores = by_scores_of(given, weights, slopes, values, by, along, more)
                        if wanted.stored is not None:
                            by_stored += product(tl.trans(by_scores * after[:, None]), scaled)
                        if wanted.bias is not None:
                            by_bias += tl.sum(by_scores, 0)
    sums = by_stored, by_projection, by_bias
    store_sums(call, wanted, memory, columns, sums, DEPTH, WIDTH)
