"""Whether it helps to route positions to a hot or a cold layer by the entropy of their attention.

One classifier learns one task. A seed draws the first parameters and the sequences, the same ones
for all routers and budgets; no batch is used twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from hopcore.arrays._array_checks import backend_of_input
from hopcore.experiments.models.sequence_fitting import SequenceFitting
from hopcore.experiments.temperature_router.model import RoutedClassifier
from hopcore.experiments.temperature_router.tasks import LENGTH, TASKS
from hopcore.layers._losses import cross_entropy
from hopcore.training import _trainer as training

TESTED = 512
"""The number of test sequences."""


class Case(NamedTuple):
    """A task, a router, a budget and a seed."""

    task: str
    router: str
    budget: float
    seed: int


class Trial(NamedTuple):
    """A trained classifier: the share of right answers and the loss on test sequences.

    ``cooled`` is the share of the positions that the cold layer got.
    """

    task: str
    router: str
    budget: float
    seed: int
    accuracy: float
    loss: float
    cooled: float


def cases(
    tasks: Sequence[str], routers: Sequence[str], budgets: Sequence[float], seeds: int
) -> list[Case]:
    """Return all cases of a study."""
    return [
        Case(task, router, budget, seed)
        for seed, task, budget, router in product(range(seeds), tasks, budgets, routers)
    ]


def run(wanted: Sequence[Case], fitting: SequenceFitting) -> Iterator[list[Trial]]:
    """Train the classifier of each case, and yield its trial."""
    for case in wanted:
        yield [trial(case, fitting)]


def trial(case: Case, fitting: SequenceFitting) -> Trial:
    """Train one classifier and test it."""
    model = RoutedClassifier(
        length=LENGTH, width=fitting.width, hidden=fitting.hidden, num_heads=fitting.num_heads,
        router=case.router, budget=case.budget,
    )  # fmt: skip
    trainer = fitting.trainer(model, case.seed)
    rng = np.random.default_rng((case.seed, 0))
    for step in range(1, fitting.steps + 1):
        fitting.step(trainer, TASKS[case.task](rng, fitting.batch_size), step)
    test = TASKS[case.task](np.random.default_rng((case.seed, 1)), TESTED)
    logits = training.scores(trainer, test, 64)
    right = float(np.mean(logits.argmax(axis=-1) == test.target))
    chosen = model.cooled(trainer.parameters(), test.symbols)
    cooled = float(np.mean(backend_of_input("cooled", chosen).to_numpy(chosen)))
    lost = float(cross_entropy(logits.astype(np.float64), test.target))
    return Trial(*case, right, lost, cooled)
