"""Kernels that compare all parts of a memory: each part visits every worker in turn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch.autograd import Function

import hopcore
from hopcore.arrays import GATHER_BLOCK, MASKED_SCORE, Rows, chunks
from hopcore_torch.distributed._collectives import Workers, waiting


def visiting(
    workers: Workers, part: torch.Tensor, sizes: list[int]
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield the part of every worker, the own one first, with its rows in the memory."""
    part = part.contiguous()
    yield own(sizes, workers.rank), part
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
        yield own(sizes, source), guest


def own(sizes: list[int], worker: int) -> slice:
    """The rows of the memory that a worker has."""
    start = sum(sizes[:worker])
    return slice(start, start + sizes[worker])


def nearest(
    workers: Workers, part: torch.Tensor, sizes: list[int], k: int, mask: torch.Tensor | None
) -> torch.Tensor:
    """For all patterns, the k others with the largest inner products, ``(N, k)``.

    Of equal products those with the patterns of the lowest indices are taken.
    """
    top_k = hopcore.backend("torch").top_k
    start, count = own(sizes, workers.rank).start, part.shape[0]
    number = torch.arange(count, device=part.device)
    scores, places = part.new_empty((count, 0)), number.new_empty((count, 0))
    for columns, guest in visiting(workers, part, sizes):
        nearest_guests = []
        for rows in chunks(count, max(1, GATHER_BLOCK // guest.shape[0])):
            products = part[rows] @ guest.mT
            if mask is not None:
                products = products.masked_fill(~mask[columns], MASKED_SCORE)
            if columns.start == start:
                products[number[: products.shape[0]], number[rows]] = -math.inf
            nearest_guests.append(top_k(products, min(k, guest.shape[0])))
        values = torch.cat([scores, torch.cat([x for x, _ in nearest_guests])], -1)
        indices = torch.cat([x for _, x in nearest_guests]) + columns.start
        # In the order of the memory, whichever worker the guest came from.
        indices, order = torch.cat([places, indices], -1).sort(-1)
        scores, best = top_k(values.gather(-1, order), min(k, values.shape[-1]))
        places = indices.gather(-1, best)
    return joined(workers, places.to(torch.int32), start, sum(sizes))


def pair_products(
    workers: Workers, left: torch.Tensor, right: torch.Tensor, sizes: list[int], entries: Rows
) -> torch.Tensor:
    """The inner product of ``left[row]`` and ``right[column]`` for each entry, ``(E,)``."""
    own_entries, rows = entries_of(entries, own(sizes, workers.rank))
    products = left.new_zeros(rows.shape[0])
    for part, guest in visiting(workers, right, sizes):
        for some, columns in chosen(entries.columns[own_entries], part, guest.shape[-1]):
            products[some] = (left[rows[some]] * guest[columns]).sum(-1)
    return joined(workers, products, own_entries.start, entries.rows.shape[0])


def neighbour_sum(
    workers: Workers, part: torch.Tensor, sizes: list[int], entries: Rows, values: torch.Tensor
) -> torch.Tensor:
    """The worker's own rows of a symmetric sparse matrix times features."""
    own_entries, rows = entries_of(entries, own(sizes, workers.rank))
    total = torch.zeros_like(part)
    for columns_of, guest in visiting(workers, part, sizes):
        for some, columns in chosen(entries.columns[own_entries], columns_of, guest.shape[-1]):
            terms = values[own_entries][some, None] * guest[columns]
            total.index_add_(0, rows[some], terms)
    return total


def entries_of(entries: Rows, part: slice) -> tuple[slice, torch.Tensor]:
    """The entries in the rows of a part, and the row within the part of each entry."""
    start, stop = (int(entries.indptr[i]) for i in (part.start, part.stop))
    return slice(start, stop), entries.rows[start:stop] - part.start


def chosen(
    columns: torch.Tensor, part: slice, width: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield some of the entries whose columns lie in a part, and the rows of the part they meet."""
    entries = torch.nonzero((columns >= part.start) & (columns < part.stop))[:, 0]
    for some in chunks(entries.shape[0], max(1, GATHER_BLOCK // max(1, width))):
        yield entries[some], columns[entries[some]] - part.start


def joined(workers: Workers, part: torch.Tensor, start: int, count: int) -> torch.Tensor:
    """Concatenate the parts of all workers, on each of them."""
    whole = part.new_zeros((count, *part.shape[1:]))
    whole[start : start + part.shape[0]] = part
    return workers.reduced(whole, dist.ReduceOp.SUM)


class NeighbourSum(Function):
    """:func:`neighbour_sum` of split features; its transpose is the same product again."""

    @staticmethod
    def forward(
        ctx: Any,
        part: torch.Tensor,
        workers: Workers,
        sizes: list[int],
        entries: Rows,
        values: torch.Tensor,
    ) -> torch.Tensor:
        ctx.rest = workers, sizes, entries, values
        return neighbour_sum(workers, part, sizes, entries, values)

    @staticmethod
    def backward(ctx: Any, by: torch.Tensor) -> Any:
        return NeighbourSum.apply(by, *ctx.rest), None, None, None, None
