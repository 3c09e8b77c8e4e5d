"""hopcore's associations with memories other than the softmax of dot products."""

from __future__ import annotations

from typing import Any

import hopcore
from benchmarks.cases import Case
from benchmarks.sides import Prepared
from benchmarks.sides.ours import prepared


def association(case: Case, library: str, beta: float | None = None, **options: Any) -> Prepared:
    def call(state: Any, stored: Any) -> Any:
        beta_ = case.beta if beta is None else beta
        return hopcore.association(state, stored, beta=beta_, **options)

    return prepared(library, call, case)


def dot(case: Case, library: str) -> Prepared:
    return association(case, library)


def distance(case: Case, library: str) -> Prepared:
    return association(case, library, similarity="distance")


def compact(case: Case, library: str) -> Prepared:
    """Of patterns whose squared distances are about 2 d, a tenth is within the radius."""
    beta = 1.0 / (case.d - 1.3 * (2 * case.d) ** 0.5)
    return association(case, library, beta=beta, similarity="distance", separation="epanechnikov")


def k_subsets(case: Case, library: str) -> Prepared:
    return association(case, library, similarity="distance", separation=hopcore.KSubsets(16))
