"""Tasks for the study of a router: copying, recall, sums modulo a number, and brackets.

The symbols are those of :mod:`hopcore.experiments.data.sequences`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hopcore.experiments.data.sequences import ASK, Sequences, asking, copy, joined, recall

MODULUS, TERMS = 5, 3
"""Sums of so many numbers are taken modulo this number."""

KINDS, BRACKETS = 3, 16
"""The kinds of brackets, and the number of brackets of a sequence."""

GAP = 4
"""The symbols of noise in the tasks of memory."""


def sums(rng: np.random.Generator, count: int) -> Sequences:
    """Numbers below the modulus, and their sum modulo it.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.temperature_router import tasks
    >>> found = tasks.sums(np.random.default_rng(0), 2)
    >>> found.symbols.tolist(), found.target.tolist()
    ([[4, 3, 2, 20], [1, 1, 0, 20]], [[4], [2]])
    """
    terms = rng.integers(MODULUS, size=(count, TERMS))
    return joined([terms, asking(count)], terms.sum(axis=1, keepdims=True) % MODULUS)


def brackets(rng: np.random.Generator, count: int) -> Sequences:
    """Beginnings of Dyck words, and the brackets that close the innermost open ones.

    Symbols below :data:`KINDS` open, those from there on close. The answers follow the last half of
    the brackets; where none is open, the answer is the symbol that asks.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.temperature_router import tasks
    >>> found = tasks.brackets(np.random.default_rng(0), 1)
    >>> found.symbols.shape, found.target.shape
    ((1, 16), (1, 8))
    """
    symbols, targets = np.zeros((count, BRACKETS), int), np.zeros((count, BRACKETS), int)
    opens, kinds = rng.random((count, BRACKETS)) < 0.5, rng.integers(KINDS, size=symbols.shape)
    for row in range(count):
        stack: list[int] = []
        for place in range(BRACKETS):
            if stack and not opens[row, place]:
                symbols[row, place] = KINDS + stack.pop()
            else:
                stack.append(int(kinds[row, place]))
                symbols[row, place] = stack[-1]
            targets[row, place] = KINDS + stack[-1] if stack else ASK
    return joined([symbols], targets[:, BRACKETS // 2 :])


TASKS: dict[str, Callable[[np.random.Generator, int], Sequences]] = {
    "copy": lambda rng, count: copy(rng, count, GAP),
    "recall": lambda rng, count: recall(rng, count, GAP),
    "sums": sums,
    "brackets": brackets,
}
"""The tasks by their names."""

LENGTH = 20
"""The length of the longest sequence."""
