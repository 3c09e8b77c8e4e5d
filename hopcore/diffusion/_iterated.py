"""Retrieval from a memory that has been diffused, by any scores."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from hopcore.arrays._inputs import Inputs
from hopcore.diffusion._diffused_result import DiffusedRetrieval
from hopcore.memory._energy import energy_of
from hopcore.memory._scores import PLAIN, Scores, Similarity, scores_of
from hopcore.memory._separation import get_separation
from hopcore.memory._stopping_loop import (
    broadcast_state,
    iterate_to_fixed_point,
    length_unit,
    scored_update_of,
    update_of,
    updated,
)


class Scoring(NamedTuple):
    """How states are compared with keys: a similarity, a bias, and the numbers of a mask."""

    similarity: Similarity
    bias: Any
    added: Any

    def of(self, inputs: Inputs) -> Scores:
        """Return the scores of checked inputs."""
        return scores_of(inputs, self.similarity, self.bias, added=self.added)


def check_plain(scoring: Scoring) -> None:
    """Raise unless the scores are dot products alone."""
    given = {
        "similarity='distance'": scoring.similarity == "distance",
        "a bias": scoring.bias is not None,
        "a mask of numbers": scoring.added is not None,
    }
    names = " and ".join(name for name, used in given.items() if used)
    if names:
        raise ValueError(
            f"diffused retrieval takes {names} for tied or untied values: leave out "
            "values='evolving', logit diffusion, attention over the graph, adaptive_eta='query' "
            "and the tracker"
        )


def iterate_in_memory(
    moved: Inputs, projected: bool, updates: int, tol: float, scoring: Scoring
) -> DiffusedRetrieval:
    """Update each query in the diffused memory until it converges, then recall."""
    memory = moved._replace(projection=moved.stored) if projected else moved
    softmax, scores = get_separation("softmax"), scoring.of(memory)
    plain = scores is PLAIN
    memory = broadcast_state(memory, scores.keys, scores.added)
    numbers = scores.added is not None  # they have an axis of queries
    state, steps, residual, converged, *_ = iterate_to_fixed_point(
        memory,
        partial(update_of, softmax) if plain else partial(scored_update_of, softmax, scores),
        updates,
        tol,
        others=scores.arrays if numbers else (),
        shared=() if numbers else scores.arrays,
        unit=None if plain else length_unit(memory, scores.centred(memory)),
    )
    final = moved._replace(state=state)
    energy = energy_of(final, softmax, scores)
    output = updated(softmax, scoring.of(final), final) if projected else state
    return DiffusedRetrieval(output, state, moved.stored, steps, converged, residual, energy)
