"""Separation functions against the entmax package: values and gradients (``nox -s peers``)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import entmax
import pytest
import torch

import hopcore

Peer = Callable[[torch.Tensor], torch.Tensor]

# Its bisection halves an interval 50 times by default, so that it agrees to float64's last digits.
CASES: dict[str, tuple[hopcore.memory.Separation, Peer]] = {
    "sparsemax": ("sparsemax", lambda z: entmax.sparsemax(z, dim=-1)),
    "entmax15": (hopcore.Entmax(1.5), lambda z: entmax.entmax15(z, dim=-1)),
    "sparsemax_bisect": ("sparsemax", lambda z: entmax.sparsemax_bisect(z, dim=-1)),
    **{
        f"entmax_bisect_{alpha}": (
            hopcore.Entmax(alpha),
            lambda z, alpha=alpha: entmax.entmax_bisect(z, alpha=alpha, dim=-1),
        )
        for alpha in (1.1, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)
    },
    **{
        f"normmax_bisect_{alpha}": (
            hopcore.Normmax(alpha),
            lambda z, alpha=alpha: entmax.normmax_bisect(z, alpha=alpha, dim=-1, n_iter=80),
        )
        for alpha in (1.25, 1.5, 2.0, 3.0, 5.0)
    },
}


@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("name", CASES)
def test_separation(name: str, spread: float) -> None:
    separation, peer = CASES[name]
    generator = torch.Generator().manual_seed(0)
    scores = spread * torch.randn(64, 33, generator=generator, dtype=torch.float64)
    ours = scores.clone().requires_grad_()
    theirs = scores.clone().requires_grad_()
    weights = hopcore.separate(ours, separation)
    expected = peer(theirs)
    torch.testing.assert_close(weights, expected, rtol=1e-9, atol=1e-9)

    direction = torch.randn(weights.shape, generator=generator, dtype=torch.float64)
    (weights * direction).sum().backward()
    (expected * direction).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
def test_an_alpha_that_is_a_tensor(spread: float) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = spread * torch.randn(3, 5, 4, 17, generator=generator, dtype=torch.float64)
    direction = torch.randn(scores.shape, generator=generator, dtype=torch.float64)
    alpha = torch.tensor([1.05, 1.25, 1.5, 2.0, 3.0], dtype=torch.float64)[:, None]
    ours = scores.clone().requires_grad_(), alpha.clone().requires_grad_()
    theirs = scores.clone().requires_grad_(), alpha.clone().requires_grad_()
    weights = hopcore.separate(ours[0], hopcore.Entmax(ours[1]))
    expected = entmax.entmax_bisect(theirs[0], alpha=theirs[1][..., None], dim=-1, n_iter=60)
    torch.testing.assert_close(weights, expected, rtol=1e-9, atol=1e-9)
    found = torch.autograd.grad((weights * direction).sum(), ours)
    wanted = torch.autograd.grad((expected * direction).sum(), theirs)
    # The peer's formula by alpha divides differences of weights by (alpha - 1)^2 = 1/400.
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


LOSSES: dict[float, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    1.25: lambda z, y: entmax.entmax_bisect_loss(z, y, alpha=1.25),
    1.5: entmax.entmax15_loss,
    2.0: entmax.sparsemax_loss,
    3.0: lambda z, y: entmax.entmax_bisect_loss(z, y, alpha=3.0),
}


@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("alpha", LOSSES)
def test_loss(alpha: float, spread: float) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = spread * torch.randn(64, 9, generator=generator, dtype=torch.float64)
    target = torch.randint(9, (64,), generator=generator)
    ours, theirs = scores.clone().requires_grad_(), scores.clone().requires_grad_()
    found = hopcore.entmax_loss(ours, target, alpha, reduction="none")
    wanted = LOSSES[alpha](theirs, target)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)
    found.sum().backward()
    wanted.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("reduction", "peer"), [("mean", "elementwise_mean"), ("sum", "sum")])
def test_reductions_and_targets_that_do_not_count(reduction: str, peer: str) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(32, 5, generator=generator, dtype=torch.float64)
    target = torch.randint(5, (32,), generator=generator)
    found = hopcore.entmax_loss(scores, target, 1.5, reduction=reduction, ignore_index=2)
    wanted = entmax.Entmax15Loss(ignore_index=2, reduction=peer)(scores, target)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_the_page_names_all_that_the_package_has() -> None:
    page = Path(__file__).parents[2] / "docs" / "tutorials" / "migrate-entmax.md"
    rows = re.findall(r"^\| (`.*?) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    modules = {"activations", "losses", "root_finding"}
    assert named == {name for name in dir(entmax) if not name.startswith("_")} - modules
