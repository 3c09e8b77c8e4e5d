"""Memories with a metric: what is refused, any matrix, and metrics that are learned."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore.memory import Metric

RNG = np.random.default_rng(0)
STORED, STATE, WEIGHT = RNG.normal(size=(9, 5)), RNG.normal(size=(4, 5)), RNG.normal(size=(3, 5))


@pytest.mark.parametrize("similarity", ["dot", "distance"])
def test_any_matrix_is_a_mapped_memory(similarity: Any) -> None:
    metric, options = Metric(WEIGHT), {"similarity": similarity, "separation": "sparsemax"}
    at, memory = STATE @ WEIGHT.T, STORED @ WEIGHT.T
    assert np.allclose(metric(STATE), at)
    wanted = hopcore.energy(at, memory, 2.0, **options)
    assert np.allclose(metric.energy(STATE, STORED, 2.0, **options), wanted)
    wanted = hopcore.association(at, memory, STORED, beta=2.0, **options)
    assert np.allclose(metric.update(STATE, STORED, 2.0, **options), wanted)


def test_the_result_of_a_retrieval_is_a_fixed_point() -> None:
    metric = Metric(WEIGHT)
    found = metric.retrieve(STATE, STORED, 0.5, tol=1e-12, max_steps=1000)
    assert np.all(found.converged)
    assert np.allclose(metric.update(found.state, STORED, 0.5), found.state)
    assert np.allclose(metric.energy(found.state, STORED, 0.5), found.energy)


def test_the_identity_is_the_plain_memory() -> None:
    metric, plain = Metric(np.eye(5)), hopcore.retrieve(STATE, STORED, 0.7, tol=1e-12)
    found = metric.retrieve(STATE, STORED, 0.7, tol=1e-12)
    assert np.allclose(found.state, plain.state)
    assert np.array_equal(found.steps, plain.steps)
    single = metric.retrieve(STATE[0], STORED, 0.7, tol=1e-12)
    assert single.state.shape == (5,)
    assert single.energy.shape == ()
    assert np.allclose(single.state, plain.state[0])
    assert metric.energy(STATE[0], STORED, 1.0).shape == ()
    assert metric.update(STATE[0], STORED, 1.0).shape == (5,)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_a_metric_is_learned(library: str) -> None:
    """A descent on the separation loss moves patterns apart that the given features hide."""
    pytest.importorskip(library)
    patterns = np.float32(STORED * np.asarray([1.0, 1.0, 1.0, 1e-2, 1e-2]))
    start = np.float32(np.eye(2, 5))

    if library == "torch":
        torch: Any = pytest.importorskip("torch")
        given = torch.asarray(patterns)

        def slope(weight: np.ndarray) -> tuple[float, np.ndarray]:
            matrix = torch.asarray(weight).requires_grad_()
            loss = Metric(matrix).separation_loss(given)
            loss.backward()
            return float(loss.detach()), matrix.grad.numpy()

    else:
        jax: Any = pytest.importorskip("jax")

        def loss_of(weight: Any) -> Any:
            return Metric(weight).separation_loss(jax.numpy.asarray(patterns))

        derivative = jax.jit(jax.value_and_grad(loss_of))

        def slope(weight: np.ndarray) -> tuple[float, np.ndarray]:
            loss, gradient = derivative(jax.numpy.asarray(weight))
            return float(loss), np.asarray(gradient)

    first, gradient = slope(start)
    for place in ((0, 0), (1, 2)):
        change = np.zeros_like(start)
        change[place] = 1e-2
        ahead, behind = slope(start + change)[0], slope(start - change)[0]
        assert abs((ahead - behind) / 2e-2 - gradient[place]) < 2e-3
    weight = start
    for _ in range(30):
        weight = weight - 0.2 * slope(weight)[1]
        weight = weight / np.linalg.norm(weight) * np.linalg.norm(start)
    assert slope(weight)[0] < first - 0.2


def test_what_is_refused() -> None:
    def refused(kind: type[Exception], message: str, call: Any) -> None:
        with pytest.raises(kind, match=re.escape(message)) as error:
            call()
        assert "\n" not in str(error.value)

    refused(ValueError, "weight must be a matrix (m, d), got (5,)", lambda: Metric(np.zeros(5)))
    refused(TypeError, "weight must be an array", lambda: Metric("euclid"))
    metric = Metric(WEIGHT)
    message = "patterns must have the width of the metric, (..., 5), got (4, 4)"
    refused(ValueError, message, lambda: metric.energy(STATE[:, :4], STORED[:, :4], 1.0))
    refused(ValueError, "beta must be positive", lambda: metric.update(STATE, STORED, -1.0))
    refused(ValueError, "two or more", lambda: metric.separation_loss(STORED[:1]))
    refused(ValueError, "scale must be", lambda: metric.separation_loss(STORED, 0.0))
    compact: Any = {"separation": "epanechnikov", "similarity": "distance"}
    refused(ValueError, "no compact kernel", lambda: metric.update(STATE, STORED, 1.0, **compact))
    refused(ValueError, "no compact kernel", lambda: metric.retrieve(STATE, STORED, 1.0, **compact))
    refused(
        TypeError,
        "a streamed memory is taken as what is stored",
        lambda: metric.energy(STATE, hopcore.Streamed(STORED), 1.0),
    )
