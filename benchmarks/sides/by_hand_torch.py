"""torch without hopcore."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.cases import Case
from benchmarks.sides import Prepared, arrays


def tensors(case: Case) -> tuple[torch.Tensor, torch.Tensor]:
    state, stored = arrays(case)
    return torch.from_numpy(state), torch.from_numpy(stored)


def attention(state: torch.Tensor, stored: torch.Tensor, beta: float) -> torch.Tensor:
    """The fused kernel; fewer than four axes would take its slow path."""
    ones = (1,) * (4 - state.ndim)
    state4, stored4 = state.view(*ones, *state.shape), stored.view(*ones, *stored.shape)
    return scaled_dot_product_attention(state4, stored4, stored4, scale=beta).view(state.shape)


def association(case: Case, library: str) -> Prepared:
    state, stored = tensors(case)
    return Prepared(lambda: attention(state, stored, case.beta))


def association_backward(case: Case, library: str) -> Prepared:
    """The fused kernel and its gradient by both patterns."""
    state, stored = (value.requires_grad_() for value in tensors(case))

    def call() -> torch.Tensor:
        loss = attention(state, stored, case.beta).sum()
        return torch.autograd.grad(loss, (state, stored))[1]

    return Prepared(call)


def pairs(case: Case, library: str) -> Prepared:
    """The inner products of all pairs of stored patterns and nothing else, in tiles."""
    return gemm(replace(case, L=case.S, state="noisy"), library)


def gemm(case: Case, library: str) -> Prepared:
    """All scores and nothing else, in tiles that stay in the cache."""
    state, stored = tensors(case)
    buffer = torch.empty(256 * 1024)

    def call() -> torch.Tensor:
        for some in state.split(256):
            for others in stored.split(1024):
                tile = buffer[: len(some) * len(others)].view(len(some), len(others))
                torch.mm(some, others.mT, out=tile)
        return buffer

    return Prepared(call)


def energy_gradient(case: Case, library: str) -> Prepared:
    """Automatic differentiation of the energy as the formula stands."""
    state, stored = tensors(case)
    state.requires_grad_()

    def call() -> torch.Tensor:
        lse = torch.logsumexp(case.beta * (state @ stored.mT), dim=-1) / case.beta
        energy = 0.5 * (state * state).sum(-1) - lse
        return torch.autograd.grad(energy.sum(), state)[0]

    return Prepared(call)
