"""Images of patterns in rows, and maps of association weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.plots._style import FAILED, HAIRLINE, INK, QUIET, own_axes, scale
from hopcore.plots._style_checks import by_name, host

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@suggest_names
def gallery(
    rows: Mapping[str, Any] | Any,
    *,
    failed: Mapping[str, Any] | None = None,
    limits: tuple[float, float] = (-1.0, 1.0),
    ax: Axes | None = None,
) -> Axes:
    """Draw images in labelled rows, with one column for each pattern.

    Parameters
    ----------
    rows : array (n, height, width), or mapping of str to array (n, height, width)
        Images of any library; or, from top to bottom, a label and its images, all of one shape.
    failed : mapping of str to boolean array (n,), optional
        For some labels, the images that get a frame.
    limits : tuple of float
        The values that are drawn as paper and as full ink; values beyond are clipped.
    ax : Axes, optional
        The axes to draw into; those of a new figure, ``ax.figure``, if not given.

    Returns
    -------
    Axes
        The axes that were drawn into.

    Raises
    ------
    ValueError
        There are no rows, or images have different shapes.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore import plots
    >>> figure = plots.new_figure(4.0, 2.0)
    >>> ax = plots.gallery({"stored": np.ones((3, 4, 4))}, ax=figure.subplots())
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['stored']
    """
    ax = own_axes(ax)
    rows = {label: host(f"rows {label}".strip(), each) for label, each in by_name(rows).items()}
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
    """Draw a hairline around an image, or a red frame if its retrieval failed."""
    from matplotlib.patches import Rectangle  # noqa: PLC0415  an extra, imported on use

    color, line = (FAILED, 1.6) if bad else (HAIRLINE, 0.5)
    corner = (column - 0.5, row - 0.5)
    box = Rectangle(
        corner, width, height, fill=False, clip_on=False, edgecolor=color, linewidth=line
    )
    ax.add_patch(box)


@suggest_names
def attention_map(
    weights: Any, *, limits: tuple[float, float] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw association weights as shades, with a row for each query.

    Parameters
    ----------
    weights : array (L, S), (H, L, S) or (layers, H, L, S)
        Weights of any library, for example from :func:`hopcore.association_weights`: a map of L
        queries and S stored patterns. The maps of heads are drawn side by side, and those of layers
        below each other.
    limits : tuple of float, optional
        The weights that are drawn as paper and as full ink; the default is 0 and the largest
        weight.
    ax : Axes, optional
        The axes to draw into; those of a new figure, ``ax.figure``, if not given.

    Returns
    -------
    Axes
        The axes that were drawn into.

    Raises
    ------
    TypeError, ValueError
        The weights are not numbers, or have another shape or an empty one.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> from hopcore import plots
    >>> weights = hopcore.association_weights(np.eye(3), np.eye(3), 4.0)
    >>> ax = plots.attention_map(weights, ax=plots.new_figure(3, 3).subplots())
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('stored pattern', 'state pattern')
    """
    ax = own_axes(ax)
    shades = host("weights", weights)
    if shades.ndim not in (2, 3, 4) or not shades.size:
        raise ValueError(
            "weights must be (L, S), (heads, L, S) or (layers, heads, L, S), "
            f"none of them 0, got {shades.shape}"
        )
    if not np.isfinite(shades).all():
        raise ValueError(f"weights must be finite, {np.sum(~np.isfinite(shades))} are nan or inf")
    low, high = limits or (0.0, float(shades.max()))
    if shades.ndim > 2:
        layers = shades.reshape(-1, *shades.shape[-3:])
        names = [f"layer {place + 1}" if shades.ndim == 4 else "" for place in range(len(layers))]
        gallery(dict(zip(names, layers, strict=True)), limits=(low, high), ax=ax)
        if shades.shape[-3] > 1:
            ax.set_xlabel(f"heads 1 to {shades.shape[-3]}", fontsize=8, color=QUIET)
        return ax
    drawn = ax.imshow(
        shades, cmap="gray_r", vmin=low, vmax=high, interpolation="nearest", aspect="auto"
    )
    ax.tick_params(labelsize=8, labelcolor=INK, color=HAIRLINE)
    ax.locator_params(integer=True)
    ax.spines[:].set_color(HAIRLINE)
    ax.set_xlabel("stored pattern", fontsize=9)
    ax.set_ylabel("state pattern", fontsize=9)
    scale(ax, drawn, "weight")
    return ax
