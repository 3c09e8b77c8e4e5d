r"""The gradients of a trained classifier over the temperature: what annealing does to a training.

Arms are trained. Then, at temperatures between the warm and the cold and on both paths, the norms
of the gradients of all batches are measured, and what becomes of the network in one more epoch at
that temperature, with the full learning rate and with one in proportion to the temperature.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hopcore import plots
from hopcore.datasets._images import Images, split_images
from hopcore.experiments.annealing.report import errors, right_axis
from hopcore.experiments.annealing.trials import COLD, WARM, Arm
from hopcore.experiments.tables import Summary, grouped
from hopcore.training._classifier import Images as Samples
from hopcore.training._config import PATHS, TrainConfig
from hopcore.training._epoch_loop import Run
from hopcore.training._trainer import Model, batches, scores, trainer

TEMPERATURES: tuple[float, ...] = tuple(WARM * (COLD / WARM) ** (place / 8) for place in range(9))
"""From the warm to the cold, by the same factor."""


class Gradient(NamedTuple):
    """A trained arm at a temperature.

    ``loss`` is the mean over the batches, ``mean`` and ``most`` the mean and the largest norm of
    their gradients; ``full`` the accuracy of the path on the images that test after one more epoch
    with the full learning rate, ``scaled`` with one in proportion to the temperature.
    """

    data: str
    model: str
    arm: str
    epochs: int
    seed: int
    path: str
    temperature: float
    loss: float
    mean: float
    most: float
    full: float
    scaled: float


def measure(
    data: str,
    images: Images,
    arms: Sequence[Arm],
    *,
    seeds: int = 3,
    backend: str = "torch",
    device: Any = None,
) -> Iterator[Gradient]:
    """Train every arm, and measure its gradients; the arguments are those of ``run_trials``."""
    where = {"backend": backend, "device": device}
    for seed in range(seeds):
        train, test = split_images(images, seed)
        for arm in arms:
            model, config = arm.build(images.shape), replace(arm.config, seed=seed)
            run = Run(model, config, train, test, **where)
            for _ in run.epochs():
                pass
            parameters = run.trainer.parameters()
            for path in PATHS:
                for temperature in TEMPERATURES:
                    at = dict.fromkeys(model.TEMPERATURES, temperature)
                    losses, norms = gradients(model, parameters, train, at, config, path, where)
                    goes = [
                        continued(model, parameters, (train, test), at, rate, config, path, where)
                        for rate in (1.0, temperature / WARM)
                    ]
                    yield Gradient(
                        data, arm.model, arm.name, config.epochs, seed, path, temperature,
                        float(np.mean(losses)), float(np.mean(norms)), max(norms), *goes,
                    )  # fmt: skip


def gradients(
    model: Model,
    parameters: Mapping[str, np.ndarray],
    train: Samples,
    temperatures: Mapping[str, float],
    config: TrainConfig,
    path: str,
    where: Mapping[str, Any],
) -> tuple[list[float], list[float]]:
    """The losses of all batches, and the norms of their gradients, by steps of length 0."""
    still = trainer(model=model, parameters=parameters, learning_rate=0.0, **where)
    found = [
        still.step(batch, temperatures, hard=path == "hard")
        for batch in batches(train, config.batch_size)
    ]
    return [float(one.loss) for one in found], [float(one.norm) for one in found]


def continued(
    model: Model,
    parameters: Mapping[str, np.ndarray],
    data: tuple[Samples, Samples],
    temperatures: Mapping[str, float],
    rate: float,
    config: TrainConfig,
    path: str,
    where: Mapping[str, Any],
) -> float:
    """The accuracy on the second of the data after an epoch with the first, not clipped."""
    one = trainer(
        model=model, parameters=parameters, learning_rate=config.learning_rate,
        weight_decay=config.weight_decay, seed=config.seed, **where,
    )  # fmt: skip
    (train, test), hard = data, path == "hard"
    for batch in batches(train, config.batch_size, np.random.default_rng(config.seed)):
        one.step(batch, temperatures, rate=rate, hard=hard)
    found = scores(one, test, temperatures=temperatures, hard=hard)
    return float(np.mean(found.argmax(axis=-1) == test.target))


def table(found: Sequence[Gradient], title: str = "") -> Summary:
    """Return what was found at the ends, in the middle and where norms are largest."""
    every = sorted({one.temperature for one in found}, reverse=True)
    shown = every[0], every[len(every) // 2], every[-1]
    rows = []
    for place, own in by_path(found).items():
        norms = {t: float(np.mean([o.mean for o in own if o.temperature == t])) for t in every}
        most = max(every, key=lambda t: norms[t])
        row = [*place, *[f"{norms[t]:.2g}" for t in shown], f"{norms[most]:.2g} ({most:.2g})"]
        for measure in ("full", "scaled"):
            after = dict(zip(*curve(own, measure), strict=True))
            row += [f"{100.0 * after[t]:.1f}" for t in shown]
        rows.append(row)
    right = [f"T = {t:.2g}" for t in shown]
    more = [f"{measure}, {t:.2g}" for measure in ("full", "scaled") for t in shown]
    caption = (
        "norm of the gradient of a batch, mean over batches and seeds\n"
        "full, scaled: % right after one more epoch at T, with the learning rate and T / 0.1 of it"
    )
    left = ["model", "trained", "path"]
    return Summary(left, [*right, "most (at T)", *more], rows, title, caption)


def by_path(found: Sequence[Gradient]) -> dict[tuple[str, str, str], list[Gradient]]:
    """What was found by model, arm and path."""
    return grouped(found, lambda one: (one.model, one.arm, one.path))


def draw(title: str, found: Sequence[Gradient], path: Path) -> None:
    """A column for each model: norms over the temperature, and beneath what a step changes."""
    models = list(dict.fromkeys(one.model for one in found))
    figure = plots.new_figure(2.2 + 3.4 * len(models), 5.4, dpi=100)
    axes = figure.subplots(2, len(models), squeeze=False, sharex=True, sharey="row")
    for model, (top, beneath) in zip(models, axes.T, strict=True):
        groups = {k[1:]: v for k, v in by_path(found).items() if k[0] == model}
        for index, ((arm, way), own) in enumerate(groups.items()):
            color, label = plots.LINES[index % len(plots.LINES)], f"{arm}, {way} path"
            top.loglog(*curve(own, "mean"), color=color, label=label, linewidth=1.3)
            top.loglog(*curve(own, "most"), ":", color=color, linewidth=1.1)
            for measure, line in (("full", "-"), ("scaled", ":")):
                places, shares = curve(own, measure)
                beneath.semilogx(places, errors(shares), line, color=color, linewidth=1.3)
        beneath.set_xlabel("temperature", fontsize=9)
        plots.heading(top, model)
        for ax in (top, beneath):
            plots.quiet(ax)
    axes[0, 0].invert_xaxis()
    axes[0, 0].set_ylabel("norm of the gradient", fontsize=9)
    right_axis(axes[1, 0])
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", frameon=False, fontsize=8)
    note = (
        "Above, lines: mean over the batches; dots: the largest of them. Beneath: after one more "
        "epoch, lines: full learning rate; dots: in proportion to T"
    )
    plots.save(plots.caption(figure, title, note), path, colors=256)


def curve(own: Sequence[Gradient], measure: str) -> tuple[list[float], list[float]]:
    """Temperatures, and the means of a measure over the seeds there."""
    places = sorted({one.temperature for one in own})
    means = [np.mean([getattr(o, measure) for o in own if o.temperature == t]) for t in places]
    return places, [float(mean) for mean in means]
