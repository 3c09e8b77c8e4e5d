"""JAX on simulated devices: what they compute, hold and exchange, and how long it takes.

``python -m benchmarks.scale_jax SIZE``, with as many devices as ``XLA_FLAGS`` says; prints one JSON
object.
"""

from __future__ import annotations

import json
import math
import re
import sys
from functools import partial
from typing import Any

import jax
import numpy as np

import hopcore
from benchmarks.scale_calls import (
    BETA,
    FEW,
    MANY,
    SIZES,
    Sizes,
    agreement,
    drawn,
    resting_late,
    update_seconds,
)
from hopcore_jax.distributed import shard

ALL_REDUCE = re.compile(r"= (\(?[^=]*?\)?) all-reduce(?:-start)?\(")
OTHERS = re.compile(r" (all-gather|all-to-all|collective-permute|reduce-scatter)(?:-start)?\(")
VALUES = re.compile(r"(pred|[a-z]+)(\d*)\[([\d,]*)\]")


def measured(size: str) -> dict[str, Any]:
    """Everything that is measured of a number of devices."""
    mesh, sizes = jax.sharding.Mesh(np.asarray(jax.devices()), ("memory",)), SIZES[size]
    return {
        "agreement": list(agreement(sizes, of_dtype, lambda stored: shard(stored, mesh))),
        "memory": held_by(mesh, sizes),
        "traffic": list(traffic(mesh, sizes)),
        "times": list(times(mesh, sizes)),
    }


def of_dtype(values: np.ndarray, dtype: str) -> jax.Array:
    """An array of JAX, which has to be told that it may have float64."""
    jax.config.update("jax_enable_x64", dtype == "float64")
    return jax.numpy.asarray(values)


def held_by(mesh: Any, sizes: Sizes) -> dict[str, int]:
    """The bytes of the largest part."""
    parts = shard(np.ones((sizes.held, 64), np.float32), mesh)
    part: dict[Any, int] = {}
    for array in jax.tree.leaves(parts):
        for one in array.addressable_shards:
            part[one.device] = part.get(one.device, 0) + one.data.nbytes
    return {"patterns": sizes.held, "part": max(part.values())}


def traffic(mesh: Any, sizes: Sizes) -> Any:
    """The bytes in the all-reduces of an update, in the program that XLA compiled.

    With the softmax: others have loops, whose rounds are not seen in a program.
    """
    for patterns in sizes.counted:
        state, stored = map(jax.numpy.asarray, drawn(patterns, 64, 64))
        call = jax.jit(lambda state, stored: hopcore.update(state, stored, BETA))
        program = call.lower(state, shard(stored, mesh)).compile().as_text()
        yield {"separation": "softmax", "patterns": patterns, "bytes": exchanged(str(program))}


def exchanged(program: str) -> int:
    """Bytes of the results of all all-reduces; a program must have no other collective."""
    if found := OTHERS.search(program):
        raise AssertionError(f"an update must not need a {found[1]}")
    return sum(bytes_of(shapes) for shapes in ALL_REDUCE.findall(program))


def bytes_of(shapes: str) -> int:
    """Bytes of the arrays that a result in XLA's text is made of."""
    return sum(
        math.prod(map(int, axes.split(","))) * (int(bits) // 8 if bits else 1) if axes
        else (int(bits) // 8 if bits else 1)
        for _, bits, axes in VALUES.findall(shapes)
    )  # fmt: skip


def times(mesh: Any, sizes: Sizes) -> Any:
    """Seconds of an update."""
    programs = {
        updates: jax.jit(partial(hopcore.retrieve, tol=0.0, max_steps=updates))
        for updates in (FEW, MANY)
    }
    for patterns, states, d in sizes.timed:
        state, stored = map(jax.numpy.asarray, drawn(patterns, d, states))
        parts, beta = shard(stored, mesh), jax.numpy.asarray(resting_late(d), "float32")

        def retrieve(
            updates: int, state: Any = state, parts: Any = parts, beta: Any = beta
        ) -> None:
            found = jax.block_until_ready(programs[updates](state, parts, beta))
            assert int(found.steps.min()) == updates

        seconds = update_seconds(retrieve)
        yield {"patterns": patterns, "states": states, "d": d, "seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1]), indent=1))
