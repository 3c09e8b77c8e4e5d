"""The theory of equidistant patterns in two pictures: the reduced map, the phase diagram."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hopcore.phase import (
    centroid_beta,
    coexistence_beta,
    reduced_fixed_points,
    reduced_map,
    saddle_node_beta,
)
from hopcore.phase import cobweb as cobweb_path
from hopcore.plots.style import INK, LINES, QUIET, host, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def cobweb(
    ax: Axes,
    b: float,
    patterns: int,
    *,
    starts: Sequence[float] | None = None,
    steps: int = 50,
) -> Axes:
    """The reduced map of N equidistant patterns, its fixed points, and paths to them.

    Parameters
    ----------
    ax : Axes
        Drawn into.
    b : float
        Effective inverse temperature, positive.
    patterns : int
        N >= 2.
    starts : sequence of float, optional
        Overlaps at which paths start; one on each side of the barrier, where there is one, if not
        given.
    steps : int
        Updates of each path, >= 0.

    Returns
    -------
    Axes
        The same. Fixed points that attract are filled, those that repel hollow.

    Raises
    ------
    TypeError, ValueError
        As :func:`hopcore.cobweb`.

    Examples
    --------
    >>> from hopcore import plots
    >>> ax = plots.cobweb(plots.new_figure(3, 3).subplots(), 6.0, 10, starts=[0.2, 0.3])
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('overlap $s$', "next overlap $s'$")
    """
    points = reduced_fixed_points(b, patterns)
    overlaps = [0.12, 0.35, 1.0] if starts is None else host("starts", starts).reshape(-1)
    s = np.linspace(min(-0.05, *overlaps), 1.0, 401)
    ax.plot(s[[0, -1]], s[[0, -1]], color=QUIET, linewidth=0.8)
    ax.plot(s, reduced_map(s, b, patterns), color=INK, linewidth=1.6)
    for index, start in enumerate(overlaps):
        path = cobweb_path(float(start), b, patterns, steps=steps)
        ax.plot(*path.T, color=LINES[index % len(LINES)], linewidth=1.0)
    for overlap, slope in points:
        ax.plot(
            overlap, overlap, "o", markersize=7, color=INK,
            markerfacecolor=INK if slope < 1.0 else "white", zorder=4,
        )  # fmt: skip
    ax.set_xlabel("overlap $s$", fontsize=9)
    ax.set_ylabel("next overlap $s'$", fontsize=9)
    return quiet(ax)


def phase_diagram(
    ax: Axes,
    counts: Sequence[int] | None = None,
    *,
    measured: Mapping[str, Sequence[Any]] | None = None,
) -> Axes:
    """Where a memory holds the average, its patterns, or both, by its size and temperature.

    Parameters
    ----------
    ax : Axes
        Drawn into.
    counts : sequence of int, optional
        Numbers of patterns; the diagram reaches from the least to the most of them. From 2 to a
        million, and to what was measured, if not given.
    measured : mapping of str to tuple, optional
        For each name ``(N, b)``, or ``(N, b, low, high)`` with a range of b: the number of patterns
        and the effective inverse temperature (:func:`hopcore.effective_beta`), each a number or
        several.

    Returns
    -------
    Axes
        The same.

    Raises
    ------
    TypeError, ValueError
        Counts below 2, or all the same; measured points that are not positive and finite.

    Examples
    --------
    >>> from hopcore import plots
    >>> ax = plots.new_figure(5, 4).subplots()
    >>> ax = plots.phase_diagram(ax, measured={"ten points": (10, 4.56)})
    >>> ax.get_xscale(), ax.get_yscale()
    ('log', 'log')
    """
    points = {name: measured_points(name, value) for name, value in (measured or {}).items()}
    sizes = [points[name][0] for name in points]
    if counts is None:
        ends = 2.0, max(1e6, *(float(size.max()) for size in sizes)) if sizes else 1e6
    else:
        given = host("counts", counts).reshape(-1)
        if not len(given) or not (given.min() >= 2 and given.max() > given.min()):
            raise ValueError(f"counts must be from 2 on, two of them or more, got {counts}")
        ends = float(given.min()), float(given.max())
    n = np.geomspace(*ends, 400)
    names = "patterns appear", "same energy", "average is lost"
    for curve, label, color in zip(
        (saddle_node_beta, coexistence_beta, centroid_beta), names, LINES, strict=False
    ):
        ax.plot(n, curve(n), color=color, linewidth=1.6, label=label)
    for index, (name, (size, b, *bounds)) in enumerate(points.items()):
        color = LINES[(index + 3) % len(LINES)]
        ax.plot(size, b, "o", color=color, label=name)
        if bounds:
            ax.vlines(size, bounds[0], bounds[1], color=color)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(*ends)
    ax.set_ylim(1.0, 8.0 * coexistence_beta(int(ends[1])))
    ax.set_xlabel("number of patterns $N$", fontsize=9)
    ax.set_ylabel(r"effective inverse temperature $b = \beta\,\Delta^2/2$", fontsize=9)
    ax.legend(frameon=False, fontsize=8)
    return quiet(ax)


def measured_points(name: str, value: Sequence[Any]) -> list[np.ndarray]:
    """Sizes, temperatures and perhaps their ranges, all of one length."""
    parts = [host(f"measured[{name!r}]", part).reshape(-1) for part in value]
    if len(parts) not in (2, 4) or len({len(part) for part in parts}) != 1:
        raise ValueError(
            f"measured[{name!r}] must be (N, b) or (N, b, low, high) of one length, "
            f"got {len(parts)} of lengths {[len(part) for part in parts]}"
        )
    for part in parts:
        if not all(0.0 < x < math.inf for x in part):
            raise ValueError(f"measured[{name!r}] must be positive and finite, got {part}")
    return parts
