"""The results of a sweep of inverse temperatures, on heating and on cooling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._scalar_checks import short_repr
from hopcore.phase._critical import CriticalBetas
from hopcore.phase._sweep import Sweep
from hopcore.plots._marks import mark, temperatures
from hopcore.plots._style import LINES, QUIET, decades, legend_below, own_axes, quiet
from hopcore.plots._style_checks import instance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Count = Literal["minima", "retrieved"]

HEATED, COOLED = LINES[1], LINES[0]


@suggest_names
def minima_over_beta(
    sweep: Sweep,
    *,
    critical: CriticalBetas | None = None,
    marks: Mapping[str, float] | None = None,
    count: Count = "minima",
    ax: Axes | None = None,
) -> Axes:
    """Draw the number of minima of a memory on heating and on cooling.

    Parameters
    ----------
    sweep : Sweep
        From :func:`hopcore.phase.sweep`.
    critical : CriticalBetas, optional
        From :func:`hopcore.critical_betas`; a bar on the axis reaches from the beta at which 5 % of
        the patterns appear to that of 95 %, with a point at 50 %.
    marks : mapping of str to float, optional
        Inverse temperatures with their names, drawn as vertical lines.
    count : {"minima", "retrieved"}
        The number of distinct states, on a logarithmic axis, or the share of the patterns that are
        retrieved.
    ax : Axes, optional
        The axes to draw into; those of a new figure, ``ax.figure``, if not given.

    Returns
    -------
    Axes
        The axes that were drawn into.

    Raises
    ------
    TypeError, ValueError
        ``sweep`` is not a sweep, marks are not positive and finite, or the count is unknown.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> from hopcore import plots
    >>> found = hopcore.phase.sweep(np.eye(10), np.geomspace(3.0, 15.0, 12))
    >>> ax = plots.new_figure(5, 3).subplots()
    >>> marks = {"saddle-node": hopcore.phase.saddle_node_beta(10)}
    >>> ax = plots.minima_over_beta(found, marks=marks, ax=ax)
    >>> [line.get_label() for line in ax.lines[:2]]
    ['← heated, from the patterns', 'cooled, from the average →']
    """
    ax = own_axes(ax)
    instance("sweep", sweep, Sweep, "sweep")
    if critical is not None:
        instance("critical", critical, CriticalBetas, "critical_betas")
    named = temperatures(marks)
    if count not in get_args(Count):
        raise ValueError(
            f"count must be one of {', '.join(get_args(Count))}, got {short_repr(count)}"
        )
    both(ax, sweep, count)
    if critical is not None:
        appearing(ax, critical, sweep.betas)
    if count == "minima":
        ax.set_ylabel("number of minima", fontsize=9)
        decades(ax, "y")
    else:
        ax.yaxis.set_major_formatter("{x:.0%}")
        ax.set_ylabel("patterns retrieved", fontsize=9)
    return finished(ax, named)


@suggest_names
def sharpness_over_beta(
    sweep: Sweep, *, marks: Mapping[str, float] | None = None, ax: Axes | None = None
) -> Axes:
    r"""Draw the mean curvature of the minima of a memory on heating and on cooling.

    The curvature is 1 for a minimum that is a single pattern, and 0 for a state that loses its
    stability in all directions at once.

    Parameters
    ----------
    sweep, marks, ax
        As in :func:`minima_over_beta`.

    Returns
    -------
    Axes
        The axes that were drawn into.

    Raises
    ------
    TypeError, ValueError
        As in :func:`minima_over_beta`.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> from hopcore import plots
    >>> found = hopcore.phase.sweep(np.eye(10), np.geomspace(3.0, 15.0, 12))
    >>> plots.sharpness_over_beta(found, ax=plots.new_figure(5, 3).subplots()).get_xscale()
    'log'
    """
    ax = own_axes(ax)
    instance("sweep", sweep, Sweep, "sweep")
    named = temperatures(marks)
    both(ax, sweep, "sharpness")
    ax.set_ylabel(r"mean sharpness $\kappa$", fontsize=9)
    return finished(ax, named)


def both(ax: Axes, sweep: Sweep, field: str) -> None:
    """Draw a field of both branches over beta, and the hysteresis between them."""
    heated, cooled = (getattr(branch, field) for branch in (sweep.heated, sweep.cooled))
    ax.fill_between(sweep.betas, heated, cooled, color=QUIET, alpha=0.13, linewidth=0)
    # The arrows of the names point where time goes. Where the lines are one, both are seen.
    ax.plot(sweep.betas, heated, color=HEATED, linewidth=3.2, label="← heated, from the patterns")
    ax.plot(sweep.betas, cooled, color=COOLED, linewidth=1.4, label="cooled, from the average →")


def appearing(ax: Axes, critical: CriticalBetas, betas: np.ndarray) -> None:
    """Draw a bar on the axis where the middle 90 % of the patterns appear, within the sweep."""
    low, middle, high = np.clip(
        np.quantile(critical.appear, (0.05, 0.5, 0.95), method="lower"), betas[0], betas[-1]
    )
    style = {"transform": ax.get_xaxis_transform(), "color": LINES[2], "clip_on": False}
    ax.plot(
        [low, high], [0.0, 0.0], linewidth=4.0, solid_capstyle="butt", zorder=5,
        label="5, 50, 95 % appear", **style,
    )  # fmt: skip
    ax.plot(middle, 0.0, "o", markersize=6.0, markeredgecolor="white", zorder=6, **style)


def finished(ax: Axes, marks: Mapping[str, float]) -> Axes:
    """Draw the axis of temperatures, the marks and the legend."""
    ax.set_xscale("log")
    ax.set_xlabel(r"inverse temperature $\beta$", fontsize=9)
    mark(quiet(ax), marks)
    return legend_below(decades(ax, "x"))
