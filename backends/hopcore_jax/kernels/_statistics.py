"""Statistics of association weights by blocks, so that no array of size (L, S) is ever held."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from hopcore.arrays import Array, Backend, Beta, SeparationFunction, weight_statistics, with_orders
from hopcore_jax.kernels._blocks import FEWEST_ROWS, Places, Rows, cut, join, piecewise, precision
from hopcore_jax.kernels._products import recalled
from hopcore_jax.kernels._separate import library, separate, without_lowest


@partial(jax.jit, static_argnames=("backend", "separation", "budget"))
def statistics(
    state: Array,
    stored: Array,
    beta: Beta,
    mask: Array | None,
    orders: Array | None = None,
    *,
    backend: Backend,
    separation: SeparationFunction,
    budget: int,
) -> tuple[Array, ...]:
    """:meth:`hopcore.Backend.statistics`, about ``budget`` scores at a time."""
    beta = jnp.asarray(beta, dtype=state.dtype)
    stored = for_each_place(state, stored, beta, mask)
    places = Places.of(state, stored, None, beta, mask)
    with precision(state.dtype):
        *found, received = statistics_in_blocks(
            places.memories(stored),
            places.queries(state, 2),
            places.queries(beta, 1),
            None if orders is None else places.queries(orders, 1),
            Rows(*places.mask_rows(mask)),
            backend=backend,
            separation=separation,
            budget=budget,
        )
    received = jnp.reshape(received, stored.shape[:-1])
    return *(places.conjugate(x) for x in found), received


def for_each_place(state: Array, stored: Array, beta: Beta, mask: Array | None) -> Array:
    """Repeat the stored patterns for each place of the leading axes, which receives for itself."""
    given = [state.shape[:-2], stored.shape[:-2], np.shape(beta)[:-1]]
    lead = np.broadcast_shapes(*given, () if mask is None else mask.shape[:-2])
    return jnp.broadcast_to(stored, (*lead, *stored.shape[-2:]))


def statistics_in_blocks(
    memories: Array,
    state: Array,
    beta: Array,
    orders: Array | None,
    mask: Rows,
    *,
    backend: Backend,
    separation: SeparationFunction,
    budget: int,
) -> tuple[Array, ...]:
    """:func:`statistics` for queries ``(B, R, d)`` of memories ``(B, S, d)``; see :class:`Places`.

    What is received is ``(B, S)``. The derivative of a block computes its scores again.
    """
    (batch, queries), size = beta.shape, memories.shape[1]
    memories_at_once = max(1, budget // max(1, queries * size))
    queries_at_once = max(FEWEST_ROWS, budget // size)
    cuts = max(1, -(-batch // memories_at_once)), max(1, -(-queries // queries_at_once))

    def block(
        stored: Array, state: Array, beta: Array, counts: Array, which: Any, orders: Any
    ) -> tuple[Array, ...]:
        scores = backend.scores(state, stored, beta, mask.of(which))
        return statistics_of_scores(with_orders(separation, orders), scores, counts)

    cheap = block if cuts == (1, 1) else jax.checkpoint(block, prevent_cse=False)

    def of_memories(stored: Array, *of_queries: Any) -> tuple[Array, ...]:
        if cuts[1] == 1:
            return cheap(stored, *of_queries)

        def step(total: Array, some: Any) -> Any:
            *found, received = cheap(stored, *some)
            return total + received, tuple(found)

        total = jnp.zeros_like(stored[..., 0])
        received, found = lax.scan(step, total, cut(of_queries, 1, cuts[1]))
        return *join(found, 1, queries), received

    # Queries that pad a block count for nothing.
    counts = jnp.ones_like(beta)
    return piecewise(of_memories, 0, cuts[0], (memories, state, beta, counts, mask.number, orders))


def statistics_of_scores(
    separation: SeparationFunction, scores: Array, counts: Array
) -> tuple[Array, ...]:
    """Statistics of scores ``(..., L, S)``; ``counts (..., L)`` is 0 for queries not to count."""
    weights, conjugate = separate(separation, scores)
    received = recalled(counts[..., None, :], weights)[..., 0, :]
    return without_lowest(conjugate), *weight_statistics(weights, library(separation)), received
