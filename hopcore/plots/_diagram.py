"""The minima of a memory of equidistant patterns, by its size and temperature."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.phase._theory import centroid_beta, coexistence_beta, saddle_node_beta
from hopcore.plots._style import INK, LINES, decades, legend_below, own_axes, quiet
from hopcore.plots._style_checks import host

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEASURED = (*LINES[2:], INK)
"""Colours of measurements; the first two colours are those of the theory."""


@suggest_names
def phase_diagram(
    counts: Sequence[int] | None = None,
    *,
    measured: Mapping[str, Sequence[Any]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw where the average, the patterns, or both are minima, by size and temperature.

    Parameters
    ----------
    counts : sequence of int, optional
        Numbers of patterns; the diagram reaches from the smallest to the largest. The default is
        from 2 to a million, extended to the measurements.
    measured : mapping of str to tuple, optional
        For each name ``(N, b)``, or ``(N, b, low, high)`` with a range of b: the number of patterns
        and the effective inverse temperature (:func:`hopcore.phase.effective_beta`), each a number
        or several numbers. Points of different names are drawn slightly apart.
    ax : Axes, optional
        The axes to draw into; those of a new figure, ``ax.figure``, if not given.

    Returns
    -------
    Axes
        The axes that were drawn into.

    Raises
    ------
    TypeError, ValueError
        Counts are below 2 or all equal, or measured points are not positive and finite.

    Examples
    --------
    >>> from hopcore import plots
    >>> ax = plots.new_figure(5, 4).subplots()
    >>> ax = plots.phase_diagram(measured={"ten points": (10, 4.56)}, ax=ax)
    >>> ax.get_xscale(), ax.get_yscale()
    ('log', 'log')
    """
    ax = own_axes(ax)
    points = {name: measured_points(name, value) for name, value in (measured or {}).items()}
    low, high = reach(counts, points)
    n = np.geomspace(low, high, 400)
    appear, same, lost = saddle_node_beta(n), coexistence_beta(n), centroid_beta(n)
    measured_b = np.concatenate([np.concatenate(part[1:]) for part in points.values()] or [same])
    floor = 0.5 * min(2.0, measured_b.min())
    top = max(8.0 * same[-1], 1.5 * measured_b.max())
    # Both tints lie where both states are minima.
    ax.fill_between(n, floor, np.minimum(lost, top), color=LINES[0], alpha=0.13, linewidth=0)
    ax.fill_between(n, appear, top, color=LINES[1], alpha=0.13, linewidth=0)
    ax.plot(n, lost, color=LINES[0], linewidth=1.8, label="average lost, $b=N$")
    ax.plot(n, same, color=INK, linewidth=1.2, linestyle="--", label="same energy")
    ax.plot(n, appear, color=LINES[1], linewidth=1.8, label="patterns appear")
    ax.set_xlim(low, high)
    ax.set_ylim(floor, top)
    for name, x, y in regions(low, high, floor, top):
        ax.text(x, y, name, ha="center", va="center", fontsize=9, color=INK, linespacing=1.3)
    draw_measured(ax, points)
    ax.set_xlabel("number of patterns $N$", fontsize=9)
    ax.set_ylabel(r"effective $\beta$:  $b = \beta\,\Delta^2/2$", fontsize=9)
    decades(decades(quiet(ax), "x"), "y").grid(visible=False)
    return legend_below(ax)


def reach(
    counts: Sequence[int] | None, points: Mapping[str, Sequence[np.ndarray]]
) -> tuple[float, float]:
    """Return the smallest and the largest number of patterns in the diagram."""
    if counts is None:
        return 2.0, max([1e6, *(2.0 * float(part[0].max()) for part in points.values())])
    limits = host("counts", counts).reshape(-1)
    if len(limits) < 2 or not 2.0 <= limits.min() < limits.max() < math.inf:
        raise ValueError(f"counts must be two or more different ones from 2 on, got {counts}")
    return float(limits.min()), float(limits.max())


def regions(low: float, high: float, floor: float, top: float) -> list[tuple[str, float, float]]:
    """Draw the names of the regions."""

    def across(part: float) -> float:
        return math.exp((1.0 - part) * math.log(low) + part * math.log(high))

    def between(start: float, end: float) -> float:
        return math.sqrt(start * end)

    right, end = across(0.68), min(high, top)
    corner = across(0.3 * math.log(end / low) / math.log(high / low))
    return [
        ("only the\naverage", right, between(floor, saddle_node_beta(np.asarray(right)))),
        (
            "average\nand patterns",
            right,
            between(coexistence_beta(np.asarray(right)), min(top, right)),
        ),
        ("only\npatterns", corner, corner**0.35 * top**0.65),
    ]


def draw_measured(ax: Axes, points: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Draw points and their ranges; those of the same size are drawn side by side."""
    low, high = ax.get_xlim()
    for index, (name, (size, b, *bounds)) in enumerate(points.items()):
        color, shift = MEASURED[index % len(MEASURED)], index - 0.5 * (len(points) - 1)
        place = size * (high / low) ** (0.012 * shift)
        if bounds:
            ax.vlines(place, bounds[0], bounds[1], color=color, linewidth=1.6, zorder=3)
        ax.plot(
            place, b, "o", color=color, markersize=6.0, markeredgecolor="white", zorder=4,
            linestyle="none", label=name,
        )  # fmt: skip


def measured_points(name: str, value: Any) -> list[np.ndarray]:
    """Return sizes, temperatures and optional ranges, all of the same length."""
    what = f"measured[{name!r}]"
    if not isinstance(value, tuple | list):
        raise TypeError(f"{what} must be (N, b) or (N, b, low, high), got {type(value).__name__}")
    parts = [host(what, part).reshape(-1) for part in value]
    if len(parts) not in (2, 4) or len({len(part) for part in parts}) != 1:
        raise ValueError(
            f"{what} must be (N, b) or (N, b, low, high) of one length, "
            f"got {len(parts)} of lengths {[len(part) for part in parts]}"
        )
    for part, least in zip(parts, (2.0, 0.0, 0.0, 0.0), strict=False):
        if not np.all((part >= least) & (part > 0.0) & (part < math.inf)):
            raise ValueError(f"{what} must have N >= 2 and a b that is positive, got {part}")
    return parts
