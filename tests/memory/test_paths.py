"""The path of a retrieval where nothing is traced, where something is, and what it costs."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import hopcore

RNG = np.random.default_rng(0)
STORED = RNG.normal(size=(12, 5))
STATE = RNG.normal(size=(4, 5))
OPTIONS: dict[str, Any] = {"beta": 0.7, "max_steps": 40, "track": True}
FOUND = hopcore.retrieve(STATE, STORED, **OPTIONS)


def followed(state: Any, stored: Any) -> tuple[Any, ...]:
    found = hopcore.retrieve(state, stored, **OPTIONS)
    return found.path, found.energies, found.state, found.energy


def compare(traced: tuple[Any, ...], rtol: float) -> None:
    """Compare a path of ``max_steps + 1`` states with one that ends where the last query rests."""
    path, energies, state, energy = (np.asarray(x) for x in traced)
    length = FOUND.path.shape[0]
    assert 1 < length < path.shape[0] == energies.shape[0] == 41
    np.testing.assert_allclose(path[:length], FOUND.path, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(energies[:length], FOUND.energies, rtol=rtol)
    np.testing.assert_array_equal(path[length:], np.broadcast_to(state, path[length:].shape))
    np.testing.assert_array_equal(energies[length:], np.broadcast_to(energy, (41 - length, 4)))


def test_without_track_there_is_no_path() -> None:
    found = hopcore.retrieve(STATE, STORED, 0.7)
    assert found.path is None
    assert found.energies is None
    assert len(tuple(FOUND)) == len(tuple(found)) == 5


def test_copies_and_files_keep_the_path() -> None:
    for again in (copy.deepcopy(FOUND), pickle.loads(pickle.dumps(FOUND))):
        np.testing.assert_array_equal(again.path, FOUND.path)
        np.testing.assert_array_equal(again.energies, FOUND.energies)
    assert copy.copy(hopcore.retrieve(STATE, STORED, 0.7)).path is None


def test_a_single_query_and_none() -> None:
    single = hopcore.retrieve(STATE[0], STORED, **OPTIONS)
    assert single.path.shape[1:] == (5,)
    assert single.energies.shape == single.path.shape[:1]
    assert hopcore.retrieve(STATE[:0], STORED, **OPTIONS).path.shape == (1, 0, 5)


def test_the_path_does_not_share_memory_with_the_state() -> None:
    state = STATE.copy()
    found = hopcore.retrieve(state, STORED, 0.7, max_steps=0, track=True)
    state[:] = 0.0
    np.testing.assert_array_equal(found.path[0], STATE)


def test_track_is_a_bool() -> None:
    with pytest.raises(TypeError, match="track must be a bool, got 1"):
        hopcore.retrieve(STATE, STORED, 0.7, track=1)  # pyright: ignore[reportArgumentType]


def test_paths_in_jax_with_and_without_a_trace() -> None:
    jax = pytest.importorskip("jax")
    state, stored = (jax.numpy.asarray(x) for x in (STATE, STORED))
    eager = hopcore.retrieve(state, stored, **OPTIONS)
    np.testing.assert_allclose(eager.path, FOUND.path[: eager.path.shape[0]], atol=1e-5)
    path, energies = jax.jit(lambda x: followed(x, stored)[:2])(state)
    assert path.shape == (41, 4, 5)
    np.testing.assert_array_equal(path[-1], jax.jit(lambda x: followed(x, stored)[2])(state))
    np.testing.assert_allclose(energies[: len(eager.energies)], eager.energies, atol=1e-5)
    slope = jax.grad(lambda x: followed(x, stored)[1].sum())(state)
    assert bool(jax.numpy.all(jax.numpy.isfinite(slope)))


def test_paths_in_torch_with_and_without_a_compiler() -> None:
    torch = pytest.importorskip("torch")
    state, stored = torch.tensor(STATE), torch.tensor(STORED)
    found = hopcore.retrieve(state, stored, **OPTIONS)
    np.testing.assert_allclose(found.path, FOUND.path, rtol=1e-12)
    compare(torch.compile(followed, fullgraph=True, backend="eager")(state, stored), 1e-12)
    path, energies = torch.func.vmap(lambda x: followed(x[None], stored)[:2])(state)
    assert path.shape == (4, 41, 1, 5)
    np.testing.assert_allclose(energies[..., 0].T[: len(FOUND.path)], FOUND.energies, rtol=1e-12)


def test_the_path_has_the_derivatives_of_the_updates() -> None:
    torch = pytest.importorskip("torch")
    stored = torch.tensor(STORED)

    def energies(state: Any) -> Any:
        return hopcore.retrieve(state, stored, 0.7, max_steps=3, tol=0.0, track=True).energies

    assert torch.autograd.gradcheck(energies, torch.tensor(STATE, requires_grad=True))
