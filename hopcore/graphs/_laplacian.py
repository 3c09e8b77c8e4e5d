r"""The Laplacians of a graph: unnormalised, symmetric and random-walk.

With degrees :math:`D = \operatorname{diag}(W 1)`, the unnormalised Laplacian is :math:`D - W`, the
symmetric one is :math:`D^{-1/2} (D - W) D^{-1/2}`, and the random-walk one is
:math:`D^{-1} (D - W)`. Rows of isolated nodes are zero. The random-walk Laplacian is similar to the
symmetric one, :math:`D^{-1/2} L_{sym} D^{1/2}`, so every function of it follows from a function of
a symmetric matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import backend_of_input
from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._library import SomeArray, quiet
from hopcore.graphs._edges import by_nodes, check_adjacency, dense, scipy_matrix
from hopcore.graphs._graph import Graph, Normalization, check_normalization

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@suggest_names
@dataclass(frozen=True, eq=False)
class Laplacian:
    r"""The Laplacian of a graph, or of each graph of a batch, stored by rows.

    It is :math:`s^{-1} S s` with a symmetric matrix S and, only for the random-walk Laplacian, the
    diagonal :math:`s = D^{1/2}`. :func:`hopcore.compute_laplacian` and similar functions make it.

    Attributes
    ----------
    graph : Graph
        Its entries are those of S.
    values : array (E,)
        The entries of S.
    scale : array (n,) or None
        The diagonal s.
    normalization : {"none", "symmetric", "random_walk"}

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> graph = hopcore.Graph.from_dense(np.asarray([[0.0, 1.0], [1.0, 0.0]]))
    >>> hopcore.compute_laplacian(graph) @ np.asarray([[2.0], [0.0]])
    array([[ 2.],
           [-2.]])
    """

    graph: Graph
    values: Array
    scale: Array | None
    normalization: Normalization

    def __repr__(self) -> str:
        return f"<Laplacian ({self.normalization}) of {self.graph!r}>"

    @property
    def backend(self) -> Backend:
        """The backend of the graph."""
        return self.graph.backend

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape as a dense array, ``(..., N, N)``."""
        return self.graph.shape

    @quiet
    def __matmul__(self, features: Array) -> Array:
        """The Laplacian times features ``(..., N, d)``."""
        return self.apply(features, lambda x: self.product(self.values, x))

    def apply(self, features: Array, work: Callable[[Array], Array]) -> Array:
        """Apply a function of the Laplacian to features; ``work`` is the same function of S."""

        def scaled(x: Array) -> Array:
            scale = self.backend.xp.reshape(self.scale, (-1, 1))
            return work(x * scale) / scale

        return by_nodes(self.graph, features, work if self.scale is None else scaled)

    def product(self, values: Array, features: Array) -> Array:
        """Multiply the matrix with these values in place of S by features ``(n, columns)``."""
        return self.backend.neighbour_sum(self.graph.entries, values, features)

    def shifted(self, by: Any, times: Any) -> Array:
        """Return the values of ``by I + times S``."""
        entries = self.graph.entries
        identity = self.backend.astype(self.backend.on_diagonal(entries), self.values.dtype)
        return by * identity + times * self.values

    @property
    def bound(self) -> Any:
        """A bound of the eigenvalues, 2 or twice the largest degree; a float unless traced."""
        if self.normalization != "none":
            return 2.0
        if 0 in self.graph.shape:  # no graph
            return 0.0
        return readable_bound(self.backend, 2.0 * self.backend.xp.max(self.graph.degrees))

    def largest(self, eta: Any = 1.0) -> float:
        """The largest eigenvalue of ``eta L``, eta a number or one for each graph of the batch."""
        import numpy as np  # noqa: PLC0415
        from scipy.sparse import diags_array  # noqa: PLC0415 - 30 ms that few need
        from scipy.sparse.linalg import eigsh  # noqa: PLC0415

        root = np.sqrt(np.broadcast_to(np.asarray(eta, np.float64), self.graph.batch))
        scale = diags_array(np.repeat(root.reshape(-1), self.graph.nodes))
        matrix: Any = scale @ self.symmetric().astype("float64") @ scale
        count = matrix.shape[0]
        if count < 64:
            return largest_eigenvalue(matrix.toarray())
        start = np.random.default_rng(0).standard_normal(count)
        values: Any = eigsh(matrix, k=1, which="LA", return_eigenvectors=False, v0=start)
        return float(values[0])

    def symmetric(self) -> csr_array:
        """S as a SciPy matrix, block-diagonal for a batch."""
        return scipy_matrix(self.graph, self.values)

    def to_dense(self) -> Array:
        """The Laplacian as an array ``(..., N, N)``."""
        matrix = dense(self.graph, self.values)
        if self.scale is None:
            return matrix
        scale = self.backend.xp.reshape(self.scale, matrix.shape[:-1])
        return matrix * scale[..., None, :] / scale[..., None]

    def to_scipy(self) -> csr_array:
        """The Laplacian as a SciPy matrix, block-diagonal for a batch."""
        from scipy.sparse import diags_array  # noqa: PLC0415

        matrix = self.symmetric()
        if self.scale is None:
            return matrix
        scale = self.backend.to_numpy(self.backend.constant(self.scale))
        return (diags_array(1.0 / scale) @ matrix @ diags_array(scale)).tocsr()


def largest_eigenvalue(matrix: Any) -> float:
    """Return the largest eigenvalue of dense matrices, each similar to a symmetric one."""
    import numpy as np  # noqa: PLC0415

    values = np.real(np.linalg.eigvals(np.asarray(matrix, np.float64)))
    return float(np.max(values, initial=0.0))


def readable_bound(backend: Backend, value: Array) -> Any:
    """Return a bound as a float, rounded up, unless it is traced."""
    value = backend.constant(value)
    return float(value) * (1.0 + 1e-6) if backend.can_read_values(value) else value


def laplacian_of(graph: Graph, normalization: Normalization) -> Laplacian:
    """Return the Laplacian of a graph under a normalisation."""
    check_normalization(normalization)
    backend, entries = graph.backend, graph.entries
    xp, weights, degrees = backend.xp, graph.weights, graph.degrees
    on_diagonal = backend.on_diagonal(entries)
    scale = None
    if normalization == "none":
        diagonal = xp.take(degrees, entries.rows, axis=0)
    else:
        # The root of 0 has no derivative; isolated nodes take 1 instead.
        joined = degrees > 0
        root = xp.sqrt(xp.where(joined, degrees, 1.0))
        # Divided by one root, then by the other: a product of degrees could underflow.
        weights = (
            weights / xp.take(root, entries.rows, axis=0) / xp.take(root, entries.columns, axis=0)
        )
        diagonal = xp.take(backend.astype(joined, weights.dtype), entries.rows, axis=0)
        scale = root if normalization == "random_walk" else None
    # Repeated entries have no weight.
    return Laplacian(graph, xp.where(on_diagonal, diagonal, -weights), scale, normalization)


def dense_laplacian(matrix: Array, normalization: Normalization) -> Array:
    """Return the Laplacian of a dense adjacency ``(..., N, N)``."""
    backend = backend_of_input("W", matrix)
    check_adjacency(backend, "W", matrix)
    xp = backend.xp
    eye = xp.eye(matrix.shape[-1], dtype=matrix.dtype, device=backend.device(matrix))
    degree = xp.sum(matrix, axis=-1)
    if normalization == "none":
        return eye * degree[..., None] - matrix
    joined = degree > 0
    safe = xp.where(joined, degree, 1.0)
    diagonal = eye * backend.astype(joined, matrix.dtype)[..., None]
    if normalization == "random_walk":
        return diagonal - matrix / safe[..., None]
    root = xp.sqrt(safe)
    return diagonal - matrix / root[..., None] / root[..., None, :]


def _laplacian_of_any(adjacency: Array | Graph, normalization: Normalization) -> Any:
    if isinstance(adjacency, Graph):
        return laplacian_of(adjacency, normalization)
    return dense_laplacian(adjacency, normalization)


@overload
def compute_laplacian(adjacency: Graph) -> Laplacian: ...
@overload
def compute_laplacian(adjacency: SomeArray) -> SomeArray: ...
@suggest_names
def compute_laplacian(adjacency: SomeArray | Graph) -> SomeArray | Laplacian:
    """The unnormalised Laplacian ``D - W``; eigenvalues in ``[0, 2 max(deg)]``.

    Parameters
    ----------
    adjacency : array (..., N, N) or Graph
        Symmetric non-negative weights, diagonal 0.

    Returns
    -------
    array (..., N, N), or Laplacian of a Graph

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.compute_laplacian(np.asarray([[0.0, 2.0], [2.0, 0.0]]))
    array([[ 2., -2.],
           [-2.,  2.]])
    """
    return _laplacian_of_any(adjacency, "none")


@overload
def compute_normalized_laplacian(adjacency: Graph) -> Laplacian: ...
@overload
def compute_normalized_laplacian(adjacency: SomeArray) -> SomeArray: ...
@suggest_names
def compute_normalized_laplacian(adjacency: SomeArray | Graph) -> SomeArray | Laplacian:
    r"""The symmetric Laplacian :math:`D^{-1/2} (D - W) D^{-1/2}`; eigenvalues in [0, 2].

    Parameters
    ----------
    adjacency : array (..., N, N) or Graph
        Symmetric non-negative weights, diagonal 0.

    Returns
    -------
    array (..., N, N), or Laplacian of a Graph
        Rows of isolated nodes are zero.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.compute_normalized_laplacian(np.asarray([[0.0, 2.0], [2.0, 0.0]])).round(6)
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    return _laplacian_of_any(adjacency, "symmetric")


@overload
def compute_random_walk_laplacian(adjacency: Graph) -> Laplacian: ...
@overload
def compute_random_walk_laplacian(adjacency: SomeArray) -> SomeArray: ...
@suggest_names
def compute_random_walk_laplacian(adjacency: SomeArray | Graph) -> SomeArray | Laplacian:
    r"""The random-walk Laplacian :math:`D^{-1} (D - W)`; eigenvalues in [0, 2]; rows sum to 0.

    Parameters
    ----------
    adjacency : array (..., N, N) or Graph
        Symmetric non-negative weights, diagonal 0.

    Returns
    -------
    array (..., N, N), or Laplacian of a Graph
        Not symmetric. Rows of isolated nodes are zero.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.compute_random_walk_laplacian(np.asarray([[0.0, 2.0], [2.0, 0.0]]))
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    return _laplacian_of_any(adjacency, "random_walk")
