"""The results of diffusion-augmented retrieval (docs/spec/diffused.md)."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hopcore
from hopcore import DiffusionConfig
from hopcore_conformance.cases.diffused import (
    LAPLACIANS,
    MODES,
    NODES,
    Case,
    association_error,
    case_of,
    cases,
    graph_of,
    iterated,
    keys_error,
    run,
    spread_error,
)
from hopcore_conformance.cases.memory import Problem, generators
from hopcore_conformance.cases.scores import Scored
from hopcore_conformance.checks import tolerance
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import diffused as dense
from hopcore_conformance.oracle import memory as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray

settings_of_diffusion = st.builds(
    DiffusionConfig,
    eta=st.sampled_from((0.3, 0.05)),
    steps=st.sampled_from((3, 1)),
    diffusion_mode=st.sampled_from(MODES),
    use_normalized_laplacian=st.sampled_from(LAPLACIANS),
)


@statement("J0")
@given(case=cases(projected=True), config=settings_of_diffusion)
def test_untied_is_one_association_with_diffused_keys(
    subject: Subject, case: Case, config: DiffusionConfig
) -> None:
    case = case.on(subject)
    p, off = case.p, keys_error(subject, case, config)
    keys = case.operator(config) @ p.stored
    moved = p.but(stored=keys)
    weights = dense.weights_of(p.state, keys, p.beta, p.mask)
    output, state, found, steps = run(
        subject,
        case,
        config,
        *("output", "state", "keys", "steps"),
        values="untied",
        projection=p.projection,
    )
    agree("keys", found, keys, off)
    within = association_error(subject, moved, off, p.projection)[:, None]
    agree("softmax(beta Q K'^T) V", output, weights @ p.projection, within)
    agree("state, which no step may overwrite", state, p.state, 0.0)
    agree("updates", steps, np.zeros(3), 0)
    # Without a projection the patterns as they were given are recalled, once.
    output, steps = run(subject, case, config, "output", "steps", values="untied")
    within = association_error(subject, moved, off, p.stored)[:, None]
    agree("softmax(beta Q K'^T) X", output, weights @ p.stored, within)
    agree("updates", steps, np.ones(3), 0)


@statement("J.distance")
@given(case=cases(projected=True), config=settings_of_diffusion)
def test_diffused_keys_are_compared_by_distance(
    subject: Subject, case: Case, config: DiffusionConfig
) -> None:
    case = case.on(subject)
    p, off = case.p, keys_error(subject, case, config)
    keys = case.operator(config) @ p.stored
    given = {field.name: getattr(p, field.name) for field in fields(p)}
    moved = Scored(**{**given, "stored": keys, "projection": None}, similarity="distance")
    reach = tolerance.norm(p.state) + np.max(tolerance.norm(keys))

    def within(values: Array) -> Array:
        # A key that is off changes a score by beta times its distance from the state.
        wrong = np.minimum(2.0 * len(keys) * np.asarray(p.beta) * reach * off, 2.0)
        longest = np.max(tolerance.norm(values))
        return (tolerance.association(subject, moved, values) + longest * wrong)[:, None]

    by_distance: Any = {"similarity": "distance", "values": "untied"}
    (output,) = run(subject, case, config, "output", projection=p.projection, **by_distance)
    wanted = moved.association(p.projection)
    agree("softmax(-beta/2 |xi - k|^2) V", output, wanted, within(p.projection))
    (once,) = run(subject, case, config, "output", **by_distance)
    agree("softmax(-beta/2 |xi - k|^2) X", once, moved.association(p.stored), within(p.stored))
    tied, energy = run(subject, case, config, "state", "energy", similarity="distance", max_steps=1)
    agree("softmax(-beta/2 |xi - k|^2) K", tied, moved.association(keys), within(keys) + off)
    after = moved.but(state=tied)
    allowed = tolerance.energy(subject, after) + 2.0 * reach * off
    agree("energy", energy, after.energy, allowed)


@statement("J.distance")
@pytest.mark.parametrize("similarity", ["dot", "distance"])
@given(case=cases(masked=False, projected=True), rng=generators(), numbers=st.booleans())
def test_biases_and_numbers_are_added_to_the_scores_of_diffused_keys(
    subject: Subject, similarity: Any, case: Case, rng: np.random.Generator, numbers: bool
) -> None:
    case, config = case.on(subject), DiffusionConfig(eta=0.3, steps=1)
    p, off = case.p, keys_error(subject, case, config)
    keys = case.operator(config) @ p.stored
    bias = subject.rounded(rng.normal(size=len(keys)))
    added = rng.normal(size=(len(p.state), len(keys)))
    # A pattern that no query may attend to would be isolated in a graph of the call's own.
    added[:, 0] = np.where(np.arange(len(p.state)) > 0, -np.inf, added[:, 0])
    added = subject.rounded(added)
    options: Any = {"similarity": similarity, "bias": bias} | ({"mask": added} if numbers else {})
    (output,) = run(
        subject, case, config, "output", values="untied", projection=p.projection, **options
    )
    (energy,) = run(subject, case, config, "energy", max_steps=0, **options)
    reach = tolerance.norm(p.state) + np.max(tolerance.norm(keys))
    wrong = np.minimum(2.0 * len(keys) * np.asarray(p.beta) * reach * off, 2.0)
    longest = np.max(tolerance.norm(p.projection))
    given = {field.name: getattr(p, field.name) for field in fields(p)}
    for i in range(len(p.state)):
        row = added[i] if numbers else np.zeros(len(keys))
        attends, total = row[None] > -np.inf, np.where(row > -np.inf, row, 0.0) + bias
        parts = {"stored": keys, "projection": None, "state": p.state[i : i + 1]}
        one = Scored(**{**given, **parts, "mask": attends}, similarity=similarity, bias=total)
        if np.ndim(one.beta):
            one = one.but(beta=np.asarray(p.beta)[i : i + 1])
        within = 4 * tolerance.association(subject, one, p.projection) + longest * np.max(wrong)
        wanted = one.association(p.projection)
        agree(f"query {i}", output[i : i + 1], wanted, within[..., None])
        allowed = 4 * tolerance.energy(subject, one)[0] + 2.0 * np.max(reach) * off
        agree(f"energy of query {i}", energy[i], one.energy[0], allowed)


@statement("J0")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_how_often_keys_are_diffused(subject: Subject, mode: Any, steps: int) -> None:
    # T explicit steps; once, whatever T is, by what has no steps.
    case = case_of(0).on(subject)
    config = DiffusionConfig(eta=0.3, steps=steps, diffusion_mode=mode)
    (keys,) = run(subject, case, config, "keys", values="untied")
    wanted = case.operator(config) @ case.p.stored
    agree("keys", keys, wanted, keys_error(subject, case, config))


@statement("J0")
@given(case=cases(masked=False, projected=True), mode=st.sampled_from(MODES))
def test_queries_are_diffused_over_their_own_graph(subject: Subject, case: Case, mode: Any) -> None:
    case = case.on(subject)
    p = case.p
    # Three queries, each with two neighbours: the choice is none.
    config = DiffusionConfig(
        eta=0.3, diffusion_mode=mode, diffuse_query=True, diffuse_key=False, k_neighbors=2
    )
    matrix = dense.laplacian(dense.similarity(p.state), normalized=True)
    queries = dense.operator(matrix, 0.3, mode, config.steps) @ p.state
    off = spread_error(subject, p.state, config, 2.0)
    given = {"values": "untied", "projection": p.projection}
    output, state = run(subject, case, config, "output", "state", **given)
    if clear_cosines(subject, p.state):
        agree("diffused queries", state, queries, off + 64 * subject.fine * np.max(np.abs(state)))
    after = p.but(state=state)
    wanted = dense.weights_of(state, p.stored, p.beta, None) @ p.projection
    within = association_error(subject, after, 0.0, p.projection)[:, None]
    agree("association of diffused queries", output, wanted, within)


def clear_cosines(subject: Subject, patterns: Array) -> bool:
    """Whether rounding cannot change an edge, and no positive degree is almost 0."""
    unit = patterns / np.maximum(np.linalg.norm(patterns, axis=-1, keepdims=True), 1e-300)
    cosine = (unit @ unit.T)[~np.eye(len(patterns), dtype=bool)]
    return bool(np.all((np.abs(cosine) > 0.05) | (cosine == 0.0)))


@statement("J1")
@given(case=cases(masked=False), mode=st.sampled_from(MODES), share=st.sampled_from((1.0, 0.3)))
def test_diffused_memory_has_more_energy(
    subject: Subject, case: Case, mode: Any, share: float
) -> None:
    case = case.on(subject)
    # The operator is doubly stochastic: at most 1/max(deg) for explicit steps, any eta otherwise.
    eta = share / case.most * (1.0 if mode in dense.EXPLICIT else 5.0)
    config = DiffusionConfig(eta=eta, diffusion_mode=mode, use_normalized_laplacian=False)
    (keys,) = run(subject, case, config, "keys", max_steps=0)
    after = case.p.but(stored=keys)
    before = free(subject, case.p)
    within = tolerance.energy(subject, case.p) + tolerance.energy(subject, after)
    within = within + tolerance.norm(case.p.state) * keys_error(subject, case, config)
    at_most("E_0(xi; X) above E_0(xi; D X)", before, free(subject, after), within)


def free(subject: Subject, p: Problem) -> Array:
    """``E_0`` of each query, from the subject's energy."""
    found = subject(hopcore.energy, *p.arrays)
    return found - np.log(len(p.stored)) / p.beta - p.radius**2 / 2.0


@statement("J2")
def test_diffusion_can_create_a_minimum(subject: Subject) -> None:
    subject = subject.precise
    stored = subject.rounded(
        np.asarray([(-3.202, -0.814), (-1.37, 0.552), (2.48, 2.676), (-2.433, 6.831)])
    )
    beta = 4.467
    # One explicit step; the heat kernel and the resolvent of the same eta leave two minima.
    config = DiffusionConfig(
        eta=0.4, diffusion_mode="simple", use_normalized_laplacian=False, k_neighbors=2
    )
    axes = np.meshgrid(np.linspace(-4.1, 4.0, 13), np.linspace(-2.1, 8.0, 13))
    starts = np.stack(axes, axis=-1).reshape(-1, 2)

    def both(state: Any, stored: Any) -> tuple[Any, ...]:
        options = {"max_steps": 200, "tol": 1e-6}
        before = hopcore.retrieve(state, stored, beta, **options)
        after = hopcore.diffused_retrieve(state, stored, beta, config=config, **options)
        return before.state, before.converged, after.state, after.converged, after.keys

    before, rest, after, also, keys = subject(both, starts, stored)
    assert np.all(rest)
    assert np.all(also)
    wanted = stored - 0.4 * dense.laplacian(dense.neighbours(stored, 2).weights, False) @ stored
    agree("diffused memory", keys, wanted, 64 * subject.eps * 8.0)
    assert len(minima(before, stored, beta)) == 2
    assert len(minima(after, keys, beta)) == 3


def minima(states: Array, stored: Array, beta: float) -> Array:
    """The minima of the energy among resting states, each of them once."""
    slopes = np.asarray([np.linalg.norm(plain.jacobian(x, stored, beta), ord=2) for x in states])
    stable = states[slopes < 1.0]
    return np.unique(np.round(stable, 2) + 0.0, axis=0)


@statement("J3")
def test_untied_retrieval_can_cycle(subject: Subject) -> None:
    stored = np.asarray(
        [[1.1, -2.6, -2.3], [-0.9, -1.6, -1.0], [-4.3, -5.7, 2.7], [-0.8, 0.6, 0.8]]
    )
    ends, edges = np.asarray([[0, 0, 2], [1, 2, 3]]), np.asarray([0.2, 0.8, 0.6])
    config = DiffusionConfig(eta=2.3, diffusion_mode="spectral", use_normalized_laplacian=False)

    def found(start: Any, stored: Any, edges: Any, **options: Any) -> Any:
        graph = graph_of(edges, ends, 4)
        got = hopcore.diffused_retrieve(
            start, stored, 17.0, config=config, graph=graph, tol=1e-3, **options
        )
        return got.state, got.converged, got.steps

    given = np.asarray([[0.5, -0.8, -0.8]]), stored, edges
    seen = [subject(found, *given, values="untied", max_steps=n) for n in (40, 41, 42)]
    for state, converged, steps in seen:
        assert not converged[0], f"came to rest at {state!r}"
        assert steps[0] >= 40
    (even, *_), (odd, *_), (again, *_) = seen
    agree("two updates later", again, even, 8 * subject.eps * 7.2)
    assert np.linalg.norm(even - odd) > 2.5
    _, converged, _ = subject(found, *given, values="tied", max_steps=100)
    assert converged[0], "a tied memory settles"


@statement("J4")
@given(case=cases(projected=True), config=settings_of_diffusion, updates=st.sampled_from((1, 3)))
def test_tied_is_retrieval_from_the_diffused_memory(
    subject: Subject, case: Case, config: DiffusionConfig, updates: int
) -> None:
    case = case.on(subject)
    p, off = case.p, keys_error(subject, case, config)
    spread = case.operator(config)
    names = ("state", "keys", "energy", "residual", "steps")
    state, keys, energy, residual, steps = run(
        subject, case, config, *names, max_steps=updates, tol=0.0
    )
    agree("keys", keys, spread @ p.stored, off)
    memory = p.but(stored=keys)
    alone = subject(hopcore.retrieve, *memory.arrays, **p.options, max_steps=updates, tol=0.0)
    within = iterated(subject, memory, 0.0, updates)
    agree("retrieval from D X", state, alone.state, 2 * within[:, None])
    at_most("updates", steps, updates)
    agree("residual", residual, alone.residual, 4 * within + 16 * subject.fine * p.radius)
    after = memory.but(state=state)
    small = tolerance.energy(subject, after)
    agree("energy in the memory D X", energy, plain.energy(*after.formula), small)
    # What holds of a memory: bounds in its hull, where an update leads, and descent.
    some = np.isfinite(energy)
    slack = small + 4 * memory.radius * np.max(within)
    at_most("-energy", -energy[some], 0.0, slack[some])
    at_most("energy", energy[some], 2 * memory.radius[some] ** 2, slack[some])
    start = plain.energy(*memory.formula)
    at_most("energy after", energy[some], start[some], slack[some])
    # With a projection, it is diffused like the keys, and recalled by the state at rest.
    output, state = run(
        subject,
        case,
        config,
        *("output", "state"),
        projection=p.projection,
        max_steps=updates,
        tol=0.0,
    )
    values = spread @ p.projection
    wanted = dense.weights_of(state, keys, p.beta, p.mask) @ values
    worse = spread_error(subject, p.projection, config, 2.0 * max(1.0, case.most))
    within = association_error(subject, after.but(state=state), 0.0, values, worse)
    agree("softmax(beta Q (D X)^T) D V", output, wanted, within[:, None])


@statement("J7")
@pytest.mark.parametrize("normalized", LAPLACIANS)
@pytest.mark.parametrize("mode", ["spectral", "chebyshev"])
def test_diffusion_is_heating(subject: Subject, mode: Any, normalized: bool) -> None:
    # Equal norms and equal cosines: the graph of all neighbours is complete, with equal weights.
    stored = subject.rounded(np.eye(NODES) + 0.5)
    rng = np.random.default_rng(3)
    offsets = subject.rounded(0.5 * rng.normal(size=(3, NODES)))
    weight = dense.similarity(stored)[0, 1]
    eigenvalue = NODES / (NODES - 1) if normalized else NODES * weight
    time, beta = 0.4 / eigenvalue, 6.0
    config = DiffusionConfig(
        eta=time,
        diffusion_mode=mode,
        use_normalized_laplacian=normalized,
        k_neighbors=NODES - 1,
    )
    # About the centroid, all lengths shrink by exp(-lambda t), so that products do twice.
    shrunk = np.exp(-0.4)
    centre = np.mean(stored, axis=0)
    p = Problem(subject.rounded(centre + shrunk * offsets), stored, beta)

    def found(state: Any, stored: Any) -> tuple[Any, Any]:
        got = hopcore.diffused_retrieve(state, stored, beta, config=config, max_steps=1)
        return got.state, got.keys

    state, keys = subject(found, p.state, p.stored)
    off = spread_error(subject, stored, config, 2.0 * NODES)
    agree("diffused patterns", keys, centre + shrunk * (stored - centre), off)
    hotter = dense.weights_of((p.state - centre) / shrunk + centre, stored, beta * shrunk**2, None)
    within = association_error(subject, p, off, None, off)[:, None]
    agree(
        "update at b exp(-2 lambda t)",
        (state - centre) / shrunk,
        hotter @ stored - centre,
        2 * within,
    )


@statement("J7")
@pytest.mark.parametrize("share", [0.9, 1.1])
def test_pattern_minima_vanish_when_heated(subject: Subject, share: float) -> None:
    # Six equidistant patterns of distance^2 2: b = beta; minima beside them exist from b_sn on.
    stored, nodes, cold = np.eye(NODES) + 0.5, NODES, 8.0
    u = root(lambda u: np.log(u) - (u - 1) * (u + nodes - 1) / (nodes * u), 1.5, 1e3)
    lowest = (u + nodes - 1) ** 2 / (nodes * u)
    eigenvalue = nodes / (nodes - 1)
    config = DiffusionConfig(
        eta=share * np.log(cold / lowest) / (2 * eigenvalue),
        diffusion_mode="spectral",
        k_neighbors=nodes - 1,
    )

    def found(stored: Any) -> tuple[Any, Any]:
        options = {"config": config, "max_steps": 300, "tol": 1e-6}
        got = hopcore.diffused_retrieve(stored, stored, cold, **options)
        return got.state, got.keys

    state, keys = subject(found, stored)
    centre = np.mean(stored, axis=0)
    relative = np.linalg.norm(state - centre, axis=-1) / np.linalg.norm(keys - centre, axis=-1)
    if share < 1.0:
        assert np.all(relative > 0.5), f"at {relative!r} of the way from centroid to pattern"
    else:
        assert np.all(relative < 0.1), f"at {relative!r} of the way from centroid to pattern"


@statement("J7")
@pytest.mark.parametrize("path", [False, True])
def test_one_temperature_on_complete_graphs_only(subject: Subject, path: bool) -> None:
    # Three equidistant patterns; on a path the eigenvalues are 1 and 3, on a triangle 3 and 3.
    ends = np.asarray([[0, 1], [1, 2]]) if path else np.asarray([[0, 0, 1], [1, 2, 2]])
    weights, time = np.ones(ends.shape[1]), 0.25
    config = DiffusionConfig(
        eta=time, diffusion_mode="spectral", use_normalized_laplacian=False, steps=1
    )
    state = subject.rounded(np.asarray([[1.0, 0.5, 0.25]]))

    def found(state: Any, stored: Any, weights: Any) -> Any:
        graph = graph_of(weights, ends, 3)
        options = {"config": config, "graph": graph, "values": "untied", "projection": stored}
        return hopcore.diffused_retrieve(state, stored, 1.0, **options).output

    # The patterns are unit vectors, so that the weights themselves are recalled.
    logs = np.log(subject(found, state, np.eye(3), weights))[0]
    ends_apart, middle = logs[0] - logs[2], logs[1] - 0.5 * (logs[0] + logs[2])
    got = np.asarray([ends_apart / 0.75, middle / -0.125])
    wanted = np.exp(-time * np.asarray([1.0 if path else 3.0, 3.0]))
    agree("shrunk differences of scores", got, wanted, 256.0 * subject.eps)


def root(function: Any, low: float, high: float) -> float:
    """The root of a function, by bisection."""
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return low
