"""Layers of batches without samples, in torch, with derivatives; networks and losses of nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore.diffusion import DiffusionConfig
from hopcore.layers import HNMSettings, hnm_cross_entropy_loss, straight_through
from hopcore.layers._losses import divergence, logistic_loss

torch = pytest.importorskip("torch")
modules = pytest.importorskip("hopcore_torch")

LAYERS: dict[str, Any] = {
    "Hopfield": lambda: modules.Hopfield(input_size=8, num_heads=2),
    "updates": lambda: modules.Hopfield(input_size=8, num_heads=2, update_steps_max=None),
    "diffused": lambda: modules.DiffusedHopfield(input_size=8, num_heads=2),
    "diffused, not normalised": lambda: modules.Hopfield(
        input_size=8, num_heads=2, diffusion=DiffusionConfig(use_normalized_laplacian=False)
    ),
    "diffused queries": lambda: modules.Hopfield(
        input_size=8, num_heads=2, diffusion=DiffusionConfig(diffuse_query=True)
    ),
    "pooling": lambda: modules.HopfieldPooling(input_size=8, num_heads=2),
    "lookup": lambda: modules.HopfieldLayer(input_size=8, quantity=4),
    "encoder": lambda: modules.HopfieldEncoderLayer(8, 2, 16, batch_first=True),
    "quantiser": lambda: modules.VectorQuantizer(input_size=8, quantity=4, groups=2),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", sorted(LAYERS))
def test_no_samples(name: str, dtype: str) -> None:
    layer = LAYERS[name]().to(getattr(torch, dtype))
    patterns = torch.ones(0, 5, 8, dtype=getattr(torch, dtype), requires_grad=True)
    found = layer(patterns)
    output = found[0] if isinstance(found, tuple) else found
    assert output.shape == ((0, 8) if name == "pooling" else (0, 5, 8))
    output.sum().backward()
    assert patterns.grad is not None
    assert patterns.grad.shape == (0, 5, 8)
    assert all(p.grad is None or p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("name", ["Hopfield", "diffused", "pooling"])
def test_no_samples_with_a_padding_mask(name: str) -> None:
    padding = torch.zeros(0, 5, dtype=torch.bool)
    found = LAYERS[name]()(torch.ones(0, 5, 8), padding)
    assert found.shape[0] == 0


def test_losses_of_no_samples() -> None:
    settings = HNMSettings(input_size=8, output_size=3)
    parameters = hopcore.initial_parameters(settings)
    nothing = np.ones((0, 8), np.float32)
    for hard in (False, True):
        loss = hnm_cross_entropy_loss(
            settings, parameters, nothing, np.zeros(0, dtype=int), hard=hard
        )
        assert loss == 0.0
    empty = np.ones((0, 3))
    assert logistic_loss(empty, empty) == divergence(empty, empty) == 0.0
    assert straight_through(empty).shape == (0, 3)
    assert straight_through(np.ones((2, 0))).shape == (2, 0)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_straight_through_is_exactly_one_hot(dtype: str) -> None:
    weights = hopcore.separate(3.0 * torch.randn(200, 30, dtype=getattr(torch, dtype)))
    one = torch.nn.functional.one_hot(weights.argmax(-1), 30).to(weights.dtype)
    assert torch.equal(straight_through(weights), one)
