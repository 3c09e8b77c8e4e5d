"""Plain retrievals are looked at in one function, and are exactly the calls with all checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hopcore
from hopcore.memory import _plain_calls
from hopcore.memory import _retrieval as retrieval

SOFTMAX: Any = hopcore.Softmax()
STATE, STORED = np.asarray([[0.9, 0.1], [0.2, 0.7]]), np.eye(2)


def checked(state: Any, stored: Any, beta: Any, **options: Any) -> Any:
    """A call that gives the separation function itself: it is not plain."""
    return hopcore.retrieve(state, stored, beta, separation=SOFTMAX, **options)


def parts(found: Any) -> list[Any]:
    """All arrays of a result."""
    return [*found, found.path, found.energies, found.index, found.certain]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    queries=st.integers(0, 4),
    patterns=st.integers(1, 40),
    width=st.integers(1, 20),
    dtype=st.sampled_from(["float32", "float64"]),
    beta=st.sampled_from([1, 0.1, 30.0, 1e11]),
    lead=st.sampled_from([((), ()), ((2,), ()), ((2,), (2,)), ((2,), (1,)), ((), (3,))]),
    options=st.sampled_from(
        [{}, {"max_steps": 0}, {"max_steps": 3, "tol": 0.0}, {"track": True}, {"energy": False}]
    ),
)
def test_a_plain_call_is_the_call_with_all_checks(
    seed, queries, patterns, width, dtype, beta, lead, options
):
    rng = np.random.default_rng(seed)
    state = rng.normal(size=(*lead[0], queries, width)).astype(dtype)
    stored = rng.normal(size=(*lead[1], patterns, width)).astype(dtype)
    calls = [state] if queries == 0 else [state, state[..., 0, :]]
    for queried in calls:
        expected = checked(queried, stored, beta, **options)
        found = hopcore.retrieve(queried, stored, beta, **options)
        for one, other in zip(parts(found), parts(expected), strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                assert one.dtype == other.dtype
                np.testing.assert_array_equal(one, other)


@pytest.fixture
def usual(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """List the calls that are not plain, with what they were resolved to."""
    seen: list[Any] = []
    right = retrieval.resolved_call

    def counting(*given: Any, **options: Any) -> Any:
        seen.append(right(*given, **options))
        return seen[-1]

    monkeypatch.setattr(retrieval, "resolved_call", counting)
    return seen


def test_a_plain_call_does_not_go_the_usual_way(usual: list[Any]) -> None:
    options: dict[str, Any]
    for options in ({}, {"max_steps": 3}, {"track": True}, {"separation": "softmax"}):
        hopcore.retrieve(STATE, STORED, 4.0, **options)
        hopcore.retrieve(STATE[0], STORED, 4, **options)
    assert usual == []


@pytest.mark.parametrize(
    "options",
    [
        {"mask": np.ones((2, 2), dtype=bool)},
        {"mask": "causal"},
        {"bias": np.zeros(2)},
        {"known": np.ones(2, dtype=bool)},
        {"similarity": "distance"},
        {"separation": "sparsemax"},
        {"beta": np.asarray([1.0, 2.0])},
        {"beta": "auto"},
        {"beta": 1e13},
        {"stored": [[1.0, 0.0], [0.0, 1.0]]},
        {"stored": STORED.astype("float32")},
    ],
    ids="-".join,
)
def test_whatever_else_is_asked_for_goes_the_usual_way(
    options: dict[str, Any], usual: list[Any]
) -> None:
    hopcore.retrieve(**{"state": STATE, "stored": STORED, "beta": 4.0, **options})
    assert usual


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
    "half": (np.ones((1, 4), "f2"), np.ones((2, 4), "f2"), 1.0),
    "nan in the state": (np.asarray([[np.nan, 1.0]]), np.eye(2), 1.0),
    "inf in the memory": (np.ones((1, 2)), np.asarray([[1.0, -np.inf]]), 1.0),
    "matrix": (np.ones((1, 4)).view(np.matrix), np.ones((2, 4)).view(np.matrix), 1.0),
    "a memory in parts as state": (hopcore.Streamed(STORED), hopcore.Streamed(STORED), 1.0),
}


@pytest.mark.parametrize("name", BAD)
def test_a_plain_call_refuses_what_the_checks_refuse(name: str) -> None:
    state, stored, beta = BAD[name]
    with pytest.raises((TypeError, ValueError)) as expected:
        checked(state, stored, beta)
    with pytest.raises(expected.type) as found:
        hopcore.retrieve(state, stored, beta)
    assert str(found.value) == str(expected.value)


def test_wrong_options_are_refused_in_plain_calls() -> None:
    wrong: dict[str, Any] = {"unknown": "forget", "separation": np.zeros(2), "max_steps": -1}
    for name, value in wrong.items():
        with pytest.raises((TypeError, ValueError), match=name):
            hopcore.retrieve(STATE, STORED, 4.0, **{name: value})


def test_tensors_that_values_can_be_read_from_are_plain(usual: list[Any]) -> None:
    torch = pytest.importorskip("torch")
    hopcore.backend("torch")  # known, as after the first call with tensors
    state, stored = torch.from_numpy(STATE), torch.from_numpy(STORED)
    found = hopcore.retrieve(state, stored, 4.0)
    assert usual == []
    for one, other in zip(found, checked(state, stored, 4.0), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(TypeError, match="dense tensor"):
        hopcore.retrieve(state.to_sparse(), stored.to_sparse(), 4.0)
    assert torch.func.vmap(lambda x: hopcore.retrieve(x, stored, 4.0).state)(state[None]).ndim == 3
    assert len(usual) == 2


def test_plain_inputs_are_those_of_the_usual_checks() -> None:
    found = _plain_calls.plain_inputs(STATE[0], STORED, 4)
    assert found is not None
    inputs, single = found
    assert single
    assert type(inputs.beta) is float
    assert inputs.projection is inputs.stored is STORED
    assert inputs.mask is None
