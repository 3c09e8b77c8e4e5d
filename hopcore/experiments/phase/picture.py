"""The picture of a memory's temperatures: where it changes, its minima, what it answers."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hopcore import plots
from hopcore.experiments.phase.analysis import Answer, Study, noted, quantiles
from hopcore.experiments.phase.report import number, sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELLS = 21
"""Square images in a row."""

LETTERS = 220
"""In a line over the whole width."""

SIDES = (0.7, 0.2, 0.1), (0.5, 0.35, 0.15)
"""Where ways begin, in shares of the three patterns of a landscape."""


def draw(found: Study, path: Path) -> None:
    """The whole report on one page."""
    heights = [3.4, 4.0, 3.6] if found.patterns.shape else [3.4, 4.0]
    figure = plots.new_figure(14.0, sum(heights) + 1.0, dpi=120)
    first, second, *third = figure.subfigures(
        len(heights), 1, squeeze=False, height_ratios=heights
    )[:, 0]
    draw_sweep(first, found)
    with noted([]):  # what a landscape would say of the patterns was said
        draw_planes(second, found)
    for part in third:
        draw_images(part.subplots(), found)
    beta = found.suggestions[found.settings["goal"]].beta
    title = f"{found.patterns.name}: take beta = {number(beta)}"
    plots.caption(figure, title, "\n".join(textwrap.wrap(sentence(found), LETTERS)))
    plots.save(figure, path)


def draw_sweep(figure: Figure, found: Study) -> None:
    """What happens to the memory over all inverse temperatures."""
    first, second, third = figure.subplots(1, 3)
    marks = {name: one.beta for name, one in found.suggestions.items()}
    critical = found.critical
    plots.heading(first, "Patterns that have a minimum")
    if np.isfinite(critical.appear).any():
        plots.critical_distribution(critical, marks=marks, ax=first)
    else:
        first.text(0.5, 0.5, "none, at any temperature", ha="center", color=plots.QUIET)
        first.set_axis_off()
    followed = len(critical.pattern)
    note = f"of {followed} patterns followed" if followed < len(found.norms) else ""
    plots.minima_over_beta(found.sweep, critical=critical, marks=marks, ax=second)
    plots.heading(second, "Minima", note)
    plots.heading(
        plots.sharpness_over_beta(found.sweep, marks=marks, ax=third), "Sharpness of the minima"
    )


def draw_planes(figure: Figure, found: Study) -> None:
    """Theory's diagram with this memory in it, and the energy hot, critical and cold."""
    values = found.patterns.values
    shown = shown_answers(found) if values.shape[1] > 1 else {}
    first, *others = figure.subplots(
        1, 1 + len(shown), squeeze=False, width_ratios=[1.25, *[1.0] * len(shown)]
    )[0]
    plots.heading(
        plots.phase_diagram(measured=measured(found), ax=first), "Theory, and this memory"
    )
    plane = spanning(found)
    starts = None if plane is None else mixed(values[plane].astype(np.float64))
    for ax, (name, answer) in zip(others, shown.items(), strict=True):
        plots.energy_landscape(
            values, answer.beta, plane=plane, queries=starts, others=plane is None,
            similarity=found.settings["similarity"], ax=ax,
        )  # fmt: skip
        plots.heading(ax, rf"{name}, $\beta$ = {answer.beta:.3g}")
        ax.set_xticks([])
        ax.set_yticks([])
        if ax is not others[0]:
            ax.get_legend().remove()


def measured(found: Study) -> dict[str, tuple[float, ...]]:
    """Where this memory changes, as the diagram has it: its size, and effective temperatures."""
    count, (first, middle, last) = len(found.norms), quantiles(found.critical)
    places: dict[str, tuple[float, ...]] = {
        "its average is lost": (count, found.scale * found.critical.centroid)
    }
    if np.isfinite(middle):
        ends = first, middle if np.isinf(last) else last
        bounds = (found.scale * beta for beta in ends)
        places["its patterns appear: 5, 50, 95 %"] = count, found.scale * middle, *bounds
    return places


def draw_images(ax: Axes, found: Study) -> None:
    """Some patterns, noisy copies of them, and what these become."""
    shape = found.patterns.shape
    assert shape is not None
    columns = max(3, CELLS * shape[0] // shape[1])
    few = np.unique(np.linspace(0, len(found.asked) - 1, columns).astype(int))
    stored = found.patterns.values[found.asked[few]]
    rows = {"stored": stored, f"noise {found.noise:.2g}": found.queries[few]}
    shown = shown_answers(found)
    failed = {}
    for name, answer in shown.items():
        rows[name] = answer.state[few]
        failed[name] = ~answer.own[few] if name == "retrieve" else np.zeros(len(few), bool)
    images = {name: flat.reshape(-1, *shape) for name, flat in rows.items()}
    limits = float(found.patterns.values.min()), float(found.patterns.values.max())
    plots.gallery(images, failed=failed, limits=limits, ax=ax)
    plots.heading(ax, "What noisy copies become", "red: not the pattern it was made of")


def shown_answers(found: Study) -> dict[str, Answer]:
    """A hot memory, one at its transition and one as it is asked for, from hot to cold."""
    goal = found.settings["goal"]
    names = {"average": "average", "critical": "half appeared", "retrieve": "retrieve", goal: goal}
    chosen = [(names[key], found.answers[key]) for key in names if key in found.answers]
    return dict(sorted(chosen, key=lambda item: item[1].beta))


def spanning(found: Study) -> list[int] | None:
    """Three patterns, one that appears early, one late and one between; None if on one line."""
    critical = found.critical
    order = critical.pattern[np.argsort(critical.appear, kind="stable")]
    count = int(np.isfinite(critical.appear).sum())
    chosen = np.unique(order[[count // 6, count // 2, (5 * count) // 6]]) if count else order[:0]
    corners = found.patterns.values[chosen].astype(np.float64)
    if len(chosen) < 3:
        return None
    sizes = np.linalg.svd(corners - corners.mean(axis=0), compute_uv=False)
    return chosen.tolist() if len(sizes) > 1 and sizes[1] > 1e-3 * sizes[0] else None


def mixed(corners: np.ndarray) -> np.ndarray:
    """Mixtures of three patterns, with each of them in each place."""
    shares = np.concatenate([[np.roll(side, turn) for turn in range(3)] for side in SIDES])
    return shares @ corners
