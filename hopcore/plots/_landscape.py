"""The energy of a memory over a plane through its patterns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._scalar_checks import check_integer, check_positive
from hopcore.memory._association import update
from hopcore.memory._energy import energy
from hopcore.memory._scores import Similarity
from hopcore.phase._fixed_points import minima
from hopcore.plots._style import HAIRLINE, INK, LINES, QUIET, legend_below, own_axes, scale
from hopcore.plots._style_checks import host

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FLAT = 1e-6
"""Points this near to a plane lie in it, in units of the largest distance from its origin."""

STARTS = 256
"""The largest number of patterns from which minima are searched."""

WAY = LINES[4]
DEPTH = "#5f97cf", "#a9c8e6", "#dbe8f4", "#f7fafd"
"""The shades from the lowest energy up; lines are visible on all of them."""


class Plane(NamedTuple):
    """An affine plane: an origin (d,), and two orthonormal axes (2, d)."""

    origin: np.ndarray
    axes: np.ndarray
    names: tuple[str, str]

    def onto(self, points: np.ndarray) -> np.ndarray:
        """Return the coordinates (..., 2) of points (..., d), projected onto the plane."""
        return (points - self.origin) @ self.axes.T

    def within(self, points: np.ndarray) -> np.ndarray:
        """Return which points (n, d) lie in the plane."""
        off = points - self.origin
        away = np.linalg.norm(off - self.onto(points) @ self.axes, axis=-1)
        return away <= FLAT * max(1e-300, float(np.linalg.norm(off, axis=-1).max()))


@suggest_names
def energy_landscape(
    stored: Any,
    beta: float,
    *,
    plane: Sequence[int] | None = None,
    queries: Any = None,
    others: bool = True,
    similarity: Similarity = "dot",
    resolution: int = 160,
    steps: int = 200,
    levels: int = 16,
    ax: Axes | None = None,
) -> Axes:
    r"""Draw the energy over a plane, with the patterns, the minima, and the paths of queries.

    Parameters
    ----------
    stored : array (N, d)
        N >= 2 patterns with d >= 2, of any library.
    beta : float
        Inverse temperature, positive.
    plane : sequence of three int, optional
        The patterns through which the plane goes. The default is the plane of the first two
        principal axes, which goes through all patterns for N = 3; for d = 2, it is the whole space.
    queries : array (L, d), optional
        States whose path to a minimum is drawn, projected onto the plane.
    others : bool
        Whether to show patterns outside the plane, and the minima that are found from them. They
        always contribute to the energy.
    similarity : {"dot", "distance"}
        How states are compared with patterns, as in :func:`hopcore.energy`.
    resolution : int
        The number of points along each side, >= 2.
    steps : int
        The largest number of updates of each query, >= 0.
    levels : int
        The number of shades, >= 2. They are finer near the lowest energy.
    ax : Axes, optional
        The axes to draw into; those of a new figure, ``ax.figure``, if not given.

    Returns
    -------
    Axes
        The axes that were drawn into.

    Raises
    ------
    TypeError, ValueError
        Inputs do not fit together or are not finite; the patterns are not valid, as in
        :func:`hopcore.phase.minima`; or the plane is not given by three patterns that are not on
        one line.

    Warns
    -----
    HypothesisWarning
        As :func:`hopcore.phase.minima`.

    Notes
    -----
    Queries stay in the plane only if all patterns lie in it. Otherwise their paths and the minima
    are projected onto the plane, and the shades show the energy in the plane below them.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> from hopcore import plots
    >>> ax = plots.new_figure(4, 4).subplots()
    >>> ax = plots.energy_landscape(np.eye(3), 4.0, queries=0.6 * np.eye(3), resolution=20, ax=ax)
    >>> ax.get_aspect()
    1.0
    """
    ax = own_axes(ax)
    check_positive("beta", beta)
    for name, value, least in (
        ("resolution", resolution, 2),
        ("steps", steps, 0),
        ("levels", levels, 2),
    ):
        check_integer(name, value, least)
    patterns = host("stored", stored)
    if patterns.ndim != 2 or min(patterns.shape) < 2:
        raise ValueError(
            f"stored must be (N, d) with N >= 2 patterns and d >= 2, got {patterns.shape}"
        )
    states = np.empty((0, patterns.shape[1])) if queries is None else host("queries", queries)
    if states.ndim != 2 or states.shape[1] != patterns.shape[1]:
        raise ValueError(
            f"queries must be (L, d) = (L, {patterns.shape[1]}) as the patterns, got {states.shape}"
        )
    for name, rows in (("stored", patterns), ("queries", states)):
        if not np.isfinite(rows).all():
            raise ValueError(f"{name} must be finite, got nan or inf in {name}[{broken(rows)}]")
    view = plane_of(patterns, plane)
    inside = view.within(patterns)
    shown = inside if inside.any() and not others else np.ones(len(patterns), bool)
    begin = starts(patterns, inside, shown, states)
    fixed_points = minima(patterns, beta, starts=begin, similarity=similarity)
    paths = walked(states, patterns, beta, steps, similarity)
    places, ways = view.onto(patterns), view.onto(paths)
    side = framed(np.concatenate([places[shown], ways.reshape(-1, 2)]), resolution)
    level = heights(view, np.stack(np.meshgrid(*side), axis=-1), patterns, beta, similarity)
    shade(ax, side, level, levels)
    for way in ways.transpose(1, 0, 2):
        ax.plot(*way.T, color=WAY, linewidth=1.3, marker=".", markersize=3.5)
    beside, stable = places[shown & ~inside], view.onto(fixed_points.state[fixed_points.stable])
    points(ax, beside, "pattern beside the plane", ".", 3.0, QUIET)
    points(ax, ways[0], "query", "s", 5.5, WAY, markeredgecolor="white")
    points(ax, places[inside], "pattern", "o", 10.0, INK, markerfacecolor="none")
    points(ax, stable, "minimum", "o", 4.0, INK)
    ax.set_aspect("equal")
    ax.set_xlim(side[0][0], side[0][-1])
    ax.set_ylim(side[1][0], side[1][-1])
    ax.tick_params(labelsize=8, labelcolor=INK, color=HAIRLINE)
    ax.spines[:].set_visible(False)
    ax.set_xlabel(view.names[0], fontsize=9)
    ax.set_ylabel(view.names[1], fontsize=9)
    return legend_below(ax)


def broken(rows: np.ndarray) -> int:
    """Return the first row that is not finite."""
    return int(np.argmin(np.isfinite(rows).all(axis=-1)))


def starts(
    patterns: np.ndarray, inside: np.ndarray, shown: np.ndarray, states: np.ndarray
) -> np.ndarray:
    """Return the states from which minima are searched: patterns, their mean, and the queries."""
    rows = np.nonzero(shown)[0]
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), STARTS)).astype(int)]
    rows = np.union1d(rows, np.nonzero(inside)[0][:STARTS])
    return np.concatenate([patterns[rows], patterns.mean(axis=0, keepdims=True), states])


def points(
    ax: Axes, places: np.ndarray, name: str, marker: str, size: float, color: str, **style: Any
) -> None:
    """Draw points (n, 2) with their name, if there are any."""
    if len(places):
        ax.plot(
            *places.T, marker, markersize=size, color=color, linestyle="none", label=name, **style
        )


def heights(
    view: Plane, places: np.ndarray, patterns: np.ndarray, beta: float, similarity: Similarity
) -> np.ndarray:
    """Return the energy at places (..., 2) of the plane."""
    # The plane and the origin of the patterns span three axes; seen in them, scores stay the same.
    span = np.linalg.qr(np.vstack([view.axes, view.origin]).T)[0]
    states = (view.origin + places.reshape(-1, 2) @ view.axes) @ span
    seen = patterns @ span
    if similarity == "distance":
        beside = np.sum(patterns**2, axis=-1) - np.sum(seen**2, axis=-1)
        levels = energy(states, seen, beta, similarity=similarity, bias=-0.5 * beta * beside)
        return levels.reshape(places.shape[:-1])
    energies = energy(states, seen, beta)
    longest, shortened = (np.max(np.sum(x * x, axis=-1)) for x in (patterns, seen))
    return energies.reshape(places.shape[:-1]) + 0.5 * (longest - shortened)


def shade(ax: Axes, side: Sequence[np.ndarray], level: np.ndarray, levels: int) -> None:
    """Draw filled contours, which are finer where the energy is low."""
    from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap  # noqa: PLC0415

    low, high = float(level.min()), float(np.quantile(level, 0.97))
    steps = low + (high - low) * np.linspace(0.0, 1.0, levels + 1) ** 2
    shades = LinearSegmentedColormap.from_list("depth", DEPTH)
    drawn = ax.contourf(
        *side,
        level,
        steps,
        cmap=shades,
        norm=BoundaryNorm(steps, shades.N, extend="max"),
        extend="max",
    )
    ax.contour(*side, level, steps[1:], colors="white", linewidths=0.4)
    scale(ax, drawn, "energy $E$")


def plane_of(patterns: np.ndarray, chosen: Sequence[int] | None) -> Plane:
    """Return the plane that is asked for, or the default plane."""
    count, depth = patterns.shape
    if chosen is None and depth == 2:
        return Plane(np.zeros(2), np.eye(2), ("$x_1$", "$x_2$"))
    if chosen is None:
        middle = patterns.mean(axis=0)
        axes = np.linalg.svd(patterns - middle, full_matrices=True)[2][:2]
        return Plane(middle, axes, ("first principal axis", "second principal axis"))
    rows = np.asarray(chosen)
    if rows.shape != (3,) or rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= count:
        raise ValueError(f"plane must be three patterns of 0 to {count - 1}, got {chosen}")
    corners = patterns[rows]
    middle = corners.mean(axis=0)
    _, lengths, axes = np.linalg.svd(corners - middle, full_matrices=False)
    if not lengths[1] > FLAT * lengths[0]:
        raise ValueError(f"patterns {rows.tolist()} lie on one line; a plane needs another one")
    name = "plane through patterns {}, {} and {}".format(*rows)
    return Plane(middle, axes[:2], (name, ""))


def walked(
    states: np.ndarray, patterns: np.ndarray, beta: float, steps: int, similarity: Similarity
) -> np.ndarray:
    """Return the states after each update, (updates + 1, L, d), until all have converged."""
    path, near = [states], FLAT * float(np.abs(patterns).max())
    for _ in range(steps if len(states) else 0):
        path.append(update(path[-1], patterns, beta, similarity=similarity))
        if np.abs(path[-1] - path[-2]).max() <= near:
            break
    return np.stack(path)


def framed(points: np.ndarray, resolution: int) -> list[np.ndarray]:
    """Return places along the sides of a square around points (n, 2), with a margin."""
    low, high = points.min(axis=0), points.max(axis=0)
    half = 0.6 * float((high - low).max())
    return [np.linspace(x - half, x + half, resolution) for x in 0.5 * (low + high)]
