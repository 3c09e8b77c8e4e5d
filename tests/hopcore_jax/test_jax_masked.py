"""What no query may attend to is never read in JAX, run as called and compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hopcore

jax = pytest.importorskip("jax")
eqx = pytest.importorskip("equinox")
modules = pytest.importorskip("hopcore_jax")
jnp = jax.numpy

PADDING = np.zeros((2, 6), dtype=bool)
PADDING[0, 4:] = True
X = np.random.default_rng(0).normal(size=(2, 6, 8)).astype(np.float32)


def with_padding(content: float) -> Any:
    """Patterns whose padding holds something."""
    return jnp.asarray(np.where(PADDING[..., None], np.float32(content), X))


@pytest.mark.parametrize("content", [np.nan, 3e38])
def test_compiled_retrievals(content: float) -> None:
    @jax.jit
    def retrieve(stored: Any, mask: Any) -> Any:
        return hopcore.retrieve(stored[:, :2], stored, 1.0, mask=mask, max_steps=2)

    mask = jnp.asarray(~PADDING[:, None])
    wanted = retrieve(jnp.asarray(X), mask)
    got = retrieve(with_padding(content), mask)
    np.testing.assert_allclose(got.state, wanted.state, rtol=1e-5)
    np.testing.assert_allclose(got.energy, wanted.energy, rtol=1e-5)


@pytest.mark.parametrize("content", [np.nan, 3e38])
def test_compiled_layers(content: float) -> None:
    layer = modules.Hopfield(input_size=8, num_heads=2, key=jax.random.key(0))

    def total(layer: Any, x: Any) -> Any:
        return jnp.sum(jnp.where(PADDING[..., None], 0.0, layer(x, jnp.asarray(PADDING))) ** 2)

    arrays, rest = eqx.partition(layer, eqx.is_inexact_array)
    slope = jax.jit(jax.grad(lambda arrays, x: total(eqx.combine(arrays, rest), x), (0, 1)))
    wanted, got = slope(arrays, jnp.asarray(X)), slope(arrays, with_padding(content))
    for right, found in zip(jax.tree.leaves(wanted), jax.tree.leaves(got), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-5)
    assert not np.any(np.asarray(got[1])[PADDING])
    assert np.all(np.isfinite(layer(with_padding(content), jnp.asarray(PADDING))))


def test_hard_quantised_values_are_codes_to_the_last_digit() -> None:
    rng = np.random.default_rng(0)
    settings = hopcore.layers.QuantizerSettings(input_size=4, quantity=16, groups=2)
    codebook = rng.normal(size=(2, 16, 2)).astype(np.float32)
    features = (3.0 * rng.normal(size=(50, 4))).astype(np.float32)

    @jax.jit
    def hard(codebook: Any, features: Any) -> Any:
        return hopcore.layers.quantize(settings, {"codebook": codebook}, features, hard=True)

    found = hard(jnp.asarray(codebook), jnp.asarray(features))
    codes = np.asarray(found.codes)
    exact = np.stack([codebook[g][codes[:, g]] for g in range(2)], 1).reshape(50, 4)
    np.testing.assert_array_equal(found.values, exact)


def test_masks_of_no_samples() -> None:
    state, stored = jnp.ones((0, 2, 4)), jnp.ones((0, 3, 4))
    mask = jnp.ones((0, 2, 3), bool)
    for separation in ("softmax", "sparsemax"):
        found = hopcore.association(state, stored, beta=1.0, mask=mask, separation=separation)
        assert found.shape == (0, 2, 4)
    assert hopcore.knn_graph(jnp.ones((0, 5, 4)), 2).to_dense().shape == (0, 5, 5)
    slope = jax.grad(lambda x: hopcore.knn_graph(x, 2).to_dense().sum())(jnp.ones((0, 5, 4)))
    assert slope.shape == (0, 5, 4)
