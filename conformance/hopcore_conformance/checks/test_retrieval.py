"""Retrieval: the update, repeated until each query rests (docs/spec/retrieval.md)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.cases.memory import (
    SEPARATIONS,
    SMOOTH,
    SPARSE,
    Problem,
    generators,
    problems,
    rows,
)
from hopcore_conformance.checks import measure, tolerance
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import memory as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject, reference

Array = np.ndarray


class Path(NamedTuple):
    """The retrieval of a single query in exact arithmetic, and its rounding error."""

    state: Array
    steps: int
    residual: float
    error: float
    clear: bool
    """Whether rounding cannot change the number of steps."""


def path(subject: Subject, p: Problem, max_steps: int, tol: float) -> Path:
    """Iterate the plain formula for the only query of a problem.

    An error e of the state becomes ``|J| e`` with the next update, J its Jacobian, and gets the
    rounding of that update added.
    """
    state, error, doubt, residual, steps, clear = p.state, 0.0, 0.0, np.inf, 0, True
    unit = float(p.radius[0]) or 1.0
    attends = slice(None) if p.mask is None else p.mask[0]
    while steps < max_steps:
        now = p.but(state=state)
        new = plain.association(*now.formula)
        slope = 0.0
        if p.stored[attends].size:
            jacobian = plain.jacobian(state[0], p.stored[attends], p.beta, p.alpha)
            slope = float(np.linalg.norm(jacobian, ord=2))
        # Twice: the slope is another one elsewhere within the error.
        before, error = error, 2 * slope * error + float(tolerance.association(subject, now)[0])
        residual = float(np.linalg.norm(new - state))
        doubt = before + error + residual_rounding(subject, state, new)
        state, steps = new, steps + 1
        clear = clear and abs(residual - tol * unit) > 2 * doubt
        if residual <= tol * unit:
            break
    return Path(state, steps, residual, doubt, clear)


def residual_rounding(subject: Subject, state: Array, new: Array) -> float:
    """The rounding error of ``||new - state||`` itself."""
    return 8 * subject.fine * float(np.linalg.norm(state) + np.linalg.norm(new))


@statement("E.retrieval", "E.alone", "E.mask", "E.empty")
@given(
    p=problems(separations=SMOOTH, heats=(0.1, 30.0)),
    max_steps=st.sampled_from((25, 3)),
    patience=st.sampled_from((1.0, 10.0)),
    uneven=st.booleans(),
)
def test_each_query_is_a_loop_of_its_own(
    subject: Subject, p: Problem, max_steps: int, patience: float, uneven: bool
) -> None:
    if uneven:
        p = p.but(beta=p.beta * np.asarray([1.0, 0.3, 3.0])[: p.state.shape[0]])
    p = p.on(subject)
    tol = patience * float(np.sqrt(subject.eps))
    found = subject(hopcore.retrieve, *p.arrays, **p.options, max_steps=max_steps, tol=tol)
    for i in range(p.state.shape[0]):
        alone = path(subject, rows(p, [i]), max_steps, tol)
        if alone.clear and alone.error <= tol * p.radius[i]:
            agree(f"state of query {i}", found.state[i], alone.state[0], 2 * alone.error)
            agree(f"steps of query {i}", found.steps[i], alone.steps, 0)
            agree(f"residual of query {i}", found.residual[i], alone.residual, 4 * alone.error)
            at_rest = alone.residual <= tol * (p.radius[i] or 1.0)
            agree(f"converged, query {i}", found.converged[i] * 1, at_rest * 1, 0)


@statement("E.alone")
@given(p=problems(separations=SMOOTH, shapes=((3, 6, 4),), masked=False), rng=generators())
def test_batch_mates_change_nothing(subject: Subject, p: Problem, rng: np.random.Generator) -> None:
    # From between two patterns a state moves away slowly: a mate that keeps the others waiting.
    slow = (p.stored[:1] + p.stored[1:2]) / 2 + 1e-3 * rng.normal(size=(1, 4)) * p.radius[0]
    p = p.but(state=np.concat([p.state[:2], slow]), beta=p.beta * np.asarray([0.3, 1.0, 2.0]))
    p = p.on(subject)
    options = {**p.options, "max_steps": 25, "tol": 10 * float(np.sqrt(subject.eps))}
    together = subject(hopcore.retrieve, *p.arrays, **options)
    for i in range(2):
        one = rows(p, [i])
        alone = path(subject, one, 25, options["tol"])
        if alone.clear and alone.error <= options["tol"] * p.radius[i]:
            single = subject(hopcore.retrieve, *one.arrays, **options)
            state, steps = together.state[i : i + 1], together.steps[i : i + 1]
            agree(f"state of query {i}", state, single.state, 2 * alone.error)
            agree(f"steps of query {i}", steps, single.steps, 0)


@statement("E2", "F1", "E.retrieval")
@given(p=problems(), max_steps=st.sampled_from((0, 1, 2, 7)))
def test_retrieval_is_consistent(subject: Subject, p: Problem, max_steps: int) -> None:
    p = p.on(subject)
    found = subject(hopcore.retrieve, *p.arrays, **p.options, max_steps=max_steps, tol=1e-3)
    after = p.but(state=found.state)
    within = tolerance.energy(subject, after)
    agree("energy of the state", found.energy, plain.energy(*after.formula), within)
    unit = np.where(p.radius > 0, p.radius, 1.0)
    assert np.all(found.converged == (found.residual <= 1e-3 * unit)) or np.any(
        np.abs(found.residual / unit - 1e-3) < 8 * subject.fine
    ), f"converged {found.converged!r} with residuals {found.residual / unit!r} of M, tol 1e-3"
    assert np.all(found.steps[~found.converged] == max_steps), f"steps {found.steps!r}"
    at_most("steps", found.steps, max_steps)
    if max_steps == 0:
        agree("state after no update", found.state, p.state, 0.0)
        assert np.all(np.isposinf(found.residual)), f"residual {found.residual!r}"
        assert not np.any(found.converged), f"converged {found.converged!r}"
        return
    # Each step may add the rounding of its update, at a slope of at most 2 M.
    slack = tolerance.energy(subject, p) + within
    slack = slack + 2 * max_steps * (2 * p.radius) * tolerance.association(subject, p)
    before = plain.energy(*p.formula)
    some = np.isfinite(before)
    at_most("energy after retrieval", found.energy[some], before[some], slack[some])


def followed(state: Any, stored: Any, beta: Any, **options: Any) -> Any:
    """The path of a retrieval, its energies, and the fields of the result."""
    found = hopcore.retrieve(state, stored, beta, **options, track=True)
    return found.path, found.energies, found.state, found.energy, found.steps


@statement("E.path", "E2", "F1")
@given(p=problems(), max_steps=st.sampled_from((7, 2, 1, 0)))
def test_the_path_and_its_energies(subject: Subject, p: Problem, max_steps: int) -> None:
    p = p.on(subject)
    options = {**p.options, "max_steps": max_steps, "tol": 1e-3}
    states, energies, state, energy, steps = subject(followed, *p.arrays, **options)
    most = int(np.max(steps))
    agree("axes of the path", np.asarray(states.shape), [most + 1, *p.state.shape], 0)
    agree("axes of the energies", np.asarray(energies.shape), states.shape[:-1], 0)
    agree("first states", states[0], p.state, 0.0)
    agree("last states", states[-1], state, 0.0)
    agree("last energies", energies[-1], energy, 0.0)
    now, within = p, tolerance.energy(subject, p)
    agree("first energies", energies[0], plain.energy(*p.formula), within)
    for t in range(most):
        after, before = p.but(state=states[t + 1]), within
        goes, within = steps > t, tolerance.energy(subject, after)
        wrong = tolerance.association(subject, now)
        wanted = np.where(goes[:, None], plain.association(*now.formula), states[t])
        agree(f"states {t + 1}", states[t + 1], wanted, np.where(goes, wrong, 0.0)[:, None])
        agree(f"energies {t + 1}", energies[t + 1], plain.energy(*after.formula), within)
        moved = np.linalg.norm(states[t + 1] - states[t], axis=-1)
        # An update that is off by e changes the energy by at most |xi - x| e.
        slack = before + within + (2 * p.radius + 2 * moved) * wrong
        some = np.isfinite(energies[t])
        bound = (energies[t] - moved**2 / 2.0)[some]
        at_most(f"energies {t + 1}", energies[t + 1][some], bound, slack[some])
        agree("energies at rest", energies[t + 1][~goes], energies[t][~goes], 0.0)
        now = after


@statement("E.retrieval", "E.empty", "B.batch")
@pytest.mark.parametrize("separation", ["softmax", "sparsemax"])
def test_queries_with_nothing_to_attend_to(subject: Subject, separation: str) -> None:
    state, mask = np.stack([np.ones((3, 2)), np.zeros((3, 2))]), np.zeros((3, 4), dtype=bool)
    options = {"mask": mask, "separation": separation}
    found = subject(hopcore.retrieve, state, np.eye(4, 2), 2.0, **options)
    agree("state", found.state, np.zeros((2, 3, 2)), 0.0)
    agree("steps", found.steps, [[2, 2, 2], [1, 1, 1]], 0)
    agree("residual", found.residual, np.zeros((2, 3)), 0.0)
    agree("energy", found.energy, np.full((2, 3), np.inf), 0.0)
    assert np.all(found.converged), f"converged {found.converged!r}"
    # Patterns of zeros have no length to measure a residual by: M counts as 1.
    found = subject(hopcore.retrieve, state, np.zeros((4, 2)), 2.0, separation=separation)
    agree("state among zeros", found.state, np.zeros((2, 3, 2)), 0.0)
    agree("steps among zeros", found.steps, [[2, 2, 2], [1, 1, 1]], 0)
    agree("energy among zeros", found.energy, np.zeros((2, 3)), 8 * subject.fine)
    start = subject(hopcore.retrieve, state[0], np.ones((2, 4, 2)), 2.0, max_steps=0)
    agree("axes of a state without an update", np.asarray(start.state.shape), [2, 3, 2], 0)


@statement("E3")
@given(p=problems(separations=SMOOTH, masked=False, heats=(0.1, 30.0)))
def test_states_at_rest_are_stationary(subject: Subject, p: Problem) -> None:
    p = p.on(subject)
    tol = 4 * float(np.sqrt(subject.eps))
    found = subject(hopcore.retrieve, *p.arrays, **p.options, max_steps=50, tol=tol)
    after = p.but(state=found.state)
    gradient = np.linalg.norm(plain.association(*after.formula) - found.state, axis=-1)
    # The last update moved by at most tol M, the next by at most |J| times that.
    lipschitz = p.beta * np.linalg.norm(p.stored, ord=2) ** 2
    bound = np.where(found.converged, lipschitz * tol * p.radius, np.inf)
    at_most("gradient of the energy", gradient, bound, 4 * tolerance.association(subject, after))


@statement("E4")
@given(
    p=problems(separations=("softmax",), masked=False, shapes=((3, 6, 4), (2, 3, 1))),
    share=st.sampled_from((0.1, 0.5, 0.8)),
)
def test_one_global_attractor(subject: Subject, p: Problem, share: float) -> None:
    p = p.on(subject)
    diameter = np.max(np.linalg.norm(p.stored[:, None] - p.stored, axis=-1))
    assume(diameter > 0.1 * np.max(p.radius))
    p = p.but(beta=share * 4.0 / diameter**2).on(subject)
    share = p.beta * diameter**2 / 4.0
    tol = float(np.sqrt(subject.eps))
    found = subject(hopcore.retrieve, *p.arrays, max_steps=200, tol=tol)
    assert np.all(found.converged), f"residuals {found.residual!r}"
    # A contraction by `share` that moved by at most tol M is that close to its fixed point.
    close = (tol * p.radius + 2 * tolerance.association(subject, p)) / (1.0 - share)
    spread = np.linalg.norm(found.state[:, None] - found.state, axis=-1)
    at_most("distance between attractors", spread, 0.0, 2 * np.max(close))


@statement("E6", "E.retrieval")
@given(
    p=problems(
        separations=("softmax",),
        masked=False,
        kinds=("normal", "sphere"),
        where=("near",),
        heats=(20.0, 400.0),
        shapes=((3, 6, 4),),
    )
)
def test_error_of_retrieved_patterns(subject: Subject, p: Problem) -> None:
    p = p.but(state=p.stored[:1] + 0.2 * (p.state[:1] - p.stored[:1])).on(subject)
    found = subject(hopcore.retrieve, *p.arrays, max_steps=50, tol=float(np.sqrt(subject.eps)))
    products, radius = p.stored @ p.stored[0], float(p.radius[0])
    gap = products[0] - np.max(products[1:])
    start = np.linalg.norm(p.state[0] - p.stored[0])
    # Well separated: the fixed point lies closer to the pattern than the start.
    bound = 2 * 5 * radius * np.exp(-p.beta * (gap - 2 * start * radius))
    assume(bound < start)
    off = np.linalg.norm(found.state[0] - p.stored[0])
    rounding = tolerance.association(subject, p)[0] + np.sqrt(subject.eps) * radius
    at_most("|xi - x_0| after retrieval", np.asarray(off), bound, rounding)


@statement("F3")
@given(
    p=problems(separations=SPARSE, masked=False, kinds=("normal", "sphere"), where=("near",)),
    share=st.sampled_from((1.01, 4.0)),
)
def test_exact_retrieval_ends_after_one_step(subject: Subject, p: Problem, share: float) -> None:
    p = p.but(state=p.stored[:1] + 0.2 * (p.state[:1] - p.stored[:1])).on(subject)
    margin = 1.0 / (p.alpha - 1.0)
    both = np.stack([p.state[0], p.stored[0]]) @ p.stored.T
    gap = np.min(both[:, :1] - both[:, 1:], initial=np.inf)
    assume(1e-3 * p.radius[0] ** 2 < gap < np.inf)
    p = p.but(beta=share * margin / float(gap)).on(subject)
    share = p.beta * float(gap) / margin
    assume(share > 1.0 + 2 * float(tolerance.scores(subject, p)[0]) / margin)
    found = subject(hopcore.retrieve, *p.arrays, **p.options, tol=0.0)
    agree("retrieved pattern", found.state, p.stored[:1], 0.0)
    assert found.converged[0], f"residual {found.residual!r}"
    # One update to reach the pattern, one to see that it stays; none is needed where it starts.
    at_most("steps", found.steps, 2)


def retrieved(state: Any, stored: Any, beta: Any, **options: Any) -> Any:
    """Only the retrieved state, for derivatives."""
    return hopcore.retrieve(state, stored, beta, **options).state


@statement("B.implicit", "B.gradient")
@given(
    p=problems(
        separations=("softmax", hopcore.Entmax(1.5)),
        shapes=((3, 6, 4),),
        masked=False,
        heats=(0.1, 2.0),
    ),
    rng=generators(),
)
def test_gradients_at_the_fixed_point(
    subject: Subject, p: Problem, rng: np.random.Generator
) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    p = p.but(beta=np.full(3, p.beta)).on(subject)
    # All 60 updates: where the state rests, the derivative of the updates still moves.
    options = {**p.options, "max_steps": 60, "tol": 0.0}
    converged = {**p.options, "max_steps": 500, "tol": 1e-15}
    slopes = [
        np.linalg.norm(plain.jacobian(state, p.stored, float(beta), p.alpha), ord=2)
        for state, beta in zip(reference(retrieved, *p.arrays, **converged), p.beta, strict=True)
    ]
    # A clear contraction: 60 updates leave less than any rounding of the start.
    assume(max(slopes) < 0.5)
    probe = subject.precise.rounded(rng.normal(size=p.state.shape))
    implicit, unrolled = (
        subject.gradient(retrieved, *p.arrays, by=[0, 1, 2], probe=probe, gradient=way, **options)
        for way in ("implicit", "unrolled")
    )
    agree("implicit gradient by the start", implicit[0], np.zeros_like(p.state), 0.0)
    # By how much the formulas of either derivative may amplify a rounding.
    radius = float(np.max(p.radius))
    heat = float(np.max(p.beta)) * radius**2
    amplified = float(np.sum(np.abs(probe))) / (1.0 - max(slopes))
    # Tangent weights are the weights to the power 2 - alpha, with the error that this entails.
    eps = subject.eps ** min(1.0, 2.0 - p.alpha if p.alpha > 1 else 1.0)
    sizes = {"stored": amplified * (1 + heat), "beta": amplified * radius**3}
    for i, (name, size) in enumerate(sizes.items(), 1):
        within = 16 * eps * size + subject.least
        agree(f"implicit and unrolled gradient by {name}", implicit[i], unrolled[i], within)
        along = rng.normal(size=p.arrays[i].shape) * np.max(np.abs(p.arrays[i]))

        def total(x: Array, i: int = i) -> float:
            moved = [*p.arrays[:i], x, *p.arrays[i + 1 :]]
            return float(np.sum(probe * reference(retrieved, *moved, **converged)))

        slope = plain.slope(total, p.arrays[i], along, 1e-6)
        within = (16 * eps * size + 1e-7 * size + subject.least) * float(np.sum(np.abs(along)))
        agree(f"slope of the fixed point by {name}", np.sum(implicit[i] * along), slope, within)


@statement("B.implicit")
@pytest.mark.parametrize("heat", [1.0, 3.0], ids=str)
def test_gradients_at_a_state_that_is_no_minimum_are_finite(subject: Subject, heat: float) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    # Between two patterns I - Df is 1 - beta: singular, or negative.
    p = Problem(np.zeros((1, 1)), np.asarray([[-1.0], [1.0]]), np.full(1, heat))
    found = subject.gradient(retrieved, *p.arrays, by=[0, 1, 2], gradient="implicit")
    for name, got in zip(("state", "stored", "beta"), found, strict=True):
        assert np.all(np.isfinite(got)), f"gradient by {name}: {got!r}"


@statement("E.retrieval")
@given(p=problems(separations=SEPARATIONS), tol=st.sampled_from((0.0, 1e-2)))
def test_retrieval_against_numpy(subject: Subject, p: Problem, tol: float) -> None:
    p = p.on(subject)
    found = subject(hopcore.retrieve, *p.arrays, **p.options, max_steps=1, tol=tol)
    wanted = reference(hopcore.retrieve, *p.arrays, **p.options, max_steps=1, tol=tol)
    within = tolerance.association(subject, p)
    rounding = 8 * subject.fine * (np.linalg.norm(p.state, axis=-1) + p.radius)
    agree("state after one update", found.state, wanted.state, within[..., None])
    agree("residual of one update", found.residual, wanted.residual, 2 * within + rounding)
    agree("update", found.state, measure.update(subject, p), within[..., None])
