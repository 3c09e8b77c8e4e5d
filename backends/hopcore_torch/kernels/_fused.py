"""Torch's fused attention kernels: an association in the shape they take, and back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch.autograd import Function

from hopcore.arrays import BLOCK, LONG, Backend, Beta, mask_of_columns, scale_by_beta
from hopcore.memory import Softmax
from hopcore_torch.kernels._autograd import Association, grads, pull_back

FUSED_WITH_LSE = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
"""Attention, and the log-sum-exp of its scores, on the CPU."""

FUSED_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward.default
"""The derivatives of :data:`FUSED_WITH_LSE` by queries, keys and values."""

SOFTMAX: Any = Softmax()


class Heads(NamedTuple):
    """One association in the shape of the fused kernel: ``(batch, heads, L or S, d)``."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    mask: torch.Tensor | None
    scale: float
    axes: tuple[int, ...]
    """The caller's leading axes and L."""
    width: int
    """The caller's v; the values may be padded."""

    def restore(self, output: torch.Tensor) -> torch.Tensor:
        """An output ``(batch, heads, L, v)`` in the caller's axes."""
        width = output.shape[-1]
        output = output.reshape(*self.axes, width)
        return output if width == self.width else output[..., : self.width]


def heads(
    state: torch.Tensor,
    stored: torch.Tensor,
    projection: torch.Tensor,
    beta: Beta,
    mask: torch.Tensor | None,
    causal: bool = False,
) -> Heads:
    """An association as the fused kernels take it: four axes, one depth, beta as their scale."""
    width, depth = projection.shape[-1], stored.shape[-1]
    scale = beta if isinstance(beta, float) else 1.0
    if not isinstance(beta, float):
        state = scale_by_beta(state, beta)
    if width != depth:
        state, stored, projection = in_one_depth(state, stored, projection)
    if mask is not None and mask.ndim == 1:
        mask = mask[None, :]
    tensors = [state, stored, projection] if mask is None else [state, stored, projection, mask]
    shared = stored.ndim == 2 and projection.ndim == 2 and (mask is None or mask.shape[:-1] == (1,))
    shared = shared and not (causal and state.ndim > 2)
    lead, batch = state.shape[:-2], (1, 1)
    axes = state.shape[:-1]
    if shared:
        # One memory for all leading axes: they are more queries.
        tensors[0] = state.reshape(-1, state.shape[-1])
    else:
        for x in tensors:
            # Ranks first: a batch is not compared with a number of heads, which would fix it.
            if x.ndim != len(lead) + 2 or x.shape[:-2] != lead:
                lead = torch.broadcast_shapes(lead, x.shape[:-2])
        axes = (*lead, state.shape[-2])
        batch = (1, 1, *lead)[-2:] if len(lead) < 3 else (1, math.prod(lead))
    for place, x in enumerate(tensors):
        shape = *batch, *x.shape[-2:]
        if place == 2 and projection is stored:
            tensors[2] = tensors[1]
        elif place == 3 and all(size == 1 for size in x.shape[:-2]):
            tensors[place] = x.reshape(1, 1, *x.shape[-2:])  # the kernels broadcast it
        elif x.ndim != 4 or x.shape != shape:
            tensors[place] = (x if shared else x.expand(*lead, *x.shape[-2:])).reshape(shape)
    query, key, value, *masks = tensors
    return Heads(query, key, value, masks[0] if masks else None, scale, tuple(axes), width)


def plain_heads(state: torch.Tensor, stored: torch.Tensor, beta: float) -> Heads:
    """:func:`heads` of ``(L, d)`` and ``(S, d)``, in few steps: small calls consist of steps."""
    key = stored.view(1, 1, *stored.shape)
    axes, width = tuple(state.shape[:-1]), state.shape[-1]
    return Heads(state.view(1, 1, *state.shape), key, key, None, beta, axes, width)


def in_one_depth(*tensors: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the tensors with zeros as further features, so that all are as wide as the widest.

    The fused kernels want one depth; zeros change neither scores nor sums.
    """
    wide = max(x.shape[-1] for x in tensors)
    for x in tensors:
        yield x if x.shape[-1] == wide else F.pad(x, (0, wide - x.shape[-1]))


def has_lse(h: Heads) -> bool:
    """Whether :func:`attention_with_lse` applies: on the CPU; torch's kernel needs queries."""
    return h.query.device.type == "cpu" and h.query.numel() > 0


def attention(
    state: torch.Tensor,
    stored: torch.Tensor,
    projection: torch.Tensor,
    beta: Beta,
    mask: torch.Tensor | None,
    causal: bool = False,
) -> torch.Tensor:
    """The association by torch's fused kernel, with its own gradient."""
    plain = projection is stored and mask is None and state.ndim == stored.ndim == 2
    if plain and isinstance(beta, float):
        h = plain_heads(state, stored, beta)
    else:
        h = heads(state, stored, projection, beta, mask, causal)
    return h.restore(
        F.scaled_dot_product_attention(
            h.query, h.key, h.value, attn_mask=h.mask, is_causal=causal, scale=h.scale
        )
    )


class Attention(Function):
    """:func:`attention`, which torch differentiates only once, made differentiable again."""

    @staticmethod
    def forward(ctx: Any, association: Association, *tensors: Any) -> torch.Tensor:
        """The output of a graph of its own, whose leaves are the tensors."""
        inner: list[Any] = [
            x if x is None else x.detach().requires_grad_(need)
            for x, need in zip(tensors, ctx.needs_input_grad[1:], strict=True)
        ]
        state, stored, projection, beta, _ = inner
        with torch.enable_grad():
            beta = association.beta if beta is None else beta
            options = association.mask, association.causal
            output = attention(state, stored, projection, beta, *options)
        ctx.association, ctx.inner = association, (output, inner)
        ctx.save_for_backward(*tensors)
        return output.detach()

    @staticmethod
    def backward(ctx: Any, by_output: torch.Tensor) -> Any:
        """By the kernel's own gradient; where that is to be differentiated, by the formula."""
        needs = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():
            tensors, association = ctx.saved_tensors, ctx.association
            if association.causal:
                mask = association.backend.causal_mask(tensors[0], tensors[1].shape[-2])
                association = association._replace(mask=mask)
            return None, *pull_back(association, tensors, needs, None, by_output)
        output, inner = ctx.inner
        return None, *grads(output, inner, needs, by_output, retain_graph=True)


class PlainAttention(Function):
    """Softmax attention ``(B, H, L, d)`` on the CPU, with the kernel's own first derivative."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
        backend: Backend,
    ) -> torch.Tensor:
        output, lse = FUSED_WITH_LSE(query, key, value, scale=scale)
        ctx.save_for_backward(query, key, value, output, lse)
        ctx.scale, ctx.backend = scale, backend
        return output

    @staticmethod
    def backward(ctx: Any, by_output: torch.Tensor) -> Any:
        """By the kernel's own gradient; where that is to be differentiated, by the formula."""
        *tensors, output, lse = ctx.saved_tensors
        if torch.is_grad_enabled():
            association = Association(ctx.backend, SOFTMAX, ctx.scale, None)
            needs = (*ctx.needs_input_grad[:3], False, False)
            found = pull_back(association, (*tensors, None, None), needs, None, by_output)
            return *found[:3], None, None
        options = {"dropout_p": 0.0, "is_causal": False, "scale": ctx.scale}
        found = FUSED_BACKWARD(adjacent(by_output), *tensors, output, lse, **options)
        return *found, None, None


def attention_with_lse(h: Heads) -> tuple[torch.Tensor, torch.Tensor]:
    """The association and the log-sum-exp of its scores, in one pass."""
    bias = None
    if h.mask is not None:
        bias = torch.zeros(h.mask.shape, dtype=h.query.dtype, device=h.query.device)
        bias.masked_fill_(~h.mask, -math.inf)
    output, lse = FUSED_WITH_LSE(
        *map(adjacent, (h.query, h.key, h.value)), attn_mask=bias, scale=h.scale
    )
    if h.mask is not None:
        # The kernel reports 0 for a query that may attend to nothing.
        lse = torch.where(h.mask.any(-1), lse, -math.inf)
    return h.restore(output), lse.reshape(h.axes)


def attention_in_parts(
    backend: Backend,
    state: torch.Tensor,
    stored: torch.Tensor,
    projection: torch.Tensor,
    beta: Beta,
    mask: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """:func:`attention_with_lse` of a long memory, merged from parts that float32 adds up well."""

    def part(rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
        keys = stored[..., rows, :]
        values = keys if projection is stored else projection[..., rows, :]
        output, lse = attention_with_lse(
            heads(state, keys, values, beta, mask_of_columns(mask, rows))
        )
        return output.to(lse.dtype), lse  # half precision is merged in float32

    simple = mask is None and state.ndim == stored.ndim == projection.ndim == 2
    simple = simple and stored.shape[-1] == projection.shape[-1]
    simple = simple and state.stride(-1) == stored.stride(-1) == projection.stride(-1) == 1
    if simple and stored.shape[0] // LONG * state.numel() <= BLOCK:
        output, lse = few_queries_in_parts(state, stored, projection, beta)
    else:
        output, lse = backend.in_parts(part, stored.shape[-2])
    return output if output.dtype == state.dtype else output.to(state.dtype), lse


def few_queries_in_parts(
    state: torch.Tensor, stored: torch.Tensor, projection: torch.Tensor, beta: Beta
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same with all parts as heads of one call; many calls would take longer than the sums."""
    queries, depth = state.shape
    count, size = even_parts(stored.shape[0])
    scale = beta if isinstance(beta, float) else 1.0
    query = state if isinstance(beta, float) else scale_by_beta(state, beta)
    # Views in as few steps as can be: after a pass over a long memory each takes 10 us.
    row, column = query.stride()
    parts = query.as_strided((1, count, queries, depth), (0, 0, row, column))

    def in_heads(x: torch.Tensor) -> torch.Tensor:
        row, column = x.stride()
        return x.as_strided((1, count, size, depth), (0, row * size, row, column))

    keys = in_heads(stored)
    values = keys if projection is stored else in_heads(projection)
    outputs, levels = FUSED_WITH_LSE(parts, keys, values, scale=scale)
    if count * size < stored.shape[0]:
        rest = stored[None, None, count * size :]
        values = rest if projection is stored else projection[None, None, count * size :]
        output, level = FUSED_WITH_LSE(query[None, None], rest, values, scale=scale)
        outputs, levels = torch.cat([outputs, output], 1), torch.cat([levels, level], 1)
    # Merging is attention, too: the parts of a query are its keys, their log-sum-exps the scores.
    if outputs.dtype != levels.dtype:
        outputs = outputs.to(levels.dtype)  # half precision is merged in float32
    outputs, scores = outputs.transpose(1, 2), levels.transpose(1, 2).unsqueeze(2)
    output, lse = FUSED_WITH_LSE(
        outputs.narrow(2, 0, 1), outputs, outputs, attn_mask=scores, scale=0.0
    )
    return output.view(queries, depth), lse.view(queries)


def even_parts(patterns: int) -> tuple[int, int]:
    """How many parts, and of how many patterns each, so that nothing or little is left over."""
    least = -(-patterns // LONG)
    count = next((n for n in range(least, 4 * least) if patterns % n == 0), least)
    return count, patterns // count


def adjacent(x: torch.Tensor) -> torch.Tensor:
    """With the values of a row side by side, as the kernel takes them to be without looking."""
    return x if x.stride(-1) == 1 else x.contiguous()
