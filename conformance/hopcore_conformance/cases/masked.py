"""Contents of masked patterns, for the checks that these contents have no influence."""

from __future__ import annotations

import numpy as np

from hopcore_conformance.cases.memory import Problem
from hopcore_conformance.subject import Subject

Array = np.ndarray

CONTENTS = ("nan", "inf", "-inf", "large", "mixed")
"""Kinds of contents: a single value, or all of them mixed with ordinary numbers."""


def values_of(content: str, subject: Subject) -> Array:
    """The values of a kind, which are repeated; the largest are half the largest number."""
    most = 0.5 * subject.most
    return {
        "nan": np.asarray([np.nan]),
        "inf": np.asarray([np.inf]),
        "-inf": np.asarray([-np.inf]),
        "large": np.asarray([most, -most]),
        "mixed": np.asarray([np.nan, 1.0, np.inf, -most, -np.inf, most, 0.0]),
    }[content]


def filled(array: Array, hidden: Array, content: str, subject: Subject) -> Array:
    """Patterns ``(..., S, d)`` whose hidden ones ``(..., S)`` have contents of this kind."""
    rows = np.broadcast_to(hidden[..., None], array.shape)
    other = array.copy()
    other[rows] = np.resize(values_of(content, subject), np.count_nonzero(rows))
    return other


def without(p: Problem, shown: Array) -> Problem:
    """The problem with only the patterns that are shown ``(S,)``."""
    return p.but(
        stored=p.stored[shown],
        projection=None if p.projection is None else p.projection[shown],
        mask=None if p.mask is None else p.mask[:, shown],
    )
