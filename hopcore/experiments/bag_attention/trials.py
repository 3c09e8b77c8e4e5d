r"""Which instances of a bag trained classifiers attend to, beside two controls.

The classifiers are trained as in :mod:`hopcore.experiments.mil.trials`. An instance has a *place*
that says what it is:

- ``latch``: its position, of which 0 is the label;
- ``order``: which of the marked symbols it is, counted from 0, which is the label; -1 for noise;
- ``digits``: the digit that it shows.

The *relative weight* of an instance is its association weight times the size of its bag, so it is
1 if all instances have the same weight. For each place, a trial has the mean over the test bags and
the heads, and the mean of the head in which it is largest. In the task ``digits``, only bags that
contain the digit count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from hopcore.arrays._array_checks import backend_of_input
from hopcore.datasets._images import Images
from hopcore.experiments.data.bags import labels_of
from hopcore.experiments.mil import tasks
from hopcore.experiments.mil.trials import Fitting, chosen
from hopcore.experiments.models.bag_classifier import Bags
from hopcore.training import _trainer as training

LAYERS = ("uniform", "untrained", "pooling", "multihead", "gated")
"""Pooling with equal weights and pooling that is not trained, the controls; then trained layers."""

MARKED = 2
"""In the task ``order``, so many first symbols are marked."""

SYMBOLS = 6
"""The symbols of the sequences; the features of a position come after them."""

NOISE = -1
"""The place of an instance that is noise."""


class Case(NamedTuple):
    """A task, a layer and a seed."""

    task: str
    layer: str
    seed: int


class Trial(NamedTuple):
    """The relative weight of the instances of one place, for one classifier.

    ``weight`` is the mean over the heads, ``strongest`` the largest of the heads; ``accuracy`` is
    that of the classifier on the test bags.
    """

    task: str
    layer: str
    seed: int
    accuracy: float
    place: int
    weight: float
    strongest: float


class Task(NamedTuple):
    """What a network learns: how a seed draws its bags, and what place each instance has."""

    splits: tasks.Splits
    places: Callable[[Bags], np.ndarray]
    fitting: Fitting
    positive: bool


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the tasks are.

    Attributes
    ----------
    length : int
        Of the sequences of ``latch`` and ``order``.
    repeats : int
        How often each of the two marked symbols occurs in ``order``.
    bags, size : int
        The number of training bags of ``digits``, and their mean number of images.
    digit : int
        The digit that the positive bags have once.
    epochs : int
        The largest number of epochs for sequences; bags of digits have three times as many.
    """

    length: int = 40
    repeats: int = 4
    bags: int = 800
    size: int = 10
    digit: int = 9
    epochs: int = 10


def latch(sizes: Sizes, fitting: Fitting) -> Task:
    """Sequences whose first symbol is the label."""
    own = tasks.latch_sequences([sizes.length])
    return Task(own, positions, with_epochs(fitting, 32, sizes.epochs), positive=False)


def order(sizes: Sizes, fitting: Fitting) -> Task:
    """Sequences in which two symbols occur equally often; which is first is the label."""
    own = tasks.latch_sequences([sizes.length], sizes.repeats)
    return Task(own, ranks, with_epochs(fitting, 32, sizes.epochs), positive=False)


def digits(images: Images, sizes: Sizes, fitting: Fitting) -> Task:
    """Bags of images, half of which have one image of a digit."""
    own = tasks.digit_bags(images, [sizes.bags], sizes.digit, [sizes.size], 1)
    shown = with_epochs(fitting, 64, 3 * sizes.epochs)
    return Task(own, digits_of(images), shown, positive=True)


def with_epochs(fitting: Fitting, width: int, epochs: int) -> Fitting:
    """Return how the classifiers of a task are trained."""
    return Fitting(
        width=width, epochs=epochs, rates=(3e-3,), batch_size=64, backend=fitting.backend,
        device=fitting.device,
    )  # fmt: skip


def positions(found: Bags) -> np.ndarray:
    """Return the position of each instance."""
    return np.broadcast_to(np.arange(found.patterns.shape[1]), found.patterns.shape[:2])


def ranks(found: Bags) -> np.ndarray:
    """Return which of the marked symbols an instance is, in their order.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.bag_attention.trials import ranks
    >>> from hopcore.experiments.data import bags
    >>> found = bags.ordered_sequences(np.random.default_rng(0), sequences=1, length=6, repeats=2)
    >>> ranks(found).tolist()
    [[0, 1, 2, -1, 3, -1]]
    """
    marked = found.patterns[..., :SYMBOLS].argmax(axis=-1) < MARKED
    return np.where(marked, np.cumsum(marked, axis=1) - 1, NOISE)


def digits_of(images: Images) -> Callable[[Bags], np.ndarray]:
    """Return a function that finds the digit which each instance shows; padding is noise."""
    pixels = images.pixels.astype(np.float32)
    known = {
        row.tobytes(): int(label) for row, label in zip(pixels, labels_of(images), strict=True)
    }

    def places(found: Bags) -> np.ndarray:
        shown = np.full(found.padding.shape, NOISE)
        for place in np.argwhere(~found.padding):
            shown[tuple(place)] = known[found.patterns[tuple(place)].tobytes()]
        return shown

    return places


def cases(names: Sequence[str], layers: Sequence[str], seeds: int) -> list[Case]:
    """Return all cases of a study."""
    return [Case(task, layer, seed) for task, seed, layer in product(names, range(seeds), layers)]


def run(wanted: Sequence[Case], known: dict[str, Task]) -> Iterator[list[Trial]]:
    """Train the classifier of each case, and yield the weights of its instances."""
    for case in wanted:
        yield weights_of_case(case, known[case.task])


def weights_of_case(case: Case, task: Task) -> list[Trial]:
    """Train one classifier, and measure the relative weights of the places."""
    (split,) = task.splits(case.seed)
    (test,) = split.tests.values()
    layer = "pooling" if case.layer == "untrained" else case.layer
    model = task.fitting.classifier(layer, split.train.patterns.shape[-1])
    parameters = model.first_parameters(seed=case.seed)
    if case.layer != "untrained":
        assert split.validation is not None
        parameters = chosen(
            split.train, split.validation, layer, case.seed, task.fitting
        ).parameters
    trainer = training.trainer(task.fitting.backend, model, parameters, device=task.fitting.device)
    accuracy = training.accuracy(training.scores(trainer, test), test.target)
    wanted = test.target == 1 if task.positive else np.ones(len(test.target), bool)
    shown = training.chosen(test, np.flatnonzero(wanted))
    weights = model.weights(parameters, shown)
    found = backend_of_input("weights", weights).to_numpy(weights).astype(np.float64)
    relative = found * np.sum(~shown.padding, axis=1)[:, None, None]
    places = np.where(shown.padding, NOISE - 1, task.places(shown))
    trials = []
    for place in np.unique(places[places >= NOISE]):
        here = np.broadcast_to((places == place)[:, None, :], relative.shape)
        heads = np.sum(relative * here, axis=(0, 2)) / np.sum(here, axis=(0, 2))
        trials.append(Trial(*case, accuracy, int(place), float(heads.mean()), float(heads.max())))
    return trials
