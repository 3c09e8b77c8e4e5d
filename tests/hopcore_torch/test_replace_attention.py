"""Models whose attention was replaced compute the same, train the same, and can be restored."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_from_attention import OPTIONS, attention_of, masks_of, patterns_of
from torch import nn
from torch.nn.utils import parametrize

from hopcore import LearnableTemperature
from hopcore_torch import (
    Hopfield,
    HopfieldAttention,
    HopfieldDecoderLayer,
    HopfieldEncoderLayer,
    HopfieldLayer,
    replace_attention,
    restore_attention,
)
from hopcore_torch.monitor import AttentionMonitor

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


@settings(max_examples=40, deadline=None)
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


@settings(max_examples=20, deadline=None)
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
        options: Any = {"batch_first": batch_first, "norm_first": norm_first, "bias": bias}
        model = shaken(nn.Transformer(8, 2, 2, 2, 16, 0.2, activation, **options))
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


def test_parameters_are_the_same_objects_and_no_numbers_are_drawn() -> None:
    model = nn.Sequential(Block(), nn.Transformer(8, 2, 1, 1, 16, batch_first=True))
    model.get_parameter("0.attention.in_proj_weight").requires_grad_(False)
    model.get_parameter("1.encoder.layers.0.linear1.weight").requires_grad_(False)
    before = {id(x): x.requires_grad for x in model.parameters()}
    torch.manual_seed(0)
    state = torch.get_rng_state()
    for change in (replace_attention, restore_attention):
        change(model)
        assert {id(x): x.requires_grad for x in model.parameters()} == before
    assert torch.equal(torch.get_rng_state(), state)


def test_dropout_and_the_mode_are_those_of_attention() -> None:
    attention = attention_of(num_heads=2, dropout=0.4).train()
    query, key, value = patterns_of(attention)
    torch.manual_seed(0)
    wanted = attention(query, key, value)[0]
    there = replace_attention(attention)
    assert there.training
    torch.manual_seed(0)
    torch.testing.assert_close(there(query, key, value)[0], wanted)
    calm = there.eval()(query, key, value)[0]
    assert (calm - wanted).abs().max() > 0.1
    back = restore_attention(there)
    assert not back.training
    torch.testing.assert_close(back(query, key, value)[0], calm)


class Tripled(nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return 3.0 * super().forward(input)


class Own(nn.TransformerEncoderLayer):
    """A subclass that doubles its output."""

    def forward(self, *args: Any, **named: Any) -> torch.Tensor:
        return 2.0 * super().forward(*args, **named)


def special(how: str) -> nn.TransformerEncoderLayer:
    """A layer that has something which the layer of hopcore lacks."""
    options: dict[str, Any] = {"dropout": 0.0, "batch_first": True}
    layer: Any = nn.TransformerEncoderLayer(8, 2, 16, **options)
    if how == "subclass":
        layer = Own(8, 2, 16, **options)
    elif how == "tanh gelu":
        layer = nn.TransformerEncoderLayer(8, 2, 16, activation=nn.GELU("tanh"), **options)
    elif how == "function":
        layer = nn.TransformerEncoderLayer(8, 2, 16, activation=torch.sin, **options)
    elif how == "hook":
        layer.linear1.register_forward_hook(lambda module, given, output: 3.0 * output)
    elif how == "parametrized":
        parametrize.register_parametrization(layer.linear1, "weight", nn.Tanh())
    elif how == "normalisation":
        layer.norm2 = nn.RMSNorm(8)
    elif how == "eps":
        layer.norm2.eps = 0.1
    elif how == "linear":
        layer.linear2 = Tripled(16, 8)
    elif how == "method":
        layer._ff_block = lambda x: 5.0 * x
    elif how == "zeros":
        layer.self_attn.add_zero_attn = True
    elif how == "attention's dropout":
        layer.self_attn.dropout = 0.4
    elif how == "modes":
        layer.dropout1.train(not layer.dropout1.training)
    return shaken(layer)


SPECIAL = (
    "subclass", "tanh gelu", "function", "hook", "parametrized", "normalisation", "eps", "linear",
    "method", "zeros", "attention's dropout",
)  # fmt: skip


IGNORED = "tanh gelu", "method", "zeros", "linear"
"""What torch's own fast path does not see."""


@pytest.mark.parametrize("how", SPECIAL)
@pytest.mark.parametrize("gradient", [True, False])
def test_layers_with_parts_of_their_own_keep_them(how: str, gradient: bool) -> None:
    """Only their attention is replaced, and torch's fast path does not pass it by."""
    if not gradient and how in IGNORED:
        pytest.skip("torch's fast path computes something else than the layer says")
    layer = special(how)
    x, padding = numbers(3, 5, 8), torch.arange(5) >= torch.tensor([[5], [3], [2]])
    with torch.set_grad_enabled(gradient):
        wanted = layer(x, src_key_padding_mask=padding)
        sparse = replace_attention(copy.deepcopy(layer), separation="sparsemax")
        replace_attention(layer)
        assert type(layer.self_attn) is HopfieldAttention
        torch.testing.assert_close(layer(x, src_key_padding_mask=padding), wanted)
        assert (sparse(x, src_key_padding_mask=padding) - wanted).abs().max() > 1e-3
    restore_attention(layer)
    assert type(layer.self_attn) is nn.MultiheadAttention
    assert layer.self_attn.add_zero_attn == (how == "zeros")
    torch.testing.assert_close(layer(x, src_key_padding_mask=padding), wanted)


@pytest.mark.parametrize("gradient", [True, False])
@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("order", ["plain", "special first", "special last"])
def test_stacks_and_their_nested_tensors(gradient: bool, nested: bool, order: str) -> None:
    first = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = shaken(nn.TransformerEncoder(first, 3, enable_nested_tensor=nested))
    if order != "plain":
        model.layers[0 if "first" in order else 1].linear1.register_forward_hook(print_nothing)
    x, padding = numbers(3, 5, 8), torch.arange(5) >= torch.tensor([[4], [3], [2]])
    with torch.set_grad_enabled(gradient):
        wanted = model(x, src_key_padding_mask=padding)
        sparse = replace_attention(copy.deepcopy(model), separation="sparsemax")
        replace_attention(model)
        torch.testing.assert_close(model(x, src_key_padding_mask=padding), wanted)
        assert (sparse(x, src_key_padding_mask=padding) - wanted)[~padding].abs().max() > 1e-3


def test_layers_of_torch_with_parts_of_another_kind_are_left_alone() -> None:
    for name in ("self_attn", "linear1", "norm1", "dropout", "activation"):
        layer = nn.TransformerEncoderLayer(8, 2, 16)
        setattr(layer, name, nn.Identity())
        model = replace_attention(nn.ModuleList([layer, Block()]))
        assert model[0] is layer
        expected = nn.Identity if name == "self_attn" else HopfieldAttention
        assert type(layer.self_attn) is expected


def print_nothing(*given: Any) -> None:
    """A hook that changes nothing."""


def test_modules_that_occur_twice_still_do() -> None:
    attention, layer = nn.MultiheadAttention(8, 2), nn.TransformerEncoderLayer(8, 2, 16)
    others = [nn.TransformerEncoderLayer(8, 2, 16, 0.0) for _ in range(2)]
    others[1].self_attn = others[0].self_attn
    tree = {"a": attention, "b": nn.ModuleDict({"c": attention, "d": layer}), "e": layer}
    model = shaken(nn.ModuleDict({**tree, "f": nn.Sequential(*others)}))
    x = numbers(5, 3, 8)
    wanted = model["f"](x)
    replace_attention(model, learnable_scaling=True)
    assert model["a"] is model["b"]["c"]
    assert model["b"]["d"] is model["e"]
    assert model["f"][0].self_attn is model["f"][1].self_attn
    torch.testing.assert_close(model["f"](x), wanted)
    assert sum("scaling" in name for name, _ in model.named_parameters()) == 3
    assert type(model["f"][0]) is nn.TransformerEncoderLayer


def test_options_are_those_of_all_layers() -> None:
    model = shaken(nn.Sequential(Block(), nn.Transformer(8, 2, 1, 1, 16, batch_first=True)))
    replace_attention(
        model,
        separation=1.5,
        similarity="distance",
        scaling=LearnableTemperature(factor=2.0, per_head=True),
        update_steps_max=3,
        update_steps_eps=1e-6,
    )
    layers = [module for module in model.modules() if isinstance(module, Hopfield)]
    assert len(layers) == 4
    for layer in layers:
        given = layer.settings
        assert (given.separation, given.update_steps_max) == (1.5, 3)
        assert given.similarity == "distance"
        assert given.update_steps_eps == 1e-6
        torch.testing.assert_close(layer.temperature.detach(), torch.full((2,), 4.0, dtype=F64))
        assert layer.temperature.dtype == F64
    given = Hopfield(8, 8, num_heads=2, scaling=(0.2, 0.7)).settings
    attention = attention_of(num_heads=2)
    query, key, value = patterns_of(attention)
    scaled = replace_attention(copy.deepcopy(attention), scaling=(0.2, 0.7))
    _, weights = scaled(query, key, value, average_attn_weights=False)
    _, usual = attention(query, key, value, average_attn_weights=False)
    ratio = weights.log().diff(dim=-1) / usual.log().diff(dim=-1)
    torch.testing.assert_close(ratio[:, 0], torch.full_like(ratio[:, 0], 0.4))
    torch.testing.assert_close(ratio[:, 1], torch.full_like(ratio[:, 1], 1.4))


def test_a_causal_mask_is_made_where_there_is_none() -> None:
    for batch_first in (True, False):
        attention = attention_of(num_heads=2, batch_first=batch_first)
        x = numbers(4, 4, 8)
        mask = torch.ones(4, 4, dtype=torch.bool).triu(1)
        wanted = attention(x, x, x, attn_mask=mask)[0]
        there = replace_attention(attention)
        torch.testing.assert_close(there(x, x, x, is_causal=True)[0], wanted)
        torch.testing.assert_close(there(x, x, x, attn_mask=mask, is_causal=True)[0], wanted)


def test_a_monitor_sees_the_layers_of_a_replaced_model() -> None:
    model = nn.Sequential(replace_attention(Block()), nn.Linear(8, 1)).train()
    with AttentionMonitor(model) as monitor:
        model(torch.ones(2, 5, 8))
    assert [(row.layer, row.head) for row in monitor.records] == [
        ("0.attention.hopfield", 0),
        ("0.attention.hopfield", 1),
    ]


class Doubled(nn.MultiheadAttention):
    def forward(self, *args: Any, **named: Any) -> Any:
        return super().forward(*args, **named)


def refused(how: str) -> Any:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.Sequential(Block(), nn.TransformerEncoder(layer, 5))
    if how == "hook":
        model[0].attention.register_forward_hook(print_nothing)
        model[1].layers[2].self_attn.out_proj.register_forward_hook(print_nothing)
    elif how == "forward":
        model[0].attention = Doubled(8, 2)
    elif how == "parametrized":
        parametrize.register_parametrization(model[0].attention, "in_proj_weight", nn.Tanh())
    return model


@pytest.mark.parametrize(
    ("how", "options", "kind", "words"),
    [
        ("hook", {}, ValueError, "0.attention, 1.layers.2.self_attn: attention has hooks, which"),
        ("forward", {}, TypeError, "changed: 0.attention: attention must have the forward of"),
        ("parametrized", {}, ValueError, "0.attention: .* it differs in in_proj_weight"),
        ("", {"separation": "sparsmax"}, ValueError, "0.attention, 1.layers.0, 1.layers.1 and 3 m"),
        ("", {"scaling": (1.0, 2.0, 3.0)}, ValueError, "one value for each of the 2 heads"),
        ("", {"separation_function": 2.0}, TypeError, "did you mean separation"),
    ],
)
def test_what_cannot_be_replaced_is_named_and_nothing_is_changed(
    how: str, options: Any, kind: type[Exception], words: str
) -> None:
    model = refused(how)
    before = [(name, id(module)) for name, module in model.named_modules()]
    with pytest.raises(kind, match=words) as error:
        replace_attention(model, **options)
    assert "\n" not in str(error.value)
    assert [(name, id(module)) for name, module in model.named_modules()] == before


def test_models_without_attention_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a Linear has no torch\.nn\.MultiheadAttention among"):
        replace_attention(nn.Linear(3, 3))
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, got int"):
        replace_attention(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="call restore_attention first"):
        replace_attention(replace_attention(Block()), separation="sparsemax")
    with pytest.raises(ValueError, match="a Block has no HopfieldAttention or transformer layer"):
        restore_attention(Block())
    with pytest.raises(TypeError, match="hopfield must be a Hopfield layer, got Linear"):
        HopfieldAttention(nn.Linear(3, 3))  # type: ignore[arg-type]


def changed(how: str) -> nn.Module:
    layer: Any = Hopfield.from_multihead_attention(nn.MultiheadAttention(8, 2))
    if how == "number":
        layer.scaling = 3.0
    elif how == "hook":
        layer.association_core.register_forward_hook(print_nothing)
    elif how == "part":
        layer.association_core.out_proj = nn.Sequential(nn.Linear(8, 8))
    return nn.Sequential(HopfieldAttention(layer))


def encoder(**options: Any) -> nn.Module:
    plain = {f"normalize_{name}": False for name in ("stored_pattern", "state_pattern")}
    return HopfieldEncoderLayer(8, 2, **{**plain, "normalize_pattern_projection": False, **options})


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            replace_attention(Block(), separation="sparsemax"),
            ".* separation='sparsemax'",
        ),
        (replace_attention(Block(), update_steps_max=2), "has no update_steps_max=2"),
        (replace_attention(Block(), scaling=2.0), r"no scaling=2\.0, only 0\.5"),
        (replace_attention(Block(), learnable_scaling=True), "has no learnable_scaling=True"),
        (changed("number"), "0: torch's attention has no scaling=3.0"),
        (changed("hook"), "0: it has hooks, methods or parts of its own"),
        (changed("part"), "0: it has hooks, methods or parts of its own"),
        (HopfieldAttention(Hopfield(8)), "the model itself: .* no normalize_stored_pattern=True"),
        (HopfieldAttention(Hopfield(9, 4, num_heads=2)), "num_heads=2 divides, got 9"),
        (HopfieldEncoderLayer(8, 2), "torch's layer has no normalize_stored_pattern=True"),
        (encoder(hidden_size=3), "has no head_size=3"),
        (encoder(activation="tanh"), "has no activation='tanh'"),
        (encoder(input_bias=False), "has no input_bias=False"),
        (encoder(add_zero_association=True), "has no add_zero_association=True"),
        (encoder(normalize_hopfield_space=True), "has no normalize_hopfield_space=True"),
        (HopfieldEncoderLayer(HopfieldLayer(8)), "no counterpart of a HopfieldLayer"),
        (HopfieldDecoderLayer(8, 2), "torch's layer has no normalize_stored_pattern=True"),
    ],
)
def test_settings_without_a_counterpart_in_torch_are_named(model: nn.Module, words: str) -> None:
    before = [id(module) for module in model.modules()]
    with pytest.raises((TypeError, ValueError), match=words) as error:
        restore_attention(model)
    assert "\n" not in str(error.value)
    assert [id(module) for module in model.modules()] == before


def test_layers_of_hopcore_that_are_attention_become_torchs() -> None:
    layer, x = shaken(encoder(batch_first=True)), numbers(3, 5, 8)
    wanted = layer(x)
    model = restore_attention(nn.Sequential(layer))
    assert type(model[0]) is nn.TransformerEncoderLayer
    torch.testing.assert_close(model(x), wanted)
