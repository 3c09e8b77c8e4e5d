"""Separation functions against the entmax package: values and gradients (``nox -s peers``)."""

from __future__ import annotations

from collections.abc import Callable

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
