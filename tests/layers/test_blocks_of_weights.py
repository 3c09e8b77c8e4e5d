"""Layers that need all weights, or a bias, do so a block at a time where their library can."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore.layers import _recall as recall
from hopcore.layers._masks import as_core_masks

torch = pytest.importorskip("torch")
import hopcore_torch  # noqa: E402


@pytest.fixture(params=[None, 3 * 2 * 9 * 2])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether there are several blocks, of two queries each."""
    if request.param is not None:
        monkeypatch.setattr(recall, "DROPPED", request.param)
    return request.param is not None


def made(**options: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    layer = hopcore_torch.Hopfield(input_size=8, num_heads=2, **options).double()
    return layer, tuple(torch.randn(3, n, 8, dtype=torch.float64) for n in (9, 5, 9))


def test_blocks_drop_what_their_derivatives_drop(block: bool) -> None:
    layer, patterns = made(dropout=0.5)
    weight = layer.association_core.in_proj_weight

    def loss() -> Any:
        torch.manual_seed(5)
        return layer(patterns).square().sum()

    (slope,) = torch.autograd.grad(loss(), weight)
    step = torch.randn_like(weight)
    with torch.no_grad():
        values = []
        for sign in (1.0, -1.0):
            weight.add_(step, alpha=sign * 1e-6)
            values.append(float(loss()))
            weight.sub_(step, alpha=sign * 1e-6)
    assert float((slope * step).sum()) == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5)


def test_blocks_drop_as_many_weights(block: bool) -> None:
    layer, patterns = made(dropout=0.25)
    with torch.no_grad():
        mean = sum(layer(patterns) for _ in range(2000)) / 2000
        torch.testing.assert_close(mean, layer.eval()(patterns), atol=0.05, rtol=0.1)


@pytest.mark.parametrize("hidden", [False, True])
def test_numbers_of_a_padding_mask_are_a_coordinate_of_the_keys(hidden: bool) -> None:
    layer, patterns = made()
    padding = torch.linspace(-2.0, 1.0, 27, dtype=torch.float64).reshape(3, 9)
    if hidden:
        padding[1, 4:], padding[2] = -np.inf, -np.inf
    padding.requires_grad_()
    full = padding[:, None, None, :].expand(3, 2, 5, 9)
    found, wanted = layer(patterns, padding), layer(patterns, None, full)
    torch.testing.assert_close(found, wanted)
    leaves = [padding, *layer.parameters()]
    by = torch.randn_like(found)
    slopes = torch.autograd.grad(found, leaves, by)
    torch.testing.assert_close(slopes, torch.autograd.grad(wanted, leaves, by))
    assert all(torch.isfinite(x).all() for x in slopes)
    parameters = {name: x.detach().numpy() for name, x in layer.state_dict().items()}
    arrays = [x.numpy() for x in patterns]
    numpy = hopcore.hopfield(
        layer.settings, parameters, *arrays, stored_pattern_padding_mask=padding.detach().numpy()
    )
    np.testing.assert_allclose(numpy, found.detach().numpy(), atol=1e-12)


def test_a_bias_row_holds_no_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = type(hopcore.backend("torch"))
    monkeypatch.setattr(kernels, "associate_biased", lambda *given: pytest.fail("all scores"))
    layer, patterns = made()
    layer(patterns, torch.linspace(-1.0, 0.0, 9, dtype=torch.float64).expand(3, 9)).sum().backward()


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_drops_weights_of_blocks(
    monkeypatch: pytest.MonkeyPatch, grouped: bool, causal: bool
) -> None:
    torch.manual_seed(0)
    query = torch.randn(2, 4, 5, 3, dtype=torch.float64, requires_grad=True)
    key = torch.randn(2, 2 if grouped else 4, 9, 3, dtype=torch.float64)
    mask = torch.rand(2, 4, 5, 9) < 0.7
    sizes = []

    def drop(weights: torch.Tensor) -> torch.Tensor:
        sizes.append(weights.shape)
        return 3.0 * weights.square()

    def found() -> list[torch.Tensor]:
        attention = hopcore.layers.dot_product_attention
        output = attention(query, key, key, mask=mask, causal=causal, drop=drop)
        return [output, *torch.autograd.grad(output.square().sum(), query)]

    wanted = found()
    assert sizes.pop() == (2, 4, 5, 9)
    monkeypatch.setattr(recall, "DROPPED", 2 * 2 * 4 * 9)
    torch.testing.assert_close(found(), wanted)
    assert {shape[-2] for shape in sizes} == {1, 2}
    assert {(*shape[:-2], shape[-1]) for shape in sizes} == {(2, 4, 9)}


@pytest.mark.parametrize("learned", [False, True])
def test_a_mask_of_numbers_needs_no_booleans(learned: bool) -> None:
    state = torch.zeros(2, 5, 8, dtype=torch.float64)
    numbers = torch.linspace(-1.0, 1.0, 45, dtype=torch.float64).reshape(5, 9)
    for values, wanted in (
        (numbers, (False, True)),
        (torch.zeros_like(numbers), (False, learned)),
        (numbers.masked_fill(numbers > 0.5, -np.inf), (True, True)),
        (torch.zeros_like(numbers).masked_fill(numbers > 0.5, -np.inf), (True, learned)),
        (torch.full_like(numbers, -np.inf), (True, learned)),
    ):
        masks = as_core_masks(state, (2,), 2, 9, None, values.requires_grad_(learned))
        assert (masks.mask is not None, masks.bias is not None) == wanted
    for wrong in (np.nan, np.inf):
        with pytest.raises(ValueError, match="numbers or -inf, got nan or"):
            as_core_masks(state, (2,), 2, 9, None, numbers.detach() + wrong)
