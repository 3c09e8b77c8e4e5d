"""Scores by distance and with biases, beside distances taken directly (docs/spec/scores.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.cases.memory import SPARSE, generators, memory
from hopcore_conformance.cases.scores import Scored, scored
from hopcore_conformance.checks import measure, tolerance
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.checks.test_statistics import compare
from hopcore_conformance.oracle import memory as plain
from hopcore_conformance.oracle import scores as oracle
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray

norm = tolerance.norm

DISTANCE = ("distance",)


@statement("K.scores", "E.mask", "E.empty")
@given(p=scored(projected=True))
def test_associations_are_those_of_the_scores(subject: Subject, p: Scored) -> None:
    p = p.on(subject)
    assert p.projection is not None
    got = measure.association(subject, p, p.projection)
    within = tolerance.association(subject, p, p.projection)[..., None]
    agree("association", got, p.association(p.projection), within)
    within = tolerance.association(subject, p)[..., None]
    agree("update", measure.update(subject, p), p.association(), within)
    agree("weights", measure.weights(subject, p), p.weights, tolerance.weights(subject, p)[:, None])


@statement("K.scores")
@given(p=scored())
def test_statistics_are_those_of_the_scores(subject: Subject, p: Scored) -> None:
    p = p.on(subject)
    compare(subject, p, subject(hopcore.statistics, *p.arrays, **p.options), p.weights)


@statement("K1", "E.mask", "E.empty")
@given(p=scored())
def test_energies_are_those_of_the_scores(subject: Subject, p: Scored) -> None:
    p = p.on(subject)
    agree("energy", measure.energy(subject, p), p.energy, tolerance.energy(subject, p))


@statement("K1")
@given(p=scored(similarities=DISTANCE, biases=("none",), separations=("softmax",)))
def test_bounds_of_the_energy(subject: Subject, p: Scored) -> None:
    p = p.on(subject)
    got, within = measure.energy(subject, p), tolerance.energy(subject, p)
    attends = plain.attends(p.state, p.stored, p.mask)
    squares = np.where(attends, oracle.square_distances(p.state, p.stored), np.inf)
    bound = np.min(squares, axis=-1) / 2.0
    count = np.maximum(np.sum(attends, axis=-1), 1)
    at_most("energy above d_min^2/2", got, bound, within)
    at_most("d_min^2/2 - log(N)/beta above the energy", bound - np.log(count) / p.beta, got, within)


@statement("K.cooling")
@given(p=scored(similarities=DISTANCE, biases=("none",)), factor=st.floats(1.0, 10.0))
def test_a_rising_beta_raises_the_energy_by_no_more_than_the_entropy(
    subject: Subject, p: Scored, factor: float
) -> None:
    p = p.on(subject)
    colder = p.but(beta=p.beta * factor).on(subject)
    before, after = measure.energy(subject, p), measure.energy(subject, colder)
    within = tolerance.energy(subject, p) + tolerance.energy(subject, colder)
    count = np.sum(plain.attends(p.state, p.stored, p.mask), axis=-1)
    some = count > 0
    assert np.all(np.isfinite(before) == some)
    assert np.all(np.isfinite(after) == some)
    even = [plain.negentropy(np.full(max(n, 1), 1.0 / max(n, 1)), p.alpha) for n in count]
    ways = (1.0 / np.asarray(p.beta) - 1.0 / np.asarray(colder.beta)) * -np.asarray(even)
    rise = after[some] - before[some]
    at_most("fall of the energy", -rise, 0.0, within[some])
    at_most("rise above that of even weights", rise, (ways + 0.0 * count)[some], within[some])


@statement("K1", "E2", "F1")
@given(p=scored())
def test_descent(subject: Subject, p: Scored) -> None:
    p = p.on(subject)
    before, new = measure.energy(subject, p), measure.update(subject, p)
    after = measure.energy(subject, p.but(state=new))
    moved = norm(new - p.state)
    # An update that is off by e changes the energy by at most |xi - x| e with the farthest x of
    # the hull, the bound by |f(xi) - xi| e.
    far = 2 * (p.radius if p.similarity == "dot" else p.unit) + moved
    within = tolerance.energy(subject, p) + tolerance.energy(subject, p.but(state=new))
    within = within + far * tolerance.association(subject, p)
    some = np.isfinite(before)
    assert np.all(np.isfinite(after) == some)
    bound = before[some] - moved[some] ** 2 / 2.0
    at_most("E(f(xi)) above E(xi) - |f(xi) - xi|^2/2", after[some], bound, within[some])


@statement("K1", "E3")
@given(p=scored())
def test_gradient_is_state_less_update(subject: Subject, p: Scored) -> None:
    p = p.on(subject)
    got = subject(hopcore.energy_gradient, *p.arrays, **p.options)
    within = tolerance.association(subject, p) + subject.eps * norm(p.state)
    agree("xi - f(xi)", got, p.state - p.association(), within[..., None])


@statement("K2")
@given(
    p=scored(similarities=DISTANCE, kinds=("normal", "clusters", "duplicates")), rng=generators()
)
def test_moving_everything_changes_nothing(
    subject: Subject, p: Scored, rng: np.random.Generator
) -> None:
    # On a grid and moved by whole steps of it, so that no value is rounded in any dtype.
    size = float(np.max(np.abs(np.concat([p.state, p.stored]))))
    step = size / 16.0 if size > 0.0 else 1.0
    step = float(2.0 ** np.round(np.log2(step)))
    p = p.but(state=step * np.round(p.state / step), stored=step * np.round(p.stored / step))
    by = step * np.round(rng.uniform(-40.0, 40.0, size=p.stored.shape[-1]))
    p = p.on(subject)
    moved = p.but(state=p.state + by, stored=p.stored + by)
    assert np.array_equal(subject.rounded(moved.stored), moved.stored)
    within = tolerance.association(subject, p) + tolerance.association(subject, moved)
    empty = plain.radius(moved.state, np.ones_like(p.stored), p.mask)[..., None] == 0.0
    got = np.where(empty, 0.0, measure.update(subject, moved) - by)
    agree("update", got, measure.update(subject, p), within[..., None])
    within = tolerance.energy(subject, p) + tolerance.energy(subject, moved)
    agree("energy", measure.energy(subject, moved), measure.energy(subject, p), within)


@statement("K2")
@given(p=scored(similarities=DISTANCE, shapes=((3, 6, 4),)), rng=generators())
def test_of_patterns_of_one_length_distances_are_dot_products(
    subject: Subject, p: Scored, rng: np.random.Generator
) -> None:
    # Signs have one length exactly.
    p = p.but(stored=rng.choice([-0.5, 0.5], size=p.stored.shape)).on(subject)
    dot = p.but(similarity="dot")
    within = tolerance.association(subject, p) + tolerance.association(subject, dot)
    got = measure.update(subject, p)
    agree("update", got, measure.update(subject, dot), within[..., None])
    count = np.sum(plain.attends(p.state, p.stored, p.mask), axis=-1)
    level = plain.deformed_log(1.0 / np.maximum(count, 1), p.alpha) / p.alpha / p.beta
    within = tolerance.energy(subject, p) + tolerance.energy(subject, dot)
    wanted = measure.energy(subject, dot) + level
    agree("energy, without the constants", measure.energy(subject, p), wanted, within)


def of_many_lengths(rng: np.random.Generator) -> Array:
    """Patterns (6, 4) of which some are ten times as long as others."""
    stored = memory(rng, "sphere", 6, 4)
    return stored * np.asarray([0.3, 1.0, 3.0, 0.3, 1.0, 3.0])[:, None]


@statement("K.distinct")
@given(rng=generators(), share=st.floats(0.0, 0.2), cold=st.floats(3.0, 60.0))
def test_no_distinct_pattern_is_lost(
    subject: Subject, rng: np.random.Generator, share: float, cold: float
) -> None:
    stored = subject.rounded(of_many_lengths(rng))
    apart = oracle.square_distances(stored, stored) + np.where(np.eye(6, dtype=bool), np.inf, 0.0)
    gap = np.min(apart, axis=-1) / 2.0
    assume(np.min(gap) > 1e-2)
    away = rng.normal(size=stored.shape)
    radius = np.max(norm(stored - np.mean(stored, axis=0)))
    length = share * gap / (2.0 * radius)
    state = stored + away * (length / norm(away))[:, None]
    beta = float(cold / np.min(gap))
    p = Scored(state, stored, beta).on(subject)
    off, start = norm(p.state - p.stored), norm(measure.update(subject, p) - p.stored)
    bound = 10.0 * radius * np.exp(-p.beta * (gap - 2.0 * off * radius))
    at_most("|f(xi) - x_i|", start, bound, tolerance.association(subject, p))
    # Where the bound for a ball is smaller than the ball, retrieval never leaves it (Brouwer).
    ball = 0.2 * gap / (2.0 * radius)
    inside = 10.0 * radius * np.exp(-p.beta * 0.8 * gap) < 0.5 * ball
    found = subject(hopcore.retrieve, *p.arrays, **p.options, tol=1e-3, max_steps=20)
    left = np.where(inside, norm(found.state - p.stored), 0.0)
    at_most("|xi - x_i| after retrieval", left, ball, tolerance.association(subject, p))


@statement("K.distinct", "F3")
@given(rng=generators(), separation=st.sampled_from(SPARSE), share=st.sampled_from((1.05, 4.0)))
def test_sparse_weights_retrieve_exactly(
    subject: Subject, rng: np.random.Generator, separation: Any, share: float
) -> None:
    stored = subject.rounded(of_many_lengths(rng))
    state = subject.rounded(stored + 0.02 * rng.normal(size=stored.shape))
    squares = oracle.square_distances(state, stored)
    own = np.eye(6, dtype=bool)
    ahead = np.where(own, np.inf, squares - np.diag(squares)[:, None]) / 2.0
    # Of the queries, which go to their patterns, and of the patterns, which then stay.
    between = np.where(own, np.inf, oracle.square_distances(stored, stored)) / 2.0
    gap = float(min(np.min(ahead), np.min(between)))
    assume(gap > 1e-2)
    alpha = plain.order(separation)
    p = Scored(state, stored, share / (alpha - 1.0) / gap, None, separation).on(subject)
    assume(
        p.beta * gap * (alpha - 1.0)
        > 1.0 + 2 * (alpha - 1.0) * np.max(tolerance.scores(subject, p))
    )
    got = subject(hopcore.retrieve, *p.arrays, **p.options, tol=0.0)
    agree("retrieved patterns", got.state, stored, 0.0)
    at_most("steps", got.steps, 2)


@statement("K.posterior")
@given(rng=generators(), noise=st.floats(0.2, 2.0), weighed=st.booleans())
def test_updates_are_posterior_means(
    subject: Subject, rng: np.random.Generator, noise: float, weighed: bool
) -> None:
    stored = of_many_lengths(rng)
    state = stored[[0, 2, 4]] + noise * rng.normal(size=(3, 4))
    prior = rng.dirichlet(np.ones(6)) + 0.01 if weighed else None
    beta = float(noise**-2)
    p = Scored(state, stored, beta, bias=None if prior is None else np.log(prior)).on(subject)
    prior = None if p.bias is None else np.exp(p.bias)
    wanted = oracle.posterior_mean(p.state, p.stored, p.beta**-0.5, prior)
    within = tolerance.association(subject, p)[..., None]
    agree("posterior mean", measure.update(subject, p), wanted, within)


@statement("K3", "B.half")
@given(
    p=scored(similarities=DISTANCE, biases=("none", "some"), where=("near", "pattern", "hull")),
    rng=generators(),
)
def test_rounding_far_from_zero(subject: Subject, p: Scored, rng: np.random.Generator) -> None:
    mean = 1e4 * rng.choice([-1.0, 1.0], size=p.stored.shape[-1])
    # In half precision patterns at 1e4 differ by multiples of 8 or 64: spread them over more.
    size = float(np.max(norm(p.stored))) or 1.0
    scale = max(1.0, 64.0 * subject.eps * 1e4) / size
    p = p.but(state=mean + scale * p.state, stored=mean + scale * p.stored, beta=p.beta / scale**2)
    p = p.on(subject)
    # Lengths are measured from the mean, so the tolerances are as small as those of patterns
    # around zero.
    z, within = p.scores, tolerance.scores(subject, p)
    got = subject(hopcore.statistics, *p.arrays, **p.options)
    some = np.isfinite(got.log_sum_exp)
    wanted = plain.conjugate(z, p.alpha)
    rounding = tolerance.conjugate(subject, z)
    agree("log-sum-exp", got.log_sum_exp, wanted, within + rounding)
    agree("energy", got.energy, p.energy, tolerance.energy(subject, p))
    agree("largest", got.largest[some], np.max(p.weights, axis=-1)[some],
          tolerance.weights_of_scores(subject, within, p.alpha, z.shape[-1])[some])  # fmt: skip
    agree("weights", measure.weights(subject, p), p.weights, tolerance.weights(subject, p)[:, None])
    agree("update", measure.update(subject, p), p.association(),
          tolerance.association(subject, p)[..., None])  # fmt: skip


@statement("K.unit", "E.retrieval")
@given(p=scored(similarities=DISTANCE), offset=st.sampled_from((0.0, 30.0)))
def test_steps_are_measured_by_distances_from_the_mean(
    subject: Subject, p: Scored, offset: float
) -> None:
    size = float(np.max(norm(p.stored))) or 1.0
    p = p.but(state=p.state + offset * size, stored=p.stored + offset * size).on(subject)
    tol = max(1e-2, 64 * subject.eps)
    found = subject(hopcore.retrieve, *p.arrays, **p.options, max_steps=7, tol=tol)
    unit = np.where(p.unit > 0.0, p.unit, 1.0)
    # A unit far below the lengths of patterns is as exact as their differences.
    size = np.max(norm(p.stored))
    doubt = (8 + p.stored.shape[0]) * subject.fine * (size + found.residual + unit) / unit
    clear = np.abs(found.residual / unit - tol) > doubt
    wanted = found.residual <= tol * unit
    agree("converged", found.converged[clear] * 1, wanted[clear] * 1, 0)
    assert np.all(found.steps[~found.converged] == 7)


@statement("K.index")
@given(p=scored())
def test_index_is_the_largest_score(subject: Subject, p: Scored) -> None:
    p = p.on(subject)
    found = subject(index_and_state, *p.arrays, **p.options)
    z = p.but(state=found[1]).scores
    top = np.max(z, axis=-1)
    none = np.isneginf(top)
    assert np.array_equal(found[0] == -1, none)
    chosen = np.take_along_axis(z, np.maximum(found[0], 0)[..., None], axis=-1)[..., 0]
    within = 2 * tolerance.scores(subject, p.but(state=found[1]))
    at_most("scores above that of index", top[~none], chosen[~none], within[~none])


@statement("K.certain", "K.index")
@given(p=scored(), many=st.booleans())
def test_certain_is_the_largest_weight(subject: Subject, p: Scored, many: bool) -> None:
    options = {"max_steps": 3 if many else 0}
    p = p.on(subject)
    index, certain, state = subject(certain_and_state, *p.arrays, **p.options, **options)
    after = p.but(state=state)
    weights = after.weights
    count = p.stored.shape[-2]
    wrong = tolerance.weights_of_scores(subject, tolerance.scores(subject, after), p.alpha, count)
    agree("certain", certain, np.max(weights, axis=-1), wrong + 16 * subject.fine)
    assert np.array_equal(certain == 0.0, index == -1), f"certain {certain!r} of {index!r}"
    chosen = np.take_along_axis(weights, np.maximum(index, 0)[..., None], axis=-1)[..., 0]
    some = index >= 0
    agree("the weight of index", certain[some], chosen[some], (2 * wrong + 16 * subject.fine)[some])


def certain_and_state(state: Any, stored: Any, beta: Any, **options: Any) -> Any:
    """The index of a retrieval, its weight, and the last state."""
    found = hopcore.retrieve(state, stored, beta, **options)
    return found.index, found.certain, found.state


def index_and_state(state: Any, stored: Any, beta: Any, **options: Any) -> Any:
    """The index of a retrieval of one update, and its state."""
    found = hopcore.retrieve(state, stored, beta, **options, max_steps=1)
    return found.index, found.state


@statement("K.scores", "B.extreme")
@pytest.mark.parametrize("beta", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("size", [1e-20, 1.0, 1e15])
@pytest.mark.parametrize("biased", [False, True])
def test_extreme_inputs_give_finite_results(
    subject: Subject, beta: float, size: float, biased: bool
) -> None:
    if subject.dtype == "float16" and size != 1.0:
        pytest.skip("float16 ends at 65504")
    rng = np.random.default_rng(3)
    stored, state = size * rng.normal(size=(4, 3)), size * rng.normal(size=(2, 3))
    for separation in ("softmax", "sparsemax", hopcore.Entmax(1.5)):
        p = Scored(state, stored, beta, None, separation, bias=np.arange(4.0) if biased else None)
        for function in (hopcore.energy, hopcore.update, hopcore.energy_gradient):
            got = subject(function, *p.arrays, **p.options)
            assert np.all(np.isfinite(got)), f"{function.__name__}: {got!r}"
