"""Derivatives through diffusion-augmented retrieval are those of its formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore import DiffusionConfig
from hopcore_conformance.cases.diffused import GATE, Case, case_of, gate, graph_of
from hopcore_conformance.checks.measure import agree
from hopcore_conformance.oracle import diffused as dense
from hopcore_conformance.oracle import memory as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray


def adapted_output(state: Any, stored: Any, beta: Any, *, edges: Any, adaptive: str) -> Any:
    """The output with an adaptive eta, for derivatives."""
    config = DiffusionConfig(eta=0.3, steps=2, adaptive_eta=adaptive, **GATE)
    options = {"config": config, "graph": graph_of(edges), "values": "untied", "max_steps": 1}
    return hopcore.diffused_retrieve(state, stored, beta, **options).output


@statement("J8", "B.gradient")
@pytest.mark.parametrize("adaptive", ["sample", "query"])
@pytest.mark.parametrize("seed", [0, 1])
def test_derivative_of_an_adapted_association(subject: Subject, seed: int, adaptive: Any) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    case = case_of(seed).on(subject)
    p, rng = case.p, np.random.default_rng(seed)
    probe = subject.precise.rounded(rng.normal(size=(3, 4)))
    found = subject.gradient(
        adapted_output, *p.arrays, by=[0, 1], probe=probe, edges=case.edges, adaptive=adaptive
    )
    config = DiffusionConfig(eta=0.3, steps=2, adaptive_eta=adaptive, **GATE)

    def exact(state: Array, stored: Array) -> float:
        heat = dense.entropy(dense.weights_of(state, stored, p.beta, None))
        heat = np.full(3, np.mean(heat)) if adaptive == "sample" else heat
        total = 0.0
        for i, eta in enumerate(dense.adapted(0.3, heat, **gate(config))):
            keys = case.operator(config, float(eta)) @ stored
            total += float(probe[i] @ (dense.weights_of(state, keys, p.beta, None)[i] @ stored))
        return total

    # A derivative may be off by the roundings that the value has, times what a score moves by.
    size = float(np.sum(np.abs(probe))) * (1.0 + p.beta * float(np.max(p.radius)) ** 2) ** 2
    for name, got, at in zip(("state", "stored"), found, (0, 1), strict=True):
        assert np.all(np.isfinite(got)), f"gradient by {name}: {got!r}"
        along = rng.normal(size=p.arrays[at].shape)

        def total(x: Array, at: int = at) -> float:
            return exact(x, p.stored) if at == 0 else exact(p.state, x)

        slope = plain.slope(total, p.arrays[at], along, 1e-5)
        within = (64 * subject.eps + 1e-8) * size * float(np.sum(np.abs(along)))
        agree(f"slope by {name}", np.sum(got * along), slope, within)


def recalled(state: Any, stored: Any, beta: Any, *, edges: Any, way: str, mode: str) -> Any:
    """The output of a form of retrieval, for derivatives."""
    config = DiffusionConfig(
        eta=0.2,
        steps=2,
        diffusion_mode=mode,
        use_logit_diffusion=way == "logit",
        attention_mode="graph" if way == "graph" else "dense",
    )
    values = way if way in ("tied", "evolving") else "untied"
    updates = {} if way == "evolving" else {"max_steps": 1}
    return hopcore.diffused_retrieve(
        state, stored, beta, config=config, values=values, graph=graph_of(edges), **updates
    ).output


def recalled_plainly(state: Array, case: Case, way: str, mode: str) -> Array:
    """The same by the formulas, for the stored patterns of a case."""
    stored, beta = case.p.stored, case.p.beta
    config = DiffusionConfig(eta=0.2, steps=2, diffusion_mode=mode)
    spread = case.operator(config)
    keys = spread @ stored
    if way == "evolving":
        step = dense.operator(dense.laplacian(case.weights, True), 0.2, mode, 1)
        for _ in range(2):
            stored = step @ stored
            state = dense.weights_of(state, stored, beta, None) @ stored
        return state
    near = None
    if way == "graph":
        near = dense.near(case.weights, np.argmax(plain.scores(state, keys, beta), axis=-1))
    weights = dense.weights_of(state, keys, beta, near)
    if way == "logit":
        weights = dense.diffused_weights(weights, spread, None)
    return weights @ (keys if way == "tied" else stored)


@statement("J0", "J4", "J5", "J9", "J10", "B.gradient")
@pytest.mark.parametrize(
    ("way", "mode"),
    [
        *((way, "factored") for way in ("untied", "tied", "evolving", "logit", "graph")),
        *(("tied", mode) for mode in ("spectral", "chebyshev", "implicit")),
    ],
)
def test_derivatives_of_what_is_recalled(subject: Subject, way: str, mode: str) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    case, rng = case_of(1).on(subject), np.random.default_rng(1)
    p = case.p
    probe = subject.precise.rounded(rng.normal(size=(3, 4)))
    found = subject.gradient(
        recalled, *p.arrays, by=[0, 1], probe=probe, edges=case.edges, way=way, mode=mode
    )
    size = float(np.sum(np.abs(probe))) * (1.0 + p.beta * float(np.max(p.radius)) ** 2) ** 2
    for at, (name, got) in enumerate(zip(("state", "stored"), found, strict=True)):
        along = rng.normal(size=p.arrays[at].shape)

        def total(x: Array, at: int = at) -> float:
            moved = case if at == 0 else case.but(stored=x)
            return float(
                np.sum(probe * recalled_plainly(x if at == 0 else p.state, moved, way, mode))
            )

        slope = plain.slope(total, p.arrays[at], along, 1e-5)
        cut = 1e-6 if mode == "chebyshev" else 1e-8
        within = (64 * subject.eps + cut) * size * float(np.sum(np.abs(along)))
        agree(f"slope by {name}", np.sum(got * along), slope, within)
