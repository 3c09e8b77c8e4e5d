"""The tables and the picture of the capacity of memories."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hopcore import plots
from hopcore.experiments.capacity import masked
from hopcore.experiments.capacity.trials import MEMORIES, Trial
from hopcore.experiments.tables import COLORS, Spread, Summary, grouped, percent, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

REFERENCE = "nearest"
"""The memory that no other can exceed by much: the nearest stored pattern."""

COLOURS = {
    "classical": plots.QUIET, "polynomial:2": plots.LINES[5], "polynomial:3": plots.LINES[1],
    "polynomial:5": plots.LINES[4], "polynomial:10": plots.LINES[3],
    "log-sum-exp": plots.LINES[0], "entmax:1.5": plots.LINES[2], "epanechnikov": "#5bb3c9",
    REFERENCE: plots.INK,
}  # fmt: skip

MASKED_COLOURS = {
    "softmax": plots.LINES[4], "entmax 1.5": plots.LINES[1], "sparsemax": plots.LINES[0],
    "normmax 2": plots.LINES[2], "normmax 5": plots.LINES[3], "classical": plots.QUIET,
    "5th power": plots.LINES[5], "10th power": "#5bb3c9", "exponential": plots.INK,
}  # fmt: skip
"""Colours by separation function, the same in all panels."""

STROKES: dict[str, Any] = {
    "": "-", "norm": "-", "layer norm": "-", "tanh": ":", "distance": "-", "upper half": "--",
}  # fmt: skip
"""Lines by post-transformation, and by what is compared."""

PANELS = {
    "Without a normalisation": ("",),
    "On the sphere": ("norm",),
    "With layer normalisation": ("layer norm",),
    "By distance, and with tanh": ("distance", "upper half", "tanh"),
}
"""The panels of the picture, and the post-transformations of the variants in each."""

NONE = 0.003
"""Where lines without a loss are drawn on a logarithmic scale of percentages."""


class Line(NamedTuple):
    """A memory with patterns of one kind and number, over the seeds.

    ``guaranteed`` is None for a memory without a theorem, and ``beta``, the geometric mean, for one
    without an inverse temperature.
    """

    data: str
    memory: str
    patterns: int
    seeds: int
    beta: float | None
    measured: Spread
    guaranteed: Spread | None


def summary(trials: Iterable[Trial]) -> list[Line]:
    """Return a line for each kind of patterns, memory and size."""
    lines = []
    for place, own in grouped(trials, lambda one: one[:3]).items():
        beta = guaranteed = None
        if place[1] not in MEMORIES:
            beta = math.exp(sum(math.log(one.beta) for one in own) / len(own))
        if not any(math.isnan(one.guaranteed) for one in own):
            guaranteed = spread(one.guaranteed for one in own)
        measured = spread(one.measured for one in own)
        lines.append(Line(*place, len(own), beta, measured, guaranteed))
    return lines


def facts_of(line: Line) -> dict[str, Any]:
    """Return a line for JSON."""
    return {k: v._asdict() if isinstance(v, Spread) else v for k, v in line._asdict().items()}


def table(lines: Sequence[Line]) -> Summary:
    """Return the measured shares over the sizes, and after a slash the guaranteed ones."""
    sizes = sorted({line.patterns for line in lines})
    rows = []
    for (data, memory), own in grouped(lines, lambda line: line[:2]).items():
        cells = {line.patterns: line for line in own}
        rows.append([data, memory, *(told(cells.get(size)) for size in sizes)])
    caption = (
        f"share retrieved, %: the mean over {max(line.seeds for line in lines)} seeds\n"
        "after the slash: the share that a theorem guarantees"
    )
    return Summary(["patterns", "memory"], [f"N = {n}" for n in sizes], rows, "capacity", caption)


def told(line: Line | None) -> str:
    """Return the mean measured share in percent, and the guaranteed one if there is a theorem."""
    if line is None:
        return "-"
    shares = [line.measured] if line.guaranteed is None else [line.measured, line.guaranteed]
    return " / ".join(f"{round(100 * share.mean, 1) + 0.0:.1f}" for share in shares)


def draw(lines: Sequence[Line], path: Path) -> None:
    """Draw the measured shares over the size: a column for each kind of patterns."""
    kinds = list(dict.fromkeys(line.data for line in lines))
    figure = plots.new_figure(3.1 * len(kinds) + 2.0, 5.2, dpi=100)
    panels = figure.subplots(2, len(kinds), squeeze=False, sharex=True, sharey=True)
    for column, data in enumerate(kinds):
        own = [line for line in lines if line.data == data]
        for row, centred in enumerate((False, True)):
            ax = panels[row][column]
            draw_panel(ax, own, centred)
            word = "centred" if centred else "as they are"
            plots.heading(ax, f"{data}, {word}" if data != "random" else f"random signs, {word}")
        panels[-1][column].set_xlabel("stored patterns", fontsize=8)
    for ax in panels[:, 0]:
        ax.set_ylabel("retrieved", fontsize=8)
    handles, names = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, names, frameon=False, fontsize=8, loc="outside right center")
    note = (
        "Means over the seeds. Dotted: guaranteed by a theorem. "
        "Below, polynomial memories store patterns less their mean"
    )
    plots.save(plots.caption(figure, "Patterns that come back", note), path, colors=COLORS)


def draw_panel(ax: Axes, lines: Sequence[Line], centred: bool) -> None:
    """Draw a line for each memory; of polynomial ones those that are centred, or the others."""
    plots.quiet(ax)
    for memory, own in grouped(lines, lambda line: line.memory).items():
        plain = memory.removesuffix(", centred")
        if plain.startswith("polynomial") and (plain != memory) != centred:
            continue
        if plain == "classical" and centred:
            continue
        places = [line.patterns for line in own]
        style = {"color": COLOURS[plain], "zorder": 2 if plain == REFERENCE else 3}
        dashed = "--" if plain == REFERENCE else "-"
        ax.plot(
            places, [line.measured.mean for line in own], dashed, label=plain, linewidth=1.3,
            marker="o", markersize=2.5, **style,
        )  # fmt: skip
        shares = [line.guaranteed.mean for line in own if line.guaranteed is not None]
        if shares:
            ax.plot(places, shares, ":", linewidth=1.3, **style)
    ax.set_xscale("log")
    ax.set_ylim(-0.03, 1.05)


def masked_lines(trials: Iterable[masked.Trial]) -> dict[tuple[str, float, int], Spread]:
    """Return the successes over the seeds by variant, inverse temperature and size."""
    groups = grouped(trials, lambda one: one[:3])
    return {place: spread(one.success for one in own) for place, own in groups.items()}


def masked_table(trials: Sequence[masked.Trial], *, short: bool = False) -> Summary:
    """Return rows of inverse temperatures and variants, and columns of sizes.

    A short one, for a terminal, has no standard deviations.
    """
    found = masked_lines(trials)
    sizes = sorted({one.patterns for one in trials})
    measured = {(beta, name) for name, beta, _ in found}
    betas = sorted({beta for beta, _ in measured}, reverse=True)

    def cell(share: Spread | None) -> str:
        if share is None:
            return "-"
        return percent(share).split(" ±")[0] if short else percent(share)

    rows = [
        [f"{beta:g}", name, *(cell(found.get((name, beta, size))) for size in sizes)]
        for beta in betas
        for name in masked.VARIANTS
        if (beta, name) in measured
    ]
    seeds = len({one.seed for one in trials})
    caption = (
        f"cosine above 0.9, %: the mean over {seeds} seeds\n"
        f"variants with norm have beta = {masked.SPHERE:g} everywhere"
    )
    right = [f"N = {size}" for size in sizes]
    return Summary(["beta", "variant"], right, rows, "capacity-masked", caption)


def draw_masked(trials: Sequence[masked.Trial], path: Path) -> None:
    """Draw the shares that are lost over the size at the lowest inverse temperature.

    The scale is logarithmic. Lines without a loss lie side by side under it.
    """
    found = masked_lines(trials)
    sizes = sorted({one.patterns for one in trials})
    free = [one.beta for one in trials if masked.VARIANTS[one.variant].beta is None]
    measured = {one.variant for one in trials}
    figure = plots.new_figure(9.6, 6.4, dpi=100)
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    shown: dict[str, Line2D] = {}
    for ax, (title, kinds) in zip(panels.flat, PANELS.items(), strict=True):
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        inside = [name for name in masked.VARIANTS if name.partition(", ")[2] in kinds]
        for place, name in enumerate(one for one in inside if one in measured):
            beta = masked.VARIANTS[name].beta or min(free)
            shares = [found[name, beta, size].mean for size in sizes]
            separation, _, transformation = name.partition(", ")
            (line,) = ax.plot(
                sizes, [max(100.0 * (1.0 - share), NONE / 1.2**place) for share in shares],
                linestyle=STROKES[transformation], color=MASKED_COLOURS[separation],
                linewidth=1.3, marker="o", markersize=3,
            )  # fmt: skip
            shown.setdefault(name if len(kinds) > 1 else separation, line)
        ticks = [100.0, 10.0, 1.0, 0.1, 0.01]
        ax.set_yticks([*ticks, NONE], labels=[*(f"{tick:g}" for tick in ticks), "none"])
        ax.set_ylim(NONE / 5.0, 200.0)
        ax.minorticks_off()
        ax.set_xticks(sizes, labels=[f"{size:,}" for size in sizes])
        ax.set_title(title, fontsize=9, loc="left")
        plots.quiet(ax)
    for ax in panels[:, 0]:
        ax.set_ylabel("lost, % of the images", fontsize=8)
    for ax in panels[-1]:
        ax.set_xlabel("stored images", fontsize=8)
    figure.legend(
        shown.values(), shown.keys(), frameon=False, fontsize=8, loc="outside right center"
    )
    note = f"Means over the seeds at beta = {min(free):g}, on the sphere {masked.SPHERE:g}"
    plots.save(plots.caption(figure, "Images that are lost", note), path, colors=COLORS)
