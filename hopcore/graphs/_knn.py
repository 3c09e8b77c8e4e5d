r"""Similarity of patterns, and the graphs of nearest neighbours made from it.

The similarity is the cosine, negatives set to 0 and none of a pattern with itself. In the graph an
edge joins two patterns if either has the other among its k most similar; its weight is their
similarity. Which patterns are neighbours is a choice and has no derivative; the weights have one.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._discovery import backend as backend_named
from hopcore.arrays._inputs import (
    backend_of_input,
    broadcast_mask,
    check_finite,
    check_floating,
    shape,
)
from hopcore.arrays._validation import as_integer, short_repr
from hopcore.graphs._edges import check_adjacency, symmetric_rows
from hopcore.graphs._graph import Graph, pruned
from hopcore.streamed._neighbors import nearest_in_pieces
from hopcore.streamed._streamed import Streamed

SEARCHED = 30
"""How many neighbours the approximate search looks for at least; fewer are found less surely."""


def build_similarity_matrix(patterns: Array, *, mask: Array | None = None) -> Array:
    r"""Cosine similarities of all patterns: :math:`\max(0, \cos(x_i, x_j))`, 0 on the diagonal.

    Parameters
    ----------
    patterns : array (..., N, d)
    mask : boolean array broadcastable to (..., N), optional
        True for the patterns that count; the others are similar to none.

    Returns
    -------
    array (..., N, N)
        Symmetric, in [0, 1]. A pattern of zeros is similar to none.

    Notes
    -----
    It takes O(N^2) memory; :func:`knn_graph` never holds it.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.build_similarity_matrix(np.asarray([[1.0, 0.0], [1.0, 1.0], [-1.0, 0.0]])).round(2)
    array([[0.  , 0.71, 0.  ],
           [0.71, 0.  , 0.  ],
           [0.  , 0.  , 0.  ]])
    """
    backend, mask = checked(patterns, mask)
    xp = backend.xp
    unit = unit_patterns(backend, patterns, mask)
    cosine = xp.matmul(unit, xp.matrix_transpose(unit))
    own = xp.eye(unit.shape[-2], dtype=unit.dtype, device=backend.device(unit)) > 0
    cosine = xp.where(own | (cosine <= 0.0), 0.0, cosine)
    # Products of matrices round their two sides differently.
    return backend.astype(xp.maximum(cosine, xp.matrix_transpose(cosine)), patterns.dtype)


def build_knn_graph(similarity: Array, k: int, as_sparse: bool = False) -> Array | Graph:
    """The graph of the k most similar patterns of each, from all similarities.

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
        ``max(A, A^T)`` with A the k largest entries of each row.

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
    k = neighbour_count(k, nodes)
    own = xp.eye(nodes, dtype=similarity.dtype, device=backend.device(similarity)) > 0
    hidden = backend.constant(xp.where(own, -math.inf, similarity))
    choices = backend.astype(backend.largest(hidden, k), xp.int32) if k else None
    graph = from_choices(backend, similarity, choices, None)
    return graph if as_sparse else graph.to_dense()


def knn_graph(
    patterns: Array,
    k: int,
    *,
    mask: Array | None = None,
    method: Literal["exact", "nndescent"] = "exact",
    seed: int = 0,
) -> Graph:
    """The graph of the k most similar patterns of each, one for each element of a batch.

    Parameters
    ----------
    patterns : array (..., N, d), or Streamed
        Patterns; each element of the leading axes gets a graph of its own. Of a
        :class:`hopcore.Streamed` memory the graph is one of NumPy arrays.
    k : int
        Neighbours that each pattern chooses, at least 1; k >= N means N - 1.
    mask : boolean array broadcastable to (..., N), optional
        True for the patterns that count; the others are isolated nodes.
    method : {"exact", "nndescent"}
        All pairs compared, a block at a time; or pynndescent, approximate, for many patterns
        (extra ``graphs``).
    seed : int
        For ``"nndescent"``.

    Returns
    -------
    Graph
        Gradients go through its weights, not through the choice of neighbours. In at least float32.

    Raises
    ------
    TypeError, ValueError
        Not patterns; a bad k; an unknown method.
    ModuleNotFoundError
        pynndescent is not installed.

    Notes
    -----
    Time O(N^2 d), memory O(k N) beside a block of fixed size, except for nndescent. A streamed
    memory is passed over once for each of its pieces.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> graph = hopcore.knn_graph(np.asarray([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), 1)
    >>> graph.edge_index
    array([[0, 1, 1, 2],
           [1, 0, 2, 1]], dtype=int32)
    """
    if isinstance(patterns, Streamed):
        return streamed_graph(patterns, k, mask, method)
    backend, mask = checked(patterns, mask)
    k = neighbour_count(k, patterns.shape[-2])
    if backend.is_sharded(patterns):
        if method != "exact":
            raise ValueError(
                f"a memory in parts is searched by method 'exact', got {short_repr(method)}"
            )
        similarities, choices = backend.neighbours(patterns, k, mask, unit_patterns)
        return linked(backend, similarities, choices, tuple(patterns.shape[:-2]))
    unit = unit_patterns(backend, patterns, mask)
    if method == "exact":
        choices = None
        if k:
            choices = backend.nearest(backend.constant(unit), k, mask)
            choices = backend.astype(choices, backend.xp.int32)
    elif method == "nndescent":
        choices = approximate(backend, unit, k, seed)
    else:
        raise ValueError(f"method must be 'exact' or 'nndescent', got {short_repr(method)}")
    return from_choices(backend, None, choices, unit)


def streamed_graph(patterns: Streamed, k: Any, mask: Any, method: str) -> Graph:
    """:func:`knn_graph` of a streamed memory."""
    if method != "exact":
        raise ValueError(
            f"a streamed memory is searched by method 'exact', got {short_repr(method)}"
        )
    numpy, nodes = backend_named("numpy"), patterns.shape[0]
    k = neighbour_count(k, nodes)
    if mask is not None:
        mask = broadcast_mask(numpy, mask, (nodes,))
    similarities, choices = nearest_in_pieces(patterns, k, mask, unit_rows)
    return linked(numpy, similarities, choices, ())


def linked(backend: Backend, similarities: Array, choices: Array, batch: tuple[int, ...]) -> Graph:
    """The graph of neighbours and their similarities, both ``(..., N, k)``."""
    xp, (*_, nodes, k) = backend.xp, choices.shape
    count = math.prod(batch) * nodes
    own = xp.arange(count, dtype=xp.int32, device=backend.device(choices))
    left = xp.reshape(xp.broadcast_to(own[:, None], (count, k)), (-1,))
    right = xp.reshape(choices, (-1,)) + (left - left % nodes)
    where, source, valued = symmetric_rows(backend, left, right, count)
    values = xp.reshape(similarities, (-1,))
    if k == 0:  # one pattern, and its entry for itself
        values = xp.zeros((count,), dtype=values.dtype, device=backend.device(values))
    weights = xp.take(values, source, axis=0)
    weights = xp.where(valued & (weights > 0), weights, 0.0)
    return pruned(Graph(where, weights, batch, nodes))


def weighted(graph: Graph, patterns: Array, mask: Array | None) -> Graph:
    """The graph with the same entries, and its weights from patterns again."""
    backend, mask = checked(patterns, mask)
    unit = unit_patterns(backend, patterns, mask)
    flat = backend.xp.reshape(unit, (graph.where.count, -1))
    weights = backend.pair_products(flat, flat, graph.where)
    shown = graph.weights > 0
    return replace(graph, weights=backend.xp.where(shown & (weights > 0), weights, 0.0))


def checked(patterns: Array, mask: Array | None) -> tuple[Backend, Array | None]:
    """The backend of patterns, and their mask broadcast to them."""
    backend = backend_of_input("patterns", patterns)
    check_floating(backend, "patterns", patterns)
    if patterns.ndim < 2 or 0 in patterns.shape:
        raise ValueError(f"patterns must be (..., N, d), not empty, got {shape(patterns)}")
    if backend.can_read_values(patterns):
        check_finite(backend, "patterns", patterns)
    if mask is None:
        return backend, None
    return backend, broadcast_mask(backend, mask, tuple(patterns.shape[:-1]))


def neighbour_count(k: Any, nodes: int) -> int:
    """k, at most N - 1."""
    return min(as_integer("k", k, 1), nodes - 1)


def unit_patterns(backend: Backend, patterns: Array, mask: Array | None) -> Array:
    """The patterns with norm 1, in the precise dtype; zeros where masked or zero already."""
    xp = backend.xp
    wide = backend.astype(patterns, backend.precise[patterns.dtype])
    if mask is not None:
        wide = xp.where(mask[..., None], wide, 0.0)
    # Scaled first, so that squares neither overflow nor vanish; the scale has no influence.
    fixed = backend.constant(wide)
    high, low = (f(fixed, axis=-1, keepdims=True) for f in (xp.max, xp.min))
    most = xp.maximum(high, -low)
    wide = wide / xp.where(most > 0, most, 1.0)
    square = backend.square_lengths(wide)[..., None]
    return wide / xp.sqrt(xp.where(square > 0, square, 1.0))


def unit_rows(patterns: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """:func:`unit_patterns` of NumPy's arrays, wherever they are worked on."""
    return unit_patterns(backend_named("numpy"), patterns, mask)


def from_choices(
    backend: Backend, similarity: Array | None, choices: Array | None, unit: Array | None
) -> Graph:
    """The graph in which each node is joined to its choices ``(..., N, k)``, and to who chose it.

    Weights are entries of ``similarity (..., N, N)``, or inner products of ``unit (..., N, d)``.
    """
    xp = backend.xp
    given: Any = similarity if unit is None else unit
    *batch, nodes, _ = given.shape
    count = math.prod(batch) * nodes
    device = backend.device(given)
    own = xp.arange(count, dtype=xp.int32, device=device)
    if choices is None:
        left = right = own[:0]
    else:
        k = choices.shape[-1]
        left = xp.reshape(xp.broadcast_to(own[:, None], (count, k)), (-1,))
        right = xp.reshape(choices, (-1,)) + (left - left % nodes)
    where, _, valued = symmetric_rows(backend, left, right, count)
    if unit is None:
        flat = xp.reshape(given, (-1,))
        weights = xp.take(flat, where.rows * nodes + where.columns % nodes, axis=0)
        weights = backend.astype(weights, backend.precise[weights.dtype])
    else:
        flat = xp.reshape(unit, (count, -1))
        weights = backend.pair_products(flat, flat, where)
    weights = xp.where(valued & (weights > 0), weights, 0.0)
    return pruned(Graph(where, weights, tuple(batch), nodes))


def approximate(backend: Backend, unit: Array, k: int, seed: int) -> Array | None:
    """The choices of pynndescent, of each element of the batch."""
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
    found = np.tile(np.arange(nodes, dtype=np.int32)[:, None], (math.prod(batch), 1, k))
    for choices, element in zip(found, values.reshape(-1, nodes, width), strict=True):
        # What is masked, or zero, is similar to none.
        some = np.nonzero(element.any(axis=1))[0]
        few = min(k, len(some) - 1)
        if few < 1:
            continue
        wide = min(max(few + 1, SEARCHED), len(some))
        index = NNDescent(element[some], metric="cosine", n_neighbors=wide, random_state=seed)
        near: np.ndarray = index.neighbor_graph[0]  # pyright: ignore[reportOptionalSubscript]
        near = near[:, : few + 1]
        number = np.arange(len(some))[:, None]
        # Itself is one of them; where it is not, the farthest is left out. -1 was not found.
        own = near == number
        own[~own.any(axis=1), -1] = True
        near = np.where(near < 0, number, near)[~own].reshape(-1, few)
        choices[some, :few] = some[near]
    return backend.asarray(
        found.reshape(*batch, nodes, k), dtype="int32", device=backend.device(unit)
    )
