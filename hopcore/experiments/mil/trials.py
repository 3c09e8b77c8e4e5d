"""Classifying bags: the same classifier around different Hopfield layers, on several tasks.

Every study splits its bags into those that train and those that test; nothing is chosen by the
latter. A seed draws the data or the folds, the first parameters and the order of the batches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hopcore.datasets._images import Images, choose
from hopcore.experiments.data import bags
from hopcore.experiments.models.bag_classifier import BagClassifier, Bags
from hopcore.layers._composed_settings import LookupSettings, PoolingSettings
from hopcore.layers._settings import HopfieldSettings
from hopcore.training import _trainer as training

LAYERS = ("mean", "pooling", "hopfield", "lookup")
"""No layer but the mean of the instances, and three Hopfield layers."""

MEMORY = 32
"""Learned patterns of a lookup."""

INNER = 3
"""Folds of the training bags, by which a rate of dropout is chosen."""

TRAINED, TESTED = 1536, 512
"""Bags drawn to train and to test, where they are drawn at will."""


class Split(NamedTuple):
    """Bags to train and to test with; folds of one cross-validation have the same name."""

    data: str
    fold: int
    train: Bags
    test: Bags


Splits = Callable[[int], Iterable[Split]]
"""The splits of a seed."""


class Trial(NamedTuple):
    """One classifier, trained once: its loss in the last epoch, and what the tests came to.

    ``dropout`` is the rate that was chosen, ``bags`` the number of bags that trained.
    """

    data: str
    layer: str
    seed: int
    fold: int
    bags: int
    dropout: float
    loss: float
    accuracy: float
    auc: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """How classifiers are built and trained.

    Attributes
    ----------
    width : int
        Depth of the embedding, and of the association with all its heads.
    heads : int
    dropouts : sequence of float
        Rates with which association weights are dropped; of several, cross-validation within the
        training bags chooses one.
    normalise : bool
        Whether features get mean 0 and deviation 1 over the training bags.
    epochs, batch_size, learning_rate, weight_decay
        As in :mod:`hopcore.training`.
    backend, device
        What trains.
    """

    width: int = 128
    heads: int = 8
    dropouts: Sequence[float] = (0.0,)
    normalise: bool = False
    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    backend: str = "torch"
    device: Any = None

    def classifier(self, layer: str, input_size: int, dropout: float = 0.0) -> BagClassifier:
        """The classifier around a layer of :data:`LAYERS`."""
        inner = HopfieldSettings(input_size=self.width, num_heads=self.heads, dropout=dropout)
        kinds = {
            "mean": lambda: None,
            "pooling": lambda: PoolingSettings(hopfield=inner),
            "hopfield": lambda: inner,
            "lookup": lambda: LookupSettings(hopfield=inner, quantity=MEMORY),
        }
        if layer not in kinds:
            raise ValueError(f"unknown layer {layer!r}; known: {', '.join(LAYERS)}")
        return BagClassifier(input_size=input_size, embedding=(self.width,), layer=kinds[layer]())


def run_trials(
    splits: Splits, layers: Sequence[str], fitting: Fitting, *, seeds: int = 5
) -> Iterator[Trial]:
    """Every layer on every split, seed by seed.

    Parameters
    ----------
    splits : callable
        The splits of a seed.
    layers : sequence of str
        Of :data:`LAYERS`.
    fitting : Fitting
    seeds : int
        0, 1, ...

    Yields
    ------
    Trial

    Raises
    ------
    ValueError
        An unknown layer; data that do not fit; a loss that is not finite.
    ModuleNotFoundError
        The library that trains is not installed.
    """
    for seed in range(seeds):
        for split in splits(seed):
            for layer in layers:
                yield trial(split, layer, seed, fitting)


def trial(split: Split, layer: str, seed: int, fitting: Fitting) -> Trial:
    """One layer on one split."""
    begun = time.perf_counter()
    dropout = best_dropout(split.train, layer, seed, fitting)
    scores, loss = fitted(split.train, split.test, layer, dropout, seed, fitting)
    target = split.test.target
    return Trial(
        split.data, layer, seed, split.fold, len(split.train.target), dropout, loss,
        training.accuracy(scores, target), training.auc(scores, target),
        time.perf_counter() - begun,
    )  # fmt: skip


def fitted(
    train: Bags, test: Bags, layer: str, dropout: float, seed: int, fitting: Fitting
) -> tuple[np.ndarray, float]:
    """The scores of the test bags and the last loss of a classifier trained on the others."""
    if fitting.normalise:
        train, test = bags.normalised(train, test)
    model = fitting.classifier(layer, train.patterns.shape[-1], dropout)
    trainer = training.trainer(
        fitting.backend, model, model.first_parameters(seed=seed), seed=seed,
        learning_rate=fitting.learning_rate, weight_decay=fitting.weight_decay,
        device=fitting.device,
    )  # fmt: skip
    *_, loss = training.train(
        trainer, train, epochs=fitting.epochs, batch_size=fitting.batch_size,
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    return training.scores(trainer, test), loss


def best_dropout(train: Bags, layer: str, seed: int, fitting: Fitting) -> float:
    """The rate with the largest mean AUC over folds of the training bags; the first of equals."""
    if layer == "mean":  # no association, no dropout
        return 0.0
    if len(fitting.dropouts) == 1:
        return fitting.dropouts[0]
    inner = list(cross_validated("", train, INNER, np.random.default_rng(seed)))

    def found(dropout: float) -> float:
        scores = [fitted(s.train, s.test, layer, dropout, seed, fitting)[0] for s in inner]
        pairs = zip(scores, inner, strict=True)
        return float(np.mean([training.auc(score, s.test.target) for score, s in pairs]))

    return max(fitting.dropouts, key=found)


def cross_validated(
    data: str, all_bags: Bags, count: int, rng: np.random.Generator
) -> Iterator[Split]:
    """Each of so many stratified folds to test with, the others to train."""
    for fold, rows in enumerate(bags.folds(all_bags.target, count, rng)):
        rest = np.setdiff1d(np.arange(len(all_bags.target)), rows)
        yield Split(data, fold, training.chosen(all_bags, rest), training.chosen(all_bags, rows))


# The studies.


def bit_patterns(sizes: Sequence[int]) -> Splits:
    """Bags of bit patterns: 2048 of them, of which so many train and 512 test."""
    at_most("bags", sizes, TRAINED)

    def splits(seed: int) -> Iterator[Split]:
        found = bags.bit_patterns(np.random.default_rng(seed), bags=TRAINED + TESTED)
        test = training.chosen(found, np.arange(TRAINED, TRAINED + TESTED))
        for size in sizes:
            yield Split(str(size), 0, training.chosen(found, np.arange(size)), test)

    return splits


def latch_sequences(lengths: Sequence[int]) -> Splits:
    """Latch sequences of some lengths: 1536 train and 512 test."""

    def splits(seed: int) -> Iterator[Split]:
        for length in lengths:
            rng = np.random.default_rng(seed)
            found = bags.latch_sequences(rng, sequences=TRAINED + TESTED, length=length)
            parts = (np.arange(TRAINED), np.arange(TRAINED, TRAINED + TESTED))
            yield Split(str(length), 0, *(training.chosen(found, rows) for rows in parts))

    return splits


def digit_bags(images: Images, sizes: Sequence[int], digit: int = 9) -> Splits:
    """Bags of digits: four fifths of the images are in those that train, the others in 512."""
    at_most("bags", sizes, TRAINED)

    def splits(seed: int) -> Iterator[Split]:
        rng = np.random.default_rng(seed)
        mixed = choose(images, len(images.pixels), rng)
        edge = len(mixed.pixels) * 4 // 5
        parts = [
            mixed._replace(pixels=mixed.pixels[part], labels=bags.labels_of(mixed)[part])
            for part in (slice(edge), slice(edge, None))
        ]
        train = bags.digit_bags(rng, parts[0], bags=max(sizes), digit=digit)
        test = bags.digit_bags(rng, parts[1], bags=TESTED, digit=digit)
        for size in sizes:
            yield Split(str(size), 0, training.chosen(train, np.arange(size)), test)

    return splits


def files(paths: Sequence[Path], count: int) -> Splits:
    """Files of bags, each cross-validated."""
    read = {path.stem: bags.read_bags(path) for path in paths}
    if len(read) < len(paths):
        raise ValueError(f"files must have different names, got {', '.join(map(str, paths))}")

    def splits(seed: int) -> Iterator[Split]:
        for name, found in read.items():
            yield from cross_validated(name, found, count, np.random.default_rng(seed))

    return splits


def at_most(name: str, values: Sequence[int], most: int) -> None:
    """Refuse values below 2 or above the most."""
    for value in values:
        if not 2 <= value <= most:
            raise ValueError(f"{name} must be between 2 and {most}, got {value}")
