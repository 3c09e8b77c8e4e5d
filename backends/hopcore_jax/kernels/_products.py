"""Products with long memories under XLA, whose sums over stored patterns are taken in parts.

XLA adds the numbers of a product one after the other on CPUs, so that rounding errors of a long sum
add up (see ``hopcore/arrays/_long_sums.py``). Two primitives are each other's derivative: weights
times values, which sums over the stored patterns, and queries times stored patterns, whose
derivative by the queries does. They read the memory where it is: a copy would double it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from hopcore.arrays import LONG, MOST_NUMBER, PART, Array, long_product

LONG_ELSEWHERE = 1 << 20
"""GPUs and TPUs add in many lanes, and need parts of longer memories only."""


def is_long(memory: Array) -> bool:
    """Whether products with a memory ``(..., S, v)`` are summed in parts: never where S is open."""
    patterns = memory.shape[-2]
    return isinstance(patterns, int) and patterns > LONG


def recalled(weights: Array, values: Array) -> Array:
    """``weights (..., L, S) @ values (..., S, v)``."""
    if not is_long(values):
        return weights @ values
    return with_one_lead(product_p, weights, values)


def scored(query: Array, stored: Array) -> Array:
    """``query (..., L, d) @ stored^T (..., d, S)``."""
    if not is_long(stored):
        return query @ jnp.matrix_transpose(stored)
    return with_one_lead(scores_p, query, stored)


def with_one_lead(primitive: Primitive, rows: Array, memory: Array) -> Array:
    """Apply a primitive to arrays whose leading axes broadcast."""
    lead = np.broadcast_shapes(rows.shape[:-2], memory.shape[:-2])
    if memory.ndim > 2:
        rows, memory = (jnp.broadcast_to(x, (*lead, *x.shape[-2:])) for x in (rows, memory))
    lead = rows.shape[:-1]
    memory = jnp.reshape(memory, (-1, *memory.shape[-2:]))
    rows = jnp.reshape(rows, (memory.shape[0], -1, rows.shape[-1]))
    chosen = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    found = primitive.bind(rows, memory, precision=chosen)
    return jnp.reshape(found, (*lead, found.shape[-1]))


def multiply(weights: Array, values: Array, *, precision: Any) -> Array:
    """``(B, R, S) @ (B, S, v)``, part by part; the sums of the parts are added in pairs."""
    parts, rest = divmod(values.shape[1], PART)

    def part(start: Array) -> Array:
        some = lax.dynamic_slice_in_dim(weights, start, PART, axis=2)
        return matmul(some, lax.dynamic_slice_in_dim(values, start, PART, axis=1), precision)

    sums = lax.map(part, jnp.arange(parts, dtype=index_dtype(values.shape[1])) * PART)
    while sums.shape[0] > 1:
        half = sums.shape[0] // 2
        sums = jnp.concatenate([sums[:half] + sums[half : 2 * half], sums[2 * half :]])
    total = sums[0]
    if rest:
        total = total + matmul(weights[..., -rest:], values[:, -rest:], precision)
    return total


def index_dtype(count: Any) -> Any:
    """int32, or int64 for entries that 32 bits cannot number, where JAX has it."""
    if not isinstance(count, int) or count <= MOST_NUMBER:
        return jnp.int32
    if not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise ValueError(
            f"JAX numbers entries in 32 bits, at most {MOST_NUMBER}, got {count}: "
            "set jax_enable_x64, or divide the memory"
        )
    return jnp.int64


def multiply_elsewhere(weights: Array, values: Array, *, precision: Any) -> Array:
    """The same on GPUs and TPUs, where many small products take long."""
    if values.shape[1] <= LONG_ELSEWHERE:
        return matmul(weights, values, precision)
    with jax.default_matmul_precision(precision):
        return long_product(jnp, weights, values)


def compare(query: Array, stored: Array, *, precision: Any) -> Array:
    """``(B, R, d) @ (B, S, d)^T``."""
    return matmul(query, jnp.matrix_transpose(stored), precision)


def matmul(left: Array, right: Array, precision: Any) -> Array:
    return jnp.matmul(left, right, precision=precision)


def batched(
    primitive: Primitive, arrays: tuple[Array, Array], axes: tuple[Any, Any], **options: Any
) -> tuple[Array, int]:
    """One more axis: of rows, if all share a memory; else of memories."""
    rows, memory = arrays
    if axes[1] is None:
        rows = jnp.moveaxis(rows, axes[0], 1)
        flat = jnp.reshape(rows, (rows.shape[0], -1, rows.shape[-1]))
        found = primitive.bind(flat, memory, **options)
        return jnp.reshape(found, (*rows.shape[:3], found.shape[-1])), 1
    memory = jnp.moveaxis(memory, axes[1], 0)
    rows = rows[None] if axes[0] is None else jnp.moveaxis(rows, axes[0], 0)
    rows = jnp.broadcast_to(rows, (memory.shape[0], *rows.shape[1:]))
    rows, flat = (jnp.reshape(x, (-1, *x.shape[2:])) for x in (rows, memory))
    found = primitive.bind(rows, flat, **options)
    return jnp.reshape(found, (*memory.shape[:2], *found.shape[1:])), 0


def by_values(cotangent: Array, weights: Array, _: Any, precision: Any) -> Array:
    """The derivative of weights times values by the values."""
    return matmul(jnp.matrix_transpose(weights), cotangent, precision)


def by_stored(cotangent: Array, query: Array, _: Any, precision: Any) -> Array:
    """The derivative of scores by the stored patterns."""
    return matmul(jnp.matrix_transpose(cotangent), query, precision)


def new(name: str, function: Any, width: int, by_rows: Any, by_memory: Any) -> Primitive:
    """A bilinear primitive; the last axis of its result is an axis of the memory."""
    primitive = Primitive(name)
    primitive.def_impl(jax.jit(function, static_argnames="precision"))
    primitive.def_abstract_eval(
        lambda rows, memory, precision: ShapedArray(
            (*rows.shape[:2], memory.shape[width]), rows.dtype
        )
    )
    ad.defbilinear(primitive, by_rows, by_memory)
    batching.primitive_batchers[primitive] = partial(batched, primitive)
    mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=False))
    return primitive


product_p = new(
    "hopcore_product",
    multiply_elsewhere,
    2,
    lambda cotangent, _, values, precision: scores_p.bind(cotangent, values, precision=precision),
    by_values,
)
mlir.register_lowering(product_p, mlir.lower_fun(multiply, multiple_results=False), "cpu")
product_p.def_impl(jax.jit(product_p.bind, static_argnames="precision"))
scores_p = new(
    "hopcore_scores",
    compare,
    1,
    lambda cotangent, _, stored, precision: product_p.bind(cotangent, stored, precision=precision),
    by_stored,
)
