"""Attention maps of torch's transformer layers: those of the forward pass, masks included."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from hopcore_torch import HopfieldDecoderLayer, HopfieldEncoderLayer

GIVEN: dict[str, Any] = {"dropout": 0.0, "batch_first": True, "dtype": torch.float64}
PADDING = torch.arange(5) >= torch.tensor([[5], [3]])
LATER = torch.ones(5, 5, dtype=torch.bool).triu(1)
SHOWN = torch.tensor([[0, 0, 1, 0, 1, 0, 0], [1, 0, 0, 0, 0, 0, 1]], dtype=torch.bool)


def unlike(layer: nn.Module) -> Any:
    """The layer with normalisations that change their input."""
    torch.manual_seed(1)
    for name, value in layer.named_parameters():
        if "norm" in name:
            nn.init.normal_(value, 1.0, 0.5)
    return layer.eval()


def weights(attention: nn.MultiheadAttention, *patterns: torch.Tensor, **masks: Any) -> Any:
    return attention(*patterns, average_attn_weights=False, **masks)[1]


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_the_map_of_an_encoder_is_that_of_torch(norm_first: bool, causal: bool) -> None:
    theirs = unlike(nn.TransformerEncoderLayer(8, 2, 16, norm_first=norm_first, **GIVEN))
    ours = HopfieldEncoderLayer.from_transformer(theirs)
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    z = theirs.norm1(x) if norm_first else x
    mask = LATER if causal else None
    wanted = weights(theirs.self_attn, z, z, z, key_padding_mask=PADDING, attn_mask=mask)
    got = ours.get_association_matrix(x, mask, PADDING)
    torch.testing.assert_close(got, wanted)
    if causal:
        torch.testing.assert_close(ours.get_association_matrix(x, None, PADDING, True), wanted)
    assert not got.requires_grad


@pytest.mark.parametrize("norm_first", [False, True])
def test_the_maps_of_a_decoder_are_those_of_torch(norm_first: bool) -> None:
    theirs = unlike(nn.TransformerDecoderLayer(8, 2, 16, norm_first=norm_first, **GIVEN))
    ours = HopfieldDecoderLayer.from_transformer(theirs)
    torch.manual_seed(0)
    x, memory = torch.randn(2, 5, 8, dtype=torch.float64), torch.randn(2, 7, 8).double()
    z = theirs.norm1(x) if norm_first else x
    masks = {"key_padding_mask": PADDING, "attn_mask": LATER}
    wanted = weights(theirs.self_attn, z, z, z, **masks)
    own = {"tgt_mask": LATER, "tgt_key_padding_mask": PADDING}
    torch.testing.assert_close(ours.get_association_matrix_self(x, **own), wanted)
    x1 = x + theirs.self_attn(z, z, z, **masks)[0]
    x1 = x1 if norm_first else theirs.norm1(x1)
    q = theirs.norm2(x1) if norm_first else x1
    wanted = weights(theirs.multihead_attn, q, memory, memory, key_padding_mask=SHOWN)
    got = ours.train().get_association_matrix_cross(x, memory, **own, memory_key_padding_mask=SHOWN)
    torch.testing.assert_close(got, wanted)
    del own["tgt_mask"]
    got = ours.get_association_matrix_cross(
        x, memory, **own, memory_key_padding_mask=SHOWN, tgt_is_causal=True
    )
    torch.testing.assert_close(got, wanted)


def test_patterns_that_enter_an_association_are_taken_as_they_are() -> None:
    layer = HopfieldDecoderLayer(8, 2, 16, batch_first=True, norm_first=True)
    x, memory = torch.randn(2, 5, 8), torch.randn(2, 7, 8)
    patterns = memory, x, memory
    wanted = layer.hopfield_association_cross.get_association_matrix(patterns)
    assert torch.equal(layer.get_association_matrix_cross(patterns), wanted)


def test_a_map_to_the_memory_needs_the_memory() -> None:
    layer = HopfieldDecoderLayer(8, 2, 16, batch_first=True)
    with pytest.raises(TypeError, match="needs the target and the memory") as refused:
        layer.get_association_matrix_cross(torch.ones(2, 5, 8))
    assert "\n" not in str(refused.value)
