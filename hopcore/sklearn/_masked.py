r"""Distances of patterns with missing coordinates, and averages of what is known.

A coordinate that is missing is 0 in ``values`` and 0 in ``known``. Then the sum over the
coordinates that both patterns have,

.. math:: \sum_j m_j k_j (q_j - x_j)^2 = (m q^2) \cdot k - 2 (m q) \cdot (k x) + m \cdot (k x^2),

is one product of matrices, and no array of shape (L, S, d) is held.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class MaskedPatterns(NamedTuple):
    """Patterns of which some coordinates are missing."""

    values: np.ndarray
    """The coordinates (N, d); 0 where one is missing."""
    known: np.ndarray
    """1 where a coordinate is known and 0 where it is missing, in the dtype of the values."""

    def rows(self, index: np.ndarray | slice) -> MaskedPatterns:
        """Return some of the patterns."""
        return MaskedPatterns(self.values[index], self.known[index])


class MaskedMemory:
    """Stored patterns of which some coordinates are missing, ready to be compared.

    Parameters
    ----------
    stored : MaskedPatterns (S, d)
    """

    def __init__(self, stored: MaskedPatterns) -> None:
        values, known = stored
        self.stored = stored
        self.keys = np.concatenate([known, -2.0 * values, values**2], axis=1, dtype=values.dtype)
        self.projection = np.concatenate([values, known], axis=1)

    def square_distances(self, state: MaskedPatterns) -> np.ndarray:
        """Return squared distances (L, S) over shared coordinates, times d / their number.

        Two patterns that share no coordinate have the distance inf. These are the squares of
        scikit-learn's ``nan_euclidean_distances``.
        """
        values, known = state
        queries = np.concatenate([values**2, values, known], axis=1)
        distances = queries @ self.keys.T
        np.maximum(distances, 0.0, out=distances)
        shared = known @ self.stored.known.T
        with np.errstate(divide="ignore", invalid="ignore"):
            distances *= values.shape[1] / shared
        distances[shared == 0.0] = np.inf
        return distances

    def averages(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return averages (L, d) of what is known by weights (L, S), and the sums of weights."""
        sums = weights @ self.projection
        width = self.stored.values.shape[1]
        sums, totals = sums[:, :width], sums[:, width:]
        averages = np.divide(sums, totals, out=np.zeros_like(sums), where=totals > 0.0)
        return averages, totals


def unnormalized_weights(distances: np.ndarray, beta: float) -> np.ndarray:
    r"""Return :math:`e^{-\beta (D - \min D) / 2}` by rows; the smallest distance has weight 1.

    A distance of inf has the weight 0, also in a row of nothing else.
    """
    nearest = distances.min(axis=1, keepdims=True, initial=np.inf)
    weights = distances - np.where(np.isfinite(nearest), nearest, 0.0)
    weights *= -0.5 * beta
    with np.errstate(under="ignore"):
        return np.exp(weights, out=weights)
