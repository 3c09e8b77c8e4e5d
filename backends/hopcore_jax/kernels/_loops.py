"""Loops under XLA, and whether values are traced."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import Tracer

from hopcore.arrays import Array


@jax.custom_batching.custom_vmap
def anywhere(flag: Array) -> Array:
    """Return a flag for control flow under ``vmap`` that is true if it is true for any element.

    ``vmap`` gives every element its own flag, and runs both branches of a ``cond``, or a loop with
    a selection at every step. One flag for all keeps the branch; it may be used wherever taking
    the branch without need changes nothing.
    """
    return flag


@anywhere.def_vmap
def _anywhere_vmap(size: int, batched: list[bool], flags: Array) -> tuple[Array, bool]:
    return anywhere(jnp.any(flags)), False


def traced(*values: Any) -> bool:
    """Whether any leaf of the values is a tracer."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(values))


def staged() -> bool:
    """Whether operations are recorded for a compiler instead of run, as inside ``jax.jit``."""
    return traced(lax.add(0.0, 0.0))


def run(
    cond: Callable[[Any], Array],
    body: Callable[[Any], Any],
    init: Any,
    max_steps: int,
    *,
    differentiable: bool = False,
) -> Any:
    """Run the loop of :meth:`hopcore.Backend.loop` as XLA control flow.

    A differentiable loop has a fixed number of steps, which are skipped once it has finished. Its
    derivative computes each step again from its start, so it keeps ``max_steps`` values.
    """
    init = jax.tree.map(settled, init)

    def step(value: Any) -> Any:
        return jax.tree.map(
            lambda new, old: lax.convert_element_type(new, old.dtype), body(value), value
        )

    if differentiable:

        @partial(jax.checkpoint, prevent_cse=False)
        def maybe(value: Any) -> Any:
            return lax.cond(anywhere(cond(value)), step, lambda value: value, value)

        return lax.scan(lambda value, _: (maybe(value), None), init, length=max_steps)[0]

    def unfinished(counted: tuple[Array, Any]) -> Array:
        return (counted[0] < max_steps) & anywhere(cond(counted[1]))

    def counting(counted: tuple[Array, Any]) -> tuple[Array, Any]:
        return counted[0] + 1, step(counted[1])

    return lax.while_loop(unfinished, counting, (jnp.int32(0), init))[1]


def settled(value: Array) -> Array:
    """Make the dtype of an array strong, since a weak one would change in the first step."""
    return lax.convert_element_type(value, jnp.asarray(value).dtype)
