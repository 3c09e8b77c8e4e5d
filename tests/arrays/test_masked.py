"""What no query may attend to is never read: which patterns that are, and what is refused."""

from __future__ import annotations

from pathlib import Path

import array_api_compat.numpy as xp
import numpy as np
import pytest

import hopcore
from hopcore.arrays._masked import attended_by_some

STORED = np.eye(4, 3)
STATE = np.asarray([[0.5, 0.25, 0.125]])
LAST = np.asarray([True, True, True, False])


def with_last(value: float, dtype: str = "float64") -> np.ndarray:
    """The stored patterns with something in the last one."""
    other = STORED.astype(dtype)
    other[3] = value
    return other


def test_a_pattern_counts_if_some_query_may_attend_to_it() -> None:
    mask = np.asarray([[True, False, False], [False, True, False]])
    np.testing.assert_array_equal(attended_by_some(xp, mask, ()), [True, True, False])
    np.testing.assert_array_equal(attended_by_some(xp, mask[0], ()), mask[0])
    # Each sample has a memory of its own, or all share one.
    samples = np.stack([mask, mask[:, ::-1]])
    own = attended_by_some(xp, samples, (2,))
    np.testing.assert_array_equal(own, [[True, True, False], [False, True, True]])
    np.testing.assert_array_equal(attended_by_some(xp, samples, ()), [True, True, True])
    np.testing.assert_array_equal(attended_by_some(xp, samples, (1,)), [[True, True, True]])
    # No query attends to nothing, and a mask may be one for all patterns.
    assert not attended_by_some(xp, mask[:0], ()).any()
    np.testing.assert_array_equal(attended_by_some(xp, mask[:, 2:], ()), [False])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_functions_of_numpy_take_anything_under_a_mask(value: float) -> None:
    stored = with_last(value)
    few = STORED[:3]
    mask = LAST[None]
    for function in (hopcore.energy, hopcore.energy_gradient, hopcore.update):
        wanted = function(STATE, few, 2.0)
        np.testing.assert_allclose(function(STATE, stored, 2.0, mask=mask), wanted, rtol=1e-14)
    projection = np.where(LAST[:, None], 1.0, value) * np.ones((4, 2))
    got = hopcore.association(STATE, stored, projection, beta=2.0, mask=mask)
    np.testing.assert_allclose(got, [[1.0, 1.0]], rtol=1e-14)
    weights = hopcore.association_weights(STATE, stored, 2.0, mask=mask)
    assert weights[0, 3] == 0.0
    np.testing.assert_array_equal(stored[3], value)  # which is not written to


def test_what_a_query_attends_to_must_be_finite() -> None:
    both = np.stack([LAST, np.ones(4, dtype=bool)])
    states = np.concatenate([STATE, STATE])
    with pytest.raises(ValueError, match=r"stored must be finite, got nan at index \(3, 0\)"):
        hopcore.update(states, with_last(np.nan), 2.0, mask=both)
    with pytest.raises(ValueError, match=r"projection must be finite, got inf at index \(3, 0\)"):
        hopcore.association(states, STORED, with_last(np.inf), beta=2.0, mask=both)
    with pytest.raises(ValueError, match=r"state must be finite, got nan at index \(0, 0\)"):
        hopcore.update(np.full((1, 3), np.nan), STORED, 2.0, mask=np.zeros((1, 4), dtype=bool))


def test_a_cold_memory_does_not_count_what_is_masked() -> None:
    got = hopcore.update(STATE, with_last(1e200), 1e100, mask=LAST[None])
    np.testing.assert_array_equal(got, STORED[:1])


@pytest.mark.parametrize("separation", ["softmax", "sparsemax"])
def test_files_hold_anything_under_a_mask(tmp_path: Path, separation: str) -> None:
    path = tmp_path / "patterns.npy"
    np.save(path, with_last(np.nan))
    stored = hopcore.Streamed(path, rows=3)
    for mask in (LAST[None], LAST):
        got = hopcore.retrieve(STATE, stored, 2.0, mask=mask, separation=separation, max_steps=2)
        wanted = hopcore.retrieve(STATE, STORED[:3], 2.0, separation=separation, max_steps=2)
        np.testing.assert_allclose(got.state, wanted.state, rtol=1e-14)
        np.testing.assert_allclose(got.energy, wanted.energy, rtol=1e-14)
    # A pass that hid something has not found the memory to be finite.
    with pytest.raises(ValueError, match=r"patterns.npy|stored must be finite"):
        hopcore.update(STATE, stored, 2.0)
    graph = hopcore.knn_graph(hopcore.Streamed(path, rows=3), 2, mask=LAST)
    np.testing.assert_array_equal(graph.degrees, np.zeros(4))
