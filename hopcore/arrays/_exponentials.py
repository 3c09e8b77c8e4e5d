"""Exponentials of scores in NumPy, none of which is subnormal."""

from __future__ import annotations

import math

import numpy as np

LOWEST = {np.dtype(kind): math.log(4.0 * np.finfo(kind).tiny) for kind in (np.float32, np.float64)}
"""The exponential of a lower score is counted as 0.

It is hardly larger than the smallest normal number. Smaller numbers, which are called subnormal,
are computed by slow instructions.
"""

FEW = 1 << 12
"""Up to so many scores, the search for subnormal numbers costs more than they do."""


def exponentiate(scores: np.ndarray) -> None:
    """Replace scores relative to the best by their exponentials, in place; tiny ones become 0.

    Beside the weight 1 of the best pattern they are nothing, but a product of subnormal numbers
    takes ten to thirty times as long as one of others. Scores that are nan stay nan.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.arrays._exponentials import exponentiate
    >>> scores = np.linspace(-200.0, 0.0, 10_000, dtype=np.float32)
    >>> exponentiate(scores)
    >>> float(scores[0]), float(scores[-1]), bool(((scores > 0) & (scores < 1e-38)).any())
    (0.0, 1.0, False)
    """
    lowest = LOWEST[scores.dtype]
    if not scores.min() < lowest:
        np.exp(scores, out=scores)
        return
    counts = scores >= lowest
    np.maximum(scores, lowest, out=scores)
    np.exp(scores, out=scores)
    scores *= counts
