"""Alphas that layers learn: parameters, derivatives, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore import LearnableAlpha

torch = pytest.importorskip("torch")
hopcore_torch = pytest.importorskip("hopcore_torch")


def layer_of(**options: Any) -> Any:
    learned = LearnableAlpha(start=(1.2, 1.7))
    torch.manual_seed(0)
    sizes: Any = {"input_size": 8, "num_heads": 2, "dtype": torch.float64}
    return hopcore_torch.Hopfield(**sizes, separation=learned, **options)


@pytest.mark.parametrize("steps", [0, 3, None])
@pytest.mark.parametrize("biased", [False, True])
def test_the_derivative_is_that_of_differences(steps: int | None, biased: bool) -> None:
    layer = layer_of(update_steps_max=steps, update_steps_eps=1e-13, scaling=0.3)
    # Projections that are not small, so that alpha matters.
    core = layer.association_core
    core.in_proj_weight.data *= 20.0
    core.out_proj.weight.data *= 20.0
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    bias = torch.randn(5, 5, dtype=torch.float64) if biased else None

    def output(theta: Any) -> Any:
        parameters = {**dict(layer.named_parameters()), "alpha_logit": theta}
        return torch.func.functional_call(layer, parameters, (x, None, bias))

    theta = layer.alpha_logit.detach().clone().requires_grad_()
    total = output(theta).square().sum()
    (found,) = torch.autograd.grad(total, theta)
    for head in range(2):
        step = torch.zeros(2, dtype=torch.float64)
        step[head] = 1e-5
        with torch.no_grad():
            ahead, behind = (output(theta + s).square().sum() for s in (step, -step))
        torch.testing.assert_close(found[head], (ahead - behind) / 2e-5, rtol=1e-5, atol=1e-8)
    assert found.abs().min() > 1e-4


def test_a_checkpoint_keeps_it(tmp_path: Path) -> None:
    layer, x = layer_of(), torch.randn(3, 5, 8, dtype=torch.float64)
    layer.alpha_logit.data += 0.5
    hopcore_torch.save_layer(tmp_path / "layer.safetensors", layer)
    again = hopcore_torch.load_layer(tmp_path / "layer.safetensors")
    assert again.settings == layer.settings
    assert "alpha_logit" in again.state_dict()
    torch.testing.assert_close(again(x), layer(x))
    saved = hopcore.load_layer(tmp_path / "layer.safetensors")
    plain = hopcore.hopfield(saved.settings, saved.parameters, x.numpy())
    np.testing.assert_allclose(plain, layer(x).detach().numpy(), atol=1e-12)


def test_a_layer_of_jax_learns_it() -> None:
    jax, hopcore_jax = pytest.importorskip("jax"), pytest.importorskip("hopcore_jax")
    equinox = pytest.importorskip("equinox")
    learned = LearnableAlpha(start=1.25)
    layer = hopcore_jax.Hopfield(input_size=8, num_heads=2, separation=learned,
                                 key=jax.random.key(0))  # fmt: skip
    np.testing.assert_allclose(layer.alpha, [1.25, 1.25], rtol=1e-6)
    x = jax.random.normal(jax.random.key(1), (3, 5, 8))
    gradient = equinox.filter_jit(equinox.filter_grad(lambda layer: (layer(x) ** 2).sum()))(layer)
    assert np.all(np.abs(gradient.parameters["alpha_logit"]) > 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 1.0}, "between 1 and 2, got 1.0"),
        ({"start": 2}, "between 1 and 2, got 2"),
        ({"start": "1.5"}, "start must be a number"),
        ({"start": (1.5, 1.5, 1.5)}, "one alpha for each of the 2 heads, got 3"),
        ({"per_head": 1}, "per_head must be a bool"),
    ],
)
def test_what_no_alpha_starts_from_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        hopcore.HopfieldSettings(input_size=8, num_heads=2, separation=LearnableAlpha(**options))
