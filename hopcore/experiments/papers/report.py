"""The picture of a paper's figures: its panels side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hopcore import plots
from hopcore.experiments.papers.rows import Paper, Trial
from hopcore.experiments.tables import COLORS

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
