"""Patterns that a memory cannot retrieve at any temperature, and the similarity that avoids it.

A pattern is lost if another one scores at least as high with it: with dot products a copy or a
pattern that is covered by a longer one, with distances only a copy.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hopcore.arrays._backend import Array, Backend
from hopcore.memory._scores import Similarity
from hopcore.phase._error_bound import separations
from hopcore.phase._patterns import checked_patterns, spaced_rows

SAMPLE = 4096
"""The number of patterns, evenly spaced, that are compared with all others."""

FEW = 0.005
"""The share of patterns that may be lost without being mentioned."""


class Separated(NamedTuple):
    """Patterns that can be retrieved: separations, distances of their nearest competitors, M^2."""

    gap: np.ndarray
    apart: np.ndarray
    largest: float
    lost: float
    """The share of the other patterns, which are copies or covered by longer ones."""


def separated(precise: Array, similarity: Similarity, backend: Backend) -> Separated:
    """Return the separations of a sample of checked patterns."""
    rows = spaced_rows(precise.shape[0], SAMPLE)
    gap, apart, largest = separations(precise, rows, backend, similarity)
    # Rounding gives copies a small separation, which does not count.
    some = gap > 16.0 * float(backend.xp.finfo(precise.dtype).eps) * largest
    lost = 1.0 - float(np.mean(some)) if len(some) else 0.0
    return Separated(gap[some], apart[some], largest, lost)


def needed_similarity(stored: Array) -> tuple[Similarity, str]:
    """Return ``"distance"`` if dot products lose more patterns, else ``"dot"``, and the reason."""
    backend, precise = checked_patterns(stored)
    lost = separated(precise, "dot", backend).lost
    if lost < FEW:
        return "dot", "dot products lose none of the patterns"
    kept = separated(precise, "distance", backend).lost
    said = f"dot products lose {lost:.0%} of the patterns and distances {share(kept)}"
    return ("distance" if kept < lost else "dot"), said


def share(lost: float) -> str:
    """Return a share of the patterns in percent."""
    return f"{lost:.0%}" if lost >= FEW else "none"


def what_is_lost(lost: float, precise: Array, similarity: Similarity, backend: Backend) -> str:
    """Return the end of a reason that names the patterns that cannot be retrieved, if any."""
    if lost < FEW:
        return ""
    if similarity == "distance":
        return f"; {lost:.0%} of the patterns are copies"
    said = f"; {lost:.0%} of the patterns are copies or covered by longer ones"
    kept = separated(precise, "distance", backend).lost
    return f"{said}, and similarity='distance' loses {share(kept)}" if kept < lost else said
