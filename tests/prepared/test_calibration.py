"""Calibrated memories accept the stated share of queries, and say so in their results."""

from __future__ import annotations

import math

import numpy as np
import pytest

import hopcore
from hopcore.prepared._calibration import nearest

rng = np.random.default_rng(0)
STORED = rng.standard_normal((80, 12))


def queries(count, seed):
    drawn = np.random.default_rng(seed)
    return STORED[drawn.integers(80, size=count)] + 0.3 * drawn.standard_normal((count, 12))


@pytest.mark.parametrize("score", ["distance", "energy"])
def test_the_share_of_false_alarms_over_50_splits(score):
    rate, splits, size = 0.1, 50, 200
    refused = 0
    for seed in range(splits):
        memory = hopcore.Memory(STORED, beta=4.0)
        memory.calibrate(queries(199, 2 * seed), false_alarms=rate, score=score)
        refused += int((~memory.accepts(queries(size, 2 * seed + 1))).sum())
    # Each split has a rate of its own, a beta variable of variance below rate (1 - rate) / 201.
    share, variance = refused / (splits * size), rate * (1 - rate)
    wrong = math.sqrt(variance / (splits * size) + variance / (201 * splits))
    assert abs(share - rate) < 4.0 * wrong


def test_a_query_that_is_not_known_completely_is_neither_accepted_nor_refused():
    memory = hopcore.Memory(STORED, beta=4.0)
    memory.calibrate(noise=0.3)
    known = np.arange(12) < 9
    states = np.where(known, STORED[:2], np.nan)
    found = hopcore.retrieve(states, memory, 4.0, known=known)
    assert found.accepted is None
    assert found.index.tolist() == [0, 1]


def test_accepted_stands_in_results_of_retrieval():
    memory = hopcore.Memory(STORED, beta=4.0)
    assert memory.retrieve(STORED[:2]).accepted is None
    memory.calibrate(noise=0.3, false_alarms=0.01)
    states = np.stack([STORED[0] + 0.1, 10.0 + STORED[1]])
    assert memory.retrieve(states).accepted.tolist() == [True, False]
    assert hopcore.retrieve(states[0], memory, 4.0).accepted.tolist() is True
    assert memory.accepts(states[None]).shape == (1, 2)
    memory.remove(memory.keys)
    assert memory.accepts(states).tolist() == [False, False]


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_accepted_is_of_the_library_of_the_states(library):
    pytest.importorskip(library)
    memory = hopcore.Memory(STORED.astype(np.float32), beta=4.0)
    memory.calibrate(noise=0.3)
    state = hopcore.backend(library).asarray(STORED[:2], dtype="float32")
    accepted = memory.retrieve(state).accepted
    assert type(accepted) is type(state)
    assert np.asarray(accepted).tolist() == [True, True]


@pytest.mark.parametrize("error", [0.0, 1e-6])
def test_nearest_distances(error, monkeypatch):
    monkeypatch.setattr("hopcore.prepared._snapshot.SMALL", 0)
    memory = hopcore.Memory(STORED + 100.0, beta=1.0, error=error)
    states = queries(30, 1) + 100.0
    wanted = np.linalg.norm(states[:, None] - memory.patterns, axis=-1).min(axis=-1)
    np.testing.assert_allclose(nearest(memory.snapshot(), states), wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give queries, or"),
        ({"queries": STORED[:5]}, "needs at least 19 queries, got 5"),
        ({"noise": 0.1, "false_alarms": 1.0}, "between 0 and 1"),
        ({"noise": 0.1, "score": "cosine"}, "'distance' or 'energy'"),
        ({"noise": -1.0}, "noise must be >= 0"),
    ],
)
def test_wrong_calibrations(options, message):
    with pytest.raises(ValueError, match=message):
        hopcore.Memory(STORED, beta=1.0).calibrate(**options)
