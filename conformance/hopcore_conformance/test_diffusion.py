"""Diffusion operators: their formulas, what they keep, where they are stable (docs/spec/diffusion.md).

Every operator is checked under every normalisation, from a graph, a Laplacian and an array. How far
rounding may take a result is derived in :mod:`hopcore_conformance.graph_strategies`.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import hopcore
from hopcore.discovery import backend_of
from hopcore_conformance import graph_strategies as near
from hopcore_conformance import plain_graph as plain
from hopcore_conformance.graph_strategies import NODES, WIDTH, Field, graph_fields
from hopcore_conformance.measure import agree, at_most
from hopcore_conformance.statements import statement
from hopcore_conformance.strategies import generators
from hopcore_conformance.subject import Subject
from hopcore_conformance.test_graph import COMPUTED, slopes

Array = np.ndarray

EXPLICIT = ("simple", "iterative", "factored")
HEAT = ("spectral", "chebyshev")
STABLE = (*HEAT, "implicit")
FORMS = ("graph", "laplacian", "array")
TOL = 1e-6
"""Of a Chebyshev series, in exact arithmetic; the default."""

LAYOUTS = (((), (2,)), ((2,), ()), ((2,), (2,)))
"""Axes of the batch of graphs, and further leading axes of the features."""

layouts = pytest.mark.parametrize("layout", LAYOUTS, ids=str)


def operator(
    weights: Any,
    eta: Any,
    *,
    mode: str,
    normalization: Any = "none",
    form: str = "graph",
    steps: int = 3,
    largest: float | None = None,
) -> Any:
    """An operator from weights (..., N, N), by way of a graph, a Laplacian or an array."""
    found = backend_of(weights)
    weights = found.astype(weights, found.precise[weights.dtype])
    graph = hopcore.Graph.from_dense(weights).using(normalization)
    if mode == "factored":
        given = weights if form == "array" else graph
        degree = graph.deg if form == "graph" else None
        return hopcore.FactoredDiffusion(given, degree, eta, steps, normalization=normalization)
    source = weights if form == "array" else graph
    laplacian = graph if form == "graph" else COMPUTED[normalization](source)
    if mode == "chebyshev":
        return hopcore.ChebyshevDiffusion(laplacian, eta, largest=largest)
    return hopcore.diffusion_operator(laplacian, eta, mode, steps)  # pyright: ignore


def diffused(
    features: Any, weights: Any, strength: Any = None, *, eta: Any = None, **how: Any
) -> Any:
    """Features diffused; the strength a number, or an array that comes third."""
    return operator(weights, eta if strength is None else strength, **how)(features)


def exists(mode: str, normalization: str, form: str) -> bool:
    """Whether an operator takes what it is given: some need an array that is symmetric."""
    return not (
        form == "array" and normalization == "random_walk" and mode in ("spectral", "implicit")
    )


def check_formula(
    subject: Subject, p: Field, mode: str, normalization: str, form: str, eta: Any
) -> Array:
    """The diffused features, refused if they are not the formula's."""
    steps = 1 if mode == "simple" else 3
    strength = {"strength": eta} if isinstance(eta, np.ndarray) else {"eta": eta}
    how = {"mode": mode, "normalization": normalization, "form": form}
    got = subject(diffused, p.features, p.weights, **strength, **how)
    wanted = plain.operator(mode, p.laplacian(normalization), eta, steps) @ p.features
    tol = TOL if mode == "chebyshev" else 0.0
    within = near.error(
        subject, p, normalization, eta, steps=steps if mode in EXPLICIT else 1, tol=tol
    )
    if isinstance(eta, np.ndarray):
        # An array of strengths meets the features in their own dtype, in every step.
        within = within * (1.0 + 4.0 * steps * subject.eps / subject.fine)
    agree(f"{mode}, {normalization}, {form}, eta = {eta}", got, wanted, within)
    return got


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
@pytest.mark.parametrize("mode", plain.MODES)
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
    steps = 1 if mode == "simple" else 3
    for normalization in plain.NORMALIZATIONS:

        def value(x: Array, normalization: str = normalization) -> Array:
            lap = plain.laplacian(chosen * plain.similarity(x), normalization)
            return np.sum(probe * (plain.operator(mode, lap, eta, steps) @ features), axis=(-2, -1))

        how = {"k": k, "eta": eta, "mode": mode, "normalization": normalization}
        given = (diffused_over_neighbours, patterns, features)
        (got,) = subject.gradient(*given, by=[0], probe=probe, **how)
        assert chosen is not None
        weights = chosen * plain.similarity(patterns)
        within = gradient_error(subject, patterns, features, probe, weights)
        agree(f"{mode}, {normalization}: by the patterns", got, slopes(value, patterns), within)


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
    if subject.backend.visible(graph.weights):
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
    """The bound that an error names."""
    found = re.search(r"2/lambda_max = ([0-9.e+-]+),", str(refused.value))
    assert found is not None, str(refused.value)
    return float(found.group(1))


@statement("D.refused", "D1")
@given(p=graph_fields(kinds=("some edges", "all edges", "star", "path", "scales")))
def test_refused_just_above_the_bound(subject: Subject, p: Field) -> None:
    p = p.on(subject)
    if not subject.backend.visible(subject.put(p.weights)):
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


def matrix(subject: Subject, p: Field, **how: Any) -> tuple[Array, Array]:
    """The matrix of an operator, column by column, and its error."""
    ones = Field(p.weights, np.eye(NODES))
    tol = TOL if how["mode"] == "chebyshev" else 0.0
    within = near.error(subject, ones, how.get("normalization", "none"), how["eta"], tol=tol)
    return subject(diffused, ones.features, p.weights, **how), within


SOME = ("some edges", "all edges", "star", "path", "two parts", "isolated")


@statement("D1")
@given(p=graph_fields(kinds=SOME), share=st.sampled_from((0.1, 0.5, 0.9, 0.999)))
def test_explicit_steps_shrink_up_to_the_bound(subject: Subject, p: Field, share: float) -> None:
    p = p.on(subject)
    for normalization in ("none", "symmetric"):
        largest = plain.largest(p.weights, normalization)
        eta = share * 2.0 / largest
        how = {"mode": "simple", "normalization": normalization, "eta": eta}
        got, within = matrix(subject, p, **how)
        at_most("norm of the step", np.linalg.norm(got, 2), 1.0, NODES * np.max(within))
        # Dirichlet energies fall: by the formula in every step, unless there is nothing to smooth.
        lap = p.laplacian(normalization)
        now = subject(diffused, p.features, p.weights, **how)
        before, after = (plain.dirichlet_of(lap, x) for x in (p.features, now))
        wanted = plain.dirichlet_of(lap, plain.operator("simple", lap, eta) @ p.features)
        assert wanted < before
        error = near.error(subject, p, normalization, eta)
        within = 2 * largest * np.sum(error * NODES * np.linalg.norm(p.features, axis=-2))
        agree("Dirichlet energy after a step", after, wanted, within)
        at_most("Dirichlet energy after a step", after, before, within)


@statement("D1")
@given(p=graph_fields(kinds=SOME))
def test_explicit_steps_grow_beyond_the_bound(subject: Subject, p: Field) -> None:
    p = p.on(subject)
    for normalization in ("none", "symmetric"):
        lap = p.laplacian(normalization)
        values, vectors = np.linalg.eigh(lap)
        eta = 2.5 / values[-1]
        # The eigenvector of the largest eigenvalue, by hopcore's own product with the Laplacian.
        field = Field(p.weights, subject.rounded(vectors[:, -1:]))
        product = subject(
            lambda x, w, kind=normalization: COMPUTED[kind](hopcore.Graph.from_dense(w)) @ x,
            field.features,
            p.weights,
        )
        grown = np.linalg.norm(field.features - eta * product)
        within = 4 * NODES * np.max(near.error(subject, field, normalization, eta))
        agree("growth in a step", np.asarray(grown), 1.5, within)


@statement("D1")
@given(p=graph_fields(kinds=SOME), share=st.sampled_from((0.1, 0.5, 1.0)))
def test_maximum_principle_up_to_one_over_the_degree(
    subject: Subject, p: Field, share: float
) -> None:
    p = p.on(subject)
    degree = np.sum(p.weights, axis=-1)
    most = np.max(degree)
    eta = share / most
    got, within = matrix(subject, p, mode="simple", eta=eta)
    check_doubly_stochastic("a step", got, np.max(within))
    # Beyond it a node of that degree leaves the range of its neighbourhood.
    beyond = 0.5 * (1.0 / most + 2.0 / plain.largest(p.weights, "none"))
    assume(beyond > 1.05 / most)
    got, within = matrix(subject, p, mode="simple", eta=beyond)
    least = 1.0 - beyond * most
    agree("the least entry beyond it", np.min(got), least, np.max(within))
    assert np.min(got) < 0.0
    # The random walk's degrees are 1.
    got, within = matrix(subject, p, mode="simple", eta=share, normalization="random_walk")
    at_most("-entries of the random walk's step", -got, 0.0, within)
    agree("row sums", np.sum(got, axis=-1), np.ones(NODES), NODES * np.max(within))


def check_doubly_stochastic(what: str, got: Array, within: Any) -> None:
    """Refuse a matrix with negative entries, or whose rows or columns do not sum to 1."""
    at_most(f"-entries of {what}", -got, 0.0, within)
    for axis in (0, 1):
        agree(f"sums of {what}", np.sum(got, axis=axis), np.ones(NODES), NODES * within)


@statement("D2")
@pytest.mark.parametrize("mode", plain.MODES)
@given(p=graph_fields(), share=st.sampled_from((0.1, 0.9)))
def test_what_diffusion_keeps(subject: Subject, mode: str, p: Field, share: float) -> None:
    p = p.on(subject)
    for normalization in plain.NORMALIZATIONS:
        eta = share * 2.0 / p.largest(normalization)
        got = check_formula(subject, p, mode, normalization, "graph", eta)
        kept = plain.conserved(p.weights, normalization)
        tol = TOL if mode == "chebyshev" else 0.0
        within = np.sum(kept) * near.error(subject, p, normalization, eta, steps=3, tol=tol)[0]
        agree(f"{mode}, {normalization}: kept", kept @ got, kept @ p.features, within)
        if normalization != "symmetric":
            ones = np.ones((NODES, 1))
            got = subject(
                diffused, ones, p.weights, eta=eta, mode=mode, normalization=normalization
            )
            error = near.error(
                subject, Field(p.weights, ones), normalization, eta, steps=3, tol=tol
            )
            agree(f"{mode}, {normalization}: constants", got, ones, error)


@statement("D2")
@pytest.mark.parametrize("mode", plain.MODES)
def test_the_symmetric_laplacian_does_not_keep_the_mean(subject: Subject, mode: str) -> None:
    star = np.zeros((NODES, NODES))
    star[0, 1:] = star[1:, 0] = 1.0
    p = Field(star, np.ones((NODES, 1)))
    got = check_formula(subject, p, mode, "symmetric", "graph", 0.75)
    assert np.abs(np.mean(got) - 1.0) > 0.05


@statement("D3")
@pytest.mark.parametrize("mode", HEAT)
@given(p=graph_fields(), times=st.sampled_from(((0.5, 1.5), (0.01, 4.0))))
def test_heat_kernels_compose(
    subject: Subject, mode: str, p: Field, times: tuple[float, float]
) -> None:
    p = p.on(subject)
    for normalization in plain.NORMALIZATIONS:
        how = {"mode": mode, "normalization": normalization}
        first = subject(diffused, p.features, p.weights, eta=times[0], **how)
        both = subject(diffused, first, p.weights, eta=times[1], **how)
        once = subject(diffused, p.features, p.weights, eta=sum(times), **how)
        tol = TOL if mode == "chebyshev" else 0.0
        within = 3 * near.error(subject, p, normalization, sum(times), tol=tol)
        # An error of the first is skewed once more on its way.
        skew = near.skew(p.weights) if normalization == "random_walk" else 1.0
        agree(f"exp(-t L) exp(-s L), {normalization}", both, once, skew * within)


@statement("D3")
@pytest.mark.parametrize("mode", STABLE)
@given(p=graph_fields(), eta=st.sampled_from((0.1, 1.0, 10.0)))
def test_heat_kernel_and_resolvent_are_doubly_stochastic(
    subject: Subject, mode: str, p: Field, eta: float
) -> None:
    p = p.on(subject)
    got, within = matrix(subject, p, mode=mode, eta=eta)
    check_doubly_stochastic(mode, got, np.max(within))


REACHES = (0.01, 0.5, 2.0, 30.0, 1000.0)


@statement("D4")
@pytest.mark.parametrize("reach", REACHES)
@pytest.mark.parametrize("tol", [1e-1, 1e-3, 1e-6, 1e-10])
def test_error_of_the_chebyshev_series(subject: Subject, reach: float, tol: float) -> None:
    subject = subject.precise
    # A diagonal Laplacian has the eigenvalues that it is given: the whole interval, with 0.
    count, largest = 41, 2.0
    values = 0.5 * largest * (1.0 - np.cos(np.pi * np.arange(count) / (count - 1)))
    laplacian = subject.put(np.diag(values))
    eta = reach / largest
    heat = hopcore.ChebyshevDiffusion(laplacian, eta, tol=tol, largest=largest)
    exact = plain.heat_error(heat.degree, reach)
    assert exact <= tol
    assert heat.degree == 0 or plain.heat_error(heat.degree - 1, reach) > tol, "not the smallest"
    given = subject.rounded(values)
    got = np.diagonal(subject.get(heat(subject.put(np.eye(count)))))
    error = np.abs(got - np.exp(-eta * given))
    # The recurrence of T_k is off by k^2 roundings, and sum_k |c_k| k^2 = reach / 2.
    rounding = 8 * subject.fine * (1.0 + reach)
    at_most("error of the series", error, exact, rounding)
    agree("error at 0, where it is largest", error[0], np.asarray(exact), rounding)


@statement("D4")
@given(reach=st.floats(1e-3, 1e4), tol=st.floats(1e-12, 0.5))
def test_degree_of_the_chebyshev_series_is_the_smallest(
    subject: Subject, reach: float, tol: float
) -> None:
    pair = hopcore.Graph.from_dense(subject.put(np.asarray([[0.0, 1.0], [1.0, 0.0]])))
    heat = hopcore.ChebyshevDiffusion(pair, reach / 2.0, tol=tol, largest=2.0)
    exact = [plain.heat_error(k, reach) for k in range(max(heat.degree - 1, 0), heat.degree + 1)]
    # Two sums of the same terms, in another order.
    assert exact[-1] <= tol * (1.0 + 1e-12)
    assert heat.degree == 0 or exact[0] > tol * (1.0 - 1e-12)
