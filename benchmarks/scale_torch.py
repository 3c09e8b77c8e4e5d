"""One worker of torch.distributed: what it computes, holds, sends, and how long it takes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import hopcore
from benchmarks.scale_calls import (
    BETA,
    SEPARATIONS,
    SIZES,
    Sizes,
    agreement,
    drawn,
    resting_late,
    update_seconds,
)
from benchmarks.scale_processes import gathered
from benchmarks.worker import peak_scratch
from hopcore_torch.distributed import from_parts, shard


class Counted(TorchDispatchMode):
    """Bytes that this worker puts into collectives."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace in ("c10d", "_c10d_functional") and "wait" not in func.name():
            given = args[1] if "gather" in func.name() else args[0]
            self.bytes += sum(x.nbytes for x in tree_leaves(given) if isinstance(x, torch.Tensor))
        return func(*args, **(kwargs or {}))


def worker(rank: int, n: int, size: str) -> dict[str, Any]:
    """Everything that is measured of one worker."""
    mesh, sizes = init_device_mesh("cpu", (n,)), SIZES[size]
    held = held_by(mesh, sizes)  # first: what a process held once, it keeps
    return {
        "memory": held,
        "agreement": list(
            agreement(sizes, lambda x, _: torch.from_numpy(x), lambda stored: shard(stored, mesh))
        ),
        "traffic": list(traffic(mesh, sizes)),
        "times": list(times(mesh, sizes)),
    }


def held_by(mesh: DeviceMesh, sizes: Sizes) -> dict[str, int]:
    """The bytes of a part, and what the process needs on top of what it held before."""
    share = -(-sizes.held // mesh.size())

    def call(patterns: int) -> int:
        parts = from_parts(torch.ones(patterns, 64), mesh)
        hopcore.retrieve(torch.ones(64, 64), parts, BETA, max_steps=3)
        return parts.to_local().nbytes

    call(64)  # what is loaded late is loaded now
    above = peak_scratch(lambda: call(share))
    return {"patterns": sizes.held, "part": share * 64 * 4, "above": above or 0}


def traffic(mesh: DeviceMesh, sizes: Sizes) -> Any:
    """The bytes of an update: those that a second one adds to a retrieval."""
    for name, separation in SEPARATIONS.items():
        for patterns in sizes.counted:
            state, stored = map(torch.from_numpy, drawn(patterns, 64, 64))
            parts, found = shard(stored, mesh), []
            for updates in (1, 2):
                with Counted() as counted:
                    hopcore.retrieve(
                        state, parts, BETA, separation=separation, tol=0.0, max_steps=updates
                    )
                found.append(counted.bytes)
            yield {"separation": name, "patterns": patterns, "bytes": found[1] - found[0]}


def times(mesh: DeviceMesh, sizes: Sizes) -> Any:
    """Seconds of an update."""
    for patterns, states, d in sizes.timed:
        state, stored = map(torch.from_numpy, drawn(patterns, d, states))
        parts, beta = shard(stored, mesh), resting_late(d)

        def retrieve(
            updates: int, state: Any = state, parts: Any = parts, beta: float = beta
        ) -> None:
            dist.barrier()
            found = hopcore.retrieve(state, parts, beta, tol=0.0, max_steps=updates)
            assert int(found.steps.min()) == updates

        seconds = update_seconds(retrieve)
        yield {"patterns": patterns, "states": states, "d": d, "seconds": seconds}


if __name__ == "__main__":
    gathered(worker)
