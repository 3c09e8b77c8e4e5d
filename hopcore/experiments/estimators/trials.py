"""Errors and times of estimators on scikit-learn's data sets and on MNIST.

A third of the rows is for testing. Every setting of a grid is chosen on the other rows alone: with
five folds, or, for imputers, by entries of the training rows that are hidden for it. Estimators
without a grid have their defaults.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import product
from typing import Any, NamedTuple

import numpy as np

import hopcore
from hopcore.datasets import Images

IMPUTE, LARGE, CLASSIFY, REGRESS = "impute", "impute-large", "classify", "regress"
DATA = {
    IMPUTE: ("iris", "wine", "breast_cancer", "digits", "diabetes", "friedman"),
    CLASSIFY: ("iris", "wine", "breast_cancer", "digits"),
    REGRESS: ("diabetes", "friedman"),
    LARGE: ("factors:1000", "factors:3000", "factors:10000"),
}
"""The data sets of each task. A grid search on ``factors`` would take hours: defaults are used."""

MNIST = "mnist:"
"""The name of MNIST's data set, before the number of images that a seed draws."""

WITH_MNIST = (IMPUTE, CLASSIFY)
"""The tasks that take images of MNIST as well, if there are any."""

METHODS = {
    IMPUTE: ("hopfield", "hopfield-grid", "knn", "iterative", "mean"),
    CLASSIFY: ("hopfield", "hopfield-grid", "knn", "svm"),
    REGRESS: ("hopfield", "hopfield-grid", "knn", "kernel-ridge"),
    LARGE: ("hopfield", "knn", "iterative"),
}
"""The estimators of each task; ``hopfield`` chooses beta itself, without a search."""

MISSING = 0.2
"""The share of the entries that is removed at random."""

FOLDS = 5
"""Folds of a grid search."""

NEAREST = 20
"""The pixels from which ``IterativeImputer`` predicts one of MNIST's; all take half an hour."""


class Case(NamedTuple):
    """A task, a data set, an estimator and the seed of the split."""

    task: str
    data: str
    method: str
    seed: int


class Trial(NamedTuple):
    """The error of an estimator on test rows, and times on one core.

    ``error``: the share of wrong classes; else the root mean squared error in standard deviations
    of the training data. ``search``: seconds of CPU time to choose the settings with a grid;
    ``fit`` and ``apply``: to fit the chosen estimator, and to apply it to the test rows.
    """

    task: str
    data: str
    method: str
    seed: int
    error: float
    search: float
    fit: float
    apply: float


def cases(tasks: list[str], seeds: int, images: int = 0) -> list[Case]:
    """All of a study, with that number of MNIST's images. ``factors`` is measured once."""
    more = {task: (f"{MNIST}{images}",) for task in WITH_MNIST if images}
    return [
        Case(task, data, method, seed)
        for task in tasks
        for data in DATA[task] + more.get(task, ())
        for seed in range(1 if task == LARGE else seeds)
        for method in METHODS[task]
    ]


def run(wanted: list[Case], mnist: Images | None = None) -> Iterator[list[Trial]]:
    """Yield the trial of each case; those of MNIST need its images."""
    for case in wanted:
        measure = imputed if case.task in (IMPUTE, LARGE) else predicted
        with warnings.catch_warnings():
            # IterativeImputer warns that it is experimental, or has not converged in ten rounds.
            warnings.simplefilter("ignore")
            yield [measure(case, mnist)]


def sklearn_module(name: str) -> Any:
    """Import a module of scikit-learn; the error for a missing one names the extra."""
    import_module("hopcore.sklearn")
    return import_module(f"sklearn.{name}")


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of a call and the seconds of CPU time that it took."""
    begun = time.process_time()
    found = call()
    return found, time.process_time() - begun


def rows_of(data: str, mnist: Images | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and the targets of a data set; nothing is downloaded."""
    if mnist is not None and data.startswith(MNIST):
        return mnist.pixels, np.asarray(mnist.labels)
    datasets = sklearn_module("datasets")
    if data == "friedman":
        return datasets.make_friedman1(500, noise=1.0, random_state=0)
    if data.startswith("factors:"):
        rng = np.random.default_rng(0)
        count = int(data.partition(":")[2])
        rows = rng.normal(size=(count, 5)) @ rng.normal(size=(5, 30))
        return rows + 0.3 * rng.normal(size=rows.shape), np.zeros(count)
    found = getattr(datasets, f"load_{data}")()
    return found.data, found.target


def in_one_unit(data: str) -> bool:
    """Whether all columns are divided by one number, and not each by its standard deviation.

    Most pixels near the border of MNIST's images are 0 in all images but a few. In units of its own
    standard deviation, such a pixel would count more than all others together.
    """
    return data.startswith(MNIST)


def split(
    case: Case, mnist: Images | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return training rows, test rows, and the targets of both; the seed draws which is which."""
    rows, targets = rows_of(case.data, mnist)
    order = np.random.default_rng(case.seed).permutation(len(rows))
    if case.data.startswith(MNIST):
        order = order[: int(case.data.removeprefix(MNIST))]
    test, train = np.split(order, [len(order) // 3])
    unit = 1.0
    if in_one_unit(case.data):
        unit = root_mean_square(rows[train].std(axis=0)[varying(rows[train])])
    return rows[train] / unit, rows[test] / unit, targets[train], targets[test]


def varying(rows: np.ndarray) -> np.ndarray:
    """Return which columns hold more than one value."""
    return np.ptp(rows, axis=0) > 0.0


def imputed(case: Case, mnist: Images | None = None) -> Trial:
    """Remove entries at random, and compare what an imputer fills in with what was there."""
    train, test, *_ = split(case, mnist)
    varied = varying(train)
    mean, deviation = train.mean(axis=0)[varied], train.std(axis=0)[varied]
    if in_one_unit(case.data):
        deviation = np.ones_like(mean)
    train, test = (train[:, varied] - mean) / deviation, (test[:, varied] - mean) / deviation
    rng = np.random.default_rng(case.seed + 1000)
    train = np.where(rng.random(train.shape) < MISSING, np.nan, train)
    gaps = rng.random(test.shape) < MISSING
    holes = np.where(gaps, np.nan, test)
    hidden = (rng.random(train.shape) < MISSING) & ~np.isnan(train)
    grid = imputers(case.method, case.data)[: None if case.task == IMPUTE else 1]

    def missed(imputer: Any) -> float:
        filled = imputer.fit_transform(np.where(hidden, np.nan, train))
        return root_mean_square((filled - train)[hidden])

    def choose() -> Any:
        return min(grid, key=missed) if len(grid) > 1 else grid[0]

    imputer, search = timed(choose)
    _, fit = timed(lambda: imputer.fit(train))
    filled, apply = timed(lambda: imputer.transform(holes))
    error = root_mean_square((filled - test)[gaps])
    return Trial(*case, error, search, fit, apply)


def imputers(method: str, data: str) -> list[Any]:
    """Return the imputers of which the best one is chosen; the first one has its defaults."""
    impute = sklearn_module("impute")
    if method == "mean":
        return [impute.SimpleImputer(keep_empty_features=True)]
    if method == "iterative":
        sklearn_module("experimental.enable_iterative_imputer")
        nearest = NEAREST if in_one_unit(data) else None
        return [
            impute.IterativeImputer(
                n_nearest_features=nearest, random_state=0, keep_empty_features=True
            )
        ]
    if method == "knn":
        settings = product((5, 2, 10, 20), ("uniform", "distance"))
        return [
            impute.KNNImputer(n_neighbors=k, weights=w, keep_empty_features=True)
            for k, w in settings
        ]
    settings = {"scale": not in_one_unit(data), "keep_empty_features": True}
    if method == "hopfield":
        return [hopcore.sklearn.HopfieldImputer(**settings)]
    return [hopcore.sklearn.HopfieldImputer(beta, **settings) for beta in betas(data, 8)]


def betas(data: str, count: int) -> list[float]:
    """Return the values of beta of a grid; many columns make distances long, and beta small."""
    lowest = 0.005 if in_one_unit(data) else 0.05
    return [float(beta) for beta in np.geomspace(lowest, 1000.0 * lowest, count)]


def predicted(case: Case, mnist: Images | None = None) -> Trial:
    """Fit a classifier or a regressor behind a ``StandardScaler``, and compare test targets."""
    train, test, target, wanted = split(case, mnist)
    if case.task == REGRESS:
        mean, deviation = target.mean(), target.std()
        target, wanted = (target - mean) / deviation, (wanted - mean) / deviation
    pipeline = sklearn_module("pipeline").make_pipeline
    model, grid = predictor(case.task, case.method, case.data)
    scaler = sklearn_module("preprocessing").StandardScaler(with_std=not in_one_unit(case.data))
    model = pipeline(scaler, model)
    grid = {f"{model.steps[-1][0]}__{name}": values for name, values in grid.items()}
    search = 0.0
    if grid:
        scoring = "accuracy" if case.task == CLASSIFY else "neg_mean_squared_error"
        searching = sklearn_module("model_selection").GridSearchCV(
            model, grid, cv=FOLDS, scoring=scoring, refit=False
        )
        _, search = timed(lambda: searching.fit(train, target))
        model.set_params(**searching.best_params_)
    _, fit = timed(lambda: model.fit(train, target))
    found, apply = timed(lambda: model.predict(test))
    if case.task == CLASSIFY:
        error = float(np.mean(found != wanted))
    else:
        error = root_mean_square(found - wanted)
    return Trial(*case, error, search, fit, apply)


def predictor(task: str, method: str, data: str) -> tuple[Any, dict[str, list[Any]]]:
    """Return an estimator, and the grid of its settings."""
    kind = "Classifier" if task == CLASSIFY else "Regressor"
    if method == "knn":
        model = getattr(sklearn_module("neighbors"), f"KNeighbors{kind}")()
        return model, {"n_neighbors": [1, 3, 5, 10, 20], "weights": ["uniform", "distance"]}
    if method == "svm":
        model = sklearn_module("svm").SVC()
        return model, {"C": [0.1, 1.0, 10.0, 100.0], "gamma": ["scale", 0.001, 0.01, 0.1]}
    if method == "kernel-ridge":
        model = sklearn_module("kernel_ridge").KernelRidge(kernel="rbf")
        return model, {"alpha": [0.001, 0.01, 0.1, 1.0], "gamma": [0.001, 0.003, 0.01, 0.03, 0.1]}
    model = getattr(hopcore.sklearn, f"Hopfield{kind}")()
    return model, {"beta": betas(data, 10)} if method == "hopfield-grid" else {}


def root_mean_square(values: np.ndarray) -> float:
    """Return the root of the mean of the squares."""
    return float(np.sqrt(np.mean(values**2)))
