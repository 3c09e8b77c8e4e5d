"""Nearest neighbours over a mesh: the parts go round, and visit one worker after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from hopcore.arrays import GATHER_BLOCK, MASKED_SCORE, Array, Backend, Rows
from hopcore_jax.distributed._memory import Shards
from hopcore_jax.kernels._blocks import precision

Unit = Callable[[Backend, Array, Array], Array]
"""Scales patterns to norm 1, or to 0 where a mask is False."""


@partial(jax.jit, static_argnames=("backend", "k", "unit"))
def neighbours(
    patterns: Shards, mask: Array | None, *, backend: Backend, k: int, unit: Unit
) -> tuple[Array, Array]:
    """The k most similar others of each of the patterns ``(S, d)``, and their similarities."""
    axis, workers = patterns.axis, patterns.workers
    size = patterns.array.shape[0]
    places = jnp.arange(size, dtype=jnp.int32)
    shown = places < patterns.count
    if mask is not None:
        shown = shown & jnp.pad(mask, (0, size - patterns.count))

    def work(rows: Array, shown: Array, places: Array) -> tuple[Array, Array]:
        own = unit(backend, rows, shown)
        go = partial(ring, axis, workers)
        with precision(rows.dtype):
            choices = nearest(go, lax.stop_gradient(own), shown, places, k, patterns.count)
        return choices, pair_products(go, own, choices, places[0])

    each = PartitionSpec(axis)
    found = jax.shard_map(
        work,
        mesh=patterns.mesh,
        in_specs=(each, each, each),
        out_specs=(each, each),
        axis_names={axis},
        check_vma=False,
    )(patterns.array, shown, places)
    everywhere = NamedSharding(patterns.mesh, PartitionSpec())
    choices, products = (
        lax.with_sharding_constraint(x[: patterns.count], everywhere) for x in found
    )
    return choices, products


def ring(axis: str, workers: int, work: Callable[..., Any], kept: Any, visitor: Any) -> Any:
    """Apply ``kept, visitor = work(kept, visitor)`` to the part of each worker in turn.

    After the last step every part is back on its own worker.
    """

    def step(carry: Any, _: None) -> tuple[Any, None]:
        kept, visitor = work(*carry)
        onward = [(i, (i - 1) % workers) for i in range(workers)]
        return (kept, lax.ppermute(visitor, axis, onward)), None

    return lax.scan(step, (kept, visitor), length=workers)[0]


def nearest(
    go: Callable[..., Any], own: Array, shown: Array, places: Array, k: int, count: int
) -> Array:
    """The indices ``(n, k)`` of the others with the largest inner products, among ``count``.

    Of equal products those with the patterns of the lowest indices are taken.
    """
    size = own.shape[0]

    def work(best: tuple[Array, Array], visitor: tuple[Array, ...]) -> Any:
        others, seen, numbers = visitor

        def compared(row: tuple[Array, Array]) -> tuple[Array, Array]:
            pattern, place = row
            scores = jnp.where(seen, others @ pattern, MASKED_SCORE)
            scores = jnp.where((numbers == place) | (numbers >= count), -math.inf, scores)
            value, at = lax.top_k(scores, min(k, size))
            return value, numbers[at]

        found = lax.map(compared, (own, places), batch_size=max(1, GATHER_BLOCK // size))
        values, choices = (jnp.concat(x, axis=1) for x in zip(best, found, strict=True))
        # In the order of the memory, whichever worker the visitor came from.
        below, choices = lax.sort((-values, choices), num_keys=2)
        return (-below[:, :k], choices[:, :k]), visitor

    none = jnp.full((size, k), -math.inf, own.dtype), jnp.zeros((size, k), places.dtype)
    return go(work, none, (own, shown, places))[0][1]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def pair_products(go: Callable[..., Any], own: Array, choices: Array, start: Array) -> Array:
    """Inner products ``(n, k)`` of a worker's patterns with their neighbours among all.

    They are computed one by one, so that both ends of an edge get the same number. In the
    derivative, each visitor carries along the sum of its own derivatives.
    """

    def work(found: Array, visitor: tuple[Array, Array]) -> Any:
        others, begins = visitor
        here, at = among(choices - begins, others)
        products = lax.map(lambda at: jnp.sum(own * others[at], axis=-1), at.T).T
        return jnp.where(here, products, found), visitor

    return go(work, jnp.zeros(choices.shape, own.dtype), (own, start))[0]


def _forward(go: Callable[..., Any], own: Array, choices: Array, start: Array) -> Any:
    return pair_products(go, own, choices, start), (own, choices, start)


def _back(go: Callable[..., Any], kept: Any, change: Array) -> tuple[Array, None, None]:
    own, choices, start = kept

    def work(ours: Array, visitor: tuple[Array, ...]) -> Any:
        others, begins, theirs = visitor
        here, at = among(choices - begins, others)

        def one(found: Any, edge: tuple[Array, Array]) -> tuple[Any, None]:
            ours, theirs = found
            at, change = edge
            part = change[:, None]
            return (ours + part * others[at], theirs.at[at].add(part * own)), None

        ours, theirs = lax.scan(one, (ours, theirs), (at.T, jnp.where(here, change, 0.0).T))[0]
        return ours, (others, begins, theirs)

    zeros = jnp.zeros_like(own)
    ours, (_, _, theirs) = go(work, zeros, (own, start, zeros))
    return ours + theirs, None, None


pair_products.defvjp(_forward, _back)


def among(places: Array, others: Array) -> tuple[Array, Array]:
    """Whether indices are those of a visitor's patterns, and indices that are 0 elsewhere."""
    here = (places >= 0) & (places < others.shape[0])
    return here, jnp.where(here, places, 0)


# Neighbour sums.


@jax.jit
def neighbour_sum(entries: Rows, values: Array, features: Shards) -> Shards:
    """A symmetric sparse matrix, which every worker holds, times features ``(S, d)``."""
    place = features.mesh, features.axis, features.workers
    return replace(
        features, array=_product(place, entries.rows, entries.columns, values, features.array)
    )


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _product(place: Any, rows: Array, columns: Array, values: Array, features: Array) -> Array:
    """Sum over each worker's rows with the columns that visit it."""

    def add(total: Array, edges: Array, pairs: Any) -> Array:
        value, row, column, _, others = pairs
        return total.at[row].add(value[:, None] * others[column])

    return _visited(place, add, rows, columns, values, features, features)


def _product_forward(place: Any, *given: Array) -> Any:
    return _product(place, *given), given


def _product_back(place: Any, given: tuple[Array, ...], change: Array) -> tuple[Any, ...]:
    rows, columns, values, features = given

    def add(total: Array, edges: Array, pairs: Any) -> Array:
        shown, row, column, own, others = pairs
        return total.at[edges].add(shown * jnp.sum(own[row] * others[column], axis=-1))

    by_values = _visited(place, add, rows, columns, jnp.ones_like(values), change, features, True)
    # The matrix is symmetric.
    return None, None, by_values, _product(place, rows, columns, values, change)


_product.defvjp(_product_forward, _product_back)


def _visited(
    place: Any,
    add: Callable[..., Array],
    rows: Array,
    columns: Array,
    values: Array,
    own: Array,
    visiting: Array,
    edgewise: bool = False,
) -> Array:
    """Apply ``add`` to every edge, on the worker of its row, when its column visits."""
    mesh, axis, workers = place
    size = own.shape[0] // workers
    some = min(rows.shape[0], max(1, GATHER_BLOCK // own.shape[1]))
    # Sort the edges by the workers of their rows and columns.
    cell = rows // size * workers + columns // size
    order = jnp.argsort(cell, stable=True)
    bounds = jnp.searchsorted(cell[order], jnp.arange(workers**2 + 1, dtype=cell.dtype))

    def work(own: Array, visiting: Array, number: Array, *edges: Array) -> Array:
        rows, columns, values, order, bounds = edges
        here = number[0]

        def visit(total: Array, visitor: tuple[Array, Array]) -> Any:
            others, there = visitor
            start, end = bounds[here * workers + there], bounds[here * workers + there + 1]

            def block(i: Array, total: Array) -> Array:
                at = start + i * some + jnp.arange(some, dtype=start.dtype)
                edge = order[jnp.minimum(at, order.shape[0] - 1)]
                valid = at < end
                row = jnp.where(valid, rows[edge] - here * size, 0)
                column = jnp.where(valid, columns[edge] - there * size, 0)
                value = jnp.where(valid, values[edge], 0.0)
                return add(total, edge, (value, row, column, own, others))

            return lax.fori_loop(0, (end - start + some - 1) // some, block, total), visitor

        total = jnp.zeros(values.shape, own.dtype) if edgewise else jnp.zeros_like(own)
        total, _ = ring(axis, workers, visit, total, (visiting, here))
        return lax.psum(total, axis) if edgewise else total

    each, all_of_it = PartitionSpec(axis), PartitionSpec()
    numbers = jnp.arange(workers, dtype=cell.dtype)
    return jax.shard_map(
        work,
        mesh=mesh,
        in_specs=(each, each, each, *[all_of_it] * 5),
        out_specs=all_of_it if edgewise else each,
        axis_names={axis},
        check_vma=False,
    )(own, visiting, numbers, rows, columns, values, order, bounds)
