"""hopcore's phase transition, on any array library."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import hopcore
from benchmarks.cases import Case
from benchmarks.sides import Prepared, arrays, temperatures


def prepared(case: Case, library: str, function: Callable[[Any], np.ndarray]) -> Prepared:
    """A call with the patterns of a case, whose copies and lengths are as they are."""
    stored = hopcore.backend(library).asarray(arrays(case)[1])

    def call() -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", hopcore.phase.HypothesisWarning)
            return function(stored)

    return Prepared(call)


def sweep(case: Case, library: str) -> Prepared:
    betas = temperatures(case)
    return prepared(case, library, lambda stored: hopcore.phase.sweep(stored, betas).heated.energy)


def critical_betas(case: Case, library: str) -> Prepared:
    return prepared(case, library, lambda stored: hopcore.critical_betas(stored).appear)


def suggest_beta(case: Case, library: str) -> Prepared:
    return prepared(
        case, library, lambda stored: np.asarray([hopcore.suggest_beta(stored, noise=0.5).beta])
    )
