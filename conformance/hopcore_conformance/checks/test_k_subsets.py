"""k-subsets, sparse weights with a budget of k patterns (docs/spec/separation.md)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.cases.memory import Problem, generators, problems, score_arrays
from hopcore_conformance.checks import measure, tolerance
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.checks.test_separation import kernel_conjugate, kernel_weights
from hopcore_conformance.oracle import k_subsets as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray

SIZES = (1, 2, 3, 6, 7, 12)
"""Budgets below, at and above the number of scores, 7."""

KINDS = tuple(hopcore.KSubsets(k) for k in (1, 2, 5, 9))


def within_of(subject: Subject, z: Array) -> Array:
    """Error of the weights of exact scores, which change at most as those of sparsemax do."""
    largest = np.max(np.where(np.isneginf(z), 0.0, np.abs(z)), axis=-1, keepdims=True)
    return tolerance.weights_of_scores(subject, subject.fine * largest, 2.0, z.shape[-1])


@statement("K6")
@given(z=score_arrays(), k=st.sampled_from(SIZES))
def test_weights_and_conjugate_are_their_formulas(subject: Subject, z: Array, k: int) -> None:
    fine = subject.precise
    z = fine.rounded(z)
    weights, conjugate = measure.separate(subject, z, hopcore.KSubsets(k))
    agree("weights by their formula", weights, plain.weights(z, k), within_of(fine, z))
    within = tolerance.conjugate(fine, z)
    agree("conjugate by its formula", conjugate, plain.conjugate(z, k), within)
    some, rounding = np.any(~np.isneginf(z), axis=-1), (8 + z.shape[-1]) * fine.fine
    agree("sum of the weights", np.sum(weights, axis=-1), some, rounding)
    bound = 1.0 / np.maximum(plain.sizes(z, k), 1)[:, None]
    at_most("largest weight", weights, bound, fine.fine)
    masked = np.isneginf(z)
    agree("weights where masked", weights[masked], np.zeros(np.sum(masked)), 0.0)


@statement("K6")
@pytest.mark.parametrize("k", [1, 2, 20, 400])
@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_weights_of_many_scores(subject: Subject, k: int, scale: float) -> None:
    fine = subject.precise
    z = fine.rounded(scale * np.random.default_rng(0).normal(size=(3, 700)))
    z[1, ::3] = -np.inf
    weights, _ = measure.separate(subject, z, hopcore.KSubsets(k))
    agree("weights by their formula", weights, plain.weights(z, k), within_of(fine, z))


@statement("K6", "B.gradient")
@given(z=score_arrays(), k=st.sampled_from(SIZES), rng=generators())
def test_automatic_derivatives(
    subject: Subject, z: Array, k: int, rng: np.random.Generator
) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    fine = subject.precise
    z, function = fine.rounded(z), hopcore.KSubsets(k)
    weights, _ = measure.separate(subject, z, function)
    options = {"backend": fine.backend, "kind": function}
    some = np.any(~np.isneginf(z), axis=-1)
    (gradient,) = fine.gradient(kernel_conjugate, z, by=[0], **options, some=some)
    agree("gradient of the conjugate", gradient, weights, within_of(fine, z))
    probe = fine.rounded(rng.normal(size=z.shape))
    (product,) = fine.gradient(kernel_weights, z, by=[0], probe=probe, **options)
    s = np.where((weights > 0.0) & (weights < (1.0 - 4.0 * fine.fine) / k), 1.0, 0.0)
    mean = np.sum(s * probe, axis=-1, keepdims=True)
    mean = mean / np.maximum(np.sum(s, axis=-1, keepdims=True), 1.0)
    within = 64.0 * fine.fine * np.max(np.abs(probe))
    agree("Jacobian of the weights", product, s * (probe - mean) / k, within)


@statement("K6", "F1")
@given(p=problems(separations=KINDS))
def test_energy_and_descent(subject: Subject, p: Problem) -> None:
    p = p.on(subject)
    before, new = measure.energy(subject, p), measure.update(subject, p)
    within = tolerance.energy(subject, p)
    formula = plain.energy(*p.arrays, p.mask, p.separation.k)
    agree("energy by its formula", before, formula, within)
    at_most("-energy", -before, 0.0, within)
    after = measure.energy(subject, p.but(state=new))
    moved = np.linalg.norm(new - p.state, axis=-1)
    within = within + tolerance.energy(subject, p.but(state=new))
    within = within + (2 * p.radius + moved) * tolerance.association(subject, p)
    some = np.isfinite(before)
    bound = before[some] - moved[some] ** 2 / 2.0
    at_most("E(f(xi)) above E(xi) - |f(xi) - xi|^2/2", after[some], bound, within[some])
    got = subject(hopcore.energy_gradient, *p.arrays, **p.options)
    rounding = subject.eps * np.linalg.norm(p.state, axis=-1)
    off = (tolerance.association(subject, p) + rounding)[..., None]
    agree("gradient of the energy", got, p.state - new, off)


@statement("K6")
def test_the_second_bound_of_the_hull_does_not_hold(subject: Subject) -> None:
    # One pattern gets no more than half of the weight; the other half is on the opposite ones.
    stored = subject.rounded(np.asarray([[2.0], [-2.0], [-2.0], [-2.0]]))
    got = subject(hopcore.energy, stored[:1], stored, 4.0, separation=hopcore.KSubsets(2))
    bound = 0.5 * (1.0 - 2.0 / 4.0) / 4.0 + 2.0
    at_most("-energy", -got, -bound - 1.0)
    at_most("energy", got, 8.0)


@statement("K7")
@given(
    rng=generators(), k=st.sampled_from((1, 2, 3, 6)),
    gap=st.sampled_from((1.0, 1.25, 64.0, 0.75, 0.5)), shift=st.sampled_from((0.0, -16.0, 32.0)),
)  # fmt: skip
def test_exact_mean_of_the_largest(
    subject: Subject, rng: np.random.Generator, k: int, gap: float, shift: float
) -> None:
    # Quarters are exact in every dtype.
    low = -0.25 * rng.integers(0, 9, size=(3, 7 - k))
    high = gap + 0.25 * rng.integers(0, 9, size=(3, k))
    low[:, 0], high[:, 0] = 0.0, gap
    places = rng.permutation(7)
    z = shift + np.concatenate([high, low], axis=-1)[:, places]
    weights, _ = measure.separate(subject, z, hopcore.KSubsets(k))
    exact = np.asarray(places < k) / k
    if gap >= 1.0:
        # A number such as 1/3 is rounded.
        agree("weights", weights, np.broadcast_to(exact, z.shape), subject.fine)
        agree("weights of the others", weights[:, places >= k], np.zeros((3, 7 - k)), 0.0)
    else:
        found = np.sum(weights[:, places >= k], axis=-1)
        at_most("-weight of the others", -found, -(1.0 - gap) / (4 * k))


@statement("K7")
@given(z=score_arrays())
def test_one_is_sparsemax(subject: Subject, z: Array) -> None:
    fine = subject.precise
    z = fine.rounded(z)
    weights, conjugate = measure.separate(subject, z, hopcore.KSubsets(1))
    wanted, level = measure.separate(subject, z, "sparsemax")
    agree("weights of sparsemax", weights, wanted, 2.0 * within_of(fine, z))
    agree("conjugate of sparsemax", conjugate, level, 2.0 * tolerance.conjugate(fine, z))


@statement("K7", "E.empty")
@given(z=score_arrays(), k=st.sampled_from((7, 8, 1000)))
def test_all_of_few_patterns(subject: Subject, z: Array, k: int) -> None:
    fine = subject.precise
    z = fine.rounded(z)
    attends = ~np.isneginf(z)
    weights, _ = measure.separate(subject, z, hopcore.KSubsets(k))
    wanted = attends / np.maximum(np.sum(attends, axis=-1, keepdims=True), 1)
    agree("weights of all", weights, wanted, fine.fine)


@statement("K7")
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("level", [0.0, 1e-20, 1.0, 1e6, 1e30])
def test_ties_share_the_weight(subject: Subject, k: int, level: float) -> None:
    fine = subject.precise
    z = fine.rounded(np.asarray([[level] * 4, [-level] * 4]))
    weights, _ = measure.separate(subject, z, hopcore.KSubsets(k))
    agree("weights of ties", weights, np.full((2, 4), 0.25), 8.0 * fine.fine)
