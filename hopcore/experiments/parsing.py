"""What a user types: separation functions, inverse temperatures and lists, as text."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeVar

from hopcore.memory._entmax import Entmax
from hopcore.memory._scores import Similarity
from hopcore.memory._separation import SEPARATIONS, SeparationFunction, family_named
from hopcore.phase._lost import needed_similarity

T = TypeVar("T")


def separation_named(text: str) -> SeparationFunction:
    """The separation function of a name.

    It is ``softmax``, ``sparsemax``, ``entmax:ALPHA``, ``normmax:ALPHA`` or ``k-subsets:K``.

    Raises
    ------
    ValueError
        Another name; an alpha that is not a finite number above 1, or a k that is not an integer
        above 0.

    Examples
    --------
    >>> from hopcore.experiments.parsing import separation_named
    >>> separation_named("entmax:1.5")
    Entmax(alpha=1.5)
    """
    if text in SEPARATIONS:
        return SEPARATIONS[text]
    kind, _, alpha = text.partition(":")
    if kind in ("k-subsets", "normmax", "epanechnikov") and alpha:
        return family_named(text)
    if kind != "entmax" or not alpha:
        raise ValueError(
            f"unknown separation {text!r}; known: softmax, sparsemax, entmax:ALPHA, normmax:ALPHA, "
            "k-subsets:K, epanechnikov, epanechnikov:P"
        )
    return Entmax(number(alpha, "alpha"))


def similarity_named(text: str, stored: Any) -> tuple[Similarity, str]:
    """The similarity of ``dot``, ``distance`` or ``auto``, and why; stored patterns decide auto.

    Raises
    ------
    ValueError
        Another name.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.parsing import similarity_named
    >>> similarity_named("auto", np.eye(3))
    ('dot', 'dot products lose none of the patterns')
    """
    if text == "auto":
        return needed_similarity(stored)
    if text == "dot" or text == "distance":
        return text, "given with --similarity"
    raise ValueError(f"unknown similarity {text!r}; known: dot, distance, auto")


def number(text: str, name: str) -> float:
    """The number of a text, or a ValueError that names what it was for."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} must be a number, got {text!r}") from None


def unlike(values: list[T], name: str) -> list[T]:
    """The values, or a ValueError if one is there twice."""
    if len(set(values)) < len(values):
        raise ValueError(f"{name} must have no value twice, got {', '.join(map(str, values))}")
    return values


def numbers(text: str, name: str) -> list[float]:
    """Numbers with commas between."""
    return [number(part, name) for part in text.split(",")]


def integers(text: str, name: str) -> list[int]:
    """Integers with commas between."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{name} must be integers, got {text!r}") from None


def positive(values: list[float], name: str) -> list[float]:
    """The values, or a ValueError if one is not positive and finite."""
    for value in values:
        if not 0.0 < value < math.inf:
            raise ValueError(f"{name} must be positive and finite, got {value}")
    return values


def one_of(text: str, known: Iterable[str], name: str) -> str:
    """The text, or a ValueError if it is not among those known."""
    if text not in known:
        raise ValueError(f"unknown {name} {text!r}; known: {', '.join(known)}")
    return text


def names(text: str, known: Iterable[str], name: str) -> list[str]:
    """Return names that are separated by commas, all of them known and none given twice."""
    return unlike([one_of(part, known, name) for part in text.split(",")], name)
