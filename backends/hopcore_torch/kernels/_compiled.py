"""Associations with long memories in graphs that torch.compile makes, as operators of their own.

A compiler would unroll the parts of a long memory (``attention_in_parts``). An operator hides
them: the graph calls it, and it takes the road of eager mode, for any number of patterns. Exports
have to run without hopcore and get plain operations instead.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.library import custom_op

import hopcore
from hopcore.memory import Softmax
from hopcore_torch.kernels._autograd import Association, pull_back

INPUTS = "Tensor state, Tensor stored, Tensor projection, Tensor? beta, float number, Tensor? mask"
"""``number`` is the inverse temperature where ``beta`` is not given."""

Tensor = torch.Tensor

SOFTMAX: Any = Softmax()


@custom_op(
    "hopcore::associate_long", mutates_args=(), schema=f"({INPUTS}) -> (Tensor output, Tensor lse)"
)
def associate_long(
    state: Tensor,
    stored: Tensor,
    projection: Tensor,
    beta: Tensor | None,
    number: float,
    mask: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The association by the softmax, and the log-sum-exp of the scores, as eager mode has them."""
    with torch.no_grad():
        chosen = number if beta is None else beta
        output, lse = hopcore.backend("torch").associate(
            state, stored, projection, chosen, mask, SOFTMAX, True
        )
    assert lse is not None  # it was asked for
    return output.contiguous(), lse.contiguous()


@associate_long.register_fake
def _(
    state: Tensor, stored: Tensor, projection: Tensor, beta: Any, number: float, mask: Any
) -> tuple[Tensor, Tensor]:
    wide = hopcore.backend("torch").precise[state.dtype]
    lead = [state.shape[:-2], stored.shape[:-2], projection.shape[:-2]]
    lead += [] if mask is None else [mask.shape[:-2]]
    lead += [] if beta is None else [beta.shape[:-1]]
    axes = (*torch.broadcast_shapes(*lead), state.shape[-2])
    return state.new_empty((*axes, projection.shape[-1])), state.new_empty(axes, dtype=wide)


@custom_op(
    "hopcore::associate_long_backward",
    mutates_args=(),
    schema=f"({INPUTS}, Tensor by_output, Tensor by_lse, bool[] needs) "
    "-> (Tensor, Tensor, Tensor, Tensor)",
)
def associate_long_backward(
    state: Tensor,
    stored: Tensor,
    projection: Tensor,
    beta: Tensor | None,
    number: float,
    mask: Tensor | None,
    by_output: Tensor,
    by_lse: Tensor,
    needs: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Derivatives by state, stored, projection and beta; an empty tensor where none is needed."""
    chosen = number if beta is None else beta
    association = Association(hopcore.backend("torch"), SOFTMAX, chosen, mask)
    tensors = state, stored, projection, beta, None  # the softmax has no orders
    with torch.no_grad():
        *found, _ = pull_back(association, tensors, [*needs, False], by_lse, by_output)
    first, second, third, fourth = (
        state.new_empty(0) if gradient is None else gradient.contiguous() for gradient in found
    )
    return first, second, third, fourth


@associate_long_backward.register_fake
def _(
    state: Tensor, stored: Tensor, projection: Tensor, beta: Any, number: float, mask: Any,
    by_output: Tensor, by_lse: Tensor, needs: list[bool],
) -> tuple[Tensor, ...]:  # fmt: skip
    tensors = zip((state, stored, projection, beta), needs, strict=True)
    return tuple(x.new_empty(x.shape if need else 0) for x, need in tensors if x is not None) + (
        (state.new_empty(0),) if beta is None else ()
    )


def remember(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """Keep what the derivative is computed from."""
    *tensors, ctx.number, mask = inputs
    ctx.save_for_backward(*tensors, mask)


def differentiate(ctx: Any, by_output: Tensor, by_lse: Tensor) -> Any:
    """The derivatives by the inputs of :func:`associate_long`."""
    *tensors, mask = ctx.saved_tensors
    needs = list(ctx.needs_input_grad[:4])
    found = associate_long_backward(*tensors, ctx.number, mask, by_output, by_lse, needs)
    return *(g if need else None for g, need in zip(found, needs, strict=True)), None, None


associate_long.register_autograd(differentiate, setup_context=remember)
