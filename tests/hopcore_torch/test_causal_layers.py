"""A causal layer goes to torch's causal kernel, without a mask, wherever nothing else needs one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import hopcore_torch
from hopcore_torch.kernels import _fused as fused


@pytest.fixture
def masks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What each call of the fused kernel was given: a mask, or whether it is causal."""
    seen: list[Any] = []
    right = fused.F.scaled_dot_product_attention

    def seeing(
        *tensors: Any, attn_mask: Any = None, is_causal: bool = False, **options: Any
    ) -> Any:
        seen.append("causal" if is_causal else attn_mask)
        return right(*tensors, attn_mask=attn_mask, is_causal=is_causal, **options)

    monkeypatch.setattr(fused.F, "scaled_dot_product_attention", seeing)
    return seen


def sequence(**options: Any) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    layer = hopcore_torch.Hopfield(input_size=8, num_heads=2, **options)
    x = torch.randn(3, 6, 8)
    return layer, x, torch.ones(6, 6, dtype=torch.bool).triu(1)


@pytest.mark.parametrize("gradient", [False, True])
def test_the_kernel_gets_no_mask(masks: list[Any], gradient: bool) -> None:
    layer, x, later = sequence()
    found = layer(x.requires_grad_(gradient), association_mask="causal")
    assert masks == ["causal"]
    torch.testing.assert_close(found, layer(x, association_mask=later))
    if gradient:
        (slope,) = torch.autograd.grad(found.square().sum(), x)
        wanted = layer(x, association_mask=later).square().sum()
        torch.testing.assert_close(slope, torch.autograd.grad(wanted, x)[0])


@pytest.mark.parametrize(
    "options",
    [
        {"update_steps_max": 2},
        {"concat_bias_pattern": True},
        {"scaling": (0.5, 2.0)},
        {"learnable_scaling": True, "scaling": 1.0},
        {"separation": "sparsemax"},
        {"similarity": "distance"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_needs_a_mask_gets_the_triangle(masks: list[Any], options: dict[str, Any]) -> None:
    layer, x, later = sequence(**options)
    found = layer(x, association_mask="causal")
    assert "causal" not in masks
    torch.testing.assert_close(found, layer(x, association_mask=later))


def test_padding_is_hidden_beside_later_patterns(masks: list[Any]) -> None:
    layer, x, later = sequence()
    padding = torch.zeros(3, 6, dtype=torch.bool)
    padding[1, 4:] = True
    found = layer(x, padding, "causal")
    assert "causal" not in masks
    torch.testing.assert_close(found, layer(x, padding, later))


def test_an_encoder_layer_makes_no_mask(masks: list[Any]) -> None:
    torch.manual_seed(0)
    layer = hopcore_torch.HopfieldEncoderLayer(8, 2, 16, batch_first=True).eval()
    x = torch.randn(3, 6, 8)
    found = layer(x, is_causal=True)
    assert masks == ["causal"]
    later = torch.ones(6, 6, dtype=torch.bool).triu(1)
    torch.testing.assert_close(found, layer(x, later))


def test_another_name_is_refused() -> None:
    layer, x, _ = sequence()
    with pytest.raises(ValueError, match="association_mask must be an array or 'causal', got 'low"):
        layer(x, association_mask="lower")
