"""Torch's kernels of graphs: neighbour sums by ``embedding_bag``, searches in NumPy's tiles."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd import Function

import hopcore
from hopcore.arrays import MASKED_SCORE, Backend, Rows, backend_of, block_rows, chunks
from hopcore_torch.kernels._modes import differentiated, eager, in_numpy

GROUP = 16
"""Neighbouring scores of which the maximum is found first."""

FEW = 1 << 30
"""Twice this many places can be counted in 32 bits."""


class TorchGraphKernels(Backend):
    """The kernels of graphs for tensors."""

    def neighbour_sum(
        self, entries: Rows, values: torch.Tensor, features: torch.Tensor
    ) -> torch.Tensor:
        if hasattr(features, "device_mesh"):  # split over workers, as the graph is not
            return backend_of(features).neighbour_sum(entries, values, features)
        if not eager():
            gathered = values[:, None] * features.index_select(0, entries.columns)
            return self.row_sum(entries, gathered)
        if differentiated(values, features):
            return NeighbourSum.apply(self, entries, values, features)
        return bag(entries, values, features)

    def row_starts(self, rows: torch.Tensor, count: int) -> torch.Tensor:
        if eager():
            return super().row_starts(rows, count)
        # ONNX has no search.
        counts = torch.zeros(count + 1, dtype=torch.int64, device=rows.device)
        counts = counts.scatter_add(0, rows.long() + 1, torch.ones_like(rows, dtype=torch.int64))
        return counts.cumsum(0).to(rows.dtype)

    def row_sum(self, entries: Rows, values: torch.Tensor) -> torch.Tensor:
        zeros = values.new_zeros((entries.count, *values.shape[1:]))
        # ONNX knows int64 alone.
        return zeros.index_add(0, entries.rows if eager() else entries.rows.long(), values)

    def row_max(self, entries: Rows, values: torch.Tensor) -> torch.Tensor:
        lowest = values.new_full((entries.count,), -torch.inf)
        return lowest.scatter_reduce(0, entries.rows.long(), values, "amax")

    def pair_products(self, left: torch.Tensor, right: torch.Tensor, entries: Rows) -> torch.Tensor:
        if self.can_read_values(left) and not differentiated(left, right):
            numpy = hopcore.backend("numpy").pair_products
            return in_numpy(lambda *x: numpy(x[0], x[1], Rows(*x[2:])), left, right, *entries)
        return super().pair_products(left, right, entries)

    def entry_order(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        # Both ends in one number, which is sorted faster than twice; each has 31 bits at most.
        return torch.argsort(rows.long() * (1 << 31) + columns.long())

    def top_k(self, values: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        places = self.top_places(values, k)
        return values.gather(-1, places), places

    def top_places(self, values: torch.Tensor, k: int) -> torch.Tensor:
        """The indices of :meth:`top_k`.

        Torch takes any of equal values: a second search, by whole numbers, takes the first ones.
        """
        width = values.shape[-1]
        least = torch.topk(values, k, dim=-1, sorted=False).values.amin(-1, keepdim=True)
        kind = torch.int32 if eager() and width < FEW else torch.int64
        level = (values > least).to(kind) + (values >= least).to(kind)
        rank = level * width - torch.arange(width, dtype=kind, device=values.device)
        return torch.topk(rank, k, dim=-1, sorted=False).indices

    def largest(self, scores: torch.Tensor, k: int) -> torch.Tensor:
        if self.can_read_values(scores):
            wide = self.astype(scores, self.precise[scores.dtype])  # NumPy has no bfloat16
            return in_numpy(hopcore.backend("numpy").largest, wide, k)
        groups = scores.shape[-1] // GROUP
        if not eager() or groups <= 4 * k:
            return super().largest(scores, k)
        # The portable kernel, in fewer operations.
        grouped, device = groups * GROUP, scores.device
        maxima = scores[..., :grouped].unflatten(-1, (groups, GROUP)).amax(-1)
        best = self.top_places(maxima, k).sort(-1).values
        within = torch.arange(GROUP, device=device)
        members = torch.add(within, best[..., None], alpha=GROUP).flatten(-2)
        if grouped < scores.shape[-1]:
            rest = torch.arange(grouped, scores.shape[-1], device=device)
            members = torch.cat([members, rest.expand(*members.shape[:-1], -1)], -1)
        return members.gather(-1, self.largest_of_few(scores.gather(-1, members), k))

    def nearest(self, patterns: torch.Tensor, k: int, mask: torch.Tensor | None) -> torch.Tensor:
        if self.can_read_values(patterns):
            return in_numpy(hopcore.backend("numpy").nearest, patterns, k, mask)
        if not eager() or patterns.device.type == "cpu" or hasattr(patterns, "device_mesh"):
            return super().nearest(patterns, k, mask)
        return self.nearest_on_device(patterns.detach(), k, mask)

    def nearest_on_device(
        self, patterns: torch.Tensor, k: int, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """As the portable kernel, in large blocks and with few operations on each of them."""
        count, found = patterns.shape[-2], []
        hidden = None if mask is None else ~mask[..., None, :]
        for part in chunks(count, block_rows(patterns, patterns, self.block(patterns))):
            scores = patterns[..., part, :] @ patterns.mT
            if hidden is not None:
                scores.masked_fill_(hidden, MASKED_SCORE)
            scores[..., part].diagonal(dim1=-2, dim2=-1).fill_(-torch.inf)
            found.append(self.largest(scores, k))
        return torch.cat(found, -2) if len(found) > 1 else found[0]

    def largest_of_few(self, scores: torch.Tensor, k: int) -> torch.Tensor:
        if not eager():
            return super().largest_of_few(scores, k)  # ONNX has no stable sort
        return torch.sort(scores, dim=-1, descending=True, stable=True).indices[..., :k]

    def heat_kernel(self, matrix: torch.Tensor) -> torch.Tensor:
        """By eigenvalues; where a derivative may be asked for, by ``matrix_exp``, which has one."""
        if differentiated(matrix) or not eager():
            return torch.linalg.matrix_exp(-matrix)
        return super().heat_kernel(matrix)


def bag(entries: Rows, values: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """The neighbour sum as bags of embeddings, one bag for each node."""
    if features.shape[-1] == 0:  # which torch refuses in float32 alone
        return features
    return torch.nn.functional.embedding_bag(
        entries.columns,
        features,
        entries.indptr,
        mode="sum",
        per_sample_weights=values,
        include_last_offset=True,
    )


class NeighbourSum(Function):
    """A symmetric sparse matrix times features; its transpose is the same product again."""

    @staticmethod
    def forward(
        ctx: Any,
        backend: TorchGraphKernels,
        entries: Rows,
        values: torch.Tensor,
        features: torch.Tensor,
    ) -> torch.Tensor:
        ctx.backend, ctx.entries = backend, entries
        ctx.save_for_backward(values, features)
        return bag(entries, values.detach(), features.detach())

    @staticmethod
    def backward(ctx: Any, by_sum: torch.Tensor) -> Any:
        values, features = ctx.saved_tensors
        backend, entries = ctx.backend, ctx.entries
        by_values = by_features = None
        if ctx.needs_input_grad[2]:
            by_values = backend.pair_products(by_sum, features, entries)
        if ctx.needs_input_grad[3]:
            by_features = backend.neighbour_sum(entries, values, by_sum.contiguous())
        return None, None, by_values, by_features
