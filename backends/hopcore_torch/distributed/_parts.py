"""A worker's own part of stored patterns that are split over a mesh."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch.distributed.tensor import DTensor, Replicate, Shard

import hopcore
from hopcore.arrays import block_rows
from hopcore_torch.distributed._collectives import Workers
from hopcore_torch.kernels._backend import TorchBackend
from hopcore_torch.kernels._modes import differentiated


class Own(NamedTuple):
    """A worker's own part of a memory."""

    workers: Workers
    stored: torch.Tensor
    projection: Any
    mask: torch.Tensor | None
    """The columns of the worker's own patterns."""
    sizes: list[int]
    """The number of patterns of each worker."""

    def rows(self, state: torch.Tensor) -> int:
        """The number of queries whose scores fit into a block on every worker."""
        widest = torch.empty((*self.stored.shape[:-2], max(self.sizes), 0), device="meta")
        return block_rows(state, widest)


def group_of(kind: str, array: Any) -> Any:
    """Return the process group over which patterns are split."""
    if not isinstance(array, DTensor):
        raise TypeError(f"{kind} must be split over the workers: shard({kind}, mesh)")
    split = [i for i, x in enumerate(array.placements) if not isinstance(x, Replicate)]
    if len(split) != 1 or array.placements[split[0]] != Shard(array.ndim - 2):
        raise ValueError(
            f"{kind} must be split along its patterns, by Shard({array.ndim - 2}) over one "
            f"dimension of its mesh, got {tuple(array.placements)}"
        )
    return array.device_mesh.get_group(split[0])


def described(value: Any) -> str:
    """Describe what must be the same on all workers in an argument, apart from its values."""
    if not isinstance(value, torch.Tensor):
        return repr(value)
    kind = str(value.dtype).removeprefix("torch.")
    return f"{tuple(value.shape)} {kind}" + " with gradient" * differentiated(value)


def agreed(
    workers: Workers, call: str, own: dict[str, torch.Tensor], shared: dict[str, Any]
) -> list[int]:
    """Check that all workers agree and all patterns are finite; return the sizes of all parts.

    Values are checked only on the CPU, as everywhere.
    """
    local: TorchBackend = hopcore.backend("torch")  # pyright: ignore[reportAssignmentType]
    stored = own["stored"]
    numbers = [x.shape[-2] for x in own.values()]
    numbers += [int(not local.can_read_values(x) or local.all_finite(x)) for x in own.values()]
    values = [x for x in shared.values() if isinstance(x, torch.Tensor) and x.is_floating_point()]
    rows = workers.agree(call, numbers, values, stored.device)
    for i, kind in enumerate(own):
        sizes = [row[i] for row in rows]
        finite = [row[len(own) + i] for row in rows]
        if 0 in finite:
            raise ValueError(
                f"{kind} must be finite, got nan or inf in the part of worker {finite.index(0)}"
            )
        if sizes != [row[0] for row in rows]:
            raise ValueError(
                "projection must be split like stored, "
                f"got parts of {sizes} rows for {[row[0] for row in rows]} patterns"
            )
    return [row[0] for row in rows]


def split_like(part: torch.Tensor, like: DTensor) -> DTensor:
    """Make a ``DTensor`` of each worker's own part, split like another one."""
    shape = torch.Size((*like.shape[:-1], part.shape[-1]))
    stride = torch.empty(shape, device="meta").stride()
    return DTensor.from_local(
        part, like.device_mesh, like.placements, run_check=False, shape=shape, stride=stride
    )


def split_last(part: torch.Tensor, like: DTensor) -> DTensor:
    """Make a ``DTensor`` ``(..., S)`` of numbers of each worker's own patterns ``(..., S, d)``."""
    shape = torch.Size((*part.shape[:-1], like.shape[-2]))
    stride = torch.empty(shape, device="meta").stride()
    placements = [x if isinstance(x, Replicate) else Shard(part.ndim - 1) for x in like.placements]
    return DTensor.from_local(
        part, like.device_mesh, placements, run_check=False, shape=shape, stride=stride
    )


class Namespace(ModuleType):
    """Torch's namespace, in which ``where`` mixes ordinary tensors and split ones."""

    def __init__(self, xp: ModuleType) -> None:
        super().__init__(xp.__name__)
        self._xp = xp

    def __getattr__(self, name: str) -> Any:
        return getattr(self._xp, name)

    def reshape(self, array: Any, shape: tuple[int, ...]) -> Any:
        """Reshape an ordinary tensor; a split one can only keep its shape."""
        if not isinstance(array, DTensor):
            return self._xp.reshape(array, shape)
        if len(shape) != array.ndim or any(
            size not in (-1, own) for size, own in zip(shape, array.shape, strict=True)
        ):
            raise ValueError(
                "a memory over the workers of a mesh is one here, of patterns (N, d), "
                f"got {tuple(array.shape)}"
            )
        return array

    def where(self, *arrays: Any) -> Any:
        """Select element by element; each worker selects among its own patterns of split arrays."""
        like = next((x for x in arrays if isinstance(x, DTensor)), None)
        if like is None:
            return self._xp.where(*arrays)
        part = like.to_local()
        workers = Workers(group_of("an array", like))
        sizes = workers.gathered(torch.tensor([part.shape[-2]], device=part.device)).flatten()
        start = int(sizes[: workers.rank].sum())

        def own(x: Any) -> Any:
            if isinstance(x, DTensor):
                return x.to_local()
            if isinstance(x, torch.Tensor) and x.ndim > 1 and x.shape[-2] > 1:
                return x[..., start : start + part.shape[-2], :]
            return x

        return split_like(self._xp.where(*map(own, arrays)), like)
