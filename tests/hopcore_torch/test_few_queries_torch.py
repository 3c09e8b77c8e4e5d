"""Pooling in torch applies its maps to the queries; values and all derivatives stay the same."""

from __future__ import annotations

import pytest
import torch

import hopcore_torch
from hopcore.layers import _few_queries, _hopfield


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_output_and_gradients_are_those_of_a_projected_set(
    dropout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    layer = hopcore_torch.HopfieldPooling(input_size=12, num_heads=3, dropout=dropout).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(4, 30, 12, dtype=torch.float64, requires_grad=True)
    padding = torch.rand(4, 30) < 0.3
    leaves = [x, *layer.parameters()]

    def measured() -> list[torch.Tensor]:
        torch.manual_seed(1)
        found = layer(x, stored_pattern_padding_mask=padding)
        slopes = torch.autograd.grad(found.square().sum(), leaves, create_graph=True)
        (second,) = torch.autograd.grad(slopes[0].square().sum(), x)
        return [found, *slopes, second]

    monkeypatch.setattr(_few_queries, "WORTH", 1)
    moved = measured()
    monkeypatch.setattr(_hopfield, "obstacle_to_moved_maps", lambda *given: "compared with")
    compared = measured()
    # The bias of the keys has the derivative 0, which is a sum of terms that cancel.
    size = max(float(value.detach().abs().max()) for value in compared)
    for found, wanted in zip(moved, compared, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12 * size)


def test_no_array_of_projected_patterns_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The linear maps see the queries alone."""
    seen: list[tuple[int, ...]] = []
    right = hopcore_torch.TorchBackend.linear

    def linear(self, features, weight, bias):
        seen.append(tuple(features.shape))
        return right(self, features, weight, bias)

    monkeypatch.setattr(hopcore_torch.TorchBackend, "linear", linear)
    layer = hopcore_torch.HopfieldPooling(input_size=64, num_heads=4).eval()
    with torch.no_grad():
        layer(torch.randn(8, 400, 64))
    assert all(400 not in shape for shape in seen), seen
