"""Tables and pictures of what a suggested inverse temperature earns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hopcore import plots
from hopcore.experiments.suggested_beta.trials import GRID, RULES, Trial
from hopcore.experiments.tables import COLORS, Spread, Summary, percent, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEASURES = ("cosine", "own")

CLOSE = 0.02
"""Success that is less than the best by no more than this is as good."""

Group = tuple[str, int, str, str, int]


class Line(NamedTuple):
    """A rule in one case and by one measure, over the seeds.

    ``best`` is the grid's best success, ``knee`` the lowest inverse temperature of the grid that
    comes within 0.02 of it; ``success`` is the rule's, ``less`` that less the best, seed by seed,
    ``worst`` the least of them; ``beyond`` is the rule's inverse temperature over the knee, the
    geometric mean.
    """

    data: str
    patterns: int
    corruption: str
    similarity: str
    updates: int
    measure: str
    rule: str
    seeds: int
    best: Spread
    knee: float
    beta: float
    success: Spread
    less: Spread
    worst: float
    beyond: float


def summary(trials: Sequence[Trial]) -> list[Line]:
    """A line for each case, measure and rule."""
    seeds: dict[Group, dict[int, list[Trial]]] = {}
    for one in trials:
        seeds.setdefault(one[:5], {}).setdefault(one.seed, []).append(one)
    lines = []
    for place, own in seeds.items():
        for measure in MEASURES:
            for rule in RULES:
                asked = [found_by(group, measure, rule) for group in own.values()]
                known = [one for one in asked if one is not None]
                if known:
                    lines.append(line(place, measure, rule, np.asarray(known)))
    return lines


def found_by(trials: Sequence[Trial], measure: str, rule: str) -> tuple[float, ...] | None:
    """Of one seed: the grid's best, its knee, the rule's inverse temperature and success."""
    grid = sorted((one.beta, getattr(one, measure)) for one in trials if one.rule == GRID)
    ruled = [one for one in trials if one.rule == rule]
    if not ruled:
        return None
    best = max(success for _, success in grid)
    # Shares of a few hundred queries: no rounding decides what is within 2 %.
    knee = next(beta for beta, success in grid if success >= best - CLOSE - 1e-9)
    return best, knee, ruled[0].beta, getattr(ruled[0], measure)


def line(place: Group, measure: str, rule: str, found: np.ndarray) -> Line:
    """A line from what :func:`found_by` found of each seed."""
    best, knee, beta, success = found.T
    less = success - best
    middle = [float(np.exp(np.mean(np.log(x)))) for x in (knee, beta, beta / knee)]
    return Line(
        *place, measure, rule, len(found), spread(best), middle[0], middle[1], spread(success),
        spread(less), float(less.min()), middle[2],
    )  # fmt: skip


def table(lines: Sequence[Line]) -> Summary:
    """Return the summary, with all rules of a case side by side."""
    cases: dict[tuple[int, str, str, int, str], dict[str, Line]] = {}
    for one in lines:
        place = (one.patterns, one.corruption, one.similarity, one.updates, one.measure)
        cases.setdefault(place, {})[one.rule] = one
    left = ["N", "corruption", "similarity", "updates", "measure"]
    right = ["best", "knee", *RULES]
    rows = []
    for (size, corruption, similarity, updates, measure), ruled in cases.items():
        first = next(iter(ruled.values()))
        found = [told(ruled[rule]) if rule in ruled else "-" for rule in RULES]
        row = [str(size), corruption, similarity, str(updates), measure, percent(first.best)]
        rows.append([*row, f"{first.knee:.2g}", *found])
    caption = (
        f"best: of a grid, %, mean ± standard deviation over {lines[0].seeds} seeds\n"
        f"knee: the lowest beta of the grid within {100 * CLOSE:.0f} % of it\n"
        "rules: success less the best, % (of the worst seed), and beta over the knee"
    )
    return Summary(left, right, rows, f"suggested-beta, {lines[0].data}", caption)


def told(one: Line) -> str:
    """What a rule loses, on the mean and at worst, and how far beyond the knee it is."""
    less, worst = (round(100 * value, 1) + 0.0 for value in (one.less.mean, one.worst))
    return f"{less:.1f} ({worst:.1f}) {one.beyond:.{0 if one.beyond >= 10 else 1}f}x"


def draw(trials: Sequence[Trial], path: Path) -> None:
    """Success of the largest memory over beta: columns of corruptions, rows of other settings."""
    largest = [one for one in trials if one.patterns == max(t.patterns for t in trials)]
    corruptions = list(dict.fromkeys(one.corruption for one in largest))
    compared = list(dict.fromkeys(one.similarity for one in largest))
    rows = [(similarity, measure) for similarity in compared for measure in MEASURES]
    figure = plots.new_figure(0.8 + 2.1 * len(corruptions), 1.0 + 1.6 * len(rows), dpi=100)
    panels = figure.subplots(len(rows), len(corruptions), squeeze=False, sharex=True, sharey=True)
    for (similarity, measure), across in zip(rows, panels, strict=True):
        for corruption, ax in zip(corruptions, across, strict=True):
            place = corruption, similarity
            draw_panel(ax, [t for t in largest if (t.corruption, t.similarity) == place], measure)
            if ax in panels[0]:
                ax.set_title(corruption, fontsize=9, loc="left")
        across[0].set_ylabel(f"{measure}, {similarity}", fontsize=8)
    for ax in panels[-1]:
        ax.set_xlabel("beta", fontsize=8)
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(), frameon=False, fontsize=8, ncols=5,
        loc="outside upper right",
    )  # fmt: skip
    note = (
        f"{largest[0].data}, N = {largest[0].patterns:,}, means over the seeds. "
        "Upright lines: what the rules say, geometric means."
    )
    plots.save(plots.caption(figure, "Success over beta", note), path, colors=COLORS)


def draw_panel(ax: Axes, trials: Sequence[Trial], measure: str) -> None:
    """One memory and corruption."""
    for index, updates in enumerate(sorted({one.updates for one in trials})):
        grid = [one for one in trials if (one.updates, one.rule) == (updates, GRID)]
        betas = sorted({one.beta for one in grid})
        means = [np.mean([getattr(t, measure) for t in grid if t.beta == beta]) for beta in betas]
        name = "one update" if updates == 1 else f"up to {updates} updates"
        ax.plot(betas, means, color=plots.LINES[index], linewidth=1.4, label=name)
    for index, rule in enumerate(RULES):
        found = [one.beta for one in trials if one.rule == rule]
        if found:
            ax.axvline(
                float(np.exp(np.mean(np.log(found)))), color=plots.LINES[2 + index],
                linestyle=("-", "--", ":")[index % 3], linewidth=1.1, label=rule,
            )  # fmt: skip
    ax.set_xscale("log")
    ax.set_ylim(0.0, 1.03)
    plots.quiet(ax)
