"""Memories of two convex functions: examples from the literature, and bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import hopcore
from hopcore.convex import (
    AbsoluteSum,
    ConvexMemory,
    Coupling,
    Exponential,
    FenchelYoung,
    LayeredMemory,
    LogCosh,
    Norm,
    Polynomial,
    PowerNorm,
    Quadratic,
    asynchronous_certain,
    asynchronous_retrieve,
)


def signs(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.choice([-1.0, 1.0], size=shape)


def flipped(rng: np.random.Generator, patterns: np.ndarray, share: float) -> np.ndarray:
    return np.where(rng.random(patterns.shape) < share, -patterns, patterns)


def test_the_classical_network_stores_few_patterns_and_a_polynomial_one_many() -> None:
    """With 200 neurons and 60 patterns, above 0.138 of the neurons, only the power retrieves."""
    rng = np.random.default_rng(0)
    patterns = signs(rng, 60, 200)
    state = flipped(rng, patterns, 0.1)
    classical = ConvexMemory(Quadratic(), AbsoluteSum()).retrieve(state, patterns).state
    assert np.mean(np.all(classical == patterns, axis=-1)) < 0.1
    for hidden in (Polynomial(4), PowerNorm(20.0), Exponential(0.1)):
        found = ConvexMemory(hidden, AbsoluteSum()).retrieve(state, patterns)
        assert np.all(found.state == patterns)
        assert np.all(found.converged)


@pytest.mark.parametrize(("load", "kept"), [(0.1, True), (0.18, False)])
def test_the_capacity_of_asynchronous_updates(load: float, kept: bool) -> None:
    """Below 0.138 of the neurons, patterns stay nearly as they are; above, they are lost.

    Amit, Gutfreund and Sompolinsky 1985: the overlap at the transition is 0.97.
    """
    rng = np.random.default_rng(1)
    patterns = signs(rng, int(load * 400), 400)
    found = asynchronous_retrieve(patterns[:20], patterns, max_sweeps=30)
    overlap = np.mean(np.sum(found * patterns[:20], axis=-1) / 400.0)
    assert (overlap > 0.96) == kept


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_other_libraries_give_the_same(library: str) -> None:
    rng = np.random.default_rng(2)
    state, patterns = rng.normal(size=(3, 6)), rng.normal(size=(5, 6))
    put = hopcore.backend(library).asarray
    for hidden in (Polynomial(3), FenchelYoung(2.0, "entmax15")):
        memory = ConvexMemory(hidden, LogCosh())
        wanted = memory.retrieve(state, patterns, max_steps=3, tol=0.0)
        found = memory.retrieve(put(state), put(patterns), max_steps=3, tol=0.0)
        for name in ("state", "energy", "residual"):
            got = np.asarray(getattr(found, name))
            np.testing.assert_allclose(got, getattr(wanted, name), rtol=2e-4, atol=2e-4)


def test_gradients_are_slopes() -> None:
    rng = np.random.default_rng(3)
    memory = ConvexMemory(Polynomial(3), LogCosh(0.5))

    def last(state: torch.Tensor, patterns: torch.Tensor) -> torch.Tensor:
        found = memory.retrieve(state, patterns, max_steps=2, tol=0.0)
        return found.state.sum() + found.energy.sum()

    arrays = [torch.tensor(0.5 * rng.normal(size=(n, 4)), requires_grad=True) for n in (2, 3)]
    assert torch.autograd.gradcheck(last, arrays)


def test_many_queries_are_processed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    state, patterns = signs(rng, 50, 12), signs(rng, 9, 12)
    memory = ConvexMemory(Polynomial(3), AbsoluteSum())
    wanted = memory.update(state, patterns), memory.energy(state, patterns)
    monkeypatch.setattr("hopcore.arrays._backend.BLOCK", 36)
    np.testing.assert_array_equal(memory.update(state, patterns), wanted[0])
    np.testing.assert_allclose(memory.energy(state, patterns), wanted[1])


def test_a_hierarchy_in_ten_lines() -> None:
    """The two-layer network of Krotov 2021: features, patterns of features, and a state."""
    rng = np.random.default_rng(5)
    parts = [signs(rng, 4, 20) for _ in range(3)]  # 4 variants of each of 3 parts of an image
    objects = 5.0 * np.eye(4)[rng.permuted(np.tile(np.arange(4), (3, 1)), axis=1).T].reshape(4, 12)
    layers: dict[str, Any] = {f"part {i}": FenchelYoung(1.0) for i in range(3)}
    layers |= {f"pixels {i}": LogCosh(1.0) for i in range(3)} | {"object": FenchelYoung(4.0)}
    couplings = [Coupling(f"part {i}", f"pixels {i}", parts[i]) for i in range(3)]
    couplings += [Coupling("object", f"part {i}", objects[:, 4 * i : 4 * i + 4]) for i in range(3)]
    memory = LayeredMemory(layers, couplings)
    chosen = objects.reshape(4, 3, 4).argmax(axis=-1)
    states: dict[str, Any] = {name: np.full(4, 0.25) for name in layers}
    states |= {f"pixels {i}": parts[i][chosen[2, i]] for i in range(2)} | {
        "pixels 2": np.zeros(20)  # this part is not seen
    }
    found = memory.retrieve(states, fixed=["pixels 0", "pixels 1"])
    assert found["object"].argmax() == 2
    assert np.all(np.sign(found["pixels 2"]) == parts[2][chosen[2, 2]])
    assert memory.energy(found) <= memory.energy(states)


def test_a_state_without_a_direction_stays() -> None:
    memory = ConvexMemory(Polynomial(3), Norm())
    state = np.asarray([[-0.6, -0.8]])  # no hidden neuron is active
    np.testing.assert_array_equal(memory.update(state, np.eye(2)), state)
    large = np.asarray([[3e200, 4e200]])
    memory = ConvexMemory(PowerNorm(300.0), Norm())
    np.testing.assert_allclose(memory.update(large, np.eye(2)), [[0.0, 1.0]], atol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Polynomial(1), "power must be >= 2, got 1"),
        (lambda: PowerNorm(1.0), "power must be above 1"),
        (lambda: Exponential(0.0), "beta must be positive"),
        (lambda: FenchelYoung(-1.0), "beta must be positive"),
        (lambda: ConvexMemory(Polynomial), "hidden must be a Lagrangian"),  # pyright: ignore
        (
            lambda: ConvexMemory(Quadratic()).update(np.ones((1, 2)), hopcore.Streamed(np.eye(2))),
            "take stored patterns that are one array, got Streamed",
        ),
        (lambda: asynchronous_retrieve(np.zeros((1, 2)), np.eye(2)), "state must hold -1 and 1"),
        (lambda: asynchronous_retrieve(np.ones((1, 2)), np.eye(2)), "stored must hold -1 and 1"),
        (
            lambda: LayeredMemory({"a": Norm()}, [Coupling("a", "a", np.eye(2))]),
            "cannot be coupled with itself, got 'a'",
        ),
        (
            lambda: LayeredMemory({"a": Norm()}, [Coupling("a", "b", np.eye(2))]),
            "unknown layer 'b'; the layers are 'a'",
        ),
        (
            lambda: LayeredMemory(
                {"a": Norm(), "b": Norm()}, [Coupling("a", "b", np.eye(2))]
            ).energy({"a": np.ones(2), "b": np.ones(3)}),
            r"states\['b'\] must be \(..., 2\), got \(3,\)",
        ),
    ],
)
def test_bad_input(call: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_certain_needs_a_state_for_each_pattern_of_signs() -> None:
    memory = ConvexMemory(Polynomial(3), AbsoluteSum())
    patterns = signs(np.random.default_rng(0), 4, 8)
    with pytest.raises(ValueError, match=r"one state for each stored pattern .* got states \(3, 8"):
        memory.certain(patterns[:3], patterns)
    with pytest.raises(ValueError, match="state must hold -1 and 1 only"):
        asynchronous_certain(0.5 * patterns, patterns)
    with pytest.raises(ValueError, match="one state for each stored pattern"):
        asynchronous_certain(patterns[0], patterns)
    # A pattern whose values are no signs is never a state of this network.
    assert not memory.certain(2.0 * patterns[:1], 2.0 * patterns[:1]).any()
    assert memory.certain(patterns[:1], patterns[:1]).all()
    assert ConvexMemory(Polynomial(3), Norm()).certain(patterns, patterns) is None


def test_an_overflow_is_not_certain() -> None:
    patterns = signs(np.random.default_rng(0), 3, 1200)
    memory = ConvexMemory(Exponential(1.0), AbsoluteSum())  # exp(1200) is infinite
    with np.errstate(all="ignore"):
        assert not memory.certain(patterns, patterns).any()
