"""The share of patterns that come back: by measurement, by theorems, and that the two agree."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hopcore
from hopcore.convex import AbsoluteSum, ConvexMemory, Polynomial, Quadratic
from hopcore.phase import _capacity, capacity

RANDOM = np.random.default_rng(0).choice([-1.0, 1.0], size=(60, 64))
SEPARATIONS = ["softmax", "entmax:1.5", "sparsemax", "epanechnikov", hopcore.Epanechnikov(3)]


def memories(seed: int) -> np.ndarray:
    """Patterns of different lengths, some of them close to each other."""
    rng = np.random.default_rng(seed)
    count, depth = int(rng.integers(2, 30)), int(rng.integers(2, 20))
    patterns = rng.normal(size=(count, depth)) * rng.uniform(0.3, 2.0, size=(count, 1))
    patterns[count // 2 :] += rng.choice([0.0, 3.0])
    return patterns


@pytest.mark.parametrize("separation", SEPARATIONS, ids=str)
@given(
    seed=st.integers(0, 10**6),
    heat=st.floats(-2.0, 4.0),
    noise=st.floats(0.0, 1.0),
    similarity=st.sampled_from(["dot", "distance"]),
    dtype=st.sampled_from(["float64", "float32"]),
    tolerance=st.sampled_from([1e-5, 0.01, 0.3]),
)
@settings(max_examples=25, deadline=None)
def test_what_is_certain_is_retrieved(
    separation, seed, heat, noise, similarity, dtype, tolerance
) -> None:
    if "panechnikov" in str(separation):
        similarity = "distance"
    found = capacity(
        memories(seed).astype(dtype), 10.0**heat, noise=noise, separation=separation,
        similarity=similarity, tolerance=tolerance, seed=seed,
    )  # fmt: skip
    assert np.all(found.retrieved | ~found.certain)
    assert 0.0 <= found.guaranteed <= found.measured <= 1.0
    assert found.measured == np.mean(found.retrieved)


@given(seed=st.integers(0, 10**6), separation=st.sampled_from(SEPARATIONS))
@settings(max_examples=10, deadline=None)
def test_without_noise_cold_distances_lose_nothing(seed, separation) -> None:
    patterns = memories(seed)
    found = capacity(patterns, 1e5, noise=0.0, separation=separation, similarity="distance")
    assert (found.measured, found.guaranteed) == (1.0, 1.0)


def test_a_theorem_guarantees_what_it_says() -> None:
    patterns, margin = 3.0 * np.eye(5), 9.0
    for separation, beta in (("sparsemax", 1.0 / margin), ("entmax:1.5", 2.0 / margin)):
        for factor, share in ((1.001, 1.0), (0.999, 0.0)):
            found = capacity(patterns, factor * beta, noise=0.0, separation=separation)
            assert found.guaranteed == share
    # Half of the squared distance is 9; with the softmax, 2 (N-1) M exp(-9 beta) <= 0.01 M / 4.
    beta = math.log(8.0 / 0.0025) / (margin - 2.0 * 0.0025 * 9.0)
    assert capacity(patterns, 1.001 * beta, noise=0.0).guaranteed == 1.0
    assert capacity(patterns, 0.7 * beta, noise=0.0).guaranteed == 0.0
    for factor, share in ((1.001, 1.0), (0.999, 0.0)):
        found = capacity(patterns, factor / margin, noise=0.0, separation="epanechnikov")
        assert found.guaranteed == share


def test_the_noise_is_drawn_from_the_seed_or_given() -> None:
    some, same, other = (capacity(RANDOM, 0.3, noise=2.0, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(some.retrieved, same.retrieved)
    assert 0.0 < some.measured < 1.0
    assert (some.retrieved != other.retrieved).any()
    drawn = np.random.default_rng(0).standard_normal(RANDOM.shape)
    given_noise = capacity(RANDOM, 0.3, noise=2.0 * drawn)
    np.testing.assert_array_equal(some.retrieved, given_noise.retrieved)


def test_a_memory_of_two_functions_says_itself_what_is_certain() -> None:
    flips = np.where(np.random.default_rng(1).random(RANDOM.shape) < 0.1, -2.0 * RANDOM, 0.0)
    shares = []
    for hidden in (Quadratic(), Polynomial(3), Polynomial(6)):
        found = capacity(RANDOM, noise=flips, memory=ConvexMemory(hidden, AbsoluteSum()))
        assert np.all(found.retrieved | ~found.certain)
        shares.append(found[:2])
    # Theorem and measurement differ for the cube, and agree at both ends.
    assert shares[0][0] < 0.1
    assert shares[0][1] == 0.0
    assert 0.1 < shares[1][1] < shares[1][0]
    assert shares[2] == (1.0, 1.0)


def test_without_signs_there_is_no_theorem() -> None:
    modern = ConvexMemory(hopcore.convex.FenchelYoung(0.1))
    found, same = capacity(RANDOM, noise=1.0, memory=modern), capacity(RANDOM, 0.1, noise=1.0)
    np.testing.assert_array_equal(found.retrieved, same.retrieved)
    assert math.isnan(found.guaranteed)
    assert not found.certain.any()


def test_what_a_memory_calls_certain_must_be_a_boolean_for_each_pattern() -> None:
    class Wrong:
        def retrieve(self, state, stored, *, max_steps, tol):
            return hopcore.retrieve(state, stored, 0.1, max_steps=max_steps, tol=tol)

        def certain(self, state, stored):
            return np.ones(3, bool)

    with pytest.raises(ValueError, match="must return 60 booleans, one for each pattern"):
        capacity(RANDOM, noise=1.0, memory=Wrong())


def test_one_subset_guarantees_what_sparsemax_does() -> None:
    found, same = (
        capacity(RANDOM, 0.025, noise=0.5, separation=name) for name in ("k-subsets:1", "sparsemax")
    )
    np.testing.assert_array_equal(found.certain, same.certain)
    assert 0.0 < found.guaranteed < 1.0


def test_means_of_several_patterns_have_no_theorem() -> None:
    found = capacity(RANDOM, 1.0, noise=0.1, separation="k-subsets:4")
    assert math.isnan(found.guaranteed)
    assert found.measured == 0.0


@pytest.mark.parametrize("library", ["torch", pytest.param("jax.numpy", marks=pytest.mark.full)])
def test_other_libraries_find_the_same(library) -> None:
    namespace = pytest.importorskip(library)
    for separation in ("softmax", "sparsemax", "epanechnikov"):
        options = {"noise": 0.5, "separation": separation, "similarity": "distance"}
        beta = 2.0 / 36.0 if separation == "epanechnikov" else 0.2
        plain = capacity(RANDOM.astype(np.float32), beta, **options)
        found = capacity(namespace.asarray(RANDOM.astype(np.float32)), beta, **options)
        assert found[:2] == plain[:2]
        assert isinstance(found.retrieved, np.ndarray)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"noise": -1.0, "beta": 1.0}, "noise must be >= 0"),
        ({"noise": np.ones(3), "beta": 1.0}, r"noise must be .* \(60, 64\), got \(3,\)"),
        ({"noise": np.full((60, 64), np.nan), "beta": 1.0}, "noise"),
        ({"noise": 1e200, "beta": 1.0}, "noise must have values whose squares fit into float64"),
        ({"noise": 0.1}, "beta must be a number, got None"),
        ({"noise": 0.1, "beta": 1.0, "tolerance": 2.0}, "tolerance .* <= 1, got 2"),
        ({"noise": 0.1, "beta": 1.0, "tolerance": 0.0}, "tolerance must be >= 1e-05"),
        ({"noise": 0.1, "beta": 1.0, "max_steps": 0}, "max_steps must be >= 1"),
        ({"noise": 0.1, "beta": 1.0, "seed": -1}, "seed must be >= 0"),
        ({"noise": 0.1, "memory": 3}, "memory must have a method retrieve"),
        ({"noise": 0.1, "memory": ConvexMemory}, "memory must have a method retrieve"),
        ({"noise": 0.1, "beta": 1.0, "memory": ConvexMemory(Quadratic())}, "leave out beta"),
        ({"noise": 0.1, "beta": 1.0, "separation": "epanechnikov", "similarity": "dot"}, "distanc"),
        (
            {"noise": 0.1, "beta": 1.0, "separation": hopcore.Entmax(np.ones((2, 1)) + 0.5)},
            "a single number as alpha",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_argument_is_refused_in_one_line(options, said) -> None:
    with pytest.raises((TypeError, ValueError), match=said) as caught:
        capacity(RANDOM, **options)
    assert "\n" not in str(caught.value)


FAULTS = {
    "none": ("update_error", lambda right: right),
    "a bound without N": ("update_error", lambda right: lambda g, b, n, m, r: right(g, b, 2, m, r)),
    "a bound at twice beta": (
        "update_error", lambda right: lambda g, b, n, m, r: right(g, 2 * b, n, m, r),
    ),
    "margins without the other patterns": (
        "scores_of_others", lambda right: lambda *given: 0.0 * right(*given),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_seen(name, monkeypatch) -> None:
    function, fault = FAULTS[name]
    monkeypatch.setattr(_capacity, function, fault(getattr(_capacity, function)))
    broken = 0
    for seed in range(12):
        for beta in np.geomspace(0.1, 30.0, 8):
            found = capacity(memories(seed), beta, noise=0.3, similarity="distance", seed=seed)
            broken += int(np.sum(found.certain & ~found.retrieved))
    assert (broken > 0) == (name != "none")
