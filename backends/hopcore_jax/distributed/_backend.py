"""The backend of calls whose stored patterns are shards: each worker its own, under one program."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hopcore.arrays import Array, Backend, Beta, SeparationFunction, too_many_weights
from hopcore_jax.distributed import _collectives as workers
from hopcore_jax.distributed import _rings as rings
from hopcore_jax.distributed._memory import Shards, values_of
from hopcore_jax.kernels import _loops as loops
from hopcore_jax.kernels._backend import JaxBackend


class ShardedBackend(JaxBackend):
    """Kernels of stored patterns that are :class:`hopcore_jax.distributed.Shards`."""

    refusal_as_state = "a state cannot be shards, only what is stored"

    def __init__(self) -> None:
        super().__init__()
        self.name = "jax-sharded"

    # What shards are, beside arrays.

    def backend_for_states(self, states: Backend, state: Array) -> Any:
        """The backend itself, for states of JAX."""
        return self if isinstance(states, JaxBackend) else None

    def mixes_with(self, other: Backend) -> bool:
        """Shards, and arrays of JAX."""
        return isinstance(other, JaxBackend)

    def can_read_values(self, array: Any) -> bool:
        """See :class:`JaxBackend`."""
        return super().can_read_values(values_of(array))

    def device(self, array: Any) -> Any:
        """None: the arrays of a call are placed by the compiler."""
        return None

    def all_finite(self, array: Any) -> bool:
        """Every worker looks at its own values."""
        if not isinstance(array, Shards):
            return super().all_finite(array)
        if super().all_finite(array.array):
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

    def count_attended(self, stored: Any, mask: Array | None) -> Array:
        """See :class:`hopcore.arrays._memory_kernels.MemoryKernels`."""
        if mask is not None or not isinstance(stored, Shards):
            return super().count_attended(stored, mask)
        return jnp.full((*stored.shape[:-2], 1), float(stored.count), self.precise[stored.dtype])

    def largest_square(self, stored: Any, mask: Array | None) -> Array:
        """See :class:`hopcore.arrays._memory_kernels.MemoryKernels`."""
        if not isinstance(stored, Shards):
            return super().largest_square(stored, mask)
        same_devices(stored, mask=mask)
        return workers.largest_square(stored, mask, backend=self)

    def radius(self, stored: Any, mask: Array | None) -> Array:
        """See :class:`hopcore.arrays._memory_kernels.MemoryKernels`."""
        if not isinstance(stored, Shards):
            return super().radius(stored, mask)
        same_devices(stored, mask=mask)
        return workers.radius(stored, mask, backend=self)

    def scores(self, state: Array, stored: Any, beta: Beta, mask: Array | None) -> Array:
        """Refused of shards: all scores are as many as there are patterns, for each query."""
        if isinstance(stored, Shards):
            raise too_many_weights("shards")
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
        """See :meth:`hopcore.Backend.associate`."""
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
        """See :meth:`hopcore.Backend.conjugate`."""
        if not isinstance(stored, Shards):
            return super().conjugate(state, stored, beta, mask, separation)
        return self.associated(state, stored, None, beta, mask, separation)[1]

    def is_sharded(self, patterns: Any) -> bool:
        """Whether patterns are shards."""
        return isinstance(patterns, Shards)

    def neighbours(
        self, patterns: Any, k: int, mask: Array | None, unit: Any
    ) -> tuple[Array, Array]:
        """See :meth:`hopcore.Backend.neighbours`; parts of the memory go round."""
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

    def neighbour_sum(self, entries: Any, values: Array, features: Any) -> Any:
        """See :meth:`hopcore.Backend.neighbour_sum`; parts of the features go round."""
        if not isinstance(features, Shards):
            return super().neighbour_sum(entries, values, features)
        same_devices(features, graph=values)
        return rings.neighbour_sum(entries, values, features)

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
        return workers.associate(
            state,
            stored,
            projection,
            beta,
            mask,
            backend=self,
            separation=separation,
            budget=self.block(state),
        )


def mesh_of(shards: Shards) -> tuple[Any, str]:
    """Over what shards are split."""
    return shards.mesh, shards.axis


def same_devices(stored: Shards, **arrays: Any) -> None:
    """Refuse arrays that were put on other devices than the workers; JAX would say it in pages."""
    devices = set(stored.mesh.devices.flat)
    for name, array in arrays.items():
        values = values_of(array)
        if not isinstance(values, jax.Array) or loops.traced(values) or not values.committed:
            continue
        if values.sharding.device_set != devices:
            raise ValueError(
                f"{name} must be on the {len(devices)} devices of the mesh of stored patterns, got "
                f"{named(values.sharding.device_set)}; jax.device_put({name}, "
                "NamedSharding(mesh, PartitionSpec())) puts it there"
            )


def named(devices: set[Any]) -> str:
    """Devices by their names; of many, how many they are."""
    return f"{len(devices)} devices" if len(devices) > 1 else str(next(iter(devices)))
