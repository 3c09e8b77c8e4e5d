"""An alpha that is an array, its derivative, a learned one, and the loss (section F)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hopcore
from hopcore.arrays import Backend
from hopcore.memory import get_separation, learned_alpha
from hopcore_conformance.cases.layers import Case, case_of, run
from hopcore_conformance.cases.memory import generators, score_arrays
from hopcore_conformance.checks import tolerance
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import memory as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray

ORDERS = (1.0, 1.0 + 1e-6, 1.1, 1.5, 1.9, 2.0, 2.5, 6.0)
"""Orders of both solvers, of their boundary and of the softmax."""


def order_weights(z: Any, orders: Any, *, backend: Backend) -> Any:
    """Weights of scores, each row of which has an order of its own."""
    return backend.separate(z, hopcore.Entmax(orders))[0]


def order_conjugate(z: Any, orders: Any, *, backend: Backend) -> Any:
    """Their conjugate."""
    return backend.separate(z, hopcore.Entmax(orders))[1]


@statement("F.orders")
@given(z=score_arrays(), rng=generators())
def test_every_query_has_its_order(subject: Subject, z: Array, rng: np.random.Generator) -> None:
    fine = subject.precise
    z = fine.rounded(z)
    orders = fine.rounded(rng.choice(ORDERS, size=z.shape[:-1]))
    options = {"backend": fine.backend}
    weights = fine(order_weights, z, orders, **options)
    conjugate = fine(order_conjugate, z, orders, **options)
    for row, scores, alpha in zip(range(len(z)), z, orders, strict=True):
        largest = np.max(np.where(np.isneginf(scores), 0.0, np.abs(scores)))
        within = tolerance.weights_of_scores(fine, fine.fine * largest, alpha, z.shape[-1])
        wanted = plain.weights(scores, alpha)
        agree(f"weights of alpha = {alpha}", weights[row], wanted, within)
        of_row = plain.conjugate(scores, alpha), tolerance.conjugate(fine, scores)
        agree(f"conjugate of alpha = {alpha}", conjugate[row], *of_row)
        if alpha > 1.0:
            # Out of reach of the largest score: exactly no weight.
            far = scores < np.max(scores) - 1.001 / (alpha - 1.0)
            agree("weights out of reach", weights[row][far], np.zeros(np.sum(far)), 0.0)


@statement("F.orders")
@given(rng=generators())
def test_orders_broadcast(subject: Subject, rng: np.random.Generator) -> None:
    z = subject.rounded(rng.normal(size=(2, 3, 5)))
    orders = subject.rounded(np.asarray([[1.0], [1.75]]))
    got = subject(lambda z, a: hopcore.separate(z, hopcore.Entmax(a)), z, orders)
    wanted = np.stack([plain.weights(z[i], float(orders[i, 0])) for i in range(2)])
    # Scores below 10, and weights returned in the dtype of the scores.
    within = tolerance.weights_of_scores(subject, 10.0 * subject.fine, 1.75, 5) + subject.eps
    agree("weights of heads", got, wanted, within)
    more = subject(lambda z, a: hopcore.separate(z, hopcore.Entmax(a)), z[0], orders)
    wanted = np.stack([plain.weights(z[0], float(one)) for one in orders[:, 0]])
    agree("weights of leading axes that only alpha has", more, wanted, within)


@statement("F.alpha", "B.gradient")
@given(rng=generators(), alpha=st.sampled_from((1.0, 1.2, 1.5, 1.75, 2.0, 2.5)))
def test_derivatives_by_alpha(subject: Subject, rng: np.random.Generator, alpha: float) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    fine = subject.precise
    alpha = float(fine.rounded(np.asarray(alpha)))
    # Scores of weights that are clear of 0: a support that rounding moves has no derivative.
    weights = rng.uniform(0.5, 1.5, size=(3, 4))
    weights /= np.sum(weights, axis=-1, keepdims=True)
    # One more, far out of reach.
    away = np.full((3, 1), -1e3)
    z = fine.rounded(np.concatenate([plain.deformed_log(weights, alpha), away], axis=-1))
    weights, orders = plain.weights(z, alpha), np.full(3, alpha)
    probe = fine.rounded(rng.normal(size=z.shape))
    options = {"backend": fine.backend}
    (got,) = fine.gradient(order_weights, z, orders, by=[1], probe=probe, **options)
    wanted = np.sum(probe * plain.weights_by_alpha(weights, alpha), axis=-1)
    # Weights of 1/12 and more have (log w)^2 < 7, s < 4 and its slope < 50.
    within = 4000.0 * fine.fine * np.max(np.abs(probe))
    agree("derivative of the weights by alpha", got, wanted, within)
    (got,) = fine.gradient(order_conjugate, z, orders, by=[1], **options)
    wanted = -plain.negentropy_by_alpha(weights, alpha)
    agree("derivative of the conjugate by alpha", got, wanted, 4000.0 * fine.fine)
    # By the scores it is that of a number.
    (got,) = fine.gradient(order_weights, z, orders, by=[0], probe=probe, **options)
    s = np.where(weights > 0.0, np.where(weights > 0.0, weights, 1.0) ** (2.0 - alpha), 0.0)
    mean = np.sum(s * probe, axis=-1, keepdims=True) / np.sum(s, axis=-1, keepdims=True)
    agree("derivative of the weights by the scores", got, s * (probe - mean), within)


LEARNED = hopcore.HopfieldSettings(
    input_size=6, num_heads=2, separation=hopcore.LearnableAlpha(start=(1.25, 1.75))
)


@statement("F.learned")
@pytest.mark.parametrize("start", [1.5, 1.01, (1.25, 1.75)])
@pytest.mark.parametrize("per_head", [True, False])
def test_a_learned_alpha_starts_as_it_is_set(subject: Subject, start: Any, per_head: bool) -> None:
    learned = hopcore.LearnableAlpha(start=start, per_head=per_head)
    settings = replace(LEARNED, separation=learned)
    given = hopcore.initial_parameters(settings, backend=subject.backend.name, dtype=subject.dtype)
    shape = (2,) if per_head or isinstance(start, tuple) else ()
    got = subject.get(learned_alpha(given["alpha_logit"]))
    # Theta, at most 5, is rounded; alpha moves by at most a quarter of that.
    agree("first alpha", got, np.broadcast_to(start, shape), 4.0 * subject.eps)


@statement("F.learned")
def test_every_head_obeys_its_learned_alpha(subject: Subject) -> None:
    case: Case = case_of(LEARNED).on(subject)
    # Large patterns, so that alpha matters.
    case = case.but(patterns={name: 8.0 * x for name, x in case.patterns.items()})
    got = run(subject, hopcore.layers.hopfield_weights, case)
    theta = case.parameters["alpha_logit"]
    own = {name: x for name, x in case.parameters.items() if name != "alpha_logit"}
    for head, alpha in enumerate(subject.rounded(1.0 + 1.0 / (1.0 + np.exp(-theta)))):
        plainly = replace(case.settings, separation=float(alpha))
        fixed = replace(case, settings=plainly, parameters=own)
        wanted = run(subject, hopcore.layers.hopfield_weights, fixed)
        agree(f"weights of head {head}", got[..., head, :, :], wanted[..., head, :, :],
              32.0 * subject.eps)  # fmt: skip
        other = np.max(np.abs(got[..., head, :, :] - wanted[..., 1 - head, :, :]))
        at_most("-influence of the head", -other, -1e-3)


def loss_of(subject: Subject, z: Array, target: Array, alpha: float, reduction: str) -> Array:
    """The losses of scores, in the subject's library."""
    backend = subject.backend
    classes = backend.asarray(target, dtype="int32", device=subject.device)
    return subject(lambda z: hopcore.entmax_loss(z, classes, alpha, reduction=reduction), z)


@statement("F.loss")
@given(z=score_arrays(masked=False), alpha=st.sampled_from((1.0, 1.1, 1.5, 2.0, 3.0)),
       rng=generators())  # fmt: skip
def test_loss(subject: Subject, z: Array, alpha: float, rng: np.random.Generator) -> None:
    z = subject.rounded(z)
    target = rng.integers(0, z.shape[-1], size=z.shape[:-1])
    got = loss_of(subject, z, target, alpha, "none")
    own = np.take_along_axis(z, target[:, None], axis=-1)[:, 0]
    within = tolerance.conjugate(subject, z) + 2.0 * subject.fine * np.max(np.abs(z), axis=-1)
    wanted = plain.conjugate(z, alpha) - own
    agree("loss", got, wanted, within)
    at_most("-loss", -got, 0.0)
    agree("mean", loss_of(subject, z, target, alpha, "mean"), np.mean(wanted), np.max(within))
    agree("sum", loss_of(subject, z, target, alpha, "sum"), np.sum(wanted), 4.0 * np.sum(within))


@statement("F.loss")
@pytest.mark.parametrize("alpha", [1.25, 1.5, 2.0, 3.0])
def test_no_loss_at_the_margin(subject: Subject, alpha: float) -> None:
    # Powers of two: every number is exact in every dtype.
    z = np.asarray([[16.0, 16.0 - 1.0 / (alpha - 1.0), 4.0], [0.0, -64.0, 64.0]])
    got = loss_of(subject, z, np.asarray([0, 2]), alpha, "none")
    agree("loss of separated classes", got, np.zeros(2), 0.0)
    got = loss_of(subject, z, np.asarray([1, 2]), alpha, "none")
    at_most("-loss of the second class", -got[0], -1e-3)


@statement("F.loss")
@pytest.mark.parametrize("alpha", [1.0, 1.5, 2.0])
def test_one_class_has_no_loss(subject: Subject, alpha: float) -> None:
    z = np.asarray([[3.0], [-64.0], [0.0]])
    got = loss_of(subject, z, np.zeros(3, dtype=int), alpha, "none")
    agree("loss of the only class", got, np.zeros(3), 0.0)
    # With a second class the cross-entropy is not 0: log(1 + e^-4).
    got = loss_of(subject, np.asarray([[4.0, 0.0]]), np.zeros(1, dtype=int), 1.0, "none")
    agree("cross-entropy of two classes", got, [np.log1p(np.exp(-4.0))], 16 * subject.fine)


@statement("F.loss", "B.gradient")
@given(z=score_arrays(masked=False), alpha=st.sampled_from((1.0, 1.5, 2.0)), rng=generators())
def test_gradient_of_the_loss(
    subject: Subject, z: Array, alpha: float, rng: np.random.Generator
) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    fine = subject.precise
    z = fine.rounded(z)
    corners = np.eye(z.shape[-1])[rng.integers(0, z.shape[-1], size=z.shape[:-1])]
    (got,) = fine.gradient(total_loss, z, corners, by=[0], backend=fine.backend, alpha=alpha)
    function = get_separation("softmax" if alpha == 1.0 else hopcore.Entmax(alpha))
    weights = fine(lambda given: fine.backend.separate(given, function)[0], z)
    largest = np.max(np.abs(z), axis=-1, keepdims=True)
    within = tolerance.weights_of_scores(fine, fine.fine * largest, alpha, z.shape[-1])
    agree("gradient of the loss", got, weights - corners, 2.0 * within)


def total_loss(z: Any, corners: Any, *, backend: Backend, alpha: float) -> Any:
    """The sum of the losses of classes that are given as corners of the simplex."""
    target = backend.xp.argmax(corners, axis=-1)
    return hopcore.entmax_loss(z, target, alpha, reduction="sum")
