"""torch's own blocks, and pooling made of its parts: normalise, project, attend."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.cases import Case
from benchmarks.sides import Prepared


def drawn(case: Case) -> torch.Tensor:
    """The set or sequence ``(..., S, d)`` of a case."""
    return torch.randn(*case.batch, case.S, case.d, generator=torch.Generator().manual_seed(20))


def evaluated(module: nn.Module, x: torch.Tensor, **options: Any) -> Prepared:
    module.eval()

    def call() -> torch.Tensor:
        with torch.no_grad():
            return module(x, **options)

    return Prepared(call)


def with_gradient(module: nn.Module, x: torch.Tensor) -> Prepared:
    """The module and its gradient by its parameters, as a step of training has them."""
    parameters = list(module.parameters())

    def call() -> torch.Tensor:
        return torch.autograd.grad(module(x).square().sum(), parameters)[0]

    return Prepared(call)


def encoder_layer(case: Case) -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(case.d, case.heads, 4 * case.d, batch_first=True)


def encoder(case: Case, library: str) -> Prepared:
    return evaluated(encoder_layer(case), drawn(case))


def causal_encoder(case: Case, library: str) -> Prepared:
    mask = nn.Transformer.generate_square_subsequent_mask(case.S)
    return evaluated(encoder_layer(case), drawn(case), src_mask=mask, is_causal=True)


class Pooling(nn.Module):
    """Three normalisations, three projections of queries and set, attention, a projection."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.heads = case.heads
        self.query = nn.Parameter(torch.randn(1, 1, case.d))
        self.norms = nn.ModuleList(nn.LayerNorm(case.d) for _ in range(3))
        self.maps = nn.ModuleList(nn.Linear(case.d, case.d) for _ in range(3))
        self.out = nn.Linear(case.d, case.d)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the learned query recalls from each set."""
        state, stored, values = (
            apply(norm(given)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for given, norm, apply in zip(
                (self.query.expand(len(x), 1, -1), x, x), self.norms, self.maps, strict=True
            )
        )
        found = scaled_dot_product_attention(state, stored, values)
        return self.out(found.transpose(1, 2).flatten(-2))


def pooling(case: Case, library: str) -> Prepared:
    return evaluated(Pooling(case), drawn(case))


def pooling_backward(case: Case, library: str) -> Prepared:
    return with_gradient(Pooling(case), drawn(case))
