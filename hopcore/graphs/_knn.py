r"""Similarities of patterns, and graphs of nearest neighbours.

The similarity is the cosine, with negative values set to 0; that of a pattern with itself counts as
0. An edge of the graph joins two patterns if at least one of them has the other among its k most
similar ones; its weight is their similarity. The choice of neighbours has no derivative; the
weights have one.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal, TypeAlias

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import (
    backend_of_input,
    broadcast_mask,
    check_finite,
    check_floating,
    shape,
)
from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._discovery import backend as backend_named
from hopcore.arrays._edge import as_floating, known_backend
from hopcore.arrays._graph_kernels import Rows
from hopcore.arrays._inputs import hide_unattended
from hopcore.arrays._library import AnyArray, SomeArray
from hopcore.arrays._long_sums import check_numbers
from hopcore.arrays._scalar_checks import as_integer, short_repr
from hopcore.graphs._edges import check_adjacency, symmetric_entries
from hopcore.graphs._graph import Graph, drop_zeros
from hopcore.streamed._neighbors import nearest_in_pieces
from hopcore.streamed._streamed import Streamed

Search: TypeAlias = Literal["exact", "nndescent"]
"""The search for neighbours: among all pairs, or approximately."""

SEARCHED = 30
"""The approximate search looks for at least this many neighbours; with fewer it misses more."""


@suggest_names
def build_similarity_matrix(patterns: SomeArray, *, mask: AnyArray | None = None) -> SomeArray:
    r"""Cosine similarities of all patterns: :math:`\max(0, \cos(x_i, x_j))`, 0 on the diagonal.

    Parameters
    ----------
    patterns : array (..., N, d)
    mask : boolean array broadcastable to (..., N), optional
        False masks a pattern; its similarities are 0.

    Returns
    -------
    array (..., N, N)
        Symmetric, in [0, 1]. The similarities of a pattern of zeros are 0. Where the cosine is not
        above 0, the derivative is 0.

    Notes
    -----
    The result needs O(N^2) memory; :func:`knn_graph` never stores it.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.build_similarity_matrix(np.asarray([[1.0, 0.0], [1.0, 1.0], [-1.0, 0.0]])).round(2)
    array([[0.  , 0.71, 0.  ],
           [0.71, 0.  , 0.  ],
           [0.  , 0.  , 0.  ]])
    """
    backend, patterns, mask = check_patterns(patterns, mask)
    xp = backend.xp
    unit = unit_patterns(backend, patterns, mask)
    cosine = xp.matmul(unit, xp.matrix_transpose(unit))
    diagonal = xp.eye(unit.shape[-2], dtype=unit.dtype, device=backend.device(unit)) > 0
    cosine = xp.where(diagonal | (cosine <= 0.0), 0.0, cosine)
    # Matrix products may round the two triangles differently.
    return backend.astype(xp.maximum(cosine, xp.matrix_transpose(cosine)), patterns.dtype)


@suggest_names
def build_knn_graph(similarity: Array, k: int, as_sparse: bool = False) -> Array | Graph:
    """Build the graph of the k most similar patterns of each, from all similarities.

    Parameters
    ----------
    similarity : array (..., N, N)
        Symmetric, non-negative, diagonal 0.
    k : int
        At least 1; k >= N means N - 1.
    as_sparse : bool
        Return a :class:`Graph` instead of an array.

    Returns
    -------
    array (..., N, N) or Graph
        ``max(A, A^T)`` with A the k largest entries of each row; among equal ones, the first.

    Raises
    ------
    TypeError, ValueError
        Not symmetric, negative or not finite; a bad k.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> S = np.asarray([[0.0, 0.9, 0.1], [0.9, 0.0, 0.2], [0.1, 0.2, 0.0]])
    >>> hopcore.build_knn_graph(S, 1)
    array([[0. , 0.9, 0. ],
           [0.9, 0. , 0.2],
           [0. , 0.2, 0. ]])
    """
    backend = backend_of_input("similarity", similarity)
    check_adjacency(backend, "similarity", similarity)
    xp, nodes = backend.xp, similarity.shape[-1]
    k = limit_neighbors(k, nodes)
    diagonal = xp.eye(nodes, dtype=similarity.dtype, device=backend.device(similarity)) > 0
    others = backend.constant(xp.where(diagonal, -1.0, similarity))
    choices = backend.astype(backend.largest(others, k), xp.int32) if k else None
    graph = from_choices(backend, similarity, choices, None)
    return graph if as_sparse else graph.to_dense()


@suggest_names
def knn_graph(
    patterns: AnyArray,
    k: int,
    *,
    mask: AnyArray | None = None,
    method: Search = "exact",
    seed: int = 0,
    index: AnyArray | None = None,
) -> Graph:
    """Build the graph of the k most similar patterns of each, for each element of a batch.

    Parameters
    ----------
    patterns : array (..., N, d), or Streamed
        Patterns; each element of the leading axes gets its own graph. The graph of a
        :class:`hopcore.Streamed` memory has NumPy arrays.
    k : int
        The number of neighbours that each pattern chooses, at least 1; k >= N means N - 1. Among
        equally similar patterns, those with the lowest indices are chosen.
    mask : boolean array broadcastable to (..., N), optional
        False masks a pattern, which is then an isolated node.
    method : {"exact", "nndescent"}
        ``"exact"`` compares all pairs, one block at a time. ``"nndescent"`` uses pynndescent, which
        is approximate, for many patterns (extra ``graphs``).
    seed : int
        The seed of ``"nndescent"``.
    index : integer array (..., N, m), optional
        The neighbours of each pattern, nearest first, that another tool has found, such as the
        second array of ``index.search(patterns, k + 1)`` of FAISS, in place of a search. Each
        pattern takes its first k; itself and -1 do not count. The weights are computed from the
        patterns.

    Returns
    -------
    Graph
        Its weights are at least float32. Gradients go through the weights, not through the choice
        of neighbours.

    Raises
    ------
    TypeError, ValueError
        Unsuitable patterns; a bad k; an unknown method; an index of no pattern.
    ModuleNotFoundError
        pynndescent is not installed.

    Notes
    -----
    The exact method takes time O(N^2 d), and memory O(k N) besides a block of fixed size. A
    streamed memory is read once for each of its pieces.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> graph = hopcore.knn_graph(np.asarray([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), 1)
    >>> graph.edge_index
    array([[0, 1, 1, 2],
           [1, 0, 2, 1]], dtype=int32)
    """
    if index is not None and method != "exact":
        raise ValueError(f"index= is in place of a search, got method {short_repr(method)}, too")
    if isinstance(patterns, Streamed):
        refuse_index("streamed", index)
        return streamed_graph(patterns, k, mask, method)
    patterns = as_floating("patterns", patterns)
    backend, patterns, mask = check_patterns(patterns, mask)
    if backend.has_known_sizes(patterns):
        k = limit_neighbors(k, patterns.shape[-2])
    else:
        k = as_integer("k", k, 1)
    if backend.has_known_sizes(patterns):
        check_numbers("entries of graphs", math.prod(patterns.shape[:-1]) * (2 * k + 1))
    if backend.is_sharded(patterns):
        refuse_index("sharded", index)
        if method != "exact":
            raise ValueError(f"a sharded memory needs method 'exact', got {short_repr(method)}")
        similarities, choices = backend.neighbours(patterns, k, mask, unit_patterns)
        return graph_of_neighbors(backend, similarities, choices, tuple(patterns.shape[:-2]))
    unit = unit_patterns(backend, patterns, mask)
    if index is not None:
        choices = given_neighbors(backend, patterns, index, k)
    else:
        choices = found_neighbors(backend, unit, k, mask, method, seed)
    return from_choices(backend, None, choices, unit)


def refuse_index(kind: str, index: Any) -> None:
    """Raise if neighbours are given for a memory in parts."""
    if index is not None:
        raise ValueError(f"a {kind} memory is searched exactly, it takes no index=")


def found_neighbors(
    backend: Backend, unit: Array, k: int, mask: Array | None, method: Search, seed: int
) -> Array | None:
    """Search for the k nearest patterns of each; None if there are no others."""
    if method == "exact":
        if not k:
            return None
        choices = backend.nearest(backend.constant(unit), k, mask)
        return backend.astype(choices, backend.xp.int32)
    if method == "nndescent":
        return nndescent_neighbors(backend, unit, k, seed)
    raise ValueError(f"method must be 'exact' or 'nndescent', got {short_repr(method)}")


def streamed_graph(patterns: Streamed, k: Any, mask: Any, method: Search) -> Graph:
    """:func:`knn_graph` of a streamed memory."""
    if method != "exact":
        raise ValueError(f"a streamed memory needs method 'exact', got {short_repr(method)}")
    numpy, nodes = backend_named("numpy"), patterns.shape[0]
    k = limit_neighbors(k, nodes)
    check_numbers("entries of graphs", nodes * (2 * k + 1))
    if mask is not None:
        mask = broadcast_mask(numpy, mask, (nodes,))
    similarities, choices = nearest_in_pieces(patterns, k, mask, unit_rows)
    return graph_of_neighbors(numpy, similarities, choices, ())


def graph_of_neighbors(
    backend: Backend, similarities: Array, choices: Array, batch: tuple[int, ...]
) -> Graph:
    """Build the graph of neighbours and their similarities, both ``(..., N, k)``."""
    xp = backend.xp
    entries, source, valued = join_choices(backend, choices)
    values = xp.reshape(similarities, (-1,))
    if choices.shape[-1] == 0:  # one pattern, whose only entry is its own
        values = xp.zeros((entries.count,), dtype=values.dtype, device=backend.device(values))
    weights = xp.take(values, source, axis=0)
    return positive_graph(backend, entries, valued, weights, (*batch, choices.shape[-2]))


def join_choices(backend: Backend, choices: Array) -> tuple[Rows, Array, Array]:
    """Join each node to its choices ``(..., N, k)``; see :func:`symmetric_entries`."""
    xp, (*batch, nodes, k) = backend.xp, choices.shape
    count = math.prod(batch) * nodes
    node = xp.arange(count, dtype=xp.int32, device=backend.device(choices))
    left = xp.reshape(xp.broadcast_to(node[:, None], (count, k)), (-1,))
    right = xp.reshape(choices, (-1,)) + (left - left % nodes)
    return symmetric_entries(backend, left, right, count)


def positive_graph(
    backend: Backend, entries: Rows, valued: Array, weights: Array, places: tuple[int, ...]
) -> Graph:
    """Build a graph of nodes ``(..., N)`` from the positive weights of entries with a value."""
    weights = backend.xp.where(valued & (weights > 0), weights, 0.0)
    return drop_zeros(Graph(entries, weights, places[:-1], places[-1]))


def reweighted(graph: Graph, patterns: Array, mask: Array | None) -> Graph:
    """Compute the weights of a graph again from patterns, for the same entries."""
    backend, patterns, mask = check_patterns(patterns, mask)
    unit = unit_patterns(backend, patterns, mask)
    flat = backend.xp.reshape(unit, (graph.entries.count, unit.shape[-1]))
    weights = backend.pair_products(flat, flat, graph.entries)
    positive = (graph.weights > 0) & (weights > 0)
    return replace(graph, weights=backend.xp.where(positive, weights, 0.0))


def check_patterns(patterns: Array, mask: Array | None) -> tuple[Backend, Array, Array | None]:
    """Check patterns; return their backend, the patterns with masked ones hidden, and the mask."""
    backend = backend_of_input("patterns", patterns)
    check_floating(backend, "patterns", patterns)
    if patterns.ndim < 2 or 0 in patterns.shape[-2:]:
        raise ValueError(
            f"patterns must be (..., N, d) with N >= 1 and d >= 1, got {shape(patterns)}"
        )
    if mask is None:
        if backend.can_read_values(patterns):
            check_finite(backend, "patterns", patterns)
        return backend, patterns, None
    shown: Array = broadcast_mask(backend, mask, tuple(patterns.shape[:-1]))
    return backend, hide_unattended(backend, "patterns", patterns, shown[..., None, :]), shown


def limit_neighbors(k: Any, nodes: int) -> int:
    """Check k and limit it to N - 1."""
    return min(as_integer("k", k, 1, math.inf), nodes - 1)


def unit_patterns(backend: Backend, patterns: Array, mask: Array | None) -> Array:
    """Scale patterns to norm 1, in the precise dtype; masked patterns become zeros."""
    xp = backend.xp
    patterns = backend.astype(patterns, backend.precise[patterns.dtype])
    if mask is not None:
        patterns = xp.where(mask[..., None], patterns, 0.0)
    # Divide by the largest value first, so that squares neither overflow nor vanish.
    fixed = backend.constant(patterns)
    high, low = (f(fixed, axis=-1, keepdims=True) for f in (xp.max, xp.min))
    largest = xp.maximum(high, -low)
    patterns = patterns / xp.where(largest > 0, largest, 1.0)
    square = backend.square_lengths(patterns)[..., None]
    return patterns / xp.sqrt(xp.where(square > 0, square, 1.0))


def unit_rows(patterns: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """:func:`unit_patterns` for NumPy arrays, also in another process."""
    return unit_patterns(backend_named("numpy"), patterns, mask)


def from_choices(
    backend: Backend, similarity: Array | None, choices: Array | None, unit: Array | None
) -> Graph:
    """Build the graph that joins each node to its choices ``(..., N, k)``; None means k = 0.

    Weights are entries of ``similarity (..., N, N)``, or inner products of ``unit (..., N, d)``.
    """
    xp = backend.xp
    values: Any = similarity if unit is None else unit
    *batch, nodes, _ = values.shape
    if choices is None:
        device = backend.device(values)
        choices = xp.zeros((*batch, nodes, 0), dtype=xp.int32, device=device)
    entries, _, valued = join_choices(backend, choices)
    if unit is None:
        flat = xp.reshape(values, (-1,))
        # The index of an entry among all similarities may need more than the 32 bits of a node.
        rows = backend.astype(entries.rows, backend.index_dtype(flat.shape[0]))
        weights = xp.take(flat, rows * nodes + entries.columns % nodes, axis=0)
        weights = backend.astype(weights, backend.precise[weights.dtype])
    else:
        flat = xp.reshape(unit, (entries.count, unit.shape[-1]))
        weights = backend.pair_products(flat, flat, entries)
    return positive_graph(backend, entries, valued, weights, (*batch, nodes))


def given_neighbors(backend: Backend, patterns: Array, index: Any, k: int) -> Array:
    """Return the first k others of the neighbours ``(..., N, m)``; others become the node itself.

    An edge of a node with itself has no weight.
    """
    own = known_backend(index) is backend
    given = index if own else np.asarray(index)
    places, nodes = shape(patterns)[:-1], patterns.shape[-2]
    if "int" not in str(given.dtype) or shape(given)[:-1] != places:
        raise ValueError(
            f"index must be integers {(*places, 'm')}, the neighbours of each pattern, "
            f"got {given.dtype} {shape(given)}"
        )
    if not own or backend.can_read_values(given):
        values = backend.to_numpy(given) if own else given
        if values.size and not -1 <= values.min() <= values.max() < nodes:
            raise ValueError(
                f"index must number {nodes} patterns from 0, or be -1, "
                f"got {values.min()} to {values.max()}"
            )
    if not own:
        given = backend.asarray(given, dtype="int32", device=backend.device(patterns))
    xp = backend.xp
    given = backend.astype(given, xp.int32)
    itself = xp.arange(nodes, dtype=xp.int32, device=backend.device(patterns))[:, None]
    others = (given >= 0) & (given != itself)
    rank = xp.cumulative_sum(backend.astype(others, xp.int32), axis=-1)
    return xp.where(others & (rank <= k), given, itself)


def nndescent_neighbors(backend: Backend, unit: Array, k: int, seed: int) -> Array | None:
    """Find neighbours with pynndescent, for each element of the batch."""
    try:
        from pynndescent import NNDescent  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            f"method='nndescent' needs {missing.name}: pip install 'hopcore[graphs]'"
        ) from None
    if not backend.can_read_values(unit):
        raise ValueError("method='nndescent' needs values on the CPU, outside a trace")
    if k == 0:
        return None
    values = backend.to_numpy(backend.constant(unit))
    *batch, nodes, width = values.shape
    neighbors = np.tile(np.arange(nodes, dtype=np.int32)[:, None], (math.prod(batch), 1, k))
    for choices, element in zip(neighbors, values.reshape(-1, nodes, width), strict=True):
        # Patterns that are masked or zero are similar to none.
        similar = np.nonzero(element.any(axis=1))[0]
        few = min(k, len(similar) - 1)
        if few < 1:
            continue
        searched = min(max(few + 1, SEARCHED), len(similar))
        index = NNDescent(
            element[similar], metric="cosine", n_neighbors=searched, random_state=seed
        )
        near: np.ndarray = index.neighbor_graph[0]  # pyright: ignore[reportOptionalSubscript]
        near = near[:, : few + 1]
        number = np.arange(len(similar))[:, None]
        # Leave out the pattern itself, or the farthest one if it is missing; -1 was not found.
        is_itself = near == number
        is_itself[~is_itself.any(axis=1), -1] = True
        near = np.where(near < 0, number, near)[~is_itself].reshape(-1, few)
        choices[similar, :few] = similar[near]
    return backend.asarray(
        neighbors.reshape(*batch, nodes, k), dtype="int32", device=backend.device(unit)
    )
