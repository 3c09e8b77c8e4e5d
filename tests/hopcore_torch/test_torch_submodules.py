"""Changes to the submodules of torch's layers: they take effect, or they are refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.utils.flop_counter import FlopCounterMode

from hopcore_torch import (
    HNL,
    Hopfield,
    HopfieldCore,
    HopfieldEncoderLayer,
    HopfieldLayer,
    HopfieldPooling,
)

torch.manual_seed(0)
X = torch.randn(2, 5, 8)


def layer_of(**settings: Any) -> Hopfield:
    torch.manual_seed(0)
    return Hopfield(8, num_heads=2, **settings).eval()


def encoder() -> HopfieldEncoderLayer:
    torch.manual_seed(0)
    return HopfieldEncoderLayer(8, 2, 16, batch_first=True).eval()


class Adapted(nn.Module):
    """A linear map with a second one beside it, as LoRA has it."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.more = nn.Linear(base.in_features, base.out_features)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.base(features) + self.more(features)


@pytest.mark.parametrize("name", ["norm_state_pattern", "association_core.out_proj"])
def test_hooks_of_norms_and_linear_maps_are_called(name: str) -> None:
    layer, seen = layer_of(), []
    before = layer(X)
    handle = layer.get_submodule(name).register_forward_hook(lambda *_: seen.append(name))
    torch.testing.assert_close(layer(X), before)
    assert seen == [name]
    handle.remove()
    layer(X)
    assert seen == [name]


@pytest.mark.parametrize("name", ["linear_residual", "linear_output", "norm_residual"])
def test_hooks_within_an_encoder_layer_take_effect(name: str) -> None:
    layer = encoder()
    before = layer(X)
    layer.get_submodule(name).register_forward_hook(
        lambda _, __, found: found * found + 3.0 * found
    )
    assert (layer(X) - before).abs().max() > 1e-3


def test_adapters_take_effect_and_are_trained() -> None:
    layer = encoder()
    core = layer.hopfield_association.association_core
    places = (layer, "linear_residual"), (layer, "linear_output"), (core, "out_proj")
    adapters = []
    for owner, name in places:
        adapters.append(Adapted(getattr(owner, name)))
        setattr(owner, name, adapters[-1])
    layer(X).square().sum().backward()
    for adapter in adapters:
        assert adapter.more.weight.grad is not None
        assert adapter.more.weight.grad.abs().max() > 0


def test_an_eps_and_a_replaced_norm_take_effect() -> None:
    layer, other = layer_of(), layer_of(normalize_state_pattern_eps=2.0)
    layer.norm_state_pattern.eps = 2.0
    torch.testing.assert_close(layer(X), other(X))
    layer.norm_state_pattern = nn.Identity()
    other = layer_of(normalize_state_pattern=False)
    torch.testing.assert_close(layer(X), other(X))


REPARAMETRISED: dict[str, Callable[[HopfieldCore], Any]] = {
    "prune": lambda core: prune.l1_unstructured(core, "in_proj_weight", 0.5),
    "spectral_norm": lambda core: nn.utils.spectral_norm(core, "in_proj_weight"),
    "parametrize": lambda core: nn.utils.parametrizations.orthogonal(core, "in_proj_weight"),
}


@pytest.mark.parametrize("name", list(REPARAMETRISED))
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_computed_weights_are_computed_at_each_call(name: str) -> None:
    layer = layer_of()
    core = layer.association_core
    REPARAMETRISED[name](core)
    for _ in range(2):
        layer(X).square().sum().backward()
    own = {key: x for key, x in core.named_parameters() if "in_proj_weight" in key}
    assert all(x.grad is not None for x in own.values())
    before = layer(X)
    with torch.no_grad():
        for value in own.values():
            value.add_(torch.randn_like(value))
    assert (layer(X) - before).abs().max() > 1e-6


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
def test_the_old_weight_norm_goes_backward_twice() -> None:
    layer = layer_of()
    nn.utils.weight_norm(layer.association_core, "in_proj_weight")
    for _ in range(2):
        layer(X).sum().backward()
    assert layer.association_core.in_proj_weight_g.grad is not None


class OtherCore(HopfieldCore):
    """A core with another class."""


def hooked(layer: Hopfield) -> None:
    layer.association_core.register_forward_hook(lambda *_: None)


def patched(layer: Hopfield) -> None:
    layer.association_core.forward = lambda *_: None  # type: ignore[method-assign]


def another(layer: Hopfield) -> None:
    layer.association_core = OtherCore.of(layer.settings)


def removed(layer: Hopfield) -> None:
    layer.norm_state_pattern = None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (hooked, "association_core has hooks"),
        (patched, "association_core has hooks or a forward of its own"),
        (another, "association_core became a OtherCore"),
        (removed, "norm_state_pattern was a module when the layer was made and is None"),
    ],
)
def test_what_would_have_no_effect_is_refused(change: Any, message: str) -> None:
    layer = layer_of()
    change(layer)
    with pytest.raises(ValueError, match=message) as refused:
        layer(X)
    assert "\n" not in str(refused.value)


def test_a_norm_that_the_settings_lack_is_refused() -> None:
    layer = layer_of(normalize_state_pattern=False)
    layer.norm_state_pattern = nn.LayerNorm(8)
    with pytest.raises(ValueError, match="norm_state_pattern was nothing"):
        layer(X)


@pytest.mark.parametrize("value", ["relu", nn.Tanh()])
def test_activations_are_settings(value: Any) -> None:
    layer = layer_of()
    with pytest.raises(AttributeError, match="association_activation"):
        layer.association_activation = value
    with pytest.raises(AttributeError, match="activation_residual"):
        encoder().activation_residual = value


def test_hooks_within_a_network_layer_are_refused() -> None:
    layer = HNL(input_size=8, quantity=4, output_size=8)
    layer.hopfield.register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="hopfield has hooks"):
        layer(X)


@pytest.mark.parametrize("kind", [HopfieldPooling, HopfieldLayer])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_operations_are_counted_in_every_mode(kind: Any, mode: Any) -> None:
    layer = kind(8, num_heads=2)
    with mode(), FlopCounterMode(display=False) as counter:
        layer(X)
    assert counter.get_total_flops() > 0


def test_the_core_has_the_attributes_of_its_peer() -> None:
    core = layer_of(hidden_size=3, output_size=5, stored_pattern_size=8).association_core
    found = core.embed_dim, core.kdim, core.head_dim, core.pattern_dim, core.out_dim
    assert found == (8, 8, 3, 3, 5)
    assert (core.virtual_hopfield_dim, core.virtual_pattern_dim) == (6, 6)
    assert not core.key_as_static
    assert core.dropout == 0.0
    with pytest.raises(AttributeError, match="dropout is a setting"):
        core.dropout = 0.5
