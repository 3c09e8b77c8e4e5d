"""Graphs of patterns, built step by step (:class:`GraphBuilder`) or kept (:class:`GraphCache`)."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import partial
from typing import Any, NamedTuple

from hopcore.arrays import backend_of_input
from hopcore.backend import Array, Backend
from hopcore.config import DiffusionConfig
from hopcore.graph import Graph, Normalization
from hopcore.laplacian import dense_laplacian, laplacian_of
from hopcore.neighbours import build_knn_graph, build_similarity_matrix, knn_graph, weighted
from hopcore.number_checks import count


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


class GraphBuilder:
    """Builds the graph of patterns ``(..., N, d)`` in a chain of named steps.

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

    def cosine_similarity(self) -> GraphBuilder:
        """Compare patterns by their cosine, negatives set to 0; there is no other way yet."""
        return self

    def knn(self, k: int, sparse: bool = False) -> GraphBuilder:
        """Join each pattern to its k most similar; ``sparse`` never forms an (N, N) array."""
        self._k, self._sparse = k, sparse
        return self

    def laplacian(self) -> GraphBuilder:
        """Take the unnormalised Laplacian."""
        return self._taking("none")

    def normalized_laplacian(self) -> GraphBuilder:
        """Take the symmetric normalised Laplacian."""
        return self._taking("symmetric")

    def random_walk_laplacian(self) -> GraphBuilder:
        """Take the random-walk Laplacian."""
        return self._taking("random_walk")

    def _taking(self, normalization: Normalization) -> GraphBuilder:
        self._normalization = normalization
        return self

    def build(self) -> PatternGraph:
        """Laplacian, adjacency and degrees."""
        if self._sparse:
            graph = knn_graph(self._patterns, self._k, mask=self._mask)
            return described(graph.using(self._normalization))
        similarity = build_similarity_matrix(self._patterns, mask=self._mask)
        matrix: Any = build_knn_graph(similarity, self._k)
        degree = backend_of_input("patterns", matrix).xp.sum(matrix, axis=-1)
        return PatternGraph(dense_laplacian(matrix, self._normalization), matrix, degree)


def described(graph: Graph) -> PatternGraph:
    """A graph with its Laplacian and degrees."""
    return PatternGraph(laplacian_of(graph, graph.normalization), graph, graph.deg)


class GraphCache:
    """Keeps the graphs of patterns it has seen, by the content of the patterns.

    Patterns are compared with copies of those seen before, value by value: an array that was
    changed in place, or another one at the same address, is another key. Under a trace, and on
    accelerators, where values are not visible, graphs are built anew and not kept.

    Parameters
    ----------
    config : DiffusionConfig
        ``k_neighbors``, ``use_normalized_laplacian`` and ``cache_graph`` are used.
    max_entries : int
        So many graphs are kept; the one used longest ago goes first.

    Attributes
    ----------
    hits : int
        How often a graph was found.
    misses : int
        How often it was built.

    Notes
    -----
    Safe to share between threads. Where a derivative by the patterns may be asked for, only the
    choice of neighbours is taken from the cache, and the weights are computed again.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> cache = hopcore.GraphCache(hopcore.DiffusionConfig(k_neighbors=1))
    >>> X = np.asarray([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    >>> cache.get(X).L is cache.get(X.copy()).L, cache.hits, cache.misses
    (True, 1, 1)
    """

    def __init__(self, config: DiffusionConfig, *, max_entries: int = 8) -> None:
        self.config, self.max_entries = config, count("max_entries", max_entries, 1)
        self.hits = self.misses = 0
        self._lock = threading.Lock()
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        self._number = 0

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy, as of a layer that has one, starts empty: locks and graphs are not copied.
        return partial(GraphCache, max_entries=self.max_entries), (self.config,)

    def __len__(self) -> int:
        """How many graphs are kept."""
        return len(self._entries)

    def get(self, patterns: Array, *, mask: Array | None = None) -> PatternGraph:
        """The graph of patterns ``(..., N, d)``; see :func:`hopcore.knn_graph` for the mask."""
        backend = backend_of_input("patterns", patterns)
        if not backend.visible(patterns):
            return self._built(patterns, mask)
        keeps = self.config.cache_graph
        with self._lock:
            found = self._find(backend, patterns, mask) if keeps else None
            if found is None:
                self.misses += 1
            else:
                self.hits += 1
        if not keeps:
            return self._built(patterns, mask)
        if found is None:
            # Copies of their own, and no derivatives, so that they can be kept.
            with backend.lasting():
                still = backend.xp.asarray(backend.constant(patterns), copy=True)
                shown = None if mask is None else backend.xp.asarray(mask, copy=True)
                found = _Entry(backend, still, shown, self._built(still, shown))
            self._keep(found)
        if backend.differentiated(patterns):
            return described(weighted(found.graph.W, patterns, mask))
        return found.graph

    def _built(self, patterns: Array, mask: Array | None) -> PatternGraph:
        graph = knn_graph(patterns, self.config.k_neighbors, mask=mask)
        return described(graph.using(self.config.normalization))

    def clear(self) -> None:
        """Forget all graphs."""
        with self._lock:
            self._entries.clear()

    def _find(self, backend: Backend, patterns: Array, mask: Array | None) -> _Entry | None:
        for number in reversed(self._entries):
            if self._entries[number].holds(backend, patterns, mask):
                self._entries.move_to_end(number)
                return self._entries[number]
        return None

    def _keep(self, entry: _Entry) -> None:
        with self._lock:
            self._entries[self._number] = entry
            self._number += 1
            while len(self._entries) > self.max_entries:
                self._entries.popitem(last=False)


class _Entry(NamedTuple):
    """A graph that is kept, and copies of what it was made from."""

    backend: Backend
    patterns: Array
    mask: Array | None
    graph: PatternGraph

    def holds(self, backend: Backend, patterns: Array, mask: Array | None) -> bool:
        """Whether it is the graph of these patterns."""
        if backend is not self.backend or (mask is None) != (self.mask is None):
            return False
        return same(backend, self.patterns, patterns) and (
            mask is None or same(backend, self.mask, mask)
        )


def same(backend: Backend, kept: Array, given: Array) -> bool:
    """Whether two arrays agree in shape, dtype and every value."""
    if kept.shape != given.shape or kept.dtype != given.dtype:
        return False
    if backend.device(kept) != backend.device(given):
        return False
    # A look at the first row, before all are compared.
    if kept.ndim > 1 and not bool(backend.xp.all(kept[:1, ...] == given[:1, ...])):
        return False
    return bool(backend.xp.all(kept == given))
