"""A Hopfield layer as a module of flax, of a few lines around the function of hopcore."""

from __future__ import annotations

import numpy as np
import pytest

import hopcore

pytest.importorskip("flax", reason="flax is not installed")
optax = pytest.importorskip("optax")
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from flax import nnx  # noqa: E402

SETTINGS = hopcore.HopfieldSettings(input_size=4, num_heads=2)


class Hopfield(nnx.Module):
    """The recipe of docs/guides/training-tools.md."""

    def __init__(self, settings, seed=0):
        self.settings = settings
        first = hopcore.layers.initial_parameters(settings, seed=seed)
        self.names = tuple(first)
        self.values = nnx.List([nnx.Param(jnp.asarray(value)) for value in first.values()])

    def __call__(self, stored):
        parameters = {name: value[...] for name, value in zip(self.names, self.values, strict=True)}
        return hopcore.hopfield(self.settings, parameters, stored)


def test_a_module_of_flax_computes_the_layer_and_its_gradients():
    module = Hopfield(SETTINGS)
    x = jax.random.normal(jax.random.key(0), (8, 5, 4))
    first = hopcore.layers.initial_parameters(SETTINGS, seed=0)
    expected = hopcore.hopfield(SETTINGS, first, np.asarray(x))
    np.testing.assert_allclose(nnx.jit(lambda m, x: m(x))(module, x), expected, atol=1e-5)

    def loss(parameters):
        return jnp.mean((hopcore.hopfield(SETTINGS, parameters, x) - x) ** 2)

    optimizer = nnx.Optimizer(module, optax.sgd(0.1), wrt=nnx.Param)

    @nnx.jit
    def step(module, optimizer):
        gradient = nnx.grad(lambda m: jnp.mean((m(x) - x) ** 2))(module)
        optimizer.update(module, gradient)

    step(module, optimizer)
    gradients = jax.grad(loss)({name: jnp.asarray(value) for name, value in first.items()})
    for name, value in zip(module.names, module.values, strict=True):
        expected = first[name] - 0.1 * gradients[name]
        np.testing.assert_allclose(value[...], expected, atol=1e-6, err_msg=name)
    assert not np.allclose(module.values[0][...], first[module.names[0]], atol=1e-6)


def test_the_parameters_are_those_of_a_checkpoint(tmp_path):
    module = Hopfield(SETTINGS, seed=3)
    parameters = {
        name: np.asarray(value[...])
        for name, value in zip(module.names, module.values, strict=True)
    }
    hopcore.layers.save_layer(tmp_path / "layer.safetensors", SETTINGS, parameters)
    saved = hopcore.layers.load_layer(tmp_path / "layer.safetensors")
    assert saved.settings == SETTINGS
    assert all(np.array_equal(saved.parameters[name], parameters[name]) for name in module.names)
