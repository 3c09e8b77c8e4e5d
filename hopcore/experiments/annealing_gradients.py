r"""The gradients of a trained classifier over the temperature: what annealing does to a training.

Arms are trained; then the loss of every batch of the images that train, and the norm of its
gradient, are measured at temperatures between the warm and the cold, on both paths.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

from hopcore import plots
from hopcore.backend import Array
from hopcore.datasets import Images, split_images
from hopcore.experiments.annealing import COLD, WARM, Arm
from hopcore.experiments.annealing_report import style
from hopcore.experiments.diffusion_report import COLORS
from hopcore.experiments.report import new_table
from hopcore.parameters import Parameters
from hopcore.runs import Run
from hopcore.train_config import PATHS
from hopcore.training import Conditions, Model, batches, trainer

TEMPERATURES: tuple[float, ...] = tuple(WARM * (COLD / WARM) ** (place / 8) for place in range(9))
"""From the warm to the cold, by the same factor."""

FAINT, EPSILON = 1e-16, 1e-8
"""A factor for losses, and what AdamW adds to a denominator, in every trainer."""


class Gradient(NamedTuple):
    """A trained arm at a temperature: its mean loss, and its gradients' mean and largest norm."""

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


@dataclass(frozen=True)
class Faint:
    r"""A model with a loss so faint that the first step of AdamW is along its gradient.

    From moments of 0 that step is :math:`g / (|g| + \epsilon)` in every entry: the sign of the
    gradient g where it is large, but :math:`g / \epsilon` where it is small.

    Attributes
    ----------
    model : Model
    """

    model: Model

    def objective(
        self, parameters: Parameters, batch: Any, conditions: Conditions
    ) -> tuple[Array, Array]:
        """The objective of the model, times :data:`FAINT`."""
        loss, outputs = self.model.objective(parameters, batch, conditions)
        return loss * FAINT, outputs


def gradient(
    model: Model,
    parameters: Mapping[str, np.ndarray],
    batch: Any,
    temperatures: Mapping[str, float],
    *,
    hard: bool = False,
    backend: str = "torch",
    device: Any = None,
) -> tuple[float, dict[str, np.ndarray]]:
    """The loss of a batch and its gradient, by what every trainer can do: a step of AdamW.

    Parameters
    ----------
    model : Model
    parameters : mapping of str to float32 array
    batch : named tuple of arrays
    temperatures : mapping of str to float
    hard : bool
    backend, device
        As in :func:`hopcore.training.trainer`.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.annealing_gradients import gradient
    >>> from hopcore.image_classifiers import MLP, Images
    >>> model = MLP(size=1, classes=2, widths=())
    >>> zero = {name: 0.0 * x for name, x in model.first_parameters(seed=0).items()}
    >>> batch = Images(np.ones((1, 1), np.float32), np.asarray([1], np.int32))
    >>> loss, found = gradient(model, zero, batch, {})
    >>> round(loss, 4), found["layers.0.bias"].round(4).tolist()
    (0.6931, [0.5, -0.5])
    """
    one = trainer(
        backend, Faint(model), parameters, learning_rate=EPSILON / FAINT, weight_decay=0.0,  # type: ignore[arg-type]
        device=device,
    )  # fmt: skip
    loss = float(one.step(batch, temperatures, hard=hard).loss) / FAINT
    return loss, {name: parameters[name] - value for name, value in one.parameters().items()}


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
    for seed in range(seeds):
        train, test = split_images(images, seed)
        for arm in arms:
            model, config = arm.build(images.shape), replace(arm.config, seed=seed)
            run = Run(model, config, train, test, backend=backend, device=device)
            for _ in run.epochs():
                pass
            parameters = run.trainer.parameters()
            for path in PATHS:
                for temperature in TEMPERATURES:
                    at = dict.fromkeys(model.TEMPERATURES, temperature)
                    found = [
                        gradient(
                            model, parameters, batch, at, hard=path == "hard", backend=backend,
                            device=device,
                        )
                        for batch in batches(train, config.batch_size)
                    ]  # fmt: skip
                    norms = [norm(one) for _, one in found]
                    yield Gradient(
                        data, arm.model, arm.name, config.epochs, seed, path, temperature,
                        float(np.mean([loss for loss, _ in found])), float(np.mean(norms)),
                        max(norms),
                    )  # fmt: skip


def norm(arrays: Mapping[str, np.ndarray]) -> float:
    """The norm of all arrays together."""
    return math.sqrt(sum(float(np.vdot(array, array)) for array in arrays.values()))


def cells(found: Sequence[Gradient]) -> tuple[list[str], list[str], list[list[str]]]:
    """Mean norms at the ends and in the middle, and where they are largest: names, rows."""
    every = sorted({one.temperature for one in found}, reverse=True)
    shown = every[0], every[len(every) // 2], every[-1]
    rows = []
    for place, own in grouped(found).items():
        norms = {t: np.mean([one.mean for one in own if one.temperature == t]) for t in every}
        most = max(every, key=lambda t: norms[t])
        row = [*place, *[f"{norms[t]:.2g}" for t in shown], f"{norms[most]:.2g}", f"{most:.2g}"]
        rows.append(row)
    right = [*[f"T = {t:.2g}" for t in shown], "most", "at T"]
    return ["model", "trained", "path"], right, rows


def to_markdown(found: Sequence[Gradient]) -> str:
    """The summary, as a table."""
    left, right, rows = cells(found)
    rows = [[*left, *right], ["---"] * len(left) + ["---:"] * len(right), *rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def to_table(title: str, found: Sequence[Gradient]) -> Table:
    """The summary, for a terminal."""
    left, right, rows = cells(found)
    table = new_table(title, left, right)
    for row in rows:
        table.add_row(*row)
    table.caption = "norm of the gradient of a batch, mean over batches and seeds"
    return table


def grouped(found: Sequence[Gradient]) -> dict[tuple[str, str, str], list[Gradient]]:
    """What was found by model, arm and path."""
    groups: dict[tuple[str, str, str], list[Gradient]] = {}
    for one in found:
        groups.setdefault((one.model, one.arm, one.path), []).append(one)
    return groups


def draw(title: str, found: Sequence[Gradient], path: Path) -> None:
    """A panel for each model: norms over the temperature, means and largest."""
    models = list(dict.fromkeys(one.model for one in found))
    figure = plots.new_figure(2.2 + 3.4 * len(models), 3.6, dpi=100)
    axes = figure.subplots(1, len(models), squeeze=False, sharey=True)[0]
    for model, ax in zip(models, axes, strict=True):
        groups = {k[1:]: v for k, v in grouped(found).items() if k[0] == model}
        for index, ((arm, way), own) in enumerate(groups.items()):
            color, places = (
                plots.LINES[index % len(plots.LINES)],
                sorted({o.temperature for o in own}),
            )
            for measure, line in (("mean", "-"), ("most", ":")):
                values = [
                    np.mean([getattr(o, measure) for o in own if o.temperature == t])
                    for t in places
                ]
                label = f"{arm}, {way} path" if measure == "mean" else None
                ax.loglog(places, values, line, color=color, label=label, linewidth=1.3)
        ax.invert_xaxis()
        ax.set_xlabel("temperature", fontsize=9)
        plots.heading(ax, model)
        style(ax)
    axes[0].set_ylabel("norm of the gradient", fontsize=9)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", frameon=False, fontsize=8)
    note = "Lines: mean over the batches; dots: the largest of them; both mean over the seeds"
    plots.save(plots.caption(figure, title, note), path, colors=COLORS)
