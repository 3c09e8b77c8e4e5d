"""Sparse symmetric matrices: their sorted entries, their checks, and their conversions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hopcore.arrays._array_checks import (
    backend_of_input,
    broadcast_shapes,
    check_finite,
    check_floating,
    check_same_device,
    shape,
)
from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._graph_kernels import Rows
from hopcore.arrays._long_sums import check_numbers

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def symmetric_entries(
    backend: Backend, left: Array, right: Array, count: int
) -> tuple[Rows, Array, Array]:
    """Sort the entries of a symmetric matrix, with its diagonal, and drop repeated ones.

    ``left`` and ``right (E,)`` are the two ends of its edges. The results are the entries, the edge
    from which each entry comes, and whether the entry has a value. Entries on the diagonal have no
    value, and neither have repeated entries that are kept because shapes may not depend on values.
    """
    xp, edges = backend.xp, left.shape[0]
    if backend.has_known_sizes(left):
        check_numbers("entries of graphs", count + 2 * edges)
    diagonal = xp.arange(count, dtype=xp.int32, device=backend.device(left))
    rows = xp.concat([left, right, diagonal], axis=0)
    columns = xp.concat([right, left, diagonal], axis=0)
    if count == 0:  # a batch of no graphs
        starts = xp.zeros((1,), dtype=rows.dtype, device=backend.device(rows))
        return Rows(starts, rows, columns), rows, rows < 0
    order = backend.entry_order(rows, columns)
    rows = xp.take(rows, order, axis=0)
    columns = xp.take(columns, order, axis=0)
    repeated = (rows[1:] == rows[:-1]) & (columns[1:] == columns[:-1])
    repeated = xp.concat([rows[:1] < 0, repeated], axis=0)
    if backend.has_dynamic_shapes(left):
        once = backend.astype(xp.nonzero(~repeated)[0], xp.int32)
        rows = xp.take(rows, once, axis=0)
        columns = xp.take(columns, once, axis=0)
        order = xp.take(order, once, axis=0)
        repeated = rows < 0
    source = order % edges if edges else order
    entries = Rows(backend.row_starts(rows, count), rows, columns)
    return entries, source, ~repeated & (rows != columns)


def check_edges(backend: Backend, ends: Array, weights: Array, nodes: int) -> None:
    """Raise unless edges join different nodes, with one finite weight >= 0 in both directions."""
    xp = backend.xp
    if weights.shape[0] == 0:
        return
    lowest, highest = int(xp.min(ends)), int(xp.max(ends))
    if lowest < 0 or highest >= nodes:
        raise ValueError(f"edges must join nodes 0 to {nodes - 1}, got {lowest} to {highest}")
    left, right = ends[0, :], ends[1, :]
    if bool(xp.any(left == right)):
        node = int(left[xp.nonzero(left == right)[0][0]])
        raise ValueError(f"a node is not its own neighbour: edge {node}-{node}; leave it out")
    check_finite(backend, "weights", weights)
    if bool(xp.any(weights < 0)):
        raise ValueError(f"weights must be >= 0, got {float(xp.min(weights))}")
    low, high = (f(left, right) for f in (xp.minimum, xp.maximum))
    order = backend.entry_order(low, high)
    low, high, weights = (xp.take(x, order, axis=0) for x in (low, high, weights))
    differs = (low[1:] == low[:-1]) & (high[1:] == high[:-1])
    differs = differs & (xp.abs(weights[1:] - weights[:-1]) > 1e-6 * weights[1:])
    if bool(xp.any(differs)):
        at = int(xp.nonzero(differs)[0][0])
        both = f"{float(weights[at])} and {float(weights[at + 1])}"
        raise ValueError(f"edge {int(low[at])}-{int(high[at])} has two weights, {both}")


def check_adjacency(backend: Backend, name: str, matrix: Array) -> None:
    """Raise unless a matrix is ``(..., N, N)``, symmetric, finite and >= 0, with diagonal 0."""
    check_floating(backend, name, matrix)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2] or matrix.shape[-1] == 0:
        raise ValueError(
            f"{name} must be (..., N, N), got {shape(matrix)}; the graph of patterns (N, d) is "
            "hopcore.knn_graph(patterns, k)"
        )
    if 0 in matrix.shape or not backend.can_read_values(matrix):
        return
    xp, matrix = backend.xp, backend.constant(matrix)
    check_finite(backend, name, matrix)
    largest = float(xp.max(xp.abs(matrix))) if matrix.size else 0.0
    gap = float(xp.max(xp.abs(matrix - xp.matrix_transpose(matrix))))
    if gap > 1e-5 * largest:
        raise ValueError(
            f"{name} must be symmetric, got two sides that differ by {gap}; "
            "use the maximum, or the mean, of the matrix and its transpose"
        )
    if bool(xp.any(matrix < 0)):
        raise ValueError(f"{name} must be >= 0, got {float(xp.min(matrix))}")
    if float(xp.max(xp.linalg.diagonal(matrix))) > 0:
        raise ValueError(f"{name} must have a diagonal of 0: a node is not its own neighbour")


def by_nodes(graph: Any, features: Array, work: Callable[[Array], Array]) -> Array:
    """Apply ``work`` to features ``(..., N, d)``, reshaped to ``(nodes of all graphs, columns)``.

    Leading axes broadcast. Axes that the graph lacks, or has with size 1, become columns.
    """
    feature_backend = backend_of_input("features", features)
    # Sharded features may be combined with a graph that is not sharded.
    mixes = feature_backend.mixes_with(graph.backend)
    backend = feature_backend if mixes else graph.backend
    xp, nodes = backend.xp, graph.nodes
    check_features(backend, graph.weights, features)
    if features.ndim < 2 or features.shape[-2] != nodes:
        raise ValueError(
            f"features must hold a row for each of the {nodes} nodes: (..., {nodes}, d), "
            f"got {shape(features)}"
        )
    lead, width = tuple(features.shape[:-2]), features.shape[-1]
    dtype, features = features.dtype, backend.astype(features, graph.weights.dtype)
    if backend.is_sharded(features):
        if lead or graph.batch:
            raise ValueError(
                "features in parts and their graph must have no leading axes, "
                f"got {lead} and {graph.batch}"
            )
        return backend.astype(work(features), dtype)
    if lead == graph.batch:
        flat = work(xp.reshape(features, (math.prod(lead) * nodes, width)))
        return backend.astype(xp.reshape(flat, (*lead, nodes, width)), dtype)
    full = broadcast_shapes(graph=graph.batch, features=lead)
    batch = (*(1,) * (len(full) - len(graph.batch)), *graph.batch)
    features = xp.broadcast_to(features, (*full, nodes, width))
    rank = len(full)
    kept = [i for i in range(rank) if batch[i] == full[i] and batch[i] != 1]
    rest = [i for i in range(rank) if i not in kept]
    order = (*kept, rank, *rest, rank + 1)
    moved = xp.permute_dims(features, order)
    count = math.prod([full[i] for i in kept]) * nodes
    columns = math.prod([full[i] for i in rest]) * width
    flat = work(xp.reshape(moved, (count, columns)))
    inverse = sorted(range(rank + 2), key=order.__getitem__)
    flat = xp.reshape(flat, moved.shape)
    return backend.astype(xp.permute_dims(flat, tuple(inverse)), dtype)


def check_features(backend: Backend, weights: Array, features: Any) -> None:
    """Raise unless features have the library, device and precision of the weights of a graph."""
    other = backend_of_input("features", features)
    if other is not backend:
        raise TypeError(
            f"graph and features must be of one library, got {backend.name} and {other.name}"
        )
    check_floating(backend, "features", features)
    if backend.precise[features.dtype] != weights.dtype:
        raise TypeError(
            f"graph and features must have one precision, got {weights.dtype} and {features.dtype}"
        )
    check_same_device(backend, weights, "features", features)


def dense(graph: Any, values: Array) -> Array:
    """Return the matrix ``(..., N, N)`` with these values at the entries of a graph."""
    backend, xp, nodes = graph.backend, graph.backend.xp, graph.nodes
    eye = xp.eye(nodes, dtype=values.dtype, device=backend.device(values))
    stacked = xp.tile(eye, (graph.entries.count // nodes, 1))
    return xp.reshape(backend.neighbour_sum(graph.entries, values, stacked), graph.shape)


def scipy_matrix(graph: Any, values: Array) -> csr_array:
    """Return the block-diagonal SciPy matrix of these values at a graph's entries, without 0s."""
    from scipy.sparse import csr_array  # noqa: PLC0415 - 30 ms that few need

    starts, _, columns, data = map(graph.backend.to_numpy, (*graph.entries, values))
    count = graph.entries.count
    matrix = csr_array((data.copy(), columns.copy(), starts.copy()), shape=(count, count))
    matrix.eliminate_zeros()
    return matrix
