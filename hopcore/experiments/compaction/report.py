"""The table and the picture of smaller memories."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hopcore import plots
from hopcore.experiments.compaction.trials import COMPACT, METHODS, OWN, UNWEIGHTED, Trial, mean_of
from hopcore.experiments.samples import interval
from hopcore.experiments.tables import COLORS, Spread, Summary, grouped, in_percent, spread


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
    """Draw the errors over the size: a column for each source, a row for each temperature."""
    kinds = list(dict.fromkeys(line.data for line in lines))
    names = [name for name in dict.fromkeys(line.spread for line in lines) if name != OWN]
    sizes = sorted({line.m for line in lines})
    figure = plots.new_figure(2.7 * len(kinds) + 2.2, 1.9 * len(names) + 0.9, dpi=100)
    panels = figure.subplots(len(names), len(kinds), squeeze=False, sharex=True, sharey=True)
    for row, name in zip(panels, names, strict=True):
        for ax, kind in zip(row, kinds, strict=True):
            for place, method in enumerate(METHODS):
                own = [x for x in lines if (x.data, x.spread, x.method) == (kind, name, method)]
                ax.errorbar(
                    [line.m for line in own], [line.error.mean for line in own],
                    [line.error.deviation for line in own], marker="o", markersize=3,
                    linewidth=1.8 if method == COMPACT else 1.0, label=method,
                    color=plots.INK if method == COMPACT else plots.LINES[place - 1],
                )  # fmt: skip
            ax.set_xscale("log", base=2)
            ax.set_yscale("log")
            ax.axhline(1.0, color=plots.QUIET, linewidth=0.8, linestyle=":")
            ax.set_xticks(sizes, labels=[str(size) for size in sizes])
            ax.set_title(f"{kind}, {float(name):g} effective", fontsize=9, loc="left")
            plots.quiet(ax)
        row[0].set_ylabel("relative error", fontsize=8)
    for ax in panels[-1]:
        ax.set_xlabel("patterns kept, m", fontsize=8)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8, loc="outside right center")
    count = lines[0].patterns
    note = f"Of {count:,} patterns. 1 is the error of answering with the mean. Bars: deviation"
    plots.save(plots.caption(figure, "Smaller memories", note), path, colors=COLORS)
