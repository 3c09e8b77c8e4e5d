"""A prepared memory that leaves patterns out, with tensors as states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from partial_answers import NEAR, STORED, counted_answers

import hopcore

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
X, Q = STORED, NEAR
V = RNG.standard_normal((4000, 3)).astype(np.float32)


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many queries of each call few patterns were enough for."""
    return counted_answers(monkeypatch)


@pytest.mark.parametrize("similarity", ["distance", "dot"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [1, 70])
def test_few_patterns_are_enough_for_tensors(
    answered: list[int], similarity: Any, dtype: str, count: int
) -> None:
    options: Any = {"similarity": similarity}
    stored, values = X.astype(dtype), V.astype(dtype)
    memory = hopcore.Memory(stored, values, beta=1.0, error=1e-9, **options)
    plain = Q[:count].astype(dtype)
    state = torch.tensor(plain)
    got, certificate = memory.association(state, return_certificate=True)
    assert got.dtype == certificate.dtype == state.dtype
    assert answered == [count]
    exact = hopcore.association(
        plain.astype(float), stored.astype(float), values.astype(float), beta=1.0, **options
    )
    assert (np.linalg.norm(got.numpy() - exact, axis=-1) <= certificate.numpy()).all()
    np.testing.assert_array_equal(memory.association(state), got)
    np.testing.assert_array_equal(memory.association(plain), got)
    energies = hopcore.energy(state, memory, 1.0)
    within = 16.0 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(energies, hopcore.energy(plain, memory, 1.0), rtol=within)
    assert answered == [count] * 5
    assert (memory.visits(state).share < 1.0).all()


@pytest.mark.parametrize("similarity", ["distance", "dot"])
def test_a_bias_where_all_patterns_are_needed(answered: list[int], similarity: Any) -> None:
    bias = np.linspace(0.0, 1.0, 4000)
    memory, plain = (
        hopcore.Memory(X, beta=1e-3, similarity=similarity, error=error, bias=bias)
        for error in (1e-9, 0.0)
    )
    state = torch.tensor(Q)
    np.testing.assert_allclose(memory.association(state), plain.association(state), atol=1e-5)
    assert answered == [0]


def test_retrieval_of_tensors(answered: list[int]) -> None:
    memory = hopcore.Memory(X, beta=1.0, error=1e-6)
    found = memory.retrieve(torch.tensor(Q))
    assert answered
    assert min(answered) == len(Q)
    assert found.index.tolist() == list(range(70))
    wanted = memory.retrieve(Q)
    np.testing.assert_array_equal(found.state, wanted.state)
    assert found.certificate.dtype == torch.float32
    np.testing.assert_array_equal(found.certificate, wanted.certificate)


def test_an_inverse_temperature_for_each_tensor(answered: list[int]) -> None:
    memory = hopcore.Memory(X, beta=1.0, error=1e-6)
    beta = torch.linspace(0.5, 2.0, 70)
    got = hopcore.association(torch.tensor(Q), memory, beta=beta)
    assert sum(answered) == 70
    np.testing.assert_array_equal(got, hopcore.association(Q, memory, beta=beta.numpy()))


def test_queries_that_need_all_patterns_are_associated_by_torch(answered: list[int]) -> None:
    memory = hopcore.Memory(X, beta=1.0, error=1e-6)
    beta = np.asarray([1.0] * 6 + [1e-4] * 2, np.float32)
    for _ in range(2):  # the first call at a beta reads all patterns
        got = memory.association(torch.tensor(Q[:8]), beta=torch.tensor(beta))
    assert answered == [6]
    wanted = hopcore.Memory(X, beta=1.0).association(Q[:8], beta=beta)
    np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_gradients_need_all_patterns(answered: list[int]) -> None:
    memory, plain = (hopcore.Memory(X, beta=1.0, error=error) for error in (1e-6, 0.0))
    gradients = []
    for one in (memory, plain):
        state = torch.tensor(Q[:2], requires_grad=True)
        hopcore.energy(state, one, 1.0).sum().backward()
        one.association(state).sum().backward()
        gradients.append(state.grad)
    np.testing.assert_array_equal(gradients[0], gradients[1])
    state = torch.tensor(Q[:2], requires_grad=True)
    with pytest.raises(TypeError, match="on the CPU, outside of a trace and without a gradient"):
        memory.association(state, return_certificate=True)
    beta = torch.tensor(1.0, requires_grad=True)
    hopcore.association(torch.tensor(Q[:2]), memory, beta=beta).sum().backward()
    assert beta.grad is not None
    assert not answered
    with torch.no_grad():
        memory.association(state, return_certificate=True)
    assert answered == [2]


def test_transformed_functions_need_all_patterns(answered: list[int]) -> None:
    memory = hopcore.Memory(X, beta=1.0, error=1e-6)
    got = torch.func.grad(lambda x: hopcore.energy(x, memory, 1.0).sum())(torch.tensor(Q[:2]))
    wanted = hopcore.energy_gradient(Q[:2], X, 1.0, similarity="distance")
    np.testing.assert_allclose(got, wanted, atol=1e-4)
    assert not answered


def test_views_are_read_as_they_are(answered: list[int]) -> None:
    memory = hopcore.Memory(X, beta=1.0, error=1e-6)
    wide = torch.tensor(np.repeat(Q[:8].T, 2, axis=1))
    for _ in range(2):  # the first call at a beta reads all patterns
        got = memory.association(wide.T[::2])
    assert answered == [8]
    np.testing.assert_array_equal(got, memory.association(Q[:8]))


def test_half_precision_is_refused_as_for_other_patterns() -> None:
    memory = hopcore.Memory(X, beta=1.0, error=1e-6)
    with pytest.raises(TypeError, match="bfloat16"):
        memory.association(torch.tensor(Q[:2]).bfloat16())
