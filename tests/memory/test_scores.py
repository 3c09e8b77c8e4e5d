"""Scores by distance, biases and known coordinates: their inputs, and float32 far from 0."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import hopcore

STATE, STORED = np.ones((3, 4)), np.eye(6, 4)

CALLS: tuple[Any, ...] = (
    hopcore.energy, hopcore.energy_gradient, hopcore.update, hopcore.association_weights,
    hopcore.statistics, hopcore.retrieve,
)  # fmt: skip


def refused(kind: type[Exception], message: str, call: Any, **options: Any) -> None:
    """Fail unless a call is refused with one line that contains the message."""
    with pytest.raises(kind, match=re.escape(message)) as error:
        call(STATE, STORED, 2.0, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_similarities_and_biases_that_are_refused(call: Any) -> None:
    wanted = "similarity must be 'dot' or 'distance', got 'cosine'"
    refused(ValueError, wanted, call, similarity="cosine")
    refused(TypeError, "similarity must be 'dot' or 'distance', got int", call, similarity=2)
    wanted = "bias must hold one number for each stored pattern, (..., 6), got (5,)"
    refused(ValueError, wanted, call, bias=np.zeros(5))
    refused(ValueError, "(..., 6), got ()", call, bias=np.asarray(1.0))
    refused(
        ValueError, "bias must be finite, got nan at index (2,)", call, bias=[0, 0, np.nan, 0, 0, 0]
    )
    refused(ValueError, "got inf at index (0,)", call, bias=np.full(6, np.inf))
    wanted = "got -inf at index (0,); to leave out a pattern, write mask="
    refused(ValueError, wanted, call, bias=np.full(6, -np.inf))
    refused(TypeError, "bias must be an array", call, bias="log")
    refused(
        TypeError, "bias must be real floating, got complex128", call, bias=np.zeros(6, complex)
    )
    refused(ValueError, "bias must have rows of one length", call, bias=[[0.0], [0.0, 1.0]])
    wanted = "leading axes do not broadcast: state (3,), stored (), bias (2,)"
    with pytest.raises(ValueError, match=re.escape(wanted)):
        call(np.ones((3, 2, 4)), STORED, 2.0, bias=np.zeros((2, 6)))


def test_biases_of_other_libraries() -> None:
    torch = pytest.importorskip("torch")
    wanted = "state and bias must be arrays of one library, got numpy and torch"
    refused(TypeError, wanted, hopcore.update, bias=torch.zeros(6))
    state, stored = torch.tensor(STATE), torch.tensor(STORED)
    bias = np.linspace(0.0, 1.0, 6)
    wanted = hopcore.update(STATE, STORED, 2.0, bias=bias)
    for given in (bias, list(bias), torch.tensor(bias)):  # none of them is rounded to float32
        got = hopcore.update(state, stored, 2.0, bias=given)
        np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-14)


def test_a_bias_too_large_for_its_dtype() -> None:
    state, stored = STATE.astype(np.float32), STORED.astype(np.float32)
    with pytest.raises(ValueError, match=r"1e\+300 at index \(0,\); with this state it can be at "):
        hopcore.update(state, stored, 2.0, bias=np.full(6, 1e300))


@pytest.mark.parametrize("bias", [[0, 1, 2, 3, 4, 5], np.arange(6), tuple(range(6))], ids=repr)
def test_integers_as_a_bias(bias: Any) -> None:
    wanted = hopcore.association_weights(STATE, STORED, 2.0, bias=np.arange(6.0))
    got = hopcore.association_weights(STATE, STORED, 2.0, bias=bias)
    assert np.array_equal(got, wanted)
    whole = hopcore.association_weights(STATE, STORED, 2.0, bias=np.arange(6, dtype=np.float32))
    assert np.array_equal(whole, wanted)


def test_known_coordinates_that_are_refused() -> None:
    def known(kind: type[Exception], message: str, value: Any, **options: Any) -> None:
        refused(kind, message, hopcore.retrieve, known=value, **options)

    wanted = "known must broadcast to the shape of the state, (3, 4), got (2, 4)"
    for unknown in ("ignore", "settle"):
        known(ValueError, wanted, np.ones((2, 4), dtype=bool), unknown=unknown)
        known(ValueError, "got (1, 3, 4)", np.ones((1, 3, 4), dtype=bool), unknown=unknown)
        known(TypeError, "known must be a boolean array of numpy", np.ones((3, 4)), unknown=unknown)
        known(TypeError, "it is ~isnan(state)", [1, 0, 1, 0], unknown=unknown)
        known(TypeError, "known must be an array", "all", unknown=unknown)
    wanted = "write similarity='distance', or unknown='settle'"
    known(ValueError, wanted, np.ones((3, 4), dtype=bool), similarity="dot")
    wanted = "unknown must be 'ignore' or 'settle', got 'x'"
    known(ValueError, wanted, np.ones((3, 4), dtype=bool), unknown="x")
    refused(ValueError, wanted, hopcore.retrieve, unknown="x")
    state = np.full((1, 4), np.nan)
    with pytest.raises(ValueError, match="state must be finite, got nan"):
        hopcore.retrieve(state, STORED, 2.0, known=~np.isnan(state), unknown="settle")


def test_known_of_another_library() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="boolean array of numpy"):
        hopcore.retrieve(STATE, STORED, 2.0, known=torch.ones(3, 4, dtype=torch.bool))
    known = np.asarray([True, False, True, False])
    state, stored = torch.tensor(STATE), torch.tensor(STORED)
    got = hopcore.retrieve(state, stored, 2.0, known=known).state
    wanted = hopcore.retrieve(STATE, STORED, 2.0, known=[True, False, True, False]).state
    np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-14)


@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_float32_far_from_zero(mean: float) -> None:
    """Energies and weights are as exact at 1e4 as at 0, given the rounded coordinates."""
    rng = np.random.default_rng(0)
    stored, state = ((mean + rng.normal(size=(n, 16))).astype(np.float32) for n in (50, 20))
    squares = np.sum((state[:, None].astype(float) - stored) ** 2, axis=-1)
    scores = -0.5 * squares
    wanted = -np.log(np.sum(np.exp(scores), axis=-1))
    got = hopcore.energy(state, stored, 1.0, similarity="distance")
    # About 20 roundings of numbers of the size of the squared distances, at most about 60.
    np.testing.assert_allclose(got, wanted, rtol=0, atol=20 * 6e-8 * 60)
    weights = np.exp(scores + wanted[:, None])
    got = hopcore.association_weights(state, stored, 1.0, similarity="distance")
    np.testing.assert_allclose(got, weights, rtol=0, atol=2 * 20 * 6e-8 * 60)
    got = hopcore.update(state, stored, 1.0, similarity="distance")
    update = weights @ stored.astype(float)
    np.testing.assert_allclose(got, update, rtol=4e-7, atol=4e-4)


def test_a_streamed_memory_of_float32_in_jax() -> None:
    """Its mean is a float64, which JAX may not have."""
    jax = pytest.importorskip("jax")
    stored, state = STORED.astype(np.float32), STATE.astype(np.float32)
    pieces = hopcore.Streamed(stored, rows=4)
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", False)
    try:
        got = hopcore.update(jax.numpy.asarray(state), pieces, 2.0, similarity="distance")
    finally:
        jax.config.update("jax_enable_x64", before)
    assert got.dtype == "float32"
    wanted = hopcore.update(state, stored, 2.0, similarity="distance")
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=1e-5)


def test_states_get_the_leading_axes_of_a_bias() -> None:
    bias = np.random.default_rng(0).normal(size=(2, 6))
    whole = hopcore.retrieve(STATE, STORED, 2.0, bias=bias, similarity="distance")
    assert whole.state.shape == (2, 3, 4)
    for i in range(2):
        one = hopcore.retrieve(STATE, STORED, 2.0, bias=bias[i], similarity="distance")
        np.testing.assert_allclose(whole.state[i], one.state, rtol=1e-12)
        assert np.array_equal(whole.steps[i], one.steps)
        assert np.array_equal(whole.index[i], one.index)


@pytest.mark.parametrize("masked", [False, True])
def test_an_inverse_temperature_too_large_for_squares(masked: bool) -> None:
    """The squares of patterns are larger than patterns, also in a streamed memory."""
    stored, state = (1e6 * x.astype(np.float32) for x in (STORED, STATE))
    mask = np.ones((3, 6), dtype=bool) if masked else None
    for memory in (stored, hopcore.Streamed(stored, rows=4)):
        hopcore.update(state, memory, 1e22, mask=mask)
        with pytest.raises(ValueError, match="beta must be at most"):
            hopcore.update(state, memory, 1e22, mask=mask, similarity="distance")
