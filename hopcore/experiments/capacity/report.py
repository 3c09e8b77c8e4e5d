"""The tables and the picture of the capacity of memories."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hopcore import plots
from hopcore.experiments.capacity import masked
from hopcore.experiments.capacity.trials import MEMORIES, Trial
from hopcore.experiments.tables import COLORS, Spread, Summary, grouped, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REFERENCE = "nearest"
"""The memory that no other can exceed by much: the nearest stored pattern."""

COLOURS = {
    "classical": plots.QUIET, "polynomial:2": plots.LINES[5], "polynomial:3": plots.LINES[1],
    "polynomial:5": plots.LINES[4], "polynomial:10": plots.LINES[3],
    "log-sum-exp": plots.LINES[0], "entmax:1.5": plots.LINES[2], "epanechnikov": "#5bb3c9",
    REFERENCE: plots.INK,
}  # fmt: skip

MASKED_COLOURS = (*plots.LINES, COLOURS["epanechnikov"], plots.INK)
"""Colours by separation function, in the order of the variants."""

STROKES: dict[str, Any] = {
    "": "-", "tanh": ":", "norm": "--", "layer norm": "-.",
    "distance": (0, (6, 1)), "upper half": (0, (1, 1)),
}  # fmt: skip
"""Lines by post-transformation, and by what is compared."""


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


def inverse_temperatures(trials: Iterable[masked.Trial]) -> list[float]:
    """Return the inverse temperatures of all variants but those for which it is fixed."""
    free = [one.beta for one in trials if masked.VARIANTS[one.variant].beta is None]
    return list(dict.fromkeys(free))


def variants_of(trials: Iterable[masked.Trial]) -> list[str]:
    """Return the variants that were measured, in their own order."""
    measured = {one.variant for one in trials}
    return [name for name in masked.VARIANTS if name in measured]


def masked_table(trials: Sequence[masked.Trial], *, transposed: bool = False) -> Summary:
    """Return rows of inverse temperatures and sizes, and columns of variants; or transposed."""
    found = masked_lines(trials)
    names = variants_of(trials)
    sizes = sorted({one.patterns for one in trials})

    def cell(name: str, beta: float, size: int) -> str:
        share = found.get((name, masked.VARIANTS[name].beta or beta, size))
        return "-" if share is None else f"{round(100 * share.mean, 1) + 0.0:.1f}"

    betas = inverse_temperatures(trials)
    if transposed:
        left, right = ["beta", "variant"], [f"N = {size}" for size in sizes]
        rows = [[f"{b:g}", n, *(cell(n, b, size) for size in sizes)] for b in betas for n in names]
    else:
        left, right = ["beta", "N"], names
        rows = [
            [f"{b:g}", str(size), *(cell(n, b, size) for n in names)]
            for b in betas for size in sizes
        ]  # fmt: skip
    seeds = len({one.seed for one in trials})
    caption = (
        f"cosine above 0.9, %: the mean over {seeds} seeds\n"
        f"variants with norm have beta = {masked.SPHERE:g} everywhere"
    )
    return Summary(left, right, rows, "capacity-masked", caption)


def draw_masked(trials: Sequence[masked.Trial], path: Path) -> None:
    """Draw the successes over the size: a panel for each inverse temperature."""
    found, betas = masked_lines(trials), inverse_temperatures(trials)
    names = variants_of(trials)
    kinds = list(dict.fromkeys(name.partition(", ")[0] for name in names))
    sizes = sorted({one.patterns for one in trials})
    figure = plots.new_figure(3.6 * len(betas) + 2.0, 0.18 * len(names) + 0.7, dpi=100)
    panels = figure.subplots(1, len(betas), squeeze=False, sharey=True)[0]
    for beta, ax in zip(betas, panels, strict=True):
        plots.heading(plots.quiet(ax), f"beta = {beta:g}")
        for name in names:
            cells = [found[name, masked.VARIANTS[name].beta or beta, size].mean for size in sizes]
            separation, _, transformation = name.partition(", ")
            color = MASKED_COLOURS[kinds.index(separation) % len(MASKED_COLOURS)]
            ax.plot(
                sizes, cells, linestyle=STROKES[transformation], label=name, color=color,
                linewidth=1.3, marker="o", markersize=2.5,
            )  # fmt: skip
        ax.set_xscale("log", base=2)
        ax.set_ylim(-0.03, 1.05)
        ax.set_xlabel("stored images", fontsize=8)
    panels[0].set_ylabel("cosine above 0.9", fontsize=8)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8, loc="outside right center")
    note = f"Means over the seeds. With norm, beta is {masked.SPHERE:g} in both panels"
    plots.save(plots.caption(figure, "Images from their upper half", note), path, colors=COLORS)
