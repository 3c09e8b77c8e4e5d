"""The entmax package: its separation functions on dense scores."""

from __future__ import annotations

from collections.abc import Callable

import entmax
import torch

from benchmarks.cases import Case
from benchmarks.sides import Prepared, arrays


def bisection(case: Case, library: str) -> Prepared:
    """Association by ``entmax_bisect``, or ``sparsemax_bisect``."""
    if case.separation == "sparsemax":
        return association(case, entmax.sparsemax_bisect)
    alpha = float(case.separation)
    return association(case, lambda scores: entmax.entmax_bisect(scores, alpha))


def exact(case: Case, library: str) -> Prepared:
    """Association by the package's sorting algorithms, which exist for two alphas."""
    functions = {"sparsemax": entmax.sparsemax, 1.5: entmax.entmax15}
    return association(case, functions[case.separation])


def association(case: Case, separate: Callable[[torch.Tensor], torch.Tensor]) -> Prepared:
    state, stored = map(torch.from_numpy, arrays(case))

    def call() -> torch.Tensor:
        with torch.no_grad():
            return separate(case.beta * (state @ stored.mT)) @ stored

    return Prepared(call)
