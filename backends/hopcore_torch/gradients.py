"""How the torch kernels are differentiated: autograd functions around fast forward passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from hopcore.backend import Backend, SeparationFunction, block_rows, rows_of
from hopcore.solvers import conjugate_gradients

Kernel = Callable[..., tuple[torch.Tensor, ...]]
"""``kernel(part, state, stored, projection, beta)`` of the queries in a slice. Returns an output
``(..., L, v)``, or a conjugate ``(..., L)``, or conjugate and output in that order. A projection may be
None, and beta too where it is a number."""

Tensors = Sequence[torch.Tensor | None]

EVERY = slice(None)


class Separate(Function):
    """Weights and conjugate of scores, with the separation's tangent as derivative."""

    @staticmethod
    def forward(scores: torch.Tensor, separation: SeparationFunction, backend: Backend) -> Any:
        return Backend.separate(backend, scores, separation)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
        _, ctx.separation, ctx.backend = inputs
        ctx.save_for_backward(output[0])
        ctx.save_for_forward(output[0])

    @staticmethod
    def backward(ctx: Any, by_weights: torch.Tensor, by_conjugate: torch.Tensor) -> Any:
        (weights,) = ctx.saved_tensors
        change = ctx.separation.tangent(weights, by_weights, ctx.backend.xp)
        return change + weights * by_conjugate[..., None], None, None


class SeparateTwoModes(Separate):
    """The same with forward mode and vmap, which torch.compile does not take."""

    @staticmethod
    def jvp(ctx: Any, change: torch.Tensor, *_: None) -> Any:
        (weights,) = ctx.saved_tensors
        return ctx.separation.tangent(weights, change, ctx.backend.xp), (weights * change).sum(-1)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], scores: torch.Tensor, *rest: Any) -> Any:
        return SeparateTwoModes.apply(scores.movedim(in_dims[0], 0), *rest), (0, 0)


class Nested(Function):
    """A kernel that torch differentiates only once, made differentiable again."""

    @staticmethod
    def forward(ctx: Any, fast: Kernel, portable: Kernel, *tensors: Any) -> torch.Tensor:
        with torch.enable_grad():
            inner = leaves(tensors, ctx.needs_input_grad[2:])
            (output,) = fast(EVERY, *inner)
        ctx.inner, ctx.portable = (output, inner), portable
        ctx.save_for_backward(*tensors)
        return output.detach()

    @staticmethod
    def backward(ctx: Any, by_output: torch.Tensor) -> Any:
        needs = ctx.needs_input_grad[2:]
        if torch.is_grad_enabled():
            return None, None, *twice(ctx.portable, ctx.saved_tensors, needs, (by_output,))
        output, inner = ctx.inner
        return None, None, *grads((output,), inner, needs, (by_output,), retain_graph=True)


class Recomputed(Function):
    """A fast kernel without a gradient, differentiated through the portable one, block by block."""

    @staticmethod
    def forward(ctx: Any, fast: Kernel, portable: Kernel, *tensors: Any) -> Any:
        ctx.portable = portable
        ctx.save_for_backward(*tensors)
        return fast(EVERY, *tensors)

    @staticmethod
    def backward(ctx: Any, *by: torch.Tensor) -> Any:
        needs = ctx.needs_input_grad[2:]
        again = twice if torch.is_grad_enabled() else by_blocks
        return None, None, *again(ctx.portable, ctx.saved_tensors, needs, by)


def twice(
    portable: Kernel, tensors: Tensors, needs: Sequence[bool], by: Sequence[torch.Tensor]
) -> Tensors:
    """Derivatives that can be differentiated again: plain operations on all scores."""
    return grads(portable(EVERY, *tensors), tensors, needs, by, create_graph=True)


def by_blocks(
    portable: Kernel, tensors: Tensors, needs: Sequence[bool], by: Sequence[torch.Tensor]
) -> Tensors:
    """Derivatives from one block of queries at a time, so that no (L, S) array is held."""
    state, stored, projection, beta = tensors
    assert state is not None
    assert stored is not None
    rows = block_rows(state, stored)
    if rows >= state.shape[-2]:
        inner = leaves(tensors, needs)
        with torch.enable_grad():
            outputs = portable(EVERY, *inner)
        return grads(outputs, inner, needs, by)
    sums = [
        torch.zeros_like(x) if x is not None and need else None
        for x, need in zip(tensors, needs, strict=True)
    ]
    for start in range(0, state.shape[-2], rows):
        part = slice(start, start + rows)
        some = state[..., part, :], stored, projection, beta if beta is None else rows_of(beta, part)
        inner = leaves(some, needs)
        with torch.enable_grad():
            outputs = portable(part, *inner)
        by_part = (by[0][..., part], *(g[..., part, :] for g in by[1:]))
        found = grads(outputs, inner, needs, by_part)
        places = state_rows(sums[0], part), *sums[1:3], beta_rows(sums[3], part)
        for place, gradient in zip(places, found, strict=True):
            if place is not None and gradient is not None:
                place += gradient
    return sums


def state_rows(state: torch.Tensor | None, part: slice) -> torch.Tensor | None:
    """A view of the rows of some queries."""
    return None if state is None else state[..., part, :]


def beta_rows(beta: torch.Tensor | None, part: slice) -> torch.Tensor | None:
    """A view of the inverse temperatures of some queries."""
    return None if beta is None else rows_of(beta, part)


def leaves(tensors: Tensors, needs: Sequence[bool]) -> Tensors:
    """The tensors, detached, as the leaves of a graph of their own."""
    return [
        x if x is None else x.detach().requires_grad_(need)
        for x, need in zip(tensors, needs, strict=True)
    ]


def grads(
    outputs: Sequence[torch.Tensor],
    tensors: Tensors,
    needs: Sequence[bool],
    by: Sequence[torch.Tensor],
    **options: bool,
) -> Tensors:
    """``torch.autograd.grad`` by those tensors that need it; None for the others."""
    wanted = [x for x, need in zip(tensors, needs, strict=True) if x is not None and need]
    found = iter(torch.autograd.grad(outputs, wanted, by, allow_unused=True, **options))
    return [next(found) if x is not None and need else None for x, need in zip(tensors, needs, strict=True)]


class FixedPoint(Function):
    r"""A fixed point :math:`\xi = f(\xi; \theta)` with :math:`\partial\xi/\partial\theta = (I - J)^{-1} \partial f/\partial\theta`.

    J, the Jacobian of the update, is symmetric, and its norm is below one at a stable fixed point, so
    conjugate gradients solve for the adjoint. Memory does not grow with the steps that led here.
    """

    @staticmethod
    def forward(
        ctx: Any, update: Callable[..., torch.Tensor], backend: Backend, solution: torch.Tensor, *parameters: Any
    ) -> torch.Tensor:
        ctx.update, ctx.backend = update, backend
        ctx.save_for_backward(solution, *parameters)
        return solution.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_solution: torch.Tensor) -> Any:
        needs = ctx.needs_input_grad[3:]
        solution, *parameters = leaves(ctx.saved_tensors, [True, *needs])
        with torch.enable_grad():
            again = ctx.update(solution, *parameters)

        def without_jacobian(u: torch.Tensor) -> torch.Tensor:
            return u - torch.autograd.grad(again, solution, u, retain_graph=True)[0]

        adjoint = conjugate_gradients(
            without_jacobian,
            by_solution,
            ctx.backend,
            max_steps=min(200, 2 * solution.shape[-1] + 10),
            tol=torch.finfo(solution.dtype).eps,
        )
        return None, None, None, *grads((again,), parameters, needs, (adjoint,))
