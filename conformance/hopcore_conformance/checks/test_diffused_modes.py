"""Adaptive strength, logit diffusion, association along a graph, and the limit of no diffusion.

Statements J8, J9, J10 and J.limit (docs/spec/diffused.md).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hopcore
from hopcore import DiffusionConfig
from hopcore_conformance.cases.diffused import (
    GATE,
    LAPLACIANS,
    MODES,
    NODES,
    Case,
    association_error,
    case_of,
    cases,
    gate,
    graph_of,
    iterated,
    keys_error,
    run,
)
from hopcore_conformance.cases.memory import Problem
from hopcore_conformance.checks import tolerance
from hopcore_conformance.checks.measure import agree
from hopcore_conformance.oracle import diffused as dense
from hopcore_conformance.oracle import memory as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray


def entropy_error(subject: Subject, p: Problem) -> Array:
    """The error (L,) of the entropy, a difference of two terms of the size of the scores."""
    size = 1.0 + np.asarray(p.beta) * tolerance.norm(p.state) * np.max(tolerance.norm(p.stored))
    return size * (2 * tolerance.scores(subject, p) + (16 + len(p.stored)) * subject.fine)


def adapted_error(subject: Subject, case: Case, config: DiffusionConfig) -> float:
    """The error of keys that are diffused by a series, with an error of eta."""
    p, largest = case.p, 2.0 if config.use_normalized_laplacian else 2.0 * case.most
    wrong = config.eta * config.adaptive_temperature * float(np.max(entropy_error(subject, p)))
    size = float(np.linalg.norm(p.stored))
    # A series of about ten terms, cut at 1e-6 where the operator is no polynomial.
    cut = 0.0 if config.diffusion_mode in dense.EXPLICIT else 1e-6
    series = cut + 10 * (subject.eps + (16 + NODES) * subject.fine)
    return keys_error(subject, case, config) + size * (config.steps * largest * wrong + series)


@statement("J8")
@given(
    case=cases(projected=True),
    mode=st.sampled_from(MODES),
    normalized=st.sampled_from(LAPLACIANS),
    adaptive=st.sampled_from(("sample", True)),
)
def test_eta_follows_the_entropy_of_the_sample(
    subject: Subject, case: Case, mode: Any, normalized: bool, adaptive: Any
) -> None:
    case = case.on(subject)
    p = case.p
    config = DiffusionConfig(
        eta=0.3,
        diffusion_mode=mode,
        use_normalized_laplacian=normalized,
        adaptive_eta=adaptive,
        **GATE,
    )
    heats = dense.entropy(dense.weights_of(p.state, p.stored, p.beta, p.mask))
    # A query that may attend to nothing has no say.
    attends = np.ones(len(heats), bool) if p.mask is None else np.any(p.mask, axis=-1)
    heat = np.mean(heats[attends]) if np.any(attends) else 0.0
    eta = dense.adapted(config.eta, heat, **gate(config))
    given = {"values": "untied", "projection": p.projection}
    output, keys = run(subject, case, config, "output", "keys", **given)
    off = adapted_error(subject, case, config)
    wanted = case.operator(config, float(eta)) @ p.stored
    agree("keys at the adapted eta", keys, wanted, off)
    moved = p.but(stored=wanted)
    weights = dense.weights_of(p.state, wanted, p.beta, p.mask)
    within = association_error(subject, moved, off, p.projection)[:, None]
    agree("association", output, weights @ p.projection, within)


@statement("J8")
@pytest.mark.parametrize("mode", ["spectral", "chebyshev", "implicit"])
@pytest.mark.parametrize("adaptive", ["sample", "query"])
def test_an_eta_that_takes_too_long_a_series(subject: Subject, mode: Any, adaptive: Any) -> None:
    case = case_of(0).on(subject)
    for eta in (1e9, 1e30):
        config = DiffusionConfig(eta=eta, diffusion_mode=mode, adaptive_eta=adaptive)
        with pytest.raises(ValueError, match="series"):
            run(subject, case, config, "output", values="untied")


@statement("J8", "J.alone")
@given(
    case=cases(projected=True),
    mode=st.sampled_from(MODES),
    normalized=st.sampled_from(LAPLACIANS),
    values=st.sampled_from(("untied", "tied")),
)
def test_eta_follows_the_entropy_of_each_query(
    subject: Subject, case: Case, mode: Any, normalized: bool, values: Any
) -> None:
    case = case.on(subject)
    p = case.p
    config = DiffusionConfig(
        eta=0.3,
        diffusion_mode=mode,
        use_normalized_laplacian=normalized,
        adaptive_eta="query",
        **GATE,
    )
    heat = dense.entropy(dense.weights_of(p.state, p.stored, p.beta, p.mask))
    etas = dense.adapted(config.eta, heat, **gate(config))
    (output,) = run(subject, case, config, "output", values=values, projection=p.projection)
    off = adapted_error(subject, case, config)
    worse = off * float(np.linalg.norm(p.projection) / max(np.linalg.norm(p.stored), 1e-300))
    for i, eta in enumerate(etas):
        spread = case.operator(config, float(eta))
        keys, recalled = spread @ p.stored, p.projection
        if values == "tied":
            recalled = spread @ recalled
        moved = p.but(stored=keys)
        weights = dense.weights_of(p.state, keys, p.beta, p.mask)[i]
        within = association_error(subject, moved, off, p.projection, worse)[i]
        agree(f"association of query {i}", output[i], weights @ recalled, within)


@statement("J9")
@given(
    case=cases(),
    mode=st.sampled_from(MODES),
    normalized=st.sampled_from(LAPLACIANS),
    logit_eta=st.sampled_from((None, 0.2)),
    diffuse_key=st.booleans(),
)
def test_weights_are_diffused(
    subject: Subject,
    case: Case,
    mode: Any,
    normalized: bool,
    logit_eta: float | None,
    diffuse_key: bool,
) -> None:
    case = case.on(subject)
    p = case.p
    config = DiffusionConfig(
        eta=0.3,
        diffusion_mode=mode,
        use_normalized_laplacian=normalized,
        use_logit_diffusion=True,
        logit_eta=logit_eta,
        diffuse_key=diffuse_key,
    )
    keys = case.operator(config) @ p.stored if diffuse_key else p.stored
    off = keys_error(subject, case, config) if diffuse_key else 0.0
    plainly = dense.weights_of(p.state, keys, p.beta, p.mask)
    spreading = case.operator(config, logit_eta)
    wanted = dense.diffused_weights(plainly, spreading, p.mask)
    # With the identity as projection, the weights themselves are recalled.
    given = {"values": "untied", "projection": np.eye(NODES)}
    (got,) = run(subject, case, config, "output", **given)
    error = association_error(subject, p.but(stored=keys), off, np.eye(NODES))
    kept = np.maximum(plainly @ spreading.T, 0.0)
    kept = np.sum(kept if p.mask is None else kept * p.mask, axis=-1)
    tail = 1e-6 if mode == "chebyshev" else 0.0
    roundings = config.steps * (32 + 4 * NODES) * (1.0 + 0.3 * 2 * case.most) * subject.fine
    # What is left after clipping and masking is made a distribution: so are its errors.
    within = 2 * (np.sqrt(NODES) * error + roundings + tail) / np.where(kept > 0, kept, 1.0)
    some = np.any(plain.attends(p.state, p.stored, p.mask), axis=-1)
    clear = ~some | (kept > within * kept)
    agree("weights", got[clear], wanted[clear], np.minimum(within, 2.0)[clear, None])
    assert np.all(got >= 0.0), f"negative weights: {got!r}"
    total = np.where(some & (kept > 0), 1.0, 0.0)
    agree("sum of weights", np.sum(got, axis=-1)[clear], total[clear], 4 * NODES * subject.eps)
    if p.mask is not None:
        agree("weights of what is masked", got[~p.mask], 0.0 * got[~p.mask], 0.0)


@statement("J9")
def test_weights_below_zero_are_clipped(subject: Subject) -> None:
    # One pattern has all the weight; with eta deg > 1 an explicit step takes more than it has.
    stored = np.asarray([[4.0, 0.0], [0.0, 4.0], [-4.0, 0.0]])
    ends, edges = np.asarray([[0, 0], [1, 2]]), np.ones(2)
    config = DiffusionConfig(
        eta=0.6,
        steps=1,
        use_normalized_laplacian=False,
        use_logit_diffusion=True,
        diffuse_key=False,
    )

    def found(state: Any, stored: Any, eye: Any, edges: Any) -> Any:
        options = {"config": config, "graph": graph_of(edges, ends, 3), "values": "untied"}
        return hopcore.diffused_retrieve(state, stored, 8.0, projection=eye, **options).output

    got = subject(found, stored[:1], stored, np.eye(3), edges)
    agree("1 - 2 eta < 0 is set to 0", got, np.asarray([[0.0, 0.5, 0.5]]), 8 * subject.eps)


@statement("J10")
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_only_an_anchor_and_its_neighbours(subject: Subject, seed: int, masked: bool) -> None:
    case = case_of(seed, masked=masked).on(subject)
    p = case.p
    given_anchors = np.asarray([4, 5, 0])
    scores = plain.scores(p.state, p.stored, p.beta, p.mask)
    ranked = np.sort(scores[np.any(np.isfinite(scores), axis=-1)], axis=-1)
    unclear = 4 * np.max(tolerance.scores(subject, p))
    assert np.min(ranked[:, -1] - ranked[:, -2]) > unclear, "an anchor is not clear"

    def found(*arrays: Any, edges: Any, chosen: bool, **options: Any) -> Any:
        state, stored, beta, projection = arrays
        index = subject.backend.asarray(given_anchors, dtype="int32", device=subject.device)
        anchors = {"anchors": index} if chosen else {}
        return hopcore.diffusion.anchored_association(
            state, stored, projection, beta=beta, graph=graph_of(edges), **anchors, **options
        )

    mask = {} if p.mask is None else {"mask": p.mask}
    for chosen, anchors in ((True, given_anchors), (False, np.argmax(scores, axis=-1))):
        near = dense.near(case.weights, anchors)
        near = near if p.mask is None else near & p.mask
        got = subject(found, *p.arrays, p.projection, edges=case.edges, chosen=chosen, **mask)
        wanted = dense.weights_of(p.state, p.stored, p.beta, near) @ p.projection
        within = tolerance.association(subject, p.but(mask=near), p.projection)[:, None]
        agree(f"over {np.sum(near, axis=-1)} patterns", got, wanted, within)


@statement("J10")
def test_in_self_association_each_pattern_is_its_own_anchor(subject: Subject) -> None:
    case = case_of(0, heat=0.5).on(subject)
    config = DiffusionConfig(eta=0.1, steps=2, attention_mode="graph", beta=case.p.beta)

    def found(stored: Any, projection: Any, edges: Any) -> Any:
        graph = graph_of(edges).using("symmetric")
        diffusion = hopcore.FactoredDiffusion(graph, graph.deg, config.eta)
        attention = hopcore.AttentionOperator(config.beta, config.attention_mode)
        return hopcore.DynamicsEngine(diffusion, attention, config).run(stored, stored, projection)

    output, keys = subject(found, case.p.stored, case.p.projection, case.edges)
    off = keys_error(subject, case, config)
    agree("keys", keys, case.operator(config) @ case.p.stored, off)
    own = dense.near(case.weights, np.arange(NODES))
    p = case.p.but(state=case.p.stored, stored=keys, mask=own)
    wanted = dense.weights_of(p.state, keys, p.beta, own) @ p.projection
    within = tolerance.association(subject, p, p.projection)[:, None]
    agree("each over itself and its neighbours", output, wanted, within)


@statement("J10", "A.value")
@pytest.mark.parametrize("anchor", [-1, NODES])
def test_an_anchor_is_a_node(subject: Subject, anchor: int) -> None:
    case = case_of(0).on(subject)
    if not subject.backend.can_read_values(subject.put(case.p.stored)):
        pytest.skip("values are not visible here, and not checked")

    def found(state: Any, stored: Any, edges: Any) -> Any:
        index = np.asarray([0, 1, anchor])
        anchors = subject.backend.asarray(index, dtype="int32", device=subject.device)
        options = {"beta": 1.0, "graph": graph_of(edges), "anchors": anchors}
        return hopcore.diffusion.anchored_association(state, stored, **options)

    with pytest.raises(ValueError, match=f"anchors must be from 0 to {NODES - 1}, got"):
        subject(found, case.p.state, case.p.stored, case.edges)


ONES: dict[str, dict[str, Any]] = {
    "dense": {},
    "logit": {"use_logit_diffusion": True, "logit_eta": 0.0},
    "sample": {"adaptive_eta": True},
    "query": {"adaptive_eta": "query"},
}
"""Forms of retrieval that make one association, or can make one."""


@statement("J.limit")
@given(
    case=cases(projected=True),
    mode=st.sampled_from(MODES),
    normalized=st.sampled_from(LAPLACIANS),
    values=st.sampled_from(("tied", "evolving", "untied")),
    eta=st.sampled_from((0.0, 1e-12)),
)
def test_no_diffusion_is_the_limit(
    subject: Subject, case: Case, mode: Any, normalized: bool, values: Any, eta: float
) -> None:
    case = case.on(subject)
    p = case.p
    config = DiffusionConfig(
        eta=eta, steps=2, diffusion_mode=mode, use_normalized_laplacian=normalized
    )
    # Diffusion of nothing rounds as any other does, and moves by at most eta times eigenvalues.
    off = keys_error(subject, case, rounding_only(config))
    off += 2 * eta * max(2.0, 2.0 * case.most) * float(np.linalg.norm(p.stored))
    updates = {} if values == "evolving" else {"max_steps": 2, "tol": 0.0}
    (state,) = run(subject, case, config, "state", values=values, **updates)
    alone = subject(hopcore.retrieve, *p.arrays, **p.options, max_steps=2, tol=0.0).state
    within = 2 * iterated(subject, p, off, 2)[:, None]
    agree("state after two updates", state, alone, within)


def rounding_only(config: DiffusionConfig) -> DiffusionConfig:
    """The configuration with a mode that has only rounding errors."""
    cut = config.diffusion_mode == "chebyshev"
    changes = {"eta": 0.0, "diffusion_mode": "spectral" if cut else config.diffusion_mode}
    return DiffusionConfig.from_dict({**config.to_dict(), **changes})


@statement("J.limit")
@given(
    case=cases(projected=True),
    way=st.sampled_from(tuple(ONES)),
    mode=st.sampled_from(MODES),
    values=st.sampled_from(("tied", "untied")),
    eta=st.sampled_from((0.0, 1e-12)),
)
def test_no_diffusion_is_the_limit_of_one_association(
    subject: Subject, case: Case, way: str, mode: Any, values: Any, eta: float
) -> None:
    case = case.on(subject)
    p = case.p
    config = DiffusionConfig(eta=eta, diffusion_mode=mode, **ONES[way])
    updates = {"max_steps": 0} if way in ("dense", "sample") else {}
    (output,) = run(
        subject, case, config, "output", values=values, projection=p.projection, **updates
    )
    given = (p.state, p.stored, p.projection)
    wanted = subject(hopcore.association, *given, beta=p.beta, **p.options)
    off = keys_error(subject, case, rounding_only(config))
    off += 10 * eta * float(np.linalg.norm(p.stored))
    worse = off * float(np.linalg.norm(p.projection) / max(np.linalg.norm(p.stored), 1e-300))
    within = 2 * association_error(subject, p, off, p.projection, worse)[:, None]
    agree(f"association of {values} values", output, wanted, within)
