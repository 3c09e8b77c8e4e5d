"""The style of pictures: colours, figures, plain axes, legends, headings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from hopcore.files._extensions import PICTURES, check_extension
from hopcore.files._files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, QUIET, HAIRLINE, FAILED = "#1b1b1f", "#6e6e78", "#d5d5da", "#c8553d"
"""The colours of lines, of notes, of the thinnest lines, and of what failed."""

LINES = ("#2f6db5", "#d9822b", "#3a9a6a", "#a14fa0", "#c8553d", "#7a6a1f")
"""The colours of curves after the first, which is dashed in the colour of lines."""

SMALL = 8.0
"""The size of names, in points."""

LETTER = 0.55 * SMALL
"""About the width of one of their letters."""

UNDATED = {"pdf": "CreationDate", "svg": "Date"}
"""The entry of each format's metadata that would say when a picture was drawn."""


def new_figure(width: float, height: float, dpi: int = 160) -> Figure:
    """Return an empty figure of this size in inches, without a window.

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


def own_axes(ax: Axes | None) -> Axes:
    """The axes of a picture: those that were given, or those of a new figure.

    Raises
    ------
    TypeError
        Something else was given, such as all axes of a figure.
    """
    if ax is None:
        return new_figure(5.0, 4.0).subplots()
    if not hasattr(ax, "plot"):
        advice = "figure.subplots()" if hasattr(ax, "subplots") else "one of them, as axes[0]"
        raise TypeError(f"ax must be matplotlib's Axes, got {type(ax).__name__}; give {advice}")
    return ax


def quiet(ax: Axes) -> Axes:
    """Draw the axes with hairlines and without a box."""
    ax.tick_params(labelsize=8, labelcolor=INK, color=HAIRLINE)
    ax.grid(axis="y", color=HAIRLINE, linewidth=0.5)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(HAIRLINE)
    return ax


def decades(ax: Axes, axis: Literal["x", "y"]) -> Axes:
    """Make an axis logarithmic, with readable numbers: 1, 2, 5 if there are few decades."""
    from matplotlib.ticker import LogFormatterMathtext, LogLocator, NullFormatter  # noqa: PLC0415

    set_scale, limits = (
        (ax.set_xscale, ax.get_xlim) if axis == "x" else (ax.set_yscale, ax.get_ylim)
    )
    set_scale("log")
    low, high = limits()
    one = ax.xaxis if axis == "x" else ax.yaxis
    one.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 60.0 * low else (1.0,)))
    spans_decades = low < 1e-4 or high > 1e5
    one.set_major_formatter(LogFormatterMathtext() if spans_decades else "{x:g}")
    one.set_minor_formatter(NullFormatter())
    ax.tick_params(axis=axis, which="minor", color=HAIRLINE, length=2.0)
    return ax


def legend_below(ax: Axes) -> Axes:
    """Draw a legend under the name of the x axis, as wide as the axes."""
    from matplotlib.transforms import offset_copy  # noqa: PLC0415  an extra, imported on use

    handles, names = ax.get_legend_handles_labels()
    figure: Any = ax.figure  # or a part of one, which does as well
    under = offset_copy(ax.transAxes, fig=figure, y=-34.0, units="points")
    ax.legend(
        handles, names, ncols=columns(names, width(ax)), loc="upper center",
        bbox_to_anchor=(0.5, 0.0), bbox_transform=under, frameon=False, fontsize=SMALL,
        labelcolor=INK, borderaxespad=0.0, handlelength=1.6, columnspacing=1.6,
    )  # fmt: skip
    return ax


def width(ax: Axes) -> float:
    """Return the approximate width of axes in points."""
    return ax.get_window_extent().width * 72.0 / ax.figure.dpi


def columns(names: Sequence[str], points: float) -> int:
    """Return the number of columns of a legend."""
    for count in range(len(names), 1, -1):
        rows = math.ceil(len(names) / count)
        longest = (max(map(len, names[k : k + rows])) for k in range(0, len(names), rows))
        if sum(LETTER * letters + 4.5 * SMALL for letters in longest) <= 1.15 * points:
            return math.ceil(len(names) / rows)
    return 1


def scale(ax: Axes, drawn: Any, name: str, ticks: int = 5) -> None:
    """Draw a narrow scale of shades at the right of the axes."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415  an extra, imported on use

    place = ax.inset_axes((1.025, 0.0, 0.03, 1.0))
    bar = ax.figure.colorbar(drawn, cax=place, spacing="proportional")
    bar.ax.yaxis.set_major_locator(MaxNLocator(ticks))
    bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize=8, labelcolor=INK, color=HAIRLINE, length=2.0)
    bar.set_label(name, fontsize=9)
    bar.outline.set_visible(False)


def heading(ax: Axes, title: str, note: str = "") -> Axes:
    """Draw a title above the left edge, and a grey note at the right."""
    ax.set_title(title, loc="left", fontsize=11, color=INK, fontweight="bold", pad=8)
    ax.set_title(note, loc="right", fontsize=8.5, color=QUIET, pad=8)
    return ax


def caption(figure: Figure, title: str, note: str = "") -> Figure:
    """Draw a title over the whole figure, and a grey note under it."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=14, color=INK, fontweight="bold")
    figure.supxlabel(note, x=0.01, ha="left", fontsize=8.5, color=QUIET)
    return figure


def save(figure: Figure | Axes, path: str | Path, colors: int | None = None) -> None:
    """Write a figure in the format of its extension, completely or not at all.

    The same figure always gives the same bytes, because the file contains no date.

    Parameters
    ----------
    figure : Figure or Axes
        A figure, or the axes of which one is written.
    path : str or Path
        Ends in ``.png``, ``.pdf`` or ``.svg``; without an extension the picture is a PNG.
    colors : int, optional
        The largest number of colours of a PNG, for a smaller file.

    Raises
    ------
    ValueError
        The extension is not one of these.
    OSError
        The folder does not exist, or cannot be written to.
    """
    whole: Any = figure.figure
    path = Path(path)
    if path.suffix:
        check_extension("path", path, PICTURES)
    kind = path.suffix.lower().removeprefix(".") or "png"
    # Axes of a fixed shape have their names inside the picture only after a second layout.
    whole.draw_without_rendering()

    def write(file: BinaryIO) -> None:
        if kind != "png":
            from matplotlib import rc_context  # noqa: PLC0415  an extra, imported on use

            with rc_context({"svg.hashsalt": "hopcore"}):
                whole.savefig(file, format=kind, metadata={UNDATED[kind]: None})
            return
        if colors is None:
            whole.savefig(file, format="png")
            return
        from PIL import Image  # noqa: PLC0415  comes with matplotlib

        drawn = BytesIO()
        whole.savefig(drawn, format="png")
        few = Image.open(drawn).convert("RGB").quantize(colors)
        few.save(file, format="png", optimize=True)

    write_whole(path, write)
