"""Layers against those of difflayers, with the same weights (``nox -s peers``).

hopfield-layers 1.0.2, where the layers come from, is not on PyPI; difflayers 0.1.1 carries the
same layers with the same state dict, so that what holds for the one holds for the other. Settings,
inputs and masks are drawn; where the peer computes something else than is meant,
``layer_differences`` says so by name, and ``test_layer_differences.py`` shows it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import difflayers
import layer_strategies
import pytest
import torch
from difflayers import transformer as peer_transformer
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from layer_cases import KINDS, Case, noise, static_execution, usual
from layer_differences import differences

import hopcore_torch

Answer = tuple[torch.Tensor, dict[str, torch.Tensor]]

PROPERTIES = [name for name, one in vars(difflayers.Hopfield).items() if isinstance(one, property)]
SIZES = {
    "input_size", "output_size", "stored_pattern_dim", "state_pattern_dim",
    "pattern_projection_dim",
}  # fmt: skip


def close(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-7)


def drawn(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """A module with parameters far from where they start."""
    draw = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = 0.7 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
    return module


def pair(case: Case) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The peer's layer and ours with its state dict; which it takes back."""
    peer = drawn(case.layer(difflayers), case.seed)
    ours = case.layer(hopcore_torch)
    ours.load_state_dict(peer.state_dict(), strict=True)
    peer.load_state_dict(ours.state_dict(), strict=True)
    return peer, ours


def call(case: Case, inputs: list[torch.Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with which a layer is asked."""
    masks = case.masks()
    if case.kind != "HopfieldCore":
        return (inputs[0] if len(inputs) == 1 else tuple(inputs),), masks
    names = {"stored_pattern_padding_mask": "key_padding_mask", "association_mask": "attn_mask"}
    named = {names[name]: mask for name, mask in masks.items()}
    return tuple(inputs * 3 if len(inputs) == 1 else inputs), {**named, **case.steps}


def ask(layer: torch.nn.Module, case: Case) -> Answer:
    """The output, and the gradients by inputs and parameters, 0 where there is none."""
    inputs = case.inputs()
    arguments, named = call(case, inputs)
    output = layer(*arguments, **named)
    output = output[0] if case.kind == "HopfieldCore" else output
    leaves = {f"input {index}": x for index, x in enumerate(inputs)}
    leaves |= {name: x for name, x in layer.named_parameters() if x.requires_grad}
    weight = torch.sin(torch.arange(output.numel(), dtype=output.dtype)).reshape(output.shape)
    if not output.requires_grad:  # nothing reaches the output but what is not trained
        return output, {name: torch.zeros_like(x) for name, x in leaves.items()}
    found = torch.autograd.grad((output * weight).sum(), list(leaves.values()), allow_unused=True)
    return output, {
        name: torch.zeros_like(x) if one is None else one
        for (name, x), one in zip(leaves.items(), found, strict=True)
    }


def compared(examples: int) -> Any:
    """A test of drawn layers of every kind."""
    slow = [HealthCheck.filter_too_much, HealthCheck.too_slow]
    many = settings(max_examples=examples, deadline=None, suppress_health_check=slow)
    return lambda test: pytest.mark.parametrize("kind", KINDS)(many(given(data=st.data())(test)))


def known(data: st.DataObject, kind: str) -> Case:
    """A drawn layer without a difference that has a name."""
    return data.draw(layer_strategies.layers(kind).filter(lambda case: not differences(case)))


@compared(100)
def test_outputs_and_gradients(kind: str, data: st.DataObject) -> None:
    case = known(data, kind)
    peer, ours = pair(case)
    peer.eval()
    ours.eval()
    expected, found = ask(peer, case), ask(ours, case)
    close(found[0], expected[0])
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        close(found[1][name], gradient)


@compared(40)
def test_training_drops_the_same_weights(kind: str, data: st.DataObject) -> None:
    case = known(data, kind)
    case = replace(case, settings={**case.settings, "dropout": 0.4})
    outputs = []
    for layer in pair(case):
        torch.manual_seed(case.seed)
        outputs.append(ask(layer, case)[0])
    close(outputs[1], outputs[0])


@compared(40)
def test_matrices(kind: str, data: st.DataObject) -> None:
    case = known(data, kind)
    peer, ours = pair(case)
    peer.eval()
    ours.eval()
    arguments, named = call(case, case.inputs())
    if kind == "HopfieldCore":
        named |= {"return_raw_associations": True, "return_pattern_projections": True}
        expected, found = peer(*arguments, **named), ours(*arguments, **named)
        for one, other in zip(found, expected, strict=True):
            close(one, other)
        return
    for name in ("get_association_matrix", "get_projected_pattern_matrix"):
        expected, found = (getattr(x, name)(*arguments, **named) for x in (peer, ours))
        close(found, expected)
        assert found.grad_fn is None


@compared(40)
def test_properties(kind: str, data: st.DataObject) -> None:
    case = data.draw(layer_strategies.layers(kind))
    assume(not case.settings["concat_bias_pattern"])
    peer, ours = pair(case)
    if kind == "HopfieldCore":
        assert ours.num_heads == peer.num_heads
        if not static_execution(case.settings):
            assert ours._qkv_same_embed_dim == peer._qkv_same_embed_dim
        return
    for name in PROPERTIES:
        if static_execution(case.settings) and name in SIZES:
            continue  # differs by name: sizes_of_a_static_layer
        if kind == "HopfieldLayer" and name.startswith("normalize_hopfield_space"):
            continue  # properties_of_lookup
        found, expected = (
            tuple(x.tolist()) if isinstance(x, torch.Tensor) else x
            for x in (getattr(ours, name), getattr(peer, name))
        )
        assert found == expected, name
    if kind != "Hopfield":
        assert ours.quantity == peer.quantity
        for name, parameter in peer.named_parameters():
            assert ours.get_parameter(name).requires_grad == parameter.requires_grad


@pytest.mark.parametrize("heads", [1, 2])
def test_updates_to_convergence(heads: int) -> None:
    """Both rest at the same state, and have its gradient: ours is implicit, the peer's unrolled."""
    case = usual(num_heads=heads, input_size=4)
    changes = {"update_steps_max": None, "update_steps_eps": 1e-13, "scaling": 0.7}
    peer, ours = drawn(case.layer(difflayers, **changes), 3), case.layer(hopcore_torch, **changes)
    ours.load_state_dict(peer.state_dict(), strict=True)
    expected, found = ask(peer, case), ask(ours, case)
    close(found[0], expected[0])
    for name, gradient in expected[1].items():
        close(found[1][name], gradient)
    assert not torch.allclose(found[0], ask(pair(case)[1], case)[0], atol=1e-3)


def test_diffused_layers_have_the_state_of_plain_ones() -> None:
    """Their outputs differ on purpose, but for a strength of 0: then they are plain layers."""
    case = usual(num_heads=2)
    peer = drawn(difflayers.DiffusedHopfield(4, num_heads=2).double(), 3)
    ours = hopcore_torch.DiffusedHopfield(4, num_heads=2, eta=0.0).double()
    plain = case.layer(difflayers)
    for layer in (ours, plain):
        layer.load_state_dict(peer.state_dict(), strict=True)
    peer.load_state_dict(ours.state_dict(), strict=True)
    expected, found = ask(plain, case), ask(ours, case)
    close(found[0], expected[0])
    for name, gradient in expected[1].items():
        close(found[1][name], gradient)


def transformers(batch_first: bool, activation: str) -> list[tuple[Any, ...]]:
    """Encoder and decoder layers of both packages, with the same parameters, and their inputs."""
    found = []
    own = {"dim_feedforward": 7, "dropout": 0.2, "activation": activation}
    inner = {"input_size": 6, "num_heads": 2, "batch_first": batch_first}
    for name, count in (("HopfieldEncoderLayer", 1), ("HopfieldDecoderLayer", 2)):
        peer, ours = (
            getattr(layers, name)(*(package.Hopfield(**inner) for _ in range(count)), **own)
            for package, layers in (
                (difflayers, peer_transformer),
                (hopcore_torch, hopcore_torch),
            )
        )
        drawn(peer, 5)
        ours.double().load_state_dict(peer.state_dict(), strict=True)
        peer.load_state_dict(ours.state_dict(), strict=True)
        draw = torch.Generator().manual_seed(7)
        sequences = [
            torch.randn(2, length, 6, generator=draw, dtype=torch.float64) for length in (3, 5)
        ]
        if not batch_first:
            sequences = [x.transpose(0, 1) for x in sequences]
        found.append((peer, ours, [x.clone().requires_grad_() for x in sequences[:count]]))
    return found


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_transformer_layers(batch_first: bool, activation: str, masked: bool) -> None:
    for peer, ours, inputs in transformers(batch_first, activation):
        masks = {}
        if masked:
            later = torch.ones(3, 3, dtype=torch.bool).triu(1)
            padding = torch.tensor([[False, False, True], [False, True, False]])
            masks = {"src_mask": later, "src_key_padding_mask": padding}
            if len(inputs) == 2:
                names = "tgt_mask", "tgt_key_padding_mask"
                masks = dict(zip(names, masks.values(), strict=True))
                masks["memory_key_padding_mask"] = torch.tensor([[False] * 4 + [True]] * 2)
        answers = []
        for layer in (peer, ours):
            output = layer.eval()(*inputs, **masks)
            leaves = [*inputs, *(x for _, x in sorted(layer.named_parameters()))]
            answers.append((output, torch.autograd.grad((output**2).sum(), leaves)))
        close(answers[1][0], answers[0][0])
        for one, other in zip(answers[1][1], answers[0][1], strict=True):
            close(one, other)
        assert ours.batch_first == peer.batch_first
        assert ours.input_size == peer.input_size


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("separated", [True, False])
@pytest.mark.parametrize("name", ["HopfieldEncoderLayer", "HopfieldDecoderLayer"])
def test_transformer_layers_that_look_up(name: str, separated: bool, batch_first: bool) -> None:
    """Of learned patterns instead of the sequence itself, with masks of these patterns."""
    inner: dict[str, Any] = {"input_size": 6, "num_heads": 2, "batch_first": batch_first}
    own = {"quantity": 4, "lookup_weights_as_separated": separated}
    decoder = "Decoder" in name
    peer, ours = (
        getattr(layers, name)(
            package.HopfieldLayer(**inner, **own),
            *([package.Hopfield(**inner)] if decoder else []),
            dim_feedforward=7,
        ).double()
        for package, layers in ((difflayers, peer_transformer), (hopcore_torch, hopcore_torch))
    )
    ours.load_state_dict(drawn(peer, 5).state_dict(), strict=True)
    peer.load_state_dict(ours.state_dict(), strict=True)
    sequences = [noise(2, length, 6, seed=length) for length in ((3, 5) if decoder else (3,))]
    if not batch_first:
        sequences = [x.transpose(0, 1) for x in sequences]
    kind = "tgt" if decoder else "src"
    padding = torch.tensor([[False, False, True, False], [False, True, False, True]])
    masks = {f"{kind}_mask": (noise(3, 4) > 0.5), f"{kind}_key_padding_mask": padding}
    masks[f"{kind}_mask"][:, 0] = False
    if decoder:
        masks["memory_key_padding_mask"] = torch.tensor([[False] * 4 + [True]] * 2)
    for some in ({}, masks):
        answers = []
        for layer in (peer, ours):
            output = layer.eval()(*sequences, **some)
            leaves = [x for _, x in sorted(layer.named_parameters())]
            answers.append((output, torch.autograd.grad((output**2).sum(), leaves)))
        close(answers[1][0], answers[0][0])
        for one, other in zip(answers[1][1], answers[0][1], strict=True):
            close(one, other)
        # The peer's maps take no masks; those of its association do.
        association = "hopfield_association_self" if decoder else "hopfield_association"
        own_masks = [some.get(f"{kind}_key_padding_mask"), some.get(f"{kind}_mask")]
        wanted = getattr(peer, association).get_association_matrix(sequences[0], *own_masks)
        suffix = "_self" if decoder else ""
        matrix = getattr(ours, f"get_association_matrix{suffix}")
        close(matrix(sequences[0], *reversed(own_masks)), wanted)
    if decoder:
        target, memory = sequences
        first = peer.norm_residual_self(
            target + peer.hopfield_association_self(target, padding, masks["tgt_mask"])
        )
        wanted = peer.hopfield_association_cross.get_association_matrix((memory, first, memory))
        found = ours.get_association_matrix_cross(
            target, memory, masks["tgt_mask"], None, masks["tgt_key_padding_mask"]
        )
        close(found, wanted)


def test_matrices_of_transformer_layers() -> None:
    (peer, ours, [sequence]), (decoder, other, [target, memory]) = transformers(True, "relu")
    close(ours.get_association_matrix(sequence), peer.get_association_matrix(sequence))
    name = "get_association_matrix_self"
    close(getattr(other, name)(target), getattr(decoder, name)(target))
    given = memory, target, memory
    name = "get_association_matrix_cross"
    close(getattr(other, name)(given), getattr(decoder, name)(given))


def test_first_values_are_of_the_same_distribution() -> None:
    """Weights normal with a deviation of 0.02, scales 1, biases 0."""
    for kind in ("HopfieldPooling", "HopfieldLayer"):
        case = usual(kind, input_size=256, num_heads=2)
        torch.manual_seed(0)
        peer, ours = case.layer(difflayers).state_dict(), case.layer(hopcore_torch).state_dict()
        assert list(peer) == list(ours)
        for name, expected in peer.items():
            if expected.std() == 0:
                assert torch.equal(ours[name], expected)
                continue
            error = 5 / math.sqrt(2 * expected.numel())
            for found in (ours[name], expected):
                assert abs(found.std() / 0.02 - 1) < error
                assert abs(found.mean()) < 0.02 * 5 / math.sqrt(expected.numel())


@pytest.mark.parametrize("kind", ["Hopfield", "HopfieldPooling", "HopfieldLayer"])
@pytest.mark.parametrize("more", [{}, {"stored_pattern_size": 6}, {"pattern_size": 3}])
def test_parameters_are_in_the_same_order(kind: str, more: dict[str, Any]) -> None:
    """The state of an optimizer is kept by the places of the parameters."""
    given = {"input_size": 8, "hidden_size": 4, "num_heads": 2, **more}
    if kind == "HopfieldLayer" and "stored_pattern_size" in more:
        # A lookup recalls its stored patterns; with other sizes the peer fails when it is called.
        given["pattern_projection_size"] = more["stored_pattern_size"]
    space = {"normalize_hopfield_space": True, "normalize_hopfield_space_affine": True}
    peer, ours = (
        [(name, x.shape) for name, x in getattr(library, kind)(**given, **space).named_parameters()]
        for library in (difflayers, hopcore_torch)
    )
    assert ours == peer
