"""The table and the picture of the heads of transformers and of their controls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hopcore import plots
from hopcore.experiments.attention_analysis.trials import ARMS, Trial
from hopcore.experiments.tables import COLORS, Spread, Summary, grouped, percent, spread

MEASURES = ("entropy", "effective", "distance")
"""What is measured of each head."""

SPACING = 0.62
"""The width in a picture over which the heads of a layer are spread."""


class Line(NamedTuple):
    """The heads of a layer over seeds: means and standard deviations over heads and seeds.

    ``sharpest`` is the effective number of the sharpest head of the layer, over the seeds.
    """

    task: str
    arm: str
    layer: int
    seeds: int
    accuracy: Spread
    entropy: Spread
    effective: Spread
    distance: Spread
    sharpest: Spread
    uniform: float


def summary(trials: Sequence[Trial]) -> list[Line]:
    """Return a line for each task, arm and layer, arms in their order."""
    groups = grouped(trials, lambda one: (one.task, one.arm, one.layer))
    tasks = list(dict.fromkeys(task for task, _, _ in groups))
    lines = []
    for place in sorted(groups, key=lambda key: (tasks.index(key[0]), ARMS.index(key[1]), key[2])):
        own = groups[place]
        seeds = grouped(own, lambda one: one.seed).values()
        lines.append(
            Line(
                *place,
                len(seeds),
                spread(heads[0].accuracy for heads in seeds),
                *(spread(getattr(one, name) for one in own) for name in MEASURES),
                sharpest=spread(min(one.effective for one in heads) for heads in seeds),
                uniform=own[0].uniform,
            )
        )
    return lines


def table(lines: Sequence[Line]) -> Summary:
    """Return the summary."""
    rows = [
        [
            line.task,
            line.arm,
            str(line.layer),
            percent(line.accuracy),
            *(f"{x.mean:.2f} ± {x.deviation:.2f}" for x in line[5:9]),
            f"{line.uniform:.2f}",
        ]
        for line in lines
    ]
    heads = "mean ± standard deviation over heads and seeds"
    caption = (
        f"{heads}, {max(line.seeds for line in lines)} seeds\n"
        "sharpest: the effective number of the sharpest head of the layer, over the seeds\n"
        "uniform: the entropy of uniform weights"
    )
    right = ["accuracy, %", *MEASURES, "sharpest", "uniform"]
    return Summary(["task", "arm", "layer"], right, rows, "attention-analysis", caption)


def draw(trials: Sequence[Trial], path: Path) -> None:
    """Draw the effective number of each head of each seed, a panel for each task."""
    tasks = grouped(trials, lambda one: one.task)
    figure = plots.new_figure(3.1 * len(tasks) + 0.8, 3.6, dpi=100)
    panels = figure.subplots(1, len(tasks), squeeze=False, sharey=True)[0]
    for ax, (task, own) in zip(panels, tasks.items(), strict=True):
        layers = 1 + max(one.layer for one in own)
        arms = [arm for arm in ARMS if any(one.arm == arm for one in own)]
        for place, arm in enumerate(arms):
            for layer in range(layers):
                found = [one.effective for one in own if (one.arm, one.layer) == (arm, layer)]
                middle = place * (layers + 0.6) + layer
                places = middle + SPACING * (np.arange(len(found)) / max(1, len(found) - 1) - 0.5)
                label = f"layer {layer}" if place == 0 else None
                ax.plot(
                    places, sorted(found), "o", markersize=2.6, color=plots.LINES[layer],
                    label=label,
                )  # fmt: skip
        ax.axhline(np.exp(own[0].uniform), color=plots.QUIET, linewidth=0.9, linestyle="--")
        middles = [place * (layers + 0.6) + (layers - 1) / 2 for place in range(len(arms))]
        ax.set_xticks(middles, labels=arms, fontsize=8)
        ax.set_yscale("log", base=2)
        ax.yaxis.set_major_formatter("{x:g}")
        plots.heading(plots.quiet(ax), task)
    panels[0].set_ylabel("effective number", fontsize=9)
    panels[-1].legend(frameon=False, fontsize=8)
    note = "A point for each head of each seed, sorted. Dashed: uniform weights"
    title = "Over how many positions each head averages"
    plots.save(plots.caption(figure, title, note), path, colors=COLORS)
