"""Graphs over patterns: similarity, neighbours, Laplacians, conversions (docs/spec/graphs.md).

Rounding decides which of several nearly equally similar patterns are neighbours, so the checks
compare similarities and never indices. Exact ties are the subject of ``test_ties.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import assume, given
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.cases import graph as near
from hopcore_conformance.cases.graph import (
    NODES,
    Field,
    Memory,
    Networkx,
    Pyg,
    graph_fields,
    memories,
)
from hopcore_conformance.cases.memory import generators
from hopcore_conformance.checks.graph_measure import COMPUTED, slopes
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import graph as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray
Graph = hopcore.Graph


@statement("G.similarity", "G.batch")
@given(p=memories(masked=None))
def test_similarity_is_the_cosine(subject: Subject, p: Memory) -> None:
    p = p.on(subject)
    masked = {} if p.mask is None else {"mask": p.mask}
    got = subject(hopcore.build_similarity_matrix, p.patterns, **masked)
    within = near.similarity_error(subject, p.patterns.shape[-1]) + subject.eps
    agree("similarity", got, plain.similarity(p.patterns, p.mask), within)
    agree("the other side", got, plain.transpose(got), 0.0)
    agree("similarity of a pattern with itself", np.diagonal(got), np.zeros(NODES), 0.0)
    at_most("-similarity", -got, 0.0)


@statement("G.similarity", "G.knn")
@given(p=memories(), high=st.booleans())
def test_lengths_do_not_matter(subject: Subject, p: Memory, high: bool) -> None:
    # Squares of these are no numbers; but of float16, which is compared in float32.
    half = subject.dtype == "float16"
    scale = (2.0**8 if half else 2.0**100) if high else (2.0**-6 if half else 2.0**-90)
    patterns = subject.rounded(p.patterns / np.max(np.abs(p.patterns), initial=1e-3))
    scaled = subject.rounded(scale * patterns)
    within = 2 * near.similarity_error(subject, patterns.shape[-1]) + subject.eps
    wanted = plain.similarity(scaled / scale)
    agree("similarity", subject(hopcore.build_similarity_matrix, scaled), wanted, within)
    got, _ = subject(knn, scaled, k=p.k)
    check_neighbours(subject, "neighbours", got, Memory(scaled / scale, p.k))


def knn(patterns: Any, mask: Any = None, *, k: int) -> tuple[Any, Any]:
    """The adjacency of the graph of neighbours, and its degrees."""
    graph = hopcore.knn_graph(patterns, k, mask=mask)
    return graph.to_dense(), graph.deg


def check_neighbours(subject: Subject, what: str, got: Array, p: Memory) -> None:
    """Refuse weights (N, N) that are not those of the k nearest, symmetrised once.

    A pattern whose similarity is above the k-th largest by more than rounding must be chosen, and
    one whose similarity is below must not. Among near ties any choice is correct, but each node
    chooses at most k.
    """
    wanted = plain.similarity(p.patterns, p.mask)
    within = near.similarity_error(subject, p.patterns.shape[-1])
    agree(f"{what}: the other side", got, plain.transpose(got), 0.0)
    at_most(f"-{what}", -got, 0.0)
    edge = got > 0.0
    agree(f"{what}: weights", np.where(edge, got, 0.0), np.where(edge, wanted, 0.0), within)
    level = plain.kth_largest(wanted, p.k)[:, None]
    sure = (wanted > level + 2 * within) & (wanted > within)
    sure = sure | sure.T
    barred = (wanted < level - 2 * within) & (wanted < level.T - 2 * within)
    assert not np.any(sure & ~edge), f"{what}: lacks edges\n{got!r}\nof similarities\n{wanted!r}"
    assert not np.any(barred & edge), f"{what}: has no such edges\n{got!r}\nof\n{wanted!r}"
    fewest = np.minimum(p.k, np.sum(wanted > within, axis=-1))
    at_most(f"{what}: k less the neighbours", fewest - np.sum(edge, axis=-1), 0)
    at_most(f"{what}: edges", np.sum(edge) / 2, p.k * wanted.shape[-1])


@statement("G.knn", "G.batch")
@given(p=memories(masked=None))
def test_edges_join_nearest_neighbours(subject: Subject, p: Memory) -> None:
    p = p.on(subject)
    masked = {} if p.mask is None else {"mask": p.mask}
    got, degree = subject(knn, p.patterns, **masked, k=p.k)
    check_neighbours(subject, "neighbours", got, p)
    # A graph is in at least float32, whatever its patterns are.
    rounding = 2 * NODES * subject.fine * NODES
    agree("degrees", degree, np.sum(got, axis=-1), rounding)


@statement("G.knn", "G.convert")
@given(p=memories(masked=None))
def test_sparse_and_dense_neighbours_agree(subject: Subject, p: Memory) -> None:
    p = p.on(subject)
    similar = subject.rounded(plain.similarity(p.patterns, p.mask))
    dense = subject(lambda s: hopcore.build_knn_graph(s, p.k), similar)
    sparse = subject(lambda s: hopcore.build_knn_graph(s, p.k, as_sparse=True).to_dense(), similar)
    agree("sparse and dense", sparse, dense, 0.0)
    level = plain.kth_largest(similar, p.k)[:, None]
    # The similarities are exact here, so that edges are wrong only in exact ties.
    above = similar > np.minimum(level, level.T)
    agree("edges above the k-th", np.where(above, dense, 0.0), np.where(above, similar, 0.0), 0.0)
    below = similar < np.minimum(level, level.T)
    agree("edges below the k-th", dense[below], np.zeros(np.sum(below)), 0.0)


@statement("G.knn")
def test_ties_are_broken_and_mutual_edges_counted_once(subject: Subject) -> None:
    # Two pairs at right angles: each pattern's nearest is its twin, chosen from both ends.
    patterns = np.asarray([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    got, degree = subject(knn, patterns, k=1)
    wanted = np.kron(np.eye(2), np.asarray([[0.0, 1.0], [1.0, 0.0]]))
    agree("mutual edges", got, wanted, 4 * subject.fine)
    agree("degrees", degree, np.ones(4), 4 * subject.fine)
    # All alike: whoever is chosen, everyone chooses two, and no node is its own neighbour.
    got, degree = subject(knn, np.ones((NODES, 2)), k=2)
    assert np.all(np.sum(got > 0.0, axis=-1) >= 2)
    assert np.sum(got > 0.0) <= 4 * NODES
    agree("itself", np.diagonal(got), np.zeros(NODES), 0.0)


@statement("G.batch", "G.knn")
@given(p=memories(batch=(2,), masked=True), rng=generators())
def test_each_sample_has_its_own_graph(
    subject: Subject, p: Memory, rng: np.random.Generator
) -> None:
    p = p.on(subject)
    assert p.mask is not None
    got, _ = subject(knn, p.patterns, mask=p.mask, k=p.k)
    for i in range(2):
        alone = Memory(p.patterns[i], p.k, p.mask[i])
        check_neighbours(subject, f"sample {i} of a batch", got[i], alone)
    isolated = ~p.mask[:, :, None] | ~p.mask[:, None, :]
    agree("edges of masked patterns", got[isolated], np.zeros(np.sum(isolated)), 0.0)
    # The batch-mate, and what is masked, become something else.
    noise = subject.rounded(rng.normal(size=p.patterns.shape))
    other = np.where(p.mask[..., None], p.patterns, noise)
    other[1] = noise[1]
    again, _ = subject(knn, other, mask=p.mask, k=p.k)
    first = Memory(p.patterns[0], p.k, p.mask[0])
    check_neighbours(subject, "with other batch-mates and masked patterns", again[0], first)


def laplacians(subject: Subject, weights: Array, normalization: str) -> Iterator[tuple[str, Array]]:
    """The Laplacian by every road: of a graph, of an array, as SciPy's matrix."""
    compute = COMPUTED[normalization]
    yield "sparse", subject(lambda w: compute(Graph.from_dense(w)).to_dense(), weights)
    yield "dense", subject(compute, weights)
    if weights.ndim == 2:
        found: Any = compute(Graph.from_dense(subject.put(weights))).to_scipy()
        yield "scipy", np.asarray(found.toarray(), np.float64)


@statement("G.laplacian")
@pytest.mark.parametrize("batch", [(), (2,)], ids=str)
@given(data=st.data())
def test_laplacians_are_their_formulas(
    subject: Subject, batch: tuple[int, ...], data: st.DataObject
) -> None:
    weights = data.draw(graph_fields(batch=batch)).on(subject).weights
    isolated = np.sum(weights, axis=-1) == 0.0
    for normalization in plain.NORMALIZATIONS:
        wanted = plain.laplacian(weights, normalization)
        size = np.max(np.abs(wanted), axis=(-2, -1), keepdims=True)
        for road, got in laplacians(subject, weights, normalization):
            what = f"{normalization} Laplacian, {road}"
            # Of an array, it is computed in the dtype of the array.
            rounding = subject.eps if road == "dense" else subject.fine
            agree(what, got, wanted, 2 * (NODES + 6) * rounding * size)
            agree(f"{what}: isolated", got[isolated], np.zeros_like(got[isolated]), 0.0)


@statement("G1", "G2")
@given(p=graph_fields())
def test_spectrum(subject: Subject, p: Field) -> None:
    p = p.on(subject)
    most = 2.0 * np.max(np.sum(p.weights, axis=-1))
    for normalization in plain.NORMALIZATIONS:
        found = COMPUTED[normalization](Graph.from_dense(subject.put(p.weights)))
        matrix = subject.get(found.to_dense())
        size = most if normalization == "none" else 2.0
        within = 2 * (NODES + 6) * subject.fine * size
        if normalization == "random_walk":
            agree("random walk: row sums", np.sum(matrix, axis=-1), np.zeros(NODES), within)
            # It is similar to a symmetric matrix, by the roots of the degrees.
            values = np.sort(np.real(np.linalg.eigvals(matrix)))
            within *= near.skew(p.weights)
        else:
            agree("the other side", matrix, matrix.T, within if normalization != "none" else 0.0)
            values = np.linalg.eigvalsh((matrix + matrix.T) / 2.0)
        if normalization == "none":
            agree("row sums", np.sum(matrix, axis=-1), np.zeros(NODES), within)
            ones = subject.put(np.ones((NODES, 1)))
            agree("L 1", subject.get(found @ ones), np.zeros((NODES, 1)), within)
        at_most(f"-eigenvalues, {normalization}", -values, 0.0, within)
        at_most(f"eigenvalues, {normalization}", values, size, within)
        # What the operators take for the bound, and for the largest, is one.
        at_most("largest above the bound", found.largest(), found.bound, within)
        agree("largest", np.asarray(found.largest()), values[-1], within)


@statement("G2")
def test_the_largest_eigenvalue_may_be_twice_the_degree(subject: Subject) -> None:
    pair = Graph.from_dense(subject.put(np.asarray([[0.0, 1.0], [1.0, 0.0]])))
    for compute in COMPUTED.values():
        agree("largest of a pair", np.asarray(compute(pair).largest()), 2.0, 8 * subject.fine)


@statement("G3")
@given(p=graph_fields(lead=(2,)))
def test_dirichlet_energy_is_the_sum_over_pairs(subject: Subject, p: Field) -> None:
    p = p.on(subject)
    degree = np.max(np.sum(p.weights, axis=-1))
    size = np.sum(p.features**2, axis=(-2, -1))
    count = NODES * p.features.shape[-1] + 2 * NODES + 10
    wanted = plain.dirichlet(p.weights, p.features)
    within = count * subject.fine * (2.0 * degree * size + subject.tiny)
    forms = {"sparse": Graph.from_dense, "dense": hopcore.compute_laplacian}
    for road, form in forms.items():
        got = subject(lambda x, w, form=form: hopcore.dirichlet_energy(x, form(w)), *given_of(p))
        # The Laplacian of an array is in its dtype: half of them round to that.
        extra = (NODES + 2) * subject.eps * 2.0 * degree * size if road == "dense" else 0.0
        agree(f"Dirichlet energy, {road}", got, wanted, within + extra)
    normalized = plain.dirichlet_of(p.laplacian("symmetric"), p.features)
    got = subject(
        lambda x, w: hopcore.dirichlet_energy(x, Graph.from_dense(w).using("symmetric")),
        *given_of(p),
    )
    agree("normalised", got, normalized, count * subject.fine * (4.0 * size + subject.tiny))
    graph = Graph.from_dense(subject.put(p.weights)).using("random_walk")
    with pytest.raises(ValueError, match="symmetric"):
        hopcore.dirichlet_energy(subject.put(p.features), graph)


def given_of(p: Field) -> tuple[Array, Array]:
    """Features and weights."""
    return p.features, p.weights


@statement("G.convert")
@given(
    p=graph_fields(kinds=("some edges", "isolated", "no edges")),
    rng=generators(),
    ways=st.sampled_from(("once", "twice", "turned")),
)
def test_conversions_keep_the_graph(
    subject: Subject, p: Field, rng: np.random.Generator, ways: str
) -> None:
    p, backend = p.on(subject), subject.backend
    ends = np.stack(np.nonzero(np.triu(p.weights) if ways != "twice" else p.weights))
    ends = ends[:, rng.permutation(ends.shape[1])]
    ends = ends[::-1] if ways == "turned" else ends
    index = backend.asarray(np.array(ends), dtype="int32", device=subject.device)
    weights = subject.put(p.weights[ends[0], ends[1]])
    kind = subject.precise.dtype
    csr: Any = scipy.sparse.csr_array(p.weights)
    graphs = {
        "dense": Graph.from_dense(subject.put(p.weights)),
        "edges": Graph.from_edges(index, weights, NODES),
        "scipy": Graph.from_scipy(csr, backend=backend.name, dtype=kind),
        "networkx": Graph.from_networkx(Networkx(p.weights), backend=backend.name, dtype=kind),
        "pyg": Graph.from_pyg(Pyg(index, weights, NODES)),
    }
    for name, graph in list(graphs.items()):
        graphs[f"{name}, edges"] = Graph.from_edges(graph.edge_index, graph.edge_weight, NODES)
    for name, graph in graphs.items():
        agree(name, subject.get(graph.to_dense()), p.weights, 0.0)
        agree(f"{name}, to SciPy", graph.to_scipy().toarray(), p.weights, 0.0)
        assert graph.edge_index.shape[1] == np.count_nonzero(p.weights)
    ones = Graph.from_pyg(Pyg(index, None, NODES))
    agree("without weights", subject.get(ones.to_dense()), p.weights > 0.0, 0.0)
    # Sparse and dense act alike.
    wanted = p.weights @ p.features
    sizes = np.max(np.abs(p.weights) @ np.abs(p.features))
    within = 2 * (NODES + 2) * subject.fine * sizes + subject.eps * sizes
    for name in ("dense", "edges"):
        got = subject.get(graphs[name] @ subject.put(p.features))
        agree(f"{name}: W x", got, wanted, within)


def weighted_sum(patterns: Any, probe: Any, *, k: int) -> Any:
    """The weights of a graph of neighbours times those of a probe (N, N)."""
    graph = hopcore.knn_graph(patterns, k)
    xp, nodes = graph.backend.xp, graph.nodes
    entries = graph.entries.rows * nodes + graph.entries.columns
    chosen = xp.take(xp.reshape(probe, (-1,)), entries, axis=0)
    return graph.weights * graph.backend.astype(chosen, graph.weights.dtype)


@statement("G.gradient", "B.gradient")
@given(rng=generators(), kind=st.sampled_from(("normal", "offset")))
def test_gradients_go_through_the_weights(
    subject: Subject, rng: np.random.Generator, kind: str
) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    k, shape = 2, (NODES, near.WIDTH)
    patterns = subject.rounded(near.patterns_of(rng, kind, shape))
    probe = subject.rounded(rng.normal(size=(NODES, NODES)))
    chosen = near.sure_neighbours(subject, patterns, k)
    assume(chosen is not None)
    wanted = slopes(lambda x: np.sum(chosen * probe * plain.similarity(x), axis=(-2, -1)), patterns)
    (got,) = subject.gradient(weighted_sum, patterns, probe, by=[0], k=k)
    # The derivative of a cosine is at most 1/|x|.
    size = np.sum(np.abs(probe)) / np.linalg.norm(patterns, axis=-1, keepdims=True)
    rounding = near.similarity_error(subject, near.WIDTH) + NODES * subject.fine + subject.eps
    agree("gradient by the patterns", got, wanted, (2 * rounding + 1e-8) * size)


@statement("G.gradient", "B.gradient")
@pytest.mark.parametrize("kind", near.PATTERNS)
def test_gradients_by_the_patterns_are_finite(subject: Subject, kind: str) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    patterns = near.patterns_of(np.random.default_rng(0), kind, (NODES, near.WIDTH))
    (got,) = subject.gradient(weighted_sum, patterns, np.ones((NODES, NODES)), by=[0], k=2)
    assert np.all(np.isfinite(got)), f"gradient: {got!r}"
