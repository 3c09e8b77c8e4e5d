"""How long work says how far it is, to whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

Track: TypeAlias = Callable[[Iterable[Any], int], Iterable[Any]]
"""Passes on so many parts of some work, and may show how far it is."""


def silent(parts: Iterable[Any], total: int) -> Iterable[Any]:
    """Says nothing."""
    return parts
