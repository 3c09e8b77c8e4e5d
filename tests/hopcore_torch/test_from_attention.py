"""A Hopfield layer made of one ``torch.nn.MultiheadAttention`` computes the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrize, prune

import hopcore_jax
import hopcore_torch
from hopcore_torch import DiffusedHopfield, Hopfield, HopfieldCore, HopfieldEncoderLayer

OPTIONS = st.fixed_dictionaries(
    {
        "num_heads": st.sampled_from([1, 2, 4]),
        "bias": st.booleans(),
        "add_bias_kv": st.booleans(),
        "add_zero_attn": st.booleans(),
        "kdim": st.sampled_from([None, 8, 5]),
        "vdim": st.sampled_from([None, 8, 3]),
        "batch_first": st.booleans(),
        "dropout": st.sampled_from([0.0, 0.3]),
    }
)


def attention_of(**options: Any) -> nn.MultiheadAttention:
    """Attention in float64 whose parameters are far from where they start."""
    draw = torch.Generator().manual_seed(0)
    attention = nn.MultiheadAttention(8, dtype=torch.float64, **options).eval()
    for parameter in attention.parameters():
        parameter.data = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
    return attention


def patterns_of(attention: nn.MultiheadAttention) -> tuple[torch.Tensor, ...]:
    """Queries, keys and values."""
    draw = torch.Generator().manual_seed(1)
    shapes = (2, 3, 8), (2, 5, attention.kdim), (2, 5, attention.vdim)
    found = [torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes]
    return tuple(x if attention.batch_first else x.transpose(0, 1) for x in found)


def masks_of(kind: str, heads: int) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """A mask of keys and a mask of pairs, which leave something to each query."""
    draw = torch.Generator().manual_seed(2)
    padding = torch.rand(2, 5, generator=draw) < 0.4
    pairs = torch.rand(2 * heads if kind == "heads" else 1, 3, 5, generator=draw) < 0.4
    padding[:, 0], pairs[..., 0] = False, False
    pairs = pairs if kind == "heads" else pairs[0]
    if kind == "numbers":
        numbers = torch.randn(3, 5, generator=draw, dtype=torch.float64)
        return torch.where(padding, -torch.inf, 0.0).double(), numbers.masked_fill(
            pairs, -torch.inf
        )
    return {"none": (None, None), "keys": (padding, None)}.get(kind, (padding, pairs))


@settings(max_examples=60, deadline=None)
@given(options=OPTIONS, masks=st.sampled_from(["none", "keys", "pairs", "heads", "numbers"]))
def test_outputs_and_averaged_maps_are_those_of_attention(options: Any, masks: str) -> None:
    attention = attention_of(**options)
    layer = Hopfield.from_multihead_attention(attention)
    assert not layer.training
    assert layer.settings.dropout == options["dropout"]
    query, key, value = patterns_of(attention)
    padding, pairs = masks_of(masks, options["num_heads"])
    output, weights = attention(query, key, value, key_padding_mask=padding, attn_mask=pairs)
    torch.testing.assert_close(layer((key, query, value), padding, pairs), output)
    found = layer.association_weights((key, query, value), padding, pairs).mean(1)
    torch.testing.assert_close(found, weights)
    # One sample alone, without an axis for a batch.
    own = 0 if attention.batch_first else 1
    one = [x.select(own, 0) for x in (query, key, value)]
    torch.testing.assert_close(layer((one[1], one[0], one[2])), attention(*one)[0])


def test_training_drops_the_same_weights() -> None:
    attention = attention_of(num_heads=2, dropout=0.4).train()
    layer = Hopfield.from_multihead_attention(attention)
    query, key, value = patterns_of(attention)
    torch.manual_seed(0)
    wanted = attention(query, key, value)[0]
    torch.manual_seed(0)
    torch.testing.assert_close(layer((key, query, value)), wanted)


def test_parameters_are_copies_and_frozen_ones_stay_frozen() -> None:
    attention = attention_of(num_heads=2)
    attention.get_parameter("in_proj_weight").requires_grad_(False)
    layer = Hopfield.from_multihead_attention(attention)
    core = layer.association_core
    assert not core.in_proj_weight.requires_grad
    assert core.in_proj_bias.requires_grad
    torch.nn.init.zeros_(core.get_parameter("in_proj_bias"))
    assert attention.in_proj_bias.abs().min() > 0.0
    theirs = nn.TransformerEncoderLayer(8, 2, 16)
    theirs.linear1.weight.requires_grad_(False)
    ours = HopfieldEncoderLayer.from_transformer(theirs)
    assert not ours.linear1.weight.requires_grad
    assert ours.linear2.weight.requires_grad


def test_a_checkpoint_takes_attention_to_jax(tmp_path: Path) -> None:
    attention = attention_of(num_heads=2, add_bias_kv=True, batch_first=True).float()
    query, key, _ = (x.float() for x in patterns_of(attention))
    hopcore_torch.save_layer(tmp_path / "x", Hopfield.from_multihead_attention(attention))
    there = hopcore_jax.load_layer(tmp_path / "x")
    found = there(tuple(jnp.asarray(x.numpy()) for x in (key, query, key)))
    wanted = attention(query, key, key)[0].detach().numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_a_core_with_the_same_state_needs_the_scaling() -> None:
    """Without ``scaling=head_dim ** -0.5``, the core with the same weights gives other outputs."""
    attention = attention_of(num_heads=2)
    core = HopfieldCore(8, 2).double()
    core.load_state_dict(attention.state_dict(), strict=True)
    query, key, value = patterns_of(attention)
    wanted = attention(query, key, value)[0]
    torch.testing.assert_close(core(query, key, value, scaling=4**-0.5)[0], wanted)
    assert (core(query, key, value)[0] - wanted).abs().max() > 0.1


class Doubled(nn.MultiheadAttention):
    def forward(self, *args: Any, **named: Any) -> Any:
        return super().forward(*args, **named)


class Twice(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


def changed(how: str) -> Any:
    attention = nn.MultiheadAttention(8, 2)
    if how == "parametrized":
        parametrize.register_parametrization(attention, "in_proj_weight", Twice())
    elif how == "pruned":
        prune.l1_unstructured(attention.out_proj, "weight", 0.5)
    elif how == "hook":
        attention.register_forward_hook(lambda *given: None)
    elif how == "inner hook":
        attention.out_proj.register_forward_pre_hook(lambda *given: None)
    elif how == "replaced":
        attention.out_proj = nn.Linear(8, 8, bias=False)  # type: ignore[assignment]
    elif how == "forward":
        attention.forward = lambda *given: None  # type: ignore[method-assign, assignment]
    elif how == "unlike dropout":
        attention.dropout = 1.0
    return attention


@pytest.mark.parametrize(
    ("attention", "message"),
    [
        (nn.Linear(3, 3), "attention must be a torch.nn.MultiheadAttention, got Linear"),
        (3, "attention must be a torch.nn.MultiheadAttention, got int"),
        (Doubled(8, 2), "must have the forward of torch, got one of Doubled"),
        (changed("forward"), "must have the forward of torch"),
        (changed("parametrized"), "it differs in in_proj_weight, parametrizations.in_proj_weight"),
        (changed("pruned"), "it differs in out_proj.weight, out_proj.weight_mask"),
        (changed("replaced"), "it differs in out_proj.bias: make what"),
        (changed("hook"), "attention has hooks, which a copy would lack"),
        (changed("inner hook"), "attention has hooks, which a copy would lack"),
        (changed("unlike dropout"), "dropout must be a probability"),
    ],
)
def test_what_a_copy_would_not_compute_is_refused(attention: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message) as refused:
        Hopfield.from_multihead_attention(attention)
    assert "\n" not in str(refused.value)


def test_other_layers_do_not_compute_attention() -> None:
    with pytest.raises(TypeError, match=r"call Hopfield\.from_multihead_attention"):
        DiffusedHopfield.from_multihead_attention(nn.MultiheadAttention(8, 2))
    with pytest.raises(TypeError, match=r"layer must be a torch\.nn\.TransformerEncoderLayer, got"):
        HopfieldEncoderLayer.from_transformer(nn.Linear(3, 3))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="got HopfieldEncoderLayer"):
        HopfieldEncoderLayer.from_transformer(HopfieldEncoderLayer(8, 2))
    theirs = nn.TransformerEncoderLayer(8, 2, activation=nn.GELU("tanh"))
    with pytest.raises(ValueError, match="must be the exact gelu, got approximate='tanh'"):
        HopfieldEncoderLayer.from_transformer(theirs)
