r"""The inverse temperature that predicts best what was held out.

Squaring :math:`e^{-\beta D / 2}` doubles :math:`\beta`, so a grid of octaves costs one exponential
for each pair of patterns.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from hopcore.arrays._scalar_checks import as_number, short_repr
from hopcore.sklearn._masked import unnormalized_weights

OCTAVES = 24
"""How often the lowest beta is doubled at most."""

LOWEST = 0.25
"""The lowest beta, times the mean of the squared distances."""

PATIENCE = 4
"""The search ends after so many octaves that are all worse than the best one."""

PAIRS = 1 << 20
"""Distances that are held while beta is chosen, unless ``FEWEST`` rows need more."""

FEWEST, MOST = 64, 512
"""At least and at most so many rows are held out, if there are so many."""


class HeldOut(NamedTuple):
    """Rows whose targets are known, and their distances to all rows that may predict them."""

    distances: np.ndarray
    """Squared distances (L, S), inf where a stored pattern may not be used."""
    target: np.ndarray
    """The targets (L, v)."""
    counted: np.ndarray
    """How much the squared error of each target counts; broadcastable to (L, v)."""
    predict: Callable[[np.ndarray], np.ndarray]
    """Averages (L, v) of the projections by unnormalised weights (L, S)."""
    unit: float
    """The mean of the squared distances, which the lowest beta is a multiple of."""

    def error(self, weights: np.ndarray) -> float:
        """Return the sum of the squared errors of predictions by weights, as far as they count."""
        return float((self.counted * (self.predict(weights) - self.target) ** 2).sum())


def check_beta(beta: float | str) -> float | None:
    """Return a beta as a number, or None for "auto"."""
    if isinstance(beta, str):
        if beta != "auto":
            raise ValueError(f"beta must be 'auto' or a positive number, got {short_repr(beta)}")
        return None
    return as_number("beta", beta, positive=True)


def evenly_spaced(index: np.ndarray, stored: int) -> np.ndarray:
    """Return at most ``MOST`` of some indices, and fewer for a large number of stored patterns."""
    count = min(index.size, MOST, max(PAIRS // max(stored, 1), FEWEST))
    return index[np.linspace(0, index.size - 1, count).astype(int)] if count else index


def best_beta(held: HeldOut) -> float:
    """Return the beta of the smallest squared error on held-out targets, to within a half octave.

    It is 1.0 if there is nothing to choose by: no targets, or no pair at a positive distance.
    """
    if not (np.isfinite(held.distances).any() and 0.0 < held.unit < math.inf):
        return 1.0
    lowest = LOWEST / held.unit
    weights = unnormalized_weights(held.distances, lowest)
    errors = [held.error(weights)]
    while len(errors) <= OCTAVES and np.argmin(errors) > len(errors) - 1 - PATIENCE:
        with np.errstate(under="ignore"):
            np.square(weights, out=weights)
        errors.append(held.error(weights))
    best = lowest * 2.0 ** int(np.argmin(errors))
    between = {best: min(errors)}
    for beta in (best / math.sqrt(2.0), best * math.sqrt(2.0)):
        between[beta] = held.error(unnormalized_weights(held.distances, beta))
    return min(between, key=lambda beta: between[beta])
