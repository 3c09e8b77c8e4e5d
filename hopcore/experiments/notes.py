"""Warnings about the patterns, which a command prints as notes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import hopcore


@contextmanager
def noted(notes: list[str]) -> Iterator[None]:
    """Broken hypotheses become notes, each of them once; other warnings stay what they are."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", hopcore.phase.HypothesisWarning)
        yield
    for one in seen:
        if not issubclass(one.category, hopcore.phase.HypothesisWarning):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        elif str(one.message) not in notes:
            notes.append(str(one.message))
