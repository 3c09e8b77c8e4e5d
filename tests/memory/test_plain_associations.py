"""Plain calls find nan and infinity in their result, and are exactly the calls with all checks."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hopcore
from hopcore.arrays import _numpy as numpy_backend

BACKEND: Any = hopcore.backend("numpy")
SOFTMAX: Any = hopcore.Softmax()


def checked(state: Any, stored: Any, beta: Any) -> Any:
    """The association of a call that gives the separation function itself: it is not plain."""
    return hopcore.association(state, stored, beta=beta, separation=SOFTMAX)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    queries=st.integers(1, 4),
    patterns=st.integers(1, 40),
    width=st.integers(1, 20),
    dtype=st.sampled_from(["float32", "float64"]),
    broken=st.sampled_from([np.nan, np.inf, -np.inf]),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    zeros=st.sampled_from([0.0, 0.5, 1.0]),
    where=st.sampled_from(["state", "stored"]),
    lead=st.sampled_from([(), (2,)]),
)
def test_no_value_that_is_not_finite_is_overlooked(
    seed, queries, patterns, width, dtype, broken, scale, zeros, where, lead
):
    """Not even one that meets zeros in the query, or whose pattern has the weight 0."""
    rng = np.random.default_rng(seed)
    state = scale * rng.normal(size=(*lead, queries, width)).astype(dtype)
    state[rng.random(state.shape) < zeros] = 0.0
    stored = scale * rng.normal(size=(*lead, patterns, width)).astype(dtype)
    array = state if where == "state" else stored
    array[tuple(rng.integers(0, size) for size in array.shape)] = broken
    with np.errstate(all="raise"), pytest.raises(ValueError, match=f"{where} must be finite"):
        hopcore.association(state, stored, beta=1.0)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    queries=st.integers(1, 4),
    patterns=st.integers(1, 40),
    width=st.integers(1, 20),
    dtype=st.sampled_from(["float32", "float64"]),
    beta=st.sampled_from([1, 0.1, 30.0, 1e11]),
    lead=st.sampled_from([((), ()), ((2,), ()), ((2,), (2,)), ((2,), (1,)), ((), (3,))]),
)
def test_a_plain_call_is_the_call_with_all_checks(
    seed, queries, patterns, width, dtype, beta, lead
):
    rng = np.random.default_rng(seed)
    state = rng.normal(size=(*lead[0], queries, width)).astype(dtype)
    stored = rng.normal(size=(*lead[1], patterns, width)).astype(dtype)
    expected = checked(state, stored, beta)
    for found in (
        hopcore.association(state, stored, beta=beta),
        hopcore.association(state, stored, beta=beta, separation="softmax"),
        hopcore.update(state, stored, beta),
        hopcore.update(state, stored, beta=beta),
    ):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    single = state[0] if state.ndim == 2 else state[0, 0]
    np.testing.assert_array_equal(
        hopcore.association(single, stored, beta=beta), checked(single, stored, beta)
    )


BAD = {
    "shape": (np.ones((1, 3)), np.ones((2, 4)), 1.0),
    "no axis": (np.float64(1.0), np.ones((2, 4)), 1.0),
    "one pattern without an axis": (np.ones((1, 4)), np.ones(4), 1.0),
    "array of no axes": (np.ones((1, 4)), np.array(1.0), 1.0),
    "no patterns": (np.ones((1, 4)), np.ones((0, 4)), 1.0),
    "no values": (np.ones((1, 0)), np.ones((3, 0)), 1.0),
    "leading axes": (np.ones((2, 1, 4)), np.ones((3, 5, 4)), 1.0),
    "beta 0": (np.ones((1, 4)), np.ones((2, 4)), 0.0),
    "beta nan": (np.ones((1, 4)), np.ones((2, 4)), np.nan),
    "beta bool": (np.ones((1, 4)), np.ones((2, 4)), True),
    "extreme beta": (np.full((1, 4), 1e30, "f4"), np.full((2, 4), 1e30, "f4"), 1e20),
    "complex": (np.ones((1, 4), "c8"), np.ones((2, 4), "c8"), 1.0),
    "matrix": (np.ones((1, 4)).view(np.matrix), np.ones((2, 4)).view(np.matrix), 1.0),
}


@pytest.mark.parametrize("name", BAD)
def test_a_plain_call_refuses_what_the_checks_refuse(name: str) -> None:
    state, stored, beta = BAD[name]
    with pytest.raises((TypeError, ValueError)) as expected:
        checked(state, stored, beta)
    with pytest.raises(expected.type) as found:
        hopcore.association(state, stored, beta=beta)
    assert str(found.value) == str(expected.value)


def test_integers_and_other_byte_orders_go_the_usual_way() -> None:
    stored = np.arange(6).reshape(3, 2)
    for kind in ("i4", ">f8", "f2"):
        try:
            expected: Any = checked(stored[:1].astype(kind), stored.astype(kind), 1.0)
        except TypeError as problem:
            with pytest.raises(TypeError, match=str(problem).partition("(")[0]):
                hopcore.update(stored[:1].astype(kind), stored.astype(kind), 1.0)
            continue
        np.testing.assert_array_equal(
            hopcore.update(stored[:1].astype(kind), stored.astype(kind), 1.0), expected
        )


def test_scores_that_overflow_warn_as_with_all_checks() -> None:
    state, stored = np.full((1, 2), 1e30, "f4"), np.asarray([[1e30, 0], [-1e30, 0]], "f4")
    for call in (checked, hopcore.update):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            call(state, stored, 1.0)
        assert any("overflow" in str(one.message) for one in seen)


def test_an_error_state_that_raises_gets_its_error() -> None:
    """Not another attempt without underflow, again and again."""
    state, stored = np.full((1, 2), 1e30, "f4"), np.asarray([[1e30, 0], [-1e30, 0]], "f4")
    for call in (checked, hopcore.update, hopcore.energy):
        with np.errstate(all="raise"), pytest.raises(FloatingPointError):
            call(state, stored, 1.0)


def test_only_a_library_that_multiplies_zeros_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    state, stored = np.ones((1, 2)), np.eye(2)
    assert numpy_backend.multiplies_zeros(state.dtype)
    given = state, stored, 1.0, hopcore.Softmax()
    assert BACKEND.associate_unchecked(*given) is not None
    monkeypatch.setattr(numpy_backend, "multiplies_zeros", lambda dtype: False)
    assert BACKEND.associate_unchecked(*given) is None
    np.testing.assert_array_equal(hopcore.update(state, stored, 1.0), checked(state, stored, 1.0))


def test_a_long_memory_goes_the_usual_way(monkeypatch: pytest.MonkeyPatch) -> None:
    state, stored = np.ones((4, 2)), np.ones((9, 2))
    monkeypatch.setattr(numpy_backend, "SERIAL", 35)
    assert BACKEND.associate_unchecked(state, stored, 1.0, hopcore.Softmax()) is None


def test_a_plain_call_reads_the_memory_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """No check reads it for a third time."""

    def refused(*given: Any) -> bool:
        raise AssertionError("the memory was read by a check")

    monkeypatch.setattr(numpy_backend.NumpyBackend, "all_finite", refused)
    hopcore.association(np.ones((1, 2)), np.eye(2), beta=1.0)
    hopcore.association(np.ones((1, 2)), np.eye(2), beta=1.0, separation="softmax")
    with pytest.raises(AssertionError):
        checked(np.ones((1, 2)), np.eye(2), 1.0)
