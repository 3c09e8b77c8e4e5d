"""The association of the kernels by the portable formula, in blocks of scores."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from hopcore.arrays import Array, Backend
from hopcore.memory import Entmax, Softmax
from hopcore_jax.kernels import _blocks as blocks
from hopcore_jax.kernels._statistics import statistics_in_blocks
from hopcore_jax.kernels.pallas._layout import Arrays, Plan, Results


def portable(plan: Plan, arrays: Arrays) -> tuple[Array | None, Array]:
    """Return output and conjugate as the kernels do, with derivatives of every order."""
    query, key, value, beta = arrays[:4]
    wide: Any = jnp.float32
    mask = causal_rows(plan, arrays) if plan.length else blocks.Rows(arrays.mask, arrays.mask_of)
    with blocks.precision(query.dtype):
        output, conjugate = blocks.in_blocks(
            key.astype(wide),
            None if value is None else value.astype(wide),
            query.astype(wide),
            beta,
            None,
            mask,
            blocks.Rows(arrays.bias, arrays.bias_of),
            backend=plan.backend,
            separation=separation_of(plan),
            budget=plan.backend.block(query),
            half=plan.backend.half_of(query),
        )
    return None if output is None else output.astype(query.dtype), conjugate


def causal_rows(plan: Plan, arrays: Arrays) -> blocks.Rows:
    """Return the lower triangle ``(length, S)``, and the place of each query in its sequence."""
    memories, queries = arrays.beta.shape
    places = jnp.arange(queries, dtype=jnp.int32) % plan.length
    columns = jnp.arange(arrays.key.shape[1], dtype=jnp.int32)
    rows = columns[None, :] <= jnp.arange(plan.length, dtype=jnp.int32)[:, None]
    return blocks.Rows(rows, jnp.broadcast_to(places, (memories, queries)))


def portable_best(plan: Plan, arrays: Arrays) -> Results:
    """Return what the kernels find about the pattern with the largest score."""
    mask = blocks.Rows(arrays.mask, arrays.mask_of)
    found = Backend.best(
        plan.backend,
        arrays.query,
        arrays.key,
        arrays.beta,
        mask.of(mask.number),
        separation_of(plan),
    )
    index, top, weight, conjugate = found
    return Results(index=index.astype(jnp.int32), top=top, weight=weight, conjugate=conjugate)


def portable_statistics(plan: Plan, arrays: Arrays) -> Results:
    """Return the statistics of the weights as the kernels do, with derivatives of every order."""
    with blocks.precision(arrays.query.dtype):
        conjugate, entropy, square, weight, received = statistics_in_blocks(
            arrays.key,
            arrays.query,
            arrays.beta,
            None,
            blocks.Rows(arrays.mask, arrays.mask_of),
            backend=plan.backend,
            separation=separation_of(plan),
            budget=plan.backend.block(arrays.query),
        )
    return Results(
        conjugate=conjugate, weight=weight, entropy=entropy, square=square, received=received
    )


def separation_of(plan: Plan) -> Any:
    """Return the separation function of a call."""
    return Softmax() if plan.order.kind == "softmax" else Entmax(plan.order.alpha)
