"""The picture of a paper's figures: its panels side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hopcore import plots
from hopcore.experiments.mil.report import interval
from hopcore.experiments.papers.rows import Paper, Trial
from hopcore.experiments.tables import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 3.3
"""The width of a panel, in inches."""


def draw(paper: Paper, rows: Sequence[Trial], title: str, path: Path) -> None:
    """Draw the panels of a paper, in two rows if there are more than three."""
    panels = paper.panels(rows)
    lines = 1 if len(panels) <= 3 else 2
    columns = -(-len(panels) // lines)
    figure = plots.new_figure(max(5.4, WIDTH * columns) + 0.2, 3.1 * lines + 0.4, dpi=100)
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for ax, (name, fill) in zip(axes, panels.items(), strict=False):
        plots.heading(plots.quiet(ax), name)
        fill(ax)
        if ax.get_legend_handles_labels()[0]:
            ax.legend(frameon=False, fontsize=7)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    plots.save(plots.caption(figure, title, paper.note), path, colors=COLORS)


def dots(ax: Axes, named: Mapping[str, Sequence[float]], colors: Mapping[str, str]) -> None:
    """Draw a line of dots for each name from top to bottom, and their mean with its interval.

    The interval is that of the mean at a confidence of 95 %.
    """
    for place, (name, values) in enumerate(named.items()):
        ax.plot(values, [place] * len(values), ".", color=colors[name], markersize=5)
        mean, low, high = interval(values)
        bar = None if low is None or high is None else [[mean - low], [high - mean]]
        ax.errorbar(
            mean, place + 0.28, xerr=bar, color=plots.INK, marker="|", markersize=5, linewidth=1.0,
            capsize=1.5,
        )  # fmt: skip
    ax.set_yticks(range(len(named)), labels=list(named), fontsize=7)
    ax.invert_yaxis()
    ax.set_xlim(left=min(0.0, ax.get_xlim()[0]))
    ax.locator_params(axis="x", nbins=5)
