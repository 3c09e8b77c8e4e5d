"""A Hopfield layer of torch's own parts: LayerNorm, Linear and the fused attention kernel."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.cases import Case
from benchmarks.sides import Prepared, torch_layers


class Attention(nn.Module):
    """Three normalisations, three projections, attention in heads, and a projection."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.heads = case.heads
        self.norms = nn.ModuleList(nn.LayerNorm(case.d) for _ in range(3))
        self.maps = nn.ModuleList(nn.Linear(case.d, case.d) for _ in range(3))
        self.out = nn.Linear(case.d, case.d)

    def forward(self, given: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """What each state pattern recalls."""
        parts = [
            apply(norm(x)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for x, norm, apply in zip(given, self.norms, self.maps, strict=True)
        ]
        stored, state, values = parts
        found = scaled_dot_product_attention(state, stored, values)
        return self.out(found.transpose(1, 2).flatten(-2))

    def load_state_dict(self, given: dict, strict: bool = True) -> None:
        """The parameters by hopcore's names."""
        rows = given["association_core.in_proj_weight"].chunk(3)
        names = "stored_pattern", "state_pattern", "pattern_projection"
        with torch.no_grad():
            for place, (norm, apply) in enumerate(zip(self.norms, self.maps, strict=True)):
                norm.weight.copy_(given[f"norm_{names[place]}.weight"])
                apply.weight.copy_(rows[(1, 0, 2)[place]])
                apply.bias.zero_()
            self.out.weight.copy_(given["association_core.out_proj.weight"])
            self.out.bias.zero_()


def layer(case: Case, library: str) -> Prepared:
    return torch_layers.forward(Attention(case), case)


def layer_backward(case: Case, library: str) -> Prepared:
    return torch_layers.backward(Attention(case), case)
