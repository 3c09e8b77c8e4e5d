"""States of a memory: how sharp they are, and which of them are minima."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.cases.memory import generators
from hopcore_conformance.cases.phase import (
    clusters,
    covered,
    fields,
    general,
    simplex,
    turned,
)
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import memory as formulas
from hopcore_conformance.oracle import phase as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray

SHAPES = ((7, 4), (4, 7))
"""(N, d): more patterns than directions, and fewer."""


def rounding(subject: Subject, stored: Array, beta: float) -> float:
    """Error of a curvature: scores are off by u beta M^2, and so, relatively, are the weights."""
    heat = beta * float(np.max(np.sum(stored**2, axis=-1)))
    return 64.0 * subject.fine * (1.0 + heat) ** 2


def tolerance(subject: Subject) -> float:
    """The largest movement of a resting state, in units of M."""
    return 1e-9 if subject.precise.dtype == "float64" else 1e-6


@statement("P4")
@given(rng=generators(), shape=st.sampled_from(SHAPES), heat=st.floats(0.1, 20.0))
def test_the_divergence_is_the_mean_curvature(
    subject: Subject, rng: np.random.Generator, shape: tuple[int, int], heat: float
) -> None:
    stored = general(subject, rng, *shape)
    mixed = subject.rounded(rng.dirichlet(np.full(shape[0], 0.5), size=3) @ stored)
    curves = np.asarray([plain.curvatures(state, stored, heat) for state in mixed])
    within = rounding(subject, stored, heat)
    got = subject(hopcore.phase.normalized_divergence, mixed, stored, heat)
    agree("mean eigenvalue", got, np.mean(curves, axis=-1), within)
    assert curves.shape[1] == min(shape[0] - 1, shape[1])
    # Along the rest of the space the energy has the curvature 1.
    wider = subject(hopcore.phase.normalized_divergence, mixed, stored, heat, dimension=9)
    agree("in more dimensions", wider, 1.0 - np.sum(1.0 - curves, axis=-1) / 9.0, within)
    betas = np.asarray([heat, 0.5 * heat, 2.0 * heat])
    own = subject.rounded(betas)
    several = subject(hopcore.phase.normalized_divergence, mixed, stored, own)
    wanted = [np.mean(plain.curvatures(x, stored, b)) for x, b in zip(mixed, own, strict=True)]
    agree("a beta for each", several, wanted, rounding(subject, stored, 2.0 * heat))


@statement("P4")
@pytest.mark.parametrize("patterns", [2, 10])
def test_the_divergence_of_equidistant_patterns(subject: Subject, patterns: int) -> None:
    stored, scale = simplex(subject, patterns)
    b = np.asarray([0.5, 0.9, 1.0, 1.5]) * patterns
    centroid = np.broadcast_to(stored.mean(axis=0), (4, patterns))
    got = subject(hopcore.phase.normalized_divergence, centroid, stored, b / scale)
    within = rounding(subject, stored, float(b[-1]) / scale)
    agree("at the centroid", got, 1.0 - b / patterns, within)
    states = subject.rounded(np.random.default_rng(1).dirichlet(np.ones(patterns), 4) @ stored)
    p = plain.weights(states, stored, b / scale)
    wanted = 1.0 - b * (1.0 - np.sum(p**2, axis=-1)) / (patterns - 1.0)
    got = subject(hopcore.phase.normalized_divergence, states, stored, b / scale)
    agree("anywhere", got, wanted, within)


@statement("E4", "P4")
@given(rng=generators(), shape=st.sampled_from(SHAPES), heat=st.floats(0.1, 20.0))
def test_the_radius_is_the_largest_eigenvalue(
    subject: Subject, rng: np.random.Generator, shape: tuple[int, int], heat: float
) -> None:
    stored = general(subject, rng, *shape)
    mixed = subject.rounded(rng.dirichlet(np.full(shape[0], 0.5), size=3) @ stored)
    got = subject(hopcore.phase.jacobian_radius, mixed, stored, heat)
    found = [np.linalg.eigvalsh(formulas.jacobian(x, stored, heat)) for x in mixed]
    largest = np.asarray([values[-1] for values in found])
    within = rounding(subject, stored, heat)
    at_most("radius", got, largest, within)
    # By the power method, from below: it is as good as the next eigenvalue is far.
    next_one = np.asarray([values[-2] for values in found])
    short = np.where(next_one < 0.95 * largest, 1e-3, 0.05)
    at_most("-radius", -got, -largest * (1.0 - short), within)


@statement("P7")
@given(rng=generators(), heat=st.sampled_from((2.0, 6.0, 15.0)), spread=st.booleans())
def test_minima_are_fixed_points(
    subject: Subject, rng: np.random.Generator, heat: float, spread: bool
) -> None:
    stored = general(subject, rng)
    starts = subject.rounded(rng.dirichlet(np.full(7, 0.4), size=7) @ stored) if spread else stored
    given = {"starts": subject.put(starts)} if spread else {}
    found = fields(subject, hopcore.phase.minima(subject.put(stored), heat, **given))
    fine, unit = subject.precise, np.max(np.linalg.norm(stored, axis=-1))
    kept = len(found.share)
    assert found.state.shape == (kept, 4)
    # A state that moves by tol M more does so in its next update, where it is drawn to rest.
    moved = fine(hopcore.update, found.state, stored, heat) - found.state
    at_most("update", np.linalg.norm(moved, axis=-1), 2.0 * tolerance(subject) * unit,
            64.0 * fine.fine * unit * (1.0 + heat))  # fmt: skip
    agree("energy", found.energy, formulas.energy(found.state, stored, heat),
          64.0 * fine.fine * (unit**2 + 1.0 / heat))  # fmt: skip
    described(subject, found, stored, heat)

    apart = np.linalg.norm(found.state[:, None] - found.state, axis=-1) + np.eye(kept) * unit
    at_most("-distance of two", -apart, -1e-4 * unit)
    agree("shares", found.share, np.bincount(found.basin, minlength=kept) / 7.0, 1e-15)
    assert np.all(np.diff(found.share) <= 0.0)
    assert np.all(found.share > 0.0)
    ends = fine(hopcore.retrieve, starts, stored, heat, max_steps=20000, tol=tolerance(subject))
    off = np.linalg.norm(ends.state - found.state[found.basin], axis=-1)
    at_most("distance of a start's end", off, 1e-4 * unit)


def described(subject: Subject, found: Any, stored: Array, beta: float) -> None:
    """Compare the description of states with their weights."""
    p = plain.weights(found.state, stored, beta)
    within = rounding(subject, stored, beta)
    agree("weight", found.weight, np.max(p, axis=-1), within)
    agree("its pattern", np.take_along_axis(p, found.pattern[:, None], -1)[:, 0],
          np.max(p, axis=-1), within)  # fmt: skip
    entropy = -np.sum(p * np.log(np.maximum(p, 1e-300)), axis=-1)
    agree("participation", found.participation, np.exp(entropy), 7.0 * within)
    curves = np.asarray([plain.curvatures(x, stored, beta) for x in found.state])
    agree("sharpness", found.sharpness, np.mean(curves, axis=-1), within)
    radius = 1.0 - curves[:, 0]
    at_most("|radius - its value|", np.abs(found.radius - radius), 0.0, 0.05 * radius + within)
    assert np.all(found.stable == (found.radius < 1.0))


@statement("P7")
@given(rng=generators(), heat=st.sampled_from((2.0, 6.0, 15.0)))
def test_stable_states_draw_what_is_near(
    subject: Subject, rng: np.random.Generator, heat: float
) -> None:
    stored = general(subject, rng)
    found = fields(subject, hopcore.phase.minima(subject.put(stored), heat))
    fine, unit = subject.precise, np.max(np.linalg.norm(stored, axis=-1))
    # Seven, of which some are there twice: states of one shape are compiled once.
    state, radius = found.state[found.basin], found.radius[found.basin]
    along = rng.normal(size=state.shape)
    along *= 1e-3 * unit / np.linalg.norm(along, axis=-1, keepdims=True)
    moved = fine(hopcore.update, fine.rounded(state + along), stored, heat)
    off = np.linalg.norm(moved - state, axis=-1)
    # The second derivative of the update is at most beta^2 (2 M)^3.
    curved = heat**2 * (2.0 * unit) ** 3 * (1e-3 * unit) ** 2
    error = 64.0 * fine.fine * unit * (1.0 + heat) + 2.0 * tolerance(subject) * unit
    at_most("distance after an update", off, 1.05 * radius * 1e-3 * unit, curved + error)
    surely = found.stable[found.basin] & (radius < 0.8)
    back = fine(hopcore.retrieve, fine.rounded(state + along), stored, heat, max_steps=20000,
                tol=tolerance(subject)).state  # fmt: skip
    at_most("distance after all", np.linalg.norm(back - state, axis=-1)[surely], 1e-4 * unit)


@statement("P7")
@given(rng=generators(), heat=st.sampled_from((3.0, 12.0)))
def test_minima_follow_their_patterns(
    subject: Subject, rng: np.random.Generator, heat: float
) -> None:
    stored = general(subject, rng)
    order = rng.permutation(7)
    found, other = (
        fields(subject, hopcore.phase.minima(subject.put(x), heat)) for x in (stored, stored[order])
    )
    unit = np.max(np.linalg.norm(stored, axis=-1))
    assert sorted(found.share) == sorted(other.share)
    near = 2e-4 * unit
    agree("states of the same pattern", other.state[other.basin],
          found.state[found.basin][order], near)  # fmt: skip
    rotated = turned(subject, stored, np.random.default_rng(1))
    energies = fields(subject, hopcore.phase.minima(subject.put(rotated), heat)).energy
    agree("energies after a rotation", np.sort(energies), np.sort(found.energy),
          64.0 * subject.eps * (unit**2 + 1.0))  # fmt: skip


@statement("P7")
@pytest.mark.parametrize("heat", [1.0, 3.0, 12.0])
def test_minima_of_distances_move_with_the_patterns(subject: Subject, heat: float) -> None:
    stored = general(subject, np.random.default_rng(5))
    # Of equal norms, for which distances are dot products.
    stored = subject.rounded(stored / np.linalg.norm(stored, axis=-1, keepdims=True))
    shift = np.asarray([2.0, -1.0, 0.5, 1.0])
    far = subject.rounded(stored + shift)
    wanted = fields(subject, hopcore.phase.minima(subject.put(stored), heat))
    found = fields(subject, hopcore.phase.minima(subject.put(far), heat, similarity="distance"))
    begun = fields(subject, hopcore.phase.minima(
        subject.put(far), heat, starts=subject.put(far), similarity="distance"))  # fmt: skip
    near = 2e-4 + 64.0 * subject.eps * (1.0 + heat)
    for one in (found, begun):
        assert sorted(one.share) == sorted(wanted.share)
        agree("states", one.state[one.basin] - shift, wanted.state[wanted.basin], near)
        agree("radius", one.radius[one.basin], wanted.radius[wanted.basin], 0.05 + heat * near)
    p = plain.distance_weights(found.state, far, np.full(len(found.share), heat))
    agree("weight", found.weight, np.max(p, axis=-1), rounding(subject, far, heat))
    energies = -np.log(np.sum(np.exp(
        heat * plain.scores_at_one(found.state, far, "distance")), axis=-1)) / heat  # fmt: skip
    agree("energy", found.energy, energies, 64.0 * subject.fine * 16.0 * (1.0 + 1.0 / heat))


@statement("P8")
def test_a_sweep_by_distances(subject: Subject) -> None:
    stored, scale = simplex(subject, 6)
    low, _, high = hopcore.transition(6)
    betas = np.asarray([0.9 * low, 1.1 * low, 0.9 * high, 1.1 * high]) / scale
    far = subject.rounded(stored + np.sqrt(scale) * np.linspace(-1.0, 1.0, 6))
    found = hopcore.phase.sweep(subject.put(far), betas, similarity="distance")
    assert list(found.heated.minima) == [1, 6, 6, 6]
    assert list(found.cooled.minima) == [1, 1, 1, 6]
    agree("share that is held", found.heated.retrieved, [0.0, 1.0, 1.0, 1.0], 0.0)


@statement("P8")
def test_a_cold_memory_by_distances_holds_short_patterns(subject: Subject) -> None:
    # Dot products lose some of them.
    short = subject.put(covered(subject, np.random.default_rng(0)))
    appear = hopcore.critical_betas(short, similarity="distance").appear
    cold = hopcore.phase.sweep(short, [1.1 * float(appear.max())], similarity="distance")
    agree("share that is held", cold.heated.retrieved, [1.0], 0.0)


@statement("P3", "P7")
def test_saddles_are_not_stable(subject: Subject) -> None:
    stored, scale = simplex(subject, 9)
    # What rests exactly at a saddle stays there: the mixture of three, and the mean above b = N.
    mixed, b = plain.subset_state(stored, 3, 4.0)
    for start, value, wanted in ((mixed, b, False), (stored.mean(axis=0)[None], 9.9, False),
                                 (stored[:1], 9.9, True)):  # fmt: skip
        given = subject.put(subject.rounded(start))
        found = fields(subject, hopcore.phase.minima(
            subject.put(stored), value / scale, starts=given, tol=1e-5))  # fmt: skip
        if not wanted:
            agree("the saddle", found.state, start, 1e-4)
        assert list(found.stable) == [wanted]


@statement("P7")
def test_metastable_sets(subject: Subject) -> None:
    stored = clusters(subject)
    cold, warm, hot = (
        fields(subject, hopcore.phase.minima(subject.put(stored), b)) for b in (80, 8, 1)
    )
    assert [len(found.share) for found in (cold, warm, hot)] == [9, 3, 1]
    # Patterns i, i + 3 and i + 6 are one group.
    assert [set(np.nonzero(warm.basin == k)[0] % 3) for k in warm.basin[:3]] == [{0}, {1}, {2}]
    for found, mixed in ((cold, 1.0), (warm, 3.0), (hot, 9.0)):
        agree("participation", found.participation, np.full(len(found.share), mixed), 0.25 * mixed)
        assert np.all(found.stable)
