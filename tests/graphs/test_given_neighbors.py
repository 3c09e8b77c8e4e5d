"""Graphs of neighbours that another tool has found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hopcore

RNG = np.random.default_rng(0)
PATTERNS = RNG.normal(size=(30, 5))


def found_by_angle(patterns: np.ndarray, count: int) -> np.ndarray:
    """The nearest patterns of each by the angle, itself first, as an index returns them."""
    unit = patterns / np.linalg.norm(patterns, axis=-1, keepdims=True)
    return np.argsort(-(unit @ np.swapaxes(unit, -1, -2)), axis=-1)[..., :count]


def same(one: hopcore.Graph, other: hopcore.Graph) -> None:
    np.testing.assert_array_equal(np.asarray(one.edge_index), np.asarray(other.edge_index))
    np.testing.assert_allclose(
        np.asarray(one.to_dense()), np.asarray(other.to_dense()), rtol=1e-6, atol=1e-7
    )


@settings(max_examples=20, deadline=None)
@given(k=st.integers(1, 8), more=st.integers(0, 4), seed=st.integers(0, 1000))
def test_the_graph_is_that_of_an_exact_search(k: int, more: int, seed: int) -> None:
    patterns = np.random.default_rng(seed).normal(size=(2, 12, 4))
    index = found_by_angle(patterns, k + 1 + more)
    same(hopcore.knn_graph(patterns, k, index=index), hopcore.knn_graph(patterns, k))


def test_itself_and_what_was_not_found_do_not_count() -> None:
    index = found_by_angle(PATTERNS, 4)
    without = index[:, 1:]
    holes = np.insert(index, 1, -1, axis=1)
    want = hopcore.knn_graph(PATTERNS, 3)
    for given_index in (without, holes, holes.astype(np.int32), holes.tolist()):
        same(hopcore.knn_graph(PATTERNS, 3, index=given_index), want)
    nothing = hopcore.knn_graph(PATTERNS, 3, index=np.full((30, 3), -1))
    assert nothing.edge_index.shape == (2, 0)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_arrays_of_other_libraries(library: str) -> None:
    pytest.importorskip(library)
    backend = hopcore.backend(library)
    patterns = backend.asarray(PATTERNS.astype(np.float32))
    index = found_by_angle(PATTERNS, 4)
    for given_index in (index, backend.asarray(index.astype(np.int32))):
        same(hopcore.knn_graph(patterns, 3, index=given_index), hopcore.knn_graph(patterns, 3))


def test_masked_patterns_are_isolated() -> None:
    mask = np.ones(30, dtype=bool)
    mask[4] = False
    patterns = PATTERNS.copy()
    patterns[4] = np.nan
    index = found_by_angle(PATTERNS, 30)
    graph = hopcore.knn_graph(patterns, 3, mask=mask, index=index)
    assert 4 not in graph.edge_index
    assert bool(np.isfinite(graph.to_dense()).all())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"index": np.zeros((30, 2))}, "must be integers"),
        ({"index": np.zeros((29, 2), dtype=int)}, "must be integers"),
        ({"index": np.full((30, 2), 30)}, "must number 30 patterns"),
        ({"index": np.full((30, 2), -2)}, "must number 30 patterns"),
        ({"index": np.zeros((30, 2), dtype=int), "method": "nndescent"}, "in place of a search"),
    ],
)
def test_what_is_no_index_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        hopcore.knn_graph(PATTERNS, 3, **options)


def test_a_memory_in_parts_takes_no_index() -> None:
    with pytest.raises(ValueError, match="takes no index="):
        hopcore.knn_graph(hopcore.Streamed(PATTERNS), 3, index=found_by_angle(PATTERNS, 4))
