"""Summaries, tables and pictures of the studies of bags."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hopcore import plots
from hopcore.experiments.mil.trials import Trial
from hopcore.experiments.tables import COLORS, Spread, Summary, percent, spread

MEASURES = {"accuracy": "% right", "auc": "AUC, %"}
"""What is measured on the test bags, and what a picture calls it."""


class Line(NamedTuple):
    """One layer on one task over all seeds; of each seed the mean over its folds."""

    data: str
    layer: str
    seeds: int
    folds: int
    accuracy: Spread
    auc: Spread


def summary(trials: Iterable[Trial]) -> list[Line]:
    """A line for each task and layer, tasks in their order, then layers in theirs."""
    groups: dict[tuple[str, str], dict[int, list[Trial]]] = {}
    for trial in trials:
        group = groups.setdefault((trial.data, trial.layer), {})
        group.setdefault(trial.seed, []).append(trial)
    tasks = list(dict.fromkeys(data for data, _ in groups))
    lines = []
    for place in sorted(groups, key=lambda place: tasks.index(place[0])):
        seeds = groups[place]
        means = [
            spread(float(np.mean([getattr(t, name) for t in folds])) for folds in seeds.values())
            for name in MEASURES
        ]
        lines.append(Line(*place, len(seeds), len(next(iter(seeds.values()))), *means))
    return lines


def table(axis: str, lines: Sequence[Line], title: str = "") -> Summary:
    """Return the summary; the axis is what distinguishes the tasks."""
    rows = [[line.data, line.layer, percent(line.accuracy), percent(line.auc)] for line in lines]
    caption = f"%, mean ± standard deviation over {lines[0].seeds} seeds"
    return Summary([axis, "layer"], ["accuracy", "AUC"], rows, title, caption)


def draw(title: str, axis: str, lines: Sequence[Line], path: Path, *, joined: bool) -> None:
    """A panel for each measure, a curve for each layer; the first layer is the dashed line."""
    tasks = list(dict.fromkeys(line.data for line in lines))
    figure = plots.new_figure(8.4, 3.2, dpi=100)
    panels = figure.subplots(1, len(MEASURES), squeeze=False)[0]
    for (measure, name), ax in zip(MEASURES.items(), panels, strict=True):
        found = {}
        for layer in dict.fromkeys(line.layer for line in lines):
            own = [line for line in lines if line.layer == layer]
            values = [getattr(line, measure) for line in own]
            found[layer] = plots.Curve(
                [tasks.index(line.data) for line in own],
                [100.0 * value.mean for value in values],
                [100.0 * value.deviation for value in values],
            )
        plots.heading(plots.curves(found, tasks, joined=joined, ax=ax), name)
        ax.set_xlabel(axis, fontsize=9)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", frameon=False, fontsize=8)
    folds = f", of the means over {lines[0].folds} folds" if lines[0].folds > 1 else ""
    note = f"Bars: standard deviation over {lines[0].seeds} seeds{folds}"
    plots.save(plots.caption(figure, title, note), path, colors=COLORS)
