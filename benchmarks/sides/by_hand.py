"""What a careful user writes without hopcore: the limits and the naive ways."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.cases import Case
from benchmarks.sides import Prepared, arrays, native, prepared


def association(case: Case, library: str) -> Prepared:
    """The fused attention of torch and JAX; in NumPy the plain expression, with all its scores."""
    function = {"numpy": numpy_attention, "torch": torch_attention, "jax": jax_attention}[library]
    state, stored = native(library, *arrays(case))
    return prepared(library, lambda q, k: function(q, k, case.beta), state, stored)


def numpy_attention(state: Any, stored: Any, beta: float) -> Any:
    weights = beta * state @ stored.swapaxes(-1, -2)
    weights -= weights.max(-1, keepdims=True)
    np.exp(weights, out=weights)
    weights /= weights.sum(-1, keepdims=True)
    return weights @ stored


def torch_attention(state: Any, stored: Any, beta: float) -> Any:
    from torch.nn.functional import scaled_dot_product_attention

    # Fewer than four axes would take torch's slow path.
    wanted = (1,) * (4 - state.ndim)
    state4, stored4 = state.view(*wanted, *state.shape), stored.view(*wanted, *stored.shape)
    return scaled_dot_product_attention(state4, stored4, stored4, scale=beta).view(state.shape)


def jax_attention(state: Any, stored: Any, beta: float) -> Any:
    import jax

    # (L, heads, d), with one head.
    state3, stored3 = state[:, None, :], stored[:, None, :]
    return jax.nn.dot_product_attention(state3, stored3, stored3, scale=beta)[:, 0, :]


def association_backward(case: Case, library: str) -> Prepared:
    """``scaled_dot_product_attention`` and its gradient by both patterns."""
    state, stored = (value.requires_grad_() for value in native(library, *arrays(case)))

    def call() -> Any:
        state.grad = stored.grad = None
        torch_attention(state, stored, case.beta).sum().backward()
        return stored.grad

    return Prepared(call)


def gemm(case: Case, library: str) -> Prepared:
    """All scores and nothing else, in the tiles that were fastest for each library."""
    state, stored = native(library, *arrays(case))
    rows, columns = {"numpy": (512, 2048), "torch": (256, 1024)}[library]
    if library == "numpy":
        buffer, product = np.empty(rows * columns, np.float32), np.matmul
    else:
        import torch

        buffer, product = torch.empty(rows * columns), torch.mm

    def call() -> Any:
        for i in range(0, case.L, rows):
            for j in range(0, case.S, columns):
                some, others = state[i : i + rows], stored[j : j + columns]
                shape = (some.shape[0], others.shape[0])
                tile = buffer[: shape[0] * shape[1]].reshape(shape)
                product(some, others.T, out=tile)
        return buffer

    return Prepared(call)


def energy_gradient(case: Case, library: str) -> Prepared:
    """Automatic differentiation of the energy as the formula stands; torch only."""
    import torch

    state, stored = native(library, *arrays(case))
    state.requires_grad_()

    def call() -> Any:
        lse = torch.logsumexp(case.beta * (state @ stored.mT), dim=-1) / case.beta
        energy = 0.5 * (state * state).sum(-1) - lse
        return torch.autograd.grad(energy.sum(), state)[0]

    return Prepared(call)
