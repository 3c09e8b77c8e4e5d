"""Few queries of a large set: the maps of keys and values move to the queries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hopcore
from hopcore.arrays import backend
from hopcore.layers import _few_queries, _hopfield
from hopcore.layers._few_queries import obstacle_to_moved_maps
from hopcore.layers._projections import Patterns

PLAIN = hopcore.HopfieldSettings(input_size=6, num_heads=3, hidden_size=2)


@pytest.fixture(autouse=True)
def small_sets_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_few_queries, "WORTH", 1)


def of_layer(
    layer: hopcore.HopfieldSettings, queries: int, seed: int = 0, patterns: int = 9
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Parameters with no zeros, a set (2, S, 6) and queries (2, L, 6)."""
    rng = np.random.default_rng(seed)
    shapes = hopcore.initial_parameters(layer, dtype="float64")
    parameters = {name: rng.normal(size=x.shape) for name, x in shapes.items()}
    return parameters, rng.normal(size=(2, patterns, 6)), rng.normal(size=(2, queries, 6))


def obstacle(layer: hopcore.HopfieldSettings, queries: int, patterns: int = 9) -> str:
    parameters, stored, state = of_layer(layer, queries, patterns=patterns)
    given = Patterns(state, stored, stored)
    return obstacle_to_moved_maps(layer, parameters, backend("numpy"), given)


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "not normalised": {"normalize_stored_pattern": False},
    "values not normalised": {"normalize_pattern_projection": False},
    "another eps": {"normalize_pattern_projection_eps": 0.5},
    "without scale and shift": {"normalize_stored_pattern_affine": False},
    "without bias": {"input_bias": False},
    "static queries": {"state_pattern_as_static": True, "hidden_size": 6},
    "wide values": {"pattern_size": 5},
    "betas of heads": {"scaling": (0.3, 1.0, 4.0)},
    "sparse": {"separation": "sparsemax", "scaling": 2.0},
    "learned alphas": {"separation": hopcore.LearnableAlpha(per_head=True)},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
@pytest.mark.parametrize("masks", ["none", "padding", "boolean", "numbers"])
@settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**31))
def test_moved_maps_give_the_output_of_projected_sets(
    options: dict[str, Any], masks: str, seed: int
) -> None:
    layer = replace(PLAIN, **options)
    assert obstacle(layer, 2) == ""
    parameters, stored, state = of_layer(layer, 2, seed)
    rng = np.random.default_rng(seed)
    given: dict[str, Any] = {}
    if masks == "padding":
        given["stored_pattern_padding_mask"] = rng.random((2, 9)) < 0.4
    if masks in ("boolean", "numbers"):
        hidden = rng.random((2, 3, 2, 9)) < 0.4
        hidden[0, 0, 0] = True  # this query may attend to nothing
        numbers = np.where(hidden, -np.inf, rng.normal(size=hidden.shape))
        given["association_mask"] = hidden if masks == "boolean" else numbers
    found = hopcore.hopfield(layer, parameters, stored, state, **given)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_hopfield, "obstacle_to_moved_maps", lambda *given: "compared with")
        wanted = hopcore.hopfield(layer, parameters, stored, state, **given)
    # Parameters of size 1 make terms of about 6 * 6 that cancel.
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-10)


def test_dropout_is_applied_to_the_weights_of_each_head() -> None:
    parameters, stored, state = of_layer(PLAIN, 2)
    seen = []

    def drop(weights: np.ndarray) -> np.ndarray:
        seen.append(weights.copy())
        return np.where(np.arange(9) % 2 == 0, 2.0 * weights, 0.0)

    found = hopcore.hopfield(PLAIN, parameters, stored, state, drop=drop)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_hopfield, "obstacle_to_moved_maps", lambda *given: "compared with")
        wanted = hopcore.hopfield(PLAIN, parameters, stored, state, drop=drop)
    assert seen[0].shape == seen[1].shape == (2, 3, 2, 9)
    np.testing.assert_allclose(seen[0], seen[1], rtol=1e-9)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"update_steps_max": 1}, "updated from"),
        ({"add_zero_association": True}, "added"),
        ({"concat_bias_pattern": True}, "added"),
        ({"diffusion": hopcore.DiffusionConfig()}, "diffused"),
        ({"similarity": "distance"}, "distances need the keys"),
        ({"normalize_hopfield_space": True}, "normalised in the association space"),
        ({"stored_pattern_as_static": True, "hidden_size": 6}, "not maps of the patterns"),
        ({"pattern_projection_as_static": True, "pattern_size": 6}, "not maps of the patterns"),
        ({"pattern_projection_as_connected": True}, "not maps of the patterns"),
    ],
)
def test_settings_that_need_the_keys_say_why(options: dict[str, Any], why: str) -> None:
    assert why in obstacle(replace(PLAIN, **options), 1)


def test_the_border_is_where_moved_queries_stop_to_pay() -> None:
    """L (H - 1) < d, with H = 3 and d = 6, and at most half as many queries as patterns."""
    assert obstacle(PLAIN, 2) == ""
    assert "too many queries" in obstacle(PLAIN, 3)
    assert obstacle(PLAIN, 2, patterns=4) == ""
    assert "too many queries" in obstacle(PLAIN, 2, patterns=3)
    single = replace(PLAIN, num_heads=1)
    assert obstacle(single, 4) == ""
    (stored,) = of_layer(PLAIN, 1)[1:2]
    assert "so small a set" in obstacle_of_worth(2 * 9 * 6 * (6 - 2 * 2) + 1)
    assert obstacle_of_worth(2 * 9 * 6 * (6 - 2 * 2)) == ""
    itself = Patterns(stored, stored, stored)
    assert "associates with itself" in obstacle_to_moved_maps(PLAIN, {}, backend("numpy"), itself)


def obstacle_of_worth(least: int) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_few_queries, "WORTH", least)
        return obstacle(PLAIN, 2)


def test_half_precision_projects_the_set() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("hopcore_torch")
    x = torch.zeros(2, 9, 6, dtype=torch.bfloat16)
    found = obstacle_to_moved_maps(PLAIN, {}, backend("torch"), Patterns(x[:, :1], x, x))
    assert "half precision" in found
