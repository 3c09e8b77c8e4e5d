r"""What a suggested inverse temperature earns, against the best of a grid.

Images are stored and asked for by corrupted copies, at every inverse temperature of a grid and at
those that rules name beforehand. A rule sees the stored images and the noise, never a query.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

import hopcore
from hopcore import datasets
from hopcore.datasets._images import Images
from hopcore.experiments.batched_retrieval import SUCCESS, cosine, nearest
from hopcore.experiments.transition.local_saddle_node import local_saddle_node
from hopcore.memory import Similarity
from hopcore.phase._error_bound import separations

GRID = "grid"
"""The rule of what is tried rather than suggested."""

DECADES, POINTS = 4, 25
"""Of the grid, from 1 / :func:`hopcore.phase.effective_scale` of all images on."""

TOLERANCE = 1e-4
"""Of retrieval."""

LOST = 0.01
"""Of all queries less than this share may be lost because their pattern has not appeared."""

FURTHER = 1.25
"""Patterns appear up to so much beyond their local saddle-node."""


class Case(NamedTuple):
    """A memory, what is done to its images to make queries, and how many updates at most."""

    data: str
    patterns: int
    corruption: str
    similarity: Similarity
    updates: int
    seed: int


class Trial(NamedTuple):
    """Retrieval at one inverse temperature: shares of the queries that succeed.

    ``cosine``: the state's cosine with the original is above 0.9. ``own``: no other stored pattern
    is nearer to the state.
    """

    data: str
    patterns: int
    corruption: str
    similarity: Similarity
    updates: int
    seed: int
    rule: str
    beta: float
    cosine: float
    own: float


def suggested(stored: np.ndarray, noise: float | None, similarity: Similarity) -> float:
    """That of :func:`hopcore.suggest_beta`, which is told the noise."""
    return hopcore.suggest_beta(stored, noise=noise, similarity=similarity).beta


def posterior(stored: np.ndarray, noise: float | None, similarity: Similarity) -> float:
    r""":math:`1 / \sigma^2`; nan if the noise is not known.

    If all patterns are equally likely, one update by distance is the mean of the pattern given the
    query then. So is one by dot products if they are equally long, too: :math:`-\|\xi - x_i\|^2 / 2
    \sigma^2` is :math:`\beta x_i \cdot \xi` but for what all patterns have in common.
    """
    return 1.0 / noise**2 if noise else math.nan


def appeared(stored: np.ndarray, noise: float | None, similarity: Similarity) -> float:
    r"""The lowest at which nearly all patterns that the noise leaves have appeared.

    Pattern i survives noise with probability :math:`\Phi(\Delta_i / \sigma \|x_i - x_j\|)`, j being
    its competitor, and appears at its local saddle-node or up to a quarter beyond. Of all queries
    less than 1 % may be lost to patterns that have not appeared.
    """
    wide = stored.astype(np.float64)
    rows = np.arange(len(wide))
    gap, apart, _ = separations(wide, rows, hopcore.backend("numpy"), similarity)
    needed = local_saddle_node(wide, rows, similarity)
    known = np.isfinite(needed)
    chance = np.ones(len(gap))
    if noise:
        chance = np.asarray([0.5 * math.erfc(-z) for z in gap / (math.sqrt(2.0) * noise * apart)])
    order = np.argsort(-needed[known])
    lost = np.cumsum(chance[known][order])
    first = int(np.searchsorted(lost, LOST * len(wide), side="left"))
    return FURTHER * float(needed[known][order][min(first, len(order) - 1)])


RULES: dict[str, Callable[[np.ndarray, float | None, Similarity], float]] = {
    "suggested": suggested,
    "posterior": posterior,
    "appeared": appeared,
}
"""Inverse temperatures that are known before a query is."""


def cases(
    data: str,
    sizes: Sequence[int],
    corruptions: Sequence[str],
    similarities: Sequence[Similarity],
    updates: Sequence[int],
    seeds: int,
) -> list[Case]:
    """All of a study."""
    every = product(sizes, range(seeds), corruptions, similarities, updates)
    return [Case(data, size, what, by, most, seed) for size, seed, what, by, most in every]


def run(images: Images, wanted: Sequence[Case]) -> Iterator[list[Trial]]:
    """Yield the retrievals of each case: the grid, then the rules."""
    start = 1.0 / hopcore.phase.effective_scale(images.pixels)
    grid = np.geomspace(start, start * 10.0**DECADES, POINTS)
    for case in wanted:
        yield run_case(images, case, grid)


def run_case(images: Images, case: Case, grid: np.ndarray) -> list[Trial]:
    """One case; the same images for a seed, the same queries for a seed and a corruption."""
    rng = np.random.default_rng(case.seed)
    drawn = datasets.choose(images, case.patterns, rng)
    stored = drawn.pixels.astype(np.float32)
    queries = datasets.corrupt(drawn, case.corruption, rng).astype(np.float32)
    noise = noise_of(case.corruption)
    betas = [(GRID, float(beta)) for beta in grid]
    betas += [(name, rule(stored, noise, case.similarity)) for name, rule in RULES.items()]
    found = []
    for name, beta in betas:
        if math.isfinite(beta):
            state = hopcore.retrieve(
                queries, stored, beta, similarity=case.similarity, max_steps=case.updates,
                tol=TOLERANCE,
            ).state  # fmt: skip
            near = float(np.mean(cosine(state, stored) > SUCCESS))
            own = float(np.mean(nearest(state, stored) == np.arange(len(stored))))
            found.append(Trial(*case, name, beta, near, own))
    return found


def noise_of(corruption: str) -> float | None:
    """The standard deviation of noise; None of what is no noise."""
    kind, _, value = corruption.partition(":")
    return float(value) if kind == "noise" else None
