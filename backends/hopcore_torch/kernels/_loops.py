"""The loops of the torch backend, and the derivative of a fixed point that a loop has found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._higher_order_ops import while_loop
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from hopcore.arrays import Backend, conjugate_gradients
from hopcore_torch.kernels._autograd import grads, leaves
from hopcore_torch.kernels._modes import differentiated, eager

Tensors = tuple[Any, ...]

SYNCHRONISE_EVERY = 8
"""Steps of a loop on a GPU between two looks at whether it is done."""


class TorchLoops(Backend):
    """Loops over tensors: in Python, or torch's own where they are compiled."""

    def loop(
        self,
        cond: Callable[[Any], torch.Tensor],
        body: Callable[[Any], Any],
        init: Any,
        max_steps: int,
        *,
        differentiable: bool = False,
    ) -> Any:
        """A Python loop; torch's own where it is compiled. Under a transform every step is made."""
        if torch.compiler.is_compiling() and not (
            differentiable and torch.is_grad_enabled() and any(x.requires_grad for x in init)
        ):
            return compiled_loop(cond, body, init, max_steps)
        every = 1 if init[0].device.type == "cpu" else SYNCHRONISE_EVERY
        value, look = init, eager()
        for step in range(max_steps):
            if look and step % every == 0 and not cond(value):
                break
            value = body(value)
        return value

    def implicit(
        self,
        update: Callable[..., torch.Tensor],
        solution: torch.Tensor,
        parameters: tuple[torch.Tensor, ...],
    ) -> torch.Tensor:
        """The solution with the derivative of a fixed point; see :class:`FixedPoint`."""
        if not eager():
            if torch.compiler.is_compiling() and not differentiated(solution, *parameters):
                return solution
            raise NotImplementedError(
                "a fixed point has no derivative under torch.compile and torch.func: bound the "
                "updates (max_steps, update_steps_max) and differentiate those that are made"
            )
        return FixedPoint.apply(update, self, solution, *parameters)


def compiled_loop(cond: Any, body: Any, init: Tensors, max_steps: int) -> Tensors:
    """``while_loop`` with a counter, for torch.compile and torch.export."""

    def go_on(count: torch.Tensor, *value: torch.Tensor) -> torch.Tensor:
        return (count < max_steps) & cond(value)

    def step(count: torch.Tensor, *value: torch.Tensor) -> Tensors:
        return count + 1, *map(copied, body(value))

    count = torch.zeros((), dtype=torch.int64)
    # Copies: the loop must not alias what it closes over.
    return while_loop(go_on, step, (count, *map(copied, init)))[1:]


def copied(value: torch.Tensor) -> torch.Tensor:
    """A copy, laid out as a loop needs it: the same before and after a step."""
    return value.clone(memory_format=torch.contiguous_format)


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
        found = grads(again, parameters, needs, adjoint)
        # Zero, not None, where the fixed point does not depend on a parameter.
        by_parameters = [
            torch.zeros_like(x) if need and gradient is None else gradient
            for x, need, gradient in zip(parameters, needs, found, strict=True)
        ]
        return None, None, None, *by_parameters
