"""Statistics of the heads of a model over the steps of its training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hopcore.arrays._arguments import suggest_names
from hopcore.plots._lines import over
from hopcore.plots._style import own_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABELS = {
    "entropy": "entropy (nats)",
    "effective": "effective number of patterns",
    "largest": "largest weight",
    "log_sum_exp": "log-sum-exp of the scores",
    "energy": "energy",
    "used": "patterns in use",
}
"""What can be drawn, and the labels of the axes."""


@suggest_names
def statistics(
    records: Iterable[Any],
    name: str = "effective",
    *,
    layer: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a statistic of each head over the steps of a training.

    Parameters
    ----------
    records : iterable of AttentionRecord
        Those of :class:`hopcore.training.AttentionRecords`, or of a monitor.
    name : str
        ``"effective"``, ``"entropy"``, ``"largest"``, ``"log_sum_exp"``, ``"energy"`` or
        ``"used"``.
    layer : str, optional
        Only the heads of this layer.
    ax : Axes, optional
        The axes to draw into; those of a new figure, ``ax.figure``, if not given.

    Returns
    -------
    Axes
        The axes that were drawn into.

    Raises
    ------
    ValueError
        An unknown statistic, or no record of the layer.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> from hopcore.training import AttentionRecords
    >>> collected = AttentionRecords()
    >>> for step in range(5):
    ...     found = hopcore.statistics(np.ones((1, 3, 2)), np.eye(2)[None], 1.0 + step)
    ...     collected.add(step, "first", found)
    >>> hopcore.plots.statistics(collected.records, "entropy").get_ylabel()
    'entropy (nats)'
    """
    if name not in LABELS:
        raise ValueError(f"name must be one of {', '.join(map(repr, LABELS))}, got {name!r}")
    rows = [row for row in records if layer in (None, row.layer)]
    if not rows:
        raise ValueError("there are no records" + (f" of layer {layer!r}" if layer else ""))
    steps = sorted({row.step for row in rows})
    several = len({row.layer for row in rows}) > 1
    lines: dict[str, dict[int, float]] = {}
    for row in rows:
        head = f"{row.layer}, head {row.head}" if several else f"head {row.head}"
        lines.setdefault(head, {})[row.step] = getattr(row, name)
    axes = own_axes(ax)
    missing = float("nan")
    named = {head: [line.get(x, missing) for x in steps] for head, line in lines.items()}
    over(steps, named, log=name in ("effective", "used"), ax=axes)
    axes.set_xlabel("step")
    axes.set_ylabel(LABELS[name])
    return axes
