r"""Tiles of queries and of stored patterns, and the weights of a tile of scores.

The weights of one query are functions of two numbers, its largest score :math:`m` and a root
:math:`r`. With :math:`z_i` the scores minus m and :math:`a = \alpha - 1`,

.. math::
    w_i = t_i^{1/a}, \quad t_i = (r + a z_i)_+ \quad \text{(entmax)}, \qquad
    w_i = e^{z_i - r} \quad \text{(softmax)}.

So the kernels save two numbers of each query, and compute the weights of a tile again where they
need them. The derivative of the weights is :math:`J = \mathrm{diag}(s) - s s^T / \sum_i s_i` with
the slopes :math:`s_i = t_i^{1/a - 1}`, which are the weights themselves for the softmax.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]


class Rows(NamedTuple):
    """An array whose last two axes are read by strides; the table has its other offsets."""

    data: Any
    row: Any
    column: Any


class Sizes(NamedTuple):
    """Numbers of queries, of patterns, of coordinates of a pattern and of a projection."""

    queries: Any
    patterns: Any
    depth: Any
    width: Any


# The columns of the table of offsets: where in an array the rows of one leading index begin.
QUERY: tl.constexpr = tl.constexpr(0)
KEY: tl.constexpr = tl.constexpr(1)
VALUE: tl.constexpr = tl.constexpr(2)
MASK: tl.constexpr = tl.constexpr(3)
BIAS: tl.constexpr = tl.constexpr(4)
BETA: tl.constexpr = tl.constexpr(5)
LEAD: tl.constexpr = tl.constexpr(6)
COLUMNS: tl.constexpr = tl.constexpr(7)

PRECISION: tl.constexpr = tl.constexpr("tf32x3")
"""How float32 tiles are multiplied: as three products of parts of 11 bits, on tensor cores.

The parts that are left out are below 2**-21 of a product of two coordinates. That is four times the
``eps`` of float32, and the specification allows d + 4 of them. The products of bfloat16 and float16
are exact, and all sums are in float32.
"""

SMALLEST: tl.constexpr = tl.constexpr(1.1754944e-38)


@triton.jit
def offset_of(table, lead, column: tl.constexpr):
    """Return where the rows of a leading index begin in one of the arrays."""
    return tl.load(table + lead * COLUMNS + column)


@triton.jit
def rows_of(array, offset, rows, count, width, WIDTH: tl.constexpr):
    """Load some rows of an array, with zeros beyond its end and in further coordinates."""
    columns = tl.arange(0, WIDTH)
    places = rows[:, None].to(tl.int64) * array.row + columns[None, :].to(tl.int64) * array.column
    inside = (rows < count)[:, None] & (columns < width)[None, :]
    return tl.load(array.data + offset + places, mask=inside, other=0.0)


@triton.jit
def store_rows(data, offset, rows, count, width, values, WIDTH: tl.constexpr):
    """Store rows of a contiguous array ``(..., count, width)`` whose row 0 has the given offset."""
    columns = tl.arange(0, WIDTH)
    places = (offset + rows.to(tl.int64))[:, None] * width + columns[None, :]
    inside = (rows < count)[:, None] & (columns < width)[None, :]
    tl.store(data + places, values, mask=inside)


@triton.jit
def betas_of(beta, heat, table, lead, rows, count):
    """Load the inverse temperatures of some queries; ``heat`` is the number where there is one."""
    found = tl.zeros_like(rows).to(tl.float32) + heat
    if beta is not None:
        places = offset_of(table, lead, BETA) + rows.to(tl.int64) * beta.row
        found = tl.load(beta.data + places, mask=rows < count, other=1.0).to(tl.float32)
    return found


@triton.jit
def before_product(beta, dtype: tl.constexpr):
    """Return by which part of beta a query is multiplied before the product with the patterns.

    All of it in float32, as in the portable kernel. In bfloat16, which would round the product, the
    power of two in it, so that the product cannot overflow where the score does not. In float16,
    which has too few powers of two, nothing: products of its numbers do not overflow in float32.
    """
    if dtype == tl.float32:
        return beta
    elif dtype == tl.bfloat16:
        bits = beta.to(tl.int32, bitcast=True) & 0x7F800000
        return tl.maximum(bits, 0x00800000).to(tl.float32, bitcast=True)
    else:
        return tl.zeros_like(beta) + 1.0


@triton.jit
def scores_of(
    query, after, keys, rows, columns, sizes, mask, bias, table, lead, CAUSAL: tl.constexpr
):
    """Return the scores of a tile, -inf where a pattern is masked or does not exist."""
    scores = tl.dot(query, tl.trans(keys), input_precision=PRECISION) * after[:, None]
    kept = (columns < sizes.patterns)[None, :]
    inside = (rows < sizes.queries)[:, None] & kept
    if bias is not None:
        places = rows[:, None].to(tl.int64) * bias.row + columns[None, :].to(tl.int64) * bias.column
        places += offset_of(table, lead, BIAS)
        scores += tl.load(bias.data + places, mask=inside, other=0.0).to(tl.float32)
    if CAUSAL:
        kept = kept & (columns[None, :] <= rows[:, None])
    if mask is not None:
        places = rows[:, None].to(tl.int64) * mask.row + columns[None, :].to(tl.int64) * mask.column
        places += offset_of(table, lead, MASK)
        kept = kept & (tl.load(mask.data + places, mask=inside, other=0) != 0)
    return tl.where(kept, scores, float("-inf"))


@triton.jit
def slopes_of(inner, a, KIND: tl.constexpr):
    """Return ``inner ** (1 / a - 1)`` of an inner number t >= 0 of an entmax, 0 where it is 0."""
    if KIND == "half":
        return inner
    elif KIND == "one":
        return (inner > 0.0).to(tl.float32)
    else:
        logarithm = tl.log2(tl.maximum(inner, SMALLEST))
        return tl.where(inner > 0.0, tl.exp2((1.0 / a - 1.0) * logarithm), 0.0)


@triton.jit
def weights_of(near, root, a, KIND: tl.constexpr):
    """Return weights and slopes of scores minus the largest one, given the roots of the queries."""
    if KIND == "softmax":
        weights = tl.exp(near - root[:, None])
        return weights, weights
    else:
        inner = tl.maximum(root[:, None] + a * near, 0.0)
        slopes = slopes_of(inner, a, KIND)
        return inner * slopes, slopes
