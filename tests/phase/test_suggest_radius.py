"""The beta that is suggested for compact kernels, which determines their radius."""

from __future__ import annotations

import math

import numpy as np
import pytest

import hopcore

RNG = np.random.default_rng(0)
STORED = RNG.normal(size=(200, 6))
OPTIONS = {"separation": "epanechnikov", "similarity": "distance"}


def exact(queries: np.ndarray, beta: float) -> float:
    """The share of queries that one update brings to their pattern, to rounding."""
    found = hopcore.update(queries, STORED, beta, **OPTIONS)
    return float(np.mean(np.all(np.abs(found - STORED) < 1e-9, axis=-1)))


def test_patterns_are_retrieved_exactly() -> None:
    found = hopcore.suggest_beta(STORED, **OPTIONS)
    assert found.error == 0.0
    assert exact(STORED, found.beta) >= 0.95
    assert exact(STORED, found.beta / 4) < 0.9  # a radius twice as large holds other patterns, too
    assert f"the radius {math.sqrt(2 / found.beta):.3g}" in found.reason


def test_a_known_noise_makes_the_radius_reach_its_pattern() -> None:
    noise = 0.2
    queries = STORED + noise * np.random.default_rng(1).normal(size=STORED.shape)
    found = hopcore.suggest_beta(STORED, noise=noise, **OPTIONS)
    shares = [exact(queries, factor * found.beta) for factor in (0.25, 0.5, 0.7, 1.5, 2.0, 4.0)]
    assert exact(queries, found.beta) > 0.85 * max(shares)
    assert exact(queries, found.beta) > 1.5 * shares[0]
    assert exact(queries, found.beta) > 1.5 * shares[-1]


def test_retrieval_takes_it() -> None:
    found = hopcore.retrieve(STORED[:5], STORED, "auto", separation="epanechnikov")
    assert found.suggestion.beta == hopcore.suggest_beta(STORED, **OPTIONS).beta
    assert list(found.index) == [0, 1, 2, 3, 4]


def test_one_pattern_has_a_radius() -> None:
    found = hopcore.suggest_beta(STORED[:1], **OPTIONS)
    assert 0.0 < found.beta < math.inf


def test_dot_products_have_none() -> None:
    with pytest.raises(ValueError, match=r"^separation=epanechnikov needs distances"):
        hopcore.suggest_beta(STORED, separation="epanechnikov")
    with pytest.raises(ValueError, match="average states are those of the softmax"):
        hopcore.suggest_beta(STORED, "average", **OPTIONS)
