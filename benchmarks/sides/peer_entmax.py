"""The entmax package: its separation functions on dense scores."""

from __future__ import annotations

from typing import Any

import entmax
import torch

from benchmarks.cases import Case
from benchmarks.sides import Prepared, arrays, native


def bisection(case: Case, library: str) -> Prepared:
    """Association by ``entmax_bisect``, or ``sparsemax_bisect``."""
    alpha = case.separation

    def weights(scores: Any) -> Any:
        if alpha == "sparsemax":
            return entmax.sparsemax_bisect(scores)
        return entmax.entmax_bisect(scores, alpha)

    return _association(case, library, weights)


def exact(case: Case, library: str) -> Prepared:
    """Association by the package's sorting algorithms, which exist for two alphas."""
    return _association(
        case, library, {"sparsemax": entmax.sparsemax, 1.5: entmax.entmax15}[case.separation]
    )


def _association(case: Case, library: str, weights: Any) -> Prepared:
    state, stored = native(library, *arrays(case))

    def call() -> Any:
        with torch.no_grad():
            return weights(case.beta * (state @ stored.mT)) @ stored

    return Prepared(call)
