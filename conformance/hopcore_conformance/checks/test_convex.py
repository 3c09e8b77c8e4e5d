r"""Memories of two convex functions (docs/spec/convex.md).

Inputs are of size about 1 and at most 6, and exponents at most 5, so that all functions and their
slopes are moderate. With the rounding unit u of scores, a function of n inputs of size s is then
off by a few roundings of the sum of its terms: :math:`(n + 8)\, u` times the sum of their sizes,
and a power or an exponential by its exponent times the error of its argument.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import hopcore
from hopcore.convex import (
    AbsoluteSum,
    ConvexMemory,
    Coupling,
    Exponential,
    FenchelYoung,
    LayeredMemory,
    LayerNorm,
    LogCosh,
    Norm,
    Polynomial,
    PowerNorm,
    Quadratic,
    asynchronous_certain,
    asynchronous_retrieve,
)
from hopcore_conformance.cases.memory import generators
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import convex as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray

NUMBERS = {
    "Quadratic": 0.0,
    "Polynomial": 3.0,
    "PowerNorm": 3.0,
    "Exponential": 0.7,
    "FenchelYoung": 2.0,
    "Norm": 0.0,
    "LayerNorm": 0.1,
    "LogCosh": 1.5,
    "AbsoluteSum": 0.0,
}
"""The number of each Lagrangian in the oracle: its power, its beta or its eps."""

LAGRANGIANS: dict[str, Any] = {
    "Quadratic": Quadratic(),
    "Polynomial": Polynomial(3),
    "PowerNorm": PowerNorm(3.0),
    "Exponential": Exponential(0.7),
    "FenchelYoung": FenchelYoung(2.0),
    "Norm": Norm(),
    "LayerNorm": LayerNorm(0.1),
    "LogCosh": LogCosh(1.5),
    "AbsoluteSum": AbsoluteSum(),
}

VISIBLE = ("Quadratic", "Norm", "LayerNorm", "LogCosh", "AbsoluteSum")
"""Lagrangians whose activations are states of either sign."""

HIDDEN = ("Quadratic", "Polynomial", "PowerNorm", "Exponential", "FenchelYoung")

names = st.sampled_from(sorted(LAGRANGIANS))


def roundings(subject: Subject, *arrays: Array) -> Array:
    """A few roundings of the largest size that sums of these values go through."""
    size = sum(float(np.max(np.abs(x))) for x in arrays) + 1.0
    count = max(x.shape[-1] for x in arrays)
    # A cube or an exponential is at most 6^3 times as sensitive as its argument.
    return np.asarray(300.0 * (count + 8) * subject.fine * size)


def values(rng: np.random.Generator, *shape: int) -> Array:
    """Values of either sign of size about 1, none of them near 0, where signs jump."""
    found = rng.uniform(0.1, 2.0, size=shape)
    return found * rng.choice([-1.0, 1.0], size=shape)


@statement("C.lagrangian")
@pytest.mark.parametrize("name", sorted(LAGRANGIANS))
@given(rng=generators())
def test_a_lagrangian_and_its_conjugate(
    subject: Subject, name: str, rng: np.random.Generator
) -> None:
    subject = subject.precise
    u, other = (subject.rounded(values(rng, 3, 5)) for _ in range(2))
    chosen, backend = LAGRANGIANS[name], subject.backend

    def measured(u: Any) -> Any:
        active = chosen.activation(u, None, backend)
        return active, chosen.value(u, backend), chosen.conjugate(active, backend)

    g, level, conjugate = subject(measured, u)
    within = roundings(subject, u, g, level)
    agree("L", level, plain.value(name, u, NUMBERS[name]), within)
    agree("activation", g, plain.activation(name, u, NUMBERS[name]), within)
    agree("L + L*", level + conjugate, np.sum(g * u, axis=-1), 4 * within)
    h, _, conjugate = subject(measured, other)
    at_most("<h, u>", np.sum(h * u, axis=-1), level + conjugate, 4 * within)


def states(rng: np.random.Generator, visible: str, *shape: int) -> Array:
    """States that a visible layer can have: the activations of random inputs."""
    return plain.activation(visible, values(rng, *shape), NUMBERS[visible])


@statement("C.energy", "C.descent")
@pytest.mark.parametrize("visible", VISIBLE)
@given(hidden=st.sampled_from(HIDDEN), rng=generators())
def test_an_update_lowers_the_energy(
    subject: Subject, visible: str, hidden: str, rng: np.random.Generator
) -> None:
    memory = ConvexMemory(hidden=LAGRANGIANS[hidden], visible=LAGRANGIANS[visible])
    state = subject.rounded(states(rng, visible, 3, 5))
    patterns = subject.rounded(values(rng, 4, 5) / 2.0)

    def energy(state: Any, patterns: Any) -> Any:
        return memory.energy(state, patterns)

    def update(state: Any, patterns: Any) -> Any:
        return memory.update(state, patterns)

    # Written with the formulas: Psi is the conjugate of the visible Lagrangian.
    z = state @ patterns.T
    drive = plain.activation(hidden, z, NUMBERS[hidden]) @ patterns
    # Near 0, a small error of the drive changes its direction and its sign.
    assume(visible == "Quadratic" or np.min(np.abs(drive)) >= 0.05)
    wanted = plain.activation(visible, drive, NUMBERS[visible])
    new, before = subject(update, state, patterns), subject(energy, state, patterns)
    after = subject(energy, new, patterns)
    coarse = 300.0 * 16 * subject.eps * (1.0 + float(np.max(np.abs(z))))
    agree("update", new, wanted, 20 * coarse * (1.0 + float(np.max(np.abs(wanted)))))
    # The Bregman distance of Psi: Psi(xi) - Psi(f) - <u, xi - f> with the drive u of f.
    psi = subject.precise(
        lambda x: memory.visible.conjugate(x, subject.backend), np.concatenate([state, new])
    )
    fall = psi[:3] - psi[3:] - np.sum(drive * (state - new), axis=-1)
    scale = 1.0 + np.max(np.abs(drive)) + np.max(np.abs(before))
    at_most("energy after an update", after, before - fall, 8 * coarse * scale**2)
    at_most("minus the Bregman distance", -fall, 0.0, 8 * coarse * scale**2)


@statement("C.modern")
@given(
    rng=generators(), separation=st.sampled_from(("softmax", "sparsemax", "entmax15", "normmax:2"))
)
def test_the_modern_network(subject: Subject, rng: np.random.Generator, separation: Any) -> None:
    memory = ConvexMemory(hidden=FenchelYoung(2.0, separation))
    state, patterns = (subject.rounded(values(rng, n, 5)) for n in (3, 4))

    def both(state: Any, patterns: Any) -> Any:
        options = {"separation": separation}
        return (
            memory.update(state, patterns),
            hopcore.update(state, patterns, 2.0, **options),
            memory.energy(state, patterns),
            hopcore.energy(state, patterns, 2.0, **options),
        )

    new, wanted, level, other = subject(both, state, patterns)
    agree("update", new, wanted, roundings(subject, wanted) + 8 * subject.eps)
    # The energies differ by a number that does not depend on the state.
    shift = level - other
    agree("energy", shift - shift[:1], np.zeros(3), 4 * roundings(subject, level, other))


@statement("C.layers")
@given(rng=generators())
def test_the_update_of_a_layer_is_a_minimum(subject: Subject, rng: np.random.Generator) -> None:
    subject = subject.precise
    weights = [subject.rounded(values(rng, *shape) / 2.0) for shape in ((4, 5), (3, 4))]
    g = [subject.rounded(states(rng, kind, 2, n)) for kind, n in LAYERS.values()]

    def layered(first: Any, second: Any, *g: Any) -> Any:
        memory = LayeredMemory(
            {name: LAGRANGIANS[kind] for name, (kind, _) in LAYERS.items()},
            [Coupling("middle", "low", first), Coupling("high", "middle", second)],
        )
        now = dict(zip(LAYERS, g, strict=True))
        levels = [memory.energy(now)]
        for name in LAYERS:
            now[name] = memory.update(now, name)
            levels.append(memory.energy(now))
        found = memory.retrieve(dict(zip(LAYERS, g, strict=True)), max_sweeps=1)
        return *levels, *(found[name] for name in LAYERS), *now.values()

    *levels, a, b, c, x, y, z = subject(layered, *weights, *g)
    within = roundings(subject, *g, *levels) * 4
    for before, after in pairwise(levels):
        at_most("energy", after, before, within)
    for swept, updated in ((a, x), (b, y), (c, z)):
        agree("one sweep", swept, updated, 0.0)


LAYERS = {"low": ("LogCosh", 5), "middle": ("FenchelYoung", 4), "high": ("Norm", 3)}
"""The layers of a hierarchical memory, each with its Lagrangian and its size."""


@statement("C.classical")
@given(rng=generators())
def test_asynchronous_updates(subject: Subject, rng: np.random.Generator) -> None:
    patterns, state = (rng.choice([-1.0, 1.0], size=(n, 6)) for n in (2, 3))

    def run(state: Any, patterns: Any) -> Any:
        return asynchronous_retrieve(state, patterns, max_sweeps=20)

    found = subject(run, state, patterns)
    w = patterns.T @ patterns
    np.fill_diagonal(w, 0.0)

    def energy(x: Array) -> Array:
        return -np.sum((x @ w) * x, axis=-1)

    assert np.all(np.abs(found) == 1.0)
    at_most("energy", energy(found), energy(state))
    field = found @ w
    at_most("against the field", -found * field, 0.0)


@statement("C.certain")
@pytest.mark.parametrize("hidden", ["Quadratic", "Polynomial", "Exponential", "FenchelYoung"])
@given(count=st.integers(1, 5), share=st.sampled_from([0.0, 0.1, 0.3]), rng=generators())
def test_certain_states_reach_their_patterns(
    subject: Subject, hidden: str, count: int, share: float, rng: np.random.Generator
) -> None:
    state, patterns = corrupted_signs(rng, count, share)
    # Scores are up to 16, and all activations must be finite in half precision, too.
    chosen = {"Exponential": Exponential(0.5), "FenchelYoung": FenchelYoung(0.5)}
    memory = ConvexMemory(chosen.get(hidden, LAGRANGIANS[hidden]), AbsoluteSum())

    def run(state: Any, patterns: Any) -> Any:
        once = memory.update(state, patterns)
        return memory.certain(state, patterns), once, memory.update(once, patterns)

    certain, once, twice = subject(run, state, patterns)
    for new in (once, twice):
        assert np.all(new[certain] == patterns[certain])
    number = 0.5 if hidden in chosen else NUMBERS[hidden]
    lead = np.minimum(
        *(plain_lead(plain.activation(hidden, x @ patterns.T, number)) for x in (state, patterns))
    )
    assert not np.any(certain[lead < 1.0])
    assert np.all(certain[lead > 1.05])


def corrupted_signs(rng: np.random.Generator, count: int, share: float) -> tuple[Array, Array]:
    """Patterns of 16 signs, and copies of which a share of the signs is flipped."""
    patterns = rng.choice([-1.0, 1.0], size=(count, 16))
    return np.where(rng.random(patterns.shape) < share, -patterns, patterns), patterns


def plain_lead(active: Array) -> Array:
    """How many times as large the activation of pattern i is as all others at state i."""
    rest = np.sum(np.abs(active), axis=-1) - np.abs(np.diagonal(active))
    return np.diagonal(active) / np.where(rest > 0.0, rest, 1e-300)


@statement("C.certain")
@given(count=st.integers(1, 3), share=st.sampled_from([0.0, 0.05, 0.2]), rng=generators())
def test_certain_states_reach_their_patterns_neuron_by_neuron(
    subject: Subject, count: int, share: float, rng: np.random.Generator
) -> None:
    state, patterns = corrupted_signs(rng, count, share)

    def run(state: Any, patterns: Any) -> Any:
        found = asynchronous_retrieve(state, patterns, max_sweeps=3)
        return asynchronous_certain(state, patterns), found

    certain, found = subject(run, state, patterns)
    assert np.all(found[certain] == patterns[certain])
    for i, (xi, x) in enumerate(zip(state, patterns, strict=True)):
        wrong = np.sum(xi != x)
        others = np.delete(patterns, i, axis=0)
        crosstalk = (np.abs(others @ xi) + np.abs(others @ x)) / 2.0 + wrong
        assert certain[i] == (16.0 - 2.0 * wrong - count > np.sum(crosstalk))
