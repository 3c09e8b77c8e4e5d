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

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu

from hopcore_jax.kernels._products import before_product
from hopcore_jax.kernels.pallas._layout import Arrays, Sizes

Tile = Any
"""An array in a kernel."""

Ref = Any
"""An array in memory, as a kernel gets it."""

SMALLEST = float(np.finfo(np.float32).tiny)

LOWEST = -float("inf")


class Queries(NamedTuple):
    """A block of queries: their numbers, which of them exist, and their places in a sequence."""

    rows: Tile
    inside: Tile
    position: Tile
    states: Tile
    scaled: Tile
    """The states times a part of beta."""
    betas: Tile
    after: Tile
    """The rest of beta."""
    mask_of: Tile
    bias_of: Tile


def part_of(parts: int) -> Tile:
    """Return which part of its memory a program has: a block of queries or a tile of patterns."""
    return lax.rem(pl.program_id(0), np.int32(parts))


def count(start: Any, size: int) -> Tile:
    """Return the numbers from ``start``, in int32 whatever the configuration of JAX."""
    return start + lax.iota(jnp.int32, size)


def dot(sizes: Sizes, left: Tile, right: Tile, transposed: bool = False) -> Tile:
    """Multiply two tiles of one dtype, or the second one transposed; the sums are float32."""
    precision = None
    if left.dtype == jnp.float32:
        precision = lax.Precision.HIGHEST if sizes.interprets else PRECISION
    axes = ((1,), (1 if transposed else 0,)), ((), ())
    return lax.dot_general(
        left, right, axes, precision=precision, preferred_element_type=jnp.float32
    )


PRECISION = lax.DotAlgorithmPreset.TF32_TF32_F32_X3
"""How a GPU multiplies float32 tiles: as three products of parts of 11 bits, on tensor cores.

The parts that are left out are below 2**-21 of a product of two coordinates. That is four times the
``eps`` of float32, and the specification allows d + 4 of them. The products of bfloat16 and float16
are exact, and all sums are in float32.
"""


def rows_of(ref: Ref, start: Any, rows: Tile, many: int, width: int) -> Tile:
    """Load the rows of an array from ``start``, zeros where their numbers are beyond its end."""
    columns = count(0, ref.shape[-1])
    inside = (rows < many)[:, None] & (columns < width)[None, :]
    return plgpu.load(ref.at[pl.ds(start, rows.shape[0]), :], mask=inside, other=0.0)


def numbers_of(ref: Ref, start: Any, inside: Tile, other: Any) -> Tile:
    """Load a number of each query from ``start``, or ``other`` where there is no query."""
    return plgpu.load(ref.at[pl.ds(start, inside.shape[0])], mask=inside, other=other)


def store_rows(ref: Ref, rows: Tile, many: int, width: int, values: Tile) -> None:
    """Store rows with these numbers, as far as they exist."""
    columns = count(0, ref.shape[-1])
    inside = (rows < many)[:, None] & (columns < width)[None, :]
    plgpu.store(ref, values.astype(ref.dtype), mask=inside)


def queries_of(sizes: Sizes, call: Arrays, start: Any, first: Any) -> Queries:
    """Load the block of queries that begins with number ``first``, at ``start`` of its arrays."""
    rows = count(first, sizes.block)
    inside = rows < sizes.queries
    states = rows_of(call.query, start, rows, sizes.queries, sizes.depth)
    betas = numbers_of(call.beta, start, inside, 1.0)
    before = before_product(betas, states.dtype)
    scaled = (states.astype(jnp.float32) * before[:, None]).astype(states.dtype)
    after = betas / jnp.where(before == 0.0, 1.0, before)
    position = lax.rem(rows, jnp.full_like(rows, sizes.length)) if sizes.length else rows
    places = [
        None if ref is None else numbers_of(ref, start, inside, 0)
        for ref in (call.mask_of, call.bias_of)
    ]
    return Queries(rows, inside, position, states, scaled, betas, after, *places)


def places_of(ref: Ref, rows: Tile | None, columns: Tile, shape: tuple[int, int]) -> Any:
    """Return where a tile is in a mask or a bias, of which an axis may have size 1."""
    row = jnp.zeros(shape, jnp.int32)
    if rows is not None:
        row += rows[:, None]
    column = jnp.zeros(shape, jnp.int32)
    if ref.shape[-1] > 1:
        column += columns[None, :]
    return ref.at[row, column]


def scores_of(sizes: Sizes, call: Arrays, queries: Queries, keys: Tile, columns: Tile) -> Tile:
    """Return the scores of a tile, -inf where a pattern is masked, or a row does not exist."""
    scores = dot(sizes, queries.scaled, keys, transposed=True) * queries.after[:, None]
    inside = queries.inside[:, None] & (columns < sizes.patterns)[None, :]
    kept = inside
    if call.bias is not None:
        places = places_of(call.bias, queries.bias_of, columns, scores.shape)
        scores += plgpu.load(places, mask=inside, other=0.0)
    if sizes.length:
        kept &= columns[None, :] <= queries.position[:, None]
    if call.mask is not None:
        places = places_of(call.mask, queries.mask_of, columns, scores.shape)
        kept &= plgpu.load(places, mask=inside, other=0) != 0
    return jnp.where(kept, scores, LOWEST)


def end_of(sizes: Sizes, queries: Queries) -> Any:
    """Return the end of the patterns that a block of queries may attend to."""
    if not sizes.length:
        return sizes.patterns
    last = jnp.max(jnp.where(queries.inside, queries.position, 0))
    return jnp.minimum(last + 1, sizes.patterns)


def over_tiles(begin: Any, end: Any, tile: int, body: Callable[..., Any], init: Any) -> Any:
    """Call ``body(start, value)`` for the start of each tile from ``begin`` to ``end``."""
    if isinstance(begin, int) and isinstance(end, int):
        number: Any = np.int32(-(-(end - begin) // tile))
    else:
        number = lax.div(jnp.int32(end - begin + tile - 1), jnp.int32(tile))

    def step(i: Any, value: Any) -> Any:
        # JAX counts in 64 bits where these are switched on.
        return body(begin + lax.convert_element_type(i, jnp.int32) * np.int32(tile), value)

    return lax.fori_loop(np.int32(0), number, step, init)


def finite(top: Tile) -> Tile:
    """Return the largest scores, 0 instead of -inf for queries that attend to nothing."""
    return jnp.where(top == LOWEST, 0.0, top)


def slopes_of(sizes: Sizes, inner: Tile) -> Tile:
    """Return ``inner ** (1 / a - 1)`` of an inner number t >= 0 of an entmax, 0 where it is 0."""
    if sizes.kind == "half":
        return inner
    if sizes.kind == "one":
        return (inner > 0.0).astype(jnp.float32)
    power = (1.0 / sizes.a - 1.0) * jnp.log(jnp.maximum(inner, SMALLEST))
    return jnp.where(inner > 0.0, jnp.exp(power), 0.0)


def inner_of(sizes: Sizes, near: Tile, root: Tile) -> Tile:
    """Return the numbers t of an entmax."""
    return jnp.maximum(root[:, None] + sizes.steep * near, 0.0)


def weights_of(sizes: Sizes, near: Tile, root: Tile) -> tuple[Tile, Tile]:
    """Return weights and slopes of scores minus the largest one, given the roots of the queries."""
    if sizes.kind == "softmax":
        weights = jnp.exp(near - root[:, None])
        return weights, weights
    inner = inner_of(sizes, near, root)
    slopes = slopes_of(sizes, inner)
    return inner * slopes, slopes


def largest_of(tile: Tile) -> Tile:
    """Return the largest number of a tile."""
    return jnp.max(jnp.max(tile, axis=1), axis=0)


def has_support(slopes: Tile) -> Tile:
    """Return whether a pattern of a tile has a positive weight for one of the queries."""
    return largest_of(slopes) > 0.0


def product(sizes: Sizes, left: Tile, right: Tile) -> Tile:
    """Multiply a tile of float32 numbers of any size with a tile in the dtype of the inputs.

    In float16 the numbers are divided by the largest one first, since they might overflow.
    """
    if right.dtype != jnp.float16:
        return dot(sizes, left.astype(right.dtype), right)
    unit = largest_of(jnp.abs(left))
    unit = jnp.where(unit > 0.0, unit, 1.0)
    return dot(sizes, (left / unit).astype(jnp.float16), right) * unit
