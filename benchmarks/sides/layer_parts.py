"""The layer of a case: its settings, parameters and patterns, the same for every side."""

from __future__ import annotations

import numpy as np

import hopcore
from benchmarks.cases import Case
from benchmarks.sides import arrays


def settings(case: Case, *, diffused: bool = False, cached: bool = False) -> dict:
    """Arguments of the constructor."""
    plain = {"input_size": case.d, "num_heads": case.heads}
    if not diffused:
        return plain
    diffusion = {"eta": 0.1, "k_neighbors": case.k, "diffusion_steps": case.steps}
    return {**plain, **diffusion, "cache_graph": cached}


def parameters(case: Case) -> dict[str, np.ndarray]:
    """Weights of which scores come out with a standard deviation of about one."""
    found = hopcore.initial_parameters(hopcore.HopfieldSettings(**settings(case)))
    return {
        name: x * np.float32(50 / case.d**0.5) if x.ndim == 2 else x for name, x in found.items()
    }


def patterns(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stored patterns, state patterns and pattern projections."""
    state, stored = arrays(case)
    return stored, state, np.ascontiguousarray(stored[..., ::-1])
