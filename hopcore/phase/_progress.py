"""Progress of long computations, reported to a callable."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

Track: TypeAlias = Callable[[Iterable[Any], int], Iterable[Any]]
"""Yields the parts of a computation, whose number is given, and may show the progress."""


def silent(parts: Iterable[Any], total: int) -> Iterable[Any]:
    """Return the parts without showing any progress."""
    return parts
