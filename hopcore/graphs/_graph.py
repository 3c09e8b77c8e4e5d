r"""Weighted graphs over patterns, and their conversions.

A :class:`Graph` stores the symmetric matrix W of non-negative weights by rows. A batch of graphs is
one block-diagonal graph, so no edge joins the graphs of two batch elements.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import backend_of_input, check_floating, check_same_device, shape
from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._discovery import backend as backend_named
from hopcore.arrays._graph_kernels import Rows
from hopcore.arrays._long_sums import check_numbers
from hopcore.arrays._scalar_checks import MOST_NUMBER, as_integer, short_repr
from hopcore.graphs._edges import (
    by_nodes,
    check_adjacency,
    check_edges,
    dense,
    scipy_matrix,
    symmetric_entries,
)

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Normalization = Literal["none", "symmetric", "random_walk"]
NORMALIZATIONS = ("none", "symmetric", "random_walk")


@suggest_names
@dataclass(frozen=True, eq=False)
class Graph:
    r"""Graphs with symmetric non-negative weights, one for each element of a batch.

    :func:`hopcore.knn_graph`, :func:`hopcore.build_knn_graph` and the ``from_`` constructors make
    graphs and check their arguments.

    Attributes
    ----------
    entries : Rows
        The entries of the block-diagonal matrix W, sorted by row. Each node has an entry for
        itself, of weight 0; where shapes must be static, other entries may have weight 0 too.
    weights : array (E,)
        Their weights; gradients go through them.
    batch : tuple of int
        The leading axes of the patterns; ``()`` for one graph.
    nodes : int
        N, the number of nodes of each graph.
    normalization : {"none", "symmetric", "random_walk"}
        The Laplacian that diffusion over this graph uses, unless another one is chosen.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> graph = hopcore.Graph.from_dense(np.asarray([[0.0, 0.5], [0.5, 0.0]]))
    >>> graph.deg, graph
    (array([0.5, 0.5]), <Graph: 2 nodes, 1 edges>)
    """

    entries: Rows
    weights: Array
    batch: tuple[int, ...]
    nodes: int
    normalization: Normalization = "none"

    def __repr__(self) -> str:
        many = "" if not self.batch else f"batch {self.batch}, "
        kind = "" if self.normalization == "none" else f", {self.normalization}"
        edges = ""
        if self.backend.can_read_values(self.weights):
            edges = f", {self._positive.shape[0] // 2} edges"
        return f"<Graph: {many}{self.nodes} nodes{edges}{kind}>"

    @property
    def backend(self) -> Backend:
        """The backend of the weights."""
        return backend_of_input("weights", self.weights)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of W as a dense array, ``(..., N, N)``."""
        return (*self.batch, self.nodes, self.nodes)

    @property
    def deg(self) -> Array:
        """The degree of each node, ``(..., N)``: the sum of the weights of its edges."""
        return self.backend.xp.reshape(self.degrees, (*self.batch, self.nodes))

    @property
    def degrees(self) -> Array:
        """The degrees of the block-diagonal graph, flat."""
        return self.backend.row_sum(self.entries, self.weights)

    @property
    def edge_index(self) -> Array:
        """Both ends of every edge, in both directions, ``(2, edges)``, as PyG writes them."""
        xp, chosen = self.backend.xp, self._positive
        return xp.stack([xp.take(end, chosen, axis=0) for end in self.entries[1:]], axis=0)

    @property
    def edge_weight(self) -> Array:
        """The weights of :attr:`edge_index`."""
        return self.backend.xp.take(self.weights, self._positive, axis=0)

    @property
    def _positive(self) -> Array:
        if not self.backend.can_read_values(self.weights):
            raise ValueError("the edges of a traced graph are not known; use entries and weights")
        return self.backend.xp.nonzero(self.weights > 0)[0]

    def using(self, normalization: Normalization) -> Graph:
        """Return the same graph with another Laplacian for diffusion."""
        check_normalization(normalization)
        return replace(self, normalization=normalization)

    def __matmul__(self, features: Array) -> Array:
        """``W x`` for features ``(..., N, d)``."""
        work = self.backend.neighbour_sum
        return by_nodes(self, features, lambda x: work(self.entries, self.weights, x))

    def to_dense(self) -> Array:
        """W as an array ``(..., N, N)``."""
        return dense(self, self.weights)

    def to_scipy(self) -> csr_array:
        """W as a SciPy matrix; of a batch, the block-diagonal one."""
        return scipy_matrix(self, self.weights)

    @classmethod
    def from_edges(cls, edges: Array, weights: Array, nodes: int) -> Graph:
        """A graph from the ends of its edges, each edge once or in both directions.

        Parameters
        ----------
        edges : integer array (2, E)
            The two ends; PyG's ``edge_index``.
        weights : array (E,)
            Non-negative weights; an edge that is given in both directions has one weight.
        nodes : int
            N.

        Raises
        ------
        TypeError, ValueError
            Shapes that do not fit; ends that are not nodes; an edge from a node to itself; weights
            that are negative, not finite, or different for the two directions of an edge.
        """
        backend = backend_of_input("weights", weights)
        check_floating(backend, "weights", weights)
        xp = backend.xp
        edge_backend = backend_of_input("edges", edges)
        if edge_backend is not backend or "int" not in str(edges.dtype):
            raise TypeError(
                f"edges must be integers of the library of the weights, {backend.name}, "
                f"got {edges.dtype} of {edge_backend.name}"
            )
        check_same_device(backend, weights, "edges", edges)
        if edges.ndim != 2 or edges.shape[0] != 2 or shape(weights) != (edges.shape[1],):
            raise ValueError(
                f"edges must be (2, E) and weights (E,), got {shape(edges)} and {shape(weights)}"
            )
        nodes = as_integer("nodes", nodes, 1, MOST_NUMBER)
        if backend.can_read_values(weights):
            check_edges(backend, edges, backend.constant(weights), nodes)
        weights = backend.astype(weights, backend.precise[weights.dtype])
        left, right = backend.astype(edges[0, :], xp.int32), backend.astype(edges[1, :], xp.int32)
        entries, source, valued = symmetric_entries(backend, left, right, nodes)
        if edges.shape[1] == 0:
            return cls(entries, xp.zeros_like(entries.rows, dtype=weights.dtype), (), nodes)
        # Entries on the diagonal come from no edge; any index works, since they have no value.
        values = xp.where(valued, xp.take(weights, source, axis=0), 0.0)
        return drop_zeros(cls(entries, values, (), nodes))

    @classmethod
    def from_dense(cls, matrix: Array) -> Graph:
        """A graph, or a batch of them, from symmetric non-negative matrices ``(..., N, N)``.

        The diagonal must be 0. Under a trace every pair of nodes becomes an entry.
        """
        backend = backend_of_input("matrix", matrix)
        check_adjacency(backend, "matrix", matrix)
        xp, nodes = backend.xp, matrix.shape[-1]
        batch = tuple(matrix.shape[:-2])
        flat = xp.reshape(matrix, (-1, nodes))
        device = backend.device(matrix)
        index = backend.index_dtype(math.prod(matrix.shape))
        if backend.can_read_values(matrix):
            eye = xp.eye(nodes, dtype=matrix.dtype, device=device)
            row, column = xp.nonzero((flat > 0) | xp.tile(eye > 0, (flat.shape[0] // nodes, 1)))
        else:
            row = xp.repeat(xp.arange(flat.shape[0], device=device), nodes)
            column = xp.tile(xp.arange(nodes, device=device), (flat.shape[0],))
        if backend.has_known_sizes(matrix):
            check_numbers("entries of graphs", row.shape[0])
        row, column = (backend.astype(x, index) for x in (row, column))
        weights = xp.take(xp.reshape(flat, (-1,)), row * nodes + column, axis=0)
        weights = backend.astype(weights, backend.precise[weights.dtype])
        row, column = (backend.astype(x, xp.int32) for x in (row, column))
        entries = Rows(backend.row_starts(row, flat.shape[0]), row, row - row % nodes + column)
        return cls(entries, weights, batch, nodes)

    @classmethod
    def from_scipy(cls, matrix: Any, *, backend: str = "numpy", dtype: str | None = None) -> Graph:
        """A graph from a SciPy sparse matrix, symmetric and non-negative, for any backend."""
        if not (hasattr(matrix, "tocoo") and hasattr(matrix, "shape")):
            raise TypeError(f"matrix must be a SciPy sparse matrix, got {type(matrix).__name__}")
        matrix = matrix.tocoo(copy=True)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        nodes = int(matrix.shape[0])
        check_numbers("nodes of graphs", nodes)
        if matrix.shape != (nodes, nodes):
            raise ValueError(f"matrix must be (N, N), got {tuple(matrix.shape)}")
        if (abs(matrix - matrix.T) > 1e-6 * abs(matrix).max()).nnz:
            raise ValueError("weights must be symmetric; use (W + W.T) / 2 or W.maximum(W.T)")
        chosen = backend_named(backend)
        own = matrix.dtype.name
        dtype = dtype or (own if own in ("float32", "float64") else "float64")
        upper = matrix.row <= matrix.col
        ends = [chosen.asarray(x[upper], dtype="int32") for x in (matrix.row, matrix.col)]
        weights = chosen.asarray(matrix.data[upper], dtype=dtype)
        return cls.from_edges(chosen.xp.stack(ends, axis=0), weights, nodes)

    @classmethod
    def from_networkx(
        cls,
        graph: Any,
        *,
        weight: str = "weight",
        backend: str = "numpy",
        dtype: str = "float64",
    ) -> Graph:
        """A graph from an undirected networkx graph, with nodes in the order of that graph."""
        if not (hasattr(graph, "edges") and hasattr(graph, "is_directed")):
            raise TypeError(f"graph must be a networkx graph, got {type(graph).__name__}")
        if graph.is_directed() or graph.is_multigraph():
            raise ValueError("graph must be a simple undirected one: graph.to_undirected()")
        number = {node: i for i, node in enumerate(graph.nodes)}
        edges = list(graph.edges(data=weight, default=1.0))
        chosen = backend_named(backend)
        ends = [[number[a] for a, _, _ in edges], [number[b] for _, b, _ in edges]]
        weights = chosen.asarray([float(w) for *_, w in edges], dtype=dtype)
        return cls.from_edges(chosen.asarray(ends, dtype="int32"), weights, len(number))

    @classmethod
    def from_pyg(cls, data: Any) -> Graph:
        """A graph from an object with ``edge_index``, ``num_nodes``, perhaps ``edge_weight``."""
        if not (hasattr(data, "edge_index") and hasattr(data, "num_nodes")):
            raise TypeError(
                f"data must have edge_index and num_nodes, as PyG's has, got {type(data).__name__}"
            )
        weights = getattr(data, "edge_weight", None)
        if weights is None:
            backend = backend_of_input("edge_index", data.edge_index)
            weights = backend.xp.ones_like(data.edge_index[0, :], dtype=backend.xp.float32)
        return cls.from_edges(data.edge_index, weights, int(data.num_nodes))


def check_normalization(normalization: str) -> None:
    """Raise unless a normalisation is known."""
    if normalization not in NORMALIZATIONS:
        names = ", ".join(NORMALIZATIONS)
        raise ValueError(f"normalization must be one of {names}, got {short_repr(normalization)}")


def drop_zeros(graph: Graph) -> Graph:
    """Drop entries of weight 0 off the diagonal, if shapes may depend on values."""
    backend, entries, weights = graph.backend, graph.entries, graph.weights
    if not backend.has_dynamic_shapes(weights):
        return graph
    xp = backend.xp
    kept = (weights > 0) | (entries.rows == entries.columns)
    if bool(xp.all(kept)):
        return graph
    some = xp.nonzero(kept)[0]
    rows, columns = xp.take(entries.rows, some, axis=0), xp.take(entries.columns, some, axis=0)
    starts = backend.row_starts(rows, entries.count)
    return replace(
        graph, entries=Rows(starts, rows, columns), weights=xp.take(weights, some, axis=0)
    )
