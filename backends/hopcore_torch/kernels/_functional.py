"""Conjugates under ``torch.func.grad``, whose derivative is computed a block of queries at a time.

A transform records every operation, and with plain operations it would keep all scores. Here it
sees two functions: the conjugate, and its derivative. Only a second derivative has plain
operations.
"""

from __future__ import annotations

from typing import Any

import torch
from torch._C._functorch import (  # pyright: ignore[reportMissingImports]
    TransformType,
    get_interpreter_stack,
)
from torch.autograd import Function, forward_ad

from hopcore_torch.kernels._autograd import Association, pull_back, pull_back_block
from hopcore_torch.kernels._modes import eager


def only_gradients() -> bool:
    """Whether nothing but ``torch.func.grad`` and ``vjp`` transforms the operations of a call."""
    if torch.compiler.is_compiling() or forward_ad._current_level >= 0:
        return False
    if torch._C._get_tracing_state() is not None:  # pyright: ignore[reportAttributeAccessIssue]
        return False
    return all(level.key() == TransformType.Grad for level in get_interpreter_stack() or ())


class Conjugate(Function):
    """The conjugate of the scores; the mask is an argument, as a transform may have wrapped it."""

    generate_vmap_rule = True

    @staticmethod
    def forward(association: Association, mask: Any, *tensors: Any) -> torch.Tensor:
        state, stored, beta, orders = tensors
        chosen = association.beta if beta is None else beta
        return association.fast(state, stored, chosen, mask, orders)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        ctx.association = inputs[0]
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, by_conjugate: torch.Tensor) -> Any:
        needs = tuple(ctx.needs_input_grad[2:])
        found = iter(PullBack.apply(ctx.association, needs, by_conjugate, *ctx.saved_tensors))
        return None, None, *(next(found) if need else None for need in needs)


class PullBack(Function):
    """The derivatives that are needed, of those by state, patterns, beta and orders."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        association: Association, needs: tuple[bool, ...], by: Any, mask: Any, *tensors: Any
    ) -> tuple[torch.Tensor, ...]:
        state, stored, beta, orders = tensors
        masked = association._replace(mask=mask)
        wanted = (*needs[:2], False, *needs[2:])
        tensors = state, stored, None, beta, orders
        with torch.no_grad():
            if eager():
                found = pull_back(masked, tensors, wanted, by, None)
            else:  # vmap adds nothing in place
                found = pull_back_block(masked, tensors, by, None)
        return tuple(x for x, need in zip(found, wanted, strict=True) if need)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.association, ctx.needs = inputs[:2]
        ctx.save_for_backward(*inputs[2:])

    @staticmethod
    def backward(ctx: Any, *by_derivatives: torch.Tensor) -> Any:
        by, mask, *tensors = ctx.saved_tensors
        association = ctx.association._replace(mask=mask)
        wanted = (*ctx.needs[:2], False, *ctx.needs[2:])
        present = [i for i, x in enumerate(tensors) if x is not None]

        def formula(by: torch.Tensor, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
            all_of: list[Any] = [None] * 4
            for i, x in zip(present, given, strict=True):
                all_of[i] = x
            state, stored, beta, orders = all_of
            found = pull_back_block(association, (state, stored, None, beta, orders), by, None)
            return tuple(x for x, need in zip(found, wanted, strict=True) if need)

        _, pull = torch.func.vjp(formula, by, *(tensors[i] for i in present))
        by_by, *given = pull(by_derivatives)
        by_tensors: list[Any] = [None] * 4
        for i, x in zip(present, given, strict=True):
            by_tensors[i] = x
        return None, None, by_by, None, *by_tensors
