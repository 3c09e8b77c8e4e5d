"""Layers and attention whose scores are distances."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hopcore
from hopcore.layers import dot_product_attention, hopfield_statistics, hopfield_weights

STATIC = hopcore.HopfieldSettings(
    similarity="distance",
    scaling=0.7,
    stored_pattern_as_static=True,
    state_pattern_as_static=True,
    pattern_projection_as_static=True,
    disable_out_projection=True,
    normalize_stored_pattern=False,
    normalize_state_pattern=False,
    normalize_pattern_projection=False,
)
"""A layer that is an association and nothing else."""


def drawn(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


def test_a_static_layer_is_an_association_by_distance() -> None:
    state, stored = drawn(0, (2, 3, 4), (2, 5, 4))
    options: dict[str, Any] = {"beta": 0.7, "similarity": "distance"}
    found = hopcore.hopfield(STATIC, {}, stored, state)
    np.testing.assert_allclose(found, hopcore.association(state, stored, **options), rtol=1e-12)
    weights = hopfield_weights(STATIC, {}, stored, state)[:, 0]
    wanted = hopcore.association_weights(state, stored, **options)
    np.testing.assert_allclose(weights, wanted, rtol=1e-12)


@pytest.mark.parametrize("number", [0.0, 1e-30])
@pytest.mark.parametrize("separation", ["softmax", "sparsemax"])
def test_statistics_are_those_of_an_association_by_distance(separation: Any, number: float) -> None:
    """With numbers in a mask they come from all weights, and otherwise from blocks of them."""
    state, stored = drawn(1, (2, 3, 4), (2, 5, 4))
    settings = replace(STATIC, separation=separation)
    mask = np.full((3, 5), number)
    mask[1, 2:], mask[2] = -np.inf, -np.inf
    found = hopfield_statistics(settings, {}, stored, state, association_mask=mask)
    wanted = hopcore.statistics(
        state, stored, 0.7, mask=mask == number, separation=separation, similarity="distance"
    )
    for name, value in wanted._asdict().items():
        got = getattr(found, name)[:, 0]
        np.testing.assert_allclose(got, value, rtol=1e-11, atol=1e-12, err_msg=name)


@given(seed=st.integers(0, 2**31), updates=st.sampled_from([0, 2]))
def test_keys_of_one_length_have_the_weights_of_dot_products(seed: int, updates: int) -> None:
    settings = hopcore.HopfieldSettings(
        input_size=6,
        num_heads=2,
        hidden_size=4,
        normalize_hopfield_space=True,
        normalize_hopfield_space_eps=0.0,
        update_steps_max=updates,
    )
    parameters = hopcore.initial_parameters(settings, seed=seed % 1000, dtype="float64")
    (stored,) = drawn(seed, (2, 5, 6))
    dots = hopfield_weights(settings, parameters, stored)
    distances = hopfield_weights(replace(settings, similarity="distance"), parameters, stored)
    np.testing.assert_allclose(distances, dots, rtol=1e-9)


def test_a_long_key_hides_no_shorter_one() -> None:
    stored = np.asarray([[1.0, 0.0], [9.0, 0.0]])
    dots = hopcore.hopfield(replace(STATIC, similarity="dot", scaling=4.0), {}, stored, stored)
    distances = hopcore.hopfield(replace(STATIC, scaling=4.0), {}, stored, stored)
    np.testing.assert_allclose(dots, stored[[1, 1]])
    np.testing.assert_allclose(distances, stored)


def test_patterns_far_from_zero_keep_their_digits() -> None:
    """Nothing normalises the keys, so that the mean is subtracted first."""
    state, stored = (np.round(x, 2) for x in drawn(2, (3, 4), (5, 4)))
    wanted = hopcore.hopfield(STATIC, {}, stored, state)
    far = [np.asarray(x + 4096.0, dtype=np.float32) for x in (stored, state)]
    found = hopcore.hopfield(STATIC, {}, *far)
    # The patterns themselves are rounded to 2^-12, half of which moves a score by at most 0.01.
    np.testing.assert_allclose(found - np.float32(4096.0), wanted, atol=0.02)


def test_a_float_mask_is_added_in_every_update() -> None:
    state, stored, bias = drawn(3, (3, 4), (5, 4), (3, 5))
    settings = replace(STATIC, update_steps_max=2, update_steps_eps=0.0)
    found = hopcore.hopfield(settings, {}, stored, state, association_mask=bias)
    for _ in range(3):
        scores = -0.35 * np.sum((state[:, None] - stored) ** 2, axis=-1) + bias
        powers = np.exp(scores - scores.max(-1, keepdims=True))
        state = powers / powers.sum(-1, keepdims=True) @ stored
    np.testing.assert_allclose(found, state, rtol=1e-11)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"similarity": "cosine"}, "similarity must be 'dot' or 'distance', got 'cosine'"),
        ({"diffusion": hopcore.DiffusionConfig(adaptive_eta=True)}, "need dot products, got sim"),
        ({"diffusion": hopcore.DiffusionConfig(energy_stop_tol=0.1)}, "need dot products, got sim"),
        ({"diffusion": hopcore.DiffusionConfig(use_logit_diffusion=True)}, "need dot products"),
        ({"diffusion": hopcore.DiffusionConfig(attention_mode="graph")}, "need dot products"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        hopcore.HopfieldSettings(**{"input_size": 4, "similarity": "distance", **options})
    assert "\n" not in str(error.value)


def test_checkpoints_keep_the_similarity_and_old_ones_have_dot_products(tmp_path: Path) -> None:
    settings = hopcore.HopfieldSettings(input_size=4, similarity="distance")
    hopcore.save_layer(tmp_path / "layer", settings, hopcore.initial_parameters(settings))
    assert hopcore.load_layer(tmp_path / "layer").settings == settings
    old = {name: x for name, x in settings.to_dict().items() if name != "similarity"}
    assert hopcore.HopfieldSettings.from_dict(old).similarity == "dot"


SCALES: dict[str, Any] = {
    "given none": None,
    "a number": 0.3,
    "a negative number": -0.3,
    "one for each head": np.asarray([[0.2], [-0.4], [1.0], [0.5]]),
}


@pytest.mark.parametrize("name", sorted(SCALES))
@pytest.mark.parametrize("kind", ["plain", "causal", "numbers", "dropout"])
def test_attention_by_distance_is_its_formula(name: str, kind: str) -> None:
    query, key, value = drawn(4, (2, 4, 5, 3), (2, 2, 5, 3), (2, 2, 5, 6))
    scale, numbers = SCALES[name], drawn(5, (4, 5, 5))[0] if kind == "numbers" else None
    kept = drawn(6, (2, 4, 5, 5))[0] > 0.0
    options: dict[str, Any] = {"scale": scale, "bias": numbers, "causal": kind == "causal"}
    if kind == "dropout":
        options["drop"] = lambda weights: weights * kept
    found = dot_product_attention(query, key, value, similarity="distance", **options)
    keys, values = (np.repeat(x, 2, axis=1) for x in (key, value))
    factor = 1.0 / np.sqrt(3.0) if scale is None else scale
    scores = -0.5 * np.sum((query[..., None, :] - keys[..., None, :, :]) ** 2, axis=-1)
    scores = np.asarray(factor)[..., None] * scores
    scores = scores if numbers is None else scores + numbers
    if kind == "causal":
        scores = np.where(np.tri(5, dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights = weights / weights.sum(-1, keepdims=True)
    wanted = (weights * kept if kind == "dropout" else weights) @ values
    np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-12)


def test_later_keys_do_not_change_a_causal_query_at_all() -> None:
    query, key = drawn(7, (1, 5, 3), (1, 5, 3))
    options: dict[str, Any] = {"causal": True, "similarity": "distance"}
    before = dot_product_attention(query, key, key, **options)
    key = key * np.asarray([1.0, 1.0, 1.0, 1e6, 1.0])[:, None]
    after = dot_product_attention(query, key, key, **options)
    np.testing.assert_array_equal(after[:, :3], before[:, :3])


def test_attention_refuses_an_unknown_similarity() -> None:
    query = np.zeros((1, 2, 3))
    with pytest.raises(ValueError, match="similarity must be 'dot' or 'distance', got 'cosine'"):
        dot_product_attention(query, query, query, similarity="cosine")  # type: ignore[arg-type]
