"""How the torch kernels are differentiated: autograd functions around fast forward passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from hopcore.arrays import (
    Backend,
    Beta,
    SeparationFunction,
    beta_of_rows,
    block_rows,
    conjugate_gradients,
    mask_of_rows,
    scale_by_beta,
)

Tensors = Sequence[Any]
"""Tensors, or None."""


class Association(NamedTuple):
    """What an association is besides the tensors it is differentiated by."""

    backend: Backend
    separation: SeparationFunction
    beta: Beta
    mask: torch.Tensor | None
    fast: Callable[..., Any]
    """``fast(state, stored, projection, beta)``: output and conjugate, or one of them."""
    rows: int | None = None
    """How many queries a block of the derivative has; as many as fit if not given."""

    def forward(self, state: Any, stored: Any, projection: Any, beta: Any) -> Any:
        """The fast kernel; ``beta`` is None where it is a number."""
        return self.fast(state, stored, projection, self.beta if beta is None else beta)


class Separate(Function):
    """Weights and conjugate of scores, with the separation's tangent as derivative."""

    @staticmethod
    def forward(scores: torch.Tensor, separation: SeparationFunction, backend: Any) -> Any:
        return backend.evaluate(scores, separation)

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


class Recomputed(Function):
    """A fast kernel without a gradient; its weights are computed again, block by block."""

    @staticmethod
    def forward(ctx: Any, association: Association, *tensors: Any) -> Any:
        ctx.association = association
        ctx.save_for_backward(*tensors)
        return association.forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *by: torch.Tensor) -> Any:
        by_output, by_conjugate = by if len(by) == 2 else (None, *by)
        tensors, needs = ctx.saved_tensors, ctx.needs_input_grad[1:]
        return None, *pull_back(ctx.association, tensors, needs, by_conjugate, by_output)


class Nested(Function):
    """A kernel that torch differentiates only once, made differentiable again."""

    @staticmethod
    def forward(ctx: Any, association: Association, *tensors: Any) -> torch.Tensor:
        with torch.enable_grad():
            inner = leaves(tensors, ctx.needs_input_grad[1:])
            output = association.forward(*inner)
        ctx.association, ctx.inner = association, (output, inner)
        ctx.save_for_backward(*tensors)
        return output.detach()

    @staticmethod
    def backward(ctx: Any, by_output: torch.Tensor) -> Any:
        needs = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():
            tensors = ctx.saved_tensors
            return None, *pull_back(ctx.association, tensors, needs, None, by_output)
        output, inner = ctx.inner
        return None, *grads(output, inner, needs, by_output, retain_graph=True)


def pull_back(
    association: Association,
    tensors: Tensors,
    needs: Sequence[bool],
    by_conjugate: torch.Tensor | None,
    by_output: torch.Tensor | None,
) -> Tensors:
    """Derivatives by state, stored, projection and beta, given those by conjugate and output.

    A block of queries at a time, so that no (L, S) array is held; all at once where the derivative
    itself is to be differentiated.
    """
    state, stored, _, beta = tensors
    rows = association.rows or block_rows(state, stored)
    if torch.is_grad_enabled() or rows >= state.shape[-2]:
        found = pull_back_block(association, tensors, by_conjugate, by_output)
        return [g if need else None for g, need in zip(found, needs, strict=True)]
    sums = [
        torch.zeros_like(x) if x is not None and need else None
        for x, need in zip(tensors, needs, strict=True)
    ]
    for start in range(0, state.shape[-2], rows):
        part = slice(start, start + rows)
        some = association._replace(mask=mask_of_rows(association.mask, part))
        found = pull_back_block(
            some,
            (query_rows(state, part), *tensors[1:3], beta_rows(beta, part)),
            None if by_conjugate is None else by_conjugate[..., part],
            query_rows(by_output, part),
        )
        places = query_rows(sums[0], part), *sums[1:3], beta_rows(sums[3], part)
        for place, gradient in zip(places, found, strict=True):
            if place is not None and gradient is not None:
                place.add_(gradient)
    return sums


def pull_back_block(
    association: Association,
    tensors: Tensors,
    by_conjugate: torch.Tensor | None,
    by_output: torch.Tensor | None,
) -> Tensors:
    r"""The chain rule for all scores at once.

    :math:`dz = J_w V g + w g^*`, g by the output and g* by the conjugate; :math:`z = \beta X \xi`.
    """
    backend, separation, beta, mask, *_ = association
    state, stored, projection, beta_ = tensors
    narrow, wide = state.dtype, backend.precise[state.dtype]
    state, stored = state.to(wide), stored.to(wide)
    beta = beta if beta_ is None else beta_.to(wide)
    scores = backend.scores(state, stored, beta, mask)
    weights = backend.separate(scores, separation)[0]
    del scores
    by_scores: Any = None
    by_projection = None
    if by_output is not None and projection is not None:
        by_output = by_output.to(wide)
        change = by_output @ projection.to(wide).mT
        by_scores = separation.tangent(weights, change, backend.xp)
        by_projection = gathered(weights, by_output, projection).to(narrow)
    if by_conjugate is not None:
        more = weights * by_conjugate[..., None]
        by_scores = more if by_scores is None else by_scores + more
    by_query = by_scores @ stored
    return (
        scale_by_beta(by_query, beta).sum_to_size(state.shape).to(narrow),
        gathered(by_scores, scale_by_beta(state, beta), stored).to(narrow),
        by_projection,
        None if beta_ is None else (by_query * state).sum(-1).sum_to_size(beta_.shape),
    )


def gathered(weights: torch.Tensor, rows: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Rows of queries, weighted and summed for each stored pattern, in the shape of the memory."""
    if like.ndim > 2:
        return (weights.mT @ rows).sum_to_size(like.shape)
    # One memory for all leading axes: they are more queries.
    rows = rows.expand(*weights.shape[:-1], rows.shape[-1])
    return weights.flatten(0, -2).mT @ rows.flatten(0, -2)


def query_rows(array: torch.Tensor | None, part: slice) -> torch.Tensor | None:
    """A view of the rows ``(..., L, d)`` of some queries."""
    return None if array is None else array[..., part, :]


def beta_rows(beta: torch.Tensor | None, part: slice) -> torch.Tensor | None:
    """A view of the inverse temperatures of some queries."""
    return None if beta is None else beta_of_rows(beta, part)


def leaves(tensors: Tensors, needs: Sequence[bool]) -> Tensors:
    """The tensors, detached, as the leaves of a graph of their own."""
    return [
        x if x is None else x.detach().requires_grad_(need)
        for x, need in zip(tensors, needs, strict=True)
    ]


def grads(
    output: torch.Tensor, tensors: Tensors, needs: Sequence[bool], by: torch.Tensor, **options: bool
) -> Tensors:
    """``torch.autograd.grad`` by those tensors that need it; None for the others."""
    wanted = [x for x, need in zip(tensors, needs, strict=True) if x is not None and need]
    found = iter(torch.autograd.grad(output, wanted, by, allow_unused=True, **options))
    return [
        next(found) if x is not None and need else None
        for x, need in zip(tensors, needs, strict=True)
    ]


class FixedPoint(Function):
    r"""A fixed point :math:`\xi = f(\xi; \theta)`, with its derivative by the parameters.

    By the implicit function theorem, :math:`d\xi/d\theta = (I - J)^{-1} \partial f/\partial\theta`.
    J, the Jacobian of the update, is symmetric, and below one at a stable fixed point, so conjugate
    gradients solve for the adjoint. Memory does not grow with the steps that led here.
    """

    @staticmethod
    def forward(
        ctx: Any,
        update: Callable[..., torch.Tensor],
        backend: Backend,
        solution: torch.Tensor,
        *parameters: Any,
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
        return None, None, None, *grads(again, parameters, needs, adjoint)
