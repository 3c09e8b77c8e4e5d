"""Plain calls with a prepared memory: states in NumPy and an inverse temperature, nothing else.

The usual checks and conversions take longer than the association itself if the memory is small.
Whatever is unusual goes the usual way, which raises its errors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hopcore.arrays import BY_TYPE
from hopcore.arrays._beta_checks import EXTREME
from hopcore.prepared._answers import Answers
from hopcore.prepared._backend import prepared_backend
from hopcore.prepared._snapshot import Snapshot

LARGE = 1e30
"""States with a larger sum of squares are left to the usual checks."""


def plainly_associated(state: Any, memory: Any, beta: Any) -> Any:
    """Return the association of a plain call with a memory, or None if it goes the usual way.

    Projections of its own and a bias are unusual, and so are patterns in a file.
    """
    if type(state) is not np.ndarray or type(beta) not in (float, int) or not 0 < beta < EXTREME:
        return None
    snapshot = memory if isinstance(memory, Snapshot) else memory.snapshot()
    rows, numpy = snapshot.rows, BY_TYPE[np.ndarray]
    if (
        rows.bias is not None
        or rows.values is not rows.patterns
        or not snapshot.separation.softmax
        or snapshot.count == 0
        or snapshot.streamed
    ):
        return None
    if snapshot.similarity == "dot" and (snapshot.error == 0.0 or snapshot.is_small):
        return numpy.associate_unchecked(state, snapshot.patterns, float(beta), snapshot.separation)
    usual = (
        state.dtype == rows.patterns.dtype
        and state.size > 0
        and state.ndim > 0
        and state.shape[-1] == rows.patterns.shape[1]
        and np.vdot(state, state) < LARGE
    )
    if not usual:
        return None
    single = state.ndim == 1
    answers = Answers(prepared_backend(numpy, "cpu"), snapshot, None, snapshot.similarity)
    states = state[None] if single else state
    with np.errstate(under="ignore"):
        output: Any = answers.associate(states, float(beta), snapshot.separation, False)[0]
    return output[0] if single else output
