"""How results are shown: tables for a terminal, pictures of retrieved images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich import box
from rich.table import Table

from hopcore import plots
from hopcore.experiments.demo import CORRUPTIONS, SEPARATIONS, Demo
from hopcore.experiments.retrieval import Setting

COLUMNS = 12
"""Images in a row of a picture, at most."""

MEASURES = """\
cos > 0.9  share whose cosine with the original is above 0.9: retrieved
same       share whose nearest stored pattern is the original itself"""


def new_table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    """An empty table with columns of text at the left and of numbers at the right."""
    table = Table(title=title, title_justify="left", title_style="bold", caption_justify="left")
    table.box, table.collapse_padding, table.pad_edge = box.SIMPLE_HEAD, True, False
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def demo_table(demo: Demo) -> Table:
    """A line for each corruption and separation."""
    table = new_table(
        f"{len(demo.images.pixels)} handwritten digits, each retrieved from a corrupted copy",
        ["corruption", "separation"],
        ["beta", "cos > 0.9", "same", "steps", "energy", "ms"],
    )
    for row in demo.rows:
        shares = f"{row.success:.1%}", f"{row.same:.1%}"
        energy = f"{row.energy_before:.1f} → {row.energy_after:.1f}"
        table.add_row(
            row.corruption, row.separation, f"{row.beta:.1f}", *shares, f"{row.steps:.1f}", energy,
            f"{1e3 * row.seconds:.1f}",
        )  # fmt: skip
    table.caption = MEASURES
    return table


def setting_table(title: str, settings: Sequence[Setting]) -> Table:
    """A line for each setting of the retrieval experiment."""
    table = new_table(
        title,
        ["separation"],
        ["beta", "stored", "steps", "cos > 0.9", "±", "worst", "same"],
    )
    for s in settings:
        shares = (f"{share:.1%}" for share in (s.success, s.deviation, s.worst, s.same))
        table.add_row(s.separation, f"{s.beta:g}", str(s.stored), str(s.max_steps), *shares)
    table.caption = MEASURES
    return table


def fact_table(title: str, facts: Mapping[str, object]) -> Table:
    """Names and values of one result."""
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    table.box, table.pad_edge = box.SIMPLE, False
    for name, value in facts.items():
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        table.add_row(name.replace("_", " "), shown)
    return table


def draw_demo(demo: Demo, path: Path) -> None:
    """The picture of the demonstration: a panel for each corruption, a row for each stage.

    It shows the first stored image of each digit.
    """
    shown = np.unique(np.asarray(demo.images.labels), return_index=True)[1]
    figure = plots.new_figure(7.4, 7.8)
    panels = figure.subplots(len(CORRUPTIONS), 1)
    any_failed = False

    def images(flat: np.ndarray) -> np.ndarray:
        return flat[shown].reshape(-1, *demo.images.shape)

    for ax, (corruption, title) in zip(panels, CORRUPTIONS.items(), strict=True):
        rows = {
            "original": images(demo.images.pixels),
            "corrupted": images(demo.queries[corruption]),
        }
        failed, shares = {}, []
        for name in SEPARATIONS:
            retrieved = demo.retrieved[corruption, name]
            rows[name] = images(demo.states[corruption, name])
            failed[name] = ~retrieved[shown]
            any_failed |= bool(failed[name].any())
            shares.append(f"{name} {np.mean(retrieved):.1%}")
        plots.heading(plots.gallery(ax, rows, failed=failed), title, "   ".join(shares))
    note = f"Percentages: cosine above 0.9, of all {len(demo.images.pixels)} stored digits."
    if any_failed:
        note += " Framed in red: shown here and not retrieved."
    plots.caption(figure, "Handwritten digits, retrieved from corrupted copies", note)
    plots.save(figure, path)


def draw_retrieved(
    rows: Mapping[str, np.ndarray],
    shape: tuple[int, int],
    limits: tuple[float, float],
    title: str,
    path: Path,
) -> None:
    """The first images of each row, for example query and retrieved, on one scale of grey."""
    count = min(COLUMNS, len(next(iter(rows.values()))))
    if count == 0:
        raise ValueError("there is nothing to draw: no queries")
    size = shape[0] * shape[1]
    images = {}
    for name, flat in rows.items():
        blank = ((0, 0), (0, size - flat.shape[1]))
        images[name] = np.pad(flat[:count], blank, constant_values=np.nan).reshape(-1, *shape)
    height, width = (0.9 * side / max(shape) for side in shape)
    figure = plots.new_figure(max(3.0, count * width + 1.0), len(rows) * height + 0.5)
    plots.heading(plots.gallery(figure.subplots(), images, limits=limits), title)
    plots.save(figure, path)
