"""What layers of difflayers refuse or fail at, and hopcore's take; or the other way round."""

from __future__ import annotations

import re
from typing import Any

import difflayers
import numpy as np
import pytest
import torch
from difflayers import transformer as peer_transformer
from layer_cases import noise, usual
from test_layers import close, pair

import hopcore_torch
from hopcore_torch import Hopfield, HopfieldLayer, HopfieldPooling


@pytest.mark.parametrize("which", ["stored_pattern_padding_mask", "association_mask"])
def test_byte_masks(which: str) -> None:
    peer, ours = pair(usual())
    x = noise(2, 3, 4)
    mask = torch.tensor([[0, 1, 0], [0, 0, 1], [1, 0, 0]], dtype=torch.uint8)
    mask = mask[:2] if which.startswith("stored") else mask
    with pytest.raises(NameError, match="warnings"):
        peer(x, **{which: mask})
    close(ours(x, **{which: mask}), peer(x, **{which: mask.bool()}))


def test_masks_of_other_kinds() -> None:
    peer, ours = pair(usual(num_heads=2))
    x, padding = noise(2, 3, 4), torch.tensor([[False, True, False], [False, False, True]])
    numbers = torch.where(padding, -torch.inf, 0.0).double()
    with pytest.raises(RuntimeError, match="only supports boolean masks"):
        peer(x, stored_pattern_padding_mask=numbers)
    close(
        ours(x, stored_pattern_padding_mask=numbers),
        peer(x, stored_pattern_padding_mask=padding),
    )
    by_sample = noise(2, 2, 3, 3) > 0.5
    with pytest.raises(RuntimeError, match="dimension 4 is not supported"):
        peer(x, association_mask=by_sample)
    close(ours(x, association_mask=by_sample), peer(x, association_mask=by_sample.flatten(0, 1)))
    with pytest.raises(AssertionError, match="Only float, byte, and bool types"):
        peer(x, association_mask=by_sample[0, 0].int())
    close(
        ours(x, association_mask=by_sample[0, 0].int()), peer(x, association_mask=by_sample[0, 0])
    )


@pytest.mark.parametrize(
    "two",
    [2, torch.tensor(2.0), np.float32(2.0), np.float64(2.0), torch.nn.Parameter(torch.ones(1) * 2)],
)
def test_kinds_of_numbers(two: Any) -> None:
    case, x = usual(scaling=2.0), noise(2, 3, 4)
    peer, _ = pair(case)
    refused, ours = case.layer(difflayers, scaling=two), case.layer(hopcore_torch, scaling=two)
    with pytest.raises(AssertionError):
        refused(x)
    ours.load_state_dict({**ours.state_dict(), **peer.state_dict()}, strict=True)
    close(ours(x), peer(x))
    if isinstance(two, torch.nn.Parameter):
        ours(x).sum().backward()
        assert ours.scaling.grad.abs() > 0
        assert "scaling" in dict(ours.named_parameters())
    with pytest.raises(AssertionError):
        case.layer(difflayers, update_steps_eps=1)(x)
    assert case.layer(hopcore_torch, update_steps_eps=1)(x).isfinite().all()


def test_kinds_of_inputs() -> None:
    peer, ours = pair(usual())
    x = noise(2, 3, 4)
    expected = peer(x)
    for given in ([x, x, x], torch.nn.Parameter(x)):
        with pytest.raises(AssertionError, match="either one tensor"):
            peer(given)
        close(ours(given), expected)
    with pytest.raises(IndexError):
        peer(x[0])
    close(ours(x[0]), expected[0])
    one = x[:1], x, x[:1]
    with pytest.raises(RuntimeError, match="Expected size"):
        peer(one)
    close(ours(one), peer((x[:1].expand(2, 3, 4), x, x[:1].expand(2, 3, 4))))


def test_affine_without_normalisation() -> None:
    with pytest.raises(AssertionError, match="without normalization has no effect"):
        difflayers.Hopfield(4, normalize_stored_pattern=False)
    ours = Hopfield(4, normalize_stored_pattern=False)
    assert ours.norm_stored_pattern is None
    assert not ours.normalize_stored_pattern_affine


def test_affine_association_space() -> None:
    settings = {"normalize_hopfield_space": True, "normalize_hopfield_space_affine": True}
    with pytest.raises(TypeError, match="data must be a sequence"):
        difflayers.Hopfield(4, num_heads=2, **settings)
    case = usual(num_heads=2, hidden_size=2, **settings)
    peer, _ = pair(case)
    ours = case.layer(hopcore_torch, hidden_size=None)
    ours.load_state_dict(peer.state_dict(), strict=True)
    x = noise(2, 3, 4)
    close(ours(x), peer(x))


def test_properties_of_lookup() -> None:
    for name in ("normalize_hopfield_space", "normalize_hopfield_space_affine"):
        with pytest.raises(AttributeError):
            getattr(difflayers.HopfieldLayer(4), name)
        assert getattr(HopfieldLayer(4), name) is False


def test_negative_updates() -> None:
    until_rest, negative = (
        usual(update_steps_max=most, update_steps_eps=1e-9) for most in (None, -1)
    )
    x = noise(2, 3, 4)
    peer = pair(until_rest)[0]
    other = negative.layer(difflayers)
    other.load_state_dict(peer.state_dict())
    assert torch.equal(other(x), peer(x))
    with pytest.raises(ValueError, match="update_steps_max must be >= 0, got -1"):
        negative.layer(hopcore_torch)


def test_connected_static_values() -> None:
    settings = {"pattern_projection_as_connected": True, "pattern_projection_as_static": True}
    peer, ours = pair(usual(input_size=6, hidden_size=4, **settings))
    x = noise(2, 3, 6)
    with pytest.raises(AssertionError, match="needs to be 4"):
        peer(x)
    assert ours(x).shape == (2, 3, 6)
    # The values are the projected keys; in the peer, too, if it projects no output.
    peer, ours = pair(usual(input_size=6, hidden_size=4, disable_out_projection=True, **settings))
    close(ours(x), peer(x))


@pytest.mark.parametrize("kind", ["HopfieldPooling", "HopfieldLayer"])
def test_arguments_of_wrappers(kind: str) -> None:
    settings: dict[str, Any] = {"normalize_state_pattern_eps": 0.1}
    if kind == "HopfieldLayer":
        settings |= {"num_pattern_repetitions": 3}
    for name, value in settings.items():
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
            getattr(difflayers, kind)(4, **{name: value})
    layer = getattr(hopcore_torch, kind)(4, **settings)
    assert layer.hopfield.norm_state_pattern.eps == 0.1
    assert layer.quantity == settings.get("num_pattern_repetitions", 1)


def test_places_of_arguments() -> None:
    first = 4, 3, 5, 2, 2, 0.5, 1, 1e-3
    for kind in (Hopfield, HopfieldPooling, HopfieldLayer):
        peer = getattr(difflayers, kind.__name__)
        named = kind(*first)
        assert named.update_steps_eps == peer(*first).update_steps_eps == 1e-3
        assert named.state_dict().keys() == peer(*first).state_dict().keys()
        with pytest.raises(TypeError, match=re.compile("argument")):
            kind(*first, True)
    difflayers.Hopfield(*first, True)


def test_decoder_sizes() -> None:
    peer = peer_transformer.HopfieldDecoderLayer(difflayers.Hopfield(4), difflayers.Hopfield(4))
    with pytest.raises(AttributeError):
        _ = peer.output_size
    assert hopcore_torch.HopfieldDecoderLayer(Hopfield(4), Hopfield(4)).output_size == 4
