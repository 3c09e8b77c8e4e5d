"""Memories of random features: what is refused, other libraries, and the size of the error."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

import hopcore
from hopcore.memory import RandomFeatures

RNG = np.random.default_rng(0)
PATTERNS = RNG.normal(size=(200, 10))
STATE = 0.7 * RNG.normal(size=(6, 10))


def test_the_error_falls_as_the_square_root_of_the_number_of_features() -> None:
    errors = [
        RandomFeatures(10, 0.5, count=count).add(PATTERNS).error(STATE).mean()
        for count in (1_000, 4_000, 16_000)
    ]
    ratios = np.divide(errors[:-1], errors[1:])
    np.testing.assert_allclose(ratios, 2.0, atol=0.3)


@pytest.mark.parametrize("beta", [2.0, 5.0])
def test_too_few_features_for_beta_are_refused(beta: float) -> None:
    memory = RandomFeatures(10, beta, count=500).add(PATTERNS)
    for call in (memory.energy, memory.update):
        with pytest.raises(ValueError, match=f"500 random features are too few for beta={beta:g}"):
            call(STATE)
    answer = RandomFeatures(10, beta, count=500, largest_error=math.inf).add(PATTERNS)
    assert np.all(np.isfinite(answer.energy(STATE)))
    assert np.all(np.isfinite(answer.update(STATE)))


def test_the_number_of_features_that_is_advised_is_enough() -> None:
    memory = RandomFeatures(10, 0.5, count=500, largest_error=0.05).add(PATTERNS)
    with pytest.raises(ValueError, match=r"above largest_error=0\.05; use count=") as refused:
        memory.energy(STATE)
    count = int(str(refused.value).partition("count=")[2].partition(",")[0])
    more = RandomFeatures(10, 0.5, count=2 * count, largest_error=0.05).add(PATTERNS)
    wanted = hopcore.energy(STATE, PATTERNS, 0.5, similarity="distance")
    np.testing.assert_allclose(more.energy(STATE), wanted, atol=5 * 0.05 / 0.5)


def test_patterns_are_added_in_any_parts() -> None:
    memory = RandomFeatures(10, 0.1, count=100)
    whole, parts = memory.add(PATTERNS), memory.add(PATTERNS[:70]).add(PATTERNS[70:])
    np.testing.assert_allclose(whole.energy(STATE), parts.energy(STATE), rtol=1e-12)
    assert (memory.stored, whole.stored, parts.stored) == (0, 200, 200)
    size = len(pickle.dumps(whole))
    assert abs(len(pickle.dumps(whole.add(PATTERNS))) - size) < 8
    assert repr(whole) == "<RandomFeatures: 200 patterns of size 10 in 100 features, beta=0.1>"


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_other_libraries_have_the_same_features(library: str) -> None:
    put = hopcore.backend(library).asarray
    wanted = RandomFeatures(10, 0.1, count=500).add(PATTERNS)
    memory = RandomFeatures(10, 0.1, count=500).add(put(PATTERNS.astype(np.float32)))
    state = put(STATE.astype(np.float32))
    np.testing.assert_allclose(memory.update(state), wanted.update(STATE), atol=1e-4)
    np.testing.assert_allclose(memory.energy(state[0]), wanted.energy(STATE[0]), atol=1e-4)


def test_bad_arguments_and_patterns() -> None:
    with pytest.raises(ValueError, match="count must be >= 2, got 1"):
        RandomFeatures(10, 1.0, count=1)
    with pytest.raises(ValueError, match="beta must be"):
        RandomFeatures(10, -1.0)
    with pytest.raises(ValueError, match="the memory holds no patterns yet"):
        RandomFeatures(10, 1.0).energy(STATE)
    with pytest.raises(ValueError, match=r"patterns must be \(\.\.\., 9\), got \(200, 10\)"):
        RandomFeatures(9, 1.0).add(PATTERNS)
    with pytest.raises(ValueError, match="must be finite"):
        RandomFeatures(10, 1.0).add(PATTERNS * np.inf)


def test_more_random_numbers_than_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be at most 2147483647, got 4 \* 1000000000$"):
        hopcore.memory.RandomFeatures(4, 1.0, count=10**9)
