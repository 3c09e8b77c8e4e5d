"""The energy, its bounds, its descent and its derivatives (docs/spec/energy.md, separation.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from array_api_compat import array_namespace
from hypothesis import assume, given
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.cases.memory import SMOOTH, Problem, generators, problems
from hopcore_conformance.checks import measure, tolerance
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import memory as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject, reference

Array = np.ndarray


@statement("E.energy", "E.mask", "E.empty", "F.energy")
@given(p=problems())
def test_energy_is_its_formula(subject: Subject, p: Problem) -> None:
    p = p.on(subject)
    got = measure.energy(subject, p)
    agree("energy by its formula", got, plain.energy(*p.formula), tolerance.energy(subject, p))


@statement("F.energy")
@given(p=problems(masked=False))
def test_energy_is_the_fenchel_young_form(subject: Subject, p: Problem) -> None:
    p = p.on(subject)
    got = measure.energy(subject, p)
    wanted = plain.fenchel_young_energy(*p.arrays, p.alpha)
    agree("energy as a Fenchel-Young loss", got, wanted, tolerance.energy(subject, p))


@statement("E.mask")
@given(p=problems(masked=True))
def test_energy_of_a_mask_is_that_of_fewer_patterns(subject: Subject, p: Problem) -> None:
    p = p.on(subject)
    assert p.mask is not None
    got, within = measure.energy(subject, p), tolerance.energy(subject, p)
    for i, attends in enumerate(p.mask):
        if np.any(attends):
            part = (p.state[i : i + 1], p.stored[attends], p.beta)
            alone = subject(hopcore.energy, *part, separation=p.separation)
            agree("energy with the masked patterns left out", got[i : i + 1], alone, 2 * within[i])


@statement("E1", "F2")
@given(p=problems(where=("hull", "pattern"), masked=False))
def test_bounds_in_the_hull(subject: Subject, p: Problem) -> None:
    exact = p.on(subject)
    got = measure.energy(subject, exact)
    radius, within = exact.radius, tolerance.energy(subject, exact)
    # A state that was rounded may lie outside of the hull. There the energy has a slope of at most
    # 2 M, so it is larger by at most 2 M times the distance that rounding has moved the state.
    within = within + 2 * radius * np.linalg.norm(exact.state - p.state, axis=-1)
    count = p.stored.shape[-2]
    uniform = plain.negentropy(np.full(count, 1.0 / count), p.alpha)
    bound = np.minimum(2.0 * radius**2, -uniform / p.beta + radius**2 / 2.0)
    at_most("-energy", -got, 0.0, within)
    at_most("energy", got, bound, within)


@statement("E2", "F1")
@given(p=problems())
def test_descent(subject: Subject, p: Problem) -> None:
    p = p.on(subject)
    before, new = measure.energy(subject, p), measure.update(subject, p)
    after = measure.energy(subject, p.but(state=new))
    moved = np.linalg.norm(new - p.state, axis=-1)
    # An update that is off by e changes the energy by at most 2 M e, the bound by |f(xi) - xi| e.
    within = tolerance.energy(subject, p) + tolerance.energy(subject, p.but(state=new))
    within = within + (2 * p.radius + moved) * tolerance.association(subject, p)
    some = np.isfinite(before)
    assert np.all(np.isfinite(after) == some)
    bound = before[some] - moved[some] ** 2 / 2.0
    at_most("E(f(xi)) above E(xi) - |f(xi) - xi|^2/2", after[some], bound, within[some])


@statement("E3")
@given(p=problems())
def test_gradient_is_state_less_update(subject: Subject, p: Problem) -> None:
    p = p.on(subject)
    got = subject(hopcore.energy_gradient, *p.arrays, **p.options)
    wanted = reference(hopcore.energy_gradient, *p.arrays, **p.options)
    rounding = subject.eps * np.linalg.norm(p.state, axis=-1)
    within = (tolerance.association(subject, p) + rounding)[..., None]
    agree("gradient against NumPy float64", got, wanted, within)
    agree("xi - f(xi)", got, p.state - measure.update(subject, p), within)


@statement("E3", "F1")
@given(p=problems(separations=SMOOTH, masked=False), rng=generators())
def test_gradient_is_the_slope_of_the_energy(
    subject: Subject, p: Problem, rng: np.random.Generator
) -> None:
    p = p.on(subject)
    got = subject(hopcore.energy_gradient, *p.arrays, **p.options)
    along = rng.normal(size=p.state.shape)
    along /= np.linalg.norm(along, axis=-1, keepdims=True)
    step = slope_step(p)
    rise = plain.slope(
        lambda x: reference(hopcore.energy, x, *p.arrays[1:], **p.options), p.state, along, step
    )
    rounding = subject.eps * np.linalg.norm(p.state, axis=-1)
    within = tolerance.association(subject, p) + rounding + tolerance.difference(p, step)
    agree("slope of the energy", np.sum(got * along, axis=-1), rise, within)


@statement("E3", "B.gradient")
@given(p=problems(shapes=((3, 6, 4),)))
def test_automatic_gradient_by_the_state(subject: Subject, p: Problem) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    p = p.on(subject)
    (got,) = subject.gradient(finite_energy, *p.arrays, by=[0], **p.options)
    attends = np.any(plain.attends(p.state, p.stored, p.mask), axis=-1)[..., None]
    wanted = np.where(attends, p.state - reference(hopcore.update, *p.arrays, **p.options), 0.0)
    rounding = subject.eps * np.linalg.norm(p.state, axis=-1)
    within = (2 * tolerance.association(subject, p) + rounding)[..., None]
    agree("automatic gradient by the state", got, wanted, within)


@statement("E.energy", "B.gradient")
@given(
    p=problems(separations=SMOOTH, kinds=("normal", "offset"), shapes=((3, 6, 4),), masked=False)
)
def test_automatic_gradient_by_the_patterns(subject: Subject, p: Problem) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    p = p.on(subject)
    (got,) = subject.gradient(hopcore.energy, *p.arrays, by=[1], **p.options)
    # dE/dx_i = -w_i xi, and x_i once more for each query where x_i is the longest pattern.
    weights = plain.weights(plain.scores(*p.arrays), p.alpha)
    longest = np.argmax(np.linalg.norm(p.stored, axis=-1))
    wanted = -weights.T @ p.state
    wanted[longest] += p.state.shape[-2] * p.stored[longest]
    error = tolerance.weights(subject, p) * np.linalg.norm(p.state, axis=-1)
    size = np.linalg.norm(p.state, axis=-1) + p.radius
    within = np.sum(2 * error + 8 * subject.eps * size)
    agree("automatic gradient by the patterns", got, wanted, within)


@statement("E5")
@given(p=problems(), factor=st.floats(1.0, 10.0))
def test_a_rising_beta_never_raises_the_energy(subject: Subject, p: Problem, factor: float) -> None:
    p = p.on(subject)
    colder = p.but(beta=p.beta * factor).on(subject)
    within = tolerance.energy(subject, p) + tolerance.energy(subject, colder)
    at_most(
        "energy at a larger beta",
        measure.energy(subject, colder),
        measure.energy(subject, p),
        within,
    )


@statement("E5")
@given(p=problems(separations=SMOOTH, masked=False, heats=(0.03, 10.0)))
def test_slope_of_the_energy_by_beta(subject: Subject, p: Problem) -> None:
    p = p.on(subject)
    wanted = slope_by_beta(p)
    at_most("slope by beta", wanted, 0.0, 1e-12 * p.radius**2 / p.beta)
    step = 1e-5 * p.beta
    ahead, behind = (
        reference(hopcore.energy, p.state, p.stored, p.beta + h, **p.options) for h in (step, -step)
    )
    # Sparse weights change their support, so that half a step may see another slope: the second
    # derivative is at most 2 log(N)/beta^3 + N (|xi| M)^2/beta.
    count, square = p.stored.shape[-2], (np.linalg.norm(p.state, axis=-1) * p.radius) ** 2
    turn = step * (2 * np.log(count) / p.beta**3 + count * square / p.beta)
    rounding = tolerance.energy(reference, p) / step
    agree("slope by beta", (ahead - behind) / (2 * step), wanted, turn + rounding)
    if subject.differentiates:
        exact = p.but(beta=np.full(p.state.shape[:-1], p.beta))
        # Derivatives are returned in the dtype of the input: float16 ends at 65504.
        assume(np.max(np.abs(slope_by_beta(exact))) < 6e4)
        (got,) = subject.gradient(hopcore.energy, *exact.arrays, by=[2], **p.options)
        within = 4 * tolerance.energy(subject, exact) / exact.beta
        within = within + 4 * subject.eps * np.abs(slope_by_beta(exact)) + subject.least
        agree("automatic slope by beta", got, slope_by_beta(exact), within)


def slope_by_beta(p: Problem) -> Array:
    """``-(Omega(w) - Omega(1/N)) / beta^2``; for the softmax ``-(log N - H(p)) / beta^2``."""
    weights = plain.weights(plain.scores(*p.arrays), p.alpha)
    uniform = np.full(p.stored.shape[-2], 1.0 / p.stored.shape[-2])
    return -(plain.negentropy(weights, p.alpha) - plain.negentropy(uniform, p.alpha)) / p.beta**2


@statement("B.gradient")
@given(
    separation=st.sampled_from(("softmax", "sparsemax", hopcore.Entmax(3.0))),
    kind=st.sampled_from(("zeros", "copies", "masked")),
)
def test_automatic_gradients_are_finite(subject: Subject, separation: Any, kind: str) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    stored = np.zeros((3, 2)) if kind == "zeros" else np.ones((3, 2))
    mask = np.full((2, 3), kind != "masked")
    p = Problem(np.zeros((2, 2)), stored, np.full(2, 2.0), mask, separation)
    for function in (finite_energy, hopcore.update):
        found = subject.gradient(function, *p.arrays, by=[0, 1, 2], **p.options)
        for name, got in zip(("state", "stored", "beta"), found, strict=True):
            assert np.all(np.isfinite(got)), f"{function.__name__} by {name}: {got!r}"


def finite_energy(state: Any, stored: Any, beta: Any, **options: Any) -> Any:
    """The energy, 0 where it is infinite: +inf has no gradient."""
    value = hopcore.energy(state, stored, beta, **options)
    xp = array_namespace(value)
    return xp.where(xp.isfinite(value), value, xp.zeros_like(value))


def slope_step(p: Problem) -> float:
    """A step for central differences of the energy: small beside M, and beside 1/(beta M)."""
    heat = float(np.max(p.beta)) * float(np.max(p.radius)) ** 2
    return 1e-6 * max(float(np.max(p.radius)), 1e-3) / (1.0 + heat)
