"""Inputs of the checks: memories with their queries, and scores.

A seeded generator draws the values, and hypothesis draws the structure: implementations differ for
memories with clusters, duplicates, ties or a shared direction. Few shapes are drawn, since some
libraries compile once for each shape.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.oracle import memory as plain
from hopcore_conformance.subject import Subject

Array = np.ndarray

SMOOTH = ("softmax", "sparsemax", hopcore.Entmax(1.5))
"""Separation functions whose weights are Lipschitz in the scores: alpha <= 2."""

SPARSE = ("sparsemax", hopcore.Entmax(1.5), hopcore.Entmax(3.0))
"""Separation functions with a margin."""

SEPARATIONS = ("softmax", *SPARSE)

ALPHAS = (1.001, 1.1, 1.5, 1.9, 2.0, 2.5, 3.0, 6.0, 20.0, 50.0)
"""Orders across the whole range."""

SHAPES = ((3, 6, 4), (2, 3, 1))
"""(L, S, d) of small problems."""

KINDS = ("normal", "sphere", "clusters", "duplicates", "offset", "integers", "one zero")
"""Kinds of memories."""

STATES = ("near", "pattern", "hull", "far", "zero")
"""Positions of the queries."""


@dataclass(frozen=True)
class Problem:
    """Queries, a memory, and the settings of the association of the queries with it."""

    state: Array
    stored: Array
    beta: float | Array
    mask: Array | None = None
    separation: Any = "softmax"
    projection: Array | None = None

    def __repr__(self) -> str:
        with np.printoptions(floatmode="unique", threshold=200):
            given = [f"    {field.name}={getattr(self, field.name)!r}," for field in fields(self)]
        return "\n".join([f"{type(self).__name__}(", *given, ")"])

    @property
    def alpha(self) -> float:
        """The order of the separation function; 1 is the softmax."""
        return plain.order(self.separation)

    @property
    def arrays(self) -> tuple[Any, ...]:
        """``state, stored, beta``, as most functions take them."""
        return self.state, self.stored, self.beta

    @property
    def options(self) -> dict[str, Any]:
        """The mask, where there is one, and the separation function."""
        mask = {} if self.mask is None else {"mask": self.mask}
        return {**mask, "separation": self.separation}

    @property
    def formula(self) -> tuple[Any, ...]:
        """The arguments of the oracle: ``state, stored, beta, mask, alpha``."""
        return *self.arrays, self.mask, self.alpha

    @property
    def radius(self) -> Array:
        """M of each query, (..., L)."""
        return plain.radius(self.state, self.stored, self.mask)

    @property
    def products(self) -> Array:
        """An upper bound of the terms of a score divided by beta, for each query, (..., L)."""
        return np.linalg.norm(self.state, axis=-1) * self.radius

    @property
    def squares(self) -> Array:
        """An upper bound of the terms of an energy but the conjugate, for each query, (..., L)."""
        return np.linalg.norm(self.state, axis=-1) ** 2 + self.radius**2

    @property
    def scores(self) -> Array:
        """The scores by their formula, (..., L, S), -inf where masked."""
        return plain.scores(*self.arrays, mask=self.mask)

    @property
    def energy(self) -> Array:
        """The energies by their formula, (..., L)."""
        return plain.energy(*self.formula)

    def on(self, subject: Subject) -> Self:
        """The problem with values that are exact in the dtype of the subject."""

        def rounded(value: Any) -> Any:
            if isinstance(value, float):
                return float(subject.rounded(np.asarray(min(value, subject.most))))
            floating = isinstance(value, np.ndarray) and value.dtype != np.bool_
            return subject.rounded(value) if floating else value

        return replace(
            self, **{field.name: rounded(getattr(self, field.name)) for field in fields(self)}
        )

    def but(self, **changes: Any) -> Self:
        """The problem with some of its parts replaced."""
        return replace(self, **changes)


def generators() -> st.SearchStrategy[np.random.Generator]:
    """Seeded generators of values."""
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


def memory(rng: np.random.Generator, kind: str, count: int, width: int) -> Array:
    """Stored patterns (S, d) of a kind, of norms about 1."""
    stored = rng.normal(size=(count, width)) / np.sqrt(width)
    if kind == "sphere":
        stored = stored / np.maximum(np.linalg.norm(stored, axis=-1, keepdims=True), 1e-3)
    elif kind == "clusters":
        stored = stored[np.arange(count) % 2] + 0.1 * stored
    elif kind == "duplicates":
        stored = stored[np.arange(count) // 2]
    elif kind == "offset":
        stored = stored + 2.0
    elif kind == "integers":
        stored = np.round(2.0 * stored)
    elif kind == "one zero":
        stored[0] = 0.0
    return stored


def queries(rng: np.random.Generator, where: str, stored: Array, count: int) -> Array:
    """State patterns (L, d) near or at stored patterns, in their hull, far away, or zero."""
    chosen = stored[rng.integers(stored.shape[0], size=count)]
    if where == "pattern":
        return chosen
    if where == "hull":
        return rng.dirichlet(np.full(stored.shape[0], 0.5), size=count) @ stored
    if where == "zero":
        return np.zeros_like(chosen)
    noise = rng.normal(size=chosen.shape) / np.sqrt(chosen.shape[-1])
    return chosen + 0.2 * noise if where == "near" else 3.0 * noise


def masks(rng: np.random.Generator, count: int, stored: Array) -> Array:
    """Masks (L, S): the first hides the pattern of the largest norm, the last may be empty."""
    mask = rng.random((count, stored.shape[0])) < rng.choice([0.3, 0.7])
    mask[0] = True
    mask[0, np.argmax(np.linalg.norm(stored, axis=-1))] = False
    if rng.random() < 0.5:
        mask[-1] = False
    return mask


@st.composite
def problems(
    draw: st.DrawFn,
    *,
    separations: tuple[Any, ...] = SEPARATIONS,
    shapes: tuple[tuple[int, int, int], ...] = SHAPES,
    kinds: tuple[str, ...] = KINDS,
    where: tuple[str, ...] = STATES,
    heats: tuple[float, float] = (0.03, 50.0),
    masked: bool | None = None,
    projected: bool = False,
) -> Problem:
    """Small problems; ``heats`` bounds ``beta M^2``, which controls how sharp the association is.

    ``masked``: with a mask, without one, or either (None).
    """
    rng = draw(generators())
    count, size, width = draw(st.sampled_from(shapes))
    stored = memory(rng, draw(st.sampled_from(kinds)), size, width)
    state = queries(rng, draw(st.sampled_from(where)), stored, count)
    scale = draw(st.sampled_from((1.0, 0.1, 8.0)))
    low, high = np.log(heats)
    heat = np.exp(draw(st.floats(low, high)))
    largest = scale * np.max(np.linalg.norm(stored, axis=-1))
    beta = float(heat / largest**2) if largest > 0 else 1.0
    with_mask = draw(st.booleans()) if masked is None else masked
    return Problem(
        state=scale * state,
        stored=scale * stored,
        beta=beta,
        mask=masks(rng, count, stored) if with_mask else None,
        separation=draw(st.sampled_from(separations)),
        projection=rng.normal(size=(size, 3)) if projected else None,
    )


@st.composite
def score_arrays(draw: st.DrawFn, *, masked: bool = True) -> Array:
    """Scores (3, 7) of any scale, with ties, with masked ones, or with one much larger score."""
    rng = draw(generators())
    z = rng.normal(size=(3, 7)) * 10.0 ** draw(st.floats(-3.0, 2.0))
    kind = draw(st.sampled_from(("spread", "tied", "ahead", "shifted", "masked")))
    if kind == "tied":
        z = np.round(z)
    elif kind == "ahead":
        z[:, 2] += 60.0
    elif kind == "shifted":
        z += rng.choice([-1000.0, 1000.0])
    elif kind == "masked" and masked:
        z = np.where(rng.random(z.shape) < 0.5, -np.inf, z)
    return z


LARGE = (("softmax", False), ("softmax", True), ("sparsemax", False), (hopcore.Entmax(1.5), True))
"""Separation functions of large problems, and whether they have masks."""

EDGES = [0, 1, 63, 64, 127, 128, 255, 256, 448, 449]
"""Queries of a large problem, including the first and the last ones of likely tiles."""


def large_problem(separation: Any, *, masked: bool) -> Problem:
    """450 queries and 5000 patterns: more scores than a block has, and no multiple of a tile.

    With ``masked`` there are masked patterns, one empty row, and an inverse temperature for each
    query: half of them hot, half cold.
    """
    rng = np.random.default_rng(5)
    stored = rng.normal(size=(5000, 8))
    state = queries(rng, "near", stored, 450)
    beta = rng.choice([0.1, 3.0], size=450)
    mask = rng.random((450, 5000)) < 0.5
    mask[1] = False
    if not masked:
        return Problem(state, stored, 0.7, None, separation)
    return Problem(state, stored, beta, mask, separation)


def rows(p: Problem, chosen: Any) -> Problem:
    """The problem of some of the queries, where state is (L, d)."""
    part: dict[str, Any] = {"state": p.state[chosen]}
    if p.mask is not None:
        part["mask"] = p.mask[chosen]
    if isinstance(p.beta, np.ndarray):
        part["beta"] = p.beta[chosen]
    return p.but(**part)
