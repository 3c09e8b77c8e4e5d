"""Graphs and diffusion: nonsense is refused in one line, extremes are defined."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse

import hopcore
from hopcore import Graph

torch = pytest.importorskip("torch")

W = np.asarray([[0.0, 0.5, 0.0], [0.5, 0.0, 1.0], [0.0, 1.0, 0.0]])
L = hopcore.compute_laplacian(W)
GRAPH = Graph.from_dense(W)
X = np.asarray([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
ENDS = np.asarray([[0, 1], [1, 2]])
WEIGHTS = np.asarray([0.5, 1.0])


def but(array, *places):
    """A copy with some entries replaced."""
    array = np.array(array, dtype=float)
    for *where, value in places:
        array[tuple(where)] = value
    return array


def edges(ends=ENDS, weights=WEIGHTS, nodes=3):
    return lambda: Graph.from_edges(ends, weights, nodes)


def knn(k=1, patterns=X, **options):
    return lambda: hopcore.knn_graph(patterns, k, **options)


def operator(eta=0.1, mode="simple", laplacian=L, **options):
    return lambda: hopcore.diffusion_operator(laplacian, eta, mode, **options)


NONSENSE = [
    # Neighbours.
    (knn(0), ValueError, "k must be >= 1, got 0"),
    (knn(-2), ValueError, "got -2"),
    (knn(1.0), TypeError, "got 1.0"),
    (knn(True), TypeError, "got True"),
    (knn("8"), TypeError, "got '8'"),
    (knn(method="faiss"), ValueError, "method must be 'exact' or 'nndescent', got 'faiss'"),
    (knn(patterns=X[0]), ValueError, r"\(\.\.\., N, d\).*got \(2,\)"),
    (knn(patterns=X[:0]), ValueError, r"got \(0, 2\)"),
    (knn(patterns=X[:, :0]), ValueError, r"got \(3, 0\)"),
    (knn(patterns=but(X, (0, 0, np.nan))), ValueError, r"patterns must be finite, got nan"),
    (knn(patterns=but(X, (2, 1, np.inf))), ValueError, r"got inf at index \(2, 1\)"),
    (knn(patterns=X.astype(complex)), TypeError, "complex128"),
    (knn(mask=np.ones(2, bool)), ValueError, r"must broadcast to \(3,\), got \(2,\)"),
    (knn(mask=np.ones(3)), TypeError, "mask must be a boolean array.*float64"),
    (knn(mask=torch.ones(3, dtype=torch.bool)), TypeError, "mask must be a boolean array of numpy"),
    (knn(mask=[True] * 3), TypeError, "mask must be an array"),
    (lambda: hopcore.build_similarity_matrix(X[0]), ValueError, r"got \(2,\)"),
    (lambda: hopcore.build_knn_graph(W, 0), ValueError, "k must be"),
    (lambda: hopcore.build_knn_graph(X, 1), ValueError, r"\(\.\.\., N, N\), got \(3, 2\)"),
    (lambda: hopcore.build_knn_graph(but(W, (0, 1, 0.4)), 1), ValueError, "must be symmetric"),
    # Adjacencies.
    (lambda: Graph.from_dense(X), ValueError, r"matrix must be \(\.\.\., N, N\), got \(3, 2\)"),
    (lambda: Graph.from_dense(W[0]), ValueError, r"got \(3,\)"),
    (lambda: Graph.from_dense(but(W, (0, 1, 0.4))), ValueError, "symmetric.*differ by 0.09.*mean"),
    (lambda: Graph.from_dense(-W), ValueError, "must be >= 0, got -1.0"),
    (lambda: Graph.from_dense(but(W, (0, 1, np.nan))), ValueError, "finite, got nan"),
    (lambda: Graph.from_dense(but(W, (1, 1, 2.0))), ValueError, "diagonal of 0.*own neighbour"),
    (lambda: Graph.from_dense(W.astype(int)), TypeError, "floating.*int64"),
    (lambda: Graph.from_dense(W + 0j), TypeError, "floating.*complex128"),
    (lambda: hopcore.compute_laplacian(-W), ValueError, "W must be >= 0"),
    (lambda: hopcore.compute_normalized_laplacian(X), ValueError, "W must be"),
    (lambda: hopcore.compute_random_walk_laplacian(W.tolist()), TypeError, "W must be an array"),
    (lambda: GRAPH.using("left"), ValueError, "none, symmetric, random_walk, got 'left'"),
    # Edges.
    (edges(ends=ENDS + 1), ValueError, "join nodes 0 to 2, got 1 to 3"),
    (edges(ends=ENDS - 1), ValueError, "join nodes 0 to 2, got -1 to 1"),
    (edges(ends=np.asarray([[0, 1], [1, 1]])), ValueError, "own neighbour: edge 1-1"),
    (edges(ends=np.asarray([[0, 1], [1, 0]])), ValueError, "edge 0-1 has two weights, 0.5 and 1.0"),
    (edges(ends=ENDS[0]), ValueError, r"edges must be \(2, E\).*got \(2,\) and \(2,\)"),
    (edges(weights=WEIGHTS[:1]), ValueError, r"got \(2, 2\) and \(1,\)"),
    (edges(weights=-WEIGHTS), ValueError, "weights must be >= 0, got -1.0"),
    (edges(weights=np.asarray([0.5, np.nan])), ValueError, "weights must be finite, got nan"),
    (edges(weights=np.asarray([np.inf, 1.0])), ValueError, "weights must be finite, got inf"),
    (edges(weights=np.asarray([1, 2])), TypeError, "weights must be real floating"),
    (edges(ends=ENDS * 1.0), TypeError, "edges must be integers.*float64"),
    (edges(ends=torch.asarray(ENDS)), TypeError, "of the weights, numpy, got torch.int64 of torch"),
    (edges(nodes=0), ValueError, "nodes must be >= 1, got 0"),
    (edges(nodes=3.0), TypeError, "got 3.0"),
    (lambda: Graph.from_scipy(W), TypeError, "SciPy sparse matrix, got ndarray"),
    (lambda: Graph.from_scipy(scipy.sparse.csr_array(X)), ValueError, r"\(N, N\), got \(3, 2\)"),
    (lambda: Graph.from_scipy(scipy.sparse.csr_array(np.triu(W))), ValueError, "symmetric"),
    (lambda: Graph.from_scipy(scipy.sparse.csr_array(W), backend="mx"), ValueError, "'mx'"),
    (lambda: Graph.from_networkx(W), TypeError, "networkx graph, got ndarray"),
    (lambda: Graph.from_pyg(W), TypeError, "edge_index and num_nodes.*got ndarray"),
    # Operators.
    (operator(-0.1), ValueError, "eta must be >= 0 and finite, got -0.1"),
    (operator(np.nan), ValueError, "eta must be >= 0 and finite, got nan"),
    (operator(np.inf, "implicit"), ValueError, "eta must be >= 0 and finite, got inf"),
    (operator(True), TypeError, "got a bool"),
    (operator("0.1"), TypeError, "eta must be an array.*got str"),
    (operator(np.asarray([0.1, -0.1])), ValueError, "eta must be >= 0"),
    (operator(torch.ones(2)), TypeError, "a number or an array of numpy, got torch"),
    (
        operator(1.0),
        ValueError,
        "eta = 1 is above 2/lambda_max = 0.8.*'chebyshev' or",
    ),
    (operator(0.1, "magic"), ValueError, "one of simple, .*, implicit, got 'magic'"),
    (operator(0.1, "iterative", steps=-1), ValueError, "steps must be >= 0, got -1"),
    (operator(0.1, "iterative", steps=1.5), TypeError, "got 1.5"),
    (operator(np.asarray([0.1]), "chebyshev"), TypeError, "ChebyshevDiffusion must be a number"),
    (operator(np.asarray([0.1]), "implicit"), TypeError, "ImplicitDiffusion must be a number"),
    (operator(laplacian=X), ValueError, r"laplacian must be \(\.\.\., N, N\), got \(3, 2\)"),
    (operator(laplacian=-L), ValueError, "diagonal >= 0.*negated"),
    (operator(laplacian=but(L, (0, 1, np.nan))), ValueError, "laplacian must be finite"),
    (operator(laplacian=L.tolist()), TypeError, "laplacian must be an array"),
    (operator(mode="spectral", laplacian=but(L, (0, 1, 0.0))), ValueError, "must be symmetric"),
    (operator(mode="implicit", laplacian=but(L, (0, 1, 0.0))), ValueError, "random-walk"),
    (
        lambda: hopcore.ChebyshevDiffusion(L, 1.0, tol=0.0),
        ValueError,
        "tol must be between 0 and 1",
    ),
    (lambda: hopcore.ChebyshevDiffusion(L, 1.0, largest=-1.0), ValueError, "largest must be >= 0"),
    (lambda: hopcore.ImplicitDiffusion(L, 1.0, tol=2.0), ValueError, "between 0 and 1"),
    (lambda: hopcore.FactoredDiffusion(W, np.ones(2)), ValueError, r"\(3,\) of numpy, got \(2,\)"),
    (lambda: hopcore.FactoredDiffusion(W, np.ones(3)), ValueError, "sums of the weights"),
    (
        lambda: hopcore.FactoredDiffusion(W, eta=0.1, normalization="both"),
        ValueError,
        "got 'both'",
    ),
    # What is diffused.
    (lambda: hopcore.apply_diffusion(X[:2], GRAPH, 0.1), ValueError, r"3 nodes.*got \(2, 2\)"),
    (lambda: hopcore.apply_diffusion(X[:2], L, 0.1), ValueError, r"3 nodes.*got \(2, 2\)"),
    (lambda: hopcore.apply_diffusion(X[:, 0], GRAPH, 0.1), ValueError, r"got \(3,\)"),
    (lambda: GRAPH @ torch.ones(3, 1), TypeError, "one library, got numpy and torch"),
    (lambda: GRAPH @ X.astype(np.float32), TypeError, "one precision, got float64 and float32"),
    (lambda: hopcore.dirichlet_energy(X, GRAPH.using("random_walk")), ValueError, "symmetric"),
    (
        lambda: hopcore.apply_diffusion(
            np.ones((4, 3, 2)), Graph.from_dense(np.stack([W, W])), 0.1
        ),
        ValueError,
        r"broadcast: graph \(2,\), features \(4,\)",
    ),
]


@pytest.mark.parametrize(
    ("call", "kind", "says"), NONSENSE, ids=[f"{i}: {row[2]}" for i, row in enumerate(NONSENSE)]
)
def test_nonsense_is_refused_in_one_line(call, kind, says):
    with pytest.raises(kind, match=says) as refused:
        call()
    assert "\n" not in str(refused.value)


def test_a_graph_of_networkx():
    networkx = pytest.importorskip("networkx")
    club = networkx.karate_club_graph()
    expected = networkx.to_numpy_array(club)
    assert np.array_equal(Graph.from_networkx(club).to_dense(), expected)
    with pytest.raises(ValueError, match="to_undirected"):
        Graph.from_networkx(networkx.DiGraph(club))


@pytest.mark.parametrize("how", ["directed", "multi"])
def test_networkx_graphs_of_other_kinds_are_refused(how):
    graph = SimpleNamespace(
        edges=None,
        nodes=[0],
        is_directed=lambda: how == "directed",
        is_multigraph=lambda: how == "multi",
    )
    with pytest.raises(ValueError, match="to_undirected"):
        Graph.from_networkx(graph)


@pytest.mark.parametrize("k", [2, 3, 100])
def test_k_of_all_nodes_or_more_joins_all(k):
    patterns = np.random.default_rng(0).uniform(0.1, 1.0, size=(3, 2))
    similarity = hopcore.build_similarity_matrix(patterns)
    assert np.count_nonzero(similarity) == 6
    np.testing.assert_allclose(hopcore.knn_graph(patterns, k).to_dense(), similarity, atol=1e-15)
    np.testing.assert_array_equal(hopcore.build_knn_graph(similarity, k), similarity)


MODES = ["simple", "iterative", "factored", "spectral", "chebyshev", "implicit"]
LONELY = {
    "one pattern": (np.asarray([[3.0, 4.0]]), None),
    "zeros": (np.zeros((4, 2)), None),
    "all masked": (np.ones((4, 2)), np.zeros(4, bool)),
    "all but one masked": (np.ones((4, 2)), np.asarray([False, True, False, False])),
    "opposite": (np.asarray([[1.0, 0.0], [-1.0, 0.0]]), None),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("normalization", ["none", "symmetric", "random_walk"])
@pytest.mark.parametrize("name", LONELY)
def test_patterns_without_neighbours_stay_as_they_are(name, normalization, mode):
    patterns, mask = LONELY[name]
    graph = hopcore.knn_graph(patterns, 2, mask=mask).using(normalization)
    assert graph.edge_index.shape == (2, 0)
    assert repr(graph).startswith(f"<Graph: {len(patterns)} nodes, 0 edges")
    assert not np.any(graph.deg)
    np.testing.assert_array_equal(graph.to_dense(), np.zeros((len(patterns),) * 2))
    np.testing.assert_allclose(
        hopcore.apply_diffusion(patterns, graph, 0.7, mode), patterns, rtol=1e-6
    )
    assert hopcore.dirichlet_energy(patterns, hopcore.compute_laplacian(graph)) == 0.0


def test_a_masked_sample_leaves_the_others_alone():
    patterns = np.random.default_rng(0).normal(size=(2, 6, 3))
    mask = np.asarray([[True] * 6, [False] * 6])
    graph = hopcore.knn_graph(patterns, 2, mask=mask)
    alone = hopcore.knn_graph(patterns[0], 2)
    np.testing.assert_allclose(graph.to_dense()[0], alone.to_dense())
    assert not np.any(graph.to_dense()[1])
    got = hopcore.apply_diffusion(patterns, graph, 0.1, "implicit")
    np.testing.assert_allclose(got[1], patterns[1])
    np.testing.assert_allclose(got[0], hopcore.apply_diffusion(patterns[0], alone, 0.1, "implicit"))


@pytest.mark.parametrize("size", [1e-200, 1e-20, 1e20, 1e200])
def test_similarities_do_not_overflow(size):
    patterns = np.random.default_rng(0).normal(size=(6, 3))
    np.testing.assert_allclose(
        hopcore.build_similarity_matrix(size * patterns),
        hopcore.build_similarity_matrix(patterns),
        atol=1e-12,
    )


def test_an_edge_given_twice_and_stored_zeros_are_one_and_none():
    ends = np.asarray([[0, 1, 1, 0], [1, 0, 2, 1]])
    graph = Graph.from_edges(ends, np.asarray([0.5, 0.5, 0.0, 0.5]), 3)
    np.testing.assert_array_equal(graph.to_dense(), but(np.zeros((3, 3)), (0, 1, 0.5), (1, 0, 0.5)))
    assert graph.edge_index.shape == (2, 2)
    stored = scipy.sparse.coo_array(([0.0, 0.5, 0.5], ([0, 0, 1], [0, 1, 0])), shape=(3, 3))
    np.testing.assert_array_equal(Graph.from_scipy(stored).to_dense(), graph.to_dense())


@pytest.mark.parametrize(
    ("mode", "eta"), [("spectral", 1e9), ("chebyshev", 1e4), ("implicit", 1e6)]
)
def test_a_huge_strength_does_not_overflow_in_float32(mode, eta):
    patterns = np.random.default_rng(0).normal(size=(60, 5)).astype("f")
    got = hopcore.apply_diffusion(patterns, hopcore.knn_graph(patterns, 5), eta, mode)
    assert np.linalg.norm(got) <= np.linalg.norm(patterns)


def test_nndescent_recalls_nearly_all_neighbours():
    pytest.importorskip("pynndescent")
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 16))
    patterns = centres[rng.integers(40, size=2000)] + 0.5 * rng.normal(size=(2000, 16))
    exact, found = (
        hopcore.knn_graph(patterns, 8, method=method) for method in ("exact", "nndescent")
    )
    wanted, got = (set(map(tuple, graph.edge_index.T.tolist())) for graph in (exact, found))
    assert len(wanted & got) / len(wanted) >= 0.95
    # What it finds has the weights of the exact graph, and each edge is there both ways.
    dense, other = exact.to_dense(), found.to_dense()
    both = (dense > 0) & (other > 0)
    np.testing.assert_allclose(other[both], dense[both], rtol=1e-12)
    np.testing.assert_array_equal(other, other.T)
    again = hopcore.knn_graph(patterns, 8, method="nndescent")
    np.testing.assert_array_equal(again.edge_index, found.edge_index)


def test_nndescent_leaves_out_what_is_masked_or_zero():
    pytest.importorskip("pynndescent")
    patterns = np.random.default_rng(0).uniform(0.1, 1.0, size=(2, 40, 3))
    patterns[0, 5] = 0.0
    mask = np.ones((2, 40), bool)
    mask[0, :3] = mask[1, 1:] = False
    graph = hopcore.knn_graph(patterns, 4, mask=mask, method="nndescent")
    degree = graph.deg
    assert not np.any(degree[0, [0, 1, 2, 5]])
    assert not np.any(degree[1])
    assert np.all(np.delete(degree[0], [0, 1, 2, 5]) > 0)


def test_nndescent_without_its_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynndescent", None)
    with pytest.raises(ModuleNotFoundError, match=r"pynndescent: pip install 'hopcore\[graphs\]'"):
        hopcore.knn_graph(X, 1, method="nndescent")
