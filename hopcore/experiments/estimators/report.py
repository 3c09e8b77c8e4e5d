"""The table and the picture of estimators beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hopcore import plots
from hopcore.experiments.estimators.trials import CLASSIFY, IMPUTE, LARGE, REGRESS, Trial
from hopcore.experiments.tables import COLORS, Spread, Summary, grouped, spread

TITLES = {
    IMPUTE: "Imputation, 20 % missing\nroot mean squared error",
    LARGE: "Imputation of many rows\nroot mean squared error",
    CLASSIFY: "Classification\nshare of errors",
    REGRESS: "Regression\nroot mean squared error",
}


HIGHEST = 1.5
"""The top of a panel at most; the mean has an error of 1. A triangle with a number is beyond it."""


class Line(NamedTuple):
    """An estimator on a data set, over the seeds."""

    task: str
    data: str
    method: str
    seeds: int
    error: Spread
    search: float
    fit: float
    apply: float


def summary(trials: Sequence[Trial]) -> list[Line]:
    """Return a line for each task, data set and estimator."""
    lines = []
    for (task, data, method), own in grouped(trials, lambda one: one[:3]).items():
        names = ("search", "fit", "apply")
        times = [spread(getattr(one, name) for one in own).mean for name in names]
        lines.append(Line(task, data, method, len(own), spread(t.error for t in own), *times))
    return lines


def table(lines: Sequence[Line]) -> Summary:
    """Return the summary."""
    rows = [
        [
            line.task,
            line.data,
            line.method,
            f"{line.error.mean:.3f} ± {line.error.deviation:.3f}",
            *(f"{value:.3f}" for value in (line.search, line.fit, line.apply)),
        ]
        for line in lines
    ]
    caption = (
        f"error: mean ± standard deviation over {max(line.seeds for line in lines)} seeds\n"
        "search, fit, apply: seconds of CPU time to choose settings, to fit, and for the test rows"
    )
    right = ["error", "search", "fit", "apply"]
    return Summary(["task", "data", "method"], right, rows, "estimators", caption)


def draw(lines: Sequence[Line], path: Path) -> None:
    """Draw the errors in a panel for each task; an estimator has the same colour in all."""
    tasks = list(dict.fromkeys(line.task for line in lines))
    methods = list(dict.fromkeys(line.method for line in lines))
    widths = [len({line.data for line in lines if line.task == task}) for task in tasks]
    figure = plots.new_figure(2.5 + 1.0 * sum(widths), 3.8, dpi=100)
    panels = figure.subplots(1, len(tasks), squeeze=False, width_ratios=widths)[0]
    handles = {}
    for task, ax in zip(tasks, panels, strict=True):
        own = [line for line in lines if line.task == task]
        data = list(dict.fromkeys(line.data for line in own))
        present = [method for method in methods if any(line.method == method for line in own)]
        for place, method in enumerate(present):
            shift = 0.12 * (place - 0.5 * (len(present) - 1))
            some = [line for line in own if line.method == method]
            color = (*plots.LINES, plots.INK)[methods.index(method)]
            inside = [line for line in some if line.error.mean <= HIGHEST]
            handles[method] = ax.errorbar(
                [data.index(line.data) + shift for line in inside],
                [line.error.mean for line in inside],
                [line.error.deviation for line in inside],
                fmt="o", markersize=4, linewidth=1.1, label=method, color=color,
            )  # fmt: skip
            for line in some:
                if line.error.mean > HIGHEST:
                    at = data.index(line.data) + shift
                    ax.plot(at, HIGHEST, "^", markersize=5, color=color, clip_on=False)
                    ax.annotate(
                        f"{line.error.mean:.1f}", (at, HIGHEST), (5, 0), va="center", size=7,
                        textcoords="offset points", annotation_clip=False,
                    )  # fmt: skip
        names = [name.replace("_", "\n").replace(":", "\n") for name in data]
        ax.set_xticks(range(len(data)), names, fontsize=7)
        ax.set_xlim(-0.6, len(data) - 0.4)
        ax.set_ylim(0.0, min(ax.get_ylim()[1], HIGHEST))
        plots.heading(plots.quiet(ax), TITLES[task])
    figure.legend(
        list(handles.values()), list(handles), loc="outside right upper", frameon=False, fontsize=8
    )
    seeds, title = max(line.seeds for line in lines), "Estimators of hopcore and of scikit-learn"
    note = f"Less is better. Bars: standard deviation over {seeds} seeds. A triangle: a mean above"
    plots.save(plots.caption(figure, title, note), path, colors=COLORS)
