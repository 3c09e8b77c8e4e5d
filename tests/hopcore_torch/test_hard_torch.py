"""The hard path in torch: values are those chosen, derivatives those of the soft path."""

from __future__ import annotations

import pytest
import torch

import hopcore
import hopcore_torch


def test_a_learned_alpha_alone_has_its_derivative() -> None:
    torch.manual_seed(0)
    layer = hopcore_torch.Hopfield(input_size=6, num_heads=2, separation=hopcore.LearnableAlpha())
    x = torch.randn(2, 5, 6)
    for name, parameter in layer.named_parameters():
        parameter.requires_grad_("alpha" in name)
    (alpha,) = (p for p in layer.parameters() if p.requires_grad)

    def slope(hard: bool) -> torch.Tensor:
        found = hopcore.hopfield(layer.settings, layer.arrays(), x, hard=hard)
        probe = torch.linspace(-1.0, 1.0, found.numel()).reshape(found.shape)
        return torch.autograd.grad((found * probe).sum(), alpha)[0]

    assert float(slope(False).abs().min()) > 0.0
    torch.testing.assert_close(slope(True), slope(False))


def test_values_are_chosen_and_only_chosen_ones_have_a_derivative() -> None:
    stored = torch.eye(3)[None]
    state = torch.tensor([[[0.9, 0.0, 0.1], [0.0, 0.2, 0.8]]])
    values = torch.arange(6.0).reshape(1, 3, 2).requires_grad_()
    settings = hopcore.HopfieldSettings(
        stored_pattern_as_static=True,
        state_pattern_as_static=True,
        pattern_projection_as_static=True,
        disable_out_projection=True,
        normalize_stored_pattern=False,
        normalize_state_pattern=False,
        normalize_pattern_projection=False,
    )
    found = hopcore.hopfield(settings, {}, stored, state, values, hard=True)
    torch.testing.assert_close(found, values[:, [0, 2]])
    (slope,) = torch.autograd.grad(found.sum(), values)
    torch.testing.assert_close(slope, torch.tensor([[[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]]]))


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # of forward mode itself
def test_function_transforms_and_forward_mode_have_the_derivative() -> None:
    torch.manual_seed(0)
    layer = hopcore_torch.Hopfield(input_size=6, num_heads=2).double()
    stored, query, along = torch.randn(3, 5, 6, dtype=torch.float64)

    def hard(state: torch.Tensor) -> torch.Tensor:
        return hopcore.hopfield(
            layer.settings, layer.arrays(), stored[None], state[None], hard=True
        )

    plain = query.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(hard(plain).square().sum(), plain)
    assert float(wanted.abs().max()) > 0.0
    slope = torch.func.grad(lambda z: torch.func.vmap(hard)(z[None]).square().sum())(query)
    torch.testing.assert_close(slope, wanted)
    _, change = torch.func.jvp(lambda z: hard(z).square().sum(), (query,), (along,))
    torch.testing.assert_close(change, (wanted * along).sum())
