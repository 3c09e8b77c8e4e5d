"""JAX told to stop at inf and nan does not stop at masks, and callers may switch x64 on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import hopcore

jax = pytest.importorskip("jax")
jnp = jax.numpy

RNG = np.random.default_rng(0)
X, S = (
    jnp.asarray(RNG.normal(size=(5, 4)), "float32"),
    jnp.asarray(RNG.normal(size=(3, 4)), "float32"),
)
MASK = jnp.asarray([[False] * 5, [True, False, True, True, False], [False] * 4 + [True]])
CONFIG = hopcore.DiffusionConfig(k_neighbors=1, steps=1)


@pytest.fixture
def stopping() -> Iterator[None]:
    """JAX raises at every inf and nan."""
    names = ("jax_debug_infs", "jax_debug_nans")
    before = {name: getattr(jax.config, name) for name in names}
    for name in names:
        jax.config.update(name, True)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def gradient(separation: str) -> Any:
    def total(state: Any) -> Any:
        return hopcore.association(state, X, beta=1.0, mask=MASK, separation=separation).sum()

    return jax.grad(total)(S)


CALLS: dict[str, Callable[[], Any]] = {
    "softmax": lambda: hopcore.association(S, X, beta=1.0, mask=MASK),
    "sparsemax": lambda: hopcore.association(S, X, beta=1.0, mask=MASK, separation="sparsemax"),
    "weights": lambda: hopcore.association_weights(S, X, 1.0, mask=MASK),
    "retrieve": lambda: hopcore.retrieve(S[1:], X, 1.0, mask=MASK[1:]).state,
    "energy": lambda: hopcore.energy(S[1:], X, 1.0, mask=MASK[1:]),
    "lse": lambda: hopcore.lse(1.0, S @ X.T, mask=MASK[2]),
    "gradient": lambda: gradient("softmax"),
    "sparse gradient": lambda: gradient("sparsemax"),
    "diffused": lambda: hopcore.diffused_retrieve(S, X, 1.0, config=CONFIG).state,
    "knn": lambda: hopcore.build_knn_graph(hopcore.build_similarity_matrix(X), 2),
}


@pytest.mark.parametrize("name", CALLS)
def test_masks_do_not_stop_a_debugger(name: str, stopping: None) -> None:
    got = np.asarray(CALLS[name]())
    for flag in ("jax_debug_infs", "jax_debug_nans"):
        jax.config.update(flag, False)
    np.testing.assert_array_equal(got, np.asarray(CALLS[name]()))
    if name in ("softmax", "sparsemax", "weights", "gradient", "sparse gradient"):
        assert not got[0].any()  # where nothing may be attended


def test_masked_results_are_those_of_numpy() -> None:
    for name, given in (("all but one", MASK), ("none", jnp.zeros((3, 5), bool))):
        for separation in ("softmax", "sparsemax", hopcore.Entmax(3.0)):
            how: Any = {"beta": 1.5, "separation": separation}
            got = hopcore.association(S, X, mask=given, **how)
            wanted = hopcore.association(
                np.asarray(S), np.asarray(X), mask=np.asarray(given), **how
            )
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6, err_msg=name)
        found = hopcore.association(S, X, beta=1.5, mask=given, return_lse=True)[1]
        np.testing.assert_array_equal(np.isneginf(found), ~np.asarray(given).any(-1))
        scores = S @ X.T
        np.testing.assert_array_equal(
            np.isneginf(hopcore.lse(1.0, scores, mask=given)), ~np.asarray(given).any(-1)
        )
    none = hopcore.retrieve(S, X, 1.0, max_steps=0)
    assert np.isinf(none.residual).all()
    assert not none.converged.any()


def test_a_caller_may_switch_x64_on() -> None:
    before = np.asarray(hopcore.retrieve(S, X, 1.0).state)
    with jax.enable_x64(True):
        inside = hopcore.retrieve(S, X, 1.0)
        assert inside.state.dtype == np.float32
        double = hopcore.retrieve(S.astype("float64"), X.astype("float64"), 1.0).state
        assert double.dtype == np.float64
    np.testing.assert_allclose(inside.state, before, rtol=0, atol=1e-6)
    np.testing.assert_allclose(double, before, rtol=0, atol=1e-5)
