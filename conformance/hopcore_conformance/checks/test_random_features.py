"""Memories of random features beside the sums of kernels (docs/spec/scores.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hopcore.memory import RandomFeatures
from hopcore_conformance.cases.memory import generators
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import scores as oracle
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

BETA, DRAWS = 0.25, 40


def answers(state: Any, patterns: Any, count: int, seed: int) -> Any:
    """Energy, update and error of states in a memory that is filled in two parts."""
    memory = RandomFeatures(patterns.shape[-1], BETA, count=count, seed=seed, largest_error=1e9)
    memory = memory.add(patterns[:4, :]).add(patterns[4:, :])
    return memory.energy(state), memory.update(state), memory.error(state)


@statement("K.features")
@given(rng=generators(), seed=st.integers(0, 1000))
def test_sums_of_kernels_are_unbiased(
    subject: Subject, rng: np.random.Generator, seed: int
) -> None:
    patterns, state = rng.normal(size=(12, 3)), 0.5 * rng.normal(size=(2, 3))
    patterns, state = subject.rounded(patterns), subject.rounded(state)
    wanted = np.sum(np.exp(oracle.scores("distance", state, patterns, BETA)), axis=-1)
    sums, errors = [], []
    for draw in range(DRAWS):
        energy, _, error = subject(answers, state, patterns, count=64, seed=seed + 10_000 * draw)
        sums.append(np.exp(-BETA * energy))
        errors.append(error * sums[-1])
    # Five standard deviations, and the error that is measured is that of the draws.
    deviation = np.std(sums, axis=0) / np.sqrt(DRAWS)
    rounding = 64 * subject.fine * 12
    agree("mean of the sums", np.mean(sums, axis=0), wanted, 5 * deviation + rounding)
    ratio = np.std(sums, axis=0) / np.mean(errors, axis=0)
    agree("measured error", ratio, np.ones(2), 0.6)


@statement("K.features")
@given(rng=generators(), seed=st.integers(0, 1000))
def test_energies_and_updates_converge(
    subject: Subject, rng: np.random.Generator, seed: int
) -> None:
    patterns, state = rng.normal(size=(12, 3)), 0.5 * rng.normal(size=(2, 3))
    patterns, state = subject.rounded(patterns), subject.rounded(state)
    z = oracle.scores("distance", state, patterns, BETA)
    energy, update, error = subject(answers, state, patterns, count=20_000, seed=seed)
    at_most("error", error, 0.02)
    wanted = oracle.energy("distance", state, patterns, BETA)
    agree("energy", energy, wanted, 6 * error / BETA + 64 * subject.fine)
    # The gradient of a sum is a sum of the same length, with another spread.
    wanted = oracle.association(z, patterns)
    agree("update", update, wanted, 0.15 + 16 * subject.eps)


@statement("K.features")
@given(rng=generators(), seed=st.integers(0, 1000))
def test_the_update_is_the_gradient(subject: Subject, rng: np.random.Generator, seed: int) -> None:
    patterns, state = rng.normal(size=(12, 3)), 0.5 * rng.normal(size=(2, 3))
    patterns, state = subject.rounded(patterns), subject.rounded(state)
    _, update, _ = subject(answers, state, patterns, count=500, seed=seed)
    along, step = rng.normal(size=state.shape), 1e-5
    up, down = (answers(state + h * along, patterns, 500, seed)[0] for h in (step, -step))
    slope = np.sum((state - update) * along, axis=-1)
    agree("slope of the energy", slope, (up - down) / (2 * step), 1e-6 + 1000 * subject.eps)
