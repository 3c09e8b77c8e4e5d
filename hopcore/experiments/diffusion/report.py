"""Tables and pictures of the studies of diffusion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from hopcore import plots
from hopcore.experiments.diffusion.settings import PLAIN, Setting, Trial
from hopcore.experiments.diffusion.summary import Line, at_chosen_levels, summary
from hopcore.experiments.tables import COLORS, Spread, Summary, grouped

MEASURES = {
    "exact": "% exact pattern",
    "label": "% right label",
    "best_exact": "exact, less plain",
    "best_label": "label, less plain",
    "same_exact": "exact, less plain at equal beta",
    "same_label": "label, less plain at equal beta",
    "entropy_exact": "exact, less plain at equal H",
    "entropy_label": "label, less plain at equal H",
    "milliseconds": "milliseconds",
}
"""What a picture calls its axes."""

SHORT = {"normalization": "Laplacian", "neighbours": "k", "steps": "T", "stored": "N", "level": "b"}
"""Names of settings in tables and pictures."""

Best = Mapping[str, Sequence[Line]]
"""The lines of a table at the levels that are best for ``exact``, and for ``label``."""

NOTES = """\
exact   % of outputs nearest to the wanted pattern
label   % nearest to a pattern of the wanted label
-plain  less plain retrieval at its own best b
-H      less plain retrieval at equal entropy of the weights
b       effective inverse temperature before diffusion: for half of the memories, the one that
        is best for the other half"""


class Picture(Protocol):
    """What a study says of its picture: the axes, the measures, and whether levels are chosen.

    See :class:`hopcore.experiments.diffusion.studies.DiffusionStudy`.
    """

    x: ClassVar[str]
    line: ClassVar[str]
    column: ClassVar[str | None]
    measures: ClassVar[Sequence[str]]
    best: ClassVar[bool]


def at_best(trials: Sequence[Trial]) -> Best:
    """Return the lines of a study at the levels that are chosen for each measure of its table."""
    return {measure: at_chosen_levels(trials, measure) for measure in ("exact", "label")}


def cells(best: Best, *, long: bool) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of the summary.

    The long form has deviations and the best levels. Settings that do not vary, of the methods
    beside plain retrieval, have no column.
    """
    diffused = [line.setting for line in best["exact"] if line.setting.method != PLAIN]
    varying = [
        name
        for name in Setting._fields
        if name not in ("level", "updates") and len({getattr(s, name) for s in diffused}) > 1
    ]

    def number(value: Spread, sign: str = "") -> str:
        text = f"{100 * value.mean:{sign}.1f}"
        return f"{text} ± {100 * value.deviation:.1f}" if long else text

    rows = []
    for exact, label in zip(best["exact"], best["label"], strict=True):
        setting = exact.setting
        row = [shown(setting, name) for name in varying]
        if setting.method == PLAIN:
            row[0] = PLAIN
        for name, line in (("exact", exact), ("label", label)):
            levels = ", ".join(f"{level:g}" for level in line.levels)
            row += [number(getattr(line, name)), levels][: 1 + long]
            for kind in ("best", "entropy"):
                less = None if setting.method == PLAIN else line.less[f"{kind}_{name}"]
                row.append("" if less is None else number(less, "+"))
        rows.append(row)
    header = [SHORT.get(name, name) for name in varying]
    for name in ("exact", "label"):
        header += [name, "b", "-plain", "-equal H"] if long else [name, "-plain", "-H"]
    return header, rows


def shown(setting: Setting, name: str) -> str:
    """A setting; empty where plain retrieval has none."""
    value = getattr(setting, name)
    if isinstance(value, str):
        return value
    return f"{value:g}" if value or setting.method != PLAIN else ""


def table(best: Best, title: str = "", *, long: bool) -> Summary:
    """Return the summary, in its long or its short form."""
    header, rows = cells(best, long=long)
    named = header.index("exact")
    return Summary(header[:named], header[named:], rows, title, NOTES)


def draw(study: Picture, trials: Sequence[Trial], title: str, path: Path) -> None:
    """A panel for each measure and column; plain retrieval is the dashed line."""
    lines, best = summary(trials), at_best(trials)
    columns = values(lines, study.column) if study.column else [None]
    panels = [(measure, column) for measure in study.measures for column in columns]
    across = len(columns) if study.column else min(len(panels), 3)
    down = len(panels) // across
    figure = plots.new_figure(1.7 + 2.8 * across, 1.0 + 2.1 * down, dpi=100)
    sharey: Literal["row", "none"] = "row" if study.column else "none"
    axes = figure.subplots(down, across, squeeze=False, sharex=True, sharey=sharey)
    ticks = values(lines, study.x)
    named = [f"{tick:g}" if isinstance(tick, float | int) else tick for tick in ticks]
    joined = study.x != "mode" and "half" not in ticks
    for (measure, column), ax in zip(panels, axes.flat, strict=True):
        chosen = best["label" if "label" in measure else "exact"] if study.best else lines
        chosen = [line for line in chosen if belongs(line.setting, study.column, column)]
        plots.curves(curves_of(study, chosen, measure, ticks), named, joined=joined, ax=ax)
        if measure == "milliseconds":
            ax.set_ylim(bottom=0.0)
        if column is None:
            plots.heading(ax, MEASURES[measure])
        elif measure == study.measures[0]:
            name = SHORT.get(study.column or "")
            plots.heading(ax, f"{name} = {column:g}" if name else column)
    if study.column:
        for measure, row in zip(study.measures, axes, strict=True):
            row[0].set_ylabel(MEASURES[measure], fontsize=9)
    for ax in axes[-1]:
        ax.set_xlabel(SHORT.get(study.x, study.x), fontsize=9)
    handles = {}
    for ax in axes.flat:
        drawn, names = ax.get_legend_handles_labels()
        handles |= {n: h for h, n in zip(drawn, names, strict=True) if n not in handles}
    figure.legend(
        handles.values(), handles, loc="outside right upper", frameon=False, fontsize=8,
        title=None if study.line == "method" else SHORT.get(study.line, study.line),
        title_fontsize=8,
    )  # fmt: skip
    text = f"bars: standard deviation over {lines[0].seeds} memories; of differences, in pairs"
    chosen = "b chosen on the other half of the memories"
    text = f"{chosen}; {text}" if study.best else text.capitalize()
    plots.save(plots.caption(figure, title, text), path, colors=COLORS)


def values(lines: Iterable[Line], field: str) -> list[Any]:
    """What a setting is in the methods beside plain retrieval, in order."""
    found = [getattr(line.setting, field) for line in lines if line.setting.method != PLAIN]
    found = list(dict.fromkeys(found))
    return found if any(isinstance(value, str) for value in found) else sorted(found)


def belongs(setting: Setting, column: str | None, value: object) -> bool:
    """Whether a line is drawn in a column; plain retrieval is where it has no value of its own."""
    if column is None:
        return True
    own = getattr(setting, column)
    return own == value or (setting.method == PLAIN and (own == PLAIN or not own))


def measured(line: Line, measure: str) -> Spread | None:
    """A share or a difference in percent, or a time; plain does not differ from itself."""
    if measure == "milliseconds":
        return Spread(line.milliseconds, 0.0)
    if measure not in line.less:
        value: Spread | None = getattr(line, measure)
    elif line.setting.method == PLAIN:
        value = Spread(0.0, 0.0)
    else:
        value = line.less[measure]
    return value and Spread(100.0 * value.mean, 100.0 * value.deviation)


def curves_of(
    study: Picture, lines: Sequence[Line], measure: str, ticks: Sequence[Any]
) -> Mapping[str, plots.Curve]:
    """By name, the places on the x axis, the means and the deviations."""
    found: dict[str, dict[int, Spread]] = {}
    more = also(study, lines)
    for line in lines:
        setting, value = line.setting, measured(line, measure)
        if value is None:
            continue
        own = getattr(setting, study.x)
        plain = setting.method == PLAIN
        names = [PLAIN if plain else shown(setting, study.line)]
        names += [f"{SHORT.get(field, field)} {shown(setting, field)}" for field in more]
        places = range(len(ticks)) if plain and not own else [ticks.index(own)]
        curve = found.setdefault(", ".join(name for name in names if name[-1] != " "), {})
        curve.update(dict.fromkeys(places, value))
    return {
        name: plots.Curve(
            list(points), [p.mean for p in points.values()], [p.deviation for p in points.values()]
        )
        for name, points in found.items()
    }


def also(study: Picture, lines: Iterable[Line]) -> list[str]:
    """The settings, beside the axes of the picture, that tell its curves apart."""
    axes = [axis for axis in (study.x, study.line, study.column) if axis is not None]
    diffused = [line.setting for line in lines if line.setting.method != PLAIN]
    groups = grouped(diffused, lambda setting: tuple(getattr(setting, axis) for axis in axes))
    return [
        field
        for field in Setting._fields
        if field not in ("level", "updates")
        and any(len({getattr(s, field) for s in group}) > 1 for group in groups.values())
    ]
