"""Inputs of the checks of compact kernels: states whose distances are clear of the radius."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.cases.memory import KINDS, STATES, generators, masks, memory, queries
from hopcore_conformance.oracle import compact as plain
from hopcore_conformance.subject import Subject

Array = np.ndarray

CLEAR = 1e-2
"""Kernels are not between 0 and this number, where their power would magnify rounding."""


@dataclass(frozen=True)
class Compact:
    """Queries, a memory of compact kernels, and the power of the kernels."""

    state: Array
    stored: Array
    beta: float | Array
    p: int = 1
    mask: Array | None = None

    @property
    def arrays(self) -> tuple[Any, ...]:
        """``state, stored, beta``."""
        return self.state, self.stored, self.beta

    @property
    def options(self) -> dict[str, Any]:
        """The other arguments of functions of a memory."""
        mask = {} if self.mask is None else {"mask": self.mask}
        separation = "epanechnikov" if self.p == 1 else hopcore.Epanechnikov(self.p)
        return {**mask, "separation": separation, "similarity": "distance"}

    @cached_property
    def heights(self) -> Array:
        """The kernels, (L, S)."""
        return plain.heights(self.state, self.stored, self.beta, self.mask)

    @property
    def update(self) -> Array:
        """The states after one update, (L, d)."""
        return plain.update(self.state, self.stored, self.heights, self.p)

    @property
    def energy(self) -> Array:
        """The energies, (L,)."""
        return plain.energy(self.heights, self.beta, self.p)

    @property
    def gradient(self) -> Array:
        """The gradients of the energies, (L, d)."""
        return plain.steepness(self.heights, self.p)[:, None] * (self.state - self.update)

    @property
    def reached(self) -> Array:
        """Whether a state is inside of any ball, (L,)."""
        return np.any(self.heights > 0.0, axis=-1)

    def is_clear(self) -> bool:
        """Whether no distance is so near to the radius that rounding could change the set."""
        beta = np.broadcast_to(self.beta, self.state.shape[:1])[:, None]
        above = 1.0 - 0.5 * beta * plain.square_distances(self.state, self.stored)
        return bool(np.all(np.abs(above) > CLEAR))

    def on(self, subject: Subject) -> Compact:
        """The problem with values that are exact in the dtype of the subject; it must be clear."""
        beta = subject.rounded(np.asarray(self.beta))
        found = replace(
            self,
            state=subject.rounded(self.state),
            stored=subject.rounded(self.stored),
            beta=beta if beta.ndim else float(beta),
        )
        assume(found.is_clear())
        return found


@st.composite
def compact_problems(
    draw: st.DrawFn,
    *,
    powers: tuple[int, ...] = (1, 2, 3),
    where: tuple[str, ...] = STATES,
    masked: bool | None = None,
) -> Compact:
    """Small problems, with a radius of about the distance of some state from some pattern."""
    rng = draw(generators())
    stored = memory(rng, draw(st.sampled_from(KINDS)), 6, 4)
    state = queries(rng, draw(st.sampled_from(where)), stored, 3)
    distances = plain.square_distances(state, stored)
    square = max(draw(st.sampled_from((0.25, 1.5, 4.0))) * rng.choice(distances.ravel()), 1e-2)
    scale = draw(st.sampled_from((1.0, 0.1, 8.0)))
    beta: Any = float(2.0 / (square * scale**2))
    if draw(st.booleans()):
        beta = beta * rng.choice([0.5, 1.0, 2.0], size=3)
    with_mask = draw(st.booleans()) if masked is None else masked
    mask = masks(rng, 3, stored) if with_mask else None
    return Compact(scale * state, scale * stored, beta, draw(st.sampled_from(powers)), mask)
