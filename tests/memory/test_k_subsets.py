"""k-subsets wherever a separation function is accepted, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
import pytest

import hopcore
from hopcore import KSubsets
from hopcore.experiments.parsing import separation_named
from hopcore.memory import get_separation
from hopcore_conformance.oracle import k_subsets as plain

RNG = np.random.default_rng(0)
STATE, STORED = RNG.normal(size=(5, 3)), RNG.normal(size=(300, 3))


@pytest.mark.parametrize("name", ["k-subsets:4", "k_subsets:4"])
def test_names(name: str) -> None:
    assert get_separation(name) == KSubsets(4)
    assert separation_named("k-subsets:4") == KSubsets(4)


@pytest.mark.parametrize("name", ["k-subsets:0", "k-subsets:1.5", "k-subsets:-2", "k-subsets:a"])
def test_wrong_names_are_refused_in_one_line(name: str) -> None:
    for named in (get_separation, separation_named):
        with pytest.raises(ValueError, match=f"^separation 'k-subsets:k' needs .*, got '{name}'$"):
            named(name)


@pytest.mark.parametrize("k", [0, -1, 2.0, "2", True, None])
def test_a_budget_is_a_positive_integer(k: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^k must be "):
        KSubsets(k)


def test_integers_of_numpy_are_taken() -> None:
    assert KSubsets(np.int64(3)) == KSubsets(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("k", [1, 3, 17, 100])
@pytest.mark.parametrize("beta", [0.01, 1.3, 1e4])
def test_associations_of_whole_and_streamed_memories(k: int, beta: float) -> None:
    wanted = plain.weights(beta * STATE @ STORED.T, k)
    options = {"beta": beta, "separation": KSubsets(k)}
    found = hopcore.association(STATE, STORED, **options)
    np.testing.assert_allclose(found, wanted @ STORED, atol=1e-11)
    streamed = hopcore.association(STATE, hopcore.Streamed(STORED), **options)
    np.testing.assert_allclose(streamed, found, atol=1e-11)
    told = hopcore.statistics(STATE, STORED, beta, separation=KSubsets(k))
    np.testing.assert_allclose(told.largest, wanted.max(-1), atol=1e-11)


def test_a_mean_of_k_patterns_is_a_fixed_point_of_retrieval() -> None:
    stored = np.eye(6)
    mean = stored[:2].mean(0, keepdims=True)
    found = hopcore.retrieve(mean + 0.1 * np.eye(6)[2:3], stored, 8.0, separation="k-subsets:2")
    np.testing.assert_array_equal(found.state, mean)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [5, 130, 3000])
def test_few_steps_find_the_threshold(dtype: str, width: int) -> None:
    steps = []

    def loop(cond: Any, body: Any, value: Any, most: int) -> Any:
        for _ in range(most):
            if not bool(cond(value)):
                break
            value = body(value)
            steps.append(1)
        return value

    scores = RNG.normal(size=(20, width)) * np.logspace(-3, 4, 20)[:, None]
    weights, _ = KSubsets(4).evaluate(scores.astype(dtype), xp, loop)
    np.testing.assert_allclose(weights.sum(-1), 1.0, rtol=width * np.finfo(dtype).eps)
    assert len(steps) <= 80


@pytest.mark.parametrize("k", [1, 2, 5])
def test_a_gap_of_exactly_one_is_enough_for_any_scores(k: int) -> None:
    # Multiples of 2^-51 from 1 to 2 stay exact when 1 is added.
    low = 1.0 + RNG.integers(0, 2**51, size=(200, 1)) * 2.0**-51
    others = low - RNG.uniform(0.0, 1.0, size=(200, 6)), low + 1.0 + RNG.uniform(size=(200, k - 1))
    scores = np.concatenate([*others, low, low + 1.0], axis=-1)
    weights = hopcore.separate(scores, KSubsets(k))
    np.testing.assert_array_equal(weights, np.where(scores >= low + 1.0, 1.0 / k, 0.0))


def test_only_scores_above_the_lowest_have_weights() -> None:
    scores = RNG.normal(size=(40, 400)) * np.logspace(-2, 2, 40)[:, None]
    for k in (1, 2, 9):
        some = scores[:, ::7]
        lowest = KSubsets(k).lowest(some, plain.weights(some, k), xp)
        assert np.all(np.isfinite(lowest))
        assert np.all((scores >= lowest) | (plain.weights(scores, k) == 0.0))
    few = scores[:, :5]
    assert np.all(KSubsets(9).lowest(few, plain.weights(few, 9), xp) == -np.inf)


def test_layers_and_their_checkpoints(tmp_path: Path) -> None:
    settings = hopcore.HopfieldSettings(input_size=6, num_heads=2, separation="k-subsets:2")  # type: ignore[arg-type]
    assert settings.separation_function == KSubsets(2)
    parameters = hopcore.initial_parameters(settings)
    hopcore.save_layer(tmp_path / "layer", settings, parameters)
    loaded = hopcore.load_layer(tmp_path / "layer")
    assert loaded.settings == settings
    x = RNG.normal(size=(2, 7, 6)).astype(np.float32)
    wanted = hopcore.layers.hopfield_weights(settings, parameters, x)
    assert np.all(wanted <= 0.5 + 1e-6)
    assert np.any((wanted > 0.0) & (wanted < 0.5 - 1e-6))


def test_no_beta_is_suggested_for_means() -> None:
    with pytest.raises(ValueError, match=r"^a beta is suggested .* with KSubsets\(k=2\)$"):
        hopcore.suggest_beta(np.eye(4), separation=KSubsets(2))
