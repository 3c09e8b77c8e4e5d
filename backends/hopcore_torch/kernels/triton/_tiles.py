r"""Tiles of queries and of stored patterns, and the weights of a tile of scores.

The weights of one query are functions of two numbers, its largest score :math:`m` and a root
:math:`r`. With :math:`z_i` the scores minus m and :math:`a = \alpha - 1`,

.. math::
    w_i = t_i^{1/a}, \quad t_i = (r + a z_i)_+ \quad \text{(entmax)}, \qquad
    w_i = e^{z_i - r} \quad \text{(softmax)}.

So the kernels save two numbers of each query, and compute the weights of a tile again where they
need them. The derivative of the weights is :math:`J = \mathrm{diag}(s) - s s^T / \sum_i s_i` with
the slopes :math:`s_i = t_i^{1/a - 1}`, which are the weights themselves for the softmax.

``KIND`` is ``"softmax"``, ``"half"`` (a = 1/2), ``"one"`` (a = 1) or ``"any"``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import triton.language as tl  # pyright: ignore[reportMissingImports]
from triton import jit  # pyright: ignore


class Rows(NamedTuple):
    """An array whose last two axes are read by strides; the table has its other offsets."""

    data: Any
    row: Any
    column: Any


class Call(NamedTuple):
    """What an association is computed from; ``mask``, ``bias`` and ``beta`` may be None.

    ``heat`` is the inverse temperature where ``beta`` is None, and ``a`` is alpha - 1. Scores are
    multiplied by ``steep``, which is larger by two roundings, so that one that is 1/a below the
    largest has no weight although 1/a was rounded. ``aligned`` is 1 if the offsets of queries, keys
    and values are multiples of 16, so that several numbers can be loaded at once, and None else.
    """

    query: Any
    key: Any
    value: Any
    mask: Any
    bias: Any
    beta: Any
    heat: Any
    table: Any
    queries: Any
    patterns: Any
    depth: Any
    width: Any
    a: Any
    steep: Any
    aligned: Any


class Results(NamedTuple):
    """What a forward pass stores for each query; what is None is not computed.

    ``mean`` is the mean of the projections weighted by the slopes. ``first`` and ``last`` are
    stored for each block of queries: the first pattern of its support, and the end of the last
    tile. ``passes`` counts how often the block read the patterns. ``weight`` is the largest weight,
    ``square`` the sum of the squares of the weights; entropy and square are computed together.
    """

    output: Any = None
    mean: Any = None
    conjugate: Any = None
    top: Any = None
    root: Any = None
    first: Any = None
    last: Any = None
    index: Any = None
    weight: Any = None
    passes: Any = None
    entropy: Any = None
    square: Any = None


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

INTERPRETED: tl.constexpr = tl.constexpr(type(tl.sum).__name__ == "InterpretedFunction")
"""Whether these functions run in Triton's interpreter, which has no arithmetic of bfloat16."""

SMALLEST: tl.constexpr = tl.constexpr(1.1754944e-38)


@jit
def dot(left, right):
    """Multiply two tiles of one dtype; the sums are float32."""
    if INTERPRETED and left.dtype == tl.bfloat16:
        return tl.dot(left.to(tl.float32), right.to(tl.float32))
    else:
        return tl.dot(left, right, input_precision=PRECISION)


@jit
def narrow(values, dtype: tl.constexpr):
    """Round float32 numbers to the nearest of a dtype; the interpreter would cut bits off."""
    if INTERPRETED and dtype == tl.bfloat16:
        bits = values.to(tl.int32, bitcast=True)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & -65536
        return bits.to(tl.float32, bitcast=True).to(tl.bfloat16)
    else:
        return values.to(dtype)


@jit
def offset_of(call, lead, column: tl.constexpr):
    """Return where the rows of a leading index begin in one of the arrays."""
    return tl.load(call.table + lead.to(tl.int64) * COLUMNS + column)


@jit
def begin_of(call, lead, column: tl.constexpr):
    """Return an offset of queries, keys or values, with what is known of it."""
    offset = offset_of(call, lead, column)
    if call.aligned is not None:
        offset = tl.multiple_of(offset, 16)
    return offset


@jit
def rows_of(array, offset, rows, count, width, WIDTH: tl.constexpr):
    """Load some rows of an array, with zeros beyond its end and in further coordinates."""
    columns = tl.arange(0, WIDTH)
    places = rows[:, None].to(tl.int64) * array.row + columns[None, :].to(tl.int64) * array.column
    inside = (rows < count)[:, None] & (columns < width)[None, :]
    return tl.load(array.data + offset + places, mask=inside, other=0.0)


@jit
def own_rows(data, offset, rows, count, width, WIDTH: tl.constexpr):
    """Load rows of a contiguous array ``(..., count, width)`` whose row 0 has the given number."""
    return rows_of(Rows(data, width, 1), offset * width, rows, count, width, WIDTH)


@jit
def store_rows(data, offset, rows, count, width, values, WIDTH: tl.constexpr):
    """Store rows of a contiguous array ``(..., count, width)`` whose row 0 has the given number."""
    columns = tl.arange(0, WIDTH)
    places = (offset + rows.to(tl.int64))[:, None] * width + columns[None, :]
    inside = (rows < count)[:, None] & (columns < width)[None, :]
    tl.store(data + places, narrow(values, data.dtype.element_ty), mask=inside)


@jit
def betas_of(call, lead, rows):
    """Load the inverse temperatures of some queries."""
    betas = tl.zeros_like(rows).to(tl.float32) + call.heat
    if call.beta is not None:
        places = offset_of(call, lead, BETA) + rows.to(tl.int64) * call.beta.row
        betas = tl.load(call.beta.data + places, mask=rows < call.queries, other=1.0).to(tl.float32)
    return betas


@jit
def before_product(betas, dtype: tl.constexpr):
    """Return the factor of beta by which queries are multiplied before the product with patterns.

    The scores are the product times the rest of beta. In float32 the factor is beta, as in the
    portable kernel. In bfloat16 it is the power of two of beta: multiplying by it rounds nothing,
    and then the product does not overflow unless the score does. In float16 it is 1: the products
    of its numbers cannot overflow in float32, while its range is too small for such a factor.
    """
    if dtype == tl.float32:
        return betas
    elif dtype == tl.bfloat16:
        bits = betas.to(tl.int32, bitcast=True) & 0x7F800000
        return tl.maximum(bits, 0x00800000).to(tl.float32, bitcast=True)
    else:
        return tl.zeros_like(betas) + 1.0


@jit
def queries_of(call, lead, rows, DEPTH: tl.constexpr):
    """Load queries; return them, times a part of beta, with that part and the rest of beta."""
    offset = begin_of(call, lead, QUERY)
    queries = rows_of(call.query, offset, rows, call.queries, call.depth, DEPTH)
    betas = betas_of(call, lead, rows)
    before = before_product(betas, queries.dtype)
    scaled = narrow(queries.to(tl.float32) * before[:, None], queries.dtype)
    return queries, scaled, betas / tl.where(before == 0.0, 1.0, before)


@jit
def keys_of(call, lead, columns, DEPTH: tl.constexpr):
    """Load stored patterns, or keys."""
    offset = begin_of(call, lead, KEY)
    return rows_of(call.key, offset, columns, call.patterns, call.depth, DEPTH)


@jit
def values_of(call, lead, columns, WIDTH: tl.constexpr):
    """Load projections."""
    offset = begin_of(call, lead, VALUE)
    return rows_of(call.value, offset, columns, call.patterns, call.width, WIDTH)


@jit
def scores_of(call, lead, scaled, after, keys, rows, columns, CAUSAL: tl.constexpr):
    """Return the scores of a tile, -inf where a pattern is masked, or a row does not exist."""
    scores = dot(scaled, tl.trans(keys)) * after[:, None]
    inside = (rows < call.queries)[:, None] & (columns < call.patterns)[None, :]
    kept = inside
    if call.bias is not None:
        places = rows[:, None].to(tl.int64) * call.bias.row
        places += columns[None, :].to(tl.int64) * call.bias.column + offset_of(call, lead, BIAS)
        scores += tl.load(call.bias.data + places, mask=inside, other=0.0).to(tl.float32)
    if CAUSAL:
        kept = kept & (columns[None, :] <= rows[:, None])
    if call.mask is not None:
        places = rows[:, None].to(tl.int64) * call.mask.row
        places += columns[None, :].to(tl.int64) * call.mask.column + offset_of(call, lead, MASK)
        kept = kept & (tl.load(call.mask.data + places, mask=inside, other=0) != 0)
    return tl.where(kept, scores, float("-inf"))


@jit
def end_of(call, block, CAUSAL: tl.constexpr, BLOCK: tl.constexpr):
    """Return the end of the patterns that a block of queries may attend to."""
    end = call.patterns
    if CAUSAL:
        end = tl.minimum(end, (block + 1) * BLOCK)
    return end


@jit
def finite(top):
    """Return the largest scores, 0 instead of -inf for queries that attend to nothing."""
    return tl.where(top == float("-inf"), 0.0, top)


@jit
def slopes_of(inner, a, KIND: tl.constexpr):
    """Return ``inner ** (1 / a - 1)`` of an inner number t >= 0 of an entmax, 0 where it is 0."""
    if KIND == "half":
        return inner
    elif KIND == "one":
        return (inner > 0.0).to(tl.float32)
    else:
        logarithm = tl.log2(tl.maximum(inner, SMALLEST))
        return tl.where(inner > 0.0, tl.exp2((1.0 / a - 1.0) * logarithm), 0.0)


@jit
def inner_of(call, near, root):
    """Return the numbers t of an entmax."""
    return tl.maximum(root[:, None] + call.steep * near, 0.0)


@jit
def weights_of(call, near, root, KIND: tl.constexpr):
    """Return weights and slopes of scores minus the largest one, given the roots of the queries."""
    if KIND == "softmax":
        weights = tl.exp(near - root[:, None])
        return weights, weights
    else:
        inner = inner_of(call, near, root)
        slopes = slopes_of(inner, call.a, KIND)
        return inner * slopes, slopes


@jit
def has_support(slopes):
    """Return whether a pattern of a tile has a positive weight for one of the queries."""
    return tl.max(tl.max(slopes, 1), 0) > 0.0


@jit
def product(left, right):
    """Multiply a tile of float32 numbers of any size with a tile in the dtype of the inputs.

    In float16 the numbers are divided by the largest one first, since they might overflow.
    """
    if right.dtype == tl.float16:
        unit = tl.max(tl.max(tl.abs(left), 1), 0)
        unit = tl.where(unit > 0.0, unit, 1.0)
        return dot((left / unit).to(tl.float16), right) * unit
    else:
        return dot(narrow(left, right.dtype), right)
