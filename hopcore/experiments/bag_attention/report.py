"""The table and the picture of the weights of instances."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hopcore import plots
from hopcore.experiments.bag_attention.trials import LAYERS, NOISE, Trial
from hopcore.experiments.tables import COLORS, Spread, Summary, grouped, percent, spread

PLACES = {"latch": "position", "order": "marked symbol", "digits": "digit"}
"""What the places of a task are called."""

CONTROL, UNTRAINED = LAYERS[:2]


class Line(NamedTuple):
    """A layer on a task over the seeds: its accuracy, and relative weights.

    ``key`` is the relative weight of the instance that the label depends on, ``strongest`` that of
    the head with the largest one, and ``other`` the largest mean relative weight of another place.
    """

    task: str
    layer: str
    seeds: int
    accuracy: Spread
    key: Spread
    strongest: Spread
    other: Spread


def summary(trials: Sequence[Trial], digit: int) -> list[Line]:
    """Return a line for each task and layer; the key of bags of digits is a digit, others' is 0."""
    lines = []
    for (task, layer), own in grouped(trials, lambda one: (one.task, one.layer)).items():
        key = digit if task == "digits" else 0
        seeds = list(grouped(own, lambda one: one.seed).values())
        keys = [one for one in own if one.place == key]
        others = [max(one.weight for one in some if one.place != key) for some in seeds]
        lines.append(
            Line(
                task,
                layer,
                len(seeds),
                spread(some[0].accuracy for some in seeds),
                spread(one.weight for one in keys),
                spread(one.strongest for one in keys),
                spread(others),
            )
        )
    return lines


def table(lines: Sequence[Line]) -> Summary:
    """Return the summary."""
    rows = [
        [
            line.task,
            line.layer,
            percent(line.accuracy),
            *(f"{x.mean:.1f} ± {x.deviation:.1f}" for x in line[4:]),
        ]
        for line in lines
    ]
    caption = (
        f"mean ± standard deviation over {max(line.seeds for line in lines)} seeds\n"
        "relative weights, of which 1 is uniform: of the instance that is the label (in the mean "
        "of the heads, and in the strongest head), and the largest of any other place"
    )
    right = ["accuracy, %", "key", "strongest head", "largest other"]
    return Summary(["task", "layer"], right, rows, "bag-attention", caption)


def draw(trials: Sequence[Trial], path: Path) -> None:
    """Draw the relative weight over the places, a panel for each task, a line for each layer."""
    tasks = grouped(trials, lambda one: one.task)
    figure = plots.new_figure(4.3 * len(tasks) + 1.2, 3.6, dpi=100)
    panels = figure.subplots(1, len(tasks), squeeze=False)[0]
    for ax, (task, own) in zip(panels, tasks.items(), strict=True):
        places = sorted({one.place for one in own}, key=lambda place: (place == NOISE, place))
        for layer in [name for name in LAYERS if any(one.layer == name for one in own)]:
            means = [spread_at(own, layer, place) for place in places]
            color = {CONTROL: plots.INK, UNTRAINED: plots.QUIET}.get(
                layer, plots.LINES[LAYERS.index(layer) - 2]
            )
            ax.errorbar(
                np.arange(len(places)), [one.mean for one in means],
                yerr=[one.deviation for one in means], label=layer, color=color, linewidth=1.2,
                elinewidth=0.7, marker=None if layer == CONTROL else "o", markersize=2.6,
                linestyle="--" if layer == CONTROL else "-", alpha=0.85,
            )  # fmt: skip
        every = max(1, len(places) // 10)
        shown = [*range(0, len(places), every)]
        names = ["noise" if places[k] == NOISE else str(places[k]) for k in shown]
        ax.set_xticks(shown, labels=names)
        ax.set_xlabel(PLACES[task], fontsize=9)
        plots.heading(plots.quiet(ax), task)
    panels[0].set_ylabel("relative weight", fontsize=9)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8)
    note = "Mean and standard deviation over the seeds; 1: all instances weigh the same"
    plots.save(plots.caption(figure, "What is attended to", note), path, colors=COLORS)


def spread_at(trials: Sequence[Trial], layer: str, place: int) -> Spread:
    """Return the relative weight of a place over the seeds."""
    return spread(one.weight for one in trials if (one.layer, one.place) == (layer, place))
