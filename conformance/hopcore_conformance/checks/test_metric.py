"""A metric gives the results of a memory of mapped patterns (docs/spec/scores.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.cases.scores import Scored, scored
from hopcore_conformance.checks import tolerance
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import scores as oracle
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray


def called(name: str) -> Any:
    """A method of a metric as a function of a state, a memory, beta and the matrix."""

    def call(state: Any, stored: Any, beta: Any, weight: Any, **options: Any) -> Any:
        return getattr(hopcore.memory.Metric(weight), name)(state, stored, beta, **options)

    return call


@st.composite
def matrices(draw: st.DrawFn, width: int) -> Array:
    """Matrices (m, d) that map without rounding: each feature is one of the given, times 1/2 or 1.

    A feature may be compared twice, or not at all.
    """
    places = draw(st.lists(st.integers(0, width - 1), min_size=1, max_size=width + 1))
    weight = np.zeros((len(places), width))
    for row, place in enumerate(places):
        weight[row, place] = draw(st.sampled_from((1.0, 0.5, -0.5, -1.0)))
    return weight


@statement("K.metric")
@given(data=st.data(), p=scored())
def test_a_metric_is_a_mapped_memory(subject: Subject, data: st.DataObject, p: Scored) -> None:
    p = p.on(subject)
    weight = data.draw(matrices(p.state.shape[-1]))
    mapped = p.but(state=p.state @ weight.T, stored=p.stored @ weight.T, projection=p.stored)
    before = subject(called("energy"), *p.arrays, weight, **p.options)
    agree("energy", before, mapped.energy, tolerance.energy(subject, mapped))
    new = subject(called("update"), *p.arrays, weight, **p.options)
    within = tolerance.association(subject, mapped, p.stored)
    agree("update", new, mapped.association(p.stored), within[..., None])
    # It descends: the mapped update is off by no more than the update, in each of its features.
    step = np.linalg.norm((new - p.state) @ weight.T, axis=-1)
    after = subject(called("energy"), new, *p.arrays[1:], weight, **p.options)
    moved = mapped.but(state=new @ weight.T)
    far = 2 * (mapped.radius if p.similarity == "dot" else mapped.unit) + step
    off = tolerance.energy(subject, mapped) + tolerance.energy(subject, moved)
    off = off + far * within * np.sqrt(len(weight))
    some = np.isfinite(before)
    bound = before[some] - step[some] ** 2 / 2.0
    at_most("E(f(xi)) above E(xi) - |W (f(xi) - xi)|^2/2", after[some], bound, off[some])
    found = subject(called("retrieve"), *p.arrays, weight, max_steps=0, tol=0.0, **p.options)
    agree("retrieval without a step", found.state, mapped.association(p.stored), within[..., None])


@statement("K.metric")
@given(data=st.data(), p=scored(biases=("none",), separations=("softmax",)))
def test_the_separation_loss(subject: Subject, data: st.DataObject, p: Scored) -> None:
    p = p.on(subject)
    patterns = np.concatenate([p.stored, p.state])
    weight = data.draw(matrices(patterns.shape[-1]))
    scale = data.draw(st.sampled_from((0.1, 0.5, 2.0)))
    got = subject(lambda x, w: hopcore.memory.Metric(w).separation_loss(x, scale), patterns, weight)
    mapped = patterns @ weight.T
    i, j = np.triu_indices(len(patterns), 1)
    squares = oracle.square_distances(mapped, mapped)[i, j]
    exponents = -scale * squares
    most = np.max(exponents)
    wanted = most + np.log(np.mean(np.exp(exponents - most)))
    reach = np.max(np.linalg.norm(mapped - mapped.mean(axis=0), axis=-1))
    within = 32 * subject.fine * (1.0 + 4.0 * scale * reach**2 + len(weight) * abs(wanted))
    agree("separation loss", got, wanted, within)
