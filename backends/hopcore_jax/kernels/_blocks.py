"""Associations by blocks of scores, so that no array of size (L, S) is ever held."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from hopcore.arrays import Array, Backend, Beta, SeparationFunction, with_orders
from hopcore_jax.kernels._separate import recall

FEWEST_ROWS = 8
"""Queries in a block at least, since fewer would not keep a processor busy."""


@partial(jax.jit, static_argnames=("backend", "separation", "budget", "need_conjugate"))
def associate(
    state: Array,
    stored: Array,
    projection: Array | None,
    beta: Beta,
    mask: Array | None,
    orders: Array | None = None,
    *,
    backend: Any,
    separation: SeparationFunction,
    budget: int,
    need_conjugate: bool = True,
) -> tuple[Array | None, Array | None]:
    """Association (None without a projection) and conjugate, about ``budget`` scores at a time.

    The conjugate is -inf where nothing is attended; it is left out unless it is needed.

    The derivative of a block computes its scores again, so that it needs no more memory.
    """
    dtype, precise = state.dtype, backend.precise[state.dtype]
    beta = jnp.asarray(beta, dtype=precise)
    places = Places.of(state, stored, projection, beta, mask)
    masks, mask_of = places.mask_rows(mask)
    with precision(dtype):
        output, conjugate = in_blocks(
            places.memories(stored.astype(precise)),
            None if projection is None else places.memories(projection.astype(precise)),
            places.queries(state.astype(precise), 2),
            places.queries(beta, 1),
            None if orders is None else places.queries(orders, 1),
            Rows(masks, mask_of),
            backend=backend,
            separation=separation,
            budget=budget,
            half=backend.half_of(state),
        )
    return places.output(output), places.conjugate(conjugate) if need_conjugate else None


class Rows(NamedTuple):
    """The rows of a mask or a bias, and the number of the row of each query ``(B, R)``.

    Without numbers all queries share the one row; without rows there is no mask.
    """

    rows: Array | None = None
    number: Array | None = None

    def of(self, number: Array | None) -> Array | None:
        """Return the rows of some queries."""
        if self.rows is None or number is None:
            return self.rows
        return jnp.take(self.rows, number, axis=0, mode="clip")


NO_ROWS = Rows()


def in_blocks(
    stored: Array,
    values: Array | None,
    state: Array,
    beta: Array,
    orders: Array | None = None,
    mask: Rows = NO_ROWS,
    bias: Rows = NO_ROWS,
    *,
    backend: Any,
    separation: SeparationFunction,
    budget: int,
    half: Any = None,
) -> tuple[Array | None, Array]:
    """:func:`associate` for queries ``(B, R, d)`` of memories ``(B, S, d)``; see :class:`Places`.

    The numbers of the bias are added to the scores. ``half`` is the dtype of the call if its
    products are those of half precision; see ``hopcore_jax/kernels/_products.py``.
    """
    (batch, queries), size = beta.shape, stored.shape[1]
    memories_at_once = max(1, budget // max(1, queries * size))
    queries_at_once = max(FEWEST_ROWS, budget // size)
    cuts = max(1, -(-batch // memories_at_once)), max(1, -(-queries // queries_at_once))

    def block(
        stored: Array, values: Any, state: Array, beta: Array, orders: Any, *numbers: Any
    ) -> Any:
        scores = backend.scores(state, stored, beta, mask.of(numbers[0]), half)
        if bias.rows is not None:
            scores = scores + bias.of(numbers[1])
        return recall(with_orders(separation, orders), scores, values, half)

    cheap = block if cuts == (1, 1) else jax.checkpoint(block, prevent_cse=False)

    def memories(stored: Array, values: Any, *of_queries: Any) -> Any:
        return piecewise(partial(cheap, stored, values), 1, cuts[1], of_queries)

    of_queries = state, beta, orders, mask.number, bias.number
    return piecewise(memories, 0, cuts[0], (stored, values, *of_queries))


def associate_at_once(
    backend: Backend,
    separation: SeparationFunction,
    state: Array,
    stored: Array,
    projection: Array | None,
    beta: Beta,
    mask: Array | None,
) -> tuple[Array | None, Array]:
    """:func:`associate` with all scores at once, for sizes that ``jax.export`` leaves open."""
    dtype, precise = state.dtype, backend.precise[state.dtype]
    beta = jnp.asarray(beta, dtype=precise)
    state, stored = state.astype(precise), stored.astype(precise)
    values = None if projection is None else projection.astype(precise)
    with precision(dtype):
        return recall(separation, backend.scores(state, stored, beta, mask), values)


def piecewise(
    function: Callable[..., Any], axis: int, count: int, arrays: Sequence[Array | None]
) -> Any:
    """Apply a function in ``count`` pieces along an axis of all arrays and all results."""
    if count == 1:
        return function(*arrays)
    length = jax.tree.leaves(arrays)[0].shape[axis]
    pieces = lax.map(lambda some: function(*some), cut(tuple(arrays), axis, count))
    return join(pieces, axis, length)


def cut(arrays: Any, axis: int, count: int) -> Any:
    """Cut arrays into pieces along an axis, which are stacked in front; the last has zeros."""

    def pieces_of(array: Array) -> Array:
        length = array.shape[axis]
        size = -(-length // count)
        before, after = array.shape[:axis], array.shape[axis + 1 :]
        padding = [(0, 0)] * array.ndim
        padding[axis] = (0, size * count - length)
        padded = jnp.pad(array, padding)
        return jnp.moveaxis(jnp.reshape(padded, (*before, count, size, *after)), axis, 0)

    return jax.tree.map(pieces_of, arrays)


def join(arrays: Any, axis: int, length: int) -> Any:
    """Join pieces that are stacked in front along an axis of that length."""

    def whole(pieces: Array) -> Array:
        pieces = jnp.moveaxis(pieces, 0, axis)
        before, after = pieces.shape[:axis], pieces.shape[axis + 2 :]
        return lax.slice_in_dim(jnp.reshape(pieces, (*before, -1, *after)), 0, length, axis=axis)

    return jax.tree.map(whole, arrays)


@dataclass(frozen=True)
class Places:
    """The assignment of the leading axes of an association to memories or to queries.

    The axes over which the stored patterns or their projections differ become one batch axis B. The
    others join the query axis, of length R, so that a shared memory meets all its queries in one
    product.
    """

    lead: tuple[int, ...]
    """The leading axes of all arrays together."""
    scored: tuple[int, ...]
    """The leading axes of the scores, without the projection's, aligned to the right."""
    differ: tuple[int, ...]
    """The axes of ``lead`` over which memories differ."""
    length: int
    """L, the queries of one memory."""

    @classmethod
    def of(
        cls, state: Array, stored: Array, projection: Array | None, beta: Array, mask: Array | None
    ) -> Places:
        """Assign the axes of checked arrays."""
        memories = [x.shape[:-2] for x in (stored, projection) if x is not None]
        others = [state.shape[:-2], beta.shape[:-1]] + ([] if mask is None else [mask.shape[:-2]])
        lead = np.broadcast_shapes(*memories, *others)
        scored = np.broadcast_shapes(stored.shape[:-2], *others)
        shared = (1,) * len(lead)
        common = np.broadcast_shapes(shared, *memories)
        differ = tuple(axis for axis, size in enumerate(common) if size != 1)
        return cls(lead, scored, differ, state.shape[-2])

    @property
    def order(self) -> tuple[int, ...]:
        """The axes of ``lead``, beginning with those over which memories differ."""
        rest = (axis for axis in range(len(self.lead)) if axis not in self.differ)
        return (*self.differ, *rest)

    @property
    def batch(self) -> int:
        """B, the number of memories."""
        return math.prod(self.lead[axis] for axis in self.differ)

    def queries(self, array: Array, rank: int) -> Array:
        """An array ``(..., L, *)`` whose last ``rank`` axes are its own, as ``(B, R, *)``."""
        own = array.shape[array.ndim - rank + 1 :] if rank > 1 else ()
        array = jnp.broadcast_to(array, (*self.lead, self.length, *own))
        last = range(len(self.lead), array.ndim)
        # Not -1, which is ambiguous if there are no memories.
        queries = self.length * math.prod(
            size for axis, size in enumerate(self.lead) if axis not in self.differ
        )
        return jnp.reshape(jnp.transpose(array, (*self.order, *last)), (self.batch, queries, *own))

    def memories(self, array: Array) -> Array:
        """Stored patterns or projections ``(..., S, v)`` as ``(B, S, v)``."""
        each = tuple(self.lead[axis] for axis in self.differ)
        padded = (1,) * (len(self.lead) + 2 - array.ndim) + array.shape[:-2]
        array = jnp.reshape(array, (*(padded[axis] for axis in self.differ), *array.shape[-2:]))
        array = jnp.broadcast_to(array, (*each, *array.shape[-2:]))
        return jnp.reshape(array, (self.batch, *array.shape[-2:]))

    def mask_rows(self, mask: Array | None) -> tuple[Any, Array | None]:
        """Return the rows of a mask and the row of each query ``(B, R)``, or None if all share one.

        A shared mask is never repeated in memory.
        """
        if mask is None:
            return None, None
        mask = jnp.atleast_2d(mask)
        rows = jnp.reshape(mask, (-1, mask.shape[-1]))
        if rows.shape[0] == 0:  # no queries; JAX takes nothing from no rows in the wrong shape
            return jnp.ones((1, mask.shape[-1]), bool), None
        if rows.shape[0] == 1:
            return rows, None
        which = jnp.reshape(jnp.arange(rows.shape[0], dtype=jnp.int32), mask.shape[:-1])
        return rows, self.queries(which, 1)

    def output(self, array: Array | None) -> Array | None:
        """``(B, R, v)`` as ``(..., L, v)``."""
        return None if array is None else self._unfold(array)

    def conjugate(self, array: Array) -> Array:
        """``(B, R)`` as ``(..., L)``, without the axes that only the projection has."""
        array = self._unfold(array)
        kept = (1,) * (len(self.lead) - len(self.scored)) + self.scored
        array = array[tuple(slice(0, size) for size in kept)]
        return jnp.reshape(array, (*self.scored, self.length))

    def _unfold(self, array: Array) -> Array:
        order = self.order
        own = array.shape[2:]
        array = jnp.reshape(array, (*(self.lead[axis] for axis in order), self.length, *own))
        back = sorted(range(len(order)), key=order.__getitem__)
        return jnp.transpose(array, (*back, *range(len(order), array.ndim)))


def precision(dtype: Any) -> AbstractContextManager[Any]:
    """Compute float32 products in float32, unless the user chose that a GPU may round factors."""
    chosen = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    if dtype.itemsize == 2 or chosen is not None:
        return nullcontext()
    return jax.default_matmul_precision("highest")
