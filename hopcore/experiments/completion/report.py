"""The table and the picture of completed images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hopcore import plots
from hopcore.experiments.completion.networks import ENERGY, Descent
from hopcore.experiments.completion.trials import METHODS, Outcome, Trial
from hopcore.experiments.tables import COLORS, Spread, Summary, grouped, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Line(NamedTuple):
    """One method over all seeds.

    ``against`` is its error minus that of the energy transformer with the same seed, None if that
    was not measured; ``explained`` is the share of the error of the mean image that it removes.
    """

    dataset: str
    method: str
    seeds: int
    parameters: int
    error: Spread
    explained: Spread | None
    against: Spread | None
    seconds: Spread


def summary(trials: Sequence[Trial]) -> list[Line]:
    """Return a line for each method."""
    errors = {(one.method, one.seed): one.test for one in trials}
    lines = []
    for (dataset, method), own in grouped(trials, lambda one: (one.dataset, one.method)).items():
        means = [errors.get(("mean", one.seed)) for one in own]
        others = [errors.get((ENERGY, one.seed)) for one in own]
        explained = [
            1.0 - one.test / mean for one, mean in zip(own, means, strict=True) if mean is not None
        ]
        against = [
            one.test - other for one, other in zip(own, others, strict=True) if other is not None
        ]
        lines.append(
            Line(
                dataset,
                method,
                len(own),
                own[0].parameters,
                spread(one.test for one in own),
                spread(explained) if explained else None,
                spread(against) if against and method != ENERGY else None,
                spread(one.seconds for one in own),
            )
        )
    return lines


def table(lines: Sequence[Line], title: str = "") -> Summary:
    """Return the summary."""
    rows = [
        [
            line.method,
            f"{line.parameters:,}",
            f"{line.error.mean:.3f} ± {line.error.deviation:.3f}",
            "-" if line.explained is None else f"{100 * line.explained.mean + 0.0:.1f}",
            "-"
            if line.against is None
            else f"{line.against.mean:+.3f} ± {line.against.deviation:.3f}",
            f"{line.seconds.mean:.0f}",
        ]
        for line in lines
    ]
    caption = (
        f"mean ± standard deviation over {max(line.seeds for line in lines)} seeds\n"
        "error: mean squared error of hidden pixels, which go from -1 to 1\n"
        "removed: the part of the error of the mean image that the method removes, %\n"
        "difference: the error minus that of the energy transformer with the same seed\n"
        "seconds: CPU time of a seed, with all learning rates"
    )
    right = ["numbers", "error", "removed", "difference", "seconds"]
    return Summary(["method"], right, rows, title, caption)


def draw(title: str, outcomes: Sequence[Outcome], path: Path, trained: int) -> None:
    """Draw completed images, and the energy and the error over the steps of each seed."""
    rows: dict[str, np.ndarray] = {}
    for outcome in outcomes:
        rows |= outcome.images
    names = ["visible", *(name for name in METHODS if name in rows), "original"]
    steps = [step for outcome in outcomes for step in outcome.path]
    figure = plots.new_figure(8.6 if steps else 5.8, 5.6, dpi=100)
    if steps:
        left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.75, 1.0))[0]
        images: Axes = left.subplots()
        above, below = right.subplots(2, 1, sharex=True)
        draw_steps(above, steps, "energy", "Energy", trained)
        draw_steps(below, steps, "error", "Error of hidden pixels", trained)
        below.set_xlabel("step", fontsize=8)
    else:
        images = figure.subplots()
    plots.gallery({name: rows[name] for name in names}, ax=images)
    note = "Grey: hidden. " + (
        f"Right: a line for each seed; dotted: the {trained} steps of the training" if steps else ""
    )
    plots.save(plots.caption(figure, title, note), path, colors=COLORS)


def draw_steps(ax: Axes, steps: Sequence[Descent], name: str, title: str, trained: int) -> None:
    """Draw a number over the steps, with a line for each seed."""
    plots.heading(plots.quiet(ax), title)
    for own in grouped(steps, lambda one: one.seed).values():
        values = [getattr(one, name) for one in own]
        ax.plot([one.step for one in own], values, color=plots.LINES[0], linewidth=1.1)
    ax.axvline(trained, linestyle=":", color=plots.INK, linewidth=1.0)
