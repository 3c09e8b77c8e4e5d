r"""Association and retrieval by Euclidean distance.

The identity :math:`-\|\xi - x\|^2 / 2 = x \cdot \xi - \|x\|^2 / 2 - \|\xi\|^2 / 2`, whose last term
the weights do not see, makes the distance a dot product: each stored pattern gets
:math:`-\|x\|^2 / 2` as one more coordinate, and each state gets a 1. The mean of the patterns is
subtracted first, which changes no distance, so that little is lost to cancellation.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from hopcore.arrays._edge import inputs_at_edge
from hopcore.arrays._inputs import Inputs
from hopcore.memory import Separation, association, get_separation
from hopcore.memory._fixed_point import iterate_to_fixed_point


class DistanceMemory:
    r"""Stored patterns that states are compared to by their distance.

    Parameters
    ----------
    patterns : array (S, d)
        Stored patterns.
    multiplicity : array (S,), optional
        How often each pattern counts, positive. Its logarithm is added to the score.
    """

    def __init__(self, patterns: np.ndarray, multiplicity: np.ndarray | None = None) -> None:
        self.center = patterns.mean(axis=0, dtype=np.float64).astype(patterns.dtype)
        self.stored = patterns - self.center
        self.lengths = -0.5 * np.vecdot(self.stored, self.stored)
        self.log_multiplicity = None if multiplicity is None else np.log(multiplicity)

    def keys(self, beta: float) -> np.ndarray:
        """Return the stored patterns (S, d + 1) with the coordinate that makes them comparable."""
        last = self.lengths
        if self.log_multiplicity is not None:
            last = last + self.log_multiplicity / beta
        return np.concatenate([self.stored, last[:, None]], axis=1, dtype=self.stored.dtype)

    def associate(self, state: np.ndarray, projection: np.ndarray, beta: float) -> np.ndarray:
        """Return the averages (L, v) of a projection (S, v) that states (L, d) recall."""
        return association(
            with_one(state.astype(self.stored.dtype, copy=False) - self.center),
            self.keys(beta),
            projection,
            beta=beta,
        )

    def retrieve(
        self,
        state: np.ndarray,
        beta: float,
        *,
        separation: Separation = "softmax",
        max_steps: int,
        tol: float,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Repeat the update until each state (L, d) rests; return the states and the steps."""
        state = state.astype(self.stored.dtype, copy=False) - self.center
        inputs, _ = inputs_at_edge(state, self.stored, beta=beta)
        update = partial(update_of, get_separation(separation), self.keys(beta))
        found, steps, *_ = iterate_to_fixed_point(inputs, update, max_steps, tol)
        return found + self.center, steps


def with_one(state: np.ndarray) -> np.ndarray:
    """Return states (L, d + 1) with 1 as the last coordinate."""
    return np.concatenate([state, np.ones_like(state[:, :1])], axis=1)


def update_of(separation: Any, keys: np.ndarray, inputs: Inputs) -> np.ndarray:
    """Return the states after one update by distances."""
    state = with_one(inputs.state)
    backend, stored, beta = inputs.backend, inputs.projection, inputs.beta
    return backend.associate(state, keys, stored, beta, None, separation)[0]
