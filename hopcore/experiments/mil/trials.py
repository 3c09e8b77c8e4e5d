"""Classifying bags: the same classifier around different layers, on several tasks.

Validation bags choose the learning rate, the rate of dropout and the number of epochs, by the
lowest logistic loss. The test bags are looked at once, with the classifier that was chosen. A seed
draws the data or the folds, the first parameters and the order of the batches.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, product
from typing import Any, NamedTuple

import numpy as np

from hopcore.experiments.data import bags
from hopcore.experiments.mil import layers as layers_of
from hopcore.experiments.models.bag_classifier import BagClassifier, Bags
from hopcore.layers._losses import logistic_loss
from hopcore.training import _trainer as training

PARTS = 5
"""The training bags are divided into so many parts, one of which validates, if no others do."""


class Split(NamedTuple):
    """Bags to train, to validate and to test with; folds of one cross-validation have one task.

    Without bags that validate, a part of those that train does, and after the choice all of them
    train.
    """

    task: str
    fold: int
    train: Bags
    validation: Bags | None
    tests: Mapping[str, Bags]


Splits = Callable[[int], Iterable[Split]]
"""The splits of a seed."""


class Trial(NamedTuple):
    """One classifier, trained once, and how well it classifies one set of test bags.

    Attributes
    ----------
    data, layer : str
        The name of the test bags, and the layer.
    seed, fold : int
    bags : int
        How many bags trained.
    rate, dropout : float
    epochs : int
        Chosen by the validation bags.
    loss : float
        The training loss in the last of these epochs.
    accuracy, auc : float
        On the test bags.
    pooled : float
        The AUC of the test bags of all folds of the seed together.
    seconds : float
        The time of the training, all candidates included.
    """

    data: str
    layer: str
    seed: int
    fold: int
    bags: int
    rate: float
    dropout: float
    epochs: int
    loss: float
    accuracy: float
    auc: float
    pooled: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """How classifiers are built and trained.

    Attributes
    ----------
    width : int
        Depth of the embedding, and of the association with all its heads.
    heads : int
    rates : sequence of float
        Learning rates, one of which the validation bags choose.
    dropouts : sequence of float
        Rates with which association weights are dropped, one of which the validation bags choose.
    normalise : bool
        Whether features get mean 0 and deviation 1 over the training bags.
    epochs : int
        The largest number of epochs; validation bags choose one of them.
    patience : int
        The training ends when the loss of the validation bags has not fallen for so many epochs;
        0: it never ends early.
    batch_size, weight_decay
        As in :mod:`hopcore.training`.
    backend, device
        What trains.
    """

    width: int = 128
    heads: int = 8
    rates: Sequence[float] = (1e-3,)
    dropouts: Sequence[float] = (0.0,)
    normalise: bool = False
    epochs: int = 20
    patience: int = 0
    batch_size: int = 32
    weight_decay: float = 1e-2
    backend: str = "torch"
    device: Any = None

    def classifier(self, layer: str, input_size: int, dropout: float = 0.0) -> BagClassifier:
        """Return the classifier around a layer of :data:`hopcore.experiments.mil.layers.LAYERS`."""
        return layers_of.classifier(
            layer, input_size, width=self.width, heads=self.heads, dropout=dropout
        )

    def candidates(self, layer: str) -> list[tuple[float, float]]:
        """Return learning rates with rates of dropout; a layer without weights has no dropout."""
        dropouts = self.dropouts if layer in layers_of.WEIGHTED else (0.0,)
        return list(product(self.rates, dropouts))


class Chosen(NamedTuple):
    """What the validation bags chose: a candidate, its epoch, and the classifier at that epoch."""

    rate: float
    dropout: float
    epochs: int
    loss: float
    parameters: Mapping[str, np.ndarray]


def run_trials(
    splits: Splits, layers: Sequence[str], fitting: Fitting, *, seeds: Iterable[int] = range(5),
    known: Iterable[Trial] = (),
) -> Iterator[Trial]:  # fmt: skip
    """Every layer on every split, seed by seed and task by task.

    Parameters
    ----------
    splits : callable
        The splits of a seed.
    layers : sequence of str
        Of :data:`hopcore.experiments.mil.layers.LAYERS`.
    fitting : Fitting
    seeds : iterable of int
    known : iterable of Trial
        Trials that are there already. A layer is not trained again for a task of which all are.

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
    of_layer: dict[tuple[str, str, int], list[Trial]] = {}
    for trial in known:
        of_layer.setdefault((trial.data, trial.layer, trial.seed), []).append(trial)
    for seed in seeds:
        for _, task in groupby(splits(seed), key=lambda split: split.task):
            folds = list(task)
            for layer in layers:
                own = [of_layer.get((name, layer, seed), []) for name in folds[0].tests]
                if all(len(one) == len(folds) for one in own):
                    yield from (trial for one in own for trial in one)
                else:
                    yield from trials_of_task(folds, layer, seed, fitting)


def trials_of_task(
    folds: Sequence[Split], layer: str, seed: int, fitting: Fitting
) -> Iterator[Trial]:
    """One layer on all folds of a task; the pooled AUC is of the test bags of all folds."""
    fits = [fit_of_split(split, layer, seed, fitting) for split in folds]
    for name in folds[0].tests:
        scores = [fit.scores[name] for fit in fits]
        targets = [split.tests[name].target for split in folds]
        pooled = training.auc(np.concatenate(scores), np.concatenate(targets))
        for split, fit, score, target in zip(folds, fits, scores, targets, strict=True):
            chosen = fit.chosen
            yield Trial(
                name, layer, seed, split.fold, len(split.train.target), chosen.rate,
                chosen.dropout, chosen.epochs, chosen.loss, training.accuracy(score, target),
                training.auc(score, target), pooled, fit.seconds,
            )  # fmt: skip


class Fit(NamedTuple):
    """A classifier that was chosen and trained, its scores of the test bags, and the time."""

    chosen: Chosen
    scores: Mapping[str, np.ndarray]
    seconds: float


def fit_of_split(split: Split, layer: str, seed: int, fitting: Fitting) -> Fit:
    """Choose a classifier by validation bags, and look at the test bags once."""
    begun = time.perf_counter()
    train, validation = split.train, split.validation
    if validation is None:
        part = next(cross_validated("", train, PARTS, np.random.default_rng(seed)))
        found = chosen(part.train, part.tests[""], layer, seed, fitting)
        candidate = found.rate, found.dropout
        ran = trained(train, layer, candidate, seed, fitting, found.epochs)
        *_, (loss, trainer) = ran
        found = found._replace(loss=loss, parameters=trainer.parameters())
    else:
        found = chosen(train, validation, layer, seed, fitting)
    seconds = time.perf_counter() - begun
    model = fitting.classifier(layer, train.patterns.shape[-1], found.dropout)
    trainer = training.trainer(fitting.backend, model, found.parameters, device=fitting.device)
    tests = {name: alike(fitting, train, test) for name, test in split.tests.items()}
    return Fit(found, {k: training.scores(trainer, v) for k, v in tests.items()}, seconds)


def chosen(train: Bags, validation: Bags, layer: str, seed: int, fitting: Fitting) -> Chosen:
    """The candidate and the epoch with the lowest loss of the validation bags."""
    validation = alike(fitting, train, validation)
    target = validation.target.astype(np.float64)
    best, lowest = None, math.inf
    for candidate in fitting.candidates(layer):
        ran = trained(train, layer, candidate, seed, fitting, fitting.epochs)
        own, fell = math.inf, 0
        for epoch, (loss, trainer) in enumerate(ran, start=1):
            found = training.scores(trainer, validation).astype(np.float64)
            value = float(logistic_loss(found, target))
            if value < lowest:
                lowest = value
                best = Chosen(*candidate, epoch, loss, trainer.parameters())
            if value < own:
                own, fell = value, epoch
            elif fitting.patience and epoch - fell >= fitting.patience:
                break
    if best is None:
        raise ValueError("the loss of the validation bags is never finite; try a smaller rate")
    return best


def trained(
    train: Bags, layer: str, candidate: tuple[float, float], seed: int, fitting: Fitting,
    epochs: int,
) -> Iterator[tuple[float, training.Trainer]]:  # fmt: skip
    """Train a candidate; yield the loss of each epoch, and the trainer after it."""
    rate, dropout = candidate
    model = fitting.classifier(layer, train.patterns.shape[-1], dropout)
    trainer = training.trainer(
        fitting.backend, model, model.first_parameters(seed=seed), seed=seed,
        learning_rate=rate, weight_decay=fitting.weight_decay, device=fitting.device,
    )  # fmt: skip
    losses = training.train(
        trainer, alike(fitting, train, train), epochs=epochs, batch_size=fitting.batch_size,
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    for loss in losses:
        yield loss, trainer


def alike(fitting: Fitting, train: Bags, other: Bags) -> Bags:
    """Bags with features that are normalised as those that train, if the fitting says so."""
    return bags.normalised(train, other)[1] if fitting.normalise else other


def cross_validated(
    task: str, all_bags: Bags, count: int, rng: np.random.Generator
) -> Iterator[Split]:
    """Each of so many stratified folds to test with, the others to train."""
    for fold, rows in enumerate(bags.folds(all_bags.target, count, rng)):
        rest = np.setdiff1d(np.arange(len(all_bags.target)), rows)
        train, test = training.chosen(all_bags, rest), training.chosen(all_bags, rows)
        yield Split(task, fold, train, None, {task: test})
