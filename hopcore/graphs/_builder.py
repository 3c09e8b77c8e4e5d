""":class:`GraphBuilder` builds the graph of patterns and its Laplacian step by step."""

from __future__ import annotations

from typing import Any, NamedTuple

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import backend_of_input
from hopcore.arrays._backend import Array
from hopcore.arrays._reprs import brief, one_line
from hopcore.graphs._graph import Graph, Normalization
from hopcore.graphs._knn import build_knn_graph, build_similarity_matrix, knn_graph
from hopcore.graphs._laplacian import dense_laplacian, laplacian_of


class PatternGraph(NamedTuple):
    """The graph of a set of patterns.

    Attributes
    ----------
    L : Laplacian or array (..., N, N)
    W : Graph or array (..., N, N)
        The adjacency; a Graph knows which Laplacian was chosen.
    deg : array (..., N)
        Degrees.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> X = np.asarray([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> hopcore.GraphBuilder(X).knn(k=1).laplacian().build().deg
    array([0.6, 1.4, 0.8])
    """

    L: Any
    W: Any
    deg: Array

    def __repr__(self) -> str:
        return one_line(self)


@suggest_names
class GraphBuilder:
    """Build the graph of patterns ``(..., N, d)`` in a chain of named steps.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> X = np.asarray([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    >>> build = hopcore.GraphBuilder(X).cosine_similarity().knn(k=1, sparse=True)
    >>> build.normalized_laplacian().build().L
    <Laplacian (symmetric) of <Graph: 3 nodes, 2 edges, symmetric>>
    """

    def __init__(self, patterns: Array, *, mask: Array | None = None) -> None:
        self._patterns, self._mask = patterns, mask
        self._k, self._sparse = 5, False
        self._normalization: Normalization = "none"

    def __repr__(self) -> str:
        kind = {"none": "unnormalised"}.get(self._normalization, self._normalization)
        return f"<GraphBuilder of {brief(self._patterns)}: {self._k} neighbours, {kind} Laplacian>"

    def cosine_similarity(self) -> GraphBuilder:
        """Use the cosine, with negative values set to 0; this is the only similarity."""
        return self

    def knn(self, k: int, sparse: bool = False) -> GraphBuilder:
        """Join each pattern to its k most similar ones; ``sparse`` forms no (N, N) array."""
        self._k, self._sparse = k, sparse
        return self

    def laplacian(self) -> GraphBuilder:
        """Use the unnormalised Laplacian."""
        return self._using("none")

    def normalized_laplacian(self) -> GraphBuilder:
        """Use the symmetric normalised Laplacian."""
        return self._using("symmetric")

    def random_walk_laplacian(self) -> GraphBuilder:
        """Use the random-walk Laplacian."""
        return self._using("random_walk")

    def _using(self, normalization: Normalization) -> GraphBuilder:
        self._normalization = normalization
        return self

    def build(self) -> PatternGraph:
        """Return the Laplacian, the adjacency and the degrees."""
        if self._sparse:
            graph = knn_graph(self._patterns, self._k, mask=self._mask)
            return pattern_graph(graph.using(self._normalization))
        similarity = build_similarity_matrix(self._patterns, mask=self._mask)
        matrix: Any = build_knn_graph(similarity, self._k)
        degree = backend_of_input("patterns", matrix).xp.sum(matrix, axis=-1)
        return PatternGraph(dense_laplacian(matrix, self._normalization), matrix, degree)


def pattern_graph(graph: Graph) -> PatternGraph:
    """Return a graph with its Laplacian and degrees."""
    return PatternGraph(laplacian_of(graph, graph.normalization), graph, graph.deg)
