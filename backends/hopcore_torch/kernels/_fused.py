"""Torch's fused attention kernels: an association in the shape they take, and back."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F

from hopcore.arrays import Beta, scale_by_beta


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
) -> Heads:
    """An association as the fused kernels take it: four axes, one depth, beta as their scale."""
    width, depth = projection.shape[-1], stored.shape[-1]
    scale = beta if isinstance(beta, float) else 1.0
    if not isinstance(beta, float):
        state = scale_by_beta(state, beta)
    if width != depth:
        # The fused kernels want one depth; zeros change neither scores nor sums.
        state, stored, projection = (
            F.pad(x, (0, max(width, depth) - x.shape[-1])) for x in (state, stored, projection)
        )
    if mask is not None and mask.ndim == 1:
        mask = mask[None, :]
    parts = [x for x in (state, stored, projection, mask) if x is not None]
    shared = stored.ndim == 2 and projection.ndim == 2 and (mask is None or mask.shape[:-1] == (1,))
    if shared:
        # One memory for all leading axes: they are more queries.
        lead, batch = state.shape[:-2], (1, 1)
        axes = state.shape[:-1]
        state = state.reshape(-1, state.shape[-1])
    else:
        lead = parts[0].shape[:-2]
        if any(x.shape[:-2] != lead for x in parts):
            lead = torch.broadcast_shapes(*(x.shape[:-2] for x in parts))
        axes = (*lead, state.shape[-2])
        batch = (1, 1, *lead)[-2:] if len(lead) < 3 else (1, math.prod(lead))

    def four(x: torch.Tensor) -> torch.Tensor:
        shape = *batch, *x.shape[-2:]
        if x.shape == shape:
            return x
        return (x if shared else x.expand(*lead, *x.shape[-2:])).reshape(shape)

    key = four(stored)
    value = key if projection is stored else four(projection)
    return Heads(
        four(state), key, value, None if mask is None else four(mask), scale, tuple(axes), width
    )


def has_lse(h: Heads) -> bool:
    """Whether :func:`attention_with_lse` applies: on the CPU; torch's kernel needs queries."""
    return h.query.device.type == "cpu" and h.query.numel() > 0


def attention(h: Heads) -> torch.Tensor:
    """The association by torch's fused kernel, with its own gradient."""
    return h.restore(
        F.scaled_dot_product_attention(h.query, h.key, h.value, attn_mask=h.mask, scale=h.scale)
    )


def attention_with_lse(h: Heads) -> tuple[torch.Tensor, torch.Tensor]:
    """The association and the log-sum-exp of its scores, in one pass."""
    bias = None
    if h.mask is not None:
        bias = torch.zeros(h.mask.shape, dtype=h.query.dtype, device=h.query.device)
        bias.masked_fill_(~h.mask, -math.inf)
    output, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        *map(adjacent, (h.query, h.key, h.value)), attn_mask=bias, scale=h.scale
    )
    if h.mask is not None:
        # The kernel reports 0 for a query that may attend to nothing.
        lse = torch.where(h.mask.any(-1), lse, -math.inf)
    return h.restore(output), lse.reshape(h.axes)


def adjacent(x: torch.Tensor) -> torch.Tensor:
    """With the values of a row side by side, as the kernel takes them to be without looking."""
    return x if x.stride(-1) == 1 else x.contiguous()
