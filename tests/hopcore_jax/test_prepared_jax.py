"""A prepared memory that leaves patterns out, with arrays of JAX as states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from partial_answers import NEAR, STORED, counted_answers

import hopcore

jax = pytest.importorskip("jax")
jnp = jax.numpy

X, Q = STORED, NEAR[:8]


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many queries of each call few patterns were enough for."""
    return counted_answers(monkeypatch)


@pytest.mark.parametrize("similarity", ["distance", "dot"])
def test_few_patterns_are_enough_for_concrete_arrays(answered: list[int], similarity: Any) -> None:
    memory = hopcore.Memory(X, beta=1.0, similarity=similarity, error=1e-6)
    state = jnp.asarray(Q)
    got, certificate = memory.association(state, return_certificate=True)
    assert isinstance(got, jax.Array)
    assert isinstance(certificate, jax.Array)
    assert got.dtype == certificate.dtype == jnp.float32
    assert got.devices() == state.devices()
    wanted, bound = memory.association(Q, return_certificate=True)
    np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(certificate, bound)
    found = memory.retrieve(state)
    wanted = memory.retrieve(Q)
    np.testing.assert_array_equal(found.index, wanted.index)
    np.testing.assert_array_equal(found.state, wanted.state)
    assert isinstance(found.certificate, jax.Array)
    assert min(answered) > 0


def test_traced_arrays_need_all_patterns(answered: list[int]) -> None:
    memory = hopcore.Memory(X, beta=1.0, error=1e-6)
    wanted = hopcore.association(Q, X, beta=1.0, similarity="distance")
    got = jax.jit(memory.association)(jnp.asarray(Q))
    np.testing.assert_allclose(got, wanted, atol=1e-5)
    got = jax.vmap(memory.association)(jnp.asarray(Q))
    np.testing.assert_allclose(got, wanted, atol=1e-5)
    got = jax.grad(lambda x: hopcore.energy(x, memory, 1.0).sum())(jnp.asarray(Q))
    wanted = hopcore.energy_gradient(Q, X, 1.0, similarity="distance")
    np.testing.assert_allclose(got, wanted, atol=1e-4)
    assert not answered
    with pytest.raises(TypeError, match="outside of a trace"):
        jax.jit(lambda x: memory.association(x, return_certificate=True))(jnp.asarray(Q))


def test_queries_that_need_all_patterns_are_associated_by_jax(answered: list[int]) -> None:
    memory = hopcore.Memory(X, beta=1.0, error=1e-6, bias=np.linspace(0.0, 1.0, 4000))
    beta = np.asarray([1.0] * 6 + [1e-4] * 2, np.float32)
    for _ in range(2):  # the first call at a beta reads all patterns
        got = memory.association(jnp.asarray(Q[:8]), beta=jnp.asarray(beta))
    assert answered == [6]
    np.testing.assert_allclose(got, memory.association(Q[:8], beta=beta), atol=1e-5)
