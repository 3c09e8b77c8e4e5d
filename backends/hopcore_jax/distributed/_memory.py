"""Stored patterns that are split over the workers of a mesh."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import hopcore
from hopcore_jax.kernels import _loops as loops


@dataclass(frozen=True, eq=False)
class Shards:
    """Stored patterns ``(..., S, d)`` of which each worker of a mesh holds some; a pytree.

    :func:`shard` makes them. Their derivatives are shards, too.

    Attributes
    ----------
    array : jax.Array (..., S', d)
        The patterns, padded with zeros to a multiple of the workers and split over the mesh.
    count : int
        S, the number of patterns.
    mesh : jax.sharding.Mesh
        The mesh, one axis of which are the workers.
    axis : str
        The axis of the mesh over which they are split.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, hopcore
    >>> from hopcore_jax.distributed import shard
    >>> mesh = jax.sharding.Mesh(jax.devices()[:1], "memory")
    >>> stored = shard(jnp.eye(4, dtype="float32"), mesh)
    >>> stored
    <Shards (4, 4) float32, 1 worker along 'memory'>
    >>> hopcore.association(jnp.ones((1, 4), "float32"), stored, beta=1.0)
    Array([[0.25, 0.25, 0.25, 0.25]], dtype=float32)
    """

    array: jax.Array
    count: int
    mesh: Mesh
    axis: str

    @property
    def shape(self) -> tuple[int, ...]:
        """``(..., S, d)``, without the padding."""
        return (*self.array.shape[:-2], self.count, self.array.shape[-1])

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    @property
    def dtype(self) -> Any:
        """The dtype of the patterns."""
        return self.array.dtype

    @property
    def workers(self) -> int:
        """The number of workers."""
        return self.mesh.shape[self.axis]

    def whole(self) -> jax.Array:
        """Gather all patterns into one array ``(..., S, d)``."""
        return self.array[..., : self.count, :]

    def _with(self, other: Any, function: Callable[[Any, Any], jax.Array]) -> Shards:
        """Combine every value with a number, with other shards, or with numbers ``(S, 1)``."""
        if isinstance(other, Shards):
            if (other.shape, other.mesh, other.axis) != (self.shape, self.mesh, self.axis):
                raise ValueError(f"shards must be split alike, got {self!r} and {other!r}")
            other = other.array
        elif getattr(other, "ndim", 0):
            missing = self.array.shape[-2] - other.shape[-2]
            # Padded with ones, so that the padding of the patterns stays 0.
            other = jnp.pad(other, ((0, missing), (0, 0)), constant_values=1)
        return self.with_array(function(self.array, other))

    def with_array(self, array: jax.Array) -> Shards:
        """Return other patterns ``(..., S', d)`` that are split in the same way."""
        sharding = NamedSharding(self.mesh, rows_over(self.axis, array.ndim))
        return replace(self, array=jax.lax.with_sharding_constraint(array, sharding))

    def __add__(self, other: Shards) -> Shards:
        return self._with(other, jnp.add)

    def __sub__(self, other: Shards) -> Shards:
        return self._with(other, jnp.subtract)

    def __mul__(self, other: Any) -> Shards:
        return self._with(other, jnp.multiply)

    def __truediv__(self, other: Any) -> Shards:
        return self._with(other, jnp.divide)

    __rmul__ = __mul__

    def __repr__(self) -> str:
        many = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        return f"<Shards {self.shape} {self.dtype}, {many} along {self.axis!r}>"

    def __array_namespace__(self, *, api_version: str | None = None) -> ModuleType:
        """JAX's namespace; hopcore's functions accept shards, those of the namespace do not."""
        return jnp

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("shards are not gathered unless asked for: .whole() gathers them")

    def __jax_array__(self) -> jax.Array:
        raise TypeError(
            "this is not done over shards, which are not gathered unless asked for: "
            ".whole() gathers them"
        )


jax.tree_util.register_dataclass(
    Shards, data_fields=["array"], meta_fields=["count", "mesh", "axis"]
)


def shard(patterns: Any, mesh: Mesh, axis: str | None = None) -> Shards:
    """Split stored patterns, or pattern projections, over an axis of a mesh.

    Parameters
    ----------
    patterns : array (..., S, d)
        A JAX array, which may be traced. Or a NumPy array, a ``numpy.memmap``, a data set of h5py
        or a :class:`hopcore.Streamed` memory: then each device reads its own rows alone, and the
        whole is never in memory.
    mesh : jax.sharding.Mesh
        The mesh. Patterns are repeated over its other axes, over which queries may be split.
    axis : str, optional
        The axis of the mesh; it may be left out if there is only one.

    Returns
    -------
    Shards
        Each of n workers holds the next ceil(S / n) of S patterns, and the last ones the rest.

    Raises
    ------
    TypeError
        Not a mesh; not real floating.
    ImportError
        JAX is older than 0.6.
    ValueError
        Not patterns; an axis that the mesh lacks; fewer patterns than workers.

    Notes
    -----
    A pattern takes memory on one worker only, so the memory of a worker falls as 1/n. An update of
    L queries exchanges O(L v) numbers, however many patterns there are.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, hopcore
    >>> from hopcore_jax.distributed import shard
    >>> stored = shard(jnp.eye(2, dtype="float32"), jax.sharding.Mesh(jax.devices()[:1], "memory"))
    >>> hopcore.retrieve(jnp.zeros((1, 2), "float32"), stored, 1.0).state
    Array([[0.5, 0.5]], dtype=float32)
    """
    if not hasattr(jax, "shard_map"):
        raise ImportError(f"a memory over a mesh needs JAX 0.6 or later, this is {jax.__version__}")
    if not isinstance(mesh, Mesh):
        raise TypeError(f"mesh must be a jax.sharding.Mesh, got {type(mesh).__name__}")
    # With automatic axes, the compiler places the arrays that are used with the patterns.
    mesh = Mesh(mesh.devices, mesh.axis_names)
    axis = axis_named(mesh, axis)
    if len(getattr(patterns, "shape", ())) < 2 or 0 in patterns.shape:
        given = getattr(patterns, "shape", type(patterns).__name__)
        raise ValueError(f"patterns must be an array (..., S, d), not empty, got {given}")
    if not jnp.issubdtype(patterns.dtype, jnp.floating):
        raise TypeError(f"patterns must be real floating, got {patterns.dtype}; convert them first")
    count, workers = patterns.shape[-2], mesh.shape[axis]
    if count < workers:
        raise ValueError(
            f"every worker must hold a pattern, got {count} patterns for the {workers} workers "
            f"along {axis!r}"
        )
    size = -(-count // workers) * workers
    sharding = NamedSharding(mesh, rows_over(axis, len(patterns.shape)))
    if isinstance(patterns, jax.Array):
        padded = with_rows(patterns, size)
        place = jax.lax.with_sharding_constraint if loops.traced(padded) else jax.device_put
        return Shards(place(padded, sharding), count, mesh, axis)
    shape = (*patterns.shape[:-2], size, patterns.shape[-1])
    dtype = jax.dtypes.canonicalize_dtype(patterns.dtype)
    read = reader(patterns, shape, dtype)
    array = jax.make_array_from_callback(shape, sharding, read, dtype=dtype)
    return Shards(array, count, mesh, axis)


def values_of(array: Any) -> Any:
    """The array of shards, or any other array itself."""
    return array.array if isinstance(array, Shards) else array


def axis_named(mesh: Mesh, axis: str | None) -> str:
    """Return the axis of a mesh over which patterns are split, or raise if it is not clear."""
    names = tuple(mesh.axis_names)
    if axis is None and len(names) == 1:
        return names[0]
    if axis is None or axis not in names:
        wanted = "axis must name one of them" if axis is None else f"got {axis!r}"
        raise ValueError(f"the axes of the mesh are {', '.join(map(repr, names))}: {wanted}")
    return axis


def rows_over(axis: str, ndim: int) -> PartitionSpec:
    """The partition of patterns ``(..., S, d)`` over an axis of a mesh."""
    return PartitionSpec(*[None] * (ndim - 2), axis, None)


def with_rows(patterns: jax.Array, size: int) -> jax.Array:
    """Pad patterns ``(..., S, d)`` with zeros to ``size`` patterns."""
    missing = size - patterns.shape[-2]
    if missing == 0:
        return patterns
    return jnp.pad(patterns, [*[(0, 0)] * (patterns.ndim - 2), (0, missing), (0, 0)])


def reader(patterns: Any, shape: tuple[int, ...], dtype: Any) -> Callable[[Any], np.ndarray]:
    """Return a function that reads a part of the padded patterns from a source of slices."""
    count, size = patterns.shape[-2], shape[-2]

    def read(index: Any) -> np.ndarray:
        start, stop, _ = index[-2].indices(size)
        part = np.zeros((*shape[:-2], stop - start, shape[-1]), dtype)
        rows = slice(start, min(stop, count))
        if rows.stop > start:
            streamed = isinstance(patterns, hopcore.Streamed)
            values = patterns.read(rows) if streamed else patterns[(*index[:-2], rows)]
            part[..., : rows.stop - start, :] = values
        return part

    return read
