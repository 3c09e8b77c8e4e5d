"""Layers and attention with a compact kernel: keys farther than a radius have no weight."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from layers.test_similarity import STATIC, drawn

import hopcore
from hopcore.layers import (
    attention_statistics,
    dot_product_attention,
    hopfield_statistics,
    hopfield_weights,
)

IN_REACH = replace(STATIC, separation="epanechnikov", scaling=0.3)
"""A layer that is an association with a compact kernel and nothing else."""

OPTIONS: dict[str, Any] = {"separation": "epanechnikov", "similarity": "distance"}


@pytest.mark.parametrize("separation", ["epanechnikov", "epanechnikov:3"])
def test_a_static_layer_is_an_association_with_the_kernel(separation: Any) -> None:
    state, stored = drawn(0, (2, 3, 4), (2, 5, 4))
    settings = replace(IN_REACH, separation=separation)
    power = hopcore.Epanechnikov(3 if separation.endswith("3") else 1)
    found = hopcore.hopfield(settings, {}, stored, state)
    wanted = hopcore.association(state, stored, beta=0.3, separation=power, similarity="distance")
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)
    weights = hopfield_weights(settings, {}, stored, state)[:, 0]
    assert np.any(weights == 0.0)
    assert np.any(weights > 0.0)
    wanted = hopcore.association_weights(
        state, stored, 0.3, separation=power, similarity="distance"
    )
    np.testing.assert_allclose(weights, wanted, rtol=1e-12, atol=1e-14)


def test_a_query_in_reach_of_no_key_gets_zeros_and_stays_in_updates() -> None:
    stored = np.asarray([[0.0, 0.0], [1.0, 0.0]])
    state = np.asarray([[0.4, 0.0], [9.0, 0.0]])
    found = hopcore.hopfield(IN_REACH, {}, stored, state)
    np.testing.assert_allclose(found, [[0.5, 0.0], [0.0, 0.0]])
    # The second query, at the end of two updates, is still out of reach.
    updated = replace(IN_REACH, update_steps_max=2)
    np.testing.assert_allclose(hopcore.hopfield(updated, {}, stored, state), found)
    # A query that moved to zero in an update would be in reach of both keys.
    weights = hopfield_weights(updated, {}, stored, state)
    np.testing.assert_array_equal(weights[0, 1], [0.0, 0.0])


def test_statistics_are_those_of_the_association() -> None:
    state, stored = drawn(1, (2, 3, 4), (2, 5, 4))
    mask = np.zeros((3, 5), dtype=bool)
    mask[1, 2:], mask[2] = True, True
    found = hopfield_statistics(IN_REACH, {}, stored, state, association_mask=mask)
    wanted = hopcore.statistics(state, stored, 0.3, mask=~mask, **OPTIONS)
    for name, value in wanted._asdict().items():
        got = getattr(found, name)[:, 0]
        np.testing.assert_allclose(got, value, rtol=1e-11, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_by_distance_takes_the_kernel(causal: bool) -> None:
    query, key, value = drawn(2, (2, 5, 4), (2, 5, 4), (2, 5, 3))
    mask = np.tril(np.ones((5, 5), dtype=bool)) if causal else None
    options: dict[str, Any] = {"scale": 0.4, "causal": causal, **OPTIONS}
    found = dot_product_attention(query, key, value, **options)
    wanted = hopcore.association(query, key, value, beta=0.4, mask=mask, **OPTIONS)
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)
    wanted = hopcore.statistics(query, key, 0.4, mask=mask, **OPTIONS)
    for name, value in attention_statistics(query, key, **options)._asdict().items():
        np.testing.assert_allclose(value, getattr(wanted, name), rtol=1e-11, err_msg=name)


def test_what_leaves_no_radius_is_refused_in_one_line() -> None:
    (x,) = drawn(3, (2, 5, 4))
    with pytest.raises(ValueError, match="needs distances: write similarity='distance'"):
        hopcore.HopfieldSettings(input_size=4, separation="epanechnikov")
    with pytest.raises(ValueError, match="'epanechnikov:p' needs an integer from 1 to 16, got"):
        replace(IN_REACH, separation="epanechnikov:0.5")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="mask of numbers would change the radius"):
        hopcore.hopfield(IN_REACH, {}, x, association_mask=x[0, :, :1] * np.ones((5, 5)))
    with pytest.raises(ValueError, match="bias would change the radius of a key"):
        dot_product_attention(x, x, x, bias=np.ones((5, 5)), **OPTIONS)
    with pytest.raises(ValueError, match="scale must be positive"):
        dot_product_attention(x, x, x, scale=-1.0, **OPTIONS)
