"""The energy that a retrieval returns: from its last update where that is exact, or on request."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore.arrays._numpy import NumpyBackend

RNG = np.random.default_rng(3)
STORED = RNG.normal(size=(40, 16))
STATE = STORED[:12] + 0.3 * RNG.normal(size=(12, 16))


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many queries each pass over the memory was for that only an energy needs."""
    seen: list[int] = []
    right = NumpyBackend.conjugate

    def counting(backend: Any, state: Any, *given: Any) -> Any:
        seen.append(state.shape[-2])
        return right(backend, state, *given)

    monkeypatch.setattr(NumpyBackend, "conjugate", counting)
    return seen


def test_a_last_update_that_hardly_moved_gives_the_energy(passes: list[int]) -> None:
    found = hopcore.retrieve(STATE, STORED, 4.0, tol=1e-9)
    assert np.all(found.converged)
    assert passes == []
    wanted = hopcore.energy(found.state, STORED, 4.0)
    np.testing.assert_allclose(found.energy, wanted, rtol=0.0, atol=1e-14 * np.max(STORED**2) * 16)


def test_only_queries_that_still_moved_need_another_pass(passes: list[int]) -> None:
    start = np.concat([STATE, STORED.mean(axis=0, keepdims=True)])
    found = hopcore.retrieve(start, STORED, 4.0, max_steps=3, tol=1e-9)
    assert passes == [2]
    wanted = hopcore.energy(found.state, STORED, 4.0)
    np.testing.assert_allclose(found.energy, wanted, atol=1e-12)


@pytest.mark.parametrize("max_steps", [0, 1, 2])
def test_the_energy_of_states_that_have_not_converged(max_steps: int) -> None:
    mask = RNG.random((12, 40)) < 0.8
    mask[3] = False
    for memory, states, hidden in (
        (STORED, STATE, mask),
        (np.stack([STORED, -STORED]), np.stack([STATE, STATE]), None),
    ):
        found = hopcore.retrieve(states, memory, 0.5, mask=hidden, max_steps=max_steps)
        wanted = hopcore.energy(found.state, memory, 0.5, mask=hidden)
        np.testing.assert_allclose(found.energy, wanted, atol=1e-12)


def test_without_an_energy(passes: list[int]) -> None:
    found = hopcore.retrieve(STATE, STORED, 4.0, energy=False)
    assert passes == []
    whole = hopcore.retrieve(STATE, STORED, 4.0)
    assert found.energy is None
    np.testing.assert_array_equal(found.state, whole.state)
    np.testing.assert_array_equal(found.index, whole.index)
    assert pickle.loads(pickle.dumps(found)).energy is None
    assert "energy" in repr(found)
    assert hopcore.retrieve(STATE[0], STORED, 4.0, energy=False).energy is None
    tracked = hopcore.retrieve(STATE, STORED, 4.0, energy=False, track=True)
    assert tracked.energy is None
    assert tracked.energies.shape == tracked.path.shape[:-1]
    with pytest.raises(TypeError, match="energy must be a bool, got 3"):
        hopcore.retrieve(STATE, STORED, 4.0, energy=3)  # type: ignore[arg-type]


def test_a_derivative_is_that_of_the_last_state() -> None:
    torch = pytest.importorskip("torch")
    slopes = []
    for tracked in (False, True):  # a path has the energies of its states
        stored = torch.from_numpy(STORED).requires_grad_()
        found = hopcore.retrieve(torch.from_numpy(STATE), stored, 4.0, tol=1e-3, track=tracked)
        slopes.append(torch.autograd.grad(found.energy.sum(), stored)[0])
    torch.testing.assert_close(*slopes)


def test_a_compiled_retrieval_of_jax_without_an_energy() -> None:
    jax = pytest.importorskip("jax")

    @jax.jit
    def call(state: Any, stored: Any) -> Any:
        return hopcore.retrieve(state, stored, 4.0, energy=False, max_steps=5)

    found = call(*(jax.numpy.asarray(x, dtype="float32") for x in (STATE, STORED)))
    assert found.energy is None
    assert found.state.shape == STATE.shape
