r"""How sharply the heads of a small transformer of Hopfield layers attend, beside two controls.

For each task, one transformer is trained. There are two controls: the same transformer before its
training, and one that was trained with the same sequences after their answers had been exchanged,
so that it could learn nothing but how often each answer occurs.

A position attends to n positions, itself and those before it, with the weights w. Of each head, the
means over the positions that answer are: the entropy :math:`H = -\sum_i w_i \log w_i`; the
effective number :math:`e^H`, from 1 to n; and the distance from uniform weights,
:math:`\frac12 \sum_i |w_i - 1/n|`, from 0 to :math:`1 - 1/n`: the share of the weight that has to
be moved to make all weights equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from hopcore.arrays._array_checks import backend_of_input
from hopcore.experiments.data import sequences
from hopcore.experiments.data.sequences import TASKS, Sequences
from hopcore.experiments.models.sequence_classifier import SequenceClassifier
from hopcore.experiments.models.sequence_fitting import SequenceFitting
from hopcore.training import _trainer as training
from hopcore.training._trainer import Trainer

ARMS = ("trained", "untrained", "shuffled")
"""The transformer that is analysed, and its two controls."""

TESTED = 256
"""The number of test sequences."""


class Case(NamedTuple):
    """A task, an arm and a seed."""

    task: str
    arm: str
    seed: int


class Trial(NamedTuple):
    """One head of one transformer, on test sequences.

    ``accuracy`` is that of the transformer; ``entropy``, ``effective`` and ``distance`` are means
    over the positions that answer; ``uniform`` is the mean entropy of uniform weights there.
    """

    task: str
    arm: str
    seed: int
    layer: int
    head: int
    accuracy: float
    entropy: float
    effective: float
    distance: float
    uniform: float


@dataclass(frozen=True, kw_only=True)
class Fitting(SequenceFitting):
    """How the transformers are built and trained.

    Attributes
    ----------
    gap : int
        The number of noise symbols between what is remembered and what asks.
    layers : int
        The number of encoder layers.
    """

    gap: int = 8
    layers: int = 2


def cases(tasks: Sequence[str], arms: Sequence[str], seeds: int) -> list[Case]:
    """Return all cases of a study."""
    return [Case(task, arm, seed) for seed, task, arm in product(range(seeds), tasks, arms)]


def run(wanted: Sequence[Case], fitting: Fitting) -> Iterator[list[Trial]]:
    """Train the transformer of each case, and yield its heads."""
    for case in wanted:
        yield heads_of_case(case, fitting)


def heads_of_case(case: Case, fitting: Fitting) -> list[Trial]:
    """Train one transformer, and measure its heads."""
    model = SequenceClassifier(
        length=sequences.longest(fitting.gap), width=fitting.width, hidden=fitting.hidden,
        layers=fitting.layers, num_heads=fitting.num_heads,
    )  # fmt: skip
    trainer = fitting.trainer(model, case.seed)
    if case.arm != "untrained":
        train(trainer, case, fitting)
    test = TASKS[case.task](np.random.default_rng((case.seed, 1)), TESTED, fitting.gap)
    logits = training.scores(trainer, test, 64)
    accuracy = float(np.mean(logits.argmax(axis=-1) == test.target))
    attention = model.attention(trainer.parameters(), test.symbols)
    return [
        Trial(*case, layer, head, accuracy, *numbers)
        for layer, weights in enumerate(attention)
        for head, numbers in enumerate(statistics(weights, test.target.shape[1]))
    ]


def train(trainer: Trainer, case: Case, fitting: Fitting) -> None:
    """Train with sequences that are never seen twice, whose answers may be shuffled."""
    rng, shuffling = (np.random.default_rng((case.seed, draw)) for draw in (0, 2))
    for step in range(1, fitting.steps + 1):
        batch = TASKS[case.task](rng, fitting.batch_size, fitting.gap)
        if case.arm == "shuffled":
            batch = shuffled(batch, shuffling)
        fitting.step(trainer, batch, step)


def shuffled(batch: Sequences, rng: np.random.Generator) -> Sequences:
    """Give each sequence the answers of another one, and none its own."""
    away = int(rng.integers(1, len(batch.target)))
    return batch._replace(target=np.roll(batch.target, away, axis=0))


def statistics(weights: Any, answers: int) -> list[tuple[float, float, float, float]]:
    """Return entropy, effective number, distance and uniform entropy of each head.

    Parameters
    ----------
    weights : array (n, H, L, L)
        Causal: position t attends to the first t + 1 positions.
    answers : int
        The means are over so many last positions.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.attention_analysis.trials import statistics
    >>> sharp, flat = np.eye(4), np.tril(np.ones((4, 4))) / np.arange(1, 5)[:, None]
    >>> for numbers in statistics(np.stack([sharp, flat])[None], 1):
    ...     print([round(number, 3) + 0.0 for number in numbers])
    [0.0, 1.0, 0.75, 1.386]
    [1.386, 4.0, 0.0, 1.386]
    """
    found = backend_of_input("weights", weights).to_numpy(weights).astype(np.float64)
    length = found.shape[-1]
    counts = np.arange(1, length + 1)[-answers:]
    found = found[..., -answers:, :]
    logs = np.log(np.where(found > 0.0, found, 1.0))
    entropy = np.maximum(-np.sum(found * logs, axis=-1), 0.0)
    allowed = np.arange(length) < counts[:, None]
    distance = 0.5 * np.sum(np.abs(found - allowed / counts[:, None]), axis=-1)
    uniform = float(np.mean(np.log(counts)))
    means = [np.mean(x, axis=(0, 2)).tolist() for x in (entropy, np.exp(entropy), distance)]
    return [(h, number, apart, uniform) for h, number, apart in zip(*means, strict=True)]
