"""Sequences that a memory recalls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hopcore

RNG = np.random.default_rng(0)
STORED = RNG.normal(size=(12, 40))
ORDER = RNG.permutation(12)


@pytest.mark.parametrize("library", ["numpy", "torch", "jax", "streamed"])
@pytest.mark.parametrize("similarity", ["dot", "distance"])
def test_a_sequence_follows_its_order(library: str, similarity: Any) -> None:
    """Each pattern is followed by the next one of a cycle, from a corrupted beginning."""
    cycle, following = STORED[ORDER], STORED[np.roll(ORDER, -1)]
    state = cycle[[3, 7]] + 0.3 * RNG.normal(size=(2, 40))
    put = hopcore.backend("numpy" if library == "streamed" else library).asarray
    memory = tuple(map(put, (cycle, following)))
    if library == "streamed":
        memory = tuple(hopcore.Streamed(x, rows=5) for x in (cycle, following))
    found = hopcore.recall_sequence(put(state), *memory, 10.0, 30, similarity=similarity)
    assert tuple(found.shape) == (30, 2, 40)
    wanted = [[(start + 1 + t) % 12 for start in (3, 7)] for t in range(30)]
    np.testing.assert_allclose(np.asarray(found), cycle[wanted], rtol=1e-4, atol=1e-4)


def test_each_pattern_is_an_association_of_the_one_before() -> None:
    successors = RNG.normal(size=(12, 40))
    options: Any = {"separation": "entmax15", "bias": RNG.normal(size=12)}
    state = RNG.normal(size=(3, 40))
    found = hopcore.recall_sequence(state, STORED, successors, 0.05, 4, **options)
    for got in found:
        state = hopcore.association(state, STORED, successors, beta=0.05, **options)
        np.testing.assert_array_equal(got, state)


def test_a_single_query_has_no_axis_of_queries() -> None:
    found = hopcore.recall_sequence(STORED[0], STORED[:-1], STORED[1:], 10.0, 11)
    np.testing.assert_allclose(found, STORED[1:], atol=1e-9)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"successors must be patterns .*40\), got \(12, 3\)"):
        hopcore.recall_sequence(STORED[:1], STORED, STORED[:, :3], 1.0, 2)
    with pytest.raises(ValueError, match="length must be >= 1"):
        hopcore.recall_sequence(STORED[:1], STORED, STORED, 1.0, 0)
