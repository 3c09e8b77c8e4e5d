"""Inputs of the checks of scores: problems with a similarity and a bias, and known coordinates."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from hypothesis import strategies as st

from hopcore_conformance.cases.memory import Problem, generators, problems
from hopcore_conformance.oracle import memory as plain
from hopcore_conformance.oracle import scores as oracle

Array = np.ndarray

BIASES = ("none", "some", "large")
"""Kinds of biases: of about 1, or of about 30, in units of scores."""


@dataclass(frozen=True, repr=False)
class Scored(Problem):
    """A problem with a similarity and, maybe, a bias."""

    similarity: str = "distance"
    bias: Array | None = None

    @property
    def options(self) -> dict[str, Any]:
        """As of any problem, with the similarity and the bias where there is one."""
        bias = {} if self.bias is None else {"bias": self.bias}
        return {**super().options, "similarity": self.similarity, **bias}

    @property
    def origin(self) -> Array:
        """The mean of the patterns that some query may attend to, (d,); 0 for dot products."""
        attended = np.any(plain.attends(self.state, self.stored, self.mask), axis=-2)
        if self.similarity == "dot" or not np.any(attended):
            return np.zeros(self.stored.shape[-1])
        return np.mean(self.stored[attended], axis=0)

    @property
    def unit(self) -> Array:
        """The length in which ``tol`` is measured, (L,)."""
        return plain.radius(self.state, self.stored - self.origin, self.mask)

    @property
    def products(self) -> Array:
        """Bounds of what is added up in a score divided by beta: all is relative to the origin."""
        # Half of the square of a pattern, its product with the state, and the bias. The last comes
        # as the product of 1/beta and b, which rounds a few times, among d others.
        reach = np.linalg.norm(self.state - self.origin, axis=-1) * self.unit
        if self.similarity == "distance":
            reach = reach + 0.5 * self.unit**2
        largest = 0.0 if self.bias is None else np.max(np.abs(self.bias))
        # Each of the d + 2 factors is rounded twice more than those of a dot product.
        return 2.0 * (reach + largest / np.asarray(self.beta))

    @property
    def squares(self) -> Array:
        """An upper bound of the terms of an energy but the conjugate, for each query, (..., L)."""
        if self.similarity == "dot":
            return super().squares
        return np.linalg.norm(self.state - self.origin, axis=-1) ** 2 + self.products

    @property
    def scores(self) -> Array:
        """The scores by their formula."""
        return oracle.scores(self.similarity, *self.arrays, mask=self.mask, bias=self.bias)

    @property
    def energy(self) -> Array:
        """The energies by their formula."""
        return oracle.energy(
            self.similarity, *self.arrays, mask=self.mask, bias=self.bias, alpha=self.alpha
        )

    @property
    def weights(self) -> Array:
        """The association weights by their formula, (L, S)."""
        return plain.weights(self.scores, self.alpha)

    def association(self, projection: Array | None = None) -> Array:
        """The association by its formula."""
        values = self.stored if projection is None else projection
        return oracle.association(self.scores, values, self.alpha)


@st.composite
def scored(
    draw: st.DrawFn,
    *,
    similarities: tuple[str, ...] = ("distance", "dot"),
    biases: tuple[str, ...] = BIASES,
    **options: Any,
) -> Scored:
    """Small problems with scores of any kind; ``options`` are those of :func:`problems`."""
    p = draw(problems(**options))
    rng = draw(generators())
    kind = draw(st.sampled_from(biases))
    size = {"some": 1.0, "large": 30.0}.get(kind)
    given = {field.name: getattr(p, field.name) for field in fields(p)}
    return Scored(
        **given,
        similarity=draw(st.sampled_from(similarities)),
        bias=None if size is None else size * rng.normal(size=p.stored.shape[0]),
    )


@st.composite
def known_coordinates(draw: st.DrawFn, shape: tuple[int, ...]) -> Array:
    """Boolean arrays of a shape (L, d): some, all or no coordinates of each query are known."""
    rng = draw(generators())
    known = rng.random(shape) < draw(st.sampled_from((0.5, 0.8, 0.0, 1.0)))
    if draw(st.booleans()):
        known[0], known[-1] = False, True
    return known
