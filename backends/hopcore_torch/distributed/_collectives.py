"""Collective operations of the workers of a mesh: sums, maxima, and a check that they agree.

There are two kinds of arrays. An *own* array differs between workers (patterns, scores); a *shared*
array is the same on all of them (states, inverse temperatures, results). A shared array that is
used with own arrays goes through :class:`Copy`, and a sum of own arrays that is shared from then on
through :class:`Total`; each is the derivative of the other. :class:`Sum` makes own arrays of own
arrays and is its own derivative. In this way derivatives of any order are right where every worker
computes the same loss.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch.autograd import Function

ROW = 9
"""Numbers that a worker sends to agree: a digest, up to 4 numbers, 2 each of up to 2 arrays."""


class Workers:
    """The workers of one process group, and their collective operations on tensors.

    Parameters
    ----------
    group : ProcessGroup
        A group of any backend; tensors stay on their device.
    """

    def __init__(self, group: dist.ProcessGroup) -> None:
        self.group, self.count, self.rank = group, group.size(), group.rank()

    def sum(self, array: torch.Tensor) -> torch.Tensor:
        """The sum over all workers."""
        return Sum.apply(array, self)

    def max(self, array: torch.Tensor) -> torch.Tensor:
        """The largest value of all workers, without a derivative."""
        return self.reduced(array.detach(), dist.ReduceOp.MAX)

    def any(self, array: torch.Tensor) -> torch.Tensor:
        """Whether any worker has True, element by element."""
        return self.max(array.to(torch.uint8)).to(torch.bool)

    def reduced(self, array: torch.Tensor, how: Any) -> torch.Tensor:
        """Reduce the arrays of all workers to one, the same to the last bit on each of them."""
        result = array.clone(memory_format=torch.contiguous_format)
        if result.numel():
            with waiting():
                dist.all_reduce(result, how, group=self.group)
        return result

    def gathered(self, row: torch.Tensor) -> torch.Tensor:
        """Stack the rows of all workers, which have one length."""
        rows = [torch.empty_like(row) for _ in range(self.count)]
        with waiting():
            dist.all_gather(rows, row, group=self.group)
        return torch.stack(rows)

    def agree(
        self, facts: str, numbers: Sequence[int], values: Sequence[torch.Tensor], device: Any
    ) -> list[list[int]]:
        """Check that all workers make the same call, and return the ``numbers`` of each.

        This is one exchange of a few numbers, which waits for a GPU.

        Raises
        ------
        ValueError
            On every worker, if their ``facts`` or the ``values`` of shared arrays differ.
        """
        digest = int.from_bytes(hashlib.blake2b(facts.encode(), digest_size=7).digest(), "big")
        marks = torch.stack(
            [x for value in values for x in fingerprint(value)] or [torch.zeros(())]
        )
        marks = marks.to("cpu", torch.float64)
        # All calls exchange rows of one length, so that different calls are recognised as such.
        row = torch.zeros(ROW, dtype=torch.int64)
        row[: 1 + len(numbers)] = torch.tensor([digest, *numbers])
        row[ROW - 2 * len(values) :] = marks.view(torch.int64)
        rows = self.gathered(row.to(device)).cpu()
        if bool((rows[:, 0] != digest).any()):
            raise ValueError(self.difference(facts))
        all_marks = rows[:, ROW - 2 * len(values) :].contiguous().view(torch.float64)
        for i, value in enumerate(values):
            marks = all_marks[:, 2 * i : 2 * i + 2]
            apart = (marks - marks[0]).abs().max().item()
            if not apart <= rounding(value) * marks[:, 1].max().item():
                raise ValueError(
                    "states and inverse temperatures must be the same on all workers of the mesh, "
                    f"got others of one shape {tuple(value.shape)}; draw them with one seed"
                )
        return rows[:, 1 : 1 + len(numbers)].tolist()

    def difference(self, facts: str) -> str:
        """Say in one line which worker makes another call than the first one."""
        calls: list[Any] = [None] * self.count
        with waiting():
            dist.all_gather_object(calls, facts, group=self.group)
        other = next(i for i, call in enumerate(calls) if call != calls[0])
        return (
            "the workers of the mesh must call the same function with arguments alike, "
            f"got {calls[0]} on worker 0 and {calls[other]} on worker {other}"
        )


@contextmanager
def waiting() -> Iterator[None]:
    """Raise an error of one line if other workers do not take part in an exchange."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise RuntimeError(
            "a worker of the mesh was lost, stands still, or called something else than this one: "
            f"{reason}"
        ) from error


def fingerprint(value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A number that depends on values and their order, and the norm that it scales with."""
    flat = value.detach().flatten().double()
    places = torch.arange(flat.shape[0], dtype=flat.dtype, device=flat.device)
    return (flat * torch.sin(1.0 + 12.9898 * places)).sum(), torch.linalg.vector_norm(flat)


def rounding(value: torch.Tensor) -> float:
    """The relative difference of fingerprints that rounding on different workers may cause."""
    return min(0.05, 10.0 * math.sqrt(torch.finfo(value.dtype).eps))


class Sum(Function):
    """The sum of all workers' own arrays, as an own array of each worker."""

    @staticmethod
    def forward(ctx: Any, array: torch.Tensor, workers: Workers) -> torch.Tensor:
        ctx.workers = workers
        return workers.reduced(array, dist.ReduceOp.SUM)

    @staticmethod
    def backward(ctx: Any, by: torch.Tensor) -> Any:
        return Sum.apply(by, ctx.workers), None


class Copy(Function):
    """A shared array as every worker's own."""

    @staticmethod
    def forward(ctx: Any, array: torch.Tensor, workers: Workers) -> torch.Tensor:
        ctx.workers = workers
        return array.view_as(array)

    @staticmethod
    def backward(ctx: Any, by: torch.Tensor) -> Any:
        return Total.apply(by, ctx.workers), None


class Total(Sum):
    """The sum of all workers' own arrays, as a shared array."""

    @staticmethod
    def backward(ctx: Any, by: torch.Tensor) -> Any:
        return Copy.apply(by, ctx.workers), None


class Alike(Function):
    """An own array that is the same on all workers, as a shared array from then on.

    Its derivative is divided by ``among``: the number of workers where the array is a
    :class:`Sum`, whose own derivative adds up what all workers get; 1 otherwise.
    """

    @staticmethod
    def forward(ctx: Any, array: torch.Tensor, workers: Workers, among: int) -> torch.Tensor:
        ctx.workers, ctx.among = workers, among
        return array.view_as(array)

    @staticmethod
    def backward(ctx: Any, by: torch.Tensor) -> Any:
        return Copy.apply(by, ctx.workers) / ctx.among, None, None


class Largest(Function):
    """The largest value over the last axis of all workers' arrays ``(..., S)``, shared.

    Equal values divide its derivative, as those of one tensor do in torch.
    """

    @staticmethod
    def forward(ctx: Any, array: torch.Tensor, workers: Workers) -> torch.Tensor:
        top = workers.max(array.amax(-1, keepdim=True))
        share = (array == top).to(array.dtype)
        count = workers.reduced(share.sum(-1, keepdim=True), dist.ReduceOp.SUM)
        ctx.workers = workers
        ctx.save_for_backward(share / count)
        return top[..., 0]

    @staticmethod
    def backward(ctx: Any, by: torch.Tensor) -> Any:
        (share,) = ctx.saved_tensors
        return Copy.apply(by, ctx.workers)[..., None] * share, None
