"""Sequences of symbols whose end asks for something from their beginning.

What is drawn at random is drawn from a generator that is handed in. Symbols 0 to 15 carry what is
to be remembered, four others are noise, one asks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from hopcore.arrays._backend import Array

SYMBOLS, NOISE = 16, 4
"""Symbols that are remembered, and others for noise."""

ASK = SYMBOLS + NOISE
"""The symbol that asks."""

VOCABULARY = ASK + 1
"""How many symbols there are."""

FIRSTS, COPIED, PAIRS = 8, 8, 4
"""Symbols of a latch; symbols of a sequence that is copied; pairs of a recall."""


class Sequences(NamedTuple):
    """Sequences, and the symbols that should follow each of their last places.

    Attributes
    ----------
    symbols : integer array (n, L)
    target : integer array (n, A)
        What follows the last A symbols, A <= L.
    """

    symbols: Array
    target: Array


def latch(rng: np.random.Generator, count: int, distance: int) -> Sequences:
    """The first of ``distance + 1`` symbols, asked for after the last.

    One symbol, so much noise *of the same symbols*, the symbol that asks. Only its place tells what
    is to be remembered. (Hochreiter and Mozer 2001 have noise of other symbols.)

    Parameters
    ----------
    rng : numpy.random.Generator
    count : int
        Sequences.
    distance : int
        Symbols of noise.

    Raises
    ------
    ValueError
        No sequences, a distance below 0.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.data import sequences
    >>> found = sequences.latch(np.random.default_rng(0), 2, distance=3)
    >>> found.symbols.tolist(), found.target.tolist()
    ([[6, 5, 4, 2, 20], [2, 0, 0, 0, 20]], [[6], [2]])
    """
    check(count, distance)
    drawn = rng.integers(FIRSTS, size=(count, distance + 1))
    return joined([drawn, asking(count)], drawn[:, :1])


def copy(rng: np.random.Generator, count: int, distance: int) -> Sequences:
    """Eight symbols, repeated after a gap.

    The symbols, which differ, noise, the symbol that asks, and the symbols again: each is to be
    predicted from all before it.

    Parameters
    ----------
    rng, count, distance
        As in :func:`latch`.

    Raises
    ------
    ValueError
        As in :func:`latch`.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.data import sequences
    >>> found = sequences.copy(np.random.default_rng(0), 1, distance=3)
    >>> bool((found.symbols[:, :8] == found.target).all()), found.symbols.shape
    (True, (1, 19))
    """
    check(count, distance)
    drawn = different(rng, count, COPIED)
    return joined([drawn, noise(rng, count, distance), asking(count), drawn[:, :-1]], drawn)


def recall(rng: np.random.Generator, count: int, distance: int) -> Sequences:
    """Pairs of a key and a value, and after a gap the keys in another order, asking for values.

    Keys are symbols 0 to 7, which differ, values symbols 8 to 15.

    Parameters
    ----------
    rng, count, distance
        As in :func:`latch`.

    Raises
    ------
    ValueError
        As in :func:`latch`.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.data import sequences
    >>> found = sequences.recall(np.random.default_rng(0), 1, distance=2)
    >>> found.symbols.tolist(), found.target.tolist()
    ([[2, 9, 4, 14, 3, 13, 6, 15, 18, 18, 2, 3, 6, 4]], [[9, 13, 15, 14]])
    """
    check(count, distance)
    half = SYMBOLS // 2
    keys = rng.permuted(np.tile(np.arange(half), (count, 1)), axis=1)[:, :PAIRS]
    values = rng.integers(half, SYMBOLS, (count, PAIRS))
    pairs = np.stack([keys, values], axis=-1).reshape(count, 2 * PAIRS)
    gap = noise(rng, count, distance)
    order = rng.permuted(np.tile(np.arange(PAIRS), (count, 1)), axis=1)
    asked, target = (np.take_along_axis(found, order, axis=1) for found in (keys, values))
    return joined([pairs, gap, asked], target)


TASKS: dict[str, Callable[[np.random.Generator, int, int], Sequences]] = {
    "latch": latch,
    "copy": copy,
    "recall": recall,
}
"""The tasks by their names."""


def longest(distance: int) -> int:
    """The length of the longest sequence of any task at a distance.

    Examples
    --------
    >>> from hopcore.experiments.data import sequences
    >>> sequences.longest(10)
    26
    """
    rng = np.random.default_rng(0)
    return max(task(rng, 1, distance).symbols.shape[1] for task in TASKS.values())


def check(count: int, distance: int) -> None:
    """Refuse sequences that make no sense."""
    if count < 1 or distance < 0:
        raise ValueError(f"sequences need count >= 1 and distance >= 0, got {count}, {distance}")


def different(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Symbols that differ within a row."""
    return rng.permuted(np.tile(np.arange(SYMBOLS), (count, 1)), axis=1)[:, :size]


def noise(rng: np.random.Generator, count: int, distance: int) -> np.ndarray:
    """Symbols of noise."""
    return rng.integers(SYMBOLS, ASK, (count, distance))


def asking(count: int) -> np.ndarray:
    """The symbol that asks, in a column."""
    return np.full((count, 1), ASK)


def joined(parts: list[np.ndarray], target: np.ndarray) -> Sequences:
    """Sequences of parts, one after another."""
    return Sequences(np.concatenate(parts, axis=1, dtype=np.int32), target.astype(np.int32))
