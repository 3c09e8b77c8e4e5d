"""Exponentials of scores in NumPy: none is subnormal, and no result changes beyond rounding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

import hopcore
from hopcore.arrays._exponentials import LOWEST, exponentiate

KINDS = [np.float32, np.float64]


@given(
    kind=st.sampled_from(KINDS),
    count=st.sampled_from([1, 7, 4000, 12_000]),
    width=st.floats(0.0, 3.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_they_are_exact_or_beyond_the_smallest_normal_number(kind, count, width, seed) -> None:
    rng = np.random.default_rng(seed)
    lowest, tiny = LOWEST[np.dtype(kind)], np.finfo(kind).tiny
    scores = (width * lowest * rng.random(count)).astype(kind)
    scores[rng.random(count) < 0.01] = -np.inf
    unknown = bool(rng.integers(2))  # as nan, with which all scores are exponentiated as they are
    scores[rng.random(count) < 0.01 * unknown] = np.nan
    given_scores = scores.copy()
    exponentiate(scores)
    with np.errstate(under="ignore"):
        wanted = np.exp(given_scores)
    if not np.isnan(given_scores).any():
        wanted[given_scores < kind(lowest)] = 0.0
        assert not ((scores > 0.0) & (scores < tiny)).any()
    np.testing.assert_array_equal(np.isnan(scores), np.isnan(given_scores))
    np.testing.assert_allclose(scores, wanted, rtol=4 * np.finfo(kind).eps, atol=0.0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("queries", [2, 3, 1100])
def test_cold_associations_are_those_of_all_weights(kind, masked: bool, queries: int) -> None:
    rng = np.random.default_rng(0)
    stored = rng.standard_normal((2000, 16)).astype(kind)
    state = rng.standard_normal((queries, 16)).astype(kind)
    beta = -LOWEST[np.dtype(kind)] / 8.0  # about half of the exponentials would be subnormal
    mask = np.ones((queries, 2000), bool)
    if masked:
        mask = rng.random((queries, 2000)) < 0.7
        mask[0] = False
    got = hopcore.association(state, stored, beta=beta, mask=mask if masked else None)
    scores = np.where(mask, beta * state.astype(np.longdouble) @ stored.T, -np.inf)
    scores[~mask.any(axis=1)] = 0.0
    wanted = softmax(scores, axis=-1) @ stored
    wanted[~mask.any(axis=1)] = 0.0
    eps = 64.0 * beta * 16.0 * np.finfo(kind).eps  # of scores that are rounded
    np.testing.assert_allclose(got, wanted.astype(np.float64), atol=eps)
    assert (got[~mask.any(axis=1)] == 0.0).all()
