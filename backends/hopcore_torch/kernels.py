"""Kernels of the torch backend: what is fast where, and how it is differentiated.

Values take a fast road (:mod:`hopcore_torch.tiles`); derivatives that torch's fused kernels lack are
those of the portable kernels, a block of queries at a time, so that training needs O(L + S) memory
too and second derivatives exist. Traces (compile, export, vmap and the other function transforms)
get plain operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import array_api_compat.torch as xp
import numpy as np
import torch
from torch.autograd import forward_ad

from torch._higher_order_ops import while_loop

from hopcore.backend import Backend, Beta, SeparationFunction, rows_of_mask
from hopcore_torch import tiles
from hopcore_torch.gradients import FixedPoint, Nested, Recomputed, Separate, SeparateTwoModes

Tensors = tuple[torch.Tensor, ...]

PLAIN_TYPES = (torch.Tensor, torch.nn.Parameter)
SYNCHRONISE_EVERY = 8
"""Steps of a loop on a GPU between two looks at whether it is done."""


def eager() -> bool:
    """Whether operations run as they are called: no compiler, no function transform, no forward mode."""
    return (
        not torch.compiler.is_compiling()
        and torch._C._functorch.peek_interpreter_stack() is None
        and forward_ad._current_level < 0
    )


class TorchBackend(Backend):
    """torch tensors, on the CPU and on GPUs."""

    def __init__(self) -> None:
        super().__init__("torch", xp)
        for half in (torch.float16, torch.bfloat16):
            self.precise[half] = torch.float32

    def visible(self, array: torch.Tensor) -> bool:
        """On the CPU, in eager mode; a GPU would have to be waited for."""
        return type(array) in PLAIN_TYPES and array.device.type == "cpu" and eager()

    def finite(self, array: torch.Tensor) -> bool:
        """A sum first: it is not finite if any value is not (or if it overflows)."""
        with torch.no_grad():
            return math.isfinite(array.sum().item()) or bool(torch.isfinite(array).all())

    def device(self, array: torch.Tensor) -> torch.device:
        """The tensor's own device."""
        return array.device

    def asarray(self, values: Any, *, dtype: str | None = None, device: Any = None) -> torch.Tensor:
        """A tensor that shares no memory with ``values``."""
        try:
            where = None if device is None else torch.device(device)
            return torch.tensor(
                np.asarray(values), dtype=dtype and getattr(torch, dtype), device=where
            )
        except (RuntimeError, AssertionError) as refused:
            reason = str(refused).splitlines()[0]
            raise ValueError(f"torch has no device {device!r} here: {reason}") from None

    def to_numpy(self, array: torch.Tensor) -> np.ndarray:
        """The values on the host; bfloat16, which NumPy lacks, as float32."""
        array = array.detach().cpu()
        return (array.float() if array.dtype == torch.bfloat16 else array).numpy()

    def constant(self, array: Any) -> Any:
        """The tensor, detached."""
        return array if isinstance(array, float) else array.detach()

    # Kernels.

    def separate(
        self, scores: torch.Tensor, separation: SeparationFunction
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights and conjugate, differentiated by the separation's tangent, not through its solver."""
        if math.isinf(separation.reach):
            return super().separate(scores, separation)
        kind = Separate if torch.compiler.is_compiling() else SeparateTwoModes
        return kind.apply(scores, separation, self)

    def associate(
        self,
        state: torch.Tensor,
        stored: torch.Tensor,
        projection: torch.Tensor,
        beta: Beta,
        mask: torch.Tensor | None,
        separation: SeparationFunction,
        need_conjugate: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Softmax by the fused attention kernel; the others from their sparse supports."""
        softmax, wide = math.isinf(separation.reach), self.precise[state.dtype]
        if state.dtype != wide and not (softmax and isinstance(beta, float)):
            # Half precision keeps beta exact only as the scale of the fused kernel.
            beta = beta if isinstance(beta, float) else beta.to(wide)
            parts = (x.to(wide) for x in (state, stored, projection))
            output, conjugate = self.associate(*parts, beta, mask, separation, need_conjugate)
            return output.to(state.dtype), conjugate
        fused = softmax and not need_conjugate
        if not eager() and not (fused and torch.compiler.is_compiling()):
            return super().associate(state, stored, projection, beta, mask, separation, need_conjugate)
        if fused and not (eager() and differentiated(state, stored, projection, beta)):
            return tiles.attention(tiles.heads(state, stored, projection, beta, mask)), None

        def portable(part: slice, state: Any, stored: Any, projection: Any, beta_: Any) -> Tensors:
            number = beta if beta_ is None else beta_
            output, conjugate = Backend.associate(
                self, state, stored, projection, number, rows_of_mask(mask, part), separation, True
            )
            return (output,) if fused else (conjugate, output)

        def fast(part: slice, state: Any, stored: Any, projection: Any, beta_: Any) -> Tensors:
            heads = tiles.heads(state, stored, projection, beta if beta_ is None else beta_, mask)
            if fused:
                return (tiles.attention(heads),)
            if state.device.type != "cpu":
                return portable(part, state, stored, projection, beta_)
            return tiles.attention_with_lse(heads) if softmax else tiles.sparse(heads, separation, self)

        tensors = state, stored, projection, None if isinstance(beta, float) else beta
        if fused:
            return Nested.apply(fast, portable, *tensors), None
        conjugate, output = Recomputed.apply(fast, portable, *tensors)
        return output, conjugate if need_conjugate else None

    def conjugate(
        self,
        state: torch.Tensor,
        stored: torch.Tensor,
        beta: Beta,
        mask: torch.Tensor | None,
        separation: SeparationFunction,
    ) -> torch.Tensor:
        """Log-sum-exp tile by tile; the conjugates of the others from their supports."""
        if not eager():
            return super().conjugate(state, stored, beta, mask, separation)

        def portable(part: slice, state: Any, stored: Any, _: None, beta_: Any) -> Tensors:
            number, some = beta if beta_ is None else beta_, rows_of_mask(mask, part)
            return (Backend.conjugate(self, state, stored, number, some, separation),)

        def fast(part: slice, state: Any, stored: Any, _: None, beta_: Any) -> Tensors:
            if state.device.type != "cpu":
                return portable(part, state, stored, None, beta_)
            heads = tiles.heads(state, stored, stored, beta if beta_ is None else beta_, mask)
            if math.isinf(separation.reach):
                return (tiles.log_sum_exp(heads),)
            return tiles.sparse(heads, separation, self)[:1]

        tensors = state, stored, None, None if isinstance(beta, float) else beta
        return Recomputed.apply(fast, portable, *tensors)[0]

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
        return FixedPoint.apply(update, self, solution, *parameters)

    def over_blocks(self, block: Any, state: Any, stored: Any, beta: Beta, mask: Any) -> Any:
        """All at once in a compiled graph, whose shapes may be unknown."""
        if torch.compiler.is_compiling():
            return block(self.scores(state, stored, beta, mask))
        return super().over_blocks(block, state, stored, beta, mask)


def differentiated(*values: Any) -> bool:
    """Whether a gradient by any of the values may be asked for."""
    return torch.is_grad_enabled() and any(getattr(x, "requires_grad", False) for x in values)


def compiled_loop(cond: Any, body: Any, init: Tensors, max_steps: int) -> Tensors:
    """``while_loop`` with a counter, for torch.compile and torch.export."""

    def go_on(count: torch.Tensor, *value: torch.Tensor) -> torch.Tensor:
        return (count < max_steps) & cond(value)

    def step(count: torch.Tensor, *value: torch.Tensor) -> Tensors:
        return count + 1, *(x.clone() for x in body(value))

    count = torch.zeros((), dtype=torch.int64)
    return while_loop(go_on, step, (count, *init))[1:]
