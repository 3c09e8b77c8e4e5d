"""Pictures. Functions take matplotlib's Axes and return them; matplotlib is imported on use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from hopcore.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, QUIET, HAIRLINE, FAILED = "#1b1b1f", "#6e6e78", "#d5d5da", "#c8553d"
LINES = ("#2f6db5", "#d9822b", "#3a9a6a", "#a14fa0", "#c8553d", "#7a6a1f")
"""Of curves, after the first, which is dashed ink."""


def new_figure(width: float, height: float, dpi: int = 160) -> Figure:
    """An empty figure of so many inches, tied to no window.

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed; the message names the extra.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  an extra, imported on use
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "pictures need matplotlib; install it: pip install 'hopcore[plots]'", name=missing.name
        ) from missing
    return Figure(figsize=(width, height), dpi=dpi, layout="constrained")


def gallery(
    ax: Axes,
    rows: Mapping[str, np.ndarray],
    *,
    failed: Mapping[str, np.ndarray] | None = None,
    limits: tuple[float, float] = (-1.0, 1.0),
) -> Axes:
    """Images in labelled rows, one column per pattern.

    Parameters
    ----------
    ax : Axes
        Drawn into.
    rows : mapping of str to array (n, height, width)
        A label and its images, from top to bottom; all of one shape.
    failed : mapping of str to boolean array (n,), optional
        For some labels, the images that get a frame.
    limits : tuple of float
        The values drawn as paper and as full ink; what lies beyond is clipped.

    Returns
    -------
    Axes
        The same.

    Raises
    ------
    ValueError
        No rows, or images of different shapes.
    """
    shapes = {images.shape for images in rows.values()}
    if len(shapes) != 1 or any(len(shape) != 3 for shape in shapes):
        raise ValueError(
            f"rows must hold images of one shape (n, height, width), got {sorted(shapes)}"
        )
    count, height, width = shapes.pop()
    gap = max(1, round(min(height, width) / 8))
    down, across = height + gap, width + gap
    sheet = np.full((len(rows) * down - gap, count * across - gap), np.nan)
    for r, images in enumerate(rows.values()):
        for c, image in enumerate(images):
            sheet[r * down : r * down + height, c * across : c * across + width] = image
    ax.imshow(sheet, cmap="gray_r", vmin=limits[0], vmax=limits[1], interpolation="nearest")
    for r, label in enumerate(rows):
        for c in range(count):
            bad = failed is not None and label in failed and failed[label][c]
            frame(ax, c * across, r * down, width, height, bad=bool(bad))
    ax.set_xticks([])
    ax.set_yticks([r * down + height / 2 - 0.5 for r in range(len(rows))], labels=list(rows))
    ax.tick_params(left=False, labelsize=9, labelcolor=INK, pad=6)
    ax.spines[:].set_visible(False)
    # Frames lie on the edge of the outermost pixels; leave them room.
    ax.set_xlim(-1.0, sheet.shape[1])
    ax.set_ylim(sheet.shape[0], -1.0)
    return ax


def frame(ax: Axes, column: float, row: float, width: int, height: int, *, bad: bool) -> None:
    """A hairline around one image, or a red frame around one that failed."""
    from matplotlib.patches import Rectangle  # noqa: PLC0415  an extra, imported on use

    color, line = (FAILED, 1.6) if bad else (HAIRLINE, 0.5)
    corner = (column - 0.5, row - 0.5)
    box = Rectangle(
        corner, width, height, fill=False, clip_on=False, edgecolor=color, linewidth=line
    )
    ax.add_patch(box)


class Curve(NamedTuple):
    """Means and deviations at places on an axis."""

    places: Sequence[int]
    means: Sequence[float]
    deviations: Sequence[float]


def curves(
    ax: Axes, named: Mapping[str, Curve], ticks: Sequence[str], *, joined: bool = True
) -> Axes:
    """Curves with bars over places that have names; the first is dashed, what others are held to.

    Parameters
    ----------
    ax : Axes
        Drawn into.
    named : mapping of str to Curve
    ticks : sequence of str
        The names of the places 0, 1, ...
    joined : bool
        Whether the places are in an order, so that lines join them; otherwise points lie side by
        side, and the first is a dash across each place.

    Returns
    -------
    Axes
        The same.
    """
    middle = 0.5 * len(named)
    for index, (name, curve) in enumerate(named.items()):
        first = index == 0
        shift = 0.0 if joined or first else 0.16 * (index - middle)
        line, marker = ("--" if first else "-"), (None if first else "o")
        if not joined:
            line, marker = "none", ("_" if first else "o")
        ax.errorbar(
            [place + shift for place in curve.places],
            curve.means,
            yerr=curve.deviations,
            label=name,
            color=INK if first else LINES[(index - 1) % len(LINES)],
            linestyle=line,
            linewidth=1.3,
            elinewidth=0.8,
            marker=marker,
            markersize=22.0 if first else 3.0,
            alpha=0.85,
            zorder=2 if first else 3,
        )
    long = max(map(len, ticks)) > 5
    ax.set_xticks(range(len(ticks)), labels=list(ticks), rotation=30 if long else 0)
    return quiet(ax)


def over(
    ax: Axes, places: Sequence[float], named: Mapping[str, Sequence[float]], *, log: bool = False
) -> Axes:
    """Lines over numbers, on a logarithmic axis if asked; a legend where there are several.

    Parameters
    ----------
    ax : Axes
        Drawn into.
    places : sequence of float
    named : mapping of str to sequence of float
        A value for each place.
    log : bool

    Returns
    -------
    Axes
        The same.
    """
    for index, (name, values) in enumerate(named.items()):
        ax.plot(places, values, label=name, color=LINES[index % len(LINES)], linewidth=1.4)
    if log:
        ax.set_yscale("log")
    if len(named) > 1:
        ax.legend(frameon=False, fontsize=8)
    return quiet(ax)


def quiet(ax: Axes) -> Axes:
    """Axes that do not shout: hairlines, no box."""
    ax.tick_params(labelsize=8, labelcolor=INK, color=HAIRLINE)
    ax.grid(axis="y", color=HAIRLINE, linewidth=0.5)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(HAIRLINE)
    return ax


def heading(ax: Axes, title: str, note: str = "") -> Axes:
    """A title above the left edge, and a quieter note at the right."""
    ax.set_title(title, loc="left", fontsize=11, color=INK, fontweight="bold", pad=8)
    ax.set_title(note, loc="right", fontsize=8.5, color=QUIET, pad=8)
    return ax


def caption(figure: Figure, title: str, note: str = "") -> Figure:
    """A title over the whole figure, and a quieter note under it."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=14, color=INK, fontweight="bold")
    figure.supxlabel(note, x=0.01, ha="left", fontsize=8.5, color=QUIET)
    return figure


def save(figure: Figure, path: Path, colors: int | None = None) -> None:
    """Write a figure as PNG, whole or not at all.

    Parameters
    ----------
    figure : Figure
    path : Path
    colors : int, optional
        So many colours and no more, for a smaller file.

    Raises
    ------
    OSError
        As :func:`hopcore.files.write_whole`.
    """

    def write(file: BinaryIO) -> None:
        if colors is None:
            figure.savefig(file, format="png")
            return
        from PIL import Image  # noqa: PLC0415  comes with matplotlib

        whole = BytesIO()
        figure.savefig(whole, format="png")
        few = Image.open(whole).convert("RGB").quantize(colors)
        few.save(file, format="png", optimize=True)

    write_whole(path, write)
