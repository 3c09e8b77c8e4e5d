"""At which inverse temperatures the patterns of a memory appear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.phase._critical import CriticalBetas
from hopcore.plots._marks import mark, temperatures
from hopcore.plots._style import INK, LINES, QUIET, decades, own_axes, quiet
from hopcore.plots._style_checks import instance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUANTILES = 0.05, 0.5, 0.95
"""Shares whose temperatures are labelled on the curve."""


@suggest_names
def critical_distribution(
    critical: CriticalBetas, *, marks: Mapping[str, float] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the share of the patterns that are minima over the inverse temperature.

    Parameters
    ----------
    critical : CriticalBetas
        From :func:`hopcore.critical_betas`. Patterns that never appear keep the curve below 100 %.
    marks : mapping of str to float, optional
        Inverse temperatures with their names, drawn as vertical lines.
    ax : Axes, optional
        The axes to draw into; those of a new figure, ``ax.figure``, if not given.

    Returns
    -------
    Axes
        The axes that were drawn into.

    Raises
    ------
    TypeError, ValueError
        ``critical`` is not a result of :func:`hopcore.critical_betas`, no pattern ever appears, or
        marks are not positive and finite.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> from hopcore import plots
    >>> found = hopcore.critical_betas(np.random.default_rng(0).standard_normal((20, 8)))
    >>> ax = plots.new_figure(5, 3).subplots()
    >>> plots.critical_distribution(found, marks={"suggested": 1.5}, ax=ax).get_ylabel()
    'patterns with a minimum'
    """
    ax = own_axes(ax)
    from matplotlib.patheffects import withStroke  # noqa: PLC0415  an extra, imported on use

    instance("critical", critical, CriticalBetas, "critical_betas")
    named = temperatures(marks)
    count = len(critical.appear)
    appear = np.sort(critical.appear[np.isfinite(critical.appear)])
    if not len(appear):
        raise ValueError(f"none of the {count} patterns appears at any temperature")
    halo = withStroke(linewidth=2.5, foreground="white")
    share = np.arange(1, len(appear) + 1) / count
    low, high = (end([appear[0], appear[-1], *named.values()]) for end in (min, max))
    low, high = low / (high / low) ** 0.04 / 1.1, high * (high / low) ** 0.04 * 1.1
    ax.step(
        [low, *appear, high], [0.0, *share, share[-1]], where="post", color=LINES[0], linewidth=1.8
    )
    for part in QUANTILES:
        place = int(np.ceil(part * count)) - 1
        if place < len(appear):
            beta = appear[place]
            ax.plot(beta, part, "o", color=LINES[0], markersize=4.5)
            first = part < 0.1
            ax.annotate(
                f"{beta:.3g}", (beta, part), xytext=(-6.0, 3.0) if first else (6.0, -3.0),
                textcoords="offset points", ha="right" if first else "left",
                va="bottom" if first else "top", fontsize=8, color=INK,
                path_effects=[halo], zorder=4,
            )  # fmt: skip
    if len(appear) < count:
        ax.annotate(
            f"{1.0 - share[-1]:.1%} never appear", (1.0, share[-1]),
            xycoords=("axes fraction", "data"), xytext=(-2.0, 3.0), textcoords="offset points",
            ha="right", va="bottom", fontsize=8, color=QUIET,
            path_effects=[halo], zorder=4,
        )  # fmt: skip
    ax.set_xscale("log")
    if ax.get_autoscalex_on():
        ax.set_xlim(low, high)
    ax.set_ylim(0.0, 1.08)
    ax.set_yticks(np.linspace(0.0, 1.0, 5))
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.set_xlabel(r"inverse temperature $\beta$", fontsize=9)
    ax.set_ylabel("patterns with a minimum", fontsize=9)
    return decades(mark(quiet(ax), named), "x")
