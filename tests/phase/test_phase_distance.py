"""Memories whose states are compared by distance: nothing is lost, wherever the patterns are."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hopcore
from hopcore import datasets
from hopcore.phase._lost import needed_similarity


def images(count: int, seed: int = 0) -> np.ndarray:
    """Digits with pixels from 0 to 255, most of which longer ones cover."""
    pixels = datasets.digits().pixels
    return (np.random.default_rng(seed).permutation(pixels)[:count] + 1.0) * 127.5


def test_half_known_images_find_themselves_at_the_suggested_beta() -> None:
    stored = images(300)
    queries = np.where(np.arange(64) < 32, stored, np.nan)
    found = hopcore.retrieve(queries, stored, "auto", known=~np.isnan(queries))
    np.testing.assert_array_equal(found.index, np.arange(300))
    np.testing.assert_array_equal(found.state[:, :32], stored[:, :32])
    assert found.suggestion == hopcore.suggest_beta(stored, similarity="distance")
    assert found.suggestion.similarity == "distance"


def test_the_reason_says_what_dot_products_lose() -> None:
    stored = images(300)
    dot = hopcore.suggest_beta(stored)
    covered = np.sum(np.argmax(stored @ stored.T, axis=-1) != np.arange(300))
    assert dot.lost == pytest.approx(covered / 300)
    assert dot.lost > 0.5
    assert dot.reason.endswith(
        f"{dot.lost:.0%} of the patterns are copies or covered by longer ones, and "
        "similarity='distance' loses none"
    )
    distance = hopcore.suggest_beta(stored, similarity="distance")
    assert distance.lost == 0.0
    assert ";" not in distance.reason
    assert needed_similarity(stored)[0] == "distance"
    assert needed_similarity(np.eye(5)) == ("dot", "dot products lose none of the patterns")
    # Copies are lost to both, which is no reason for distances.
    copies = np.eye(4)[[0, 0, 1, 2]]
    assert needed_similarity(copies)[0] == "dot"
    assert "distance" not in hopcore.suggest_beta(copies).reason


def test_retrieval_warns_only_with_the_similarity_that_loses_patterns(caplog) -> None:
    stored = images(40)
    for similarity, level in (("dot", logging.WARNING), ("distance", logging.INFO)):
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="hopcore"):
            hopcore.retrieve(stored[:1], stored, "auto", similarity=similarity)
        assert [record.levelno for record in caplog.records] == [level]


@given(st.integers(0, 99), st.floats(-2.0, 2.0), st.sampled_from(["softmax", "sparsemax"]))
@settings(max_examples=10, deadline=None)
def test_distances_do_not_depend_on_the_place(seed: int, power: float, separation: str) -> None:
    rng = np.random.default_rng(seed)
    stored = rng.normal(size=(9, 4)) * rng.uniform(0.3, 3.0, size=(9, 1))
    moved = 10.0**power * (stored + 7.0 * rng.normal(size=4))
    first, other = (
        hopcore.suggest_beta(x, similarity="distance", separation=separation)
        for x in (stored, moved)
    )
    assert other.beta * 100.0**power == pytest.approx(first.beta, rel=1e-9)
    assert first.lost == other.lost == 0.0
    bounds = [
        hopcore.phase.retrieval_error_bound(x, beta, similarity="distance")
        for x, beta in ((stored, 3.0), (moved, 3.0 / 100.0**power))
    ]
    np.testing.assert_allclose(bounds[1], bounds[0] * 10.0**power, rtol=1e-5)


def test_every_distinct_pattern_appears_by_distance() -> None:
    stored = np.asarray([[1.0, 0.0], [3.0, 0.1], [0.0, 1.0], [3.0, 0.1]])
    with pytest.warns(hopcore.phase.HypothesisWarning, match="1 of 4 repeats another"):
        found = hopcore.critical_betas(stored, similarity="distance")
    assert np.isinf(found.appear).tolist() == [False, True, False, True]


def test_one_pattern_and_copies_have_a_finite_beta() -> None:
    for stored in (np.full((1, 3), 7.3), np.full((3, 3), 7.3)):
        found = hopcore.suggest_beta(stored, similarity="distance")
        assert found.margin == 0.5
        assert 0.0 < found.beta < 100.0


@pytest.mark.parametrize(
    "ask",
    [
        lambda x, s: hopcore.suggest_beta(x, similarity=s),
        lambda x, s: hopcore.suggest_beta(x, "average", similarity=s),
        lambda x, s: hopcore.critical_betas(x, similarity=s),
        lambda x, s: hopcore.phase.minima(x, 1.0, similarity=s),
        lambda x, s: hopcore.phase.sweep(x, [1.0], similarity=s),
        lambda x, s: hopcore.phase.retrieval_error_bound(x, 1.0, similarity=s),
    ],
)
def test_unknown_similarities_are_refused(ask) -> None:
    with pytest.raises(ValueError, match="must be 'dot' or 'distance', got 'cosine'"):
        ask(np.eye(3), "cosine")
    with pytest.raises(TypeError, match="must be 'dot' or 'distance', got int"):
        ask(np.eye(3), 2)
