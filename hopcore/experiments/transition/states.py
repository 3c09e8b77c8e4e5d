"""What the states of a warm memory are: means of patterns, and of which classes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

import hopcore
from hopcore import datasets, plots
from hopcore.datasets._images import Images
from hopcore.experiments.batched_retrieval import cosine
from hopcore.experiments.tables import COLORS, Spread, Summary, grouped, spread
from hopcore.phase._patterns import HypothesisWarning
from hopcore.phase._suggest import Goal

GOALS: tuple[Goal, ...] = ("metastable", "average")
"""Of :func:`hopcore.suggest_beta`, those that ask for states of several patterns."""

SHOWN, MEMBERS = 10, 5
"""States in the picture, and patterns of each."""


class Memory(NamedTuple):
    """A memory and a goal."""

    data: str
    patterns: int
    seed: int
    goal: Goal


class Trial(NamedTuple):
    """The states to which the patterns of a memory go at the suggested inverse temperature.

    ``level`` is the effective inverse temperature, ``states`` how many there are, ``shared`` those
    of two patterns at least, ``members`` the share of the patterns that go to one of these,
    ``largest`` the share that goes to the most common state, ``mixed`` how many patterns it mixes,
    ``mean`` its cosine with the mean of all patterns. ``purity`` is the share of the members whose
    class is the most common of their state, ``chance`` the same after the classes of all patterns
    were shuffled.
    """

    data: str
    patterns: int
    seed: int
    goal: str
    beta: float
    level: float
    states: int
    shared: int
    members: float
    largest: float
    mixed: float
    mean: float
    purity: float
    chance: float


def memories(data: str, sizes: Sequence[int], seeds: int) -> list[Memory]:
    """All of a study."""
    return [Memory(data, *which) for which in product(sizes, range(seeds), GOALS)]


def run(images: Images, wanted: Sequence[Memory]) -> Iterator[Trial]:
    """Yield what the states of each memory are."""
    for which in wanted:
        yield trial(which, *states(images, which))


def states(images: Images, which: Memory) -> tuple[Images, float, hopcore.phase.Minima]:
    """The images of a memory, the suggested inverse temperature, and where patterns go then."""
    drawn = datasets.choose(images, which.patterns, np.random.default_rng(which.seed))
    stored = drawn.pixels.astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HypothesisWarning)
        beta = hopcore.suggest_beta(stored, which.goal).beta
        return drawn, beta, hopcore.phase.minima(stored, beta)


def trial(which: Memory, drawn: Images, beta: float, found: hopcore.phase.Minima) -> Trial:
    """What the states are."""
    count = np.bincount(found.basin)
    shared = np.isin(found.basin, np.nonzero(count > 1)[0])
    basin, labels = found.basin[shared], classes(drawn)
    shuffled = np.random.default_rng(which.seed).permutation(labels)[shared]
    first, mean = found.state[:1], drawn.pixels.mean(axis=0, keepdims=True)
    return Trial(
        *which, beta, beta * hopcore.phase.effective_scale(drawn.pixels), len(count),
        int(np.sum(count > 1)), float(np.mean(shared)), float(found.share[0]),
        float(found.participation[0]), float(cosine(np.asarray(first), mean)[0]),
        purity(basin, labels[shared]), purity(basin, shuffled),
    )  # fmt: skip


def classes(images: Images) -> np.ndarray:
    """The labels, or a ValueError where there are none."""
    if images.labels is None:
        raise ValueError("classes of states need images with labels; these have none")
    return images.labels


def purity(basin: np.ndarray, labels: np.ndarray) -> float:
    """The share of patterns whose class is the most common of their state."""
    right = [np.bincount(labels[basin == state]).max() for state in np.unique(basin)]
    return float(np.sum(right)) / max(len(basin), 1)


def table(trials: Sequence[Trial]) -> Summary:
    """Return means and deviations over the seeds, with a row for each goal and size."""
    rows = []
    for (goal, size), own in grouped(trials, lambda one: (one.goal, one.patterns)).items():
        counts = (spread(getattr(one, name) for one in own) for name in ("states", "shared"))
        shares = (
            spread(100.0 * getattr(one, name) for one in own)
            for name in ("members", "largest", "purity", "chance")
        )
        members, largest, pure, chance = map(number, shares)
        level = number(spread(one.level for one in own))
        mixed = number(spread(one.mixed for one in own))
        rows.append(
            [goal, str(size), level, *map(number, counts), members, largest, mixed, pure, chance]
        )
    right = ["N", "b", "states", "shared", "members", "largest", "mixed", "purity", "chance"]
    return Summary(["goal"], right, rows)


def number(value: Spread) -> str:
    """A mean with its deviation."""
    return f"{value.mean:.1f} ± {value.deviation:.1f}"


def draw(images: Images, which: Memory, path: Path) -> None:
    """The most common shared states and the first patterns that go to each."""
    drawn, beta, found = states(images, which)
    count = np.bincount(found.basin)
    labels = classes(drawn)
    kept = [state for state in range(len(count)) if count[state] >= MEMBERS][:SHOWN]
    if not kept:
        raise ValueError(f"no state is shared by {MEMBERS} patterns at beta = {beta:.3g}")
    members = np.asarray([np.nonzero(found.basin == state)[0][:MEMBERS] for state in kept])
    common = [np.bincount(labels[found.basin == state]).argmax() for state in kept]
    rows = {"state": np.asarray(found.state)[kept].reshape(-1, *drawn.shape)}
    failed: dict[str, np.ndarray] = {}
    for place, column in enumerate(members.T):
        name = f"pattern {place + 1}"
        rows[name] = drawn.pixels[column].reshape(-1, *drawn.shape)
        failed[name] = labels[column] != common
    figure = plots.new_figure(0.8 + 0.8 * len(kept), 0.9 + 0.8 * len(rows), dpi=100)
    ax = plots.gallery(rows, failed=failed, ax=figure.subplots())
    height, gap = drawn.shape[1], max(1, round(min(drawn.shape) / 8))
    names = [f"{count[state]}" for state in kept]
    ax.set_xticks(
        [(height + gap) * place + height / 2 - 0.5 for place in range(len(kept))], labels=names
    )
    ax.tick_params(bottom=False)
    title = f"{which.patterns} {which.data} at beta = {beta:.3g}: {len(count)} states"
    note = "Below: how many patterns go there. Red: of a rarer class."
    plots.save(plots.caption(figure, title, note), path, colors=COLORS)
