"""Transformer layers whose sequence is associated with learned patterns, not with itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import hopcore
import hopcore_jax
import hopcore_torch
from hopcore.layers import DecoderSettings, EncoderSettings, LookupSettings
from hopcore_torch import (
    Hopfield,
    HopfieldDecoderLayer,
    HopfieldEncoderLayer,
    HopfieldLayer,
    HopfieldPooling,
)

INNER = hopcore.HopfieldSettings(input_size=6, num_heads=2)
LOOKUP = LookupSettings(hopfield=INNER, quantity=3)
SETTINGS: dict[str, Any] = {
    "encoder": EncoderSettings(hopfield=LOOKUP, dim_feedforward=7),
    "decoder": DecoderSettings(hopfield=LOOKUP, cross=INNER, dim_feedforward=7),
}
SEQUENCE = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0))
LATER = torch.ones(5, 5, dtype=torch.bool).triu(1)


def refused(kind: type[Exception], words: str, call: Any, *args: Any, **named: Any) -> None:
    with pytest.raises(kind, match=words) as caught:
        call(*args, **named)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_checkpoint_keeps_the_learned_patterns(kind: str, tmp_path: Path) -> None:
    layer = {
        "encoder": lambda: HopfieldEncoderLayer(HopfieldLayer(6, quantity=3, num_heads=2), 7),
        "decoder": lambda: HopfieldDecoderLayer(
            HopfieldLayer(6, quantity=3, num_heads=2), Hopfield(6, num_heads=2), 7
        ),
    }[kind]().eval()
    assert layer.settings == SETTINGS[kind]
    path = tmp_path / "layer.safetensors"
    hopcore_torch.save_layer(path, layer)
    more = () if kind == "encoder" else (SEQUENCE.flip(1),)
    wanted = layer(SEQUENCE, *more)
    loaded = hopcore_torch.load_layer(path).eval()
    assert loaded.settings == layer.settings
    assert torch.equal(loaded(SEQUENCE, *more), wanted)
    there = hopcore_jax.load_layer(path)
    arrays = [jnp.asarray(x.numpy()) for x in (SEQUENCE, *more)]
    found = jax.jit(lambda *given: there(*given, inference=True))(*arrays)
    np.testing.assert_allclose(found, wanted.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_an_inverse_temperature_that_was_set_is_saved(tmp_path: Path) -> None:
    layer = HopfieldEncoderLayer(HopfieldLayer(6, quantity=3))
    layer.hopfield_association.hopfield.scaling = 2.0
    hopcore_torch.save_layer(tmp_path / "layer.safetensors", layer)
    assert hopcore_torch.load_layer(tmp_path / "layer.safetensors").settings.association.beta == 2.0


def test_the_learned_patterns_are_copied_and_trained() -> None:
    lookup = HopfieldLayer(6, quantity=3)
    layer = HopfieldEncoderLayer(lookup)
    own = layer.hopfield_association.lookup_weights
    assert own is not lookup.lookup_weights
    layer(SEQUENCE).square().sum().backward()
    assert own.grad is not None
    assert own.grad.abs().max() > 0.0


def test_what_torch_looks_at_is_there() -> None:
    layer = HopfieldEncoderLayer(HopfieldLayer(6, quantity=3, num_heads=2))
    assert layer.self_attn.num_heads == 2
    encoder = torch.nn.TransformerEncoder(layer, 2).eval()
    assert encoder(SEQUENCE).shape == SEQUENCE.shape


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_each_sample_of_a_nested_tensor_looks_up_by_itself() -> None:
    layer = HopfieldEncoderLayer(HopfieldLayer(6, quantity=3)).eval()
    samples = [SEQUENCE[0], SEQUENCE[1, :2]]
    found = layer(torch.nested.nested_tensor(samples)).unbind()
    for one, sample in zip(found, samples, strict=True):
        torch.testing.assert_close(one, layer(sample[None])[0])


def test_masks_hide_learned_patterns() -> None:
    layer = HopfieldEncoderLayer(HopfieldLayer(6, quantity=3)).eval()
    hidden = torch.tensor([[False, True, False], [False, False, True]])
    weights = layer.get_association_matrix(SEQUENCE, None, hidden)
    assert weights.shape == (2, 1, 5, 3)
    assert torch.equal(weights[:, 0] == 0.0, hidden[:, None].expand(2, 5, 3))
    rows = torch.arange(15).reshape(5, 3) % 2 == 1
    weights = layer.get_association_matrix(SEQUENCE, rows)
    assert torch.equal(weights[:, 0] == 0.0, rows.expand(2, 5, 3))


def test_the_padding_of_a_sequence_is_refused() -> None:
    padding = torch.arange(5) >= torch.tensor([[5], [3]])
    settings, x, mask = SETTINGS["encoder"], SEQUENCE.numpy(), padding.numpy()
    words = r"src_key_padding_mask .* must be \(\.\.\., 3\), got \(2, 5\): leave out"
    layer = HopfieldEncoderLayer.of(settings)
    refused(ValueError, words, layer, SEQUENCE, src_key_padding_mask=padding)
    other = hopcore_jax.HopfieldEncoderLayer.of(settings, key=jax.random.key(0), inference=True)
    refused(ValueError, words, other, jnp.asarray(x), None, jnp.asarray(mask))
    given = settings, hopcore.initial_parameters(settings), x
    refused(ValueError, words, hopcore.layers.encoder_layer, *given, src_key_padding_mask=mask)


def test_a_causal_order_of_learned_patterns_is_refused() -> None:
    encoder = HopfieldEncoderLayer(HopfieldLayer(6, quantity=3))
    decoder = HopfieldDecoderLayer(HopfieldLayer(6, quantity=3), Hopfield(6))
    refused(ValueError, "leave is_causal out", encoder, SEQUENCE, is_causal=True)
    refused(ValueError, "leave is_causal out", decoder, SEQUENCE, SEQUENCE, tgt_is_causal=True)
    refused(
        ValueError,
        "leave is_causal out",
        encoder.get_association_matrix,
        SEQUENCE,
        None,
        None,
        True,
    )
    assert decoder(SEQUENCE, SEQUENCE, memory_is_causal=True).shape == SEQUENCE.shape
    refused(ValueError, "association_mask must be", encoder, SEQUENCE, LATER)


def test_what_cannot_be_an_association_is_refused() -> None:
    words = "hopfield_association_cross must be a Hopfield layer: a HopfieldLayer has a memory"
    refused(TypeError, words, HopfieldDecoderLayer, Hopfield(6), HopfieldLayer(6))
    words = "hopfield_association must be a Hopfield or a HopfieldLayer, got HopfieldPooling"
    refused(TypeError, words, HopfieldEncoderLayer, HopfieldPooling(6))
    words = "hopfield_association_cross must be a Hopfield layer, got NoneType"
    refused(TypeError, words, HopfieldDecoderLayer, Hopfield(6))
    words = "cross must be HopfieldSettings, since a lookup has a memory of its own"
    refused(TypeError, words, DecoderSettings, hopfield=LOOKUP)
    refused(TypeError, words, DecoderSettings, hopfield=INNER, cross=LOOKUP)
    narrow = hopcore.HopfieldSettings(input_size=6, output_size=4)
    lookup = LookupSettings(hopfield=narrow)
    refused(ValueError, "must project its output", EncoderSettings, hopfield=lookup)


def test_three_patterns_do_not_enter_a_lookup() -> None:
    layer = HopfieldEncoderLayer(HopfieldLayer(6))
    refused(TypeError, "input must be one tensor", layer.get_association_matrix, 3 * (SEQUENCE,))
