"""Kernels in which the parts of a memory meet: each visits every worker, one at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch.autograd import Function
from torch.distributed.tensor import DTensor

from hopcore.graph_kernels import MASKED, SOME, Rows, stretches
from hopcore_torch.workers import Workers, waiting


def visiting(
    workers: Workers, part: torch.Tensor, sizes: list[int]
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Every worker's part in turn, the own one first, and which patterns of the memory it holds."""
    ends = [sum(sizes[: i + 1]) for i in range(workers.count)]
    part = part.contiguous()
    yield slice(ends[workers.rank] - sizes[workers.rank], ends[workers.rank]), part
    for step in range(1, workers.count):
        to, source = (workers.rank + step) % workers.count, (workers.rank - step) % workers.count
        guest = part.new_empty((sizes[source], *part.shape[1:]))
        with waiting():
            pair = [
                dist.P2POp(dist.isend, part, group=workers.group, group_peer=to),
                dist.P2POp(dist.irecv, guest, group=workers.group, group_peer=source),
            ]
            for work in dist.batch_isend_irecv(pair):
                work.wait()
        yield slice(ends[source] - sizes[source], ends[source]), guest


def nearest(
    workers: Workers, part: torch.Tensor, sizes: list[int], k: int, mask: torch.Tensor | None
) -> torch.Tensor:
    """The k patterns of all parts with the largest inner product, of all patterns ``(N, k)``."""
    count, device = part.shape[0], part.device
    own = torch.arange(count, device=device)
    scores, places = part.new_empty((count, 0)), own.new_empty((count, 0))
    start = 0
    for i, (columns, guest) in enumerate(visiting(workers, part, sizes)):
        found = []
        for rows in stretches(count, max(1, SOME // guest.shape[0])):
            some = part[rows] @ guest.mT
            if mask is not None:
                some = some.masked_fill(~mask[columns], MASKED)
            if i == 0:
                start = columns.start
                some[own[: some.shape[0]], own[rows]] = -math.inf
            found.append(torch.topk(some, min(k, guest.shape[0]), dim=-1))
        values = torch.cat([scores, torch.cat([x.values for x in found])], -1)
        where = torch.cat([places, torch.cat([x.indices for x in found]) + columns.start], -1)
        scores, best = torch.topk(values, min(k, values.shape[-1]), dim=-1)
        places = where.gather(-1, best)
    return joined(workers, places.to(torch.int32), start, sum(sizes))


def pair_products(
    workers: Workers, left: torch.Tensor, right: torch.Tensor, sizes: list[int], where: Rows
) -> torch.Tensor:
    """The inner product of ``left[row]`` and ``right[column]`` for each entry, ``(E,)``."""
    start, stop, found = 0, 0, left.new_empty(0)
    for i, (own, guest) in enumerate(visiting(workers, right, sizes)):
        if i == 0:
            start, stop = where.indptr[own.start].item(), where.indptr[own.stop].item()
            rows = where.rows[start:stop] - own.start
            found = left.new_zeros(stop - start)
        for entries, columns in chosen(where.columns[start:stop], own, guest.shape[-1]):
            found[entries] = (left[rows[entries]] * guest[columns]).sum(-1)
    return joined(workers, found, start, where.rows.shape[0])


def neighbour_sum(
    workers: Workers, part: torch.Tensor, sizes: list[int], where: Rows, values: torch.Tensor
) -> torch.Tensor:
    """The worker's own rows of a symmetric sparse matrix times features."""
    start, stop, total = 0, 0, torch.zeros_like(part)
    for i, (own, guest) in enumerate(visiting(workers, part, sizes)):
        if i == 0:
            start, stop = where.indptr[own.start].item(), where.indptr[own.stop].item()
            rows = (where.rows[start:stop] - own.start).long()
        for entries, columns in chosen(where.columns[start:stop], own, guest.shape[-1]):
            terms = values[start:stop][entries, None] * guest[columns]
            total.index_add_(0, rows[entries], terms)
    return total


def chosen(
    columns: torch.Tensor, part: slice, width: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Entries whose column is in a part, some at a time, and which of its rows these are."""
    entries = torch.nonzero((columns >= part.start) & (columns < part.stop))[:, 0]
    for some in stretches(entries.shape[0], max(1, SOME // max(1, width))):
        yield entries[some], columns[entries[some]] - part.start


def joined(workers: Workers, part: torch.Tensor, start: int, count: int) -> torch.Tensor:
    """The parts of all workers, one after the other, on each of them."""
    whole = part.new_zeros((count, *part.shape[1:]))
    whole[start : start + part.shape[0]] = part
    return workers.reduced(whole, dist.ReduceOp.SUM)


class NeighbourSum(Function):
    """:func:`neighbour_sum` of features that are split; its transpose is the same product again."""

    @staticmethod
    def forward(
        ctx: Any,
        part: torch.Tensor,
        workers: Workers,
        sizes: list[int],
        where: Rows,
        values: torch.Tensor,
    ) -> torch.Tensor:
        ctx.rest = workers, sizes, where, values
        return neighbour_sum(workers, part, sizes, where, values)

    @staticmethod
    def backward(ctx: Any, by: torch.Tensor) -> Any:
        return NeighbourSum.apply(by, *ctx.rest), None, None, None, None


def split_like(part: torch.Tensor, like: DTensor) -> DTensor:
    """A worker's own part of what is split like another one."""
    shape = torch.Size((*like.shape[:-1], part.shape[-1]))
    stride = torch.empty(shape, device="meta").stride()
    return DTensor.from_local(
        part, like.device_mesh, like.placements, run_check=False, shape=shape, stride=stride
    )
