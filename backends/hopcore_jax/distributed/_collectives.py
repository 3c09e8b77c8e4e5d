"""The work of each worker of a mesh on its stored patterns, and the merging of the results."""

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

from hopcore.arrays import (
    Array,
    Backend,
    Beta,
    Loop,
    OverWorkers,
    SeparationFunction,
    best_over_workers,
    merge_over_workers,
)
from hopcore_jax.distributed._memory import Shards, rows_over, values_of, with_rows
from hopcore_jax.kernels import _blocks as blocks
from hopcore_jax.kernels import _statistics as kernels
from hopcore_jax.kernels._separate import InParts

EVERYWHERE = PartitionSpec()
"""The partition of an array that every worker holds."""


@dataclass(frozen=True)
class Workers:
    """The workers along an axis of a mesh, inside ``shard_map``."""

    axis: str

    def sum(self, array: Array) -> Array:
        return lax.psum(array, self.axis)

    def max(self, array: Array) -> Array:
        return lax.pmax(lax.stop_gradient(array), self.axis)


@dataclass(frozen=True)
class OverShards(InParts):
    """A separation function whose scores lie on several workers."""

    separation: SeparationFunction
    workers: Workers
    softmax = False
    reach = math.inf
    """Infinite, since weights from the largest scores alone would have to gather these."""

    def reach_of(self, largest: Array) -> Array:
        """Infinite, see :attr:`reach`."""
        return jnp.full_like(largest, math.inf)

    def library(self, xp: Any) -> Any:
        return OverWorkers(xp, self.workers)

    def evaluate(
        self, scores: Array, xp: Any, loop: Loop, largest: Array | None = None
    ) -> tuple[Array, Array]:
        """Weights of a worker's scores among those of all workers, and the conjugate of all."""
        return self.separation.evaluate(scores, self.library(xp), loop, largest)

    def tangent(self, weights: Array, change: Array, xp: Any) -> Array:
        """The change of a worker's weights by the changes of all scores."""
        return self.separation.tangent(weights, change, self.library(xp))


def over_workers(
    work: Callable[..., Any], stored: Shards, arrays: Any, split: Any, results: Any = EVERYWHERE
) -> Any:
    """Call ``work`` on each worker with its rows, and with its part of the arrays that are split.

    The results must be the same on all workers, unless it is said how they are split.
    """
    return jax.shard_map(
        work,
        mesh=stored.mesh,
        in_specs=(rows_over(stored.axis, stored.ndim), *split),
        out_specs=results,
        axis_names={stored.axis},
        check_vma=False,
    )(stored.array, *arrays)


def columns(mask: Array | None, stored: Shards) -> tuple[Array | None, PartitionSpec]:
    """Return a mask that also hides the padding, and how it is split."""
    size = stored.array.shape[-2]
    if size > stored.count:
        stored_columns = jnp.arange(size) < stored.count
        if mask is None:
            mask = stored_columns
        elif mask.shape[-1] == 1:
            mask = mask & stored_columns
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
    backend: Backend,
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
            return merge_over_workers(jnp, workers, output, conjugate)
        return None if output is None else workers.sum(output), conjugate

    values, everywhere = values_of(projection), PartitionSpec()
    rows = everywhere
    if values is not None:
        # Every worker holds a projection that is not sharded, and takes its own rows of it.
        values, rows = (
            with_rows(values, stored.array.shape[-2]),
            rows_over(stored.axis, values.ndim),
        )
    mask, split = columns(mask, stored)
    beta = jnp.asarray(beta, dtype=backend.precise[state.dtype])
    return over_workers(
        work, stored, (values, state, beta, mask), (rows, everywhere, everywhere, split)
    )


@partial(jax.jit, static_argnames=("backend", "separation"))
def best(
    state: Array,
    stored: Shards,
    beta: Beta,
    mask: Array | None,
    *,
    backend: Backend,
    separation: SeparationFunction,
) -> tuple[Array, ...]:
    """:meth:`hopcore.Backend.best`: the best pattern of each worker, and the best of these."""
    workers = Workers(stored.axis)
    own = OverShards(separation, workers)

    def work(stored: Array, state: Array, beta: Array, mask: Any) -> tuple[Array, ...]:
        index, score, weight, conjugate = backend.best(state, stored, beta, mask, own)
        start = lax.axis_index(workers.axis) * stored.shape[-2]
        return *best_over_workers(jnp, workers, (index, score, weight), start), conjugate

    mask, split = columns(mask, stored)
    beta, everywhere = jnp.asarray(beta, dtype=state.dtype), PartitionSpec()
    return over_workers(work, stored, (state, beta, mask), (everywhere, everywhere, split))


@partial(jax.jit, static_argnames=("backend", "separation", "budget"))
def statistics(
    state: Array,
    stored: Shards,
    beta: Beta,
    mask: Array | None,
    *,
    backend: Backend,
    separation: SeparationFunction,
    budget: int,
) -> tuple[Array, ...]:
    """:meth:`hopcore.Backend.statistics`; what patterns receive stays where they are."""
    own = OverShards(separation, Workers(stored.axis))

    def work(stored: Array, state: Array, beta: Array, mask: Any) -> tuple[Array, ...]:
        return kernels.statistics(
            state, stored, beta, mask, backend=backend, separation=own, budget=budget
        )

    mask, split = columns(mask, stored)
    beta, everywhere = jnp.asarray(beta, dtype=state.dtype), PartitionSpec()
    lead = np.broadcast_shapes(
        state.shape[:-2],
        stored.shape[:-2],
        beta.shape[:-1],
        () if mask is None else mask.shape[:-2],
    )
    of_patterns = PartitionSpec(*[None] * len(lead), stored.axis)
    *found, received = over_workers(
        work,
        stored,
        (state, beta, mask),
        (everywhere, everywhere, split),
        (*[everywhere] * 4, of_patterns),
    )
    return *found, received[..., : stored.count]


@partial(jax.jit, static_argnames="backend")
def without_unattended(stored: Shards, mask: Array, *, backend: Any) -> Shards:
    """The patterns with zeros where no query may attend."""
    shown, split = columns(mask, stored)
    array = jax.shard_map(
        backend.without_unattended,
        mesh=stored.mesh,
        in_specs=(rows_over(stored.axis, stored.ndim), split),
        out_specs=rows_over(stored.axis, stored.ndim),
        axis_names={stored.axis},
        check_vma=False,
    )(stored.array, shown)
    return replace(stored, array=array)


@partial(jax.jit, static_argnames="backend")
def radius(stored: Shards, mask: Array | None, *, backend: Backend) -> Array:
    """The norm of the longest of attended patterns, ``(..., L)``, without a derivative."""
    workers = Workers(stored.axis)
    mask, split = columns(mask, stored)
    return over_workers(
        lambda own, mask: workers.max(backend.radius(own, mask)), stored, (mask,), (split,)
    )


@partial(jax.jit, static_argnames="backend")
def largest_square(stored: Shards, mask: Array | None, *, backend: Backend) -> Array:
    """The largest square of a norm of attended patterns, ``(..., L)``."""
    workers = Workers(stored.axis)

    def work(stored: Array, mask: Any) -> Array:
        squares = backend.square_lengths(stored)
        if mask is not None:
            squares = jnp.where(mask, squares[..., None, :], 0.0)
        largest = workers.max(jnp.max(squares, axis=-1, keepdims=True))
        # The derivative is that of the largest pattern, or the mean over patterns that tie.
        ties = squares == largest
        change = jnp.where(ties, squares - lax.stop_gradient(squares), 0.0)
        change, count = (workers.sum(jnp.sum(x, axis=-1, keepdims=True)) for x in (change, ties))
        largest = largest + change / count
        return largest if mask is None else largest[..., 0]

    shown, split = columns(mask, stored)
    return over_workers(work, stored, (shown,), (split,))
