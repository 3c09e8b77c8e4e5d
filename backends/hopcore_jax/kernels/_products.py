"""Products with memories under XLA: with long ones, and with those of half precision.

XLA adds the numbers of a product one after the other on CPUs, so that rounding errors of a long sum
add up (see ``hopcore/arrays/_long_sums.py``). Two primitives are each other's derivative: weights
times values, which sums over the stored patterns, and queries times stored patterns, whose
derivative by the queries does. They read the memory where it is: a copy would double it.

Factors in float32 that came from bfloat16 or float16 have the argument ``half``, their dtype. GPUs
and TPUs multiply them in this dtype and add up in float32. The products of queries and stored
patterns are exact there; weights are rounded to the dtype, as fused kernels of attention do. Where
the default device is a CPU, which converts each factor to float32 anyway, there is no ``half``.
"""

from __future__ import annotations

import math
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


HALVES = tuple(map(np.dtype, (jnp.bfloat16, np.float16)))
"""The dtypes of half precision."""


def half_of(dtype: Any) -> Any:
    """Return a dtype of half precision, and None for another one."""
    return dtype if dtype in HALVES else None


def before_product(betas: Array, dtype: Any) -> Array:
    """Return the factor of beta by which queries are multiplied before the product with patterns.

    The scores are the product times the rest of beta. In float32 the factor is beta. In bfloat16 it
    is the power of two of beta: multiplying by it rounds nothing, and then the product does not
    overflow unless the score does. In float16 it is 1: the products of its numbers cannot overflow
    in float32, while its range is too small for such a factor.
    """
    if dtype == jnp.float32:
        return betas
    return power_of_two(betas) if dtype == jnp.bfloat16 else jnp.ones_like(betas)


def power_of_two(numbers: Array) -> Array:
    """Return the largest powers of two that are not above positive numbers in float32."""
    bits = lax.bitcast_convert_type(numbers, jnp.int32) & 0x7F800000
    return lax.bitcast_convert_type(jnp.maximum(bits, 0x00800000), jnp.float32)


def recalled(weights: Array, values: Array, half: Any = None) -> Array:
    """``weights (..., L, S) @ values (..., S, v)``."""
    if half is None and not is_long(values):
        return weights @ values
    return with_one_lead(product_p, weights, values, half)


def scored(query: Array, stored: Array, half: Any = None) -> Array:
    """``query (..., L, d) @ stored^T (..., d, S)``."""
    if half is None and not is_long(stored):
        return query @ jnp.matrix_transpose(stored)
    return with_one_lead(scores_p, query, stored, half)


def with_one_lead(primitive: Primitive, rows: Array, memory: Array, half: Any) -> Array:
    """Apply a primitive to arrays whose leading axes broadcast."""
    lead = np.broadcast_shapes(rows.shape[:-2], memory.shape[:-2])
    if memory.ndim > 2:
        rows, memory = (jnp.broadcast_to(x, (*lead, *x.shape[-2:])) for x in (rows, memory))
    lead = rows.shape[:-1]
    memory = jnp.reshape(memory, (-1, *memory.shape[-2:]))
    # Not -1, which is ambiguous if there are no memories.
    each = math.prod(lead) // max(1, memory.shape[0])
    rows = jnp.reshape(rows, (memory.shape[0], each, rows.shape[-1]))
    chosen = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    found = primitive.bind(rows, memory, precision=chosen, half=half)
    return jnp.reshape(found, (*lead, found.shape[-1]))


def multiply(weights: Array, values: Array, *, precision: Any, half: Any) -> Array:
    """``(B, R, S) @ (B, S, v)``, part by part; the sums of the parts are added in pairs."""
    if not is_long(values):
        return matmul(weights, values, precision)
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


def multiply_elsewhere(weights: Array, values: Array, *, precision: Any, half: Any) -> Array:
    """The same on GPUs and TPUs, where many small products take long."""
    if values.shape[1] <= LONG_ELSEWHERE:
        if half is not None:
            return rounded_product(weights, values, half)
        return matmul(weights, values, precision)
    with jax.default_matmul_precision(precision):
        return long_product(jnp, weights, values)


def rounded_product(rows: Array, values: Array, half: Any) -> Array:
    """``(B, R, S) @ (B, S, v)`` of factors that are rounded to half precision, added in float32.

    In float16, whose range is small, a power of two brings the largest number of a row near 2**13,
    so that small weights keep their digits and derivatives do not overflow. Rows of numbers of
    float16 keep all their digits.
    """
    if half != np.float16:
        return product_of_halves(rows, values, half)
    largest = jnp.max(jnp.abs(rows), axis=-1, keepdims=True, initial=0.0)
    factor = 8192.0 / jnp.maximum(power_of_two(largest), 2.0**-100)
    fits = largest <= float(jnp.finfo(half).max)
    factor = jnp.where(fits, jnp.maximum(factor, 1.0), factor)
    return product_of_halves(rows * factor, values, half) / factor


def product_of_halves(left: Array, right: Array, half: Any) -> Array:
    """Multiply matrices in half precision, with sums in float32."""
    left, right = left.astype(half), right.astype(half)
    return jnp.matmul(left, right, preferred_element_type=jnp.float32)


def compare(query: Array, stored: Array, *, precision: Any, half: Any) -> Array:
    """``(B, R, d) @ (B, S, d)^T``."""
    return matmul(query, jnp.matrix_transpose(stored), precision)


def compare_elsewhere(query: Array, stored: Array, *, precision: Any, half: Any) -> Array:
    """The same on GPUs and TPUs."""
    if half is None:
        return compare(query, stored, precision=precision, half=half)
    return rounded_product(query, jnp.matrix_transpose(stored), half)


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


def by_values(cotangent: Array, weights: Array, _: Any, **options: Any) -> Array:
    """The derivative of weights times values by the values."""
    return summed_over_queries(weights, cotangent, **options)


def by_stored(cotangent: Array, query: Array, _: Any, **options: Any) -> Array:
    """The derivative of scores by the stored patterns."""
    return summed_over_queries(cotangent, query, **options)


def summed_over_queries(left: Array, right: Array, *, precision: Any, half: Any) -> Array:
    """``(B, R, S)^T @ (B, R, v)``."""
    if half is None:
        return matmul(jnp.matrix_transpose(left), right, precision)
    return product_p.bind(jnp.matrix_transpose(left), right, precision=precision, half=half)


def new(
    name: str, function: Any, on_cpus: Any, width: int, by_rows: Any, by_memory: Any
) -> Primitive:
    """A bilinear primitive; the last axis of its result is an axis of the memory."""
    primitive = Primitive(name)
    primitive.def_impl(jax.jit(primitive.bind, static_argnames=("precision", "half")))
    primitive.def_abstract_eval(
        lambda rows, memory, **_: ShapedArray((*rows.shape[:2], memory.shape[width]), rows.dtype)
    )
    ad.defbilinear(primitive, by_rows, by_memory)
    batching.primitive_batchers[primitive] = partial(batched, primitive)
    mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=False))
    mlir.register_lowering(primitive, mlir.lower_fun(on_cpus, multiple_results=False), "cpu")
    return primitive


product_p = new(
    "hopcore_product",
    multiply_elsewhere,
    multiply,
    2,
    lambda cotangent, _, values, **options: scores_p.bind(cotangent, values, **options),
    by_values,
)
scores_p = new(
    "hopcore_scores",
    compare_elsewhere,
    compare,
    1,
    lambda cotangent, _, stored, **options: product_p.bind(cotangent, stored, **options),
    by_stored,
)
