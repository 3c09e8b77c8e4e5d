"""JAX's kernels of graphs: a neighbour sum whose transpose is itself, searches block by block."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import ShapedArray
from jax.experimental.sparse import BCSR
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

import hopcore
from hopcore.arrays import (
    GATHER_BLOCK,
    MASKED_SCORE,
    Array,
    Backend,
    Rows,
    backend_of,
    without_rounding,
)


class JaxGraphKernels(Backend):
    """The kernels of graphs for JAX arrays, traced or not."""

    def neighbour_sum(self, entries: Rows, values: Array, features: Array) -> Array:
        if not isinstance(features, jax.Array):  # over a mesh, as the graph is not
            return backend_of(features).neighbour_sum(entries, values, features)
        return neighbour_sum_p.bind(values, features, *entries)

    def row_sum(self, entries: Rows, values: Array) -> Array:
        return jax.ops.segment_sum(values, entries.rows, entries.count, indices_are_sorted=True)

    def row_max(self, entries: Rows, values: Array) -> Array:
        return jax.ops.segment_max(values, entries.rows, entries.count, indices_are_sorted=True)

    def pair_products(self, left: Array, right: Array, entries: Rows) -> Array:
        if not self.has_known_sizes(entries.rows):
            return super().pair_products(left, right, entries)
        return pair_products(left, right, entries.rows, entries.columns)

    def row_starts(self, rows: Array, count: int) -> Array:
        if self.has_known_sizes(rows):
            return super().row_starts(rows, count)
        # A search makes as many steps as the logarithm of its size, which is open here.
        counts = jnp.zeros(count + 1, rows.dtype).at[rows + 1].add(1)
        return jnp.cumsum(counts, dtype=rows.dtype)

    def entry_order(self, rows: Array, columns: Array) -> Array:
        return jnp.lexsort((columns, rows))

    def top_k(self, values: Array, k: int) -> tuple[Array, Array]:
        return lax.top_k(values, k)

    def nearest(self, patterns: Array, k: int, mask: Array | None) -> Array:
        if not self.has_known_sizes(patterns):
            return self.nearest_at_once(patterns, k, mask)
        lead = patterns.shape[:-2]
        if 0 in lead:
            return jnp.zeros((*patterns.shape[:-1], k), jnp.int32)
        shown = jnp.ones(patterns.shape[:-1], bool) if mask is None else mask
        flat = jnp.reshape(patterns, (-1, *patterns.shape[-2:]))
        found = nearest(flat, jnp.reshape(shown, flat.shape[:-1]), backend=self, k=k)
        return jnp.reshape(found, (*lead, *found.shape[1:]))

    def heat_kernel(self, matrix: Array) -> Array:
        """By eigenvalues, with a derivative that exists where they coincide."""
        return heat_kernel(matrix)


@jax.custom_jvp
def heat_kernel(matrix: Array) -> Array:
    """``exp(-M)`` of symmetric matrices."""
    values, vectors = jnp.linalg.eigh(matrix)
    decay = jnp.exp(-without_rounding(values, jnp))
    return (vectors * decay[..., None, :]) @ jnp.matrix_transpose(vectors)


@heat_kernel.defjvp
def _heat_kernel_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """Divided differences of the exponential between all pairs of eigenvalues."""
    (matrix,), (change,) = primals, tangents
    values, vectors = jnp.linalg.eigh(matrix)
    values = without_rounding(values, jnp)
    turned = jnp.matrix_transpose(vectors)
    low = jnp.minimum(values[..., :, None], values[..., None, :])
    gap = jnp.abs(values[..., :, None] - values[..., None, :])
    safe = jnp.where(gap > 0, gap, 1.0)
    slope = -jnp.exp(-low) * jnp.where(gap > 0, -jnp.expm1(-safe) / safe, 1.0)
    return heat_kernel(matrix), vectors @ (slope * (turned @ change @ vectors)) @ turned


@jax.jit
def pair_products(left: Array, right: Array, rows: Array, columns: Array) -> Array:
    """Inner products of pairs, gathered a block at a time."""
    some = max(1, GATHER_BLOCK // max(1, left.shape[-1]))
    if rows.shape[0] <= some:
        return jnp.sum(left[rows] * right[columns], axis=-1)
    return lax.map(
        lambda ends: jnp.sum(left[ends[0]] * right[ends[1]]), (rows, columns), batch_size=some
    )


@partial(jax.jit, static_argnames=("backend", "k"))
def nearest(patterns: Array, shown: Array, *, backend: Backend, k: int) -> Array:
    """The k nearest others of patterns ``(B, N, d)``, a block of rows at a time."""
    count = patterns.shape[1]
    size = min(count, max(1, GATHER_BLOCK // count))
    blocks = math.ceil(count / size)
    # The last block begins earlier, so that all have one size.
    starts = jnp.minimum(jnp.arange(blocks, dtype=jnp.int32) * size, count - size)

    def element(given: tuple[Array, Array]) -> Array:
        own, visible = given

        def block(start: Array) -> Array:
            scores = lax.dynamic_slice_in_dim(own, start, size) @ own.T
            row = start + jnp.arange(size, dtype=jnp.int32)
            scores = jnp.where(visible, scores, MASKED_SCORE)
            scores = jnp.where(jnp.arange(count) == row[:, None], -math.inf, scores)
            return backend.largest(scores, k).astype(jnp.int32)

        found = jnp.reshape(lax.map(block, starts), (-1, k))
        places = jnp.arange(count, dtype=jnp.int32)
        number = jnp.minimum(places // size, blocks - 1)
        return found[number * size + places - starts[number]]

    return lax.map(element, (patterns, shown))


def product(values: Array, features: Array, indptr: Array, rows: Array, columns: Array) -> Array:
    """A sparse matrix times features ``(n, d)``."""
    count = features.shape[0]
    if not isinstance(count, int):  # open under jax.export, which refuses calls of a library
        parts = values[:, None] * features[columns]
        return jax.ops.segment_sum(parts, rows, count, indices_are_sorted=True)
    return BCSR((values, columns, indptr), shape=(count, count)) @ features


def derivative(primals: Any, tangents: Any) -> tuple[Array, Array]:
    """Linear in the features and in the values."""
    values, features, *entries = primals
    by_values, by_features = tangents[:2]
    found = neighbour_sum_p.bind(*primals)
    total = jnp.zeros_like(found)
    if not isinstance(by_features, ad.Zero):
        total = total + neighbour_sum_p.bind(values, by_features, *entries)
    if not isinstance(by_values, ad.Zero):
        _, rows, columns = entries
        parts = by_values[:, None] * features[columns]
        total = total + jax.ops.segment_sum(parts, rows, features.shape[0], indices_are_sorted=True)
    return found, total


def transposed(by_sum: Any, values: Any, features: Any, *entries: Any) -> list[Any]:
    """The matrix is symmetric; values are linear only in plain operations, see above."""
    assert ad.is_undefined_primal(features)
    if isinstance(by_sum, ad.Zero):
        return [None, ad.Zero(features.aval), None, None, None]
    return [None, neighbour_sum_p.bind(values, by_sum, *entries), None, None, None]


def batched(arrays: tuple[Any, ...], axes: tuple[Any, ...]) -> tuple[Array, int]:
    """Mapped features are more columns; mapped matrices are taken one after the other."""
    values, features, *entries = arrays
    if all(axis is None for axis in (axes[0], *axes[2:])):
        wide = jnp.moveaxis(features, axes[1], 1)
        found = neighbour_sum_p.bind(values, jnp.reshape(wide, (wide.shape[0], -1)), *entries)
        return jnp.reshape(found, wide.shape), 1
    size = next(x.shape[axis] for x, axis in zip(arrays, axes, strict=True) if axis is not None)
    full = [
        jnp.broadcast_to(x, (size, *x.shape)) if axis is None else jnp.moveaxis(x, axis, 0)
        for x, axis in zip(arrays, axes, strict=True)
    ]
    return lax.map(lambda each: neighbour_sum_p.bind(*each), tuple(full)), 0


neighbour_sum_p = Primitive("hopcore_neighbour_sum")
neighbour_sum_p.def_impl(jax.jit(product))
neighbour_sum_p.def_abstract_eval(
    lambda values, features, *entries: ShapedArray(features.shape, features.dtype)
)
mlir.register_lowering(neighbour_sum_p, mlir.lower_fun(product, multiple_results=False))
ad.primitive_jvps[neighbour_sum_p] = derivative
ad.primitive_transposes[neighbour_sum_p] = transposed
batching.primitive_batchers[neighbour_sum_p] = batched

# Graphs may be arguments and results of compiled functions.
jax.tree_util.register_dataclass(
    hopcore.Graph,
    data_fields=["entries", "weights"],
    meta_fields=["batch", "nodes", "normalization"],
)
jax.tree_util.register_dataclass(
    hopcore.Laplacian, data_fields=["graph", "values", "scale"], meta_fields=["normalization"]
)
