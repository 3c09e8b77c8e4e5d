"""hopcore's graphs and diffusion operators, on any array library."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

import hopcore
from benchmarks.cases import Case
from benchmarks.sides import Prepared, arrays

ETA = 0.01
"""Small enough for explicit steps of the unnormalised Laplacian, which difflayers uses."""


def prepared(library: str, function: Callable[[Any], Any], values: np.ndarray) -> Prepared:
    """A call of a function of some patterns; compiled in JAX."""
    if library == "jax":
        from benchmarks.sides.by_hand_jax import compiled  # noqa: PLC0415 - only where JAX runs

        return compiled(function, values)
    given = hopcore.backend(library).asarray(values)
    return Prepared(lambda: function(given))


@cache
def graph(case: Case, library: str) -> hopcore.Graph:
    """The graph of a case: exact up to 20,000 patterns, above that approximate."""
    patterns = arrays(case)[1]
    method = "exact" if case.S <= 20000 else "nndescent"
    found = hopcore.knn_graph(patterns, case.k, method=method)
    if library == "numpy":
        return found
    return hopcore.Graph.from_scipy(found.to_scipy(), backend=library, dtype="float32")


def knn(case: Case, library: str) -> Prepared:
    def call(patterns: Any) -> Any:
        return hopcore.knn_graph(patterns, case.k).weights

    return prepared(library, call, arrays(case)[1])


def knn_approximate(case: Case, library: str) -> Prepared:
    """With the recall of the neighbours of 200 patterns."""
    patterns = arrays(case)[1]

    def call(given: Any) -> Any:
        return hopcore.knn_graph(given, case.k, method="nndescent").weights

    found = hopcore.knn_graph(patterns, case.k, method="nndescent").to_scipy()
    unit = patterns / np.linalg.norm(patterns, axis=1, keepdims=True)
    hits = 0
    for i in range(200):
        cosine = unit @ unit[i]
        cosine[i] = -2.0
        nearest = np.argpartition(cosine, -case.k)[-case.k :]
        hits += np.isin(nearest, found[[i]].indices).sum()
    ready = prepared(library, call, patterns)
    return Prepared(ready.call, ready.temporary, f"recall {hits / (200 * case.k):.3f}")


def diffuse(case: Case, library: str) -> Prepared:
    found = graph(case, library)
    operator = hopcore.FactoredDiffusion(found, found.deg, ETA, case.steps)
    return prepared(library, operator, arrays(case)[1])


def diffuse_backward(case: Case, library: str) -> Prepared:
    found = graph(case, library)
    operator = hopcore.FactoredDiffusion(found, found.deg, ETA, case.steps)
    if library == "jax":
        import jax  # noqa: PLC0415 - only where JAX runs

        def both(patterns: Any) -> Any:
            output, pull = jax.vjp(operator, patterns)
            return output, pull(output)[0]

        return prepared(library, lambda x: both(x)[1], arrays(case)[1])
    import torch  # noqa: PLC0415 - only where torch runs

    patterns = torch.from_numpy(arrays(case)[1]).requires_grad_()
    ones = torch.ones_like(patterns)
    return Prepared(lambda: torch.autograd.grad(operator(patterns), patterns, ones)[0])


def heat(case: Case, library: str) -> Prepared:
    """The heat kernel of the normalised Laplacian at t = 1, to 1e-6."""
    operator = hopcore.ChebyshevDiffusion(graph(case, library).using("symmetric"), 1.0, tol=1e-6)
    return prepared(library, operator, arrays(case)[1])
