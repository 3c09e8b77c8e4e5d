"""Classifiers of images in training: arms that differ in one thing, on the same images and seeds.

An arm is a model and the settings of its training. A seed divides the images into those that train
and those that test, draws the first parameters and the order of the batches. Nothing is chosen by
the images that test but the epoch that is called the best, which is reported beside the last.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from hopcore.datasets._images import Images, split_images
from hopcore.experiments.models.image_classifiers import CNN, HNM, MLP
from hopcore.schedules._kinds import Constant
from hopcore.training._classifier import Classifier
from hopcore.training._config import TrainConfig
from hopcore.training._epoch_loop import Run
from hopcore.training._run_files import Epoch

Build = Callable[[tuple[int, int]], Classifier]
"""A classifier of images of a height and a width."""

WARM, COLD = 0.1, 0.001
"""Where temperatures of Hopfield network layers begin and end."""

MEMORY = {"quantity": 64, "num_heads": 8, "hidden_size": 16}
"""Of every Hopfield network layer, where an arm says nothing else."""

BASELINE = "baseline"
"""Models without a temperature."""


class Arm(NamedTuple):
    """A model and how it is trained.

    Attributes
    ----------
    model : str
        What tables call the model; the arms of one are compared.
    name : str
        What tells it from the others.
    build : Build
    config : TrainConfig
        Of which a trial replaces the seed.
    floor_after : int, optional
        The number of epochs after which all temperatures jump to the floor and stay there.
    """

    model: str
    name: str
    build: Build
    config: TrainConfig
    floor_after: int | None = None


class Trial(NamedTuple):
    """An arm, trained once: accuracies on the images that test, where nothing else is said.

    ``loss`` and ``train`` are means over the last epoch as it trained, ``soft`` and ``hard`` the
    accuracies of the two paths after it, ``best`` the highest of the hard path after any epoch,
    ``best_epoch`` the first that had it, ``temperature`` the last.
    """

    data: str
    model: str
    arm: str
    epochs: int
    seed: int
    loss: float
    train: float
    soft: float
    hard: float
    best: float
    best_epoch: int
    temperature: float | None
    seconds: float


class Outcome(NamedTuple):
    """A trial and its epochs."""

    trial: Trial
    history: list[Epoch]


def run_trials(
    data: str,
    images: Images,
    arms: Sequence[Arm],
    *,
    seeds: int = 5,
    backend: str = "torch",
    device: Any = None,
) -> Iterator[Outcome]:
    """Every arm on the images, seed by seed.

    Parameters
    ----------
    data : str
        What tables call the images.
    images : hopcore.datasets.Images
        With labels.
    arms : sequence of Arm
    seeds : int
        0, 1, ...
    backend, device
        As in :func:`hopcore.training.trainer`.

    Yields
    ------
    Outcome

    Raises
    ------
    ValueError
        Images without labels; settings that do not fit; a loss that is not finite.
    ModuleNotFoundError
        The library that trains is not installed.

    Examples
    --------
    >>> from hopcore import datasets
    >>> from hopcore.experiments.annealing import trials as annealing
    >>> arms = annealing.schedules(epochs=2)[:1]
    >>> for trial, history in annealing.run_trials("digits", datasets.digits(), arms, seeds=1):
    ...     print(trial.model, trial.arm, len(history), trial.temperature)
    HNM 1 fixed warm 2 0.1
    """
    for seed in range(seeds):
        train, test = split_images(images, seed)
        for arm in arms:
            begun = time.perf_counter()
            model = arm.build(images.shape)
            config = replace(with_jump(arm, model, len(train.target)), seed=seed)
            run = Run(model, config, train, test, backend=backend, device=device)
            history = list(run.epochs())
            last, best = history[-1], run.best or history[-1]
            trial = Trial(
                data, arm.model, arm.name, config.epochs, seed, last.loss, last.accuracy,
                last.soft, last.hard, best.hard, best.epoch, temperature_of(last),
                time.perf_counter() - begun,
            )  # fmt: skip
            yield Outcome(trial, history)


def with_jump(arm: Arm, model: Classifier, samples: int) -> TrainConfig:
    """Return the settings of an arm, with the jump to the floor in the schedules if it has one.

    Examples
    --------
    >>> from hopcore.experiments.annealing.temperature_floor import jump
    >>> from hopcore.experiments.annealing.trials import with_jump
    >>> (arm,) = [arm for arm in jump([30]) if arm.floor_after is not None]
    >>> schedule = with_jump(arm, arm.build((8, 8)), samples=320).schedules["codes"]
    >>> [round(schedule(10 * epoch), 3) for epoch in (0, 14, 15, 29)]
    [1.0, 0.653, 0.5, 0.5]
    """
    config = arm.config
    if arm.floor_after is None:
        return config
    steps = -(-samples // config.batch_size)
    stays = Constant(config.floor)
    schedule = config.schedule_of(steps).then(stays, at=arm.floor_after * steps)
    return replace(config, schedules=dict.fromkeys(model.TEMPERATURES, schedule))


def temperature_of(epoch: Epoch) -> float | None:
    """The temperature at the end of an epoch, of several the first; None where there is none."""
    return next(iter(epoch.temperatures.values()), None)


# The arms of the studies.


def hnm(*widths: int, **settings: Any) -> Build:
    """Hopfield network layers with so many features between them, and settings of their own."""
    return lambda shape: HNM(size=math.prod(shape), widths=widths, **(MEMORY | settings))


def mlp(shape: tuple[int, int]) -> Classifier:
    """An MLP with one hidden layer."""
    return MLP(size=math.prod(shape))


def cnn(shape: tuple[int, int]) -> Classifier:
    """A CNN with two convolutions."""
    return CNN(shape=shape)


MODELS = {"HNM 1": hnm(), "HNM 2": hnm(64)}
"""One Hopfield network layer, and two."""


def schedules(**settings: Any) -> list[Arm]:
    """Fixed temperatures, the schedules between them, and models without a temperature.

    Parameters
    ----------
    **settings
        Of :class:`hopcore.training.TrainConfig`, for all arms.
    """
    named: dict[str, dict[str, Any]] = {
        "fixed warm": {"schedule": "constant"},
        "fixed cold": {"schedule": "constant", "temp_start": COLD},
        **{name: {"schedule": name} for name in ("linear", "cosine", "exponential", "phase-aware")},
    }
    found = [
        Arm(model, name, build, replace(TrainConfig(**settings), **own))
        for model, build in MODELS.items()
        for name, own in named.items()
    ]
    plain = {"MLP": mlp, "CNN": cnn}
    return found + [
        Arm(BASELINE, name, build, TrainConfig(**settings)) for name, build in plain.items()
    ]


def annealed(**settings: Any) -> list[Arm]:
    """Of :func:`schedules`, a fixed temperature and a schedule, with both depths."""
    return [arm for arm in schedules(**settings) if arm.name in ("fixed warm", "cosine")]


def survival(**settings: Any) -> list[Arm]:
    """What annealing along a cosine needs: learning rate, clipping, the path, noise."""
    paths: dict[str, dict[str, Any]] = {"soft": {}, "hard": {"path": "hard"}}
    named: dict[str, dict[str, Any]] = {
        f"{rate} rate{' + clipping' if clip else ''}": {"rate": rate, "clip_norm": clip}
        for rate in ("constant", "cosine", "temperature")
        for clip in (None, 1.0)
    }
    named["cosine rate + clipping + gumbel"] = {"gumbel": True}
    base = replace(TrainConfig(**settings), schedule="cosine")
    return [
        Arm(f"{model}, {path}", name, build, replace(base, **(way | own)))
        for model, build in MODELS.items()
        for path, way in paths.items()
        for name, own in named.items()
    ]


def sizes(**settings: Any) -> list[Arm]:
    """What lets one layer be right on images it has not seen, annealed along a cosine."""
    named: dict[str, tuple[Build, dict[str, Any]]] = {
        "8 heads of 16": (hnm(), {}),
        "8 heads of 32": (hnm(hidden_size=32), {}),
        "32 heads of 8": (hnm(num_heads=32, hidden_size=8), {}),
        "64 heads of 8": (hnm(num_heads=64, hidden_size=8), {}),
        "8 patterns": (hnm(quantity=8), {}),
        "256 patterns": (hnm(quantity=256), {}),
        "dropout 0.2": (hnm(dropout=0.2), {}),
        "weight decay 1": (hnm(), {"weight_decay": 1.0}),
        "hard path": (hnm(), {"path": "hard"}),
        "gumbel": (hnm(), {"gumbel": True}),
    }
    base = replace(TrainConfig(**settings), schedule="cosine")
    found = [
        Arm("HNM 1", name, build, replace(base, **own)) for name, (build, own) in named.items()
    ]
    return [*found, Arm(BASELINE, "MLP", mlp, TrainConfig(**settings))]
