"""difflayers 0.1.1: its Hopfield layer, with everything but the retrieval switched off."""

from __future__ import annotations

import torch
from difflayers import Hopfield

from benchmarks.cases import Case
from benchmarks.sides import Prepared, arrays


def retrieve(case: Case, library: str) -> Prepared:
    """Iterated association: static patterns, no normalisation, no projections, one head.

    It stops when the softmax weights of the whole batch move by no more than 1e-4, its default.
    """
    layer = Hopfield(
        scaling=case.beta,
        update_steps_max=100,
        normalize_stored_pattern=False,
        normalize_stored_pattern_affine=False,
        normalize_state_pattern=False,
        normalize_state_pattern_affine=False,
        normalize_pattern_projection=False,
        normalize_pattern_projection_affine=False,
        stored_pattern_as_static=True,
        state_pattern_as_static=True,
        pattern_projection_as_static=True,
        disable_out_projection=True,
    ).eval()
    state, stored = (torch.from_numpy(value)[None] for value in arrays(case))

    def call() -> torch.Tensor:
        with torch.no_grad():
            return layer((stored, state, stored))[0]

    return Prepared(call)
