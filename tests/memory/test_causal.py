"""The mask "causal" of the functions of a memory: its blocks, its memory, and what is refused."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore.arrays import Backend

RNG = np.random.default_rng(0)
STORED = RNG.normal(size=(2, 9, 4))
STATE = RNG.normal(size=(2, 9, 4))
TRIANGLE = np.tri(9, dtype=bool)

OPTIONS: list[dict[str, Any]] = [
    {},
    {"separation": "sparsemax"},
    {"similarity": "distance"},
    {"separation": "epanechnikov:2", "similarity": "distance"},
    {"separation": hopcore.Entmax(1.5), "bias": np.linspace(-1.0, 1.0, 9)},
]


@pytest.fixture(params=[2, 3, 9])
def rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many queries a block has."""
    monkeypatch.setattr(Backend, "causal_rows", lambda self, state, patterns: request.param)
    return request.param


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_blocks_are_the_triangle(rows: int, options: dict[str, Any]) -> None:
    causal, masked = {"mask": "causal", **options}, {"mask": TRIANGLE, **options}
    functions: list[Any] = [
        hopcore.update,
        hopcore.energy,
        hopcore.energy_gradient,
        hopcore.association_weights,
    ]
    for function in functions:
        found = function(STATE, STORED, 2.0, **causal)
        np.testing.assert_allclose(found, function(STATE, STORED, 2.0, **masked), atol=1e-12)
    for function in (hopcore.statistics, hopcore.retrieve):
        found = function(STATE, STORED, 2.0, **causal)
        for got, wanted in zip(found, function(STATE, STORED, 2.0, **masked), strict=True):
            np.testing.assert_allclose(got, wanted, atol=1e-12)


def test_a_retrieval_is_the_one_with_the_triangle(rows: int) -> None:
    options: dict[str, Any] = {"max_steps": 5, "tol": 1e-3, "track": True}
    found = hopcore.retrieve(STATE, STORED, 2.0, mask="causal", **options)
    wanted = hopcore.retrieve(STATE, STORED, 2.0, mask=TRIANGLE, **options)
    np.testing.assert_array_equal(found.steps, wanted.steps)
    np.testing.assert_array_equal(found.index, wanted.index)
    np.testing.assert_allclose(found.certain, wanted.certain, atol=1e-12)
    np.testing.assert_allclose(found.path, wanted.path, atol=1e-12)
    np.testing.assert_allclose(found.energies, wanted.energies, atol=1e-12)


@pytest.mark.parametrize("queries", [0, 1, 4, 9, 12])
def test_associations_of_any_number_of_queries(rows: int, queries: int) -> None:
    state, values = RNG.normal(size=(queries, 4)), RNG.normal(size=(9, 3))
    stored, mask = STORED[0].copy(), np.tri(queries, 9, dtype=bool)
    found = hopcore.association(state, stored, values, beta=1.0, mask="causal", return_lse=True)
    wanted = hopcore.association(state, stored, values, beta=1.0, mask=mask, return_lse=True)
    for got, right in zip(found, wanted, strict=True):
        np.testing.assert_allclose(got, right, atol=1e-12)
    weights = hopcore.association_weights(state, stored, 1.0, mask="causal")
    assert weights.shape == (queries, 9)
    assert np.all((weights > 0.0) == mask)


def test_patterns_after_the_last_query_may_hold_anything() -> None:
    stored = STORED[0].copy()
    stored[4:] = np.nan
    found = hopcore.association(STATE[0, :4], stored, beta=1.0, mask="causal")
    wanted = hopcore.association(STATE[0, :4], stored[:4], beta=1.0, mask="causal")
    np.testing.assert_array_equal(found, wanted)


def test_no_array_of_all_pairs_is_made() -> None:
    stored = RNG.normal(size=(4096, 4)).astype(np.float32)
    hopcore.energy(stored, stored, 1.0, mask="causal")
    for function in (hopcore.update, hopcore.energy, hopcore.retrieve):
        tracemalloc.start()
        more: dict[str, Any] = {"max_steps": 2} if function is hopcore.retrieve else {}
        function(stored, stored, 1.0, mask="causal", **more)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4096 * 4096  # of one byte each


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ((STATE[0, :3], STORED[0]), {}, r"as many states as patterns, got \(3, 4\) and \(9, 4\)"),
        ((STATE[0, 0], STORED[0]), {}, r"needs a sequence of states \(L, d\)"),
        ((STATE, STORED), {"mask": "casual"}, "mask must be an array or 'causal', got 'casual'"),
        ((STATE, STORED), {"known": STATE > 0}, "not taken together with known="),
        ((STATE[0], hopcore.Streamed(STORED[0])), {}, "one array, got a memory in parts"),
    ],
)
def test_what_is_refused(arrays: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        hopcore.retrieve(*arrays, 1.0, **{"mask": "causal", **options})
