"""What layers of difflayers compute and those of hopcore compute otherwise, shown on both."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import difflayers
import pytest
import test_layer_refusals
import torch
from layer_cases import STATIC, noise, usual
from layer_differences import DIFFERENCES
from test_layers import close, drawn, pair

import hopcore_torch
from hopcore_torch import Hopfield, HopfieldCore

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "migrate-hopfield-layers.md"

UNNORMALISED: dict[str, Any] = {
    f"normalize_{name}{affine}": False
    for name in ("state_pattern", "stored_pattern", "pattern_projection")
    for affine in ("", "_affine")
}


def test_each_difference_is_shown_and_told() -> None:
    names = {*globals(), *vars(test_layer_refusals)}
    tests = {name.removeprefix("test_") for name in names if name.startswith("test_")}
    assert tests >= set(DIFFERENCES)
    page = PAGE.read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert set(DIFFERENCES) <= told


def test_scaling_per_head() -> None:
    scaling = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    case, x = usual(input_size=6, num_heads=3, scaling=scaling), noise(2, 4, 6)
    peer, ours = pair(case)
    # What it means: the queries of each head by its own scaling, which goes into their projection.
    plain = case.layer(difflayers, scaling=1.0)
    plain.load_state_dict(peer.state_dict())
    for weight in (
        plain.association_core.in_proj_weight,
        plain.association_core.in_proj_bias,
    ):
        weight.data[:6] *= scaling.repeat_interleave(2).reshape(-1, *[1] * (weight.ndim - 1))
    close(ours(x), plain(x))
    assert (peer(x) - plain(x)).abs().max() > 1e-2
    # Along the features it does not even fit where there are updates.
    case = usual(input_size=6, num_heads=3, scaling=scaling, update_steps_max=1)
    peer, ours = pair(case)
    with pytest.raises(RuntimeError, match="must match the size"):
        peer(x)
    assert ours(x).isfinite().all()


def test_static_patterns_of_several_heads() -> None:
    x = noise(2, 5, 4)
    for name in STATIC:
        case = usual(num_heads=2, hidden_size=4, input_size=4, **{name: True})
        peer, ours = pair(case)
        alone = torch.cat([peer(x[:1]), peer(x[1:])])
        close(ours(x), alone)
        assert (peer(x) - alone).abs().max() > 1e-2


def test_static_values_beside_static_keys() -> None:
    settings = {
        "stored_pattern_as_static": True,
        "pattern_projection_as_static": True,
        "disable_out_projection": True,
        **UNNORMALISED,
    }
    case = usual(num_heads=2, hidden_size=4, input_size=4, pattern_size=4, **settings)
    peer, ours = pair(case)
    x = noise(1, 5, 4)
    assert peer(x).shape == (1, 5, 4)
    assert ours(x).shape == (1, 5, 8)
    whole = (ours.association_weights(x) @ x[:, None]).transpose(1, 2).flatten(2)
    close(ours(x), whole)
    # Of equal sizes, so that the projections are of one matrix, the peer does the same.
    packed = usual(num_heads=2, hidden_size=4, input_size=4, **settings)
    peer, ours = pair(packed)
    close(ours(x), peer(x))


def test_pooling_of_sequences_first() -> None:
    first, second = (usual("HopfieldPooling", batch_first=flag) for flag in (True, False))
    for case in (first, second):
        case.own["quantity"] = 3
    peer, ours = pair(second)
    x = noise(5, 2, 4)
    assert peer(x).shape == (3, 8)
    assert ours(x).shape == (2, 12)
    close(ours(x), peer(x).reshape(3, 2, 4).transpose(0, 1).flatten(1))
    state = peer.state_dict()
    state["pooling_weights"] = state["pooling_weights"].transpose(0, 1)
    for layer in (first.layer(difflayers), first.layer(hopcore_torch)):
        layer.load_state_dict(state)
        close(layer(x.transpose(0, 1)), ours(x))


def test_bias_pattern() -> None:
    # torch's attention, where the argument comes from, is the judge.
    torch_layer = torch.nn.MultiheadAttention(6, 2, add_bias_kv=True, dtype=torch.float64)
    drawn(torch_layer, 0)
    core = HopfieldCore(6, 2, add_bias_kv=True, dtype=torch.float64)
    core.load_state_dict(torch_layer.state_dict(), strict=True)
    peer = difflayers.HopfieldCore(6, 2, add_bias_kv=True).double()
    peer.load_state_dict(torch_layer.state_dict(), strict=True)
    x, scaling = noise(5, 2, 6), 3**-0.5
    expected, weights = torch_layer(x, x, x)
    found = core(x, x, x, scaling=scaling)
    close(found[0], expected)
    close(found[1], weights)
    without = difflayers.HopfieldCore(6, 2).double()
    without.load_state_dict(
        {name: x for name, x in peer.state_dict().items() if not name.startswith("bias_")}
    )
    assert torch.equal(peer(x, x, x, scaling=scaling)[0], without(x, x, x, scaling=scaling)[0])
    # One side alone: the other gets zeros.
    case = usual(concat_bias_pattern=True, pattern_projection_as_static=True)
    peer, ours = pair(case)
    x = noise(2, 5, 4)
    with pytest.raises(AssertionError):
        peer(x)
    assert ours.get_association_matrix(x).shape == (2, 1, 5, 6)
    assert not ours.get_projected_pattern_matrix(x)[..., -1, :].any()


def test_bias_pattern_of_another_size() -> None:
    case = usual(concat_bias_pattern=True, hidden_size=4, pattern_size=3)
    peer, ours = case.layer(difflayers), case.layer(hopcore_torch)
    assert peer.association_core.bias_v.shape == (1, 1, 4)
    assert ours.association_core.bias_v.shape == (1, 1, 3)
    with pytest.raises(RuntimeError, match=r"size mismatch for association_core\.bias_v"):
        ours.load_state_dict(peer.state_dict())
    # What never had an effect is left away, and the rest computes the same.
    state = {name: x for name, x in peer.state_dict().items() if "bias_" not in name}
    plain = [
        case.layer(package, concat_bias_pattern=False) for package in (difflayers, hopcore_torch)
    ]
    for layer in plain:
        layer.load_state_dict(state, strict=True)
    x = noise(2, 5, 4)
    close(plain[1](x), plain[0](x))
    assert torch.equal(peer(x), plain[0](x))


def test_sizes_of_a_static_layer() -> None:
    settings = {**dict.fromkeys(STATIC, True), **UNNORMALISED, "disable_out_projection": True}
    peer, ours = pair(usual(input_size=4, output_size=3, **settings))
    assert (peer.input_size, peer.stored_pattern_dim, peer.hidden_size) == (None, None, None)
    assert (ours.input_size, ours.stored_pattern_dim, ours.hidden_size) == (4, 4, None)
    x = noise(2, 5, 4)
    close(ours(x), peer(x))


def test_stop_rule() -> None:
    case = usual(update_steps_max=20, update_steps_eps=0.1, scaling=1.0, **UNNORMALISED)
    peer, ours = pair(case)
    x = noise(2, 5, 4, seed=3) * torch.tensor([0.3, 2.0])[:, None, None]
    together = peer(x), ours(x)
    alone = (torch.cat([layer(x[:1]), layer(x[1:])]) for layer in (peer, ours))
    theirs, own = ((one - other).abs().max() for one, other in zip(together, alone, strict=True))
    assert theirs > 1e-2
    assert own < 1e-12


@pytest.mark.parametrize("which", ["stored_pattern_padding_mask", "association_mask"])
def test_masked_rows(which: str) -> None:
    case, x = usual(), noise(2, 3, 4)
    masks = {
        "stored_pattern_padding_mask": torch.tensor([[True] * 3, [False] * 3]),
        "association_mask": torch.tensor([[True] * 3, [False] * 3, [False] * 3]),
    }
    mask = {which: masks[which]}
    peer, ours = pair(case)
    nothing = (0,) if which.startswith("stored") else (slice(None), 0)
    found, expected = ours(x, **mask), peer(x, **mask)
    assert expected[nothing].isnan().all()
    # Nothing is recalled: what is left is the bias of the output.
    close(found[nothing], ours.association_core.out_proj.bias.expand_as(found[nothing]))
    kept = ~expected.isnan()
    close(found[kept], expected[kept])
    for layer, finite in ((peer, False), (ours, True)):
        (layer(x, **mask)[kept].sum()).backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in layer.parameters()) == finite


def test_equal_patterns() -> None:
    # New layers: the three normalisations of one input are equal.
    case = usual()
    peer, ours = case.layer(difflayers), case.layer(hopcore_torch)
    ours.load_state_dict(peer.state_dict())
    x, weight = noise(2, 3, 4), noise(2, 3, 4, seed=1)
    for layer in (peer, ours):
        (layer(x) * weight).sum().backward()
    close(ours(x), peer(x))
    for name in ("norm_stored_pattern", "norm_pattern_projection"):
        assert getattr(peer, name).weight.grad is None
        assert getattr(ours, name).weight.grad.abs().max() > 0
    # Three tensors that are equal: the peer gives all of the gradient to the state pattern.
    peer, ours = pair(usual(**UNNORMALISED))
    for layer in (peer, ours):
        patterns = [x.clone().requires_grad_() for _ in range(3)]
        (layer(tuple(patterns)) * weight).sum().backward()
        gradients = [one.grad for one in patterns]
        if layer is peer:
            whole = gradients[1]
            assert gradients[0] is gradients[2] is None
        else:
            close(sum(gradients), whole)
            assert min(one.abs().max() for one in gradients) > 1e-3


def test_activations() -> None:
    x = noise(2, 3, 4)
    plain = pair(usual())[0](x)
    for name in ("gelu", "silu"):
        peer, ours = pair(usual(association_activation=name))
        assert torch.equal(peer(x), plain)
        close(ours(x), getattr(torch.nn.functional, name)(plain))
    for name in ("sin", "rellu"):
        difflayers.Hopfield(4, association_activation=name)
        with pytest.raises(ValueError, match=f"must be .*'relu'.*, got '{name}'"):
            Hopfield(4, association_activation=name)


def test_shallow_static_patterns() -> None:
    settings = {**UNNORMALISED, "disable_out_projection": True, "hidden_size": 3, "scaling": 1.0}
    case = usual(**settings, state_pattern_as_static=True, stored_pattern_as_static=True)
    peer, ours = pair(case)
    state, values = noise(2, 3, 2), noise(2, 3, 4)
    assert peer((state, state, values)).shape == (2, 3, 2)
    weight = ours.association_core.in_proj_weight
    weights = torch.softmax(state @ state.mT, -1)
    expected = weights @ (values @ weight.T + ours.association_core.in_proj_bias[:3])
    close(ours((state, state, values)), expected)
    close(peer((state, state, values)), expected[..., :2])
