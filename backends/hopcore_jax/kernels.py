"""Kernels of the JAX backend."""

from __future__ import annotations

import jax.numpy as jnp

from hopcore.backend import Backend


class JaxBackend(Backend):
    def __init__(self) -> None:
        super().__init__("jax", jnp)
        for half in (jnp.float16, jnp.bfloat16):
            self.precise[jnp.dtype(half)] = jnp.float32
