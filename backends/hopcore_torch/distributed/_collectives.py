r"""What the workers of a mesh do together: sums, maxima, and a look at whether they agree.

Arrays are of two kinds. What a worker has for itself (its patterns, its scores) is *its own*; what
all workers have alike (states, inverse temperatures, results) is *shared*. A shared array that is
used with own ones goes through :class:`Copy`, a sum of own arrays that is shared from then on
through :class:`Total`; each is the derivative of the other. :class:`Sum` leads from own arrays to
own arrays and is its own derivative. In this way a derivative of any order is right where every
worker computes the same loss.
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
"""Numbers that workers exchange to agree: a digest, up to 4 numbers, 2 for up to 2 arrays."""


class Workers:
    """The workers of one process group; :class:`hopcore.arrays._merge.Collectives` for tensors.

    Parameters
    ----------
    group : ProcessGroup
        Of any backend; tensors stay on their device.
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
        """Where a worker has True."""
        return self.max(array.to(torch.uint8)).to(torch.bool)

    def reduced(self, array: torch.Tensor, how: Any) -> torch.Tensor:
        """All workers' arrays, reduced to one that each of them gets, the same to the last bit."""
        found = array.clone(memory_format=torch.contiguous_format)
        if found.numel():
            with waiting():
                dist.all_reduce(found, how, group=self.group)
        return found

    def gathered(self, row: torch.Tensor) -> torch.Tensor:
        """Rows of one length of all workers, one under the other."""
        rows = [torch.empty_like(row) for _ in range(self.count)]
        with waiting():
            dist.all_gather(rows, row, group=self.group)
        return torch.stack(rows)

    def agree(
        self, facts: str, numbers: Sequence[int], values: Sequence[torch.Tensor], device: Any
    ) -> list[list[int]]:
        """The ``numbers`` of each worker, once it is sure that all of them call the same thing.

        One exchange of a few numbers, for which a GPU is waited for.

        Raises
        ------
        ValueError
            On every worker: their ``facts`` differ, or the ``values`` of shared arrays.
        """
        digest = int.from_bytes(hashlib.blake2b(facts.encode(), digest_size=7).digest(), "big")
        marks = torch.stack(
            [x for value in values for x in fingerprint(value)] or [torch.zeros(())]
        )
        marks = marks.to("cpu", torch.float64)
        # Of one length whatever is called, so that a call of something else is seen as such.
        row = torch.zeros(ROW, dtype=torch.int64)
        row[: 1 + len(numbers)] = torch.tensor([digest, *numbers])
        row[ROW - 2 * len(values) :] = marks.view(torch.int64)
        rows = self.gathered(row.to(device)).cpu()
        if bool((rows[:, 0] != digest).any()):
            raise ValueError(self.difference(facts))
        found = rows[:, ROW - 2 * len(values) :].contiguous().view(torch.float64)
        for i, value in enumerate(values):
            marks = found[:, 2 * i : 2 * i + 2]
            apart = (marks - marks[0]).abs().max().item()
            if not apart <= rounding(value) * marks[:, 1].max().item():
                raise ValueError(
                    "states and inverse temperatures must be the same on all workers of the mesh, "
                    f"got others of one shape {tuple(value.shape)}; draw them with one seed"
                )
        return rows[:, 1 : 1 + len(numbers)].tolist()

    def difference(self, facts: str) -> str:
        """A line that says where workers call something else than the first one."""
        every: list[Any] = [None] * self.count
        with waiting():
            dist.all_gather_object(every, facts, group=self.group)
        other = next(i for i, given in enumerate(every) if given != every[0])
        return (
            "the workers of the mesh must call the same function with arguments alike, "
            f"got {every[0]} on worker 0 and {every[other]} on worker {other}"
        )


@contextmanager
def waiting() -> Iterator[None]:
    """Say in one line that others did not come, where they are waited for."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise RuntimeError(
            "a worker of the mesh was lost, stands still, or called something else than this one: "
            f"{reason}"
        ) from error


def fingerprint(value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A number that differs where values or their order differ, and the norm it scales with."""
    flat = value.detach().flatten().double()
    places = torch.arange(flat.shape[0], dtype=flat.dtype, device=flat.device)
    return (flat * torch.sin(1.0 + 12.9898 * places)).sum(), torch.linalg.vector_norm(flat)


def rounding(value: torch.Tensor) -> float:
    """How far fingerprints of one array may be apart where it was computed on each worker."""
    return min(0.05, 10.0 * math.sqrt(torch.finfo(value.dtype).eps))


class Sum(Function):
    """The sum of all workers' own arrays, for each worker to go on with alone."""

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
    """The sum of all workers' own arrays, shared from then on."""

    @staticmethod
    def backward(ctx: Any, by: torch.Tensor) -> Any:
        return Copy.apply(by, ctx.workers), None


class Largest(Function):
    """The largest of all workers' own values, shared; workers that tie share its derivative."""

    @staticmethod
    def forward(ctx: Any, array: torch.Tensor, workers: Workers) -> torch.Tensor:
        top = workers.max(array)
        share = (array == top).to(array.dtype)
        ctx.workers = workers
        ctx.save_for_backward(share / workers.reduced(share, dist.ReduceOp.SUM))
        return top

    @staticmethod
    def backward(ctx: Any, by: torch.Tensor) -> Any:
        (share,) = ctx.saved_tensors
        return Copy.apply(by, ctx.workers) * share, None
