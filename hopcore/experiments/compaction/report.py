"""The table and the picture of smaller memories."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hopcore import plots
from hopcore.experiments.compaction.trials import COMPACT, METHODS, OWN, UNWEIGHTED, Trial, mean_of
from hopcore.experiments.samples import interval
from hopcore.experiments.tables import COLORS, Spread, Summary, grouped, in_percent, spread
from hopcore.plots._style import decades

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Line(NamedTuple):
    """A method at one temperature and size, over the seeds.

    ``more`` is its error minus that of compact, paired by seed, with the limits of a 95 % interval
    by Student's t; None if there is one seed.
    """

    data: str
    spread: str
    m: int
    method: str
    seeds: int
    patterns: int
    beta: float
    effective: float
    error: Spread
    more: float
    low: float | None
    high: float | None
    finite: float | None
    below: float | None
    loose: float | None
    accuracy: float | None


def summary(trials: Sequence[Trial]) -> list[Line]:
    """Return a line for each source, temperature, size and method."""
    groups = grouped(trials, lambda one: (one.data, one.spread, one.m, one.method))
    lines = []
    for place, own in groups.items():
        beside = {one.seed: one.error for one in groups.get((*place[:3], COMPACT), [])}
        pairs = [one.error - beside[one.seed] for one in own if one.seed in beside]
        more = interval(pairs) if pairs else (0.0, None, None)
        beta, effective = (
            spread(getattr(one, name) for one in own).mean for name in ("beta", "effective")
        )
        finite, below, loose, accuracy = (
            mean_of([getattr(one, name) for one in own])
            for name in ("finite", "below", "loose", "accuracy")
        )
        error = spread(one.error for one in own)
        lines.append(
            Line(
                *place, len(own), own[0].patterns, beta, effective, error, *more, finite, below,
                loose, accuracy,
            )
        )  # fmt: skip
    return lines


def table(lines: Sequence[Line], *, narrow: bool = False) -> Summary:
    """Return a row for each source, temperature and size, with a column for each method.

    A narrow one fits into a terminal: it has neither deviations nor intervals.
    """
    rows = []
    for (data, name, m), own in grouped(lines, lambda one: (one.data, one.spread, one.m)).items():
        by_method = {line.method: line for line in own}
        first = by_method[COMPACT]
        errors = [f"{by_method[method].error.mean:.3f}" for method in METHODS]
        certain = [in_percent(share or 0.0) for share in (first.finite, first.below)]
        at = f"{first.effective:.0f}" + (" (own)" if name == OWN else "")
        if narrow:
            rows.append([data, at, str(m), *errors])
            continue
        errors[0] += f" ± {first.error.deviation:.3f}"
        rows.append([data, at, str(m), *errors, gained(by_method[UNWEIGHTED]), *certain])
    seeds = max(line.seeds for line in lines)
    caption = f"relative error, mean over {seeds} seeds; 1 is that of answering with the mean"
    more = [] if narrow else ["log n", "finite", "below 1"]
    left = ["data", "spread" if narrow else "effective"]
    return Summary(left, ["m", *METHODS, *more], rows, "compact", caption)


def gained(line: Line) -> str:
    """Return a difference of errors as text, with its confidence interval if there is one."""
    if line.low is None or line.high is None:
        return f"{line.more:+.3f}"
    return f"{line.more:+.3f} ({line.low:+.3f} to {line.high:+.3f})"


def draw(lines: Sequence[Line], path: Path) -> None:
    """Draw the errors over the size: a row for each source, a column for each temperature.

    The panels of a temperature share their scale, so that small differences can be seen.
    """
    kinds = list(dict.fromkeys(line.data for line in lines))
    names = list(dict.fromkeys(line.spread for line in lines))
    figure = plots.new_figure(2.1 * len(names) + 0.4, 2.2 * len(kinds) + 1.1, dpi=100)
    panels = figure.subplots(len(kinds), len(names), squeeze=False, sharex=True, sharey="col")
    for row, kind in zip(panels, kinds, strict=True):
        for ax, name in zip(row, names, strict=True):
            own = [line for line in lines if (line.data, line.spread) == (kind, name)]
            if own:
                draw_panel(ax, own)
            else:  # only a transformer has a temperature of its own
                ax.set_axis_off()
        row[0].set_ylabel("relative error", fontsize=8)
    for ax in panels[-1]:
        ax.set_xlabel("patterns kept, m", fontsize=8)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    empty = [ax for ax in panels.flat if not ax.has_data()]
    holder, place = (empty[0], "center") if empty else (figure, "outside right center")
    holder.legend(handles, labels, frameon=False, fontsize=8, loc=place)
    count = lines[0].patterns
    note = f"Of {count:,} patterns. 1 is the error of answering with the mean. Bars: deviation"
    plots.save(plots.caption(figure, "Smaller memories", note), path, colors=COLORS)


def draw_panel(ax: Axes, lines: Sequence[Line]) -> None:
    """Draw the errors of one source at one temperature, with a line for each method."""
    for place, method in enumerate(METHODS):
        own = [line for line in lines if line.method == method]
        ax.errorbar(
            [line.m for line in own], [line.error.mean for line in own],
            [line.error.deviation for line in own], marker="o", markersize=3,
            linewidth=1.8 if method == COMPACT else 1.0, label=method,
            color=plots.INK if method == COMPACT else plots.LINES[place - 1],
        )  # fmt: skip
    ax.set_xscale("log", base=2)
    decades(plots.quiet(ax), "y")
    ax.axhline(1.0, color=plots.QUIET, linewidth=0.8, linestyle=":")
    sizes = sorted({line.m for line in lines})
    ax.set_xticks(sizes, labels=[str(size) for size in sizes])
    first = lines[0]
    at = f"own, {first.effective:.0f}" if first.spread == OWN else f"{float(first.spread):g}"
    ax.set_title(f"{first.data}, {at} effective", fontsize=9, loc="left")
