"""JAX's layers under ``jax.export`` with open sizes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("jax")

import jax
import jax.numpy as jnp
from jax import export

import hopcore_jax

KEY = jax.random.key(0)
LAYERS = {
    "plain": hopcore_jax.Hopfield(8, num_heads=2, key=KEY),
    "sparse": hopcore_jax.Hopfield(8, num_heads=2, separation="sparsemax", key=KEY),
    "pooling": hopcore_jax.HopfieldPooling(8, num_heads=2, key=KEY),
    "lookup": hopcore_jax.HopfieldLayer(8, num_heads=2, quantity=5, key=KEY),
    "encoder": hopcore_jax.HopfieldEncoderLayer(8, 2, 16, key=KEY, inference=True),
    "diffused": hopcore_jax.DiffusedHopfield(8, num_heads=2, k_neighbors=3, key=KEY),
}


@pytest.mark.parametrize("name", list(LAYERS))
def test_batch_and_length_may_be_open(name: str) -> None:
    layer = LAYERS[name]
    batch, length = export.symbolic_shape("b, s")
    given = [jax.ShapeDtypeStruct((batch, length, 8), jnp.float32)]
    masked = name in ("plain", "pooling")
    if masked:
        given.append(jax.ShapeDtypeStruct((batch, length), jnp.bool_))

    def call(*inputs: jax.Array) -> jax.Array:
        return layer(*inputs)

    exported = export.export(jax.jit(call))(*given)
    for shape in ((5, 9, 8), (1, 2, 8)):
        inputs = [jax.random.normal(KEY, shape)]
        if masked:
            inputs.append(jnp.arange(shape[1]) > jnp.arange(shape[0])[:, None])
        np.testing.assert_allclose(exported.call(*inputs), layer(*inputs), atol=1e-6)
