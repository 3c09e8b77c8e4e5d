"""Retrieval by distances, and clusters of the states that it ends in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sklearn")

from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import adjusted_rand_score

import hopcore
from hopcore.sklearn import HopfieldClusterer, HopfieldRetriever
from hopcore.sklearn._retrieval import APART, grouped


def updated(state: np.ndarray, stored: np.ndarray, beta: float, steps: int) -> np.ndarray:
    """Make updates by distances with plain arrays."""
    for _ in range(steps):
        scores = -0.5 * beta * ((state[:, None] - stored) ** 2).sum(axis=2)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        state = weights @ stored / weights.sum(axis=1, keepdims=True)
    return state


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 20),
    columns=st.integers(1, 4),
    steps=st.integers(0, 6),
    beta=st.floats(1e-2, 1e2),
    seed=st.integers(0, 1000),
)
def test_retrieval_is_the_formula(
    rows: int, columns: int, steps: int, beta: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    stored, state = rng.normal(size=(rows, columns)) + 20.0, rng.normal(size=(5, columns)) + 20.0
    model = HopfieldRetriever(beta, max_steps=steps, tol=0.0).fit(stored)
    wanted = updated(state, stored, beta, steps)
    np.testing.assert_allclose(model.transform(state), wanted, rtol=1e-9)


def test_dot_products_are_retrieve() -> None:
    rng = np.random.default_rng(0)
    stored = rng.choice([-1.0, 1.0], size=(20, 32))
    state = stored[:5] + 0.3 * rng.normal(size=(5, 32))
    found = HopfieldRetriever(similarity="dot").fit(stored)
    assert found.beta_ == hopcore.suggest_beta(stored).beta
    wanted = hopcore.retrieve(state, stored, found.beta_).state
    np.testing.assert_array_equal(found.transform(state), wanted)


def test_auto_keeps_nearly_all_training_rows() -> None:
    digits = load_digits().data[:400]
    kept = HopfieldRetriever().fit(digits).transform(digits)
    away = np.linalg.norm(kept - digits, axis=1)
    assert (away < 1.0).mean() > 0.95  # digits are 20 apart at the least, and 50 on average
    exact = HopfieldRetriever(separation="sparsemax").fit(digits)
    np.testing.assert_allclose(exact.transform(digits), digits, atol=1e-9)


def test_noise_is_removed_whatever_the_lengths_are() -> None:
    rng = np.random.default_rng(0)
    stored = rng.normal(size=(30, 50)) * rng.uniform(0.3, 3.0, size=(30, 1))
    noisy = stored + 0.2 * rng.normal(size=stored.shape)
    found = HopfieldRetriever().fit(stored).transform(noisy)
    left, noise = (np.linalg.norm(rows - stored, axis=1) for rows in (found, noisy))
    assert (left < 0.02 * noise).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"similarity": "cosine"}, "similarity must be one of 'distance', 'dot', got 'cosine'"),
        ({"max_steps": -1}, "max_steps must be >= 0, got -1"),
        ({"tol": -1.0}, "tol must be >= 0 and finite, got -1.0"),
        ({"separation": "max"}, "unknown separation 'max'"),
    ],
)
def test_a_bad_setting_is_refused(arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        HopfieldRetriever(**arguments).fit_transform(np.eye(3))


def test_blobs_are_found_and_predicted() -> None:
    rows, labels = make_blobs(150, centers=4, cluster_std=0.4, random_state=3)
    model = HopfieldClusterer().fit(rows)
    assert adjusted_rand_score(labels, model.labels_) > 0.95
    np.testing.assert_array_equal(model.predict(rows), model.labels_)
    np.testing.assert_array_equal(model.fit_predict(rows), model.labels_)
    sizes = np.bincount(model.labels_)
    assert (np.diff(sizes) <= 0).all()


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1000), beta=st.floats(0.5, 30.0))
def test_centres_are_fixed_points_of_the_plain_update(seed: int, beta: float) -> None:
    rows = np.random.default_rng(seed).normal(size=(25, 2))
    model = HopfieldClusterer(beta, max_steps=100_000, tol=1e-10).fit(rows)
    centers = model.cluster_centers_
    np.testing.assert_allclose(updated(centers, rows, beta, 1), centers, atol=1e-7)
    apart = np.linalg.norm(centers[:, None] - centers, axis=2) + np.eye(len(centers)) * 9.0
    assert apart.min() > APART / np.sqrt(beta)
    ends = updated(rows, rows, beta, 1000)
    assert np.linalg.norm(ends - centers[model.labels_], axis=1).max() < APART / np.sqrt(beta)


def test_the_number_of_clusters_grows_from_one_to_all() -> None:
    rows = np.random.default_rng(0).normal(size=(12, 2))
    counts = [len(HopfieldClusterer(b).fit(rows).cluster_centers_) for b in (0.01, 5.0, 1e6)]
    assert counts[0] == 1
    assert counts[0] < counts[1] < counts[2] == 12


def test_equal_rows_are_one_cluster() -> None:
    model = HopfieldClusterer().fit(np.ones((5, 3)))
    assert list(model.labels_) == [0] * 5
    np.testing.assert_array_equal(model.cluster_centers_, np.ones((1, 3)))


def test_groups_are_ordered_by_size() -> None:
    states = np.asarray([[9.0], [1.0], [1.01], [5.0], [9.0], [1.0]])
    labels, centers = grouped(states, 0.1)
    assert list(labels) == [1, 0, 0, 2, 1, 0]
    assert list(centers[:, 0]) == [1.0, 9.0, 5.0]
