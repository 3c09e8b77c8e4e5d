"""What a retrieval says besides its arrays: the pattern that was found, and why its beta."""

from __future__ import annotations

import copy
import logging
import re
from typing import Any

import numpy as np
import pytest

import hopcore

RNG = np.random.default_rng(0)
STORED = RNG.normal(size=(40, 6))
STORED /= np.linalg.norm(STORED, axis=1, keepdims=True)
QUERIES = STORED[[3, 17, 8]] + 0.01


@pytest.mark.parametrize("separation", ["softmax", "sparsemax", "entmax15", "entmax:1.2"])
def test_the_index_is_that_of_the_pattern_with_the_largest_weight(separation: str) -> None:
    found = hopcore.retrieve(QUERIES, STORED, 200.0, separation=separation)
    np.testing.assert_array_equal(found.index, [3, 17, 8])
    weights = hopcore.association_weights(found.state, STORED, 200.0, separation=separation)
    np.testing.assert_array_equal(found.index, weights.argmax(axis=-1))
    assert hopcore.retrieve(QUERIES[1], STORED, 200.0, separation=separation).index == 17


def test_masked_patterns_are_not_found() -> None:
    mask = np.ones((3, 40), bool)
    mask[0, 3] = False
    mask[1] = False
    found = hopcore.retrieve(QUERIES, STORED, 200.0, mask=mask)
    assert found.index[0] != 3
    np.testing.assert_array_equal(found.index[1:], [-1, 8])
    assert found.certain[1] == 0.0


def test_without_the_memory_there_is_no_index() -> None:
    found = hopcore.retrieve(QUERIES, STORED, 200.0)
    with pytest.raises(AttributeError, match="index and certain need the memory"):
        _ = copy.deepcopy(found).index
    with pytest.raises(AttributeError, match="index and certain need the memory"):
        _ = copy.deepcopy(found).certain


@pytest.mark.parametrize("separation", ["softmax", "sparsemax", "k-subsets:3"])
@pytest.mark.parametrize("rows", [1, 7])
def test_streamed_memories_find_the_same_patterns(separation: str, rows: int) -> None:
    whole = hopcore.retrieve(QUERIES, STORED, 9.0, separation=separation)
    streamed = hopcore.Streamed(STORED, rows=rows)
    parts = hopcore.retrieve(QUERIES, streamed, 9.0, separation=separation)
    np.testing.assert_array_equal(parts.index, whole.index)
    np.testing.assert_allclose(parts.certain, whole.certain, rtol=1e-12)


def test_the_first_of_equal_patterns_is_found() -> None:
    stored = np.concatenate([STORED, STORED])
    for memory in (stored, hopcore.Streamed(stored, rows=11), hopcore.Streamed(stored, rows=40)):
        found = hopcore.retrieve(QUERIES, memory, 200.0)
        np.testing.assert_array_equal(found.index, [3, 17, 8])
        np.testing.assert_allclose(found.certain, 0.5, atol=1e-3)


def test_a_pattern_that_is_found_alone_is_certain() -> None:
    found = hopcore.retrieve(QUERIES, STORED, 200.0, separation="sparsemax")
    np.testing.assert_array_equal(found.certain, 1.0)
    assert hopcore.retrieve(QUERIES[0], STORED, 200.0).certain.shape == ()


def test_an_automatic_beta_comes_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="hopcore"):
        found = hopcore.retrieve(QUERIES, STORED, "auto")
    suggestion = hopcore.suggest_beta(STORED)
    assert found.suggestion == suggestion
    assert suggestion.reason in caplog.text
    wanted = hopcore.retrieve(QUERIES, STORED, suggestion.beta)
    np.testing.assert_array_equal(found.state, wanted.state)
    assert wanted.suggestion is None


FROM_ZERO: dict[str, Any] = {
    "retrieve": lambda S, X: hopcore.retrieve(S, X, 1e30).state,
    "a beta for each query": lambda S, X: hopcore.retrieve(S, X, [1e30]).state,
    "sparsemax": lambda S, X: hopcore.retrieve(S, X, 1e30, separation="sparsemax").state,
    "a sequence": lambda S, X: hopcore.recall_sequence(S, X, X, 1e30, 3),
    "a sequence by distance": lambda S, X: hopcore.recall_sequence(
        S, 1e-6 * X, X, 1e30, 3, similarity="distance"
    ),
    "diffused": lambda S, X: (
        hopcore.diffused_retrieve(S, X, 1e30, config=hopcore.DiffusionConfig(k_neighbors=1)).state
    ),
    "evolving": lambda S, X: (
        hopcore.diffused_retrieve(
            S, X, 1e30, values="evolving", config=hopcore.DiffusionConfig(k_neighbors=1)
        ).state
    ),
    "two convex functions": lambda S, X: (
        hopcore.convex.ConvexMemory(hopcore.convex.FenchelYoung(1e30)).retrieve(S, X).state
    ),
}


@pytest.mark.parametrize("call", FROM_ZERO.values(), ids=FROM_ZERO)
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_an_updated_state_has_finite_scores(library: str, call: Any) -> None:
    """The scores of zeros are finite at any beta, but those of the state that is recalled may not.

    A beta that leaves all of them finite is accepted, whatever the first state is.
    """
    put = hopcore.backend(library).asarray
    stored = put(np.asarray([[1.5e6, 2e5], [1e6, -1e6]], dtype=np.float32))
    state = put(np.zeros((1, 2), dtype=np.float32))
    small = 1e-6
    result = np.asarray(call(small * state, small * stored))
    assert np.all(np.isfinite(result))
    with np.errstate(all="raise"):
        try:
            result = np.asarray(call(state, stored))
        except ValueError as error:
            assert re.fullmatch(r"beta must be at most [^\n]*, got 1e\+30", str(error))  # noqa: PT017
        else:
            assert np.all(np.isfinite(result))
    # Without an update, the scores of the zeros are all that there is.
    found = hopcore.retrieve(state, stored, 1e30, max_steps=0)
    assert np.all(np.isfinite(np.asarray(found.energy)))


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
def test_a_long_way_to_tiny_patterns_has_its_length(library: str) -> None:
    """The first update is 2e15 long, and M is 1e-30: their ratio overflows in float32."""
    put = hopcore.backend(library).asarray
    stored = put(np.eye(4, dtype=np.float32) * np.float32(1e-30))
    state = put(np.full((1, 4), 1e15, np.float32))
    with np.errstate(all="raise"):
        first = hopcore.retrieve(state, stored, 1.0, max_steps=1)
        last = hopcore.retrieve(state, stored, 1.0)
    np.testing.assert_allclose(np.asarray(first.residual), [2e15], rtol=1e-6)
    assert not bool(first.converged[0])
    assert bool(last.converged[0])


@pytest.mark.parametrize("similarity", ["dot", "distance"])
def test_an_extreme_beta_may_have_a_gradient(similarity: Any) -> None:
    """Its size is looked at without torch's warning that a tensor with a gradient becomes one."""
    torch: Any = pytest.importorskip("torch")
    stored, state = (torch.asarray(x, dtype=torch.float32) for x in (STORED, QUERIES))
    beta = torch.full((len(QUERIES),), 1e13, requires_grad=True)
    found = hopcore.retrieve(state, stored, beta, similarity=similarity)
    assert list(found.index) == [3, 17, 8]
    with pytest.raises(ValueError, match="beta must be at most"):
        hopcore.retrieve(state, stored, 1e25 * beta, similarity=similarity)
    assert (
        hopcore.recall_sequence(state, stored, stored, beta, 3, similarity=similarity)
        .isfinite()
        .all()
    )
