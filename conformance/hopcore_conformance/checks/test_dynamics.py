"""The loop of diffusion and association, and its energies (J5, J.energy)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hopcore
from hopcore import DiffusionConfig
from hopcore_conformance.cases.diffused import (
    MODES,
    Case,
    case_of,
    cases,
    graph_of,
    iterated,
    keys_error,
    no_half,
)
from hopcore_conformance.checks import tolerance
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import diffused as dense
from hopcore_conformance.oracle import memory as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray

EVOLVING = ("factored", "spectral", "implicit")
"""A mode of each kind: explicit, heat kernel, resolvent."""


def half_steps(
    state: Any, stored: Any, beta: Any, *, edges: Any, mode: str, eta: float, steps: int,
    at_once: int = 1,
) -> tuple[Any, ...]:  # fmt: skip
    """State and keys before the first half-step of an evolving memory, and after each.

    With ``at_once``, so many explicit steps of diffusion are taken in one half-step.
    """
    step = hopcore.diffusion_operator(graph_of(edges), eta, mode, at_once)
    found = [state, stored]
    for _ in range(steps):
        stored = step(stored)
        found += [state, stored]
        state = hopcore.update(state, stored, beta)
        found += [state, stored]
    return tuple(found)


def constant_of(subject: Subject, case: Case, eta: float | None) -> float:
    """The alpha of hopcore, which must agree with the formula."""
    p = case.p

    def found(stored: Any, edges: Any) -> Any:
        alpha = hopcore.diffusion.joint_weight(graph_of(edges), p.beta, stored, eta=eta)
        return subject.precise.put(np.asarray(alpha))

    alpha = float(subject(found, p.stored, case.edges))
    wanted = dense.joint_weight(case.weights, p.beta, p.stored)
    agree("alpha", np.asarray(alpha), wanted, 64 * subject.fine * wanted)
    return alpha


def joint(case: Case, path: tuple[Array, ...], alpha: float) -> Array:
    """J of the states and keys of a path, (steps, L)."""
    pairs = zip(path[::2], path[1::2], strict=True)
    return np.stack(
        [
            dense.free_energy(state, keys, case.p.beta)
            + alpha * dense.roughness(keys, case.weights)
            for state, keys in pairs
        ]
    )


def joint_error(subject: Subject, case: Case, config: DiffusionConfig, alpha: float) -> Array:
    """The change of J by the rounding errors of a half-step, (L,)."""
    p = case.p
    off = keys_error(subject, case, config)
    rough = 2.0 * case.most * float(np.linalg.norm(p.stored)) * off
    moved = tolerance.association(subject, p) * 2 * p.radius
    return 2 * (moved + p.radius * off + alpha * rough) + 1e-12 * p.radius**2


@statement("J5")
@given(
    case=cases(masked=False, where=("hull", "pattern")),
    mode=st.sampled_from(EVOLVING),
    share=st.sampled_from((1.0, 0.3)),
    at_once=st.sampled_from((1, 3)),
)
def test_joint_energy_never_rises(
    subject: Subject, case: Case, mode: Any, share: float, at_once: int
) -> None:
    no_half(subject, "rounding a memory to it changes J by more than a step does")
    case = case.on(subject)
    explicit = mode in dense.EXPLICIT
    # Explicit steps are doubly stochastic up to 1/max(deg), which is included.
    eta = share / case.most if explicit else 3.0 * share
    alpha = constant_of(subject, case, eta if explicit else None)
    options = {"mode": mode, "eta": eta, "steps": 3, "at_once": at_once}
    path = subject(half_steps, *case.p.arrays, edges=case.edges, **options)
    config = DiffusionConfig(
        eta=eta, steps=at_once, diffusion_mode=mode, use_normalized_laplacian=False
    )
    found = joint(case, path, alpha)
    within = joint_error(subject, case, config, alpha)
    at_most("J after each half-step", found[1:], found[:-1], within)


SHARP = [
    # An explicit step exchanges the two patterns at eta = 2 and merges them at 1.
    *(("factored", eta, 1) for eta in (0.1, 0.5, 1.0, 1.9)),
    ("factored", 0.5, 3),
    ("spectral", 1.0, 1),
    ("implicit", 1.0, 1),
]
"""Operators, as modes, strengths and steps, for the two patterns of the check below."""


@statement("J5")
@pytest.mark.parametrize("heat", [0.1, 1.0, 20.0])
@pytest.mark.parametrize(("mode", "eta", "steps"), SHARP)
def test_the_constant_of_the_joint_energy_is_sharp(
    subject: Subject, mode: Any, eta: float, steps: int, heat: float
) -> None:
    no_half(subject, "rounding a memory to it changes J by more than a step does")
    # Patterns 1 and 1 - d and the state 1: the smaller beta d is, the less than 2 % is lost.
    beta = float(subject.rounded(np.asarray(heat)))
    apart = min(0.3 / beta, 1.0)
    stored = subject.rounded(np.asarray([[1.0], [1.0 - apart]]))
    edges, ends = np.asarray([0.5]), [[0], [1]]

    def found(stored: Any, edges: Any) -> Any:
        graph = graph_of(edges, np.asarray(ends), 2)
        alpha = hopcore.diffusion.joint_weight(
            graph, beta, stored, eta=eta if mode == "factored" else None
        )
        keys = hopcore.diffusion_operator(graph, eta, mode, steps)(stored)
        return subject.precise.put(np.asarray(alpha)), keys

    alpha, keys = subject(found, stored, edges)
    weights = np.asarray([[0.0, 0.5], [0.5, 0.0]])

    def change(share: float) -> float:
        before, after = (
            dense.free_energy(stored[:1], memory, beta)[0]
            + share * float(alpha) * dense.roughness(memory, weights)
            for memory in (stored, keys)
        )
        return float(after - before)

    # The keys are of size 1, and their difference, of which J takes the square, is ``apart``.
    slack = 4 * subject.eps * (1.0 + float(alpha) * apart)
    assert change(1.0) <= slack, f"J rose by {change(1.0):.3g} at alpha = {alpha}"
    assert change(0.98) > slack, f"J changed by {change(0.98):.3g} at 0.98 alpha = {0.98 * alpha}"


@statement("J5")
def test_a_step_that_is_not_doubly_stochastic_has_no_constant(subject: Subject) -> None:
    def weight(stored: Any, edges: Any, *, eta: float) -> Any:
        graph = graph_of(edges, np.asarray([[0, 0], [1, 2]]), 3)
        return subject.precise.put(
            np.asarray(hopcore.diffusion.joint_weight(graph, 1.0, stored, eta=eta))
        )

    given = np.eye(3), np.asarray([1.0, 1.0])  # a degree of 2, and eigenvalues 0, 1 and 3
    agree("alpha at 1/max(deg)", subject(weight, *given, eta=0.5), 0.5, 64 * subject.fine)
    with pytest.raises(ValueError, match=r"eta must be at most 1/max\(deg\) = 0.5, got 0.6"):
        subject(weight, *given, eta=0.6)


@statement("J5")
@pytest.mark.parametrize("beta", [0.0, -1.0, np.inf, np.nan])
def test_a_joint_energy_has_a_temperature(subject: Subject, beta: float) -> None:
    case = case_of(0).on(subject)

    def weight(stored: Any, edges: Any) -> Any:
        return hopcore.diffusion.joint_weight(graph_of(edges), beta, stored)

    with pytest.raises(ValueError, match="beta must be positive and finite"):
        subject(weight, case.p.stored, case.edges)


@statement("J5", "J.energy")
@given(case=cases(masked=False, where=("hull",)), mode=st.sampled_from(EVOLVING))
def test_an_evolving_memory_makes_these_half_steps(subject: Subject, case: Case, mode: Any) -> None:
    case = case.on(subject)
    eta = 0.4 / case.most
    path = subject(half_steps, *case.p.arrays, edges=case.edges, mode=mode, eta=eta, steps=2)
    config = DiffusionConfig(eta=eta, steps=2, diffusion_mode=mode, use_normalized_laplacian=False)

    def found(*arrays: Any, edges: Any) -> tuple[Any, ...]:
        tracker = hopcore.EnergyTracker()
        got = hopcore.diffused_retrieve(
            *arrays, config=config, values="evolving", graph=graph_of(edges), tracker=tracker
        )
        history = tuple(step.energy for step in tracker.history)
        return got.output, got.state, got.keys, history, tuple(tracker.joint_per_query(2.0))

    output, state, keys, energies, joints = subject(found, *case.p.arrays, edges=case.edges)
    # Two ways through the same kernels.
    off = 2 * keys_error(subject, case, config)
    within = 2 * iterated(subject, case.p, off, 2)[:, None]
    agree("keys after two steps", keys, path[-1], off)
    agree("state after two steps", state, path[-2], within)
    agree("what is recalled", output, path[-2], within)
    # Recorded before the first step, and after each.
    assert len(energies) == 3
    wanted = joint(case, (*path[:2], *path[4:6], *path[8:10]), 2.0)
    slope = 4 * case.p.radius * (within[:, 0] + off)
    rough = (
        4
        * case.most
        * float(np.linalg.norm(case.p.stored))
        * (off + keys_error(subject, case, config))
    )
    for i, (energy, both) in enumerate(zip(energies, joints, strict=True)):
        at = case.p.but(state=path[4 * i], stored=path[4 * i + 1])
        small = tolerance.energy(subject, at) + slope
        agree(f"E after step {i}", energy, plain.energy(*at.formula), small)
        agree(f"J after step {i}", both, wanted[i], small + 2 * rough)


@statement("J.energy")
@given(case=cases(), mode=st.sampled_from(MODES), values=st.sampled_from(("tied", "untied")))
def test_recorded_energies_are_the_true_ones(
    subject: Subject, case: Case, mode: Any, values: Any
) -> None:
    case = case.on(subject)
    p = case.p
    config = DiffusionConfig(eta=0.3, steps=3, diffusion_mode=mode)
    one = DiffusionConfig(eta=0.3, steps=1, diffusion_mode=mode)

    def found(*arrays: Any, edges: Any, **mask: Any) -> tuple[Any, ...]:
        tracker, graph = hopcore.EnergyTracker(), graph_of(edges)
        options = {"config": config, "graph": graph, "values": values, "max_steps": 0}
        hopcore.diffused_retrieve(*arrays, tracker=tracker, **options, **mask)
        keys, truth = [arrays[1]], [hopcore.energy(*arrays, **mask)]
        step = hopcore.diffusion_operator(graph.using("symmetric"), 0.3, mode, 3).step
        for _ in tracker.history[1:]:
            keys.append(step(keys[-1]))
            truth.append(hopcore.energy(arrays[0], keys[-1], arrays[2], **mask))
        steps = tracker.history
        return (
            tuple(step.energy for step in steps),
            tuple(truth),
            tuple(step.dirichlet for step in steps),
            tuple(keys),
        )

    mask = {} if p.mask is None else {"mask": p.mask}
    energies, truth, rough, keys = subject(found, *p.arrays, edges=case.edges, **mask)
    # A heat kernel is one step, whatever T is.
    assert len(energies) == (4 if mode in ("factored", "iterative") else 2)
    matrix = dense.laplacian(case.weights, True)
    off = keys_error(subject, case, one)
    for i, memory in enumerate(keys):
        within = tolerance.energy(subject, p.but(stored=memory))
        agree(f"energy after step {i}", energies[i], truth[i], 2 * within)
        wanted = 0.5 * np.trace(memory.T @ matrix @ memory)
        size = float(np.linalg.norm(memory))
        agree(
            f"Dirichlet energy after step {i}",
            rough[i],
            wanted,
            4 * size * off + size**2 * 256 * subject.fine,
        )
