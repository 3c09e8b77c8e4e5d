"""Associations a block of queries at a time, where torch would keep all scores.

These are masks of numbers that are differentiated, graphs of the compiler, and the transforms of
``torch.func`` (:mod:`hopcore_torch.kernels._functional`).
"""

from __future__ import annotations

import math
from typing import Any

import torch

from hopcore.arrays import (
    BLOCK,
    Backend,
    Beta,
    SeparationFunction,
    beta_of_rows,
    mask_of_rows,
    orders_of,
    orders_of_rows,
    with_orders,
)
from hopcore.memory import Entmax
from hopcore_torch.kernels._autograd import Association
from hopcore_torch.kernels._compiled import associate_in_blocks
from hopcore_torch.kernels._functional import Conjugate
from hopcore_torch.kernels._modes import differentiated, eager


class TorchBlocks(Backend):
    """Kernels that hold the scores of a block of queries."""

    def in_blocks(self, state: torch.Tensor, stored: torch.Tensor) -> bool:
        """Whether there are more scores on the CPU than a graph of the compiler should hold."""
        batch = max(math.prod(state.shape[:-2]), math.prod(stored.shape[:-2]))
        scores = batch * state.shape[-2] * stored.shape[-2]
        return state.device.type == "cpu" and bool(scores > BLOCK)

    def in_graph(
        self,
        tensors: tuple[Any, ...],
        beta: Beta,
        mask: torch.Tensor | None,
        alpha: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Association and conjugate by an operator in a graph of the compiler.

        The tensors are states, patterns, projections or None, and the inverse temperature or None.
        """
        number = beta if isinstance(beta, float) else 1.0
        return associate_in_blocks(*tensors, number, mask, self.constant(alpha))

    def biased_in_blocks(
        self,
        state: torch.Tensor,
        stored: torch.Tensor,
        projection: torch.Tensor,
        beta: Beta,
        mask: torch.Tensor | None,
        bias: torch.Tensor,
        separation: SeparationFunction,
    ) -> torch.Tensor:
        """The plain way for a block of queries at a time, which a derivative computes again."""
        given, queries = (stored, projection), state.shape[-2]
        tensors = state, *given, beta, bias, orders_of(separation)
        derivative = differentiated(*tensors)
        batch = torch.broadcast_shapes(state.shape[:-2], stored.shape[:-2], bias.shape[:-2])
        # A derivative holds several arrays for each block.
        block = self.block(state) >> (4 if derivative else 0)
        rows = max(1, block // max(1, math.prod(batch) * stored.shape[-2]))
        if not eager() or rows >= queries:
            return super().associate_biased(state, *given, beta, mask, bias, separation)
        # With slices, each would have a derivative as large as the whole tensor.
        states = state.split(rows, -2)
        of_queries = bias.ndim > 1 and bias.shape[-2] == queries
        biases = bias.split(rows, -2) if of_queries else [bias] * len(states)
        plain = super().associate_biased
        parts = []
        for number, (some, added) in enumerate(zip(states, biases, strict=True)):
            part = slice(number * rows, (number + 1) * rows)
            options = beta_of_rows(beta, part), mask_of_rows(mask, part), added
            arguments = some, *given, *options, orders_of_rows(separation, part)
            if derivative:
                parts.append(self.recomputed(lambda given: plain(*given), arguments))
            else:
                parts.append(plain(*arguments))
        return torch.cat(parts, -2)

    def conjugate_under_transforms(
        self,
        state: torch.Tensor,
        stored: torch.Tensor,
        beta: Beta,
        mask: torch.Tensor | None,
        separation: SeparationFunction,
    ) -> torch.Tensor:
        """The conjugate with its own derivative, holding no tensor but those that are arguments."""
        plain = separation_without_orders(separation)

        def fast(state: Any, stored: Any, beta: Beta, mask: Any, orders: Any) -> torch.Tensor:
            return self.conjugate(state, stored, beta, mask, with_orders(plain, orders))

        number, tensor = (beta, None) if isinstance(beta, float) else (1.0, beta)
        association = Association(self, plain, number, None, fast)
        return Conjugate.apply(association, mask, state, stored, tensor, orders_of(separation))


SOME_ENTMAX = Entmax(2.0)
"""The entmax that gets its orders, tensors to be differentiated by, in each call."""


def separation_without_orders(separation: SeparationFunction) -> SeparationFunction:
    """A separation function that holds no tensor."""
    return separation if orders_of(separation) is None else SOME_ENTMAX
