"""Derivatives by state, patterns, beta and bias where scores are more than products."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.cases.memory import generators
from hopcore_conformance.cases.scores import Scored, known_coordinates, scored
from hopcore_conformance.checks import tolerance
from hopcore_conformance.checks.measure import agree
from hopcore_conformance.oracle import memory as plain
from hopcore_conformance.oracle import scores as oracle
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject, reference

Array = np.ndarray

norm = tolerance.norm

ENTMAX = hopcore.Entmax(1.5)

SMALL = {
    "separations": ("softmax", ENTMAX), "shapes": ((3, 6, 4),), "kinds": ("normal", "offset"),
    "biases": ("some",), "masked": False,
}  # fmt: skip
"""Problems whose derivatives have a formula, and no kinks that a rounding would cross."""

BY = ("state", "stored", "beta", "bias")


def energy(state: Any, stored: Any, beta: Any, bias: Any, **options: Any) -> Any:
    """The energy as a function of all that has derivatives."""
    return hopcore.energy(state, stored, beta, bias=bias, **options)


def update(state: Any, stored: Any, beta: Any, bias: Any, **options: Any) -> Any:
    """The update as a function of all that has derivatives."""
    return hopcore.update(state, stored, beta, bias=bias, **options)


def retrieved(state: Any, stored: Any, beta: Any, bias: Any, **options: Any) -> Any:
    """The retrieved state as a function of all that has derivatives."""
    return hopcore.retrieve(state, stored, beta, bias=bias, **options).state


def given_to(p: Scored) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of these functions."""
    return (*p.arrays, p.bias), {"separation": p.separation, "similarity": p.similarity}


def with_betas(p: Scored, subject: Subject) -> Scored:
    """The problem with an inverse temperature for each query."""
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    return p.but(beta=np.full(p.state.shape[0], p.beta)).on(subject)


def differences(p: Scored) -> tuple[Array, Array]:
    """Derivatives of scores / beta by the state and by patterns, (L, S, d), before the weights."""
    shape = (*p.scores.shape, p.state.shape[-1])
    if p.similarity == "dot":
        patterns = np.broadcast_to(p.stored, shape)
        return patterns, np.broadcast_to(p.state[:, None], shape)
    away = p.stored - p.state[:, None]
    return away, -away


@statement("K.gradient", "K1", "B.gradient")
@given(p=scored(**SMALL, heats=(0.03, 10.0)))
def test_gradients_of_the_energy(subject: Subject, p: Scored) -> None:
    p = with_betas(p, subject)
    arrays, options = given_to(p)
    found = subject.gradient(energy, *arrays, by=[0, 1, 2, 3], **options)
    w, beta, z = p.weights, np.asarray(p.beta), p.scores
    assert p.bias is not None
    _, by_patterns = differences(p)
    products = (z - p.bias) / beta[:, None]
    wrong = tolerance.weights(subject, p)
    size = norm(p.state) + np.max(norm(p.stored))
    wanted = [
        p.state - p.association(),
        -np.einsum("ls,lsd->sd", w, by_patterns),
        (plain.conjugate(z, p.alpha) / beta - np.sum(w * products, axis=-1)) / beta,
        -np.sum(w / beta[:, None], axis=0),
    ]
    if p.similarity == "dot":
        longest = np.argmax(norm(p.stored))
        wanted[1][longest] += p.state.shape[0] * p.stored[longest]
        uniform = np.full(w.shape[-1], 1.0 / w.shape[-1])
        wanted[2] = wanted[2] + plain.negentropy(uniform, p.alpha) / beta**2
    # Derivatives are returned in the dtype of the input, which ends at 65504 for float16.
    assume(all(np.max(np.abs(x)) < 0.5 * subject.most for x in wanted))
    rounding = 8 * subject.eps * size + w.shape[-1] * wrong * size
    within = [
        (tolerance.association(subject, p) + rounding)[:, None],
        np.sum(rounding),
        4 * tolerance.energy(subject, p) / beta
        + np.sum(np.abs(products), axis=-1) * wrong / beta
        + 8 * subject.eps * (np.abs(wanted[2]) + np.max(np.abs(p.bias)) / beta**2),
        np.sum((wrong + 8 * subject.eps) / beta),
    ]
    for name, got, value, error in zip(BY, found, wanted, within, strict=True):
        agree(f"energy by {name}", got, value, error + subject.least)


@statement("K.gradient", "B.gradient")
@given(p=scored(**{**SMALL, "separations": ("softmax",)}, heats=(0.03, 10.0)), rng=generators())
def test_gradients_of_the_update(subject: Subject, p: Scored, rng: np.random.Generator) -> None:
    p = with_betas(p, subject)
    arrays, options = given_to(p)
    probe = subject.precise.rounded(rng.normal(size=p.state.shape))
    found = subject.gradient(update, *arrays, by=[0, 1, 2, 3], probe=probe, **options)
    w, beta = p.weights, np.asarray(p.beta)
    assert p.bias is not None
    by_state, by_patterns = differences(p)
    products = (p.scores - p.bias) / beta[:, None]
    values = probe @ p.stored.T
    change = oracle.jacobian_times(w, values)
    wanted = [
        np.einsum("l,ls,lsd->ld", beta, change, by_state),
        np.einsum("l,ls,lsd->sd", beta, change, by_patterns) + w.T @ probe,
        np.sum(change * products, axis=-1),
        np.sum(change, axis=0),
    ]
    # A slope by a score is w_i (v_i - mean): off by the relative error of the weights, and by the
    # roundings of values as large as the patterns.
    relative = np.expm1(2 * tolerance.scores(subject, p)) + 64 * subject.eps
    long = np.max(norm(p.stored))
    slope = 4 * relative * norm(probe) * long  # of all patterns together
    reach = norm(p.state) + long
    within = [
        (beta * slope * reach)[:, None],
        np.sum(beta * slope * reach + 4 * relative * norm(probe)),
        slope * np.max(np.abs(p.products)),
        np.sum(slope),
    ]
    for name, got, value, error in zip(BY, found, wanted, within, strict=True):
        rounding = 8 * subject.eps * np.max(np.abs(value))
        agree(f"update by {name}", got, value, error + rounding + subject.least)


@statement("K.gradient", "B.implicit")
@given(p=scored(**SMALL, heats=(0.1, 2.0)), rng=generators(), data=st.data())
def test_gradients_at_the_fixed_point(
    subject: Subject, p: Scored, rng: np.random.Generator, data: Any
) -> None:
    p = with_betas(p, subject)
    arrays, options = given_to(p)
    kind = data.draw(st.sampled_from(("all", "settle")))
    if kind == "settle":
        known = data.draw(known_coordinates(p.state.shape))
        options = {**options, "known": known, "unknown": "settle"}
    slope = steepest(p, reference(retrieved, *arrays, **options, max_steps=500, tol=1e-15))
    # A clear contraction: 60 updates leave less than any rounding of the start.
    assume(slope < 0.5)
    probe = subject.precise.rounded(rng.normal(size=p.state.shape))
    implicit, unrolled = (
        subject.gradient(
            retrieved, *arrays, by=[0, 1, 2, 3], probe=probe, gradient=way, max_steps=60, tol=0.0,
            **options,
        )
        for way in ("implicit", "unrolled")
    )  # fmt: skip
    # By how much the formulas of either derivative may amplify a rounding.
    reach = float(np.max(p.unit) + np.max(norm(p.state - p.origin)) + np.max(norm(p.stored)))
    heat = float(np.max(p.beta)) * reach**2
    assert p.bias is not None
    amplified = float(np.sum(np.abs(probe))) / (1.0 - slope)
    eps = subject.eps ** min(1.0, 2.0 - p.alpha if p.alpha > 1 else 1.0)
    sizes = [1.0 + heat, 1.0 + heat, reach**3, reach]
    for name, ours, theirs, size in zip(BY, implicit, unrolled, sizes, strict=True):
        within = 32 * eps * amplified * size * (1.0 + heat) + subject.least
        agree(f"implicit and unrolled gradient by {name}", ours, theirs, within)
    if kind == "settle":
        agree(
            "by unknown coordinates of the start", implicit[0][~known], 0.0 * p.state[~known], 0.0
        )
    along = rng.normal(size=p.bias.shape)

    def total(bias: Array) -> float:
        moved = reference(retrieved, *arrays[:3], bias, **options, max_steps=500, tol=1e-15)
        return float(np.sum(probe * moved))

    wanted = plain.slope(total, p.bias, along, 1e-6)
    within = (32 * eps * (1.0 + heat) + 1e-7) * amplified * reach + subject.least
    within = within * float(np.sum(np.abs(along)))
    agree("slope of the fixed point by the bias", np.sum(implicit[3] * along), wanted, within)


def steepest(p: Scored, found: Array) -> float:
    """The largest norm of the Jacobian of the update at some states."""
    at = p.but(state=found)
    by_state, _ = differences(at)
    largest = 0.0
    for w, away, beta in zip(at.weights, by_state, np.asarray(p.beta), strict=True):
        columns = oracle.jacobian_times(w, np.asarray(away).T, p.alpha)
        largest = max(largest, float(np.linalg.norm(beta * columns @ p.stored, ord=2)))
    return largest


@statement("K.gradient", "K.ignore")
@given(p=scored(**{**SMALL, "similarities": ("distance",), "separations": ("softmax",)},
                heats=(0.1, 5.0)), rng=generators(), data=st.data(),
       way=st.sampled_from(("implicit", "unrolled")))  # fmt: skip
def test_gradients_where_coordinates_are_ignored(
    subject: Subject, p: Scored, rng: np.random.Generator, data: Any, way: str
) -> None:
    p = with_betas(p, subject)
    known = data.draw(known_coordinates(p.state.shape))
    arrays, options = given_to(p)
    probe = subject.precise.rounded(rng.normal(size=p.state.shape))
    filled = np.where(known, p.state, np.nan)
    found = subject.gradient(
        retrieved, filled, *arrays[1:], by=[0, 1, 2, 3], probe=probe, known=known, gradient=way,
        **options,
    )  # fmt: skip
    beta, seen = np.asarray(p.beta), np.where(known, 1.0, 0.0)
    z = oracle.scores("distance", *p.arrays, None, p.bias, known)
    w, asked = plain.weights(z, 1.0), probe * (1.0 - seen)
    change = oracle.jacobian_times(w, asked @ p.stored.T)
    away = seen[:, None] * (p.stored - p.state[:, None])
    squares = oracle.square_distances(p.state, p.stored, known)
    wanted = [
        probe * seen + np.einsum("l,ls,lsd->ld", beta, change, away),
        w.T @ asked - np.einsum("l,ls,lsd->sd", beta, change, away),
        -0.5 * np.sum(change * squares, axis=-1),
        np.sum(change, axis=0),
    ]
    relative = np.expm1(2 * tolerance.scores(subject, p)) + 64 * subject.eps
    long = np.max(norm(p.stored))
    slope = 4 * relative * norm(probe) * long
    reach = norm(p.state) + long
    within = [
        (beta * slope * reach)[:, None],
        np.sum(beta * slope * reach + 4 * relative * norm(probe)),
        slope * np.max(np.abs(p.products)),
        np.sum(slope),
    ]
    for name, got, value, error in zip(BY, found, wanted, within, strict=True):
        rounding = 8 * subject.eps * np.max(np.abs(value), initial=1.0)
        agree(f"completion by {name}", got, value, error + rounding + subject.least)


@statement("K.gradient", "B.gradient")
@pytest.mark.parametrize("kind", ["zeros", "copies", "masked", "far"])
@pytest.mark.parametrize("separation", ["softmax", "sparsemax"])
def test_gradients_are_finite(subject: Subject, kind: str, separation: str) -> None:
    stored = np.zeros((3, 2)) if kind == "zeros" else np.ones((3, 2))
    if kind == "far":  # weights of exactly 0 and 1
        stored = np.asarray([[100.0, 0.0], [0.0, 100.0], [-100.0, 0.0]])
    p = Scored(np.zeros((2, 2)), stored, 2.0, np.full((2, 3), kind != "masked"), separation,
               bias=np.zeros(3))  # fmt: skip
    p = with_betas(p, subject)
    arrays, options = given_to(p)
    known = np.asarray([[True, False], [False, True]])
    calls: list[tuple[Any, dict[str, Any]]] = [(update, {}), (retrieved, {"known": known})]
    if kind != "masked":  # +inf has no gradient
        calls.append((energy, {}))
    for function, more in calls:
        found = subject.gradient(function, *arrays, by=[0, 1, 2, 3], mask=p.mask, **options, **more)
        for name, got in zip(BY, found, strict=True):
            assert np.all(np.isfinite(got)), f"{function.__name__} by {name}: {got!r}"
