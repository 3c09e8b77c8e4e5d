"""How the torch kernels are differentiated: autograd functions around fast forward passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.autograd import Function

from hopcore.arrays import (
    Backend,
    Beta,
    SeparationFunction,
    beta_of_rows,
    block_rows,
    mask_of_rows,
    scale_by_beta,
    with_orders,
)

Tensors = Sequence[Any]
"""Tensors, or None."""


class Association(NamedTuple):
    """What an association is besides the tensors it is differentiated by."""

    backend: Backend
    separation: SeparationFunction
    beta: Beta
    mask: torch.Tensor | None
    fast: Any = None
    """``fast(state, stored, projection, beta)``: output and conjugate, or one of them."""
    rows: int | None = None
    """How many queries a block of the derivative has; as many as fit if not given."""
    causal: bool = False
    """Whether query i attends to the patterns 0 to i alone, without a mask that says so."""


class Separate(Function):
    """Weights and conjugate of scores, with the separation's tangent as derivative.

    ``orders`` are those of an entmax, one for each row of scores, or None.
    """

    @staticmethod
    def forward(
        scores: torch.Tensor,
        orders: torch.Tensor | None,
        separation: SeparationFunction,
        backend: Any,
    ) -> Any:
        return backend.evaluate(scores, with_orders(separation, orders))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
        _, orders, ctx.separation, ctx.backend = inputs
        ctx.save_for_backward(output[0], orders)
        ctx.save_for_forward(output[0], orders)

    @staticmethod
    def backward(ctx: Any, by_weights: torch.Tensor, by_conjugate: torch.Tensor) -> Any:
        weights, orders = ctx.saved_tensors
        separation, xp = with_orders(ctx.separation, orders), ctx.backend.xp
        change = separation.tangent(weights, by_weights, xp)
        by_orders = None
        if orders is not None:
            by_orders = order_gradient(separation, weights, change, by_conjugate, xp)
        return change + weights * by_conjugate[..., None], by_orders, None, None


class SeparateTwoModes(Separate):
    """The same with forward mode and vmap, which torch.compile does not take."""

    @staticmethod
    def jvp(ctx: Any, change: torch.Tensor, orders_change: Any, *_: None) -> Any:
        weights, orders = ctx.saved_tensors
        separation, xp = with_orders(ctx.separation, orders), ctx.backend.xp
        by_conjugate = (weights * change).sum(-1)
        if orders_change is not None:
            push, rise = separation.order_change(weights, xp)
            change = change + push * orders_change[..., None]
            by_conjugate = by_conjugate + rise * orders_change
        return separation.tangent(weights, change, xp), by_conjugate

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *given: Any) -> Any:
        scores, orders = (
            x
            if x is None
            else (x.expand(info.batch_size, *x.shape) if axis is None else x.movedim(axis, 0))
            for x, axis in zip(given[:2], in_dims[:2], strict=True)
        )
        return SeparateTwoModes.apply(scores, orders, *given[2:]), (0, 0)


class Recomputed(Function):
    """A fast kernel without a gradient; its weights are computed again, block by block."""

    @staticmethod
    def forward(ctx: Any, association: Association, *tensors: Any) -> Any:
        ctx.association = association
        ctx.save_for_backward(*tensors)
        *patterns, beta, _ = tensors
        return association.fast(*patterns, association.beta if beta is None else beta)

    @staticmethod
    def backward(ctx: Any, *by: torch.Tensor) -> Any:
        by_output, by_conjugate = by if len(by) == 2 else (None, *by)
        tensors, needs = ctx.saved_tensors, ctx.needs_input_grad[1:]
        return None, *pull_back(ctx.association, tensors, needs, by_conjugate, by_output)


def pull_back(
    association: Association,
    tensors: Tensors,
    needs: Sequence[bool],
    by_conjugate: torch.Tensor | None,
    by_output: torch.Tensor | None,
) -> Tensors:
    """Derivatives by state, stored, projection, beta and orders, by those of the results.

    A block of queries at a time, so that no (L, S) array is held; all at once where the derivative
    itself is to be differentiated.
    """
    state, stored, _, beta, orders = tensors
    rows = association.rows or block_rows(state, stored, association.backend.block(state))
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
            (
                query_rows(state, part),
                *tensors[1:3],
                beta_rows(beta, part),
                beta_rows(orders, part),
            ),
            None if by_conjugate is None else by_conjugate[..., part],
            query_rows(by_output, part),
        )
        places = (
            query_rows(sums[0], part),
            *sums[1:3],
            beta_rows(sums[3], part),
            beta_rows(sums[4], part),
        )
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
    state, stored, projection, beta_, orders = tensors
    narrow, wide = state.dtype, backend.precise[state.dtype]
    separation = with_orders(separation, orders)
    state, stored = state.to(wide), stored.to(wide)
    beta = beta if beta_ is None else beta_.to(wide)
    scores = backend.scores(state, stored, beta, mask)
    weights = backend.separate(scores, separation)[0]
    del scores
    by_scores: Any = None
    by_projection = by_orders = None
    if by_output is not None and projection is not None:
        by_output = by_output.to(wide)
        change = by_output @ projection.to(wide).mT
        by_scores = separation.tangent(weights, change, backend.xp)
        by_projection = gathered(weights, by_output, projection).to(narrow)
    if orders is not None:
        by_orders = order_gradient(separation, weights, by_scores, by_conjugate, backend.xp)
        by_orders = by_orders.sum_to_size(orders.shape).to(orders.dtype)
    if by_conjugate is not None:
        more = weights * by_conjugate[..., None]
        by_scores = more if by_scores is None else by_scores + more
    by_query = backend.recalled(by_scores, stored)
    return (
        scale_by_beta(by_query, beta).sum_to_size(state.shape).to(narrow),
        gathered(by_scores, scale_by_beta(state, beta), stored).to(narrow),
        by_projection,
        None if beta_ is None else (by_query * state).sum(-1).sum_to_size(beta_.shape),
        by_orders,
    )


def order_gradient(
    separation: Any,
    weights: torch.Tensor,
    change: torch.Tensor | None,
    by_conjugate: torch.Tensor | None,
    xp: Any,
) -> torch.Tensor:
    """The derivative by the orders; ``change`` is the tangent of that by the weights."""
    push, rise = separation.order_change(weights, xp)
    total = torch.zeros_like(rise)
    if change is not None:
        total = total + (change * push).sum(-1)
    return total if by_conjugate is None else total + rise * by_conjugate


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
    """A view of the inverse temperatures, or of the orders, of some queries."""
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
