"""A torch module, called forward, and forward and backward, by whoever made it."""

from __future__ import annotations

import torch

from benchmarks.cases import Case
from benchmarks.sides import Prepared
from benchmarks.sides.layer_parts import parameters, patterns


def forward(module: torch.nn.Module, case: Case) -> Prepared:
    """The module in evaluation."""
    load(module, case)
    module.eval()
    given = tuple(map(torch.from_numpy, patterns(case)))

    def call() -> torch.Tensor:
        with torch.no_grad():
            return module(given)

    return Prepared(call)


def backward(module: torch.nn.Module, case: Case) -> Prepared:
    """The module and its gradient by all parameters and patterns."""
    load(module, case)
    given = tuple(torch.from_numpy(x).requires_grad_() for x in patterns(case))
    leaves = [*given, *module.parameters()]

    def call() -> torch.Tensor:
        return torch.autograd.grad(module(given).sum(), leaves)[0]

    return Prepared(call)


def load(module: torch.nn.Module, case: Case) -> None:
    """The parameters of the case, by the names of a state dict."""
    given = {name: torch.from_numpy(x.copy()) for name, x in parameters(case).items()}
    module.load_state_dict(given, strict=True)
