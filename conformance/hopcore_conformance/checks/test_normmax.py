"""Normmax, sparse weights whose negentropy is a norm (docs/spec/separation.md)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.cases.memory import Problem, generators, problems, score_arrays
from hopcore_conformance.checks import measure, tolerance
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.checks.test_association import gap_to_others
from hopcore_conformance.checks.test_separation import kernel_conjugate, kernel_weights
from hopcore_conformance.oracle import memory, normmax
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray

ALPHAS = (1.001, 1.1, 1.5, 2.0, 3.0, 5.0, 50.0)

KINDS = tuple(hopcore.Normmax(alpha) for alpha in (1.1, 1.5, 2.0, 5.0))


def within_of(subject: Subject, z: Array, alpha: float) -> Array:
    """Error of the weights of exact scores."""
    largest = np.max(np.where(np.isneginf(z), 0.0, np.abs(z)), axis=-1, keepdims=True)
    error = subject.fine * largest
    return tolerance.weights_of(subject, error, hopcore.Normmax(alpha), z.shape[-1])


@statement("F4")
@given(z=score_arrays(), alpha=st.sampled_from(ALPHAS))
def test_weights_and_conjugate_are_their_formulas(subject: Subject, z: Array, alpha: float) -> None:
    fine = subject.precise
    z = fine.rounded(z)
    weights, conjugate = measure.separate(subject, z, hopcore.Normmax(alpha))
    agree("weights by their formula", weights, normmax.weights(z, alpha), within_of(fine, z, alpha))
    within = tolerance.conjugate(fine, z)
    agree("conjugate by its formula", conjugate, normmax.conjugate(z, alpha), within)
    some, rounding = np.any(~np.isneginf(z), axis=-1), (8 + z.shape[-1]) * fine.fine
    agree("sum of the weights", np.sum(weights, axis=-1), some, rounding)
    masked = np.isneginf(z)
    agree("weights where masked", weights[masked], np.zeros(int(np.sum(masked))), 0.0)


@statement("F4")
@given(z=score_arrays(masked=False), alpha=st.sampled_from(ALPHAS))
def test_weights_are_the_maximiser(subject: Subject, z: Array, alpha: float) -> None:
    fine = subject.precise
    z = fine.rounded(z)
    weights, conjugate = measure.separate(subject, z, hopcore.Normmax(alpha))
    within = tolerance.conjugate(fine, z)
    size = normmax.norm(weights, alpha)
    gain = np.sum(weights * z, axis=-1) - (size - 1.0)
    agree("<w, z> - Omega(w)", gain, conjugate, 2.0 * within)
    # The conditions of Karush, Kuhn and Tucker recognise the maximiser without a solver. A weight
    # has a relative rounding error of a few u, which the power alpha - 1 multiplies. A weight of 0
    # may have been too small for a normal number.
    slope = (weights / size[..., None]) ** (alpha - 1.0)
    rounding = within[..., None] + 16 * (alpha + z.shape[-1]) * fine.fine
    above = np.maximum(z - (conjugate[..., None] - 1.0), 0.0)
    small = weights < fine.tiny / fine.fine
    agree("slopes of the norm", np.where(small, above, slope), above, rounding)
    bound = (fine.tiny / fine.fine) ** (alpha - 1.0)
    at_most("slopes where there is no weight", np.where(small, above, 0.0), bound, rounding)


@statement("F4")
@given(
    rng=generators(), alpha=st.sampled_from((1.0 + 1e-4, 1.0 + 1e-6)), kind=st.integers(0, 3)
)  # fmt: skip
def test_weights_of_an_alpha_close_to_one(
    subject: Subject, rng: np.random.Generator, alpha: float, kind: int
) -> None:
    # Scores in units of alpha - 1, whose ratios of weights are neither 0 nor 1.
    fine = subject.precise
    z = fine.rounded(rng.uniform(-4.0, 0.0, size=(3, 7)) * (alpha - 1.0))
    z[:, kind] = 0.0
    weights, conjugate = measure.separate(subject, z, hopcore.Normmax(alpha))
    # Scores this small have small rounding errors: few u of the weights' exponents, up to 8.
    agree("weights by their formula", weights, normmax.weights(z, alpha), 128 * fine.fine)
    agree("conjugate by its formula", conjugate, normmax.conjugate(z, alpha), 16 * fine.fine)


@statement("F4")
@pytest.mark.parametrize("alpha", [1.2, 2.0, 5.0])
@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_weights_of_many_scores(subject: Subject, alpha: float, scale: float) -> None:
    fine = subject.precise
    z = fine.rounded(scale * np.random.default_rng(0).normal(size=(3, 700)))
    z[1, ::3] = -np.inf
    weights, conjugate = measure.separate(subject, z, hopcore.Normmax(alpha))
    agree("weights by their formula", weights, normmax.weights(z, alpha), within_of(fine, z, alpha))
    within = tolerance.conjugate(fine, z)
    agree("conjugate by its formula", conjugate, normmax.conjugate(z, alpha), within)


@statement("F4")
@pytest.mark.parametrize("alpha", [1.5, 2.0, 5.0])
def test_associations_with_many_patterns(subject: Subject, alpha: float) -> None:
    # A backend may look for the few patterns that have weights before it solves for them.
    rng = np.random.default_rng(1)
    options = {"beta": 1.25, "separation": hopcore.Normmax(alpha)}
    p = Problem(rng.normal(size=(4, 3)), rng.normal(size=(700, 3)), **options).on(subject)
    wanted = normmax.weights(memory.scores(*p.arrays), alpha) @ p.stored
    got = subject(hopcore.update, *p.arrays, **p.options)
    agree("update", got, wanted, tolerance.association(subject, p)[..., None])


@statement("F4", "B.gradient")
@given(z=score_arrays(), alpha=st.sampled_from((1.5, 2.0)), rng=generators())
def test_automatic_derivatives(
    subject: Subject, z: Array, alpha: float, rng: np.random.Generator
) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    fine = subject.precise
    z, function = fine.rounded(z), hopcore.Normmax(alpha)
    weights, _ = measure.separate(subject, z, function)
    options = {"backend": fine.backend, "kind": function}
    some = np.any(~np.isneginf(z), axis=-1)
    (gradient,) = fine.gradient(kernel_conjugate, z, by=[0], **options, some=some)
    within = within_of(fine, z, alpha)
    agree("gradient of the conjugate", gradient, weights, within)
    probe = fine.rounded(rng.normal(size=z.shape))
    (product,) = fine.gradient(kernel_weights, z, by=[0], probe=probe, **options)
    wanted = np.stack([normmax.jacobian(y, alpha) @ x for y, x in zip(weights, probe, strict=True)])
    # For alpha = 1.5, s is a root of w: where a weight is as small as its error, so is s.
    rough = np.sqrt(within) if alpha < 2.0 else 64.0 * fine.fine
    longest = np.max(np.abs(probe))
    agree("Jacobian of the weights", product, wanted, 16.0 * longest * (rough + within))


@statement("F4")
@given(rng=generators(), alpha=st.sampled_from((1.1, 1.5, 3.0, 6.0)))
def test_automatic_jacobian_of_weights_clear_of_zero(
    subject: Subject, rng: np.random.Generator, alpha: float
) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    fine = subject.precise
    weights = rng.uniform(0.5, 1.5, size=(3, 3))
    weights /= np.sum(weights, axis=-1, keepdims=True)
    z = fine.rounded((weights / normmax.norm(weights, alpha)[:, None]) ** (alpha - 1.0))
    weights, probe = normmax.weights(z, alpha), fine.rounded(rng.normal(size=z.shape))
    options = {"backend": fine.backend, "kind": hopcore.Normmax(alpha)}
    (product,) = fine.gradient(kernel_weights, z, by=[0], probe=probe, **options)
    matrices = [normmax.jacobian(y, alpha) for y in weights]
    wanted = np.stack([j @ x for j, x in zip(matrices, probe, strict=True)])
    # A rounding of the scores moves the weights by s of it, and s by (2 - alpha) s / w of that.
    most = np.max([np.abs(j) for j in matrices])
    turn = 1.0 + abs(alpha - 2.0) * most / np.min(weights)
    within = 64 * fine.fine * np.max(np.abs(probe)) * most * turn
    agree("Jacobian of the weights", product, wanted, within)


@statement("F4", "F1", "F2")
@given(p=problems(separations=KINDS))
def test_energy_and_descent(subject: Subject, p: Problem) -> None:
    p = p.on(subject)
    before, new = measure.energy(subject, p), measure.update(subject, p)
    within = tolerance.energy(subject, p)
    formula = normmax.energy(p.state, p.stored, p.beta, p.mask, p.separation.alpha)
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


@statement("F4", "F2")
@given(p=problems(separations=KINDS, where=("hull", "pattern"), masked=False))
def test_bounds_in_the_hull(subject: Subject, p: Problem) -> None:
    exact = p.on(subject)
    got = measure.energy(subject, exact)
    radius, within = exact.radius, tolerance.energy(subject, exact)
    # A state that was rounded may lie outside of the hull. There the energy has a slope of at most
    # 2 M, so it is larger by at most 2 M times the distance that rounding has moved the state.
    within = within + 2 * radius * np.linalg.norm(exact.state - p.state, axis=-1)
    level = 1.0 - p.stored.shape[-2] ** (1.0 / p.separation.alpha - 1.0)
    bound = np.minimum(2.0 * radius**2, level / p.beta + radius**2 / 2.0)
    at_most("energy", got, bound, within)


@statement("F4")
@given(z=score_arrays(masked=False), large=st.sampled_from((1e9, 1e12)))
def test_a_large_alpha_gives_equal_weights(subject: Subject, z: Array, large: float) -> None:
    fine = subject.precise
    # Multiples of 2^-8 that are not at the threshold, whose powers would be neither 0 nor 1.
    z = fine.rounded(np.round(np.clip(z, -4.0, 4.0) * 256.0) / 256.0)
    support = memory.sparsemax_by_sorting
    wanted = np.apply_along_axis(support, -1, z)
    clear = (wanted > 1e-3) | (wanted == 0.0)
    assume(np.all(clear))
    # A score at the threshold itself, by rounding or exactly, may have a weight or none.
    level = np.max(z - wanted, axis=-1, keepdims=True, where=wanted > 0.0, initial=-np.inf)
    assume(np.all(np.abs(z - level)[wanted == 0.0] > 1e-3))
    weights, _ = measure.separate(subject, z, hopcore.Normmax(large))
    count = np.sum(wanted > 0.0, axis=-1, keepdims=True)
    # The ratio of two weights is a ratio of numbers from 1e-3 to 1, to the power 1 / (alpha - 1).
    within = 16 * fine.fine + 8.0 / large
    agree("weights", weights, (wanted > 0.0) / count, within)


@statement("F4")
@pytest.mark.parametrize("alpha", [1.001, 1.5, 2.0, 5.0])
@pytest.mark.parametrize("level", [0.0, 1e-20, 1.0, 1e6, 1e30])
def test_ties_share_the_weight(subject: Subject, alpha: float, level: float) -> None:
    fine = subject.precise
    z = fine.rounded(np.asarray([[level] * 4, [-level] * 4]))
    weights, _ = measure.separate(subject, z, hopcore.Normmax(alpha))
    agree("weights of ties", weights, np.full((2, 4), 0.25), 8.0 * fine.fine)


@statement("F5")
@given(alpha=st.sampled_from(ALPHAS), shift=st.sampled_from((0.0, 1.0, -16.0)))
def test_weights_at_the_exact_boundary(subject: Subject, alpha: float, shift: float) -> None:
    z = np.asarray([[shift, shift - 1.0, shift - 1.0], [shift - 2.0, shift, -np.inf]])
    weights, conjugate = measure.separate(subject, z, hopcore.Normmax(alpha))
    agree("weights", weights, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], 0.0)
    agree("conjugate", conjugate, [shift, shift], 0.0)


@statement("F5")
@pytest.mark.parametrize("alpha", [1.5, 2.0, 3.0, 5.0])
def test_a_score_within_the_margin_gets_a_weight(subject: Subject, alpha: float) -> None:
    weights, _ = measure.separate(subject, np.asarray([[0.0, -0.5]]), hopcore.Normmax(alpha))
    # m^p + (m - 1/2)^p = 1 has m > 3/4, so the ratio of the weights is above 4^(-1/(alpha-1)).
    at_most("-ratio", -weights[:, 1] / weights[:, 0], -(4.0 ** (-1.0 / (alpha - 1.0))))


@statement("F5")
@given(
    p=problems(
        masked=False, separations=KINDS, kinds=("normal", "sphere", "offset", "integers"),
        where=("near",),
    ),
    share=st.sampled_from((0.5, 0.9, 1.001, 1.5, 20.0)), away=st.sampled_from((0.0, 0.2)),
)  # fmt: skip
def test_exact_retrieval_beyond_the_margin(
    subject: Subject, p: Problem, share: float, away: float
) -> None:
    p = p.but(state=p.stored[:1] + away * (p.state[:1] - p.stored[:1])).on(subject)
    gap = gap_to_others(p.state, p.stored)
    assume(gap > 1e-3 * np.max(p.radius) ** 2)
    # beta such that the pattern is separated by `share` times the margin.
    p = p.but(beta=share / float(gap)).on(subject)
    held, near = float(p.beta) * float(gap), 2 * float(tolerance.scores(subject, p)[0])
    if held > 1.0 + near:
        agree("update beyond the margin", measure.update(subject, p), p.stored[:1], 0.0)
    elif held < 1.0 - near and p.separation.alpha >= 1.5:
        others = measure.weights(subject, p)[0, 1:]
        assert np.any(others > 0.0), "within the margin, but nothing else got a weight"
