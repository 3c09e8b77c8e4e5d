"""Tables and pictures of where memories of images have their transition."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import hopcore
from hopcore import plots
from hopcore.experiments.tables import COLORS, Spread, Summary, grouped, spread
from hopcore.experiments.transition.trials import IMAGES, Fit, Pattern, Trial, fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FITTED = ("appear05", "appear50")
"""Quantiles that are held against ln N."""

COLUMNS: dict[str, Callable[[Trial], float]] = {
    "b_sn": lambda one: hopcore.phase.saddle_node_beta(one.patterns),
    "5 %": lambda one: one.appear05 * one.scale,
    "50 %": lambda one: one.appear50 * one.scale,
    "95 %": lambda one: one.appear95 * one.scale,
    "b_co": lambda one: hopcore.phase.coexistence_beta(one.patterns),
    "1/lambda": lambda one: one.centroid * one.scale,
}
"""What a table tells of a memory, as effective inverse temperatures."""

RANKS = {
    "separation": "by_separation",
    "nearest": "by_distance",
    "norm": "by_norm",
    "local": "by_local",
}
"""Rank correlations of a table."""


def groups(trials: Sequence[Trial]) -> dict[tuple[str, int], list[Trial]]:
    """Memories of one kind and size."""
    order = list(IMAGES)
    rows = sorted(trials, key=lambda one: (order.index(one.images), one.patterns, one.seed))
    return grouped(rows, lambda one: (one.images, one.patterns))


def shown(value: Spread, digits: int = 3) -> str:
    """A mean with its deviation, to so many digits of the mean."""
    if not math.isfinite(value.mean):
        return "inf" if value.mean > 0 else "-"
    if value.deviation < 1e-9 * abs(value.mean):
        return f"{value.mean:#.{digits}g}".rstrip(".")
    places = max(0, digits - 1 - math.floor(math.log10(abs(value.mean)))) if value.mean else 0
    return f"{value.mean:.{places}f} ± {value.deviation:.{places}f}"


def measured(values: Sequence[float]) -> Spread:
    """Mean and deviation; inf where one is."""
    return spread(values) if np.isfinite(values).all() else Spread(float(max(values)), 0.0)


def place_table(trials: Sequence[Trial], *, short: bool = False) -> Summary:
    """Return where the transition lies, without deviations if the table is to be short."""
    right = ["N", "seeds", *COLUMNS, "beta 50 %", "never"]
    rows = []
    for (kind, size), own in groups(trials).items():
        every = [*COLUMNS.values(), lambda one: one.appear50]
        found = [measured([of(one) for one in own]) for of in every]
        levels = [shown(value._replace(deviation=0.0) if short else value) for value in found]
        never = f"{100 * np.mean([one.never for one in own]):.1f}"
        rows.append([kind, str(size), str(len(own)), *levels, never])
    caption = (
        "b: effective inverse temperatures; b_sn, b_co: theory of N equidistant patterns\n"
        "5, 50, 95 %: quantiles over the patterns of where they appear; never: %, not at any"
    )
    return Summary(["images"], right, rows, f"transition, {trials[0].data}", caption)


def rank_table(trials: Sequence[Trial]) -> Summary:
    """Return what predicts where a pattern appears, for the three largest sizes."""
    right = ["N", *RANKS, "ratio 5 %", "ratio 50 %", "ratio 95 %"]
    sizes = sorted({one.patterns for one in trials})[-3:]
    rows = []
    for (kind, size), own in groups([one for one in trials if one.patterns in sizes]).items():
        ranks = [f"{np.mean([getattr(one, name) for one in own]):.2f}" for name in RANKS.values()]
        ratios = [
            f"{np.mean([getattr(one, name) for one in own]):.3f}"
            for name in ("ratio05", "ratio50", "ratio95")
        ]
        rows.append([kind, str(size), *ranks, *ratios])
    return Summary(["images"], right, rows)


def fit_table(trials: Sequence[Trial]) -> Summary:
    """Return how the quantiles depend on N."""
    right = ["db/dlnN", "R²", "theory", "dlnb/dlnN", "R²"]
    rows = []
    for kind, one in fits(trials):
        slope = f"{one.slope:.3f} ± {one.slope_error:.3f}"
        power = f"{one.power:.3f} ± {one.power_error:.3f}"
        name = f"{int(one.quantile[-2:])} %"
        kept = f"{one.kept:.3f}", f"{one.kept_power:.3f}"
        rows.append([kind, name, slope, kept[0], f"{one.theory:.3f}", power, kept[1]])
    return Summary(["images", "quantile"], right, rows)


def fits(trials: Sequence[Trial]) -> list[tuple[str, Fit]]:
    """Of each kind of images that has three sizes of memories at least."""
    found = []
    for kind in dict.fromkeys(kind for kind, _ in groups(trials)):
        own = [one for one in trials if one.images == kind]
        if len({one.patterns for one in own}) > 2:
            found += [(kind, fit(own, quantile)) for quantile in FITTED]
    return found


def to_markdown(trials: Sequence[Trial]) -> str:
    """Return all three tables."""
    tables = [place_table(trials), rank_table(trials)]
    if fits(trials):
        tables.append(fit_table(trials))
    return "\n".join(table.markdown() for table in tables)


def facts(trials: Sequence[Trial]) -> dict[str, Any]:
    """As JSON knows it: what is not finite is null."""

    def known(row: dict[str, Any]) -> dict[str, Any]:
        return {
            k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()
        }

    lines = [{"images": kind} | known(one._asdict()) for kind, one in fits(trials)]
    return {"trials": [known(one._asdict()) for one in trials], "fits": lines}


def draw(trials: Sequence[Trial], path: Path) -> None:
    """A panel for each kind of images: effective inverse temperatures over N."""
    kinds = list(dict.fromkeys(kind for kind, _ in groups(trials)))
    figure = plots.new_figure(1.2 + 2.7 * len(kinds), 3.9, dpi=100)
    panels = figure.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    for ax, kind in zip(panels, kinds, strict=True):
        draw_panel(ax, [one for one in trials if one.images == kind])
        plots.heading(ax, kind)
    panels[0].set_ylabel("effective inverse temperature b", fontsize=9)
    panels[0].legend(frameon=False, fontsize=7, loc="upper left")
    note = "Bands: 5 to 95 % and 25 to 75 % of the patterns appear there; means over the seeds."
    plots.save(plots.caption(figure, f"Transition, {trials[0].data}", note), path, colors=COLORS)


def draw_panel(ax: Axes, trials: Sequence[Trial]) -> None:
    """One kind of images."""
    own = {size: group for (_, size), group in groups(trials).items()}
    sizes = sorted(own)

    def level(name: str) -> list[float]:
        return [
            float(np.mean([getattr(one, name) * one.scale for one in own[size]])) for size in sizes
        ]

    quantiles = {name: level(name) for name in Trial._fields if name.startswith("appear")}
    # What never appears is beyond the picture.
    top = 10.0 * max(value for row in quantiles.values() for value in row if math.isfinite(value))
    low, left, middle, right, high = (np.minimum(row, top) for row in quantiles.values())
    fine = np.unique(np.geomspace(sizes[0], sizes[-1], 60).round())
    ax.fill_between(sizes, low, high, color=plots.LINES[0], alpha=0.15, linewidth=0)
    ax.fill_between(sizes, left, right, color=plots.LINES[0], alpha=0.25, linewidth=0)
    ax.plot(sizes, middle, color=plots.LINES[0], label="patterns appear, median", linewidth=1.6)
    ax.plot(
        sizes, level("centroid"), color=plots.LINES[2], marker="o", markersize=3, linewidth=1.0,
        label="1 / largest variance",
    )  # fmt: skip
    ideal = {"b_sn": "--", "b_co": ":"}
    for (name, style), of in zip(
        ideal.items(), (hopcore.phase.saddle_node_beta, hopcore.phase.coexistence_beta), strict=True
    ):
        ax.plot(
            fine, [of(int(n)) for n in fine], color=plots.INK, linestyle=style, linewidth=1.1,
            label=f"theory, {name}",
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(1.5, 150.0)
    ax.set_xlabel("patterns N", fontsize=9)
    plots.quiet(ax)


def draw_patterns(patterns: Sequence[Pattern], path: Path) -> None:
    """Where each pattern of a memory appears, over what might tell it."""
    known = [one for one in patterns if math.isfinite(one.appear) and math.isfinite(one.local)]
    appear = np.asarray([one.appear for one in known])
    tellers = {
        "half the squared distance to the nearest": [0.5 * one.distance**2 for one in known],
        "separation": [one.separation for one in known],
        "local saddle-node": [one.local for one in known],
    }
    figure = plots.new_figure(9.6, 3.5, dpi=100)
    panels = figure.subplots(1, len(tellers), sharey=True)
    for ax, (name, values) in zip(panels, tellers.items(), strict=True):
        ax.scatter(values, appear, s=4, alpha=0.5, color=plots.LINES[0], linewidths=0)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.xaxis.set_minor_formatter("")
        ax.set_xlabel(name, fontsize=9)
        plots.quiet(ax)
    ends = [appear.min(), appear.max()]
    panels[-1].plot(ends, ends, color=plots.INK, linewidth=0.8, linestyle="--")
    panels[0].set_ylabel("beta at which the pattern appears", fontsize=9)
    first = known[0]
    title = f"{first.patterns} {first.data}, {first.images}: what tells where a pattern appears"
    plots.save(plots.caption(figure, title), path, colors=COLORS)
