"""The reduced map of equidistant patterns, and paths to its fixed points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.phase._reduced_map import cobweb as cobweb_path
from hopcore.phase._reduced_map import reduced_fixed_points, reduced_map
from hopcore.plots._style import INK, LINES, QUIET, legend_below, own_axes, quiet
from hopcore.plots._style_checks import host

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDES = {
    "others": ((-1.0, -9.0), "center", "top"),
    "average": ((9.0, -4.0), "left", "top"),
    "barrier": ((9.0, -4.0), "left", "top"),
    "pattern": ((-6.0, 6.0), "right", "bottom"),
}
"""Where the names of fixed points stand, so that two that are near do not cover each other."""


@suggest_names
def cobweb(
    b: float,
    patterns: int,
    *,
    starts: Sequence[float] | None = None,
    steps: int = 50,
    ax: Axes | None = None,
) -> Axes:
    """Draw the reduced map of N equidistant patterns, its fixed points, and paths to them.

    Parameters
    ----------
    b : float
        Effective inverse temperature, positive.
    patterns : int
        N >= 2.
    starts : sequence of float, optional
        Overlaps at which paths start. The default is one on each side of the barrier, or, without a
        barrier, one far from the fixed point.
    steps : int
        The number of updates of each path, >= 0.
    ax : Axes, optional
        The axes to draw into; those of a new figure, ``ax.figure``, if not given.

    Returns
    -------
    Axes
        The axes that were drawn into. Attracting fixed points are filled, repelling ones hollow.

    Raises
    ------
    TypeError, ValueError
        As :func:`hopcore.phase.cobweb`.

    Examples
    --------
    >>> from hopcore import plots
    >>> ax = plots.cobweb(6.0, 10, starts=[0.2, 0.3], ax=plots.new_figure(3, 3).subplots())
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('overlap $s$', 'next overlap $f(s)$')
    """
    ax = own_axes(ax)
    points = reduced_fixed_points(b, patterns)
    places = [point.overlap for point in points]
    overlaps = beginnings(places) if starts is None else host("starts", starts).reshape(-1)
    s = np.linspace(min(-0.1, *(1.1 * x for x in places), *overlaps), max(1.0, *overlaps), 401)
    ax.plot(s[[0, -1]], s[[0, -1]], color=QUIET, linewidth=0.8)
    ax.plot(s, reduced_map(s, b, patterns), color=INK, linewidth=1.8)
    for index, start in enumerate(overlaps):
        path = cobweb_path(float(start), b, patterns, steps=steps)
        color = LINES[index % len(LINES)]
        ax.plot(*path.T, color=color, linewidth=1.1, zorder=3)
        ax.plot(*path[0], "o", color=color, markersize=4.0, zorder=3)
    for kind, color in (("attracts", INK), ("repels", "white")):
        of_kind = [at for at, slope in points if (slope < 1.0) == (kind == "attracts")]
        ax.plot(
            of_kind, of_kind, "o", markersize=7.0, color=INK, markerfacecolor=color, zorder=4,
            linestyle="none", label=kind,
        )  # fmt: skip
    for place, name in zip(places, names_of(places), strict=True):
        offset, across, along = SIDES[name]
        ax.annotate(
            name, (place, place), xytext=offset, textcoords="offset points", ha=across, va=along,
            fontsize=8, color=INK,
        )  # fmt: skip
    ax.text(
        0.03, 0.97, f"$b = {b:g}$,  $N = {patterns}$", transform=ax.transAxes, va="top",
        fontsize=9, color=INK, bbox={"facecolor": "white", "edgecolor": "none", "pad": 2.0},
    )  # fmt: skip
    ax.margins(0.05, 0.1)  # room for the pattern's name
    ax.set_aspect("equal")
    ax.set_xlabel("overlap $s$", fontsize=9)
    ax.set_ylabel("next overlap $f(s)$", fontsize=9)
    return legend_below(quiet(ax))


def beginnings(places: Sequence[float]) -> list[float]:
    """Return starts of paths that show which fixed point attracts what."""
    barrier = [place for place in places if 0.0 < place < max(places)]
    if barrier:
        return [0.82 * barrier[0], 1.18 * barrier[0]]
    return [0.04] if max(places) > 0.0 else [1.0]


def names_of(places: Sequence[float]) -> list[str]:
    """Return the names of the fixed points."""
    return [
        "others" if place < 0.0 else "average" if place == 0.0
        else "pattern" if place == max(places) else "barrier"
        for place in places
    ]  # fmt: skip
