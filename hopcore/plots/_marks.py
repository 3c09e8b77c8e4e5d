"""Named temperatures as vertical marks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from hopcore.plots._style import HAIRLINE, INK, LETTER, QUIET, SMALL, width
from hopcore.plots._style_checks import host

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Side: TypeAlias = Literal["left", "center", "right"]


def temperatures(marks: Mapping[str, float] | None) -> dict[str, float]:
    """Return the marks, positive and finite, in ascending order.

    Raises
    ------
    TypeError, ValueError
        The marks are not a mapping of names to positive, finite numbers.
    """
    if marks is None:
        return {}
    if not isinstance(marks, Mapping):
        raise TypeError(
            f"marks must be a mapping of names to inverse temperatures, got {type(marks).__name__}"
        )
    betas = {}
    for name, value in marks.items():
        beta = host(f"marks[{name!r}]", value)
        if beta.ndim or not 0.0 < float(beta) < math.inf:
            raise ValueError(f"marks[{name!r}] must be one positive, finite number, got {value}")
        betas[name] = float(beta)
    return dict(sorted(betas.items(), key=lambda item: item[1]))


def mark(ax: Axes, betas: Mapping[str, float]) -> Axes:
    """Draw dashed lines across logarithmic axes, with their names above the frame.

    The names are ticks of an axis at the top, so that a title moves out of their way.
    """
    if not betas:
        return ax
    for beta in betas.values():
        ax.axvline(beta, color=QUIET, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1.5)
    low, high = (math.log(limit) for limit in ax.get_xlim())
    unit = width(ax) / (high - low)
    places = [(math.log(beta) - low) * unit for beta in betas.values()]
    rows = arranged(places, [LETTER * len(name) for name in betas])
    top = ax.secondary_xaxis("top")
    top.spines[:].set_visible(False)
    top.set_xticks(list(betas.values()), labels=[
        name + "\n" * row for name, (row, _) in zip(betas, rows, strict=True)
    ])  # fmt: skip
    top.minorticks_off()
    top.tick_params(labelsize=SMALL, labelcolor=INK, color=QUIET, length=3.0, pad=2.0)
    for label, (_, side) in zip(top.get_xticklabels(), rows, strict=True):
        label.set_horizontalalignment(side)
    for beta, (row, _) in zip(betas.values(), rows, strict=True):
        if row:
            ax.annotate(
                "", (beta, 1.0), xycoords=("data", "axes fraction"),
                xytext=(0.0, 5.0 + 1.2 * SMALL * row), textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": HAIRLINE, "linewidth": 0.8},
            )  # fmt: skip
    return ax


def arranged(places: Sequence[float], widths: Sequence[float]) -> list[tuple[int, Side]]:
    """Return the row and the alignment of names over their places, so that none overlap.

    If names would overlap, the last one begins at its place and the others end at their places,
    each in a row above the next one, so that no line to a name crosses another name.
    """
    crowds: list[list[int]] = []
    for index, (place, long) in enumerate(zip(places, widths, strict=True)):
        last = crowds[-1][-1] if crowds else index
        near = place - places[last] < 0.5 * (long + widths[last]) + SMALL
        if crowds and near:
            crowds[-1].append(index)
        else:
            crowds.append([index])
    rows: list[tuple[int, Side]] = [(0, "center")] * len(places)
    for crowd in crowds:
        if len(crowd) > 1:
            rows[crowd[0]], rows[crowd[-1]] = (0, "right"), (0, "left")
            for row, index in enumerate(crowd[1:-1], start=1):
                rows[index] = (row, "right")
    return rows
