"""JAX's kernels of layers: compiled linear maps and normalisation, and its error function."""

from __future__ import annotations

from functools import partial

import jax
from jax import lax

from hopcore.arrays import Backend
from hopcore_jax.kernels._blocks import precision


class JaxLayerKernels(Backend):
    """The kernels of layers for JAX arrays."""

    def linear(self, features: jax.Array, weight: jax.Array, bias: jax.Array | None) -> jax.Array:
        return linear(features, weight, bias)

    def layer_norm(
        self, features: jax.Array, weight: jax.Array | None, bias: jax.Array | None, eps: float
    ) -> jax.Array:
        return layer_norm(self, features, weight, bias, eps)

    def split(self, array: jax.Array, sizes: list[int], axis: int) -> list[jax.Array]:
        return list(lax.split(array, sizes, axis % array.ndim))

    def erf(self, values: jax.Array) -> jax.Array:
        return lax.erf(values)


@partial(jax.jit, inline=True)
def linear(features: jax.Array, weight: jax.Array, bias: jax.Array | None) -> jax.Array:
    """``x W^T + b``, without a transposed copy of the weight."""
    last = features.ndim - 1
    with precision(features.dtype):
        product = lax.dot_general(features, weight, (((last,), (1,)), ((), ())))
    return product if bias is None else product + bias


@partial(jax.jit, static_argnames=("kernels", "eps"), inline=True)
def layer_norm(
    kernels: JaxLayerKernels,
    features: jax.Array,
    weight: jax.Array | None,
    bias: jax.Array | None,
    eps: float,
) -> jax.Array:
    """The portable normalisation, as one kernel."""
    return Backend.layer_norm(kernels, features, weight, bias, eps)
