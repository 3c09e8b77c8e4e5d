"""The energy transformer block: modules, files, traces, bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import torch

import hopcore
import hopcore_jax
import hopcore_torch
from hopcore.layers import EnergyTransformerSettings, energy_transformer

SETTINGS = EnergyTransformerSettings(input_size=12, num_heads=3, head_size=4, quantity=7, steps=3)
TOKENS = np.random.default_rng(0).normal(size=(2, 5, 12)).astype(np.float32)
PADDING = np.arange(5) >= np.asarray([[5], [3]])


def test_modules_agree_with_the_functions() -> None:
    parameters = hopcore.initial_parameters(SETTINGS)
    wanted = energy_transformer(SETTINGS, parameters, TOKENS, padding_mask=PADDING)
    level = hopcore.layers.energy_transformer_energy(SETTINGS, parameters, TOKENS)
    torch_layer = hopcore_torch.EnergyTransformer.of(SETTINGS)
    torch_layer.load_state_dict({name: torch.tensor(x) for name, x in parameters.items()})
    jax_layer = hopcore_jax.EnergyTransformer.of(SETTINGS, parameters=parameters)
    for layer, put in ((torch_layer, torch.tensor), (jax_layer, jax.numpy.asarray)):
        found = layer(put(TOKENS), put(PADDING))
        given = found.detach() if isinstance(found, torch.Tensor) else found
        np.testing.assert_allclose(np.asarray(given), wanted, rtol=1e-4, atol=1e-5)
        energy = layer.energy(put(TOKENS))
        given = energy.detach() if isinstance(energy, torch.Tensor) else energy
        np.testing.assert_allclose(np.asarray(given), level, rtol=1e-5)


def test_a_checkpoint_moves_between_frameworks(tmp_path: Path) -> None:
    layer = hopcore_torch.EnergyTransformer.of(SETTINGS)
    hopcore_torch.save_layer(tmp_path / "block.safetensors", layer)
    other = hopcore_jax.load_layer(tmp_path / "block.safetensors")
    wanted = layer(torch.tensor(TOKENS)).detach()
    np.testing.assert_allclose(other(jax.numpy.asarray(TOKENS)), wanted, rtol=1e-4, atol=1e-5)


def test_traces_agree_with_eager_calls() -> None:
    layer = hopcore_torch.EnergyTransformer.of(SETTINGS)
    wanted = layer(torch.tensor(TOKENS), torch.tensor(PADDING)).detach()
    found = torch.compile(layer, fullgraph=True, backend="eager")(
        torch.tensor(TOKENS), torch.tensor(PADDING)
    )
    np.testing.assert_allclose(found.detach(), wanted, rtol=1e-4, atol=1e-5)
    arrays = {name: jax.numpy.asarray(x.detach()) for name, x in layer.named_parameters()}
    call = jax.jit(lambda x, mask: energy_transformer(SETTINGS, arrays, x, padding_mask=mask))
    np.testing.assert_allclose(call(TOKENS, PADDING), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("itself", [True, False])
def test_gradients_are_slopes(itself: bool) -> None:
    settings = EnergyTransformerSettings(
        input_size=4, num_heads=2, head_size=3, quantity=3, attends_to_itself=itself, steps=2
    )
    parameters = hopcore.initial_parameters(settings, backend="torch", dtype="float64")
    arrays = [x.requires_grad_() for x in parameters.values()]
    tokens = torch.tensor(TOKENS[:, :, :4], dtype=torch.float64, requires_grad=True)

    def call(tokens: torch.Tensor, *arrays: torch.Tensor) -> torch.Tensor:
        named = dict(zip(parameters, arrays, strict=True))
        return energy_transformer(settings, named, tokens, padding_mask=torch.tensor(PADDING))

    assert torch.autograd.gradcheck(call, (tokens, *arrays))


def test_a_lone_token_that_attends_to_others_has_only_the_memory() -> None:
    settings = EnergyTransformerSettings(input_size=12, attends_to_itself=False, steps=1)
    parameters = hopcore.initial_parameters(settings)
    found = energy_transformer(settings, parameters, TOKENS[:, :1])
    parameters["memory_weight"] = 0.0 * parameters["memory_weight"]
    alone = energy_transformer(settings, parameters, TOKENS[:, :1])
    assert np.all(np.isfinite(found))
    np.testing.assert_array_equal(alone, TOKENS[:, :1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda p: energy_transformer(SETTINGS, p, TOKENS[..., :3]),
            r"tokens must be \(\.\.\., L, 12",
        ),
        (
            lambda p: energy_transformer(SETTINGS, p, TOKENS, padding_mask=PADDING[:, :2]),
            r"mask must broadcast to \(2, 5\)",
        ),
        (lambda p: energy_transformer(SETTINGS, p, TOKENS, steps=-1), "steps must be >= 0"),
        (lambda p: EnergyTransformerSettings(input_size=0), "input_size"),
        (lambda p: EnergyTransformerSettings(input_size=4, step_size=0.0), "step_size"),
        (
            lambda p: energy_transformer(hopcore.HopfieldSettings(input_size=4), p, TOKENS),
            "must be EnergyTransformerSettings, got HopfieldSettings",
        ),
    ],
)
def test_bad_input(call: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message) as error:
        call(hopcore.initial_parameters(SETTINGS))
    assert "\n" not in str(error.value)
