"""The calls that the workers of torch and of JAX are measured with, and their data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import hopcore


class Sizes(NamedTuple):
    """How large the measurements are."""

    even: int
    """Patterns that every number of workers divides."""
    held: int
    """Patterns of which the memory is measured."""
    counted: tuple[int, ...]
    """Patterns of which the bytes are counted."""
    timed: tuple[tuple[int, int, int], ...]
    """Patterns, states and values, of which the time is taken."""


SIZES = {
    "quick": Sizes(512, 1 << 14, (512, 1024), ((1 << 12, 16, 64),)),
    "full": Sizes(
        8192,
        1 << 21,
        (1 << 12, 1 << 15, 1 << 18),
        ((1 << 18, 16, 64), (1 << 18, 256, 64), (1 << 15, 256, 512)),
    ),
}

SEPARATIONS = {"softmax": "softmax", "sparsemax": "sparsemax", "entmax 1.5": hopcore.Entmax(1.5)}
BETA = 0.125
"""Scores of standard normal patterns of 64 values have standard deviation 1, as in attention."""
COLD = 1.0
"""Cold enough for patterns of 64 values to be retrieved."""

FEW, MANY = 1, 5
"""Updates of two retrievals, whose difference in time is that of the updates between."""


def drawn(patterns: int, d: int, states: int, dtype: str = "float32") -> tuple[Any, Any]:
    """States and stored patterns, standard normal: the same on every worker."""
    rng = np.random.default_rng(20)
    stored = rng.standard_normal((patterns, d), dtype=np.float32)
    return rng.standard_normal((states, d), dtype=np.float32).astype(dtype), stored.astype(dtype)


def every_call(state: Any, noisy: Any, stored: Any) -> dict[str, list[np.ndarray]]:
    """The results whose agreement is looked at: of each call with each separation function."""
    found: dict[str, list[Any]] = {"association": [], "energy": [], "retrieval": []}
    for separation in SEPARATIONS.values():
        found["association"].append(
            hopcore.association(state, stored, beta=BETA, separation=separation)
        )
        found["energy"].append(hopcore.energy(state, stored, BETA, separation=separation))
        found["retrieval"].append(
            hopcore.retrieve(noisy, stored, COLD, separation=separation).state
        )
    return {name: [np.asarray(x, np.float64) for x in some] for name, some in found.items()}


def agreement(
    sizes: Sizes, array: Callable[[Any, str], Any], split: Callable[[Any], Any]
) -> Iterator[dict[str, Any]]:
    """Results in parts beside those of one array."""
    for patterns in (sizes.even, sizes.even + 3):
        for dtype in ("float32", "float64"):
            state, stored = drawn(patterns, 64, 64, dtype)
            noisy = stored[:64] + np.asarray(0.3, dtype) * state
            state, noisy, stored = (array(x, dtype) for x in (state, noisy, stored))
            whole, parts = (every_call(state, noisy, x) for x in (stored, split(stored)))
            yield {"patterns": patterns, "dtype": dtype, "apart": apart(parts, whole)}


def apart(found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, float]:
    """The largest difference between results, each relative to its largest value."""

    def worst(name: str) -> float:
        pairs = zip(found[name], wanted[name], strict=True)
        return max(
            float(np.abs(mine - theirs).max() / np.abs(theirs).max()) for mine, theirs in pairs
        )

    return {name: worst(name) for name in wanted}


def resting_late(d: int) -> float:
    """An inverse temperature at which standard normal states are not at rest after few updates."""
    return d**-0.5


def update_seconds(retrieve: Callable[[int], Any], rounds: int = 15) -> float:
    """Seconds of one update: of two retrievals, what the longer one takes longer.

    Before the updates a retrieval looks at all patterns; that is in both.
    """

    def seconds(updates: int) -> float:
        taken = []
        for _ in range(rounds):
            start = time.perf_counter()
            retrieve(updates)
            taken.append(time.perf_counter() - start)
        return min(taken)

    return (seconds(MANY) - seconds(FEW)) / (MANY - FEW)
