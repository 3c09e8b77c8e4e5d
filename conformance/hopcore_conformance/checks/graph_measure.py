"""Diffusion by the subject, from every form of a graph, and the results to compare with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import hopcore
from hopcore.arrays import backend_of
from hopcore_conformance.cases import graph as near
from hopcore_conformance.cases.graph import NODES, Field
from hopcore_conformance.checks.measure import agree
from hopcore_conformance.oracle import graph as plain
from hopcore_conformance.subject import Subject

Array = np.ndarray

COMPUTED = {
    "none": hopcore.compute_laplacian,
    "symmetric": hopcore.compute_normalized_laplacian,
    "random_walk": hopcore.compute_random_walk_laplacian,
}
"""The Laplacian of each normalisation."""

EXPLICIT = ("simple", "iterative", "factored")
HEAT = ("spectral", "chebyshev")
STABLE = (*HEAT, "implicit")
FORMS = ("graph", "laplacian", "array")
TOL = 1e-6
"""Of a Chebyshev series, in exact arithmetic; the default."""


def operator(
    weights: Any,
    eta: Any,
    *,
    mode: str,
    normalization: Any = "none",
    form: str = "graph",
    steps: int = 3,
    largest: float | None = None,
) -> Any:
    """An operator from weights (..., N, N), through a graph, a Laplacian or an array."""
    found = backend_of(weights)
    weights = found.astype(weights, found.precise[weights.dtype])
    graph = hopcore.Graph.from_dense(weights).using(normalization)
    if mode == "factored":
        given = weights if form == "array" else graph
        degree = graph.deg if form == "graph" else None
        return hopcore.FactoredDiffusion(given, degree, eta, steps, normalization=normalization)
    source = weights if form == "array" else graph
    laplacian = graph if form == "graph" else COMPUTED[normalization](source)
    if mode == "chebyshev":
        return hopcore.ChebyshevDiffusion(laplacian, eta, largest=largest)
    return hopcore.diffusion_operator(laplacian, eta, mode, steps)  # pyright: ignore


def diffused(
    features: Any, weights: Any, strength: Any = None, *, eta: Any = None, **how: Any
) -> Any:
    """Diffused features; the strength is a number, or an array as the third argument."""
    return operator(weights, eta if strength is None else strength, **how)(features)


def exists(mode: str, normalization: str, form: str) -> bool:
    """Whether an operator accepts its input: some need a symmetric array."""
    return not (
        form == "array" and normalization == "random_walk" and mode in ("spectral", "implicit")
    )


def check_formula(
    subject: Subject, p: Field, mode: str, normalization: str, form: str, eta: Any
) -> Array:
    """Return the diffused features; fail if they are not those of the formula."""
    steps = 1 if mode == "simple" else 3
    strength = {"strength": eta} if isinstance(eta, np.ndarray) else {"eta": eta}
    how = {"mode": mode, "normalization": normalization, "form": form}
    got = subject(diffused, p.features, p.weights, **strength, **how)
    wanted = plain.operator(mode, p.laplacian(normalization), eta, steps) @ p.features
    tol = TOL if mode == "chebyshev" else 0.0
    explicit = steps if mode in EXPLICIT else 1
    # An array of strengths meets the features in their own dtype: three roundings in every step.
    roundings = 1 + 3 * steps if isinstance(eta, np.ndarray) else 1
    within = near.error(
        subject, p, normalization, eta, steps=explicit, tol=tol, roundings=roundings
    )
    agree(f"{mode}, {normalization}, {form}, eta = {eta}", got, wanted, within)
    return got


def matrix(subject: Subject, p: Field, **how: Any) -> tuple[Array, Array]:
    """The matrix of an operator, column by column, and its error."""
    ones = Field(p.weights, np.eye(NODES))
    tol = TOL if how["mode"] == "chebyshev" else 0.0
    within = near.error(subject, ones, how.get("normalization", "none"), how["eta"], tol=tol)
    return subject(diffused, ones.features, p.weights, **how), within


def slopes(function: Callable[[Array], Array], x: Array, step: float = 1e-5) -> Array:
    """Central differences of a function of (..., N, d) arrays, by every number of x (N, d)."""
    moves = step * np.linalg.norm(x) * np.eye(x.size).reshape(-1, *x.shape)
    rise = function(x + moves) - function(x - moves)
    return rise.reshape(x.shape) / (2.0 * step * np.linalg.norm(x))
