"""The backend of calls whose stored patterns are shards: each worker its own, under one program."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec

from hopcore.backend import Array, Backend, Beta, Loop, SeparationFunction
from hopcore.parts import OverWorkers, merged_over
from hopcore_jax import blocks, loops, rings
from hopcore_jax.distributed import Shards, rows_over, with_rows
from hopcore_jax.kernels import JaxBackend
from hopcore_jax.weights import InParts


@dataclass(frozen=True)
class Workers:
    """The workers along an axis of a mesh, inside ``shard_map``."""

    axis: str

    def sum(self, array: Array) -> Array:
        """See :class:`hopcore.parts.Collectives`."""
        return lax.psum(array, self.axis)

    def max(self, array: Array) -> Array:
        """See :class:`hopcore.parts.Collectives`."""
        return lax.pmax(lax.stop_gradient(array), self.axis)


@dataclass(frozen=True)
class OverShards(InParts):
    """A separation function whose scores, of all stored patterns, lie on several workers."""

    separation: SeparationFunction
    workers: Workers
    softmax = False
    reach = math.inf
    """No short way by the largest scores: they would have to be gathered."""

    def reach_of(self, largest: Array) -> Array:
        """Infinite, see :attr:`reach`."""
        return jnp.full_like(largest, math.inf)

    def library(self, xp: Any) -> Any:
        """The namespace in which sums over the last axis go over all workers."""
        return OverWorkers(xp, self.workers)

    def evaluate(
        self, scores: Array, xp: Any, loop: Loop, largest: Array | None = None
    ) -> tuple[Array, Array]:
        """The weights of a worker's scores among those of all workers, and the conjugate of all."""
        return self.separation.evaluate(scores, self.library(xp), loop, largest)

    def tangent(self, weights: Array, change: Array, xp: Any) -> Array:
        """The change of a worker's weights by the changes of all scores."""
        return self.separation.tangent(weights, change, self.library(xp))


class ShardedBackend(JaxBackend):
    """Kernels of stored patterns that are :class:`hopcore_jax.distributed.Shards`."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "jax-sharded"

    # What shards are, beside arrays.

    def beside(self, states: Backend, state: Array) -> Any:
        """The backend itself, for states of JAX."""
        if states is self:
            raise TypeError("a state cannot be shards, only what is stored")
        return self if isinstance(states, JaxBackend) else None

    def takes(self, other: Backend) -> bool:
        """Shards, and arrays of JAX."""
        return isinstance(other, JaxBackend)

    def visible(self, array: Any) -> bool:
        """See :class:`JaxBackend`."""
        return super().visible(values_of(array))

    def device(self, array: Any) -> Any:
        """None: the arrays of a call are placed by the compiler."""
        return None

    def finite(self, array: Any) -> bool:
        """Every worker looks at its own values."""
        if not isinstance(array, Shards):
            return super().finite(array)
        if super().finite(array.array):
            return True
        for part in array.array.addressable_shards:
            bad = np.argwhere(~np.isfinite(np.asarray(part.data, dtype=np.float64)))
            if len(bad):
                starts = [
                    cut.indices(size)[0]
                    for cut, size in zip(part.index, array.array.shape, strict=True)
                ]
                where = tuple(int(x) for x in bad[0] + starts)
                value = float(part.data[tuple(bad[0])])
                raise ValueError(f"shards must be finite, got {value} at index {where}")
        return False

    def astype(self, array: Any, dtype: Any) -> Any:
        """Shards stay where they are."""
        if not isinstance(array, Shards):
            return super().astype(array, dtype)
        return replace(array, array=super().astype(array.array, dtype))

    def magnitude(self, array: Any) -> float:
        """The largest magnitude of a value."""
        return super().magnitude(values_of(array))

    # What is asked of a memory.

    def attended(self, stored: Any, mask: Array | None) -> Array:
        """See :class:`hopcore.memory_kernels.MemoryKernels`."""
        if mask is not None or not isinstance(stored, Shards):
            return super().attended(stored, mask)
        return jnp.full((*stored.shape[:-2], 1), float(stored.count), self.precise[stored.dtype])

    def largest_square(self, stored: Any, mask: Array | None) -> Array:
        """See :class:`hopcore.memory_kernels.MemoryKernels`."""
        if not isinstance(stored, Shards):
            return super().largest_square(stored, mask)
        return largest_square(stored, mask, backend=self)

    def radius(self, stored: Any, mask: Array | None) -> Array:
        """See :class:`hopcore.memory_kernels.MemoryKernels`."""
        if not isinstance(stored, Shards):
            return super().radius(stored, mask)
        return radius(stored, mask, backend=self)

    def scores(self, state: Array, stored: Any, beta: Beta, mask: Array | None) -> Array:
        """Refused of shards: all scores are as many as there are patterns, for each query."""
        if isinstance(stored, Shards):
            raise TypeError(
                "association weights hold a number for every stored pattern; "
                "of shards there are too many"
            )
        return super().scores(state, stored, beta, mask)

    def associate(
        self,
        state: Array,
        stored: Any,
        projection: Any,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
        need_conjugate: bool = False,
    ) -> tuple[Array, Array | None]:
        """See :meth:`hopcore.backend.Backend.associate`."""
        given = state, stored, projection, beta, mask, separation
        if not isinstance(stored, Shards):
            return super().associate(*given, need_conjugate)
        output, conjugate = self.associated(*given)
        assert output is not None
        return self.astype(output, state.dtype), conjugate if need_conjugate else None

    def conjugate(
        self,
        state: Array,
        stored: Any,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
    ) -> Array:
        """See :meth:`hopcore.backend.Backend.conjugate`."""
        if not isinstance(stored, Shards):
            return super().conjugate(state, stored, beta, mask, separation)
        return self.associated(state, stored, None, beta, mask, separation)[1]

    def in_parts(self, patterns: Any) -> bool:
        """Whether patterns are shards."""
        return isinstance(patterns, Shards)

    def neighbours(
        self, patterns: Any, k: int, mask: Array | None, unit: Any
    ) -> tuple[Array, Array]:
        """See :meth:`hopcore.backend.Backend.neighbours`; parts of the memory go round."""
        *lead, nodes, _ = patterns.shape
        if k == 0:
            return jnp.zeros((*lead, nodes, 0)), jnp.zeros((*lead, nodes, 0), jnp.int32)
        same_devices(patterns, mask=mask)
        found = []
        for place in np.ndindex(*lead):
            own = replace(patterns, array=patterns.array[place]) if lead else patterns
            shown = mask if mask is None or not lead else mask[place]
            found.append(rings.neighbours(own, shown, backend=self, k=k, unit=unit))
        choices, similarities = (
            jnp.reshape(jnp.stack(x), (*lead, nodes, k)) for x in zip(*found, strict=True)
        )
        return similarities, choices

    def associated(
        self,
        state: Array,
        stored: Shards,
        projection: Any,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
    ) -> tuple[Array | None, Array]:
        """Association, None without a projection, and conjugate."""
        if isinstance(projection, Shards) and mesh_of(projection) != mesh_of(stored):
            raise ValueError(
                "stored and projection must be split over one axis of one mesh, "
                f"got {mesh_of(stored)} and {mesh_of(projection)}"
            )
        same_devices(stored, state=state, projection=projection, beta=beta, mask=mask)
        return associate(
            state,
            stored,
            projection,
            beta,
            mask,
            backend=self,
            separation=separation,
            budget=self.block(state),
        )


def values_of(array: Any) -> Array:
    """The array that shards hold."""
    return array.array if isinstance(array, Shards) else array


def mesh_of(shards: Shards) -> tuple[Any, str]:
    """Over what shards are split."""
    return shards.mesh, shards.axis


def same_devices(stored: Shards, **arrays: Any) -> None:
    """Refuse arrays that were put on other devices than the workers; JAX would say it in pages."""
    workers = set(stored.mesh.devices.flat)
    for name, array in arrays.items():
        values = values_of(array)
        if not isinstance(values, jax.Array) or loops.traced(values) or not values.committed:
            continue
        if values.sharding.device_set != workers:
            raise ValueError(
                f"{name} must be on the {len(workers)} devices of the mesh of stored patterns, got "
                f"{named(values.sharding.device_set)}; jax.device_put({name}, "
                "NamedSharding(mesh, PartitionSpec())) puts it there"
            )


def named(devices: set[Any]) -> str:
    """Devices by their names; of many, how many they are."""
    return f"{len(devices)} devices" if len(devices) > 1 else str(next(iter(devices)))


def over_workers(work: Callable[..., Any], stored: Shards, arrays: Any, split: Any) -> Any:
    """``work`` of each worker with its rows, and its part of those arrays that are split.

    What it returns must be the same on all workers.
    """
    return jax.shard_map(
        work,
        mesh=stored.mesh,
        in_specs=(rows_over(stored.axis, stored.ndim), *split),
        out_specs=PartitionSpec(),
        axis_names={stored.axis},
        check_vma=False,
    )(stored.array, *arrays)


def columns(mask: Array | None, stored: Shards) -> tuple[Array | None, PartitionSpec]:
    """A mask that also hides what is padded, and how it is split."""
    size = stored.array.shape[-2]
    if size > stored.count:
        shown = jnp.arange(size) < stored.count
        if mask is None:
            mask = shown
        elif mask.shape[-1] == 1:
            mask = mask & shown
        else:
            mask = jnp.pad(mask, [*[(0, 0)] * (mask.ndim - 1), (0, size - stored.count)])
    if mask is None or mask.shape[-1] == 1:
        return mask, PartitionSpec()
    return mask, PartitionSpec(*[None] * (mask.ndim - 1), stored.axis)


@partial(jax.jit, static_argnames=("backend", "separation", "budget"))
def associate(
    state: Array,
    stored: Shards,
    projection: Any,
    beta: Beta,
    mask: Array | None,
    *,
    backend: ShardedBackend,
    separation: SeparationFunction,
    budget: int,
) -> tuple[Array | None, Array]:
    """Association (None without a projection) and conjugate, in the precise dtype."""
    workers = Workers(stored.axis)
    own = separation if separation.softmax else OverShards(separation, workers)

    def work(stored: Array, values: Any, state: Array, beta: Array, mask: Any) -> Any:
        output, conjugate = blocks.associate(
            state, stored, values, beta, mask, backend=backend, separation=own, budget=budget
        )
        if separation.softmax:
            return merged_over(jnp, workers, output, conjugate)
        return None if output is None else workers.sum(output), conjugate

    values, everywhere = values_of(projection), PartitionSpec()
    rows = everywhere
    if values is not None:
        # One that is no shards is there on every worker, who takes its rows of it.
        values, rows = (
            with_rows(values, stored.array.shape[-2]),
            rows_over(stored.axis, values.ndim),
        )
    mask, split = columns(mask, stored)
    beta = jnp.asarray(beta, dtype=backend.precise[state.dtype])
    return over_workers(
        work, stored, (values, state, beta, mask), (rows, everywhere, everywhere, split)
    )


@partial(jax.jit, static_argnames="backend")
def radius(stored: Shards, mask: Array | None, *, backend: ShardedBackend) -> Array:
    """The norm of the longest of attended patterns, ``(..., L)``, without a derivative."""
    workers = Workers(stored.axis)
    mask, split = columns(mask, stored)
    return over_workers(
        lambda own, mask: workers.max(backend.radius(own, mask)), stored, (mask,), (split,)
    )


@partial(jax.jit, static_argnames="backend")
def largest_square(stored: Shards, mask: Array | None, *, backend: ShardedBackend) -> Array:
    """The largest square of a norm of attended patterns, ``(..., L)``."""
    workers = Workers(stored.axis)

    def work(stored: Array, mask: Any) -> Array:
        squares = backend.square_lengths(stored)
        if mask is not None:
            squares = jnp.where(mask, squares[..., None, :], 0.0)
        largest = workers.max(jnp.max(squares, axis=-1, keepdims=True))
        # Its derivative is that of the largest pattern, or the mean over those that are.
        among = squares == largest
        change = jnp.where(among, squares - lax.stop_gradient(squares), 0.0)
        change, many = (workers.sum(jnp.sum(x, axis=-1, keepdims=True)) for x in (change, among))
        found = largest + change / many
        return found if mask is None else found[..., 0]

    shown, split = columns(mask, stored)
    return over_workers(work, stored, (shown,), (split,))
