"""Compact kernels: weights, energies, retrieval and minima (docs/spec/compact.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.cases.compact import Compact, compact_problems
from hopcore_conformance.cases.memory import generators
from hopcore_conformance.checks import tolerance
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import compact as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray


def moved(subject: Subject, p: Compact, values: Array | None = None) -> Array:
    """Error of the coordinates of an association with values, (L, 1)."""
    values = p.stored if values is None else values
    largest = np.max(np.abs(values)) + np.max(np.abs(p.state))
    return (2.0 * tolerance.compact_ratio(subject, p) + 8.0 * subject.eps) * largest


def energies(subject: Subject, p: Compact) -> Array:
    """Error of the energies, (L,)."""
    error = tolerance.compact_ratio(subject, p)[:, 0] + 4.0 * subject.fine
    with np.errstate(invalid="ignore"):
        return error / p.beta + 4.0 * subject.fine * np.where(p.reached, np.abs(p.energy), 0.0)


def found_patterns(state: Any, whole: Any, beta: Any, **options: Any) -> Any:
    """The patterns that a retrieval from a memory in one array found."""
    return hopcore.retrieve(state, whole, beta, **options).index


@statement("K.compact")
@given(p=compact_problems(), rng=generators())
def test_weights_and_energies(subject: Subject, p: Compact, rng: np.random.Generator) -> None:
    p = p.on(subject)
    wanted = plain.weights(p.heights, p.p)
    within = 2.0 * tolerance.compact_ratio(subject, p) + 4.0 * subject.eps
    got = subject(hopcore.association_weights, *p.arrays, **p.options)
    agree("weights", got, wanted, within)
    agree("weights of no pattern", got[p.heights == 0.0], np.zeros(np.sum(p.heights == 0.0)), 0.0)
    values = subject.rounded(rng.normal(size=(6, 3)))
    got = subject(hopcore.association, p.state, p.stored, values, beta=p.beta, **p.options)
    agree("association", got, wanted @ values, moved(subject, p, values))
    got = subject(hopcore.update, *p.arrays, **p.options)
    agree("update", got, p.update, moved(subject, p))
    got = subject(hopcore.energy, *p.arrays, **p.options)
    agree("energy", got, p.energy, energies(subject, p))


@statement("K.compact")
@given(p=compact_problems())
def test_statistics(subject: Subject, p: Compact) -> None:
    p = p.on(subject)
    wanted = plain.weights(p.heights, p.p)
    got = subject(hopcore.statistics, *p.arrays, **p.options)
    within = 32.0 * tolerance.compact_ratio(subject, p)
    agree("received", got.received, np.sum(wanted, axis=0), np.sum(within))
    agree("largest", got.largest, np.max(wanted, axis=-1), within[:, 0])
    square = np.sum(wanted**2, axis=-1)
    effective = np.where(square > 0.0, 1.0 / np.where(square > 0.0, square, 1.0), 0.0)
    agree("effective", got.effective, effective, 8.0 * within[:, 0])
    logarithm = np.log(np.where(wanted > 0.0, wanted, 1.0))
    agree("entropy", got.entropy, -np.sum(wanted * logarithm, axis=-1), within[:, 0])
    agree("energy", got.energy, p.energy, energies(subject, p))
    agree("log-sum-exp", got.log_sum_exp, -p.beta * p.energy, p.beta * energies(subject, p))


@statement("K.compact")
@given(p=compact_problems(), rows=st.integers(1, 5))
def test_memories_in_parts(subject: Subject, p: Compact, rows: int) -> None:
    if subject.dtype not in ("float64", "float32"):
        pytest.skip("what is read from elsewhere is float32 or float64")
    p = p.on(subject)
    stored = hopcore.Streamed(p.stored.astype(subject.dtype), rows=rows)
    given = subject.put(p.state), stored, subject._put(p.beta)
    options = {name: subject._put(value) for name, value in p.options.items()}
    got = subject.get(hopcore.update(*given, **options))
    agree("update", got, p.update, moved(subject, p))
    got = subject.get(hopcore.statistics(*given, **options))
    agree("energy", got.energy, p.energy, energies(subject, p))
    wanted = np.sum(plain.weights(p.heights, p.p), axis=0)
    agree("received", got.received, wanted, 32.0 * np.sum(tolerance.compact_ratio(subject, p)))


@statement("K.compact")
def test_a_wide_memory(subject: Subject) -> None:
    # More patterns than a search for the support starts at, of which few are in reach.
    rng = np.random.default_rng(3)
    stored = np.concatenate([rng.normal(size=(5000, 3)), 9.0 + 0.1 * rng.normal(size=(3, 3))])
    state = np.concatenate([0.5 * stored[:4], np.full((1, 3), 9.0), np.full((1, 3), -40.0)])
    for power in (1, 2):
        p = Compact(subject.rounded(state), subject.rounded(stored), 2.0, power)
        got = subject(hopcore.update, *p.arrays, **p.options)
        # Patterns at the radius may be counted or not: there are at most 40 of hundreds.
        edge = np.abs(1.0 - plain.square_distances(p.state, p.stored)) < tolerance.compact(
            subject, p
        )
        share = np.sum(edge, axis=-1) / np.maximum(np.sum(p.heights > 0.0, axis=-1), 1)
        within = moved(subject, p) + 2.0 * share[:, None] + 64.0 * subject.eps * np.max(stored)
        agree(f"update, p = {power}", got, p.update, within)


@statement("K.compact")
def test_what_needs_distances_is_refused_without_them(subject: Subject) -> None:
    state, stored = subject.put(np.ones((1, 2))), subject.put(np.eye(2))
    for refused in (hopcore.update, hopcore.energy, hopcore.statistics, hopcore.energy_gradient):
        with pytest.raises(ValueError, match="similarity='distance'"):
            refused(state, stored, 1.0, separation="epanechnikov")
    with pytest.raises(ValueError, match="similarity='distance'"):
        hopcore.retrieve(state, stored, 1.0, separation="epanechnikov", similarity="dot")
    found = hopcore.retrieve(state, stored, 1.0, separation="epanechnikov")
    agree("state, by distance", subject.get(found.state), np.full((1, 2), 0.5), subject.eps)
    options: Any = {"separation": "epanechnikov", "similarity": "distance"}
    with pytest.raises(ValueError, match="bias"):
        hopcore.update(state, stored, 1.0, bias=subject.put(np.zeros(2)), **options)


@statement("K.reach")
@given(p=compact_problems(where=("far", "near")), power=st.sampled_from((1, 2, 3)))
def test_a_state_in_reach_of_nothing_stays(subject: Subject, p: Compact, power: int) -> None:
    away = p.state.copy()
    away[0] = 40.0 * (1.0 + np.max(np.abs(p.stored)) + 1.0 / np.sqrt(np.min(p.beta)))
    p = Compact(away, p.stored, p.beta, power, p.mask).on(subject)
    lost = ~p.reached
    assert lost[0]
    nothing = np.zeros(np.sum(lost))
    got = subject(hopcore.association, p.state, p.stored, beta=p.beta, **p.options)
    agree("association", got[lost], np.zeros_like(p.state[lost]), 0.0)
    got = subject(hopcore.association_weights, *p.arrays, **p.options)
    agree("weights", got[lost], np.zeros_like(p.heights[lost]), 0.0)
    agree("update", subject(hopcore.update, *p.arrays, **p.options)[lost], p.state[lost], 0.0)
    got = subject(hopcore.energy, *p.arrays, **p.options)
    agree("energy", got[lost], nothing + np.inf, 0.0)
    got = subject(hopcore.energy_gradient, *p.arrays, **p.options)
    agree("gradient", got[lost], np.zeros_like(p.state[lost]), 0.0)
    got = subject(hopcore.statistics, *p.arrays, **p.options)
    agree("entropy", got.entropy[lost], nothing, 0.0)
    agree("effective", got.effective[lost], nothing, 0.0)
    agree("largest", got.largest[lost], nothing, 0.0)
    agree("log-sum-exp", got.log_sum_exp[lost], nothing - np.inf, 0.0)
    found = subject(hopcore.retrieve, *p.arrays, **p.options)
    agree("retrieved", found.state[lost], p.state[lost], 0.0)
    agree("residual", found.residual[lost], nothing, 0.0)
    assert np.all(found.steps[lost] == 1)
    index = subject(found_patterns, *p.arrays, **p.options)
    assert np.all(index[lost] == -1)
    assert np.all(index[p.reached] >= 0)


@statement("K4")
@given(p=compact_problems())
def test_gradient(subject: Subject, p: Compact) -> None:
    p = p.on(subject)
    got = subject(hopcore.energy_gradient, *p.arrays, **p.options)
    slope = plain.steepness(p.heights, p.p)[:, None]
    within = slope * (4.0 * moved(subject, p)) + subject.eps * np.abs(p.gradient)
    ratio = 4.0 * tolerance.compact_ratio(subject, p) * np.abs(p.gradient)
    agree("gradient", got, p.gradient, within + ratio)
    if subject.differentiates and np.all(p.reached) and p.mask is None:
        fine = subject.precise
        (auto,) = fine.gradient(hopcore.energy, *p.arrays, by=[0], **p.options)
        within = slope * (4.0 * moved(fine, p)) + 8.0 * ratio + fine.eps * slope
        agree("automatic gradient", auto, p.gradient, within)


@statement("K4", "B.gradient")
@given(p=compact_problems(where=("near", "hull"), masked=False), rng=generators())
def test_derivative_of_the_update(subject: Subject, p: Compact, rng: np.random.Generator) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    fine = subject.precise
    p = p.on(fine)
    probe = fine.rounded(rng.normal(size=p.state.shape))
    (got,) = fine.gradient(hopcore.update, *p.arrays, by=[0], probe=probe, **p.options)
    # d f = sum_i s_i (x_i - f) (x_i - xi)^T beta, s_i = (p-1) r_i^(p-2) / sum_j r_j^(p-1).
    k, total = p.p, np.sum(plain.powers(p.heights, p.p - 1), axis=-1, keepdims=True)
    s = (k - 1) * plain.powers(p.heights, max(k - 2, 0)) / np.where(total > 0.0, total, 1.0)
    along = np.sum((p.stored - p.update[:, None, :]) * probe[:, None, :], axis=-1)
    beta = np.broadcast_to(p.beta, (3,))[:, None]
    wanted = (beta * s * along)[:, None, :] @ (p.stored - p.state[:, None, :])
    wanted = np.where(p.reached[:, None], wanted[:, 0, :], probe)
    size = np.max(np.abs(p.stored)) + np.max(np.abs(p.state))
    largest = beta * np.max(s, axis=-1, keepdims=True) * size**2 * 24.0 * np.max(np.abs(probe))
    within = largest * (16.0 * tolerance.compact_ratio(fine, p)) + 4.0 * fine.eps
    agree("derivative of the update", got, wanted, within)


@statement("K4")
@given(p=compact_problems())
def test_an_update_raises_the_sum_of_kernels(subject: Subject, p: Compact) -> None:
    fine = subject.precise
    p = p.on(fine)
    new = fine(hopcore.update, *p.arrays, **p.options)
    after = Compact(new, p.stored, p.beta, p.p, p.mask)
    beta, mass = np.broadcast_to(p.beta, (3,)), np.sum(plain.powers(p.heights, p.p - 1), axis=-1)
    step = np.sum((new - p.state) ** 2, axis=-1)
    sums = [np.sum(plain.powers(x.heights, p.p), axis=-1) for x in (p, after)]
    within = (
        16.0 * p.p * tolerance.compact(fine, p)[:, 0] * (1.0 + np.sum(p.heights > 0.0, axis=-1))
    )
    at_most("least rise", 0.5 * beta * p.p * mass * step - (sums[1] - sums[0]), 0.0, within)


@statement("K4")
@given(p=compact_problems(powers=(1,)), row=st.integers(0, 2))
def test_retrieval_ends_exactly(subject: Subject, p: Compact, row: int) -> None:
    fine = subject.precise
    mask = None if p.mask is None else p.mask[row : row + 1]
    beta = float(np.broadcast_to(p.beta, (3,))[row])
    p = Compact(p.state[row : row + 1], p.stored, beta, 1, mask).on(fine)
    found = fine(hopcore.retrieve, *p.arrays, tol=0.0, max_steps=200, **p.options)
    end = Compact(found.state, p.stored, beta, 1, mask)
    assume(end.is_clear())
    agree("residual", found.residual, np.zeros(1), 0.0)
    assert np.all(found.converged)
    agree("mean of the patterns in reach", found.state, end.update, moved(fine, end))


@statement("K5")
@given(rng=generators(), factor=st.floats(0.5, 1.6))
def test_patterns_that_are_minima(
    subject: Subject, rng: np.random.Generator, factor: float
) -> None:
    fine = subject.precise
    stored = fine.rounded(rng.normal(size=(6, 3)))
    apart = plain.square_distances(stored, stored) + np.diag(np.full(6, np.inf))
    beta = float(fine.rounded(np.asarray(2.0 / (factor * np.min(apart)))))
    alone = np.min(apart, axis=-1) > 2.0 / beta
    p = Compact(stored, stored, beta)
    assume(p.is_clear())
    got = fine(hopcore.update, *p.arrays, **p.options)
    still = np.all(got == stored, axis=-1)
    assert np.array_equal(still, alone), f"{still} at rest, {alone} alone in their radius"


@statement("K5")
@given(rng=generators(), factor=st.sampled_from((0.9, 1.4, 2.0)), count=st.integers(1, 6))
def test_all_minima(subject: Subject, rng: np.random.Generator, factor: float, count: int) -> None:
    fine = subject.precise
    stored = fine.rounded(rng.random((count, 4)))
    apart = plain.square_distances(stored, stored) + np.diag(np.full(count, np.inf))
    near = np.min(apart) if count > 1 else 1.0
    beta = float(fine.rounded(np.asarray(2.0 / (factor**2 * near))))
    found = hopcore.phase.compact_minima(fine.put(stored), beta)
    states = fine.get(found.state)
    p = Compact(states, stored, beta)
    wanted = plain.minima(stored, beta)
    got = {frozenset(map(int, np.flatnonzero(row))) for row in found.members}
    assert len(got) == len(found.size)
    assert got == set(wanted)
    agree("energies of minima", found.energy, p.energy, 1e-9 if fine.fine < 1e-9 else 1e-2)
    assert np.array_equal(found.emergent, found.size > 1)
    assume(p.is_clear())
    at_rest = fine(hopcore.update, *p.arrays, **p.options)
    agree("minima at rest", at_rest, states, moved(fine, p))


@statement("K5")
def test_emergent_memories_of_ten_patterns(subject: Subject) -> None:
    stored = np.random.default_rng(0).random((10, 8))
    nearest = np.sqrt(np.min(plain.square_distances(stored, stored) + 1e9 * np.eye(10)))
    for factor, count in ((0.99, 13), (1.43, 38), (2.0, 78), (2.5, 1)):
        beta = 2.0 / (factor * nearest) ** 2
        memory = subject.precise.put(stored)
        found = hopcore.phase.compact_minima(memory, beta)
        assert len(found.size) == count, f"{len(found.size)} minima at {factor} times the distance"
        assert found.exhaustive
        some = hopcore.phase.compact_minima(memory, beta, starts=memory)
        assert not some.exhaustive
        every = {row.tobytes() for row in found.members}
        assert {row.tobytes() for row in some.members} <= every
