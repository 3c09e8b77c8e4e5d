"""Models whose attention was replaced compute the same, train the same, and can be restored."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hopcore_torch import (
    AttentionMonitor,
    Hopfield,
    HopfieldAttention,
    HopfieldDecoderLayer,
    HopfieldEncoderLayer,
    HopfieldLayer,
    replace_attention,
    restore_attention,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrize

from hopcore import LearnableTemperature
from test_from_attention import OPTIONS, attention_of, masks_of, patterns_of

pytestmark = pytest.mark.filterwarnings("ignore:.*nested tensor.*:UserWarning")

F64 = torch.float64


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def shaken(model: Any) -> Any:
    """A model in float64 and eval mode whose parameters are far from where they start."""
    draw = torch.Generator().manual_seed(0)
    for parameter in model.to(F64).eval().parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=draw, dtype=F64)
    return model


class Block(nn.Module):
    """A block of a vision transformer, as torchvision has it."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, dropout=dropout, batch_first=True)
        self.mlp = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(x)
        return x + self.mlp(self.attention(y, y, y, need_weights=False)[0])


@settings(max_examples=60, deadline=None)
@given(
    options=OPTIONS,
    masks=st.sampled_from(["none", "keys", "pairs", "heads", "numbers"]),
    averaged=st.booleans(),
    alone=st.booleans(),
)
def test_attention_and_what_takes_its_place_are_called_alike(
    options: Any, masks: str, averaged: bool, alone: bool
) -> None:
    attention = attention_of(**options)
    query, key, value = patterns_of(attention)
    padding, pairs = masks_of(masks, options["num_heads"])
    if alone:
        own = 0 if attention.batch_first else 1
        query, key, value = (x.select(own, 0) for x in (query, key, value))
        padding = None if padding is None else padding[0]
        if pairs is not None and pairs.ndim == 3:
            pairs = pairs[: options["num_heads"]]
    call = {"key_padding_mask": padding, "attn_mask": pairs, "average_attn_weights": averaged}
    wanted = attention(query, key, value, **call)
    there = replace_attention(attention)
    assert isinstance(there, HopfieldAttention)
    assert not there.training
    found = there(query, key, value, **call)
    torch.testing.assert_close(found[0], wanted[0])
    torch.testing.assert_close(found[1], wanted[1])
    output, nothing = there(query, key, value, padding, False, pairs)
    torch.testing.assert_close(output, wanted[0])
    assert nothing is None
    back = restore_attention(there)
    assert type(back) is nn.MultiheadAttention
    for name in ("embed_dim", "num_heads", "kdim", "vdim", "batch_first", "dropout", "head_dim"):
        assert getattr(back, name) == getattr(attention, name) == getattr(there, name)
    torch.testing.assert_close(back(query, key, value, **call), wanted)


@settings(max_examples=30, deadline=None)
@given(
    batch_first=st.booleans(),
    norm_first=st.booleans(),
    bias=st.booleans(),
    activation=st.sampled_from(["relu", "gelu"]),
    masks=st.sampled_from(["none", "padding", "causal", "both"]),
    gradient=st.booleans(),
    fast=st.booleans(),
)
def test_transformers_compute_the_same(
    batch_first: bool,
    norm_first: bool,
    bias: bool,
    activation: str,
    masks: str,
    gradient: bool,
    fast: bool,
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = shaken(
            nn.Transformer(
                8,
                2,
                2,
                2,
                16,
                0.2,
                activation,
                batch_first=batch_first,
                norm_first=norm_first,
                bias=bias,
            )  # fmt: skip
        )
    source, target = numbers(3, 7, 8), numbers(3, 5, 8, seed=1)
    if not batch_first:
        source, target = source.transpose(0, 1), target.transpose(0, 1)
    named: dict[str, Any] = {}
    if masks in ("padding", "both"):
        padding = torch.arange(7) >= torch.tensor([[7], [4], [2]])
        named.update(src_key_padding_mask=padding, memory_key_padding_mask=padding)
    if masks in ("causal", "both"):
        square = nn.Transformer.generate_square_subsequent_mask
        named.update(tgt_mask=square(5, dtype=F64), tgt_is_causal=True)
        if masks == "causal":
            named.update(src_mask=square(7, dtype=F64), src_is_causal=True)
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(fast)
    try:
        with torch.set_grad_enabled(gradient):
            wanted, encoded = model(source, target, **named), None
            if masks == "padding":
                encoded = model.encoder(source, src_key_padding_mask=padding)
            before = {name: x.clone() for name, x in model.state_dict().items()}
            assert replace_attention(model) is model
            assert not any(isinstance(x, nn.MultiheadAttention) for x in model.modules())
            torch.testing.assert_close(model(source, target, **named), wanted)
            if encoded is not None:  # its padded positions, too
                found = model.encoder(source, src_key_padding_mask=padding)
                torch.testing.assert_close(found, encoded)
            restore_attention(model)
            assert type(model.encoder.layers[0]) is nn.TransformerEncoderLayer
            assert type(model.decoder.layers[1]) is nn.TransformerDecoderLayer
            torch.testing.assert_close(model(source, target, **named), wanted)
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], x) for name, x in before.items())


def test_training_goes_on_with_the_optimiser_of_before() -> None:
    models = [shaken(nn.Sequential(Block(), nn.TransformerEncoderLayer(8, 2, 16, 0.0))).train()]
    models.append(copy.deepcopy(models[0]))
    makers = [torch.optim.Adam(model.parameters(), lr=0.01) for model in models]
    x = numbers(3, 5, 8)
    for step in range(4):
        if step == 1:
            replace_attention(models[1])
        if step == 3:
            restore_attention(models[1])
        for model, optimiser in zip(models, makers, strict=True):
            optimiser.zero_grad()
            model(x).square().mean().backward()
            optimiser.step()
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(one, other)
        torch.testing.assert_close(one.grad, other.grad)
