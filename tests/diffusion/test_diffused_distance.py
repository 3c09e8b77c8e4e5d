"""Diffused retrieval by distance: without diffusion it is a retrieval, and what it excludes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hopcore

RNG = np.random.default_rng(0)
STORED, VALUES = RNG.normal(size=(12, 4)), RNG.normal(size=(12, 2))
STATE = STORED[:5] + 0.1 * RNG.normal(size=(5, 4))
STILL = hopcore.DiffusionConfig(eta=0.0, k_neighbors=2)


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_without_diffusion_it_is_a_retrieval(library: str) -> None:
    put = hopcore.backend(library).asarray
    state, stored, values = put(STATE), put(STORED), put(VALUES)
    found = hopcore.diffused_retrieve(state, stored, 6.0, config=STILL, similarity="distance")
    wanted = hopcore.retrieve(state, stored, 6.0, similarity="distance")
    for name in ("state", "steps", "converged", "residual", "energy"):
        got, want = (np.asarray(getattr(one, name)) for one in (found, wanted))
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12, err_msg=name)
    found = hopcore.diffused_retrieve(
        state, stored, 6.0, config=STILL, values="untied", projection=values, similarity="distance"
    )
    wanted = hopcore.association(state, stored, values, beta=6.0, similarity="distance")
    np.testing.assert_allclose(np.asarray(found.output), np.asarray(wanted), rtol=1e-9)


def test_distances_do_not_favour_long_patterns() -> None:
    """A pattern in whose direction there is a longer one is found by distance alone."""
    stored = np.asarray([[1.0, 0.0], [3.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    config = hopcore.DiffusionConfig(eta=1e-3, steps=1, k_neighbors=1)
    by_dot = hopcore.diffused_retrieve(stored[:1], stored, 20.0, config=config).state
    options: Any = {"config": config, "similarity": "distance"}
    by_distance = hopcore.diffused_retrieve(stored[:1], stored, 20.0, **options).state
    assert np.linalg.norm(by_distance - stored[0]) < 0.01
    assert np.linalg.norm(by_dot - stored[0]) > 1.0


@pytest.mark.parametrize(
    "options",
    [
        {"values": "evolving"},
        {"tracker": hopcore.EnergyTracker()},
        {"config": hopcore.DiffusionConfig(use_logit_diffusion=True)},
        {"config": hopcore.DiffusionConfig(attention_mode="graph")},
        {"config": hopcore.DiffusionConfig(adaptive_eta="query")},
    ],
    ids=["evolving", "tracker", "logits", "graph", "query"],
)
def test_what_distances_exclude(options: dict[str, Any]) -> None:
    numbers = np.zeros((len(STATE), len(STORED)))
    numbers[0, 0] = 1.0
    for name, given in {
        "similarity='distance'": {"similarity": "distance"},
        "a bias": {"bias": np.ones(len(STORED))},
        "a mask of numbers": {"mask": numbers},
    }.items():
        message = f"^diffused retrieval takes {name} for tied or untied values: leave out"
        with pytest.raises(ValueError, match=message):
            hopcore.diffused_retrieve(STATE, STORED, 1.0, **given, **options)
    with pytest.raises(ValueError, match="similarity must be 'dot' or 'distance', got 'cosine'"):
        hopcore.diffused_retrieve(STATE, STORED, 1.0, similarity="cosine", **options)  # type: ignore[arg-type]
