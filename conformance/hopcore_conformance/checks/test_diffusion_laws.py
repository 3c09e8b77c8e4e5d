"""What diffusion preserves, and when it is stable: statements D1 to D4 (docs/spec/diffusion.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.cases import graph as near
from hopcore_conformance.cases.graph import NODES, Field, graph_fields
from hopcore_conformance.checks.graph_measure import (
    COMPUTED,
    HEAT,
    STABLE,
    TOL,
    check_formula,
    diffused,
    matrix,
)
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import graph as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray

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
    """Fail if a matrix has negative entries, or rows or columns that do not sum to 1."""
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
