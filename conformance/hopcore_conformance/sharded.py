"""Subjects whose memories are in parts: streamed, in Dask blocks, on the workers of a mesh.

They run the checks of association, energy and retrieval. The arguments ``stored`` and
``projection`` of a function are passed in parts, and all other arguments are arrays of the library
of the states. Parts have different sizes wherever the number of patterns allows it.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache
from typing import Any

import numpy as np

import hopcore
from hopcore.arrays import Backend
from hopcore_conformance.subject import Subject

Array = np.ndarray

CHECKS = (
    "test_association.py",
    "test_biases.py",
    "test_compact.py",
    "test_energy.py",
    "test_known.py",
    "test_masked.py",
    "test_retrieval.py",
    "test_scores.py",
    "test_scores_derivatives.py",
    "test_statistics.py",
    "test_ties.py",
)
"""The checks that memories in parts must pass."""

OF_ASSOCIATIONS = (
    "test_association.py",
    "test_backend.py",
    "test_biases.py",
    "test_energy.py",
    "test_masked.py",
    "test_retrieval.py",
    "test_scores.py",
    "test_scores_derivatives.py",
    "test_separation.py",
    "test_statistics.py",
    "test_ties.py",
)
"""The checks that run on interpreted kernels: those of associations and of what is made of them."""

IN_PARTS = ("stored", "projection")
"""Parameters of hopcore's functions that may be in parts."""

WORKERS = 8
"""Simulated devices of JAX."""


class Parted(Subject):
    """A subject that passes memories in parts."""

    name = ""
    """The name on the command line."""
    library = "numpy"
    """The backend of the states."""
    derivatives = False
    """Whether a memory in parts has derivatives."""

    @classmethod
    def prepare(cls) -> None:
        """Prepare the library before it makes its first array."""

    def split(self, array: Any) -> Any:
        """Stored patterns in parts, or unchanged if there are too few."""
        raise NotImplementedError

    def whole(self, parts: Any) -> Any:
        """A memory in parts, or its derivative, as one array of the library; others unchanged."""
        return parts

    @property
    def label(self) -> str:
        """The name under which results are reported."""
        return self.name

    @property
    def differentiates(self) -> bool:
        """Whether the suite knows how derivatives are taken."""
        return self.derivatives and super().differentiates

    def get(self, array: Any) -> Any:
        """Values of an array or of a memory in parts."""
        return super().get(array if isinstance(array, tuple) else self.whole(array))

    def placed(
        self, function: Callable[..., Any], given: Sequence[Any], named: dict[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a function, in parts where this is allowed."""
        names = parameters(function)[: len(given)]
        positional = [
            self.split(self.put(value))
            if name in IN_PARTS and isinstance(value, np.ndarray)
            else self._put(value)
            for name, value in zip(names, given, strict=True)
        ]
        return positional, {name: self._put(value) for name, value in named.items()}


@cache
def parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a function's parameters; those of one that returns all weights are not split."""
    names = tuple(inspect.signature(function).parameters)
    if function is hopcore.association_weights:
        return tuple(f"{name} as a whole" for name in names)
    return names


class Streamed(Parted):
    """A memory that is read from an array, a few patterns at a time."""

    name = "streamed"

    def split(self, array: Any) -> Any:
        """Pieces of which the last one is smaller, unless there is only one pattern."""
        if array.ndim != 2:
            return array
        return hopcore.Streamed(array, rows=max(1, array.shape[0] // 2 + 1))

    def whole(self, parts: Any) -> Any:
        """Read all patterns at once, whatever they contain."""
        if not isinstance(parts, hopcore.Streamed):
            return parts
        return parts.source.read(0, parts.shape[0]).astype(parts.dtype)


class DaskBlocks(Streamed):
    """The blocks of a Dask array, each processed on the worker that has it."""

    name = "dask"

    def split(self, array: Any) -> Any:
        """Blocks of one, two, one, two ... patterns."""
        import dask.array as da  # noqa: PLC0415

        if array.ndim != 2:
            return array
        ends = [0]
        while ends[-1] < array.shape[0]:
            ends.append(min(ends[-1] + 1 + len(ends) % 2, array.shape[0]))
        chunks: Any = (tuple(int(size) for size in np.diff(ends)), -1)
        return hopcore.Streamed(da.from_array(array, chunks=chunks))


class JaxSharded(Parted):
    """A memory on simulated devices of JAX, with at least one pattern on each."""

    name = "jax-sharded"
    library = "jax"
    derivatives = True

    @classmethod
    def prepare(cls) -> None:
        """Simulate more devices than the machine has."""
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count={WORKERS}"

    def split(self, array: Any) -> Any:
        """Divide the patterns over a mesh with one axis."""
        from hopcore_jax.distributed import shard  # noqa: PLC0415

        return shard(array, mesh(min(WORKERS, array.shape[-2])))

    def whole(self, parts: Any) -> Any:
        """Return the patterns without the padding."""
        from hopcore_jax.distributed import Shards  # noqa: PLC0415

        return parts.whole() if isinstance(parts, Shards) else parts


@cache
def mesh(workers: int) -> Any:
    """A mesh of some devices of JAX."""
    import jax  # noqa: PLC0415

    return jax.sharding.Mesh(np.asarray(jax.devices()[:workers]), ("memory",))


class TorchDistributed(Parted):
    """On the processes of a group, each of which runs the same checks: see ``torchrun``."""

    name = "torch-distributed"
    library = "torch"
    derivatives = True

    @classmethod
    def prepare(cls) -> None:
        """The processes that torchrun has started, or this one alone."""
        import torch.distributed as dist  # noqa: PLC0415

        if dist.is_initialized():
            return
        launched = "RANK" in os.environ
        store: Any = getattr(dist, "HashStore")  # noqa: B009 - not in torch's stubs
        alone = {} if launched else {"store": store(), "rank": 0, "world_size": 1}
        dist.init_process_group("gloo", timeout=timedelta(seconds=60), **alone)

    def split(self, array: Any) -> Any:
        """Divide the patterns over all processes, if each of them gets at least one."""
        import torch.distributed as dist  # noqa: PLC0415
        from torch.distributed.device_mesh import init_device_mesh  # noqa: PLC0415

        from hopcore_torch.distributed import shard  # noqa: PLC0415

        workers = dist.get_world_size()
        if array.shape[-2] < workers:
            return array
        return shard(array, torch_mesh(init_device_mesh, workers))

    def whole(self, parts: Any) -> Any:
        """Return the patterns of all processes."""
        from torch.distributed.tensor import DTensor  # noqa: PLC0415

        return parts.full_tensor() if isinstance(parts, DTensor) else parts


@cache
def torch_mesh(make: Callable[..., Any], workers: int) -> Any:
    """A mesh of all processes."""
    return make("cpu", (workers,), mesh_dim_names=("memory",))


PARTED: dict[str, type[Parted]] = {
    kind.name: kind for kind in (Streamed, DaskBlocks, JaxSharded, TorchDistributed)
}
"""Subjects by their names."""


def subject_of(name: str, dtype: str, device: Any, strided: bool) -> Subject:
    """The subject of a name: a backend's, or one whose memories are in parts."""
    kind = PARTED.get(name)
    backend: Backend = hopcore.backend(name if kind is None else kind.library)
    return (kind or Subject)(backend, dtype, device, strided)
