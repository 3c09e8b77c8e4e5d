"""At which inverse temperatures the patterns of a memory appear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from hopcore.phase import CriticalBetas
from hopcore.plots.marks import mark
from hopcore.plots.style import LINES, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def critical_distribution(
    ax: Axes, critical: CriticalBetas, *, marks: Mapping[str, float] | None = None
) -> Axes:
    """Which share of the patterns has a minimum of its own, over the inverse temperature.

    Parameters
    ----------
    ax : Axes
        Drawn into.
    critical : CriticalBetas
        From :func:`hopcore.critical_betas`. Patterns that never appear keep the curve below 100 %.
    marks : mapping of str to float, optional
        Inverse temperatures with their names, drawn as vertical lines.

    Returns
    -------
    Axes
        The same.

    Raises
    ------
    TypeError, ValueError
        Not what :func:`hopcore.critical_betas` found; no pattern that ever appears; marks that are
        not positive and finite.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> from hopcore import plots
    >>> found = hopcore.critical_betas(np.random.default_rng(0).standard_normal((20, 8)))
    >>> ax = plots.new_figure(5, 3).subplots()
    >>> plots.critical_distribution(ax, found, marks={"suggested": 1.5}).get_ylabel()
    'share of patterns'
    """
    if not isinstance(critical, CriticalBetas):
        raise TypeError(
            "critical_distribution draws what hopcore.critical_betas found, "
            f"got {type(critical).__name__}"
        )
    appear = np.sort(critical.appear[np.isfinite(critical.appear)])
    if not len(appear):
        raise ValueError(f"none of the {len(critical.appear)} patterns appears at any temperature")
    share = np.arange(1, len(appear) + 1) / len(critical.appear)
    ax.step(appear, share, where="post", color=LINES[0], linewidth=1.6, label="have appeared")
    ax.set_xscale("log")
    ax.set_ylim(0.0, 1.03)
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.set_xlabel(r"inverse temperature $\beta$", fontsize=9)
    ax.set_ylabel("share of patterns", fontsize=9)
    return mark(quiet(ax), marks)
