"""Equal scores, and points without a derivative (docs/spec/ties.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore_conformance.cases.kinks import CODES, KINKS
from hopcore_conformance.checks.measure import agree
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray


def adjacency(stored: Any, *, k: int) -> Any:
    """The graph of nearest neighbours as an array, for a memory that may be in parts."""
    return hopcore.knn_graph(stored, k).to_dense()


def adjacency_of_whole(patterns: Any, *, k: int) -> Any:
    """The same graph for patterns that are never in parts."""
    return adjacency(patterns, k=k)


def first_neighbours(similar: Array, k: int) -> Array:
    """The adjacency if the first of equally similar patterns are chosen."""
    others = similar - 2.0 * np.eye(len(similar))
    chosen = np.argsort(-others, axis=-1, kind="stable")[:, :k]
    kept = np.zeros(similar.shape, dtype=bool)
    np.put_along_axis(kept, chosen, values=True, axis=-1)
    return np.where((kept | kept.T) & (others > 0.0), similar, 0.0)


# So few that all scores are compared; so many that the search looks at groups of them first.
@statement("B.ties", "G.knn")
@pytest.mark.parametrize(("size", "k"), [(12, 3), (150, 2)])
def test_the_first_of_equally_similar_patterns(subject: Subject, size: int, k: int) -> None:
    # Of norm 4, so that similarities are exact multiples of 1/8: many are equal.
    patterns = np.random.default_rng(size).choice([-1.0, 1.0], size=(size, 16))
    similar = patterns @ patterns.T / 16.0
    wanted = first_neighbours(similar, k)
    graph = adjacency if size < 100 else adjacency_of_whole
    agree("neighbours", subject(graph, patterns, k=k), wanted, 0.0)
    given = np.where(np.eye(size) > 0.0, 0.0, np.maximum(similar, 0.0))
    agree("of similarities", subject(hopcore.build_knn_graph, given, k=k), wanted, 0.0)


@statement("B.ties")
def test_the_first_of_equal_scores_is_the_anchor(subject: Subject) -> None:
    def near(state: Any, patterns: Any, similarity: Any) -> Any:
        graph = hopcore.build_knn_graph(similarity, 1, as_sparse=True)
        return hopcore.diffusion.anchored_association(state, patterns, beta=1.0, graph=graph)

    pairs = np.kron(np.eye(2), np.asarray([[0.0, 1.0], [1.0, 0.0]]))
    state = np.asarray([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]])
    found = subject(near, state, np.eye(4), pairs)
    agree("recalled", found, np.asarray([[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]), 0.0)


@statement("B.ties", "N4", "Q2")
def test_the_first_of_equal_weights_and_codes(subject: Subject) -> None:
    found = subject(hopcore.layers.straight_through, np.asarray([[0.25] * 4, [0.0, 0.5, 0.5, 0.0]]))
    agree("hard weights", found, np.asarray([[1.0, 0, 0, 0], [0, 1.0, 0, 0]]), 0.0)

    def quantized(features: Any, codebook: Any) -> Any:
        codes = {"codebook": codebook}
        found = hopcore.layers.quantize(CODES, codes, features, hard=True)
        return found.values, found.codes

    codebook = np.asarray([[[2.0], [-1.0], [1.0]]])
    values, codes = subject(quantized, np.asarray([[0.0], [1.5], [4.0]]), codebook)
    agree("codes", codes, np.asarray([[1], [0], [0]]), 0)
    agree("values", values, np.asarray([[-1.0], [2.0], [2.0]]), 0.0)


@statement("B.ties")
def test_a_query_rests_at_exactly_the_tolerance(subject: Subject) -> None:
    given = np.asarray([[0.0, 0.0], [2.0, 0.0]]), np.asarray([[2.0, 0.0]]), 1.0
    for tol, steps in ((1.0, [1, 1]), (0.5, [2, 1])):
        found = subject(hopcore.retrieve, *given, max_steps=5, tol=tol)
        agree(f"updates with tol={tol}", found.steps, np.asarray(steps), 0)
        assert np.all(found.converged), found


@statement("B.kinks", "B.gradient")
@pytest.mark.parametrize("name", list(KINKS))
def test_kinks(subject: Subject, name: str) -> None:
    kink = KINKS[name]
    got = subject(kink.function, *kink.arguments, **kink.options)
    agree("value", got, kink.value, rounding(subject, kink.value))
    if not subject.differentiates:
        return
    probe = None if kink.probe is None else np.asarray(kink.probe)
    places = range(len(kink.arguments))
    found = subject.gradient(kink.function, *kink.arguments, by=places, probe=probe, **kink.options)
    for place, got, wanted in zip(places, found, kink.slopes, strict=True):
        agree(f"derivative by argument {place}", got, wanted, rounding(subject, wanted))


def rounding(subject: Subject, wanted: Any) -> float:
    """A few rounding errors of the largest number; zeros are exact."""
    return 16.0 * subject.eps * float(np.max(np.abs(wanted)))
