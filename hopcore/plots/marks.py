"""Temperatures that have a name, as vertical marks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hopcore.plots.style import QUIET, host

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def temperatures(name: str, marks: Mapping[str, float] | None) -> dict[str, float]:
    """Marks that are positive and finite, from the lowest up.

    Raises
    ------
    TypeError, ValueError
        No mapping of names to positive, finite numbers.
    """
    if marks is None:
        return {}
    if not isinstance(marks, Mapping):
        raise TypeError(
            f"{name} must be a mapping of names to inverse temperatures, got {type(marks).__name__}"
        )
    found = {}
    for label, value in marks.items():
        beta = host(f"{name}[{label!r}]", value)
        if beta.ndim or not 0.0 < float(beta) < math.inf:
            raise ValueError(f"{name}[{label!r}] must be positive and finite, got {value}")
        found[label] = float(beta)
    return dict(sorted(found.items(), key=lambda item: item[1]))


def mark(ax: Axes, marks: Mapping[str, float] | None) -> Axes:
    """Dashed lines across the axes with their names beside them; the axes' limits are final.

    Names stand at the end of the line at which a curve that rises leaves room. One that would
    cover its neighbour goes to the other side of its line, or further along it.
    """
    from matplotlib.patheffects import withStroke  # noqa: PLC0415  an extra, imported on use

    found = temperatures("marks", marks)
    low, high = (math.log(limit) for limit in ax.get_xlim())
    box = ax.get_window_extent()
    letter = 8.0 * ax.figure.dpi / 72.0
    taken: list[tuple[float, float, float]] = []
    for label, beta in found.items():
        place = (math.log(beta) - low) / (high - low)
        ax.axvline(beta, color=QUIET, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1.5)
        width, length = 1.5 * letter / box.width, (0.55 * len(label) + 1.0) * letter / box.height
        sides = (-0.5 * width, 0.5 * width)
        shift, start = free(place, sides, length, taken)
        taken.append((place + shift, start, start + length))
        rising = place + shift > 0.5
        ax.text(
            place + shift, start + 0.02 if rising else 0.98 - start, label,
            transform=ax.transAxes, rotation=90, ha="center", va="bottom" if rising else "top",
            fontsize=8, color=QUIET, path_effects=[withStroke(linewidth=2.5, foreground="white")],
            zorder=4,
        )  # fmt: skip
    return ax


def free(
    place: float, sides: tuple[float, float], length: float, taken: list[tuple[float, float, float]]
) -> tuple[float, float]:
    """On which side of its line a name finds room, and how far from the end."""
    width = sides[1] - sides[0]
    start = 0.0
    while True:
        for side in sides:
            near = [one for one in taken if abs(one[0] - place - side) < width]
            if all(start >= end or start + length <= begin for _, begin, end in near):
                return side, start
        start += 0.05
