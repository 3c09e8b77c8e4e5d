"""Layers with ``batch_first=False`` know that a sequence associates with itself."""

from __future__ import annotations

import torch

import hopcore_torch


def test_padding_that_is_nan_harms_no_derivative() -> None:
    torch.manual_seed(0)
    layer = hopcore_torch.Hopfield(input_size=6, num_heads=2, batch_first=False)
    sequence = torch.randn(5, 3, 6)
    sequence[4] = torch.nan
    padding = torch.zeros(3, 5, dtype=torch.bool)
    padding[:, 4] = True
    found = layer(sequence, stored_pattern_padding_mask=padding)
    assert bool(torch.isfinite(found).all())
    found[:4].sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name
