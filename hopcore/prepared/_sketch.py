r"""A sketch of a memory: a few coordinates of each pattern, from which all scores are bounded.

With a centre :math:`c`, an (almost) orthonormal basis :math:`Q` of m leading principal directions,
:math:`y_i = x_i - c` and any coordinates :math:`p_i \approx Q y_i`, Cauchy and Schwarz give

.. math::
    y_i \cdot h \le p_i \cdot Q h + \|y_i - Q^T p_i\|\, \|h - Q^T Q h\|
                    + \|Q (y_i - Q^T p_i)\|\, \|Q h\|.

The last term is a rounding error of the coordinates, at most :math:`\epsilon \|y_i\| \|h\|`, and so
is that of the product in float32. So a row of the sketch holds
:math:`p_i`, :math:`\|y_i - Q^T p_i\|`, :math:`\|y_i\|` and, for distances,
:math:`-\tfrac12 \|y_i\|^2`, rounded upwards, and one product of a row with the numbers of a query
is an upper bound of a score, of which no rounding is forgotten. The bounds are valid for any centre
and any basis; where these fit the patterns badly, the bounds are only less sharp.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

UNIT = 2.0**-24
"""The unit roundoff of float32, in which the sketch is kept."""

SAMPLE = 2048
"""The largest number of patterns from which the principal directions are computed."""

EXTRA = 3
"""The numbers of a row besides its coordinates."""

TINY = 1e-30
"""More than what underflow in float32 takes away from a product with a row of length 1."""


def width_of(depth: int) -> int:
    """Return m, the number of principal coordinates: about 6 % of the coordinates, at least 8."""
    return min(depth, max(8, min(64, depth // 16)))


@dataclass(frozen=True)
class Directions:
    """What rows of a sketch are computed from; never changed, and used by many snapshots.

    Attributes
    ----------
    centre : float64 array (d,)
        What is subtracted from the patterns.
    scale : float
        A power of two that divides them, so that neither large nor small patterns leave float32.
    basis : float64 array (m, d)
        The principal directions.
    distance : bool
        Whether scores are distances.
    """

    centre: np.ndarray
    scale: float
    basis: np.ndarray
    distance: bool

    @cached_property
    def skew(self) -> float:
        """A bound of how far the basis is from an orthonormal one, in the spectral norm."""
        m, d = self.basis.shape
        gram = self.basis @ self.basis.T - np.eye(m)
        return float(np.linalg.norm(gram)) + 4.0 * m * d * 2.0**-53

    @cached_property
    def slack(self) -> float:
        """The share of ``|y| |h|`` by which a product in float32 may be too small."""
        m, d = self.basis.shape
        return 8.0 * (m + 8) * UNIT + 4.0 * self.skew + 8.0 * d * 2.0**-53

    def shifted(self, patterns: np.ndarray) -> np.ndarray:
        """Return patterns relative to the centre, scaled, in float64."""
        found = patterns.astype(np.float64)
        found -= self.centre
        found /= self.scale
        return found

    def rows(self, patterns: np.ndarray) -> np.ndarray:
        """Return the rows of the sketch for patterns ``(k, d)``, float32 ``(k, m + 3)``."""
        m = self.basis.shape[0]
        found = np.empty((len(patterns), m + EXTRA), np.float32)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            for first in range(0, len(patterns), 4096):
                part = slice(first, first + 4096)
                shifted = self.shifted(patterns[part])
                squares = np.vecdot(shifted, shifted)
                found[part, :m] = shifted @ self.basis.T
                shifted -= found[part, :m].astype(np.float64) @ self.basis
                found[part, m] = upwards(np.sqrt(np.vecdot(shifted, shifted)))
                found[part, m + 1] = upwards(np.sqrt(squares))
                half = -0.5 * squares * (1.0 - 2.0 * self.slack) if self.distance else 0.0 * squares
                found[part, m + 2] = upwards(half)
        return found

    def query(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what rows are multiplied with for states ``(L, d)``, and the sizes of the states.

        The first result is float32 ``(L, m + 3)``. The product with a row, times the second
        ``(L,)``, is an upper bound of the score in units of the squared scale. The third result
        ``(L, d)`` are the states themselves: relative to the centre, for distances, and scaled.
        """
        m = self.basis.shape[0]
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            centred = self.shifted(states) if self.distance else states / np.float64(self.scale)
            length = np.sqrt(np.vecdot(centred, centred)) * (1.0 + 1e-12)
            size = np.maximum(length, 1.0)
            along = centred @ self.basis.T
            rest = centred - along @ self.basis
            found = np.empty((len(states), m + EXTRA), np.float32)
            found[:, :m] = along / size[:, None]
            found[:, m] = upwards(np.sqrt(np.vecdot(rest, rest)) / size)
            found[:, m + 1] = upwards(self.slack * length / size)
            found[:, m + 2] = 1.0 / size
        return found, size, centred


def upwards(values: np.ndarray) -> np.ndarray:
    """Return float32 numbers that are a little larger than those given."""
    return np.nextafter(
        (values + np.abs(values) * (8.0 * UNIT)).astype(np.float32), np.float32(np.inf)
    )


def directions_of(patterns: np.ndarray, distance: bool, seed: int = 0) -> Directions:
    """Return the centre, the scale and the principal directions of patterns ``(N, d)``.

    They come from at most :data:`SAMPLE` evenly spaced patterns, by two steps of subspace
    iteration from random vectors.
    """
    count, depth = patterns.shape
    places = np.unique(np.linspace(0, count - 1, min(count, SAMPLE)).astype(np.int64))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        sample = patterns[places].astype(np.float64)
        largest = float(np.abs(sample).max(initial=0.0)) or 1.0
        unit = 2.0 ** math.frexp(largest)[1]
        centre = (sample / unit).mean(axis=0) * unit
        sample = sample / unit - centre / unit
        lengths = np.sqrt(np.vecdot(sample, sample))
        typical = float(np.median(lengths)) * unit
        scale = 2.0 ** math.frexp(typical)[1] if 0.0 < typical < math.inf else unit
        m = width_of(depth)
        start = np.random.default_rng(seed).standard_normal((depth, min(depth, m + 8)))
        basis = np.linalg.qr(start)[0]
        for _ in range(2):
            basis = np.linalg.qr(sample.T @ (sample @ basis))[0]
        _, vectors = np.linalg.eigh((sample @ basis).T @ (sample @ basis))
        basis = basis @ vectors[:, ::-1][:, :m]
    if not np.isfinite(basis).all():
        basis = np.eye(depth)[:, :m]
    return Directions(centre, scale, np.ascontiguousarray(basis.T), distance)
