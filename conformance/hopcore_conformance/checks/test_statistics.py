"""Statistics of associations beside all weights in float64 (spec: statistics)."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from array_api_compat import array_namespace
from hypothesis import given
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.cases.memory import (
    EDGES,
    LARGE,
    Problem,
    generators,
    large_problem,
    problems,
    rows,
)
from hopcore_conformance.checks import tolerance
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import memory as plain
from hopcore_conformance.oracle import statistics as dense
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray

MODERATE = (0.03, 30.0)
"""Bounds of ``beta M^2`` for moderate inverse temperatures."""


def measured(subject: Subject, p: Problem) -> Any:
    return subject(hopcore.statistics, *p.arrays, **p.options)


def relative_error(subject: Subject, p: Problem) -> Array:
    r"""Relative error of a softmax weight, (..., L).

    Scores that are off by :math:`\delta` change a weight by a factor of at most
    :math:`e^{2 \delta}`; normalisation and sums round each of S terms.
    """
    count = p.stored.shape[-2]
    return np.expm1(2 * tolerance.scores(subject, p)) + (16 + 4 * count) * subject.fine


def weight_error(subject: Subject, p: Problem) -> Array:
    """Error of a weight of any separation function, in the precise dtype, (..., L)."""
    count = p.stored.shape[-2]
    return tolerance.weights_of_scores(subject, tolerance.scores(subject, p), p.alpha, count)


def entropy_error(subject: Subject, p: Problem, h: Array) -> Array:
    r"""Error of an entropy H, (..., L).

    For the softmax :math:`|dH| \le \sum_i w_i |\log w_i + H|\, |dz_i| \le 2 H \delta`. Where
    weights are off by e, :math:`|w \log w - w' \log w'| \le -e \log e` for each of S terms.
    Weights below the smallest normal number are lost.
    """
    count = p.stored.shape[-2]
    lost = count * 1000.0 * subject.tiny
    if p.alpha == 1.0:
        return 3 * h * relative_error(subject, p) + lost
    e = np.minimum(weight_error(subject, p), 1.0 / np.e)
    return -count * e * np.log(e) + (16 + 4 * count) * subject.fine * (h + 1.0) + lost


@statement("H.entropy", "H.effective", "H.largest", "H.received", "H.energy", "H.empty", "E.mask")
@given(p=problems())
def test_statistics_are_those_of_the_weights(subject: Subject, p: Problem) -> None:
    p = p.on(subject)
    got, w = measured(subject, p), dense.weights(*p.formula)
    compare(subject, p, got, w)


def compare(subject: Subject, p: Problem, got: Any, w: Array) -> None:
    """Compare statistics with those of weights that are float64."""
    h, u, (queries, count) = dense.entropy(w), subject.fine, w.shape[-2:]
    agree("entropy", got.entropy, h, entropy_error(subject, p, h))
    square, wide = dense.squares(w), np.where(got.effective > 0.0, got.effective, 1.0)
    if p.alpha == 1.0:
        wrong = relative_error(subject, p)
        lost = subject.tiny * count
        agree("largest weight", got.largest, np.max(w, axis=-1), wrong * np.max(w, axis=-1))
        agree("effective number", got.effective, dense.effective(w), 3 * wrong * dense.effective(w))
        within = np.max(wrong) * np.sum(w, axis=-2) + queries * (u * np.sum(w, axis=-2) + lost)
    else:
        wrong = weight_error(subject, p)
        agree("largest weight", got.largest, np.max(w, axis=-1), wrong + 4 * u)
        found = np.where(got.effective > 0.0, 1.0 / wide, 0.0)
        agree("sum of squares", found, square, 2 * wrong + (8 + count) * u)
        within = np.sum(wrong, axis=-1)[..., None] + queries * u * (1.0 + np.sum(w, axis=-2))
    agree("received", got.received, np.sum(w, axis=-2), within)
    z = p.scores
    within = tolerance.scores(subject, p) + tolerance.conjugate(subject, z)
    agree("log-sum-exp", got.log_sum_exp, plain.conjugate(z, p.alpha), within)
    agree("energy", got.energy, p.energy, tolerance.energy(subject, p))


@statement("H.entropy", "H.effective", "H.largest")
@given(p=problems(separations=("softmax",), heats=MODERATE, masked=False))
def test_closed_forms_of_the_softmax(subject: Subject, p: Problem) -> None:
    p = p.on(subject)
    got, z = measured(subject, p), plain.scores(*p.arrays)
    level, twice = plain.conjugate(z, 1.0), plain.conjugate(2.0 * z, 1.0)
    largest = np.max(np.abs(z), axis=-1)
    # The closed forms cancel: each is off by roundings of the scores, in float64 here.
    own = 40.0 * np.finfo(np.float64).eps * (1.0 + largest)
    mean = np.sum(p.state * plain.association(*p.formula), axis=-1)
    wrong = relative_error(subject, p)
    wanted = level - p.beta * mean
    agree("l - beta xi.f(xi)", got.entropy, wanted, entropy_error(subject, p, wanted) + own)
    wanted = np.exp(2.0 * level - twice)
    agree("exp(2 l(beta) - l(2 beta))", got.effective, wanted, (3 * wrong + own) * wanted)
    wanted = np.exp(np.max(z, axis=-1) - level)
    agree("exp(max z - l)", got.largest, wanted, (wrong + own) * wanted)


@statement("H.order")
@given(p=problems())
def test_order_of_the_statistics(subject: Subject, p: Problem) -> None:
    p = p.on(subject)
    got, count = measured(subject, p), p.stored.shape[-2]
    some = got.largest > 0.0
    numbers = np.sum(plain.attends(p.state, p.stored, p.mask), axis=-1)[some]
    inverse, spread = 1.0 / got.largest[some], np.exp(got.entropy[some])
    wide = got.effective[some]
    # Each is computed from the same weights, which sum to one up to S roundings.
    within = (16 + 4 * count) * subject.fine * numbers * (1.0 + np.log(numbers))
    at_most("1 beside 1/max w", np.ones_like(inverse), inverse, within)
    at_most("1/max w beside the effective number", inverse, wide, within)
    at_most("the effective number beside exp(entropy)", wide, spread, within)
    at_most("exp(entropy) beside N", spread, numbers, within)
    assert np.all(got.entropy >= 0.0)
    total = float(np.count_nonzero(some))
    within = (16 + 4 * count) * subject.fine * max(total, 1.0)
    agree("all that is received", np.sum(got.received, axis=-1), total, within)


@statement("H.empty")
@given(p=problems(masked=True))
def test_statistics_where_nothing_is_attended(subject: Subject, p: Problem) -> None:
    p = p.on(subject)
    assert p.mask is not None
    mask = p.mask.copy()
    mask[-1], mask[:, 0] = False, False
    got = measured(subject, p.but(mask=mask))
    last = [got.entropy[-1], got.effective[-1], got.largest[-1], got.received[0]]
    assert last == [0.0, 0.0, 0.0, 0.0]
    assert got.log_sum_exp[-1] == -np.inf
    assert got.energy[-1] == np.inf


@statement("H.sharp")
@given(gap=st.floats(1.0, 70.0), rng=generators())
def test_small_entropies_are_exact(subject: Subject, gap: float, rng: np.random.Generator) -> None:
    """Scores are exact here, so that only the entropy itself rounds."""
    stored = np.concatenate([[0.0], -np.round(gap * (1.0 + rng.random(5)))])[:, None]
    state = np.ones((1, 1))
    got = subject(hopcore.statistics, state, stored, 1.0)
    wanted = dense.entropy(dense.weights(state, stored, 1.0))
    # An exponential rounds; there are a few for each of the patterns.
    agree("entropy", got.entropy, wanted, 64 * subject.fine * wanted)


@statement("H.entropy", "H.received", "B.blocks")
@pytest.mark.parametrize(("separation", "masked"), LARGE)
def test_statistics_in_blocks(subject: Subject, separation: Any, masked: bool) -> None:
    p, w, spread = large(separation, masked, subject.dtype, subject)
    got = measured(subject, p)
    edges = rows(p, EDGES)
    within = entropy_error(subject, edges, spread[EDGES])
    agree("entropy", got.entropy[EDGES], spread[EDGES], within)
    if p.alpha == 1.0:
        within = (np.max(relative_error(subject, p)) + 450 * subject.fine) * np.sum(w, axis=-2)
    else:
        within = np.sum(weight_error(subject, p)) + 450 * subject.fine
    agree("received", got.received, np.sum(w, axis=-2), within)


@cache
def large(
    separation: Any, masked: bool, dtype: str, subject: Subject
) -> tuple[Problem, Array, Array]:
    """A large problem, its weights and their entropies."""
    p = large_problem(separation, masked=masked).on(subject)
    w = dense.weights(*p.formula)
    return p, w, dense.entropy(w)


@statement("H.parts")
@given(p=problems(), size=st.integers(1, 5))
def test_statistics_with_any_pieces(subject: Subject, p: Problem, size: int) -> None:
    if subject.dtype not in ("float64", "float32"):
        pytest.skip("what is read from elsewhere is float32 or float64")
    p = p.on(subject)
    stored = hopcore.Streamed(p.stored.astype(subject.dtype), rows=size)
    mask = {} if p.mask is None else {"mask": subject.put(p.mask)}
    state, options = subject.put(p.state), {**mask, "separation": p.separation}
    got = subject.get(hopcore.statistics(state, stored, p.beta, **options))
    compare(subject, p, got, dense.weights(*p.formula))


@statement("H.gradient", "B.gradient")
@pytest.mark.parametrize("name", ["log_sum_exp", "entropy", "effective", "largest", "received"])
@given(
    p=problems(
        separations=("softmax",), shapes=((3, 6, 4),), heats=MODERATE, kinds=("normal", "offset")
    ),
    rng=generators(),
)
def test_automatic_gradients_are_the_formulas(
    subject: Subject, name: str, p: Problem, rng: np.random.Generator
) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    p = p.on(subject)
    w = dense.weights(*p.formula)
    probe = subject.precise.rounded(rng.normal(size=w.shape[-1 if name == "received" else -2]))
    h, wide = dense.entropy(w)[..., None], dense.effective(w)[..., None]
    if name == "received":
        slope = w * (probe - np.sum(w * probe, axis=-1, keepdims=True))
        size = 2.0 * w * np.max(np.abs(probe))
    else:
        slope = dense.slopes_by_scores(w)[name] * probe[..., None]
        # Of the terms of a slope: each is a product of weights and of what they are compared with.
        terms = {"entropy": np.abs(dense.logarithm(w)) + h + 1.0, "effective": 2.0 * wide**2}
        size = w * terms.get(name, 1.0) * np.abs(probe)[..., None]
        if name == "largest":
            size = size + np.max(w, axis=-1, keepdims=True) * np.abs(slope)
    found = subject.gradient(FIELDS[name], *p.arrays, by=[0, 1], probe=probe, **p.options)
    heat = np.asarray(p.beta)
    wrong = 8 * relative_error(subject, p)[..., None] * size
    longest, long = np.linalg.norm(p.stored, axis=-1), np.linalg.norm(p.state, axis=-1)
    rounding = subject.eps + (16 + 4 * p.stored.shape[-2]) * subject.fine
    wanted = heat * slope @ p.stored
    within = heat * (wrong + rounding * size) @ longest + subject.eps * tolerance.norm(wanted)
    agree(f"{name} by the state", found[0], wanted, within[..., None] + subject.least)
    wanted = heat * slope.T @ p.state
    within = heat * (wrong + rounding * size).T @ long + subject.eps * tolerance.norm(wanted)
    agree(f"{name} by the patterns", found[1], wanted, within[..., None] + subject.least)


def field(name: str) -> Any:
    """A statistic as a function, 0 where it is infinite, which has no gradient."""

    def one(state: Any, stored: Any, beta: Any, **options: Any) -> Any:
        value = getattr(hopcore.statistics(state, stored, beta, **options), name)
        value = value.full_tensor() if hasattr(value, "full_tensor") else value  # of all workers
        xp = array_namespace(value)
        return xp.where(xp.isfinite(value), value, xp.zeros_like(value))

    one.__name__ = name
    return one


FIELDS = {name: field(name) for name in hopcore.Statistics._fields}


@statement("H.gradient")
@given(
    separation=st.sampled_from(("softmax", "sparsemax", hopcore.Entmax(3.0))),
    kind=st.sampled_from(("zeros", "copies", "far", "masked")),
)
def test_gradients_of_statistics_are_finite(subject: Subject, separation: Any, kind: str) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    stored = np.zeros((3, 2)) if kind == "zeros" else np.ones((3, 2))
    if kind == "far":  # weights of exactly 0 and 1
        stored = np.asarray([[100.0, 0.0], [0.0, 100.0], [-100.0, 0.0]])
    mask = np.full((2, 3), kind != "masked")
    state = np.asarray([[100.0, 0.0], [0.0, 90.0]]) if kind == "far" else np.zeros((2, 2))
    p = Problem(state, stored, np.full(2, 2.0), mask, separation)
    for name, function in FIELDS.items():
        found = subject.gradient(function, *p.arrays, by=[0, 1, 2], **p.options)
        for argument, got in zip(("state", "stored", "beta"), found, strict=True):
            assert np.all(np.isfinite(got)), f"{name} by {argument}: {got!r}"
