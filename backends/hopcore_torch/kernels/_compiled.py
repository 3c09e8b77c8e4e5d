"""Large associations in graphs that torch.compile makes, as operators of their own.

A compiler would unroll the parts of a long memory (``attention_in_parts``), and it would hold the
scores of all queries at once where torch has no fused kernel. An operator hides them: the graph
calls it, and it takes the road of eager mode, for any numbers of queries and patterns. Exports have
to run without hopcore and get plain operations instead.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.library import custom_op

import hopcore
from hopcore.memory import Entmax, Softmax
from hopcore_torch.kernels._autograd import Association, pull_back

INPUTS = (
    "Tensor state, Tensor stored, Tensor? projection, Tensor? beta, float number, Tensor? mask, "
    "float alpha"
)
"""``number`` is the inverse temperature where ``beta`` is not given.

``alpha`` is that of an entmax, and 1 for the softmax. Without a projection there is no output.
"""

Tensor = torch.Tensor

SOFTMAX: Any = Softmax()


def alpha_of(separation: Any) -> float | None:
    """Return the number that stands for a separation function in a graph, or None."""
    if separation.softmax:
        return 1.0
    alpha = separation.alpha if isinstance(separation, Entmax) else None
    return alpha if isinstance(alpha, float) else None


def separation_of(alpha: float) -> Any:
    """Return the separation function with this number."""
    return SOFTMAX if alpha == 1.0 else Entmax(alpha)


@custom_op(
    "hopcore::associate_in_blocks",
    mutates_args=(),
    schema=f"({INPUTS}) -> (Tensor output, Tensor conjugate)",
)
def associate_in_blocks(
    state: Tensor,
    stored: Tensor,
    projection: Tensor | None,
    beta: Tensor | None,
    number: float,
    mask: Tensor | None,
    alpha: float,
) -> tuple[Tensor, Tensor]:
    """The association and the conjugate of the scores, as eager mode has them."""
    backend, separation = hopcore.backend("torch"), separation_of(alpha)
    chosen = number if beta is None else beta
    with torch.no_grad():
        if projection is None:
            conjugate = backend.conjugate(state, stored, chosen, mask, separation)
            return state.new_empty(0), conjugate.contiguous()
        output, conjugate = backend.associate(
            state, stored, projection, chosen, mask, separation, True
        )
    assert conjugate is not None  # it was asked for
    return output.contiguous(), conjugate.contiguous()


@associate_in_blocks.register_fake
def _(
    state: Tensor, stored: Tensor, projection: Any, beta: Any, number: float, mask: Any,
    alpha: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    wide = hopcore.backend("torch").precise[state.dtype]
    lead = [x.shape[:-2] for x in (state, stored, projection, mask) if x is not None]
    lead += [] if beta is None else [beta.shape[:-1]]
    axes = (*torch.broadcast_shapes(*lead), state.shape[-2])
    output = 0 if projection is None else (*axes, projection.shape[-1])
    return state.new_empty(output), state.new_empty(axes, dtype=wide)


@custom_op(
    "hopcore::associate_in_blocks_backward",
    mutates_args=(),
    schema=f"({INPUTS}, Tensor by_output, Tensor by_conjugate, bool[] needs) "
    "-> (Tensor, Tensor, Tensor, Tensor)",
)
def associate_in_blocks_backward(
    state: Tensor,
    stored: Tensor,
    projection: Tensor | None,
    beta: Tensor | None,
    number: float,
    mask: Tensor | None,
    alpha: float,
    by_output: Tensor,
    by_conjugate: Tensor,
    needs: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Derivatives by state, stored, projection and beta; an empty tensor where none is needed."""
    chosen = number if beta is None else beta
    association = Association(hopcore.backend("torch"), separation_of(alpha), chosen, mask)
    tensors = state, stored, projection, beta, None  # no orders
    by = None if projection is None else by_output
    with torch.no_grad():
        *found, _ = pull_back(association, tensors, [*needs, False], by_conjugate, by)
    first, second, third, fourth = (
        state.new_empty(0) if gradient is None else gradient.contiguous() for gradient in found
    )
    return first, second, third, fourth


@associate_in_blocks_backward.register_fake
def _(
    state: Tensor, stored: Tensor, projection: Any, beta: Any, number: float, mask: Any,
    alpha: float, by_output: Tensor, by_conjugate: Tensor, needs: list[bool],
) -> tuple[Tensor, ...]:  # fmt: skip
    tensors = zip((state, stored, projection, beta), needs, strict=True)
    return tuple(
        state.new_empty(0) if x is None or not need else x.new_empty(x.shape) for x, need in tensors
    )


def remember(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """Keep what the derivative is computed from."""
    *tensors, ctx.number, mask, ctx.alpha = inputs
    ctx.save_for_backward(*tensors, mask)


def differentiate(ctx: Any, by_output: Tensor, by_conjugate: Tensor) -> Any:
    """The derivatives by the inputs of :func:`associate_in_blocks`."""
    *tensors, mask = ctx.saved_tensors
    needs = list(ctx.needs_input_grad[:4])
    found = associate_in_blocks_backward(
        *tensors, ctx.number, mask, ctx.alpha, by_output, by_conjugate, needs
    )
    return *(g if need else None for g, need in zip(found, needs, strict=True)), None, None, None


associate_in_blocks.register_autograd(differentiate, setup_context=remember)
