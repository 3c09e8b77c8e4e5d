"""Statistics of associations: their inputs, the memory that they need, and their derivatives."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import hopcore

SEPARATIONS = ("softmax", "sparsemax", hopcore.Entmax(3.0))


def test_a_single_query_lists_and_masked_nan() -> None:
    stored = [[1.0, 0.0], [0.0, 1.0], [float("nan"), 0.0]]
    found = hopcore.statistics([0.5, 0.25], stored, 2, mask=[True, True, False])
    wanted = hopcore.statistics(np.asarray([[0.5, 0.25]]), np.eye(2), 2.0)
    assert found.entropy.shape == ()
    assert found.entropy == wanted.entropy[0]
    assert list(found.received) == [*wanted.received, 0.0]


def test_arguments_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="beta must be positive"):
        hopcore.statistics(np.ones((1, 2)), np.eye(2), 0.0)
    with pytest.raises(ValueError, match=r"\(1, 3\)"):
        hopcore.statistics(np.ones((1, 3)), np.eye(2), 1.0)


@pytest.mark.parametrize("separation", SEPARATIONS, ids=str)
def test_leading_axes_broadcast_and_each_place_receives_for_itself(separation: Any) -> None:
    rng = np.random.default_rng(0)
    state, stored = rng.normal(size=(3, 1, 4, 5)), rng.normal(size=(2, 6, 5))
    found = hopcore.statistics(state, stored, 1.5, separation=separation)
    weights = hopcore.association_weights(state, stored, 1.5, separation=separation)
    assert found.entropy.shape == (3, 2, 4)
    np.testing.assert_allclose(found.received, weights.sum(-2), rtol=1e-14)


def test_no_queries() -> None:
    found = hopcore.statistics(np.ones((0, 2)), np.eye(2), 1.0)
    assert found.entropy.shape == (0,)
    assert list(found.received) == [0.0, 0.0]


def test_no_array_of_all_weights_is_held() -> None:
    rng = np.random.default_rng(0)
    state, stored = rng.normal(size=(4000, 4)), rng.normal(size=(4000, 4))
    hopcore.statistics(state[:1], stored, 1.0)
    tracemalloc.start()
    hopcore.statistics(state, stored, 1.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.6 * 8 * 4000**2  # of one array (L, S), on any number of cores up to 3


def test_entropies_are_relatively_exact() -> None:
    """The other weight is e^-gap: H = gap e^-gap + e^-gap up to a square of it."""
    gaps = np.asarray([20.0, 40.0, 200.0, 600.0])
    found = hopcore.statistics(np.ones((1, 4, 1)), np.zeros((2, 1)) - [[0.0], [1.0]], gaps)
    np.testing.assert_allclose(found.entropy[0], (gaps + 1.0) * np.exp(-gaps), rtol=1e-8)


@pytest.mark.parametrize("separation", SEPARATIONS, ids=str)
def test_derivatives_of_torch(separation: Any) -> None:
    """Check first derivatives for every separation function, and second ones for the softmax.

    Each block of queries has one row.
    """
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(3)
    state, stored = (
        torch.randn(n, 3, generator=generator, dtype=torch.float64, requires_grad=True)
        for n in (2, 4)
    )
    beta = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def found(*arrays: Any) -> Any:
        return tuple(hopcore.statistics(*arrays, separation=separation))

    assert torch.autograd.gradcheck(found, (state, stored, beta))
    if separation == "softmax":
        assert torch.autograd.gradgradcheck(found, (state, stored, beta))


def test_derivatives_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    state = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    stored = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)

    def gradients() -> Any:
        found = hopcore.statistics(state, stored, 1.0)
        total = found.entropy.sum() + found.received.square().sum() + found.effective.sum()
        return torch.autograd.grad(total, (state, stored))

    whole = gradients()
    kind = type(hopcore.backend("torch"))
    monkeypatch.setattr(kind, "statistics_rows", lambda *_: 2)
    for ours, theirs in zip(gradients(), whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-13)


def test_transforms_and_compilers_of_torch() -> None:
    torch = pytest.importorskip("torch")
    state, stored = torch.randn(3, 4, 5), torch.randn(6, 5)
    whole = hopcore.statistics(state, stored, 1.0)
    mapped = torch.func.vmap(lambda x: tuple(hopcore.statistics(x, stored, 1.0)))(state)
    for ours, theirs in zip(mapped, whole, strict=True):
        torch.testing.assert_close(ours, theirs)
    exported = torch.export.export(Entropy(torch), (state, stored))
    torch.testing.assert_close(exported.module()(state, stored), whole.entropy)


def Entropy(torch: Any) -> Any:
    class Module(torch.nn.Module):
        def forward(self, state: Any, stored: Any) -> Any:
            return hopcore.statistics(state, stored, 1.0).entropy

    return Module()


def test_blocks_and_second_derivatives_of_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    rng = np.random.default_rng(0)
    state, stored = (jnp.asarray(rng.normal(size=s)) for s in ((2, 21, 3), (5, 3)))
    mask = jnp.asarray(rng.random((21, 5)) < 0.7)

    def total(state: Any, stored: Any) -> Any:
        found = hopcore.statistics(state, stored, 1.0, mask=mask)
        weigh = found.entropy + found.effective + found.largest
        return jnp.sum(jnp.sin(weigh)) + jnp.sum(jnp.sin(found.received))

    def second() -> Any:
        change = jnp.ones_like(state), jnp.cos(stored)
        return jax.jvp(jax.grad(total, (0, 1)), (state, stored), change)

    whole = second()
    monkeypatch.setattr(type(hopcore.backend("jax")), "block", lambda *_: 60)
    for ours, theirs in zip(jax.tree.leaves(second()), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-4)
