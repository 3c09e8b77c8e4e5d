"""Summaries, tables and pictures of trainings: the last epoch, the best, and the way there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from hopcore import plots
from hopcore.experiments.annealing.trials import BASELINE, Outcome, Trial, temperature_of
from hopcore.experiments.tables import Spread, Summary, grouped, percent, spread
from hopcore.training._run_files import Epoch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = TypeVar("Row", bound=tuple[Any, ...])

MEANS = ("train", "soft", "hard", "best", "best_epoch")
"""What a line has the mean of."""

PALETTE = (*plots.LINES, plots.INK, "#43a6b8", "#c98aa8", "#9bb53c")
"""Of a picture's arms."""

MARKS = (99.5, 99, 98, 95, 90, 80, 50, 0)
"""Of a picture's axis of accuracies, on which twice the errors are always the same way."""


class Line(NamedTuple):
    """An arm over all seeds: accuracies, and what was lost, as shares.

    ``lost`` is by how much the best epoch's hard path was better than the last one's, ``gap`` by
    how much the soft path was better than the hard one after the last; ``most_lost`` and
    ``most_gap`` are those of the worst seed. ``more`` is by how much the hard path is better than
    that of the model's first arm, seed by seed.
    """

    data: str
    model: str
    arm: str
    epochs: int
    seeds: int
    train: Spread
    soft: Spread
    hard: Spread
    best: Spread
    best_epoch: Spread
    lost: Spread
    gap: Spread
    most_lost: float
    most_gap: float
    more: Spread


class Point(NamedTuple):
    """An arm after an epoch: means over the seeds, and the least and the most of the hard path."""

    data: str
    model: str
    arm: str
    epochs: int
    epoch: int
    temperature: float | None
    soft: float
    hard: float
    least: float
    most: float


def summary(trials: Iterable[Trial]) -> list[Line]:
    """A line for each arm; models in their order, then numbers of epochs, then arms."""
    groups = grouped(trials, lambda trial: trial[:4])
    models = list(dict.fromkeys(place[:2] for place in groups))
    first: dict[tuple[str, str, int, int], float] = {}
    for trial in (trial for own in groups.values() for trial in own):
        first.setdefault((trial.data, trial.model, trial.epochs, trial.seed), trial.hard)
    lines = []
    for place in sorted(groups, key=lambda place: (models.index(place[:2]), place[3])):
        own = groups[place]
        lost = [trial.best - trial.hard for trial in own]
        gap = [trial.soft - trial.hard for trial in own]
        more = [t.hard - first[t.data, t.model, t.epochs, t.seed] for t in own]
        means = {name: spread(getattr(trial, name) for trial in own) for name in MEANS}
        line = Line(
            *place, seeds=len(own), **means, lost=spread(lost), gap=spread(gap),
            most_lost=max(lost), most_gap=max(gap), more=spread(more),
        )  # fmt: skip
        lines.append(line)
    return lines


def points(outcomes: Iterable[Outcome]) -> list[Point]:
    """What the arms were after each epoch."""
    groups: dict[tuple[str, str, str, int, int], list[Epoch]] = {}
    for trial, history in outcomes:
        for epoch in history:
            groups.setdefault((*trial[:4], epoch.epoch), []).append(epoch)
    found = []
    for place, own in groups.items():
        hard = [epoch.hard for epoch in own]
        temperatures = [temperature_of(epoch) for epoch in own]
        known = [value for value in temperatures if value is not None]
        soft = float(np.mean([epoch.soft for epoch in own]))
        mean = float(np.mean(known)) if known else None
        found.append(Point(*place, mean, soft, float(np.mean(hard)), min(hard), max(hard)))
    return found


def with_worst(value: Spread, worst: float) -> str:
    """Return a share in percent with its deviation, and that of the worst seed in brackets."""
    return f"{percent(value)} ({100 * worst:.1f})"


def table(lines: Sequence[Line], title: str = "") -> Summary:
    """Return the summary; it has a column of epochs where there are several numbers of them."""
    several = len({line.epochs for line in lines}) > 1
    left = ["model", *["epochs"] * several, "arm"]
    right = ["soft", "hard", "less first", "best", "at epoch", "lost", "gap"]
    rows = [
        [
            line.model, *[str(line.epochs)] * several, line.arm, percent(line.soft),
            percent(line.hard), percent(line.more), percent(line.best),
            f"{line.best_epoch.mean:.0f}", with_worst(line.lost, line.most_lost),
            with_worst(line.gap, line.most_gap),
        ]
        for line in lines
    ]  # fmt: skip
    caption = (
        f"%, mean ± standard deviation over {lines[0].seeds} seeds (worst seed)\n"
        "less first: hard path less that of the model's first arm, seed by seed\n"
        "lost: best epoch less last, hard path; gap: soft path less hard, last epoch"
    )
    return Summary(left, right, rows, title, caption)


def draw(title: str, found: Sequence[Point], path: Path) -> None:
    """A column for each model and number of epochs: accuracies, and the temperature beneath.

    The hard path is a line within a band from the least to the most of the seeds, the soft path
    dots. Models without a temperature are dashed, in every column.
    """
    plain = [point for point in found if point.model == BASELINE]
    kept = [point for point in found if point.model != BASELINE] or plain
    places = list(dict.fromkeys((point.model, point.epochs) for point in kept))
    several = len({epochs for _, epochs in places}) > 1
    arms = list(dict.fromkeys(point.arm for point in kept))
    colors = {arm: PALETTE[i % len(PALETTE)] for i, arm in enumerate(arms)}
    figure = plots.new_figure(2.2 + 3.1 * len(places), 5.0, dpi=100)
    axes = figure.subplots(
        2, len(places), squeeze=False, sharex="col", sharey="row", height_ratios=(3, 1)
    )
    for place, (top, beneath) in zip(places, axes.T, strict=True):
        own = [point for point in kept if (point.model, point.epochs) == place]
        for arm in arms:
            accuracies(top, [point for point in own if point.arm == arm], colors[arm])
        temperatures(beneath, own, colors)
        for index, arm in enumerate(dict.fromkeys(point.arm for point in plain)):
            line = errors(point.hard for point in plain if point.arm == arm)
            way = ("--", "-.")[index % 2]
            top.plot(range(1, len(line) + 1), line, way, color=plots.QUIET, label=arm, lw=1.2)
        plots.heading(top, f"{place[0]}, {place[1]} epochs" if several else place[0])
    right_axis(axes[0, 0])
    handles = {}
    for ax in axes[0]:
        drawn, names = ax.get_legend_handles_labels()
        handles |= {n: h for h, n in zip(drawn, names, strict=True) if n not in handles}
    figure.legend(handles.values(), handles, loc="outside right upper", frameon=False, fontsize=8)
    note = "Lines: hard path, mean over the seeds; bands: from worst to best; dots: soft path"
    plots.save(plots.caption(figure, title, note), path, colors=256)


def right_axis(ax: Axes) -> None:
    """Make an axis of errors one of what is right, logarithmic in the errors."""
    ax.set_yscale("log")
    ax.invert_yaxis()
    ax.set_yticks([100.0 - mark for mark in MARKS], labels=[f"{m:g}" for m in MARKS])
    ax.minorticks_off()
    ax.set_ylabel("% right", fontsize=9)


def errors(shares: Iterable[float]) -> list[float]:
    """Percent that are wrong; none at all is drawn at the edge of the axis."""
    return [max(100.0 * (1.0 - share), 100.0 - MARKS[0]) for share in shares]


def accuracies(ax: Axes, own: Sequence[Point], color: str) -> None:
    """The two paths of an arm over its epochs."""
    if not own:
        return
    epochs = [point.epoch for point in own]
    least, most = (errors(getattr(p, name) for p in own) for name in ("least", "most"))
    ax.fill_between(epochs, least, most, color=color, alpha=0.1, linewidth=0)
    ax.plot(epochs, errors(p.hard for p in own), color=color, label=own[0].arm, linewidth=1.3)
    ax.plot(epochs, errors(p.soft for p in own), ":", color=color, linewidth=1.1)
    plots.quiet(ax)


def temperatures(ax: Axes, own: Sequence[Point], colors: Mapping[str, str]) -> None:
    """The temperatures of the arms over their epochs."""
    ax.set_yscale("log")
    ax.set_xlabel("epoch", fontsize=9)
    known: dict[str, list[tuple[int, float]]] = {}
    for point in own:
        if point.temperature is not None:
            known.setdefault(point.arm, []).append((point.epoch, point.temperature))
    for arm, history in known.items():
        epochs, values = zip(*history, strict=True)
        plots.temperature_history(epochs, {arm: values}, colors=colors, ax=ax)
    plots.quiet(ax).label_outer()
