"""Summaries, differences, tables and pictures of the studies of bags."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hopcore import plots
from hopcore.experiments.mil.trials import Trial
from hopcore.experiments.samples import (
    Quartiles,
    distribution,
    in_hundredths,
    interval,
    quartiles,
    with_limits,
)
from hopcore.experiments.tables import COLORS, Spread, Summary, facts_of, grouped, percent, spread

MEASURES = {"accuracy": "% right", "auc": "AUC, %"}
"""What is measured on the test bags, and what a picture calls it."""

CONTROL, SUBJECT = "uniform", "pooling"
"""The layer that a picture draws dashed, and the layer that is compared with all others.

A picture draws the second one next, so that it has the same colour on every page.
"""


class Line(NamedTuple):
    """One layer on one task over all seeds; of each seed the mean over its folds.

    ``epochs`` and ``most_epochs`` are the median and the largest number that was chosen.
    """

    data: str
    layer: str
    seeds: int
    folds: int
    accuracy: Spread
    auc: Spread
    pooled: Spread
    accuracy_quartiles: Quartiles
    auc_quartiles: Quartiles
    epochs: float
    most_epochs: int

    def facts(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        ranges = {f"{name}_quartiles": getattr(self, f"{name}_quartiles") for name in MEASURES}
        return facts_of(self) | {name: one._asdict() for name, one in ranges.items()}


class Difference(NamedTuple):
    """A layer minus another one, paired by seed and fold, with a confidence interval of the mean.

    The limits are None if there is one pair.
    """

    data: str
    layer: str
    other: str
    pairs: int
    accuracy: float
    accuracy_low: float | None
    accuracy_high: float | None
    auc: float
    auc_low: float | None
    auc_high: float | None


def summary(trials: Iterable[Trial]) -> list[Line]:
    """A line for each task and layer, tasks in their order, then layers in theirs."""
    groups = grouped(trials, lambda trial: (trial.data, trial.layer))
    tasks = list(dict.fromkeys(data for data, _ in groups))
    lines = []
    for place in sorted(groups, key=lambda place: tasks.index(place[0])):
        seeds = grouped(groups[place], lambda trial: trial.seed)
        means = {
            name: [float(np.mean([getattr(t, name) for t in folds])) for folds in seeds.values()]
            for name in (*MEASURES, "pooled")
        }
        count = len(next(iter(seeds.values())))
        accuracy, auc, pooled = (spread(values) for values in means.values())
        ranges = quartiles(means["accuracy"]), quartiles(means["auc"])
        epochs = [trial.epochs for trial in groups[place]]
        chosen = float(np.median(epochs)), max(epochs)
        lines.append(Line(*place, len(seeds), count, accuracy, auc, pooled, *ranges, *chosen))
    return lines


def differences(trials: Sequence[Trial]) -> list[Difference]:
    """The subject minus every other layer on each task; none if the subject was not measured.

    The subject is pooling, or the first layer if pooling is not among them.
    """
    layers = list(dict.fromkeys(trial.layer for trial in trials))
    subject = SUBJECT if SUBJECT in layers else layers[0]
    found = []
    for data, own in grouped(trials, lambda trial: trial.data).items():
        folds = len({trial.fold for trial in own})
        by_layer = {
            layer: {(t.seed, t.fold): t for t in mine}
            for layer, mine in grouped(own, lambda trial: trial.layer).items()
        }
        for layer in layers:
            if layer == subject or layer not in by_layer or subject not in by_layer:
                continue
            ours, theirs = by_layer[subject], by_layer[layer]
            pairs = [(ours[key], one) for key, one in theirs.items() if key in ours]
            if not pairs:
                continue
            cells: list[float | None] = []
            for name in MEASURES:
                values = [getattr(one, name) - getattr(other, name) for one, other in pairs]
                cells += interval(values, folds)
            found.append(Difference(data, subject, layer, len(pairs), *cells))  # type: ignore[arg-type]
    return found


def table(axis: str, lines: Sequence[Line], title: str = "") -> Summary:
    """Return the summary; the axis is what distinguishes the tasks.

    Cross-validated tasks show means over the seeds and the pooled AUC. Others show how the trials
    are distributed.
    """
    seeds = lines[0].seeds
    if lines[0].folds > 1:
        right = ["accuracy", "AUC", "pooled AUC", "epochs"]
        rows = [
            [
                one.data, one.layer, percent(one.accuracy), percent(one.auc), percent(one.pooled),
                epochs_of(one),
            ]
            for one in lines
        ]  # fmt: skip
        caption = f"%, mean ± standard deviation over {seeds} seeds"
    else:
        right = ["accuracy", "worst", "AUC", "worst", "epochs"]
        rows = [
            [
                one.data, one.layer, distribution(one.accuracy_quartiles),
                in_hundredths(one.accuracy_quartiles.worst), distribution(one.auc_quartiles),
                in_hundredths(one.auc_quartiles.worst), epochs_of(one),
            ]
            for one in lines
        ]  # fmt: skip
        caption = f"%, median (quartiles) and worst of {seeds} seeds"
    caption += "\nepochs: the median that was chosen (the largest)"
    return Summary([axis, "layer"], right, rows, title, caption)


def epochs_of(line: Line) -> str:
    """Return the median number of epochs and the largest one, as a cell."""
    return f"{line.epochs:g} ({line.most_epochs})"


def table_of_differences(axis: str, found: Sequence[Difference]) -> Summary:
    """Return the differences of the subject and the other layers with their intervals."""
    rows = [
        [
            one.data, one.other, with_limits(one.accuracy, one.accuracy_low, one.accuracy_high),
            with_limits(one.auc, one.auc_low, one.auc_high),
        ]
        for one in found
    ]  # fmt: skip
    left = [axis, f"{found[0].layer} minus"]
    caption = f"%, mean of {found[0].pairs} paired differences (95 % confidence interval)"
    return Summary(left, ["accuracy", "AUC"], rows, "", caption)


def draw(title: str, axis: str, lines: Sequence[Line], path: Path, *, joined: bool) -> None:
    """A panel for each measure, a curve for each layer; the control is dashed."""
    tasks = list(dict.fromkeys(line.data for line in lines))
    layers = list(dict.fromkeys(line.layer for line in lines))
    layers.sort(key=lambda layer: (layer != CONTROL, layer != SUBJECT))
    folds = lines[0].folds
    figure = plots.new_figure(8.4, 3.4, dpi=100)
    panels = figure.subplots(1, len(MEASURES), squeeze=False)[0]
    for (measure, name), ax in zip(MEASURES.items(), panels, strict=True):
        found = {}
        for layer in layers:
            own = [line for line in lines if line.layer == layer]
            places = [tasks.index(line.data) for line in own]
            if folds > 1:
                spreads = [getattr(line, measure) for line in own]
                means = [100.0 * one.mean for one in spreads]
                bars = [[100.0 * one.deviation for one in spreads]] * 2
            else:
                ranges = [getattr(line, f"{measure}_quartiles") for line in own]
                means = [100.0 * one.median for one in ranges]
                bars = [
                    [100.0 * (one.median - one.lower) for one in ranges],
                    [100.0 * (one.upper - one.median) for one in ranges],
                ]
            found[layer] = plots.Curve(places, means, bars)
        plots.heading(plots.curves(found, tasks, joined=joined, ax=ax), name)
        ax.set_xlabel(axis, fontsize=9)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", frameon=False, fontsize=8)
    seeds = lines[0].seeds
    note = f"Median and quartiles of {seeds} seeds"
    if folds > 1:
        note = f"Mean and standard deviation over {seeds} seeds, of the means over {folds} folds"
    plots.save(plots.caption(figure, title, note), path, colors=COLORS)
