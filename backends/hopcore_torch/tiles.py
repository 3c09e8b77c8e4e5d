"""Fused and tiled associations on torch tensors, for values; :mod:`hopcore_torch.kernels` differentiates.

Nothing here holds an array of all scores: :data:`TILE` of them at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import array_api_compat.torch as xp
import torch
import torch.nn.functional as F

from hopcore.backend import Backend, Beta, SeparationFunction, scaled
from hopcore.support import support

TILE = 1 << 20
"""Scores in a tile: 4 MiB in float32."""

SAFE_EXPONENT = {torch.float32: 40.0, torch.float64: 300.0}
"""Scores up to this magnitude are exponentiated without their maximum being subtracted."""


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
        return output.reshape(*self.axes, output.shape[-1])[..., : self.width]


def heads(
    state: torch.Tensor,
    stored: torch.Tensor,
    projection: torch.Tensor,
    beta: Beta,
    mask: torch.Tensor | None,
) -> Heads:
    """Arrange an association for the fused kernel: four axes, one depth, beta as the kernel's scale."""
    width, depth = projection.shape[-1], stored.shape[-1]
    scale = beta if isinstance(beta, float) else 1.0
    if not isinstance(beta, float):
        state = scaled(state, beta)
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
        lead = torch.broadcast_shapes(*(x.shape[:-2] for x in parts))
        axes = (*lead, state.shape[-2])
        batch = (1, *lead)[-2:] if len(lead) < 3 else (1, math.prod(lead))

    def four(x: torch.Tensor) -> torch.Tensor:
        if not shared:
            x = x.expand(*lead, *x.shape[-2:])
        return x.reshape(*batch, *x.shape[-2:])

    key = four(stored)
    value = key if projection is stored else four(projection)
    return Heads(
        four(state), key, value, None if mask is None else four(mask), scale, tuple(axes), width
    )


def attention(h: Heads) -> torch.Tensor:
    """The association by torch's fused kernel, with its own gradient."""
    return h.restore(
        F.scaled_dot_product_attention(h.query, h.key, h.value, attn_mask=h.mask, scale=h.scale)
    )


def attention_with_lse(h: Heads) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-sum-exp of the scores and the association, in one pass on the CPU."""
    bias = None
    if h.mask is not None:
        bias = torch.zeros_like(h.mask, dtype=h.query.dtype).masked_fill_(~h.mask, -math.inf)
    output, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        h.query, h.key, h.value, attn_mask=bias, scale=h.scale
    )
    if h.mask is not None:
        # The kernel reports 0 for a query that may attend to nothing.
        lse = torch.where(h.mask.any(-1), lse, -math.inf)
    return lse.reshape(h.axes), h.restore(output)


def flat_batches(h: Heads) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]]:
    """Queries scaled by beta, keys, values and mask of each memory, two axes each."""
    query = h.query * h.scale
    for b in range(query.shape[0]):
        for i in range(query.shape[1]):
            yield query[b, i], h.key[b, i], h.value[b, i], None if h.mask is None else h.mask[b, i]


def log_sum_exp(h: Heads) -> torch.Tensor:
    """Log-sum-exp of the scores, tile by tile."""
    lse = [_log_sum_exp(query, key, mask) for query, key, _, mask in flat_batches(h)]
    return torch.stack(lse).reshape(h.axes)


def _log_sum_exp(query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    rows = max(1, min(query.shape[0], 256))
    columns = min(key.shape[0], TILE // rows)
    bound = _longest(query) * _longest(key)
    bounded = bound <= SAFE_EXPONENT[query.dtype]
    buffer = query.new_empty(rows * columns)
    parts = []
    for start in range(0, query.shape[0], rows):
        part = query[start : start + rows]
        total = part.new_zeros(part.shape[0], 1)
        top = part.new_full((part.shape[0], 1), 0.0 if bounded else -math.inf)
        for first in range(0, key.shape[0], columns):
            some = key[first : first + columns]
            scores = buffer[: part.shape[0] * some.shape[0]].view(part.shape[0], some.shape[0])
            torch.mm(part, some.T, out=scores)
            if mask is not None:
                these = mask if mask.shape[0] == 1 else mask[start : start + rows]
                these = these if mask.shape[1] == 1 else these[:, first : first + columns]
                scores.masked_fill_(~these, -math.inf)
            if bounded:
                total += scores.exp_().sum(-1, keepdim=True)
                continue
            higher = torch.maximum(top, scores.amax(-1, keepdim=True))
            level = torch.where(higher == -math.inf, 0.0, higher)
            total *= torch.exp(top - level)
            total += scores.sub_(level).exp_().sum(-1, keepdim=True)
            top = higher
        parts.append((top + torch.log(total)).squeeze(-1))
    return torch.cat(parts) if parts else query.new_empty(0)


def _longest(patterns: torch.Tensor) -> float:
    """The largest norm; inf where a square overflows, which asks for the careful road."""
    return math.sqrt(patterns.square().sum(-1).max().item()) if patterns.shape[0] else 0.0


def sparse(
    h: Heads, separation: SeparationFunction, backend: Backend
) -> tuple[torch.Tensor, torch.Tensor]:
    """Conjugate and association of a sparse separation function, from the supports alone."""
    found = [_sparse(*parts, separation, backend) for parts in flat_batches(h)]
    conjugate = torch.stack([conjugate for conjugate, _ in found])
    output = torch.stack([output for _, output in found])
    return conjugate.reshape(h.axes), h.restore(output)


def _sparse(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    separation: SeparationFunction,
    backend: Backend,
) -> tuple[torch.Tensor, torch.Tensor]:
    rows = max(1, TILE // key.shape[0])
    output = query.new_empty(query.shape[0], value.shape[1])
    conjugate = query.new_empty(query.shape[0])
    for start in range(0, query.shape[0], rows):
        part = slice(start, start + rows)
        scores = torch.mm(query[part], key.T)
        if mask is not None:
            scores.masked_fill_(~(mask if mask.shape[0] == 1 else mask[part]), -math.inf)
        found = support(scores, separation, backend, xp)
        if found is None:
            weights, conjugate[part] = Backend.separate(backend, scores, separation)
            torch.mm(weights, value, out=output[part])
        else:
            conjugate[part] = found.conjugate
            output[part] = F.embedding_bag(
                found.index, value, per_sample_weights=found.weights, mode="sum"
            )
    return conjugate, output
