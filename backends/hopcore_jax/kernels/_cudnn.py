"""The attention of cuDNN, which JAX calls on GPUs of NVIDIA.

It computes the softmax association of bfloat16 and float16 in one pass, without an array of scores
(Dao 2023, "FlashAttention-2: Faster Attention with Better Parallelism and Work Partitioning"), and
its derivatives by queries, keys and values. ``hopcore_jax/kernels/pallas/_cudnn_choice.py`` says
which calls it takes.
"""

from __future__ import annotations

import math
from functools import lru_cache, partial
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp

from hopcore.arrays import Array

Shape = tuple[int, int, int]


@lru_cache(maxsize=1024)
def refusal_of_jax(query: Shape, memory: Shape, dtype: Any, causal: bool) -> str:
    """Return why JAX refuses an attention of such arrays, as where it finds no cuDNN; "" if not."""
    arrays = [jax.ShapeDtypeStruct(shape, dtype) for shape in (query, memory, memory)]
    length = memory[1] if causal else 0
    try:
        jax.eval_shape(partial(attention, beta=1.0, length=length), *arrays)
    except (RuntimeError, ValueError, TypeError) as error:
        return f"JAX says: {error}"
    return ""


def attention(query: Array, key: Array, value: Array, *, beta: float, length: int) -> Array:
    """Associate queries ``(B, R, d)`` with patterns and projections ``(B, S, d)`` by cuDNN.

    A length above 0 says that the queries are causal sequences of this length.
    """
    before, scale = parts_of(beta, query.dtype)
    if before != 1.0:
        query = query * jnp.asarray(before, dtype=query.dtype)
    memories, queries, depth = query.shape
    # cuDNN has an axis of sequences that share their keys after the one of the places.
    sequences = jnp.reshape(query, (memories, -1, length or queries, depth))
    output = jax.nn.dot_product_attention(
        jnp.swapaxes(sequences, 1, 2),
        key[:, :, None],
        value[:, :, None],
        scale=scale,
        is_causal=length > 0,
        implementation="cudnn",
    )
    return jnp.reshape(jnp.swapaxes(output, 1, 2), query.shape)


def parts_of(beta: float, dtype: Any) -> tuple[float, float]:
    """Return :func:`hopcore_jax.kernels._products.before_product` of beta, and the rest of beta."""
    if dtype != jnp.bfloat16:
        return 1.0, beta
    rest, exponent = math.frexp(beta)
    return math.ldexp(1.0, exponent - 1), 2.0 * rest


def needs_devices(primitive: Any) -> None:
    """Let JAX say for which devices a program is when it lowers a primitive to cuDNN.

    JAX lowers an attention only where it knows them. It has no public function for this; without
    it, :func:`runs_in` is false.
    """
    known: Any = getattr(import_module("jax._src.dispatch"), "__dict__", {})
    known.get("prim_requires_devices_during_lowering", set()).add(primitive)


def runs_in(context: Any) -> bool:
    """Whether a program that is being lowered may call cuDNN.

    One for several devices may not, since JAX refuses queries and memories that are divided in
    different ways. One that is exported may not, since JAX exports no call of cuDNN.
    """
    devices = getattr(context.axis_context, "device_assignment", None)
    for_one = devices is not None and len(devices) == 1
    return for_one and not context.lowering_parameters.for_export
