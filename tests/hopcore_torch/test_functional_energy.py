"""Energies under the transforms of torch.func: their derivatives hold a block of scores."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from largest import Largest

import hopcore
from hopcore_torch.kernels import TorchBackend

QUERIES, PATTERNS, DEPTH = 12, 9, 3
SEPARATIONS = ["softmax", "sparsemax", "entmax:1.5"]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of two queries."""
    monkeypatch.setattr(TorchBackend, "block", lambda self, array: 2 * PATTERNS)


def inputs() -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    state, stored = (torch.randn(n, DEPTH, dtype=torch.float64) for n in (QUERIES, PATTERNS))
    beta = torch.linspace(0.5, 2.0, QUERIES, dtype=torch.float64)
    mask = torch.rand(QUERIES, PATTERNS) < 0.8
    mask[0] = False
    return state, stored, beta, mask


def total(separation: Any, state: Any, stored: Any, beta: Any, mask: Any) -> torch.Tensor:
    found = hopcore.energy(state, stored, beta, mask=mask, separation=separation)
    return torch.where(torch.isfinite(found), found, 0.0).sin().sum()


@pytest.mark.parametrize("separation", SEPARATIONS)
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_are_those_of_autograd(small: None, separation: str, masked: bool) -> None:
    state, stored, beta, mask = inputs()
    given = state, stored, beta
    some = mask if masked else None

    def value(x: torch.Tensor, y: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return total(separation, x, y, b, some)

    found = torch.func.grad(value, argnums=(0, 1, 2))(*given)
    x, y, b = leaves = [x.clone().requires_grad_() for x in given]
    wanted = torch.autograd.grad(value(x, y, b), leaves)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("separation", SEPARATIONS)
def test_no_tensor_has_all_scores(small: None, separation: str) -> None:
    state, stored, _, _ = inputs()
    with Largest() as largest:
        torch.func.grad(lambda x: total(separation, x, stored, 0.7, None))(state)
    assert largest.values <= max(2 * PATTERNS, QUERIES * DEPTH)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_transforms_may_be_nested(small: None) -> None:
    state, stored, _, _ = inputs()
    state = state[:3]

    def energy(x: torch.Tensor) -> torch.Tensor:
        return total("softmax", x, stored, 0.7, None)

    wanted = torch.autograd.functional.hessian(energy, state)
    slope = torch.func.grad(energy)
    for found in (
        torch.func.hessian(energy)(state),
        torch.func.jacrev(slope)(state),
        torch.func.jacrev(torch.func.jacrev(energy))(state),
        torch.func.jacfwd(slope)(state),
    ):
        torch.testing.assert_close(found, wanted)
    of_each = torch.func.vmap(torch.func.grad(lambda x: energy(x[None])))(state)
    torch.testing.assert_close(of_each, slope(state))
    by_stored = torch.func.grad(lambda y: torch.func.grad(energy)(state * y.sum()).sum())
    leaf = torch.ones((), dtype=torch.float64, requires_grad=True)
    (inner,) = torch.autograd.grad(energy(state * leaf), leaf, create_graph=True)
    del inner
    scaled = (state * leaf).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(energy(scaled), scaled, create_graph=True)
    (again,) = torch.autograd.grad(gradient.sum(), scaled)
    expected = (again * state).sum()
    torch.testing.assert_close(by_stored(torch.ones((), dtype=torch.float64)), expected)


def test_an_alpha_of_each_query_has_its_derivative(small: None) -> None:
    state, stored, _, _ = inputs()
    alpha = torch.linspace(1.2, 2.0, QUERIES, dtype=torch.float64)

    def value(x: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
        return total(hopcore.Entmax(alpha), x, stored, 0.7, None)

    found = torch.func.grad(value, argnums=(0, 1))(state, alpha)
    leaves = [x.clone().requires_grad_() for x in (state, alpha)]
    torch.testing.assert_close(found, torch.autograd.grad(value(*leaves), leaves))


def test_a_mask_may_depend_on_what_is_differentiated(small: None) -> None:
    state, stored, _, _ = inputs()

    def value(x: torch.Tensor) -> torch.Tensor:
        return total("softmax", x, stored, 0.7, x @ stored.T > -1.0)

    leaf = state.clone().requires_grad_()
    torch.testing.assert_close(
        torch.func.grad(value)(state), torch.autograd.grad(value(leaf), leaf)[0]
    )
