"""Retrieval where some coordinates are known (docs/spec/scores.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.cases.memory import SHAPES
from hopcore_conformance.cases.scores import Scored, known_coordinates, scored
from hopcore_conformance.checks import tolerance
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import scores as oracle
from hopcore_conformance.report.statements import statement
from hopcore_conformance.sharded import Parted
from hopcore_conformance.subject import Subject

Array = np.ndarray

norm = tolerance.norm


@st.composite
def partly_known(draw: st.DrawFn, **options: Any) -> tuple[Scored, Array]:
    """A problem and the known coordinates of its queries."""
    shape = draw(st.sampled_from(SHAPES))
    p = draw(scored(shapes=(shape,), **options))
    return p, draw(known_coordinates((shape[0], shape[2])))


@statement("K.known")
@given(case=partly_known(), unknown=st.sampled_from(("ignore", "settle")), steps=st.integers(0, 4))
def test_known_coordinates_stay(
    subject: Subject, case: tuple[Scored, Array], unknown: str, steps: int
) -> None:
    p, known = case
    if unknown == "ignore":
        p = p.but(similarity="distance")
    p = p.on(subject)
    options = {**p.options, "known": known, "unknown": unknown, "max_steps": steps}
    found = subject(hopcore.retrieve, *p.arrays, **options)
    agree("known coordinates", found.state[known], p.state[known], 0.0)
    within = tolerance.energy(subject, p.but(state=found.state))
    agree("energy", found.energy, p.but(state=found.state).energy, within)
    if steps > 0:
        still = np.all(known, axis=-1)
        agree("steps where all is known", found.steps[still], np.ones(np.sum(still)), 0)
        agree("residual where all is known", found.residual[still], np.zeros(np.sum(still)), 0.0)


@statement("K.ignore")
@given(case=partly_known(similarities=("distance",)))
def test_only_known_coordinates_are_compared(subject: Subject, case: tuple[Scored, Array]) -> None:
    p, known = case
    p = p.on(subject)
    found = subject(hopcore.retrieve, *p.arrays, **p.options, known=known)
    z = oracle.scores("distance", *p.arrays, p.mask, p.bias, known)
    wanted = np.where(known, p.state, oracle.association(z, p.stored, p.alpha))
    within = tolerance.association(subject, p)[..., None]
    agree("state", found.state, wanted, np.where(known, 0.0, within))
    at_most("steps", found.steps, 2)
    assert np.all(found.converged)


@statement("K.ignore")
@given(
    case=partly_known(similarities=("distance",)),
    filled=st.sampled_from((np.nan, np.inf, -np.inf, 1e30, -7.0)),
)
def test_unknown_coordinates_are_never_read(
    subject: Subject, case: tuple[Scored, Array], filled: float
) -> None:
    p, known = case
    p = p.on(subject)
    wanted = subject(hopcore.retrieve, *p.arrays, **p.options, known=known)
    if abs(filled) > subject.most:
        filled = float(np.copysign(np.inf, filled))
    state = np.where(known, p.state, filled)
    got = subject(hopcore.retrieve, state, *p.arrays[1:], **p.options, known=known)
    agree("state", got.state, wanted.state, 0.0)
    # A first step from other unknown coordinates has another length, but leads to the same state.
    agree("energy", got.energy, wanted.energy, 0.0)
    indices = [subject(index, x, *p.arrays[1:], **p.options, known=known) for x in (state, p.state)]
    agree("index", *indices, 0)
    z = oracle.scores("distance", *p.arrays, p.mask, p.bias, known)
    chosen = np.take_along_axis(z, np.maximum(indices[0], 0)[..., None], axis=-1)[..., 0]
    some = indices[0] >= 0
    within = 2 * tolerance.scores(subject, p)[some]
    at_most("scores above that of index", np.max(z, axis=-1)[some], chosen[some], within)


def index(state: Any, stored: Any, beta: Any, **options: Any) -> Any:
    """The pattern that a retrieval finds."""
    return hopcore.retrieve(state, stored, beta, **options).index


@statement("K.settle", "E2")
@given(case=partly_known())
def test_settling_lowers_the_energy(subject: Subject, case: tuple[Scored, Array]) -> None:
    p, known = case
    p = p.on(subject)
    options = {**p.options, "known": known, "unknown": "settle", "tol": 0.0}
    found = subject(hopcore.retrieve, *p.arrays, **options, max_steps=1)
    wanted = np.where(known, p.state, p.association())
    within = np.where(known, 0.0, tolerance.association(subject, p)[..., None])
    agree("state after one update", found.state, wanted, within)
    moved = norm(found.state - p.state)
    rounding = 8 * subject.fine * (norm(p.state) + norm(found.state))
    agree("residual", found.residual, moved, rounding)
    after, error = p.but(state=found.state), tolerance.association(subject, p)
    # An update that is off by e changes the energy by at most |xi - x| e, the bound by the step.
    far = 2 * (p.radius if p.similarity == "dot" else p.unit) + moved
    slack = tolerance.energy(subject, p) + tolerance.energy(subject, after) + far * error
    some = np.isfinite(p.energy)
    bound = (p.energy - moved**2 / 2.0)[some]
    at_most("energy after the update", after.energy[some], bound, slack[some])
    many = subject(hopcore.retrieve, *p.arrays, **options, max_steps=6)
    slack = slack + 12 * far * error + tolerance.energy(subject, p.but(state=many.state))
    at_most("energy after six updates", many.energy[some], bound, slack[some])


@statement("K.settle", "K.ignore")
@given(p=scored())
def test_where_nothing_is_known(subject: Subject, p: Scored) -> None:
    p = p.on(subject)
    known = np.zeros(p.state.shape, dtype=bool)
    options = {**p.options, "max_steps": 2, "tol": 0.0}
    settled = subject(hopcore.retrieve, *p.arrays, **options, known=known, unknown="settle")
    wanted = subject(hopcore.retrieve, *p.arrays, **options)
    steep = 1.0 + np.max(p.beta) * np.linalg.norm(p.stored, ord=2) ** 2
    if p.alpha <= 2.0:
        within = 2 * (1.0 + steep) * tolerance.association(subject, p)[..., None]
        agree("settled state", settled.state, wanted.state, within)
    p = p.but(similarity="distance")
    got = subject(hopcore.retrieve, *p.arrays, **p.options, known=known)
    prior = oracle.scores("distance", *p.arrays, p.mask, p.bias, known)
    wanted = oracle.association(prior, p.stored, p.alpha)
    agree("state", got.state, wanted, tolerance.association(subject, p)[..., None])


@statement("K.known", "A.single")
@pytest.mark.parametrize("unknown", ["ignore", "settle"])
def test_a_single_query_and_axes_that_broadcast(subject: Subject, unknown: str) -> None:
    rng = np.random.default_rng(0)
    known = np.asarray([True, False, True, False])
    p = Scored(rng.normal(size=(3, 4)), rng.normal(size=(6, 4)), 2.0).on(subject)
    options = {**p.options, "known": known, "unknown": unknown}
    whole = subject(hopcore.retrieve, *p.arrays, **options)
    within = 16 * tolerance.association(subject, p)
    for i, state in enumerate(p.state):
        one = subject(hopcore.retrieve, state, *p.arrays[1:], **options)
        assert one.state.shape == (4,)
        assert one.steps.shape == one.energy.shape == ()
        agree("state of one query", one.state, whole.state[i], within[i])
        agree("its known coordinates", one.state[known], state[known], 0.0)
    each = np.broadcast_to(known, (3, 4))
    other = subject(hopcore.retrieve, *p.arrays, **{**options, "known": each})
    agree("known of each query", other.state, whole.state, 0.0)


@statement("K.known", "B.batch", "B.beta")
@pytest.mark.parametrize("unknown", ["ignore", "settle"])
@pytest.mark.parametrize("separation", ["softmax", "sparsemax"])
def test_batches_with_known_coordinates(subject: Subject, unknown: str, separation: str) -> None:
    rng = np.random.default_rng(1)
    stored = rng.normal(size=(2, 6, 4))
    if isinstance(subject, Parted):
        stored = stored[0]
    state, known = rng.normal(size=(2, 3, 4)), rng.random((2, 3, 4)) < 0.5
    beta, mask = np.asarray([0.5, 1.0, 2.0]), rng.random((2, 3, 6)) < 0.7
    options = {"separation": separation, "similarity": "distance", "unknown": unknown}
    state, stored, beta = (subject.rounded(x) for x in (state, stored, beta))
    whole = subject(
        hopcore.retrieve, state, stored, beta, mask=mask, known=known, max_steps=2, **options
    )
    for i in range(2):
        part = Scored(
            state[i], stored if stored.ndim == 2 else stored[i], beta, mask[i], separation
        )
        one = subject(hopcore.retrieve, *part.arrays, mask=mask[i], known=known[i], max_steps=2,
                      **options)  # fmt: skip
        steep = 1.0 + np.max(beta) * np.linalg.norm(part.stored, ord=2) ** 2
        within = 2 * (1.0 + steep) * tolerance.association(subject, part)
        agree("state", whole.state[i], one.state, within[..., None])
        agree("steps", whole.steps[i], one.steps, 0)
