"""Diffusion operators: their formulas, derivatives, and strengths that are refused.

Every operator is checked under every normalisation, from a graph, a Laplacian and an array
(docs/spec/diffusion.md). :mod:`hopcore_conformance.cases.graph` derives the tolerances for
rounding.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.cases import graph as near
from hopcore_conformance.cases.graph import NODES, WIDTH, Field, graph_fields
from hopcore_conformance.cases.memory import generators
from hopcore_conformance.checks.graph_measure import (
    EXPLICIT,
    FORMS,
    HEAT,
    STABLE,
    TOL,
    check_formula,
    diffused,
    exists,
    slopes,
)
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import graph as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray

LAYOUTS = (((), (2,)), ((2,), ()), ((2,), (2,)))
"""Axes of the batch of graphs, and further leading axes of the features."""

layouts = pytest.mark.parametrize("layout", LAYOUTS, ids=str)


@statement("D.explicit")
@layouts
@given(data=st.data(), form=st.sampled_from(FORMS), share=st.sampled_from((0.05, 0.5, 0.999)))
def test_explicit_steps(
    subject: Subject, layout: Any, data: st.DataObject, form: str, share: float
) -> None:
    batch, lead = layout
    p = data.draw(graph_fields(batch=batch, lead=lead)).on(subject)
    for normalization in plain.NORMALIZATIONS:
        eta = share * 2.0 / p.largest(normalization)
        for mode in EXPLICIT:
            check_formula(subject, p, mode, normalization, form, eta)


@statement("D.heat")
@layouts
@given(data=st.data(), form=st.sampled_from(FORMS), eta=st.sampled_from((0.0, 0.01, 1.0, 30.0)))
def test_heat_kernels(
    subject: Subject, layout: Any, data: st.DataObject, form: str, eta: float
) -> None:
    batch, lead = layout
    p = data.draw(graph_fields(batch=batch, lead=lead)).on(subject)
    for normalization in plain.NORMALIZATIONS:
        for mode in HEAT:
            if exists(mode, normalization, form):
                check_formula(subject, p, mode, normalization, form, eta)


@statement("D.implicit")
@layouts
@given(data=st.data(), form=st.sampled_from(FORMS), eta=st.sampled_from((0.0, 0.01, 1.0, 30.0)))
def test_implicit_steps(
    subject: Subject, layout: Any, data: st.DataObject, form: str, eta: float
) -> None:
    batch, lead = layout
    p = data.draw(graph_fields(batch=batch, lead=lead)).on(subject)
    for normalization in plain.NORMALIZATIONS:
        if exists("implicit", normalization, form):
            check_formula(subject, p, "implicit", normalization, form, eta)


@statement("D.explicit", "D.heat")
@given(p=graph_fields(batch=(2,)), form=st.sampled_from(FORMS))
def test_a_strength_for_each_sample(subject: Subject, p: Field, form: str) -> None:
    p = p.on(subject)
    for normalization in plain.NORMALIZATIONS:
        most = 2.0 / p.largest(normalization)
        eta = subject.rounded(np.asarray([0.3, 0.9]) * most)
        for mode in (*EXPLICIT, "spectral"):
            if exists(mode, normalization, form):
                check_formula(subject, p, mode, normalization, form, eta)


@statement("D.heat", "D.implicit")
@pytest.mark.parametrize("mode", STABLE)
@given(p=graph_fields(kinds=("some edges", "star", "two parts")), eta=st.sampled_from((1e2, 1e4)))
def test_stable_for_every_eta(subject: Subject, mode: str, p: Field, eta: float) -> None:
    p = p.on(subject)
    got = check_formula(subject, p, mode, "none", "graph", eta)
    length = np.linalg.norm(p.features, axis=-2)
    at_most("length of the features", np.linalg.norm(got, axis=-2), length, 1e-2 * length)


@statement("D.linear")
@pytest.mark.parametrize("mode", plain.MODES)
@given(p=graph_fields(batch=(2,), kinds=("isolated", "some edges", "two parts")), rng=generators())
def test_linear_and_each_sample_alone(
    subject: Subject, mode: str, p: Field, rng: np.random.Generator
) -> None:
    p = p.on(subject)
    a, b = 2.0, -0.5
    other = subject.rounded(rng.normal(size=p.features.shape))
    mixed = subject.rounded(a * p.features + b * other)
    for normalization in plain.NORMALIZATIONS:
        eta = 0.9 / p.largest(normalization)
        how = {"eta": eta, "mode": mode, "normalization": normalization}
        first, second, both = (
            subject(diffused, x, p.weights, **how) for x in (p.features, other, mixed)
        )
        # Each of them has an error of its own, and the mixture was rounded before it was diffused.
        tol = TOL if mode == "chebyshev" else 0.0
        within = sum(
            size * near.error(subject, Field(p.weights, x), normalization, eta, steps=3, tol=tol)
            for size, x in ((a, p.features), (-b, other), (2.0, mixed))
        )
        agree(f"{mode}, {normalization}: mixture", both, a * first + b * second, within)
        isolated = np.sum(p.weights, axis=-1) == 0.0
        tight = np.broadcast_to(within, first.shape)[isolated]
        agree(f"{mode}: isolated", first[isolated], p.features[isolated], tight)
        # The second sample becomes another one, its graph too; a graph alone gives the same.
        mates = np.stack([p.weights[0], p.weights[0]])
        changed = np.stack([p.features[0], other[1]])
        got = subject(diffused, changed, mates, **how)[0]
        agree(f"{mode}: with another batch-mate", got, first[0], within[0])
        alone = subject(diffused, p.features[0], p.weights[0], **how)
        agree(f"{mode}: alone", alone, first[0], within[0])


@statement("D.linear", "B.extreme")
@pytest.mark.parametrize("mode", plain.MODES)
@pytest.mark.parametrize("size", [1e-20, 1e15])
@given(p=graph_fields(kinds=("some edges", "isolated")))
def test_features_of_every_length(subject: Subject, mode: str, size: float, p: Field) -> None:
    # float16 ends at 65504, and is as coarse as its numbers below 6e-5.
    size = {1e-20: 1e-1, 1e15: 1e3}[size] if subject.dtype == "float16" else size
    p = Field(p.weights, size * p.features).on(subject)
    for normalization in plain.NORMALIZATIONS:
        check_formula(subject, p, mode, normalization, "graph", 0.9 / p.largest(normalization))


@statement("D.linear")
@pytest.mark.parametrize("mode", plain.MODES)
def test_features_of_no_width_and_of_no_sample(subject: Subject, mode: str) -> None:
    path = np.zeros((NODES, NODES))
    path[range(NODES - 1), range(1, NODES)] = path[range(1, NODES), range(NODES - 1)] = 1.0
    for lead, width in (((), 0), ((2,), 0), ((0,), WIDTH)):
        got = subject(diffused, np.zeros((*lead, NODES, width)), path, eta=0.25, mode=mode)
        assert got.shape == (*lead, NODES, width)


@statement("D.linear")
@pytest.mark.parametrize("mode", plain.MODES)
def test_a_node_alone(subject: Subject, mode: str) -> None:
    features = subject.rounded(np.asarray([[0.3, -20.0, 0.0]]))
    for normalization in plain.NORMALIZATIONS:
        how = {"mode": mode, "normalization": normalization, "eta": 5.0}
        got = subject(diffused, features, np.zeros((1, 1)), **how)
        within = np.abs(features) * (subject.eps + 64 * subject.fine + TOL)
        agree(f"{mode}, {normalization}", got, features, within)


@statement("D.heat")
def test_a_series_without_an_end_is_refused(subject: Subject) -> None:
    pair = hopcore.Graph.from_dense(subject.put(np.asarray([[0.0, 1.0], [1.0, 0.0]])))
    with pytest.raises(ValueError, match=r"spectral.*implicit"):
        hopcore.ChebyshevDiffusion(pair, 1e30, largest=2.0)


@statement("D.gradient", "B.gradient")
@pytest.mark.parametrize("mode", plain.MODES)
@given(p=graph_fields(kinds=("some edges", "isolated", "all edges")), rng=generators())
def test_gradient_by_the_features(
    subject: Subject, mode: str, p: Field, rng: np.random.Generator
) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    p = p.on(subject)
    probe = subject.precise.rounded(rng.normal(size=p.features.shape))
    steps = 1 if mode == "simple" else 3
    for normalization in plain.NORMALIZATIONS:
        eta = 0.25 if normalization != "none" else 0.0625
        how = {"eta": eta, "mode": mode, "normalization": normalization, "largest": 2.0 * NODES}
        (got,) = subject.gradient(diffused, p.features, p.weights, by=[0], probe=probe, **how)
        matrix = plain.operator(mode, p.laplacian(normalization), eta, steps)
        # Of op it is the transpose, which for the random walk is another operator.
        tol = TOL if mode == "chebyshev" else 0.0
        back = Field(p.weights, probe)
        within = 2 * near.error(subject, back, normalization, eta * NODES, steps=steps, tol=tol)
        agree(f"{mode}, {normalization}: by the features", got, matrix.T @ probe, within)


def diffused_over_neighbours(
    patterns: Any, features: Any, *, k: int, eta: float, **how: Any
) -> Any:
    """Features diffused over the graph of the neighbours of other patterns."""
    graph = hopcore.knn_graph(patterns, k).using(how["normalization"])
    if how["mode"] == "chebyshev":
        heat = hopcore.ChebyshevDiffusion(graph, eta, tol=1e-12, largest=2.0 * NODES)
        return heat(features)
    return hopcore.diffusion_operator(graph, eta, how["mode"], 3)(features)


@statement("D.gradient", "G.gradient")
@pytest.mark.parametrize("mode", ["iterative", *STABLE])
@given(rng=generators())
def test_gradient_by_the_weights(subject: Subject, mode: str, rng: np.random.Generator) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    k, eta = 2, 0.125
    patterns, features = (subject.rounded(rng.normal(size=(NODES, WIDTH))) for _ in range(2))
    patterns = subject.rounded(patterns + 1.0)
    probe = subject.precise.rounded(rng.normal(size=features.shape))
    chosen = near.sure_neighbours(subject, patterns, k)
    assume(chosen is not None)
    for normalization in plain.NORMALIZATIONS:

        def value(x: Array, normalization: str = normalization) -> Array:
            lap = plain.laplacian(chosen * plain.similarity(x), normalization)
            return np.sum(probe * (plain.operator(mode, lap, eta) @ features), axis=(-2, -1))

        how = {"k": k, "eta": eta, "mode": mode, "normalization": normalization}
        given = (diffused_over_neighbours, patterns, features)
        (got,) = subject.gradient(*given, by=[0], probe=probe, **how)
        assert chosen is not None
        weights = chosen * plain.similarity(patterns)
        within = gradient_error(subject, patterns, features, probe, weights)
        agree(f"{mode}, {normalization}: by the patterns", got, slopes(value, patterns), within)


@statement("D.gradient")
@pytest.mark.parametrize("mode", STABLE)
def test_gradient_where_eigenvalues_coincide(subject: Subject, mode: str) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    # All are alike to all: every eigenvalue but 0 is the same, and eigenvectors have no derivative.
    patterns = 1.0 + np.eye(NODES)
    rng = np.random.default_rng(0)
    features, probe = (subject.rounded(rng.normal(size=(NODES, WIDTH))) for _ in range(2))
    weights = plain.similarity(patterns)

    def value(x: Array) -> Array:
        lap = plain.laplacian(plain.similarity(x), "none")
        return np.sum(probe * (plain.operator(mode, lap, 0.125) @ features), axis=(-2, -1))

    how = {"k": NODES, "eta": 0.125, "mode": mode, "normalization": "none"}
    given = (diffused_over_neighbours, patterns, features)
    (got,) = subject.gradient(*given, by=[0], probe=probe, **how)
    within = gradient_error(subject, patterns, features, probe, weights)
    agree(f"{mode}: by the patterns", got, slopes(value, patterns), within)


def gradient_error(
    subject: Subject, patterns: Array, features: Array, probe: Array, weights: Array
) -> Array:
    """Error of the gradient by patterns, (N, 1).

    By a weight it is at most ``3 eta |probe| |features|`` (three steps; less for the others) before
    normalisation, which divides by a degree and skews the random walk; by a pattern 2 N weights are
    moved by 1/|x| each. Each of its factors is off by as much as an operator is.
    """
    size = 2 * NODES * np.linalg.norm(probe) * np.linalg.norm(features)
    size = size * near.skew(weights) / min(1.0, float(np.min(np.sum(weights, axis=-1))))
    rounding = near.SLACK * (NODES + 6) * subject.fine + near.similarity_error(subject, WIDTH)
    lengths = np.linalg.norm(patterns, axis=-1, keepdims=True)
    # 1e-8: central differences, with a step of 1e-5 of the patterns.
    return size * (rounding + subject.eps + 1e-8) / lengths


def hub(subject: Subject) -> Array:
    """400 patterns that share a direction: the graph of 8 neighbours has nodes with hundreds."""
    rng = np.random.default_rng(0)
    return subject.rounded(rng.normal(size=(400, 16)) + 2.0 * rng.normal(size=16))


@statement("D.refused", "D1")
def test_hubs_are_refused_or_normalised(subject: Subject) -> None:
    patterns = hub(subject)
    graph = hopcore.knn_graph(subject.put(patterns), 8)
    largest = plain.largest(subject.get(graph.to_dense()), "none")
    eta = 0.1
    assert eta * largest > 2.0, "the example has no hub"
    if subject.backend.can_read_values(graph.weights):
        with pytest.raises(ValueError, match=r"2/lambda_max.*chebyshev.*implicit") as refused:
            hopcore.FactoredDiffusion(graph, graph.deg, eta, steps=10)
        agree("the bound named", np.asarray(bound_of(refused)), 2.0 / largest, 1e-4 / largest)
    features = subject.put(patterns)
    operators = {
        "symmetric": hopcore.FactoredDiffusion(graph, None, eta, normalization="symmetric"),
        "chebyshev": hopcore.ChebyshevDiffusion(graph, eta),
        "implicit": hopcore.ImplicitDiffusion(graph, eta),
    }
    for name, diffuse in operators.items():
        now, norms = features, [np.linalg.norm(patterns)]
        for _ in range(10):
            now = diffuse.step(now)
            norms.append(np.linalg.norm(subject.get(now)))
        rounding = norms[0] * (subject.eps + 100 * subject.fine + TOL)
        at_most(f"norm, {name}", np.asarray(norms[1:]), np.asarray(norms[:-1]), rounding)
        # Smoothed, not only kept: the differences between neighbours shrink.
        assert norms[-1] < 0.999 * norms[0]


def bound_of(refused: Any) -> float:
    """The bound in an error message."""
    found = re.search(r"2/lambda_max = ([0-9.e+-]+),", str(refused.value))
    assert found is not None, str(refused.value)
    return float(found.group(1))


@statement("D.refused", "D1")
@given(p=graph_fields(kinds=("some edges", "all edges", "star", "path", "scales")))
def test_refused_just_above_the_bound(subject: Subject, p: Field) -> None:
    p = p.on(subject)
    if not subject.backend.can_read_values(subject.put(p.weights)):
        pytest.skip("values are not visible here, and not checked")
    assume(np.any(p.weights > 0.0))
    for normalization in plain.NORMALIZATIONS:
        bound = 2.0 / plain.largest(p.weights, normalization)
        for mode in EXPLICIT:
            how = {"mode": mode, "normalization": normalization}
            subject(diffused, p.features, p.weights, eta=bound * 0.999, **how)
            with pytest.raises(ValueError, match="2/lambda_max") as refused:
                subject(diffused, p.features, p.weights, eta=bound * 1.001, **how)
            agree("the bound named", np.asarray(bound_of(refused)), bound, 1e-4 * bound)
