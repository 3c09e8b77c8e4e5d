"""The table and the picture of the study of a router."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hopcore import plots
from hopcore.experiments.mil.report import in_hundredths, interval
from hopcore.experiments.tables import COLORS, Spread, Summary, grouped, percent, spread
from hopcore.experiments.temperature_router.model import ROUTERS
from hopcore.experiments.temperature_router.trials import Trial

CONTROL, SUBJECT = "random", "entropy"
"""The router that others are compared with, and the router that is in question."""


class Line(NamedTuple):
    """A router on a task with a budget: over the seeds, and minus the random router.

    The limits are those of a 95 % interval of the paired differences by Student's t; None if there
    is one seed.
    """

    task: str
    budget: float
    router: str
    seeds: int
    accuracy: Spread
    loss: Spread
    cooled: Spread
    more: float
    low: float | None
    high: float | None


def summary(trials: Sequence[Trial]) -> list[Line]:
    """Return a line for each task, budget and router."""
    groups = grouped(trials, lambda one: (one.task, one.budget, one.router))
    tasks = list(dict.fromkeys(task for task, _, _ in groups))
    lines = []
    for place in sorted(groups, key=lambda p: (tasks.index(p[0]), p[1], ROUTERS.index(p[2]))):
        own = groups[place]
        beside = {one.seed: one.accuracy for one in groups.get((*place[:2], CONTROL), [])}
        pairs = [one.accuracy - beside[one.seed] for one in own if one.seed in beside]
        more = interval(pairs) if pairs else (0.0, None, None)
        accuracy, loss, cooled = (
            spread(getattr(one, name) for one in own) for name in ("accuracy", "loss", "cooled")
        )
        lines.append(Line(*place, len(own), accuracy, loss, cooled, *more))
    return lines


def table(lines: Sequence[Line]) -> Summary:
    """Return the summary."""
    rows = [
        [
            line.task,
            f"{line.budget:g}",
            line.router,
            percent(line.accuracy),
            f"{line.loss.mean:.3f} ± {line.loss.deviation:.3f}",
            difference(line),
        ]
        for line in lines
    ]
    caption = (
        f"mean ± standard deviation over {max(line.seeds for line in lines)} seeds\n"
        "less random: accuracy minus that of the random router, paired by seed (95 % interval)"
    )
    right = ["accuracy, %", "loss", "less random"]
    return Summary(["task", "budget", "router"], right, rows, "temperature-router", caption)


def difference(line: Line) -> str:
    """Return the difference to the random router, and its interval."""
    if line.router == CONTROL:
        return "-"
    mean = in_hundredths(line.more, "+")
    if line.low is None or line.high is None:
        return mean
    return f"{mean} ({in_hundredths(line.low, '+')} to {in_hundredths(line.high, '+')})"


def draw(trials: Sequence[Trial], path: Path) -> None:
    """Draw the accuracy of each seed over the budget, a panel for each task."""
    tasks = grouped(trials, lambda one: one.task)
    figure = plots.new_figure(2.5 * len(tasks) + 1.4, 3.4, dpi=100)
    panels = figure.subplots(1, len(tasks), squeeze=False)[0]
    for ax, (task, own) in zip(panels, tasks.items(), strict=True):
        budgets = sorted({one.budget for one in own})
        for place, router in enumerate(ROUTERS):
            found = [one for one in own if one.router == router]
            if not found:
                continue
            color = plots.INK if router == CONTROL else plots.LINES[place]
            shift = 0.15 * (place - 2)
            ax.plot(
                [budgets.index(one.budget) + shift for one in found],
                [100.0 * one.accuracy for one in found], "o", color=color, markersize=3.5,
                alpha=0.75, label=router,
            )  # fmt: skip
        ax.set_xticks(range(len(budgets)), labels=[f"{budget:g}" for budget in budgets])
        ax.set_xlabel("budget", fontsize=9)
        plots.heading(plots.quiet(ax), task)
    panels[0].set_ylabel("% right", fontsize=9)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", frameon=False, fontsize=8)
    note = "A point for each seed. random: places that no symbol has a say in, with the same budget"
    title = "Symbols sent to a hot or a cold layer"
    plots.save(plots.caption(figure, title, note), path, colors=COLORS)
