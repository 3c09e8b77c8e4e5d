"""Association weights under XLA: their derivative, and sparse weights from few candidates."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from hopcore.arrays import Array, SeparationFunction, orders_of, with_orders
from hopcore.memory import Entmax
from hopcore_jax.kernels._loops import anywhere, run
from hopcore_jax.kernels._products import recalled

FEW = 64
"""A sparse support of at most this many patterns is found from the largest scores alone."""

GROUPS = 1024
"""About the number of groups into which stored patterns are divided to find those scores."""

MANY = 4096
"""With at least this many stored patterns that is faster."""

SOME = 512
"""From this many scores on, solvers of sparse weights are given a bound of the largest weight."""

Result = tuple[Array | None, Array]


class InParts:
    """A separation function whose scores are only one worker's part of all scores."""

    def library(self, xp: Any) -> Any:
        """The namespace whose sums over the last axis go over all parts."""
        raise NotImplementedError


def separate(separation: SeparationFunction, scores: Array) -> tuple[Array, Array]:
    """Weights ``(..., S)`` and conjugate ``(...)`` of scores ``(..., S)``.

    Their derivatives are the separation's own, so that no solver is ever differentiated: they exist
    in both modes and in every order, and are 0 where scores are masked. This is a primitive, since
    JAX forgets the rule of a ``custom_jvp`` inside a ``scan`` once it has been differentiated.
    """
    kind, orders = split_orders(separation)
    arrays = [scores]
    if orders is not None:
        arrays.append(jnp.broadcast_to(orders.astype(scores.dtype), scores.shape[:-1]))
    weights, conjugate = separate_p.bind(*arrays, separation=kind)
    return weights, conjugate


SOME_ENTMAX = Entmax(2.0)
"""The entmax that gets its orders, arrays that may be traced, in each call."""


def split_orders(separation: SeparationFunction) -> tuple[SeparationFunction, Array | None]:
    """A separation function that can be hashed, and the orders for :func:`with_orders`, if any."""
    orders = orders_of(separation)
    return (separation, None) if orders is None else (SOME_ENTMAX, orders)


def evaluate(
    scores: Array, orders: Array | None = None, *, separation: SeparationFunction
) -> list[Array]:
    """Compute the results of :func:`separate`.

    Masked scores are -inf or the lowest number. The conjugate of a row without others is the lowest
    number, too: outside of a trace ``jax_debug_infs`` stops at an infinite result.
    """
    lowest = jnp.finfo(scores.dtype).min
    # Leading axes are flattened, since XLA writes slower loops for axes of size 1.
    rows = jnp.reshape(scores, (-1, scores.shape[-1]))
    rows = jnp.where(rows <= lowest, -math.inf, rows)
    separation = with_orders(separation, None if orders is None else jnp.ravel(orders))
    largest, size = None, scores.shape[-1]
    if isinstance(size, int) and size >= SOME and not math.isinf(separation.reach):
        largest = most_weight(separation, rows)
    weights, conjugate = separation.evaluate(rows, jnp, run, largest)
    conjugate = jnp.maximum(conjugate, lowest)
    return [jnp.reshape(weights, scores.shape), jnp.reshape(conjugate, scores.shape[:-1])]


def derivative(
    primals: tuple[Array, ...], tangents: tuple[Any, ...], separation: SeparationFunction
) -> tuple[list[Array], list[Array]]:
    """The rule of :func:`separate` for both modes of differentiation."""
    scores, *orders = primals
    change, *orders_change = (ad.instantiate_zeros(x) for x in tangents)
    separation = with_orders(separation, orders[0] if orders else None)
    weights, conjugate = separate(separation, scores)
    # The weight of a masked score stays 0, whatever its change.
    change = jnp.where(scores <= jnp.finfo(scores.dtype).min, 0.0, change)
    xp = library(separation)
    by_conjugate = xp.sum(weights * change, axis=-1)
    if orders:
        push, rise = cast("Entmax", separation).order_change(weights, jnp)
        change = change + push * orders_change[0][..., None]
        by_conjugate = by_conjugate + rise * orders_change[0]
    return [weights, conjugate], [separation.tangent(weights, change, jnp), by_conjugate]


def library(separation: SeparationFunction) -> Any:
    """The namespace whose sums over the last axis go over all scores of a separation function."""
    return separation.library(jnp) if isinstance(separation, InParts) else jnp


def batched(
    arrays: tuple[Array, ...], axes: tuple[Any, ...], separation: SeparationFunction
) -> tuple[tuple[Array, Array], tuple[int, int]]:
    """The rule of :func:`separate` under ``vmap``: one more leading axis."""
    scores, *orders = (
        x[None] if axis is None else jnp.moveaxis(x, axis, 0)
        for x, axis in zip(arrays, axes, strict=True)
    )
    size = max(x.shape[0] for x in (scores, *orders))
    scores = jnp.broadcast_to(scores, (size, *scores.shape[1:]))
    return separate(with_orders(separation, orders[0] if orders else None), scores), (0, 0)


separate_p = Primitive("hopcore_separate")
separate_p.multiple_results = True
separate_p.def_impl(jax.jit(evaluate, static_argnames="separation"))
separate_p.def_abstract_eval(
    lambda scores, *_, separation: [scores, ShapedArray(scores.shape[:-1], scores.dtype)]
)
mlir.register_lowering(separate_p, mlir.lower_fun(evaluate, multiple_results=True))
ad.primitive_jvps[separate_p] = derivative
batching.primitive_batchers[separate_p] = batched


def most_weight(separation: SeparationFunction, scores: Array) -> Array:
    """Return a close upper bound ``(R, 1)`` of the largest weight of scores ``(R, S)``.

    It is the largest weight among the maxima of groups of scores: among fewer, each weighs more.
    """
    weights, _ = separation.evaluate(jnp.max(grouped(scores), axis=-1), jnp, run)
    largest = jnp.max(weights, axis=-1, keepdims=True) * (1.0 + 8.0 * jnp.finfo(weights.dtype).eps)
    return jnp.where(largest > 0.0, largest, 1.0)


def recall(
    separation: SeparationFunction, scores: Array, values: Array | None, half: Any = None
) -> Result:
    """Association of scores ``(B, R, S)`` with values ``(B, S, v)`` or None, and the conjugate.

    ``half`` is the dtype of values that were in half precision.
    """
    size = scores.shape[-1]
    width = 0 if values is None else values.shape[-1]
    # Under jax.export a size may be open.
    sparse = not math.isinf(separation.reach) or hasattr(separation, "lowest")
    if not isinstance(size, int) or not sparse or size < max(MANY, FEW * width):
        return recall_all(separation, half, scores, values)
    return recall_few(separation, half, scores, values)


def recall_all(
    separation: SeparationFunction, half: Any, scores: Array, values: Array | None
) -> Result:
    """Associate with the weights of all stored patterns."""
    weights, conjugate = separate(separation, scores)
    output = None if values is None else recalled(weights, values, half)
    return output, without_lowest(conjugate)


def without_lowest(conjugate: Array) -> Array:
    """Return a conjugate with -inf in place of the lowest number."""
    return jnp.where(conjugate <= jnp.finfo(conjugate.dtype).min, -math.inf, conjugate)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def recall_few(
    separation: SeparationFunction, half: Any, scores: Array, values: Array | None
) -> Result:
    """Associate with the patterns of the largest scores, where no other pattern has a weight.

    One more score than needed is kept. If it gets weight 0, so does every smaller score; if it does
    not, for any query, all stored patterns are used after all.
    """
    batch, queries, size = scores.shape
    largest, index = largest_scores(jnp.reshape(scores, (-1, size)), FEW + 1)
    weights, conjugate = separate(separation, largest)

    def few(_: Array, values: Array | None) -> Result:
        shape = (batch, queries, -1)
        output = None
        if values is not None:
            chosen = jax.vmap(lambda each, index: each[index])(values, jnp.reshape(index, shape))
            output = jnp.einsum("brk,brkv->brv", jnp.reshape(weights, shape), chosen)
        return output, jnp.reshape(without_lowest(conjugate), (batch, queries))

    enough = jnp.all(weights[:, -1] == 0)
    every = partial(recall_all, separation, half)
    return lax.cond(anywhere(~enough), every, few, scores, values)


@recall_few.defjvp
def _recall_few_jvp(
    separation: SeparationFunction,
    half: Any,
    primals: tuple[Array, ...],
    tangents: tuple[Array, ...],
) -> tuple[Result, Result]:
    return jax.jvp(partial(recall_all, separation, half), primals, tangents)


def largest_scores(scores: Array, count: int) -> tuple[Array, Array]:
    """The ``count`` largest of each row of scores ``(R, S)``, descending, and their indices.

    They lie in the ``count`` groups of scores with the largest maxima.
    """
    rows, size = scores.shape
    groups = grouped(scores)
    width = groups.shape[-1]
    _, which = lax.top_k(jnp.max(groups, axis=-1), count)
    some = jnp.take_along_axis(groups, which[..., None], axis=1)
    largest, place = lax.top_k(jnp.reshape(some, (rows, -1)), count)
    group = jnp.take_along_axis(which, place // width, axis=1)
    return largest, jnp.minimum(group * width + place % width, size - 1)


def grouped(scores: Array) -> Array:
    """Scores ``(R, S)`` as ``(R, G, width)``, padded with -inf."""
    rows, size = scores.shape
    width = max(16, -(-size // GROUPS))
    count = -(-size // width)
    padded = jnp.pad(scores, ((0, 0), (0, count * width - size)), constant_values=-math.inf)
    return jnp.reshape(padded, (rows, count, width))
