"""Summaries, tables and pictures of the study of temperature profiles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hopcore import plots
from hopcore.experiments.tables import COLORS, Spread, Summary, facts_of, grouped, spread
from hopcore.experiments.temperature_profiles.trials import ARMS, Arm, Trial, Warmth
from hopcore.schedules._learnable_temperature import PROFILES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEASURES = "accuracy, %", "perplexity", "steps to 90 %"
"""What is told of a task and an arm."""

STYLES = {"fixed": "--", "learned": "-", "quick": ":"}
"""The lines of the modes; profiles have colours."""


class Line(NamedTuple):
    """One arm on one task over all seeds, at the longest distance.

    ``converged`` is over the ``done`` of so many seeds that learned it; None if none did.
    """

    task: str
    arm: Arm
    distance: int
    seeds: int
    accuracy: Spread
    perplexity: Spread
    done: int
    converged: Spread | None

    def facts(self) -> dict[str, Any]:
        """As JSON knows it."""
        return facts_of(self) | self.arm._asdict() | {"arm": str(self.arm)}


class Move(NamedTuple):
    """How far the temperatures of an arm went: of all heads, the factor from start to end.

    ``least`` and ``most`` over all heads and seeds, ``typical`` the mean of the factor's size, up
    or down.
    """

    arm: Arm
    least: float
    most: float
    typical: float

    def facts(self) -> dict[str, Any]:
        """As JSON knows it."""
        return self._asdict() | self.arm._asdict() | {"arm": str(self.arm)}


def summary(trials: Sequence[Trial]) -> list[Line]:
    """A line for each task and arm, tasks in their order, then arms in theirs."""
    return [line for line in lines_of(trials) if line.distance == farthest(trials)]


def lines_of(trials: Iterable[Trial]) -> list[Line]:
    """A line for each task, arm and distance, in their orders."""
    groups = grouped(trials, lambda trial: (trial.task, trial.arm, trial.distance))
    tasks = list(dict.fromkeys(task for task, _, _ in groups))
    lines = []
    for place in sorted(groups, key=lambda p: (tasks.index(p[0]), ARMS.index(p[1]), p[2])):
        group = groups[place]
        steps = [float(trial.converged) for trial in group if trial.converged is not None]
        lines.append(
            Line(
                *place,
                len(group),
                spread(trial.accuracy for trial in group),
                spread(trial.perplexity for trial in group),
                len(steps),
                spread(steps) if steps else None,
            )
        )
    return lines


def farthest(trials: Iterable[Trial]) -> int:
    """The longest distance."""
    return max(trial.distance for trial in trials)


def moves(warmths: Iterable[Warmth]) -> list[Move]:
    """How far the temperatures of each arm went that are learned."""
    groups: dict[Arm, list[float]] = {}
    for one in warmths:
        if one.mode != "fixed":
            groups.setdefault(one.arm, []).append(one.end / one.start)
    return [
        Move(arm, min(found), max(found), float(np.exp(np.mean(np.abs(np.log(found))))))
        for arm, found in sorted(groups.items(), key=lambda item: ARMS.index(item[0]))
    ]


# Tables.


def cells(line: Line) -> tuple[str, ...]:
    """A line as text."""
    steps = "-" if line.converged is None else shown(line.converged, line.done, 0)
    if 0 < line.done < line.seeds:
        steps += f" ({line.done} of {line.seeds})"
    percent = Spread(100.0 * line.accuracy.mean, 100.0 * line.accuracy.deviation)
    numbers = shown(percent, line.seeds, 1), shown(line.perplexity, line.seeds, 3), steps
    return line.task, str(line.arm), str(line.seeds), *numbers


def shown(value: Spread, count: int, digits: int) -> str:
    """A mean, with the deviation where there is one."""
    text = f"{value.mean:.{digits}f}"
    return f"{text} ± {value.deviation:.{digits}f}" if count > 1 else text


def table(lines: Sequence[Line]) -> Summary:
    """Return the summary."""
    title = f"temperature-profiles, distance {lines[0].distance}"
    caption = "mean ± standard deviation over the seeds"
    return Summary(["task", "arm"], ["seeds", *MEASURES], [*map(cells, lines)], title, caption)


def table_of_moves(found: Sequence[Move]) -> Summary:
    """Return a table of how far temperatures moved."""
    rows = [[str(m.arm), *(f"{x:.3f}" for x in (m.least, m.most, m.typical))] for m in found]
    return Summary(["arm"], ["least", "most", "typical"], rows)


# Pictures.


def draw(trials: Sequence[Trial], path: Path) -> None:
    """A column for each task: accuracy, and below it the steps to learn, over the distance."""
    lines = lines_of(trials)
    tasks = list(dict.fromkeys(line.task for line in lines))
    distances = sorted({line.distance for line in lines})
    figure = plots.new_figure(10.4, 5.6, dpi=100)
    panels = figure.subplots(2, len(tasks), squeeze=False, sharey="row", sharex=True)
    for column, task in enumerate(tasks):
        for arm in dict.fromkeys(line.arm for line in lines):
            own = [line for line in lines if (line.task, line.arm) == (task, arm)]
            places = [distances.index(line.distance) for line in own]
            draw_curve(panels[0, column], arm, places, [line.accuracy for line in own], 100.0)
            draw_curve(panels[1, column], arm, places, [line.converged for line in own])
        plots.heading(panels[0, column], task)
        panels[1, column].set_xlabel("distance", fontsize=9)
        panels[1, column].set_xticks(range(len(distances)), labels=list(map(str, distances)))
    # No difference of a few in a thousand shall look like one.
    panels[0, 0].set_ylim(min(90.0, panels[0, 0].get_ylim()[0]), 100.5)
    panels[1, 0].set_ylim(bottom=0.0)
    for ax, name in zip(panels[:, 0], ("% right", "steps to 90 %"), strict=True):
        ax.set_ylabel(name, fontsize=9)
    handles, names = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", frameon=False, fontsize=8)
    note = "Means over the seeds, bars: standard deviation; steps: of the seeds that got there."
    title = "Temperatures that are learned, and where they start"
    plots.save(plots.caption(figure, title, note), path, colors=COLORS)


def draw_curve(
    ax: Axes, arm: Arm, places: Sequence[int], values: Sequence[Spread | None], unit: float = 1.0
) -> None:
    """An arm's curve; nothing where no seed has a value."""
    lost = Spread(float("nan"), 0.0)
    known = [value or lost for value in values]
    # Side by side, so that bars can be told apart.
    shift = 0.07 * (PROFILES.index(arm.profile) - 1.5) + 0.025 * list(STYLES).index(arm.mode)
    ax.errorbar(
        [place + shift for place in places],
        [unit * value.mean for value in known],
        yerr=[unit * value.deviation for value in known],
        label=str(arm), color=plots.LINES[PROFILES.index(arm.profile)],
        linestyle=STYLES[arm.mode], linewidth=1.3, elinewidth=0.7, marker="o", markersize=3.0,
        alpha=0.85,
    )  # fmt: skip
    plots.quiet(ax)


def draw_temperatures(warmths: Sequence[Warmth], path: Path) -> None:
    """A row for each mode that learns, a panel for each profile; heads side by side."""
    learned = [one for one in warmths if one.mode != "fixed"]
    modes = list(dict.fromkeys(one.mode for one in learned))
    profiles = list(dict.fromkeys(one.profile for one in learned))
    if not learned:
        raise ValueError("there is nothing to draw: no temperatures were learned")
    figure = plots.new_figure(2.4 * len(profiles) + 1.0, 2.1 * len(modes) + 1.0, dpi=100)
    panels = figure.subplots(len(modes), len(profiles), squeeze=False, sharex=True, sharey=True)
    heads = 1 + max(one.head for one in learned)
    for row, mode in enumerate(modes):
        for column, profile in enumerate(profiles):
            ax = panels[row, column]
            own = [one for one in learned if (one.mode, one.profile) == (mode, profile)]
            places = [one.layer * (heads + 1) + one.head for one in own]
            ax.scatter(places, [one.start for one in own], marker="_", s=60, color=plots.INK)
            ax.scatter(
                places, [one.end for one in own], s=9, alpha=0.7,
                color=plots.LINES[PROFILES.index(profile)],
            )  # fmt: skip
            ax.set_yscale("log", base=2)
            middles = {one.layer: one.layer * (heads + 1) + (heads - 1) / 2 for one in learned}
            ax.set_xticks(list(middles.values()), labels=[f"layer {k + 1}" for k in middles])
            ax.yaxis.set_major_formatter("{x:g}")
            plots.quiet(ax)
            plots.heading(ax, profile if row == 0 else "")
        panels[row, 0].set_ylabel(f"{mode}: T / √d", fontsize=9)
    note = "Dashes: where each head starts. Points: where it ends, one for each seed."
    plots.save(plots.caption(figure, "Learned temperatures", note), path, colors=COLORS)


def draw_attention(patterns: Mapping[str, np.ndarray], title: str, path: Path) -> None:
    """A panel for each arm: a row for each layer, an image for each head."""
    across = min(len(PROFILES), len(patterns))
    down = -(-len(patterns) // across)
    layers, heads = next(iter(patterns.values())).shape[:2]
    figure = plots.new_figure(across * (0.7 * heads + 0.75), down * (0.7 * layers + 0.5), dpi=100)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for ax, (name, found) in zip(panels, patterns.items(), strict=False):
        plots.heading(plots.attention_map(found, limits=(0.0, 1.0), ax=ax), name)
    for ax in panels[len(patterns) :]:
        ax.set_visible(False)
    note = "Rows of an image: who looks, from the first place down; columns: at whom. Black: 1."
    plots.save(plots.caption(figure, title, note), path, colors=COLORS)
