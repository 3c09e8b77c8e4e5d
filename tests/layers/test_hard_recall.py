"""The hard path of a layer recalls one value for each query, without an array of all weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from layers.test_similarity import STATIC, drawn

import hopcore
from hopcore.layers import _recall, hopfield_weights, straight_through

LAYERS: dict[str, dict[str, Any]] = {
    "dot products": {"similarity": "dot"},
    "distances": {},
    "sparse": {"separation": "sparsemax"},
    "in reach": {"separation": "epanechnikov", "scaling": 0.2},
    "updated": {"update_steps_max": 2},
    "at the bound": {"separation": "k-subsets:2", "scaling": 50.0},
    "heads": {"similarity": "dot", "num_heads": 2, "scaling": (0.5, 2.0)},
}


@pytest.mark.parametrize("options", LAYERS.values(), ids=list(LAYERS))
@pytest.mark.parametrize("masked", [False, True])
def test_it_is_the_recall_with_the_largest_weight(options: dict[str, Any], masked: bool) -> None:
    settings = replace(STATIC, **options)
    state, stored, values = drawn(0, (2, 7, 4), (2, 9, 4), (2, 9, 5))
    given: dict[str, Any] = {}
    if masked:
        mask = np.random.default_rng(1).random((7, 9)) < 0.5
        mask[2] = True  # this query may attend to nothing
        given["association_mask"] = mask
    found = hopcore.hopfield(settings, {}, stored, state, values, hard=True, **given)
    weights = straight_through(hopfield_weights(settings, {}, stored, state, values, **given))
    wanted = np.concatenate(list(np.moveaxis(weights @ values[:, None], 1, 0)), axis=-1)
    np.testing.assert_array_equal(found, wanted)
    if masked:
        assert not found[:, 2].any()


def test_no_array_of_all_weights_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any) -> Any:
        raise AssertionError("all weights were computed")

    state, stored = drawn(2, (3, 4), (5, 4))
    wanted = stored[np.argmin(np.sum((state[:, None] - stored) ** 2, axis=-1), axis=-1)]
    monkeypatch.setattr(_recall, "weights_of", refuse)
    found = hopcore.hopfield(STATIC, {}, stored, state, hard=True)
    np.testing.assert_array_equal(found, wanted)
    with pytest.raises(AssertionError, match="all weights"):
        hopcore.hopfield(STATIC, {}, stored, state, hard=True, drop=lambda weights: weights)


def test_numbers_in_a_mask_take_part_in_the_choice() -> None:
    stored = np.asarray([[0.0], [1.0]])
    numbers = np.asarray([[0.0, 9.0]])
    found = hopcore.hopfield(STATIC, {}, stored, stored[:1], hard=True, association_mask=numbers)
    np.testing.assert_array_equal(found, [[1.0]])
