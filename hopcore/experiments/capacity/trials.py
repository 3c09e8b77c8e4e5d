"""The share of patterns of -1 and 1 that memories return from copies with flipped values.

All memories store the same patterns and get the same queries. Those with an inverse temperature use
the best one of a grid, chosen with another draw of the noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np

import hopcore
from hopcore import datasets
from hopcore.convex import (
    AbsoluteSum,
    ConvexMemory,
    Polynomial,
    asynchronous_certain,
    asynchronous_retrieve,
)
from hopcore.experiments.batched_retrieval import nearest
from hopcore.memory import Entmax, Separation
from hopcore.phase import Capacity, RetrievingMemory, capacity

RANDOM = "random"
WIDTH = 64
"""The number of values of a random pattern, as many as a digit has pixels."""

STEPS = 10
"""The largest number of updates, or of sweeps over all neurons."""

TOGETHER = 64
"""The number of queries of the classical network whose overlaps stay in a processor's cache."""

GRID = np.geomspace(0.5, 500.0, 25)
"""Inverse temperatures that are tried, in units of 1 / :func:`hopcore.phase.effective_scale`."""

CHOOSING = 10**6
"""What is added to a seed for the noise with which an inverse temperature is chosen."""

POWERS = (2, 3, 5, 10)
SEPARATIONS: dict[str, Separation] = {
    "log-sum-exp": "softmax",
    "entmax:1.5": Entmax(1.5),
    "epanechnikov": "epanechnikov",
}
"""Memories with an inverse temperature."""


class Found(NamedTuple):
    """What the retrieval of these memories returns."""

    state: Any


class Classical:
    """The network of 1982, whose neurons follow one after another."""

    def retrieve(self, state: Any, stored: Any, *, max_steps: int, tol: float) -> Found:
        """Update all neurons until none changes."""
        parts = [state[first : first + TOGETHER] for first in range(0, len(state), TOGETHER)]
        found = [asynchronous_retrieve(part, stored, max_sweeps=max_steps) for part in parts]
        return Found(np.concatenate(found))

    def certain(self, state: Any, stored: Any) -> np.ndarray:
        """Return which states certainly come to the pattern of the same row."""
        return asynchronous_certain(state, stored)


class Nearest:
    """The stored pattern that is nearest to a query."""

    def retrieve(self, state: Any, stored: Any, *, max_steps: int, tol: float) -> Found:
        """Look it up."""
        return Found(stored[nearest(state, stored)])


@dataclass(frozen=True)
class Centred:
    """A memory of what distinguishes the patterns from their mean.

    The mean is that of the patterns and one pattern of zeros. Without the latter, a value that all
    patterns share would become 0.
    """

    memory: RetrievingMemory

    def retrieve(self, state: Any, stored: Any, *, max_steps: int, tol: float) -> Any:
        """Retrieve from the centred patterns."""
        mean = np.sum(stored, axis=0, keepdims=True) / (len(stored) + 1.0)
        return self.memory.retrieve(
            state, (stored - mean).astype(stored.dtype), max_steps=max_steps, tol=tol
        )


def memories() -> dict[str, RetrievingMemory]:
    """Return the memories without an inverse temperature."""
    powers = {f"polynomial:{n}": ConvexMemory(Polynomial(n), AbsoluteSum()) for n in POWERS}
    centred = {f"{name}, centred": Centred(memory) for name, memory in powers.items()}
    return {"classical": Classical(), **powers, **centred, "nearest": Nearest()}


MEMORIES = memories()
NAMES = (*MEMORIES, *SEPARATIONS)


class Case(NamedTuple):
    """A memory and the patterns that it stores."""

    data: str
    memory: str
    patterns: int
    seed: int


class Trial(NamedTuple):
    """The shares of patterns that come back, measured and guaranteed.

    ``beta`` is nan for memories without an inverse temperature, and ``guaranteed`` where there is
    no theorem.
    """

    data: str
    memory: str
    patterns: int
    seed: int
    flipped: float
    beta: float
    measured: float
    guaranteed: float


def cases(
    sources: Sequence[str], names: Sequence[str], sizes: Sequence[int], seeds: int
) -> list[Case]:
    """Return all memories with all patterns."""
    every = product(sources, sizes, range(seeds), names)
    return [Case(data, name, size, seed) for data, size, seed, name in every]


def run(
    images: Mapping[str, datasets.Images], wanted: Sequence[Case], flipped: float
) -> Iterator[list[Trial]]:
    """Measure the cases one by one; ``images`` are the data sets but the random patterns."""
    for case in wanted:
        stored = patterns_of(images.get(case.data), case.patterns, case.seed)
        noise, other = (flips(stored, flipped, case.seed + shift) for shift in (0, CHOOSING))
        if case.memory in MEMORIES:
            beta = math.nan
            found = capacity(stored, noise=noise, memory=MEMORIES[case.memory], max_steps=STEPS)
        else:
            separation = SEPARATIONS[case.memory]
            beta = best_beta(stored, other, separation)
            found = measured(stored, noise, separation, beta)
        yield [Trial(*case, flipped, beta, found.measured, found.guaranteed)]


def patterns_of(images: datasets.Images | None, count: int, seed: int) -> np.ndarray:
    """Return random patterns of -1 and 1, or images whose ink is 1 and whose paper is -1."""
    rng = np.random.default_rng(seed)
    if images is None:
        return rng.choice(np.asarray([-1.0, 1.0], np.float32), size=(count, WIDTH))
    pixels = datasets.choose(images, count, rng).pixels
    return np.where(pixels > 0.0, 1.0, -1.0).astype(np.float32)


def flips(stored: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return what is added to patterns to flip a share of their values."""
    drawn = np.random.default_rng([seed, 1]).random(stored.shape) < share
    return np.where(drawn, -2.0 * stored, 0.0).astype(stored.dtype)


def measured(
    stored: np.ndarray, noise: np.ndarray, separation: Separation, beta: float
) -> Capacity:
    """Return the capacity of a memory with an inverse temperature."""
    return capacity(
        stored, beta, noise=noise, separation=separation, similarity="distance", max_steps=STEPS
    )


def best_beta(stored: np.ndarray, noise: np.ndarray, separation: Separation) -> float:
    """Return the inverse temperature with the most patterns retrieved, then guaranteed."""
    betas = [float(beta) for beta in GRID / hopcore.phase.effective_scale(stored)]
    return max(betas, key=lambda beta: measured(stored, noise, separation, beta)[:2])
