"""The table and the picture of the heads of decoders that train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hopcore import plots
from hopcore.experiments.attention_entropy.trials import LAYERS, Trial
from hopcore.experiments.tables import COLORS, Spread, Summary, grouped, percent, spread

LEARNED, FALLEN = 0.9, 0.5
"""The accuracy from which on a task counts as learned; the part of its first entropy below which an
entropy has fallen."""

NUMBERS = {
    "accuracy": "Accuracy",
    "entropy": "Entropy of each head, nats",
    "energy": "Energy of each head",
}
"""The rows of the picture, and their titles."""


class Line(NamedTuple):
    """The heads of a layer before and after training, over heads and seeds.

    ``learned`` is the first recorded step at which the accuracy is at least nine tenths, and
    ``fallen`` the first at which the entropy of some head of the layer is below half of what it was
    at step 0: medians over the seeds, or None if that did not happen with all seeds.
    """

    task: str
    attention: str
    layer: int
    seeds: int
    accuracy: Spread
    untrained: Spread
    entropy: Spread
    effective: Spread
    energy: Spread
    learned: float | None
    fallen: float | None


def summary(trials: Sequence[Trial]) -> list[Line]:
    """Return a line for each task, attention and layer."""
    lines = []
    for (task, attention, layer), own in grouped(trials, case_and_layer).items():
        last = max(one.step for one in own)
        before = [one for one in own if one.step == 0]
        after = [one for one in own if one.step == last]
        seeds = grouped(own, lambda one: one.seed).values()
        learned, fallen = (
            median([first_step(some, happened) for some in seeds])
            for happened in (is_learned, has_fallen)
        )
        numbers = [
            spread(getattr(one, name) for one in some)
            for some, name in (
                (after, "accuracy"),
                (before, "entropy"),
                (after, "entropy"),
                (after, "effective"),
                (after, "energy"),
            )
        ]
        lines.append(
            Line(task, attention, layer, len(seeds), *numbers, learned=learned, fallen=fallen)
        )
    return lines


def case_and_layer(one: Trial) -> tuple[str, str, int]:
    """Return what a line of the summary is about."""
    return one.task, one.attention, one.layer


def is_learned(one: Trial, _: Trial) -> bool:
    """Whether the task is learned."""
    return one.accuracy >= LEARNED


def has_fallen(one: Trial, first: Trial) -> bool:
    """Whether the entropy of a head is below half of what it was in the untrained decoder."""
    return one.entropy < FALLEN * first.entropy


def first_step(trials: Sequence[Trial], happened: Callable[[Trial, Trial], bool]) -> int | None:
    """Return the first recorded step at which something holds for some head of a decoder."""
    first = {one.head: one for one in trials if one.step == 0}
    steps = [one.step for one in trials if happened(one, first[one.head])]
    return min(steps, default=None)


def median(steps: Sequence[int | None]) -> float | None:
    """Return the median, or None if one of the steps is missing."""
    known = [step for step in steps if step is not None]
    return float(np.median(known)) if len(known) == len(steps) else None


def table(lines: Sequence[Line]) -> Summary:
    """Return the summary."""
    rows = [
        [
            line.task,
            line.attention,
            str(line.layer),
            percent(line.accuracy),
            *(f"{x.mean:.2f} ± {x.deviation:.2f}" for x in line[5:9]),
            *("-" if step is None else f"{step:g}" for step in line[9:]),
        ]
        for line in lines
    ]
    caption = (
        f"mean ± standard deviation over {max(line.seeds for line in lines)} seeds and two heads\n"
        "untrained: the entropy at step 0; all others after the last step\n"
        "learned, fallen: the first recorded step with an accuracy of 90 %, and with half the "
        "entropy in one head of the layer"
    )
    right = [
        "accuracy, %", "untrained", "entropy", "effective", "energy", "learned", "fallen",
    ]  # fmt: skip
    left = ["task", "attention", "layer"]
    return Summary(left, right, rows, "attention-entropy", caption)


def draw(trials: Sequence[Trial], path: Path) -> None:
    """Draw accuracy, entropy and energy over the steps; a line for each head of each seed.

    Uniform weights are left out, unless there are no others: their entropy is constant.
    """
    attending = [one for one in trials if one.attention != "uniform"] or trials
    cases = list(grouped(attending, lambda one: (one.task, one.attention)).items())
    figure = plots.new_figure(1.8 * len(cases) + 1.2, 6.0, dpi=100)
    panels = figure.subplots(len(NUMBERS), len(cases), squeeze=False, sharex=True, sharey="row")
    for column, ((task, attention), own) in enumerate(cases):
        for row, (name, title) in enumerate(NUMBERS.items()):
            ax = plots.quiet(panels[row][column])
            for (_, layer, _), head in grouped(
                own, lambda one: (one.seed, one.layer, one.head)
            ).items():
                color = plots.INK if name == "accuracy" else plots.LINES[layer]
                steps = [one.step for one in head]
                ax.plot(steps, [getattr(one, name) for one in head], color=color, linewidth=0.9)
            heading = title if column == 0 else ""
            plots.heading(ax, f"{task}, {attention}\n{heading}" if row == 0 else heading)
        panels[-1][column].set_xlabel("step", fontsize=8)
    for layer in range(LAYERS):
        panels[1][-1].plot([], [], color=plots.LINES[layer], label=f"layer {layer}")
    panels[1][-1].legend(frameon=False, fontsize=8)
    note = "A line for each head of each seed. Only copy needs attention"
    title = "Heads of a small decoder while it trains"
    plots.save(plots.caption(figure, title, note), path, colors=COLORS)
