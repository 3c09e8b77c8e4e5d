"""Errors of networks, memories and controls that complete the same images.

A seed draws which images train, choose and test, which patches are hidden, the first parameters and
the order of the batches. Whatever is chosen is chosen on the validation images; the test images are
completed once, by what was chosen.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from hopcore import datasets
from hopcore.experiments.completion.memories import MEMORIES, Completed
from hopcore.experiments.completion.networks import (
    ENERGY,
    NETWORKS,
    Descent,
    Fitted,
    Fitting,
    Say,
    descent,
    fitted,
)
from hopcore.experiments.completion.patches import SIDES, Split, as_images, error, split_of

METHODS = (*MEMORIES, *NETWORKS)
"""All methods."""

BEYOND = 3
"""How many times the steps of the training an energy transformer is followed."""

SHOWN = 10
"""The number of test images of the first seed that are drawn."""


class Case(NamedTuple):
    """A data set, a method and a seed."""

    dataset: str
    method: str
    seed: int


class Trial(NamedTuple):
    """One method with one seed.

    ``parameters`` counts the numbers that are trained, or stored; ``chosen`` is the learning rate
    of a network or the inverse temperature of a memory, None if nothing is chosen. ``validation``
    and ``test`` are mean squared errors of hidden pixels, which go from -1 to 1. ``seconds`` are
    those of CPU time, all learning rates included.
    """

    dataset: str
    method: str
    seed: int
    parameters: int
    chosen: float | None
    validation: float
    test: float
    seconds: float


class Outcome(NamedTuple):
    """A trial, the path of an energy transformer, and images of the first seed.

    Attributes
    ----------
    trial : Trial
    path : list of Descent
        Empty for other methods.
    images : dict of str to array (k, height, width)
        By name: what the method completed, and beside it the originals and what is visible of them.
        Empty for other seeds.
    """

    trial: Trial
    path: list[Descent]
    images: dict[str, np.ndarray]


def cases(dataset: str, methods: Sequence[str], seeds: int) -> list[Case]:
    """Return all methods with all seeds."""
    return [Case(dataset, method, seed) for seed in range(seeds) for method in methods]


def run(
    wanted: Sequence[Case],
    images: datasets.Images,
    fitting: Fitting,
    *,
    say: Say = lambda line: None,
) -> Iterator[Outcome]:
    """Complete the test images of each case.

    Raises
    ------
    ValueError
        Images without labels, or too few; a loss that is not finite.
    ModuleNotFoundError
        The library that trains is not installed.
    """
    for case in wanted:
        split = split_of(images, SIDES[case.dataset], case.seed)
        yield outcome(case, split, images.shape, fitting, say)


def outcome(
    case: Case, split: Split, shape: tuple[int, int], fitting: Fitting, say: Say
) -> Outcome:
    """Complete the test images of a seed with one method."""
    dataset, method, seed = case
    begun = time.process_time()
    path: list[Descent] = []
    completed: Completed | Fitted
    if method in MEMORIES:
        completed = MEMORIES[method](split.train, split.validation, split.test)
        size = split.train[0].size if method == "mean" else split.train.size
    else:
        completed = fitted(method, split, seed, fitting, say)
        size = completed.size
    seconds = time.process_time() - begun
    if isinstance(completed, Fitted) and method == ENERGY:
        path = descent(completed, split.test, seed, BEYOND * fitting.steps)
    errors = error(completed.validation, split.validation), error(completed.test, split.test)
    trial = Trial(*case, size, completed.chosen, *errors, seconds)
    say(f"seed {seed}, {method}: validation {errors[0]:.4f}, {seconds:.0f} s of CPU time")
    shown = examples(completed.test, split, method, shape, dataset) if seed == 0 else {}
    return Outcome(trial, path, shown)


def examples(
    outputs: np.ndarray, split: Split, method: str, shape: tuple[int, int], dataset: str
) -> dict[str, np.ndarray]:
    """Return some originals, their visible patches, and the completed images."""
    pixels, hidden = (array[:SHOWN] for array in split.test)
    kinds = {
        "visible": np.where(hidden[..., None], 0.0, pixels),
        method: np.where(hidden[..., None], outputs[:SHOWN], pixels),
        "original": pixels,
    }
    return {name: as_images(array, shape, SIDES[dataset]) for name, array in kinds.items()}
