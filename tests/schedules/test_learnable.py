"""Temperatures that are learned: examples by hand, training, settings, bad input."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore import HopfieldSettings, LearnableTemperature
from hopcore.schedules import inverse_softplus, learned_temperature, temperature_profile


def test_a_start_of_eight() -> None:
    # 64 values in a key: the usual temperature is 8; theta is a little less, not 8 itself.
    settings = HopfieldSettings(input_size=64, scaling=LearnableTemperature())
    theta = hopcore.initial_parameters(settings, dtype="float64")["temperature"]
    assert theta == pytest.approx(8.0 + math.log(1.0 - math.exp(-8.0)), rel=1e-15)
    assert learned_temperature(theta) == pytest.approx(8.0, rel=1e-15)
    assert settings.beta == 1.0 / 8.0


@pytest.mark.parametrize("value", [1e-12, 1e-3, 0.5, 1.0, 8.0, 700.0, 1e6])
def test_the_inverse_of_softplus(value: float) -> None:
    theta = np.asarray(inverse_softplus(value))
    assert float(learned_temperature(theta)) == pytest.approx(value, rel=1e-12)


def test_at_its_start_a_layer_is_the_usual_one() -> None:
    rng = np.random.default_rng(0)
    stored = rng.normal(size=(2, 5, 8))
    usual = HopfieldSettings(input_size=8, num_heads=2)
    parameters = hopcore.initial_parameters(usual, dtype="float64")
    wanted = hopcore.hopfield(usual, parameters, stored)
    for learned in (
        LearnableTemperature(),
        LearnableTemperature(per_head=True),
        LearnableTemperature(shared=True),
        LearnableTemperature(factor=(1.0, 1.0), shared=True),
    ):
        settings = HopfieldSettings(input_size=8, num_heads=2, scaling=learned)
        start = hopcore.initial_parameters(settings, dtype="float64")
        more = {
            name: x for name, x in start.items() if name in ("temperature", "shared_temperature")
        }
        found = hopcore.hopfield(settings, {**parameters, **more}, stored)
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_layers_may_share_a_temperature() -> None:
    torch = pytest.importorskip("torch")
    hopcore_torch = pytest.importorskip("hopcore_torch")
    layers = [
        hopcore_torch.Hopfield(8, num_heads=2, scaling=LearnableTemperature(factor=f, shared=True))
        for f in (2.0, 0.5)
    ]
    layers[1].shared_temperature = layers[0].shared_temperature
    x = torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(0))
    layers[1](layers[0](x)).square().sum().backward()
    both = layers[0].shared_temperature.grad.clone()
    layers[0].zero_grad()
    layers[1](layers[0](x).detach()).square().sum().backward()
    assert both != layers[0].shared_temperature.grad != 0.0


def test_a_temperature_is_learned() -> None:
    # What a colder memory recalls is the target: the temperature falls towards it.
    torch = pytest.importorskip("torch")
    hopcore_torch = pytest.importorskip("hopcore_torch")
    x = torch.randn(4, 6, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.manual_seed(0)
    layer = hopcore_torch.Hopfield(8, scaling=LearnableTemperature(), dtype=torch.float64)
    with torch.no_grad():
        for value in layer.parameters():
            if value.ndim == 2:
                value.normal_()
    cold = math.sqrt(8.0) / 4.0
    theta = dict(layer.named_parameters())["temperature"]
    start = theta.detach().clone()
    with torch.no_grad():
        theta.fill_(inverse_softplus(cold))
        target = layer(x)
        theta.copy_(start)
    optimiser = torch.optim.Adam([theta], lr=0.05)
    losses = []
    for _ in range(150):
        optimiser.zero_grad()
        loss = (layer(x) - target).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 1e-3 * losses[0]
    assert layer.temperature.item() == pytest.approx(cold, rel=0.02)


def test_settings_and_profiles_survive_json() -> None:
    for one in (
        *temperature_profile("hot-reasoner", 2, 4),
        LearnableTemperature(factor=2.0, per_head=True, shared=True),
    ):
        settings = HopfieldSettings(input_size=8, num_heads=4, scaling=one)
        again = HopfieldSettings.from_dict(json.loads(json.dumps(settings.to_dict())))
        assert again == settings
        assert hash(again) == hash(settings)
        assert hopcore.layers.parameter_shapes(settings)["temperature"] == (4,)


def test_profiles_of_a_transformer() -> None:
    profile = temperature_profile("hot-to-cold", 4)
    factors = [one.factor for one in profile]
    assert factors == pytest.approx([2.0, 2.0**0.3333333333, 2.0**-0.3333333333, 0.5])
    layers = [
        hopcore.layers.EncoderSettings(
            hopfield=HopfieldSettings(input_size=8, num_heads=2, scaling=one), dim_feedforward=16
        )
        for one in profile
    ]
    starts = [
        hopcore.initial_parameters(layer)["hopfield_association.temperature"] for layer in layers
    ]
    assert [float(learned_temperature(x)) for x in starts] == pytest.approx(
        [2.0 * factor for factor in factors], rel=1e-6
    )


def encoder(learned: Any, **given: Any) -> HopfieldSettings:
    return HopfieldSettings(input_size=8, num_heads=2, scaling=learned, **given)


BAD: list[tuple[Any, type[Exception], str]] = [
    (lambda: LearnableTemperature(factor=0.0), ValueError, "positive and finite"),
    (lambda: LearnableTemperature(factor=-1.0), ValueError, "positive and finite"),
    (lambda: LearnableTemperature(factor=math.nan), ValueError, "positive and finite"),
    (lambda: LearnableTemperature(factor=(1.0, math.inf)), ValueError, "positive and finite"),
    (lambda: LearnableTemperature(factor="hot"), TypeError, "factor must be a number, got 'hot'"),
    (lambda: LearnableTemperature(per_head=1), TypeError, "per_head must be a bool, got 1"),
    (lambda: LearnableTemperature(shared="yes"), TypeError, "shared must be a bool, got 'yes'"),
    (lambda: encoder(LearnableTemperature(factor=(1.0, 2.0, 3.0))), ValueError,
     "one value for each of the 2 heads, got 3"),
    (lambda: encoder(LearnableTemperature(), learnable_scaling=True), ValueError,
     "leave out learnable_scaling"),
    (lambda: temperature_profile("cold", 2), ValueError, "unknown profile 'cold'; known: standard"),
    (lambda: temperature_profile("standard", 0), ValueError, "layers must be >= 1, got 0"),
    (lambda: temperature_profile("hot-reasoner", 2), ValueError, "heads must be >= 2, got 1"),
    (lambda: temperature_profile("throbbing", 2.0), TypeError, "layers must be an integer"),
    (lambda: inverse_softplus(0.0), ValueError, "value must be positive and finite, got 0.0"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), BAD)
def test_bad_input_gets_one_line(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
