"""Lines over numbers, and over places with names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.plots._style import INK, LINES, decades, own_axes, quiet
from hopcore.plots._style_checks import by_name, host

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Curve(NamedTuple):
    """Means and deviations at places on an axis.

    Two sequences of deviations are the lengths of the bars below and above.
    """

    places: Sequence[int]
    means: Sequence[float]
    deviations: Sequence[float] | Sequence[Sequence[float]]


@suggest_names
def curves(
    named: Mapping[str, Curve], ticks: Sequence[str], *, joined: bool = True, ax: Axes | None = None
) -> Axes:
    """Draw curves with bars over named places; the first curve, the reference, is dashed.

    Parameters
    ----------
    named : mapping of str to Curve
    ticks : sequence of str
        The names of the places 0, 1, ...
    joined : bool
        Whether the places are ordered, so that lines join them, a little apart so that equal ones
        can be seen. Otherwise points are drawn side by side, and the first curve is a dash across
        each place.
    ax : Axes, optional
        The axes to draw into; those of a new figure, ``ax.figure``, if not given.

    Returns
    -------
    Axes
        The axes that were drawn into.
    """
    ax = own_axes(ax)
    middle = 0.5 * len(named)
    for index, (name, curve) in enumerate(named.items()):
        first = index == 0
        shift = 0.0 if first else (0.03 if joined else 0.16) * (index - middle)
        line, marker = ("--" if first else "-"), (None if first else "o")
        if not joined:
            line, marker = "none", ("_" if first else "o")
        ax.errorbar(
            [place + shift for place in curve.places],
            curve.means,
            yerr=curve.deviations,
            label=name,
            color=INK if first else LINES[(index - 1) % len(LINES)],
            linestyle=line,
            linewidth=1.3,
            elinewidth=0.8,
            marker=marker,
            markersize=22.0 if first else 3.0,
            alpha=0.85,
            zorder=2 if first else 3,
        )
    long = max(map(len, ticks)) > 5
    ax.set_xticks(range(len(ticks)), labels=list(ticks), rotation=30 if long else 0)
    return quiet(ax)


@suggest_names
def over(
    places: Any,
    named: Mapping[str, Any] | Any,
    *,
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw lines over numbers, with a legend if there are several.

    Parameters
    ----------
    places : array (n,)
        Numbers of any library, or a list.
    named : array (n,), or mapping of str to array (n,)
        A value for each place, of one line or of several with their names.
    log : bool
    ax : Axes, optional
        The axes to draw into; those of a new figure, ``ax.figure``, if not given.

    Returns
    -------
    Axes
        The axes that were drawn into.
    """
    ax = own_axes(ax)
    numbers, several = host("places", places), by_name(named)
    for index, (name, values) in enumerate(several.items()):
        line = host(f"named {name}".strip(), values)
        if numbers.ndim != 1 or line.shape != numbers.shape:
            raise ValueError(
                f"named {name} must have a value for each of the places {numbers.shape}, "
                f"got {line.shape}".replace("  ", " ")
            )
        ax.plot(numbers, line, label=name, color=LINES[index % len(LINES)], linewidth=1.4)
    if len(several) > 1:
        ax.legend(frameon=False, fontsize=8)
    return decades(quiet(ax), "y") if log else quiet(ax)


@suggest_names
def temperature_history(
    steps: Any,
    temperatures: Mapping[str, Any] | Any,
    *,
    name: str = "epoch",
    colors: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw temperatures over the steps of a training, on a logarithmic axis.

    Parameters
    ----------
    steps : array (n,)
        Epochs or steps.
    temperatures : array (n,), or mapping of str to array (n,)
        One temperature for every step, or several with their names, which a legend shows; nan for a
        step without a temperature.
    name : str
        The name of the horizontal axis, for example step or epoch.
    colors : mapping of str to str, optional
        The colours of some of the lines.
    ax : Axes, optional
        The axes to draw into; those of a new figure, ``ax.figure``, if not given.

    Returns
    -------
    Axes
        The axes that were drawn into.

    Raises
    ------
    TypeError, ValueError
        The values are not numbers, there are not as many temperatures as steps, or one is not
        positive.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> from hopcore import plots
    >>> schedule, steps = hopcore.Cosine(1.0, 0.01, steps=100), np.arange(120)
    >>> ax = plots.new_figure(4, 2).subplots()
    >>> ax = plots.temperature_history(steps, schedule(steps), name="step", ax=ax)
    >>> ax.get_yscale(), ax.get_ylabel()
    ('log', 'temperature')
    """
    ax = own_axes(ax)
    places = host("steps", steps)
    named = by_name(temperatures)
    for index, (label, values) in enumerate(named.items()):
        history = host(f"temperatures {label}".strip(), values)
        if places.ndim != 1 or history.shape != places.shape:
            raise ValueError(
                f"temperatures {label} must be one for each of the steps {places.shape}, "
                f"got {history.shape}".replace("  ", " ")
            )
        if np.any(history <= 0):
            raise ValueError(f"temperatures must be positive, got {np.nanmin(history):g}")
        color = (colors or {}).get(label, LINES[index % len(LINES)])
        ax.plot(places, history, label=label, color=color, linewidth=1.4)
    ax.set_xlabel(name, fontsize=9)
    ax.set_ylabel("temperature", fontsize=9)
    if len(named) > 1:
        ax.legend(frameon=False, fontsize=8)
    return decades(quiet(ax), "y")
