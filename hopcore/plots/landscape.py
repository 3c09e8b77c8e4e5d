"""The energy of a memory over a plane through its patterns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hopcore.association import update
from hopcore.energy import energy
from hopcore.phase import minima
from hopcore.plots.style import INK, LINES, QUIET, host

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FLAT = 1e-6
"""What is this near to a plane lies in it, in units of the largest distance from its origin."""


class Plane(NamedTuple):
    """An affine plane: an origin (d,), and two axes (2, d) of length 1 at right angles."""

    origin: np.ndarray
    axes: np.ndarray
    names: tuple[str, str]

    def onto(self, points: np.ndarray) -> np.ndarray:
        """Coordinates (..., 2) of points (..., d), seen at right angles."""
        return (points - self.origin) @ self.axes.T

    def within(self, points: np.ndarray) -> np.ndarray:
        """Which points (n, d) lie in the plane."""
        off = points - self.origin
        away = np.linalg.norm(off - self.onto(points) @ self.axes, axis=-1)
        return away <= FLAT * max(1e-300, float(np.linalg.norm(off, axis=-1).max()))


def energy_landscape(
    ax: Axes,
    stored: Any,
    beta: float,
    *,
    plane: Sequence[int] | None = None,
    queries: Any = None,
    others: bool = True,
    resolution: int = 160,
    steps: int = 200,
    levels: int = 16,
) -> Axes:
    r"""The energy over a plane, with the patterns, the minima, and how queries get there.

    Parameters
    ----------
    ax : Axes
        Drawn into.
    stored : array (N, d)
        N >= 2 patterns with d >= 2, of any library.
    beta : float
        Inverse temperature, positive.
    plane : sequence of three int, optional
        Through which patterns the plane goes. If not given: the plane itself for d = 2; the one
        through all patterns for N = 3; else the one of the first two principal axes.
    queries : array (L, d), optional
        State patterns whose way to a minimum is drawn, seen at right angles to the plane.
    others : bool
        Whether patterns beside the plane are shown, and the minima that are found from them. They
        count for the energy in any case.
    resolution : int
        Points along each side, >= 2.
    steps : int
        Updates of each query at most, >= 0.
    levels : int
        Steps of shade, >= 2. They are finer near the lowest energy.

    Returns
    -------
    Axes
        The same.

    Raises
    ------
    TypeError, ValueError
        Inputs that do not fit together; a plane that is not through three patterns, or through
        three on one line.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> from hopcore import plots
    >>> ax = plots.new_figure(4, 4).subplots()
    >>> ax = plots.energy_landscape(ax, np.eye(3), 4.0, queries=0.6 * np.eye(3), resolution=20)
    >>> ax.get_aspect()
    1.0
    """
    patterns = host("stored", stored)
    if patterns.ndim != 2 or min(patterns.shape) < 2:
        raise ValueError(
            f"stored must be (N, d) with N >= 2 patterns and d >= 2, got {patterns.shape}"
        )
    view = plane_of(patterns, plane)
    states = np.empty((0, patterns.shape[1])) if queries is None else host("queries", queries)
    if states.ndim != 2 or states.shape[1] != patterns.shape[1]:
        raise ValueError(
            f"queries must be (L, d) = (L, {patterns.shape[1]}) as the patterns, got {states.shape}"
        )
    inside = view.within(patterns)
    paths = walked(states, patterns, beta, steps)
    known = patterns if others or not inside.any() else patterns[inside]
    starts = np.concatenate([known, patterns.mean(axis=0, keepdims=True), states])
    found = minima(patterns, beta, starts=starts)
    places, ways = view.onto(known), view.onto(paths)
    low, high = framed(np.concatenate([places, ways.reshape(-1, 2)]))
    side = [np.linspace(a, b, resolution) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*side), axis=-1)
    level = energy(view.origin + grid.reshape(-1, 2) @ view.axes, patterns, beta)
    ax.contourf(*side, level.reshape(resolution, resolution), levels, cmap="Blues_r")
    for way in ways.transpose(1, 0, 2):
        ax.plot(*way.T, color=LINES[1], linewidth=1.2)
    ax.plot(*view.onto(patterns[inside]).T, "o", color=INK, markerfacecolor="none", markersize=9)
    if others:
        ax.plot(*view.onto(patterns[~inside]).T, ".", color=QUIET, markersize=3)
    ax.plot(*view.onto(found.state[found.stable]).T, "o", color=INK, markersize=3.5)
    ax.set_aspect("equal")
    ax.set_xlabel(view.names[0], fontsize=9)
    ax.set_ylabel(view.names[1], fontsize=9)
    return ax


def plane_of(patterns: np.ndarray, chosen: Sequence[int] | None) -> Plane:
    """The plane that is asked for, or the one that shows most."""
    count, depth = patterns.shape
    if chosen is None and depth == 2:
        return Plane(np.zeros(2), np.eye(2), ("$x_1$", "$x_2$"))
    if chosen is None and count != 3:
        mean = patterns.mean(axis=0)
        axes = np.linalg.svd(patterns - mean, full_matrices=True)[2][:2]
        return Plane(mean, axes, ("first principal axis", "second principal axis"))
    rows = np.arange(3) if chosen is None else np.asarray(chosen)
    if (
        rows.shape != (3,)
        or rows.dtype.kind not in "iu"
        or not np.all((rows >= 0) & (rows < count))
    ):
        raise ValueError(f"plane must be three patterns of 0 to {count - 1}, got {chosen}")
    corners = patterns[rows]
    middle = corners.mean(axis=0)
    _, lengths, axes = np.linalg.svd(corners - middle, full_matrices=False)
    if not lengths[1] > FLAT * lengths[0]:
        raise ValueError(f"the patterns {rows.tolist()} lie on one line; a plane needs another one")
    return Plane(middle, axes[:2], ("in the plane of three patterns", ""))


def walked(states: np.ndarray, patterns: np.ndarray, beta: float, steps: int) -> np.ndarray:
    """States after each of so many updates, (steps + 1, L, d)."""
    path = [states]
    for _ in range(steps if len(states) else 0):
        path.append(update(path[-1], patterns, beta))
    return np.stack(path)


def framed(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The corners of a square around points (n, 2), with a margin."""
    low, high = points.min(axis=0), points.max(axis=0)
    half = 0.62 * float((high - low).max())
    middle = 0.5 * (low + high)
    return middle - half, middle + half
