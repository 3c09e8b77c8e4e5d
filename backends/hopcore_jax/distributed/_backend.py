"""The backend of calls whose stored patterns are shards, with one program for all workers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hopcore.arrays import (
    Array,
    Backend,
    Beta,
    SeparationFunction,
    attended_by_some,
    orders_in_parts,
    orders_of,
    too_many_weights,
)
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

    def backend_for_states(self, states: Backend, state: Array) -> Any:
        """Return this backend for states of JAX."""
        return self if isinstance(states, JaxBackend) else None

    def mixes_with(self, other: Backend) -> bool:
        """Whether arrays are shards or arrays of JAX."""
        return isinstance(other, JaxBackend)

    def can_read_values(self, array: Any) -> bool:
        return super().can_read_values(values_of(array))

    def device(self, array: Any) -> Any:
        """None, since the compiler places the arrays of a call."""
        return None

    def all_finite(self, array: Any) -> bool:
        """Check the values of each worker where they are, and name the index of a bad one."""
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
                index = tuple(int(x) for x in bad[0] + starts)
                value = float(part.data[tuple(bad[0])])
                raise ValueError(f"shards must be finite, got {value} at index {index}")
        return False

    def all_moderate(self, array: Any) -> bool:
        return super().all_moderate(values_of(array))

    def without_unattended(self, array: Any, mask: Array) -> Any:
        """Hide rows where they are; the rows that pad the parts are zeros already."""
        if not isinstance(array, Shards):
            return super().without_unattended(array, mask)
        same_devices(array, mask=mask)
        return workers.without_unattended(array, mask, backend=self)

    def astype(self, array: Any, dtype: Any) -> Any:
        if not isinstance(array, Shards):
            return super().astype(array, dtype)
        return replace(array, array=super().astype(array.array, dtype))

    def magnitude(self, array: Any, mask: Any = None) -> float:
        return super().magnitude(values_of(array))

    def count_attended(self, stored: Any, mask: Array | None) -> Array:
        if mask is not None or not isinstance(stored, Shards):
            return super().count_attended(stored, mask)
        return jnp.full((*stored.shape[:-2], 1), float(stored.count), self.precise[stored.dtype])

    def largest_square(self, stored: Any, mask: Array | None) -> Array:
        if not isinstance(stored, Shards):
            return super().largest_square(stored, mask)
        same_devices(stored, mask=mask)
        return workers.largest_square(stored, mask, backend=self)

    def radius(self, stored: Any, mask: Array | None) -> Array:
        if not isinstance(stored, Shards):
            return super().radius(stored, mask)
        same_devices(stored, mask=mask)
        return workers.radius(stored, mask, backend=self)

    def origin(self, stored: Any, mask: Array | None) -> Array:
        """See :meth:`hopcore.Backend.origin`; the rows that pad the parts are zeros."""
        if not isinstance(stored, Shards):
            return super().origin(stored, mask)
        same_devices(stored, mask=mask)
        shown = stored if mask is None else self.without_unattended(stored, mask)
        array = jax.lax.stop_gradient(super().astype(shown.array, self.precise[stored.dtype]))
        count: Any = float(stored.count)
        if mask is not None:
            attended = attended_by_some(jnp, mask, stored.array.shape[:-2])
            attended = jnp.broadcast_to(attended, (*attended.shape[:-1], stored.count))
            count = jnp.maximum(jnp.sum(attended, axis=-1), 1)[..., None, None]
        return jnp.sum(array, axis=-2, keepdims=True) / count

    def keys(
        self, stored: Any, origin: Array | None, bias: Array | None, squares: bool = False
    ) -> Any:
        """See :meth:`hopcore.Backend.keys`; each worker makes those of its own patterns."""
        if not isinstance(stored, Shards):
            return super().keys(stored, origin, bias, squares)
        same_devices(stored, bias=bias)
        size = stored.array.shape[-2]
        if bias is not None:
            bias = jnp.pad(bias, [*[(0, 0)] * (bias.ndim - 1), (0, size - stored.count)])
        keys = super().keys(stored.array, origin, bias, squares)
        return stored.with_array(jnp.where((jnp.arange(size) < stored.count)[:, None], keys, 0.0))

    def without_coordinates(self, keys: Any, width: int) -> Any:
        if not isinstance(keys, Shards):
            return super().without_coordinates(keys, width)
        return keys.with_array(keys.array[..., :width])

    def scores(
        self, state: Array, stored: Any, beta: Beta, mask: Array | None, half: Any = None
    ) -> Array:
        """Raise a TypeError for shards, whose scores are too many for one array."""
        if isinstance(stored, Shards):
            raise too_many_weights("shards")
        return super().scores(state, stored, beta, mask, half)

    def is_sharded(self, patterns: Any) -> bool:
        return isinstance(patterns, Shards)

    def neighbours(
        self, patterns: Any, k: int, mask: Array | None, unit: Any
    ) -> tuple[Array, Array]:
        """Send the parts of the memory around the workers, which compare them with their own."""
        *lead, nodes, _ = patterns.shape
        if k == 0:
            return jnp.zeros((*lead, nodes, 0)), jnp.zeros((*lead, nodes, 0), jnp.int32)
        same_devices(patterns, mask=mask)
        results = []
        for element in np.ndindex(*lead):
            part = replace(patterns, array=patterns.array[element]) if lead else patterns
            shown = mask if mask is None or not lead else mask[element]
            results.append(rings.neighbours(part, shown, backend=self, k=k, unit=unit))
        choices, similarities = (
            jnp.reshape(jnp.stack(x), (*lead, nodes, k)) for x in zip(*results, strict=True)
        )
        return similarities, choices

    def neighbour_sum(self, entries: Any, values: Array, features: Any) -> Any:
        """Send the parts of the features around the workers, which sum over their own rows."""
        if not isinstance(features, Shards):
            return super().neighbour_sum(entries, values, features)
        same_devices(features, graph=values)
        return rings.neighbour_sum(entries, values, features)

    def in_blocks(
        self,
        state: Array,
        stored: Any,
        projection: Any,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
        need_conjugate: bool = True,
    ) -> tuple[Array | None, Any]:
        """Associate with the part of each worker, and merge the parts."""
        if not isinstance(stored, Shards):
            return super().in_blocks(
                state, stored, projection, beta, mask, separation, need_conjugate
            )
        if orders_of(separation) is not None:
            raise orders_in_parts("a memory of shards")
        if isinstance(projection, Shards) and mesh_of(projection) != mesh_of(stored):
            raise ValueError(
                "stored and projection must be split over one axis of one mesh, "
                f"got {mesh_of(stored)} and {mesh_of(projection)}"
            )
        same_devices(stored, state=state, projection=projection, beta=beta, mask=mask)
        options: Any = {
            "backend": self,
            "separation": separation,
            "budget": self.block(state),
        }
        output, conjugate = workers.associate(state, stored, projection, beta, mask, **options)
        return output, conjugate if need_conjugate else None

    def best(
        self,
        state: Array,
        stored: Any,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
    ) -> tuple[Array, ...]:
        if not isinstance(stored, Shards):
            return super().best(state, stored, beta, mask, separation)
        if orders_of(separation) is not None:
            raise orders_in_parts("a memory of shards")
        same_devices(stored, state=state, beta=beta, mask=mask)
        return workers.best(state, stored, beta, mask, backend=self, separation=separation)

    def statistics(
        self,
        state: Array,
        stored: Any,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
    ) -> tuple[Array, ...]:
        if not isinstance(stored, Shards):
            return super().statistics(state, stored, beta, mask, separation)
        if orders_of(separation) is not None:
            raise orders_in_parts("a memory of shards")
        same_devices(stored, state=state, beta=beta, mask=mask)
        options: Any = {"backend": self, "separation": separation, "budget": self.block(state)}
        return workers.statistics(state, stored, beta, mask, **options)


def mesh_of(shards: Shards) -> tuple[Any, str]:
    """The mesh and the axis over which shards are split."""
    return shards.mesh, shards.axis


def same_devices(stored: Shards, **arrays: Any) -> None:
    """Raise one line for arrays on other devices than the workers'; JAX would raise pages."""
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
    """The name of one device, or the number of several."""
    return f"{len(devices)} devices" if len(devices) > 1 else str(next(iter(devices)))
