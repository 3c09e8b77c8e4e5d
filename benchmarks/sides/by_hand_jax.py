"""JAX without hopcore, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.cases import Case
from benchmarks.sides import Prepared, arrays


def compiled(function: Callable[..., Any], *values: np.ndarray, note: str = "") -> Prepared:
    """A function of some arrays, compiled ahead."""
    on_device = [jax.device_put(value) for value in values]
    ready = jax.jit(function).lower(*on_device).compile()
    memory = ready.memory_analysis()
    return Prepared(
        lambda: jax.block_until_ready(ready(*on_device)),
        None if memory is None else memory.temp_size_in_bytes,
        note,
    )


def association(case: Case, library: str) -> Prepared:
    def call(state: jax.Array, stored: jax.Array) -> jax.Array:
        # (L, heads, d), with one head.
        state, stored = state[:, None, :], stored[:, None, :]
        return jax.nn.dot_product_attention(state, stored, stored, scale=case.beta)[:, 0, :]

    return compiled(call, *arrays(case))


def pairs(case: Case, library: str) -> Prepared:
    """The inner products of all pairs of stored patterns, in tiles, and their largest alone."""
    stored = arrays(case)[1]

    def call(stored: jax.Array) -> jax.Array:
        tiles = stored.reshape(-1, 100, stored.shape[-1])
        return jax.lax.map(lambda tile: jnp.max(tile @ stored.T, axis=-1), tiles)

    return compiled(call, stored)
