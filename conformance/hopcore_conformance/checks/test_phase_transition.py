"""The transition in the update itself, of equidistant patterns and of others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore_conformance.cases.phase import fields, nearness, simplex
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import phase as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray

STEPS = 4000
"""Of retrievals beside a transition, where states move slowly: enough for 1e-4 of the way."""


def resting(subject: Subject, states: Array, stored: Array, betas: Any) -> Any:
    """The states at which retrieval rests."""
    tol = 1e-8 if subject.dtype == "float64" else 1e-6
    return subject(hopcore.retrieve, states, stored, betas, max_steps=STEPS, tol=tol)


def counts(subject: Subject, patterns: int) -> None:
    """Skip a check that rounding would decide: the weights of 1000 patterns in float32."""
    if patterns >= 1000 and subject.dtype != "float64":
        pytest.skip(f"{subject.dtype}: states of 1000 patterns are off by more than is told apart")


@statement("P2")
@pytest.mark.parametrize("patterns", [3, 10, 100, 1000])
def test_a_pattern_stays_from_the_saddle_node_on(subject: Subject, patterns: int) -> None:
    stored, scale = simplex(subject, patterns)
    counts(subject, patterns)
    b = hopcore.phase.saddle_node_beta(patterns)
    betas = b * (1.0 + nearness(subject) * np.asarray([1.0, -1.0])) / scale
    found = resting(subject, np.stack([stored[0], stored[0]]), stored, betas)
    stayed, left = plain.weights(found.state, stored, betas)[:, 0]
    # The weight at the fold, from b_sn = (u + N - 1)^2 / (N u) with u = p_1 / p_j.
    half = 0.5 * b * patterns - (patterns - 1.0)
    u = half + np.sqrt(half**2 - (patterns - 1.0) ** 2)
    at_most("-weight above", -stayed, -u / (u + patterns - 1.0))
    agree("weight below", left, 1.0 / patterns, 0.01 / patterns)


@statement("P2")
@pytest.mark.parametrize("patterns", [3, 10, 100, 1000])
def test_energies_cross_at_coexistence(subject: Subject, patterns: int) -> None:
    stored, scale = simplex(subject, patterns, seed=1)
    counts(subject, patterns)
    b = hopcore.phase.coexistence_beta(patterns)
    betas = b * (1.0 + nearness(subject) * np.asarray([1.0, -1.0])) / scale
    found = resting(subject, np.stack([stored[0], stored[0]]), stored, betas)
    weight = plain.weights(found.state, stored, betas)[:, 0]
    agree("weight", weight, np.full(2, 1.0 - 1.0 / patterns), 0.02)
    centroid = np.stack([stored.mean(axis=0)] * 2)
    above, below = found.energy - subject(hopcore.energy, centroid, stored, betas)
    assert above < 0.0 < below, (above, below)


@statement("P2")
@pytest.mark.parametrize("patterns", [2, 3, 10, 100, 1000])
def test_the_centroid_repels_from_its_spinodal_on(subject: Subject, patterns: int) -> None:
    stored, scale = simplex(subject, patterns, seed=2)
    counts(subject, patterns)
    b, near = hopcore.phase.centroid_beta(patterns), nearness(subject)
    growth = growths(subject, stored, b * (1.0 + near * np.asarray([1.0, -1.0])) / scale, near)
    at_most("-growth above", -growth[0], -1.0)
    at_most("growth below", growth[1], 1.0 - 0.1 * near)


def growths(subject: Subject, stored: Array, betas: Array, near: float) -> Array:
    """The factor (B,) by which an update lengthens a deviation from the centroid."""
    centroid, count = stored.mean(axis=0), len(stored)
    along = np.random.default_rng(0).normal(size=count) @ (stored - centroid)
    # Both ways, so that the square of the deviation cancels: what is left of the cube is small
    # beside what is to be told apart.
    reach = 0.2 * np.sqrt(near) / np.max(np.abs(betas[0] * (stored - centroid) @ along))
    states = centroid + reach * np.stack([along, -along])
    lead = np.repeat(betas[:, None], 2, axis=1)
    held = subject.rounded(np.broadcast_to(states, (len(betas), *states.shape)))
    moved = subject(hopcore.update, held, stored, lead)
    after, before = (x[:, 0] - x[:, 1] for x in (moved, held))
    return np.einsum("bd,d->b", after, along) / np.einsum("bd,d->b", before, along)


@statement("P2")
def test_two_patterns_part_at_a_pitchfork(subject: Subject) -> None:
    stored, scale = simplex(subject, 2, seed=3)
    betas = np.asarray([2.02, 2.02, 1.98, 1.98]) / scale
    found = resting(subject, stored[[0, 1, 0, 1]], stored, betas)
    p = plain.weights(found.state, stored, betas)
    overlap = p[:, 0] - p[:, 1]
    # s = tanh(b s / 2): nothing appears at a distance, s = sqrt(3 (b/2 - 1)) grows from 0.
    wanted = hopcore.phase.reduced_fixed_points(2.02, 2)[2].overlap
    agree("s^2", np.asarray(wanted**2), 0.03, 0.03 * 0.03)
    agree("overlaps", overlap, [wanted, -wanted, 0.0, 0.0], 2e-4)


@statement("P2")
def test_the_centroid_at_its_spinodal(subject: Subject) -> None:
    # At b = N the slope of the map is 1: two patterns still fall back to their centroid, and
    # three move away from it. Unit vectors, so that b is beta.
    for patterns, s, way in ((2, 0.5, -1.0), (3, 0.2, 1.0)):
        stored = np.eye(patterns)
        state = np.mean(stored, axis=0) * (1.0 - s) + s * stored[:1]
        moved = subject(hopcore.update, subject.rounded(state), stored, float(patterns))[0]
        gain = moved[0] - moved[1] - s
        at_most(f"-way of {patterns} patterns", np.asarray(-way * gain), -0.01)


@statement("P2")
def test_the_mean_of_symmetric_patterns(subject: Subject) -> None:
    # Whatever the patterns, with -x_i for every x_i their mean is a fixed point.
    half = np.random.default_rng(0).normal(size=(4, 5))
    half = half * np.asarray([1.0, 0.6, 0.5, 0.3, 0.2])
    half /= np.linalg.norm(half, axis=-1, keepdims=True)
    stored = subject.rounded(np.concatenate([half, -half]))
    values, vectors = np.linalg.eigh(stored.T @ stored / 8.0)
    fine, reach = subject.precise, 1e-3 / np.max(np.linalg.norm(stored, axis=-1))
    betas = np.asarray([1.01, 0.99]) / values[-1]
    nothing = np.zeros((2, 5))
    agree("the mean", fine(hopcore.update, nothing, stored, betas), nothing, 8.0 * fine.fine)
    radius = fine(hopcore.phase.jacobian_radius, nothing, stored, betas)
    agree("radius", radius, [1.01, 0.99], 1e-3)
    push = reach * vectors[:, -1]
    moved = fine(hopcore.update, np.stack([push, push]), stored, betas)
    above, below = np.linalg.norm(moved, axis=-1) / reach
    assert below < 1.0 < above, (below, above)


@statement("P3")
@pytest.mark.parametrize("patterns", [3, 10])
def test_mixtures_of_equidistant_patterns_are_saddles(subject: Subject, patterns: int) -> None:
    stored, scale = simplex(subject, patterns, seed=4)
    within = 64.0 * subject.eps * np.max(np.linalg.norm(stored, axis=-1))
    for chosen in range(2, patterns):
        ratios = (1.05, 3.0, 30.0)
        pairs = [plain.subset_state(stored, chosen, ratio) for ratio in ratios]
        states = np.concatenate([state for state, _ in pairs])
        b = np.asarray([value for _, value in pairs])
        moved = subject(hopcore.update, states, stored, b / scale)
        agree("the update", moved, states, within * (1.0 + b[:, None]))
        # Between two of its patterns an update lengthens differences by b p_1 = u ln u / (u - 1).
        u = np.asarray(ratios)
        radius = subject(hopcore.phase.jacobian_radius, states, stored, b / scale)
        at_most("-radius", -radius, -u * np.log(u) / (u - 1.0), 0.01)
        assert np.all(radius > 1.0), radius
        pushed = states + 0.01 * (stored[0] - stored[1])
        end = resting(subject, pushed, stored, b / scale).state
        p, q = (plain.weights(x, stored, b / scale) for x in (end, states))
        at_most("-difference of weights", -np.abs(p - q).max(axis=-1), -0.01)


@statement("P3")
@pytest.mark.parametrize("patterns", [3, 10])
def test_minima_of_equidistant_patterns(subject: Subject, patterns: int) -> None:
    stored, scale = simplex(subject, patterns, seed=5)
    first, _, last = hopcore.transition(patterns)
    mixed = np.random.default_rng(0).dirichlet(np.full(patterns, 0.3), size=24) @ stored
    starts = subject.put(subject.rounded(mixed))
    # Well below, between, and above.
    for b, single, centroid in ((0.9 * first, False, True), (0.5 * (first + last), True, True),
                                (1.2 * last, True, False)):  # fmt: skip
        found = fields(subject, hopcore.phase.minima(subject.put(stored), b / scale, starts=starts))
        p = np.sort(plain.weights(found.state[found.stable], stored, b / scale), axis=-1)
        # All of the others weigh the same: in the centroid the largest, too.
        at_most("spread of the others", p[:, -2] - p[:, 0], 0.0, 1e-4)
        even = p[:, -1] - p[:, 0] < 1e-4
        at_most("patterns", np.sum(~even), patterns if single else 0)
        at_most("centroids", np.sum(even), 1 if centroid else 0)
        assert np.sum(~even) > 0 or not single


@statement("P8")
@pytest.mark.parametrize("patterns", [3, 10])
def test_heated_and_cooled(subject: Subject, patterns: int) -> None:
    stored, scale = simplex(subject, patterns, seed=6)
    first, middle, last = hopcore.transition(patterns)
    near = 10.0 * nearness(subject)
    b = np.sort([0.8 * first, first * (1 - near), first * (1 + near), 0.5 * (middle + last),
                 last * (1 - near), last * (1 + near), 1.3 * last])  # fmt: skip
    # In any order; they come back rising.
    order = np.random.default_rng(0).permutation(len(b))
    found = hopcore.phase.sweep(subject.put(stored), b[order] / scale)
    agree("betas", found.betas, b / scale, 0.0)
    kept = {"heated": b > first, "cooled": b > last}
    for name, single in kept.items():
        branch = getattr(found, name)
        wanted = np.where(single, patterns, 1)
        agree(f"minima, {name}", branch.minima, wanted, 0)
        agree(f"retrieved, {name}", branch.retrieved, np.where(single, 1.0, 0.0), 0.0)
        agree(f"largest, {name}", branch.largest, 1.0 / wanted, 1e-15)
        s = [hopcore.phase.reduced_fixed_points(x, patterns)[-1].overlap if keeps else 0.0
             for x, keeps in zip(b, single, strict=True)]  # fmt: skip
        big = (1.0 + (patterns - 1.0) * np.asarray(s)) / patterns
        p = np.column_stack([big, *[(1.0 - big) / (patterns - 1.0)] * (patterns - 1)])
        sharp = 1.0 - b * (1.0 - np.sum(p**2, axis=-1)) / (patterns - 1.0)
        # Beside a fold a state is off by the square root of what moves it no more.
        within = 1e-4 if subject.dtype == "float64" else 3e-2
        agree(f"participation, {name}", branch.participation,
              np.exp(-np.sum(p * np.log(p), axis=-1)), patterns * within)  # fmt: skip
        agree(f"sharpness, {name}", branch.sharpness, sharp, 4.0 * within)
    outside = (b < first) | (b > last)
    agree("energies apart", found.heated.energy[outside], found.cooled.energy[outside],
          64.0 * subject.fine * (scale + np.max(np.sum(stored**2, axis=-1))))  # fmt: skip
    between = found.heated.energy - found.cooled.energy
    clear = ~outside & (np.abs(b / middle - 1.0) > near)
    assert np.all(np.sign(between[clear]) == np.where(b[clear] < middle, 1.0, -1.0))
