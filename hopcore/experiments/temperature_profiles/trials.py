"""Whether it helps a transformer to learn its temperatures, and where they should start.

One classifier of sequences learns three tasks at growing distances at once; its temperatures stay
where a profile has them, or are learned from there. A seed draws the first parameters and the
sequences, the same ones for every arm; none is ever seen twice.
"""

from __future__ import annotations

import math
import time
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import NamedTuple, cast

import numpy as np

from hopcore.arrays._array_checks import backend_of_input
from hopcore.experiments.data import sequences
from hopcore.experiments.data.sequences import TASKS, Sequences
from hopcore.experiments.models.sequence_classifier import SequenceClassifier
from hopcore.experiments.models.sequence_fitting import SequenceFitting
from hopcore.layers._losses import cross_entropy
from hopcore.schedules._learnable_temperature import PROFILES, Profile
from hopcore.training import _trainer as training
from hopcore.training._trainer import Trainer

PACES = {"fixed": 0.0, "learned": 1.0, "quick": 30.0}
"""How much faster than other parameters the temperatures of a mode are learned."""

RIGHT = 0.9
"""The share of right answers from which on a task counts as learned."""

TESTED = 128
"""Sequences that test, of each task and distance."""

SHOWN = "recall"
"""The task whose attention is kept."""


class Arm(NamedTuple):
    """Where the temperatures start, and whether they are learned: a mode of :data:`PACES`."""

    mode: str
    profile: Profile

    def __str__(self) -> str:
        """``mode:profile``."""
        return ":".join(self)


ARMS = tuple(Arm(mode, profile) for mode in PACES for profile in PROFILES)
"""All arms."""


class Trial(NamedTuple):
    """A trained classifier on the test sequences of one task and distance.

    ``converged`` is the first step whose batch of this task and distance, and the next such batch,
    had at least nine tenths of its answers right, before it was learned from; None if none had.
    """

    mode: str
    profile: Profile
    seed: int
    task: str
    distance: int
    accuracy: float
    perplexity: float
    converged: int | None
    seconds: float

    @property
    def arm(self) -> Arm:
        """Its arm."""
        return Arm(self.mode, self.profile)


class Warmth(NamedTuple):
    """The temperature of a head, at the start and at the end, in units of sqrt(d_k)."""

    mode: str
    profile: Profile
    seed: int
    layer: int
    head: int
    start: float
    end: float

    @property
    def arm(self) -> Arm:
        """Its arm."""
        return Arm(self.mode, self.profile)


class Outcome(NamedTuple):
    """What one training came to.

    ``attention`` is that of every layer and head to one sequence of :data:`SHOWN`,
    ``(layers, heads, L, L)``.
    """

    trials: list[Trial]
    warmths: list[Warmth]
    attention: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Fitting(SequenceFitting):
    """How classifiers are built and trained; each batch has one task and one distance, in turns.

    Attributes
    ----------
    tasks : sequence of str
        Of :data:`hopcore.experiments.data.sequences.TASKS`.
    distances : sequence of int
    layers : int
        The number of encoder layers.
    """

    tasks: Sequence[str] = tuple(TASKS)
    distances: Sequence[int] = (4, 8, 16, 32)
    width: int = 256
    hidden: int = 512
    layers: int = 4
    steps: int = 192
    batch_size: int = 24
    learning_rate: float = 1e-3

    @property
    def cells(self) -> list[tuple[str, int]]:
        """Tasks and distances, in the order in which they take turns."""
        return [(task, distance) for distance, task in product(self.distances, self.tasks)]

    def classifier(self, arm: Arm) -> SequenceClassifier:
        """The classifier of an arm."""
        pace = PACES[arm.mode]
        return SequenceClassifier(
            length=sequences.longest(max(self.distances)), width=self.width, hidden=self.hidden,
            layers=self.layers, num_heads=self.num_heads, profile=cast("Profile", arm.profile),
            learned=pace > 0.0, pace=pace or 1.0,
        )  # fmt: skip


def run_trials(
    arms: Sequence[Arm],
    fitting: Fitting,
    seeds: Sequence[int],
    done: Container[tuple[Arm, int]] = (),
) -> Iterator[Outcome]:
    """Train every arm, seed by seed.

    Parameters
    ----------
    arms : sequence of Arm
    fitting : Fitting
    seeds : sequence of int
    done : container of (Arm, int)
        What need not be trained again.

    Yields
    ------
    Outcome

    Raises
    ------
    ValueError
        Sizes that do not fit; a loss that is not finite.
    ModuleNotFoundError
        The library that trains is not installed.
    """
    for seed, arm in product(seeds, arms):
        if (arm, seed) not in done:
            yield outcome(arm, seed, fitting)


def outcome(arm: Arm, seed: int, fitting: Fitting) -> Outcome:
    """One arm with one seed."""
    begun = time.perf_counter()
    model = fitting.classifier(arm)
    trainer = fitting.trainer(model, seed)
    before = model.temperatures(trainer.parameters())
    shares = trained(trainer, fitting, np.random.default_rng((seed, 0)))
    parameters = trainer.parameters()
    found = {cell: measured(trainer, tested(*cell, seed)) for cell in fitting.cells}
    seconds = time.perf_counter() - begun
    trials = [
        Trial(arm.mode, arm.profile, seed, *cell, *found[cell], converged(shares[cell]), seconds)
        for cell in product(fitting.tasks, fitting.distances)
    ]
    after = model.temperatures(parameters)
    warmths = [
        Warmth(arm.mode, arm.profile, seed, layer, head, float(start), float(after[layer, head]))
        for (layer, head), start in np.ndenumerate(before)
    ]
    return Outcome(trials, warmths, attention(model, parameters, fitting))


def tested(task: str, distance: int, seed: int) -> Sequences:
    """Return the test sequences of a task at a distance, whatever else is tested."""
    rng = np.random.default_rng((seed, 1, list(TASKS).index(task), distance))
    return TASKS[task](rng, TESTED, distance)


def trained(
    trainer: Trainer, fitting: Fitting, rng: np.random.Generator
) -> dict[tuple[str, int], dict[int, float]]:
    """Train; of each task and distance the shares of right answers by the step."""
    shares: dict[tuple[str, int], dict[int, float]] = {cell: {} for cell in fitting.cells}
    for step in range(1, fitting.steps + 1):
        task, distance = fitting.cells[(step - 1) % len(fitting.cells)]
        batch = TASKS[task](rng, fitting.batch_size, distance)
        outputs = fitting.step(trainer, batch, step)
        logits = backend_of_input("outputs", outputs).to_numpy(outputs)
        shares[task, distance][step] = float(np.mean(logits.argmax(axis=-1) == batch.target))
    return shares


def converged(shares: dict[int, float]) -> int | None:
    """The first step with enough right answers, in its batch and the next one."""
    steps = list(shares)
    for step, following in pairwise(steps):
        if min(shares[step], shares[following]) >= RIGHT:
            return step
    return None


def measured(trainer: Trainer, test: Sequences) -> tuple[float, float]:
    """Accuracy and perplexity."""
    logits = training.scores(trainer, test, 64)
    right = float(np.mean(logits.argmax(axis=-1) == test.target))
    loss = cross_entropy(logits.astype(np.float64), test.target)
    return right, math.exp(float(loss))


def attention(
    model: SequenceClassifier, parameters: dict[str, np.ndarray], fitting: Fitting
) -> np.ndarray:
    """The attention of every layer and head to one sequence."""
    distance = sorted(fitting.distances)[len(fitting.distances) // 2 - 1]
    shown = TASKS[SHOWN](np.random.default_rng(0), 1, distance)
    return np.concatenate(model.attention(parameters, shown.symbols))
