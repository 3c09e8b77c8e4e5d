"""Nested tensors: refused by name, or encoded as their samples are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import hopcore_torch

LAYOUTS = torch.strided, torch.jagged
pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")


def bags(layout: torch.layout) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.nested.nested_tensor([torch.randn(n, 8) for n in (6, 4)], layout=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["Hopfield", "HopfieldPooling", "HopfieldLayer"])
def test_layers_refuse_nested_tensors(kind: str, layout: torch.layout) -> None:
    layer = getattr(hopcore_torch, kind)(8)
    with pytest.raises(TypeError, match="must not be a nested tensor: pad it") as refused:
        layer(bags(layout))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_encoder_layer_encodes_each_sample(layout: torch.layout) -> None:
    layer = hopcore_torch.HopfieldEncoderLayer(8, 2, 16, batch_first=True).eval()
    given = bags(layout)
    encoded = layer(given)
    assert encoded.layout == layout
    for sample, found in zip(given.unbind(), encoded.unbind(), strict=True):
        torch.testing.assert_close(found, layer(sample[None])[0])


@pytest.mark.parametrize("lengths", [[6, 0, 3], [0, 0, 0]])
def test_wholly_padded_samples_of_a_nested_batch(lengths: list[int]) -> None:
    layer = hopcore_torch.HopfieldEncoderLayer(8, 2, 16, batch_first=True).requires_grad_(False)
    encoder = nn.TransformerEncoder(layer, 2).eval()
    padding = torch.arange(6) >= torch.tensor(lengths)[:, None]
    x = torch.randn(3, 6, 8)
    if any(lengths):
        assert encoder(x, src_key_padding_mask=padding).isfinite().all()
        return
    with pytest.raises(ValueError, match="every sample of the nested tensor is empty"):
        encoder(x, src_key_padding_mask=padding)
