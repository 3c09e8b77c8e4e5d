"""Graphs of patterns that were seen before: :class:`GraphCache`."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import partial
from typing import Any, NamedTuple

from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._inputs import backend_of_input
from hopcore.arrays._validation import as_integer
from hopcore.diffusion._config import DiffusionConfig
from hopcore.graphs._builder import PatternGraph, pattern_graph
from hopcore.graphs._knn import knn_graph, weighted


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
        self.config, self.max_entries = config, as_integer("max_entries", max_entries, 1)
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
        if not backend.can_read_values(patterns):
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
            with backend.cache_context():
                still = backend.xp.asarray(backend.constant(patterns), copy=True)
                shown = None if mask is None else backend.xp.asarray(mask, copy=True)
                found = _Entry(backend, still, shown, self._built(still, shown))
            self._keep(found)
        if backend.requires_gradient(patterns):
            return pattern_graph(weighted(found.graph.W, patterns, mask))
        return found.graph

    def _built(self, patterns: Array, mask: Array | None) -> PatternGraph:
        graph = knn_graph(patterns, self.config.k_neighbors, mask=mask)
        return pattern_graph(graph.using(self.config.normalization))

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
