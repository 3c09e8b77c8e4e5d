"""The sides of a comparison: functions ``work(case, library)`` that prepare a call.

``ours`` is hopcore on any array library, ``by_hand_*`` what a careful user writes without it,
``peer_*`` another package. A module is imported only in the process that measures it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.cases import Case


@dataclass(frozen=True)
class Prepared:
    """A call that is ready to be measured."""

    call: Callable[[], Any]
    """Does the work and returns its result; waits until it is there."""
    temporary: int | None = None
    """Bytes of scratch memory, where the library's compiler states them."""
    note: str = ""
    """What the case turned out to be, for example its support."""


def arrays(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """State and stored patterns of a case in float32: the same for every side."""
    rng = np.random.default_rng(20)
    shape = (*case.batch, case.S, case.d)
    stored = rng.standard_normal(shape, dtype=np.float32)
    if case.stored == "clustered":
        centres = rng.standard_normal((64, case.d), dtype=np.float32)
        stored = centres[rng.integers(64, size=shape[:-1])] + np.float32(0.3) * stored
    state = rng.standard_normal((*case.batch, case.L, case.d), dtype=np.float32)
    if case.state == "noisy":
        state = stored[..., : case.L, :] + np.float32(0.5) * state
    return state, stored


def temperatures(case: Case) -> np.ndarray:
    """The inverse temperatures of a sweep, ``case.steps`` of them, over the transition."""
    stored = arrays(case)[1].astype(np.float64)
    centred = stored - stored.mean(axis=0)
    scale = float(np.sum(centred**2)) / (case.S - 1)  # half the mean square distance
    return np.geomspace(1.0 / scale, 100.0 / scale, case.steps)


def sample(result: Any, count: int = 64) -> list[float]:
    """Some values of a result, to see that two sides computed the same."""
    first = getattr(result, "state", result)
    if hasattr(first, "detach"):
        first = first.detach()
    flat = np.asarray(first, dtype=np.float64).reshape(-1)
    return flat[np.linspace(0, flat.size - 1, count).astype(int)].tolist()
