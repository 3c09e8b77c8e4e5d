""":class:`GraphCache` keeps the graphs of patterns."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import partial
from typing import Any, NamedTuple

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import backend_of_input
from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._scalar_checks import as_integer
from hopcore.diffusion._config import DiffusionConfig
from hopcore.graphs._builder import PatternGraph, pattern_graph
from hopcore.graphs._knn import knn_graph, reweighted


@suggest_names
class GraphCache:
    """Keep the graphs of patterns, and find them by the values of the patterns.

    Patterns are compared with copies of earlier ones, value by value, so an array that was changed
    in place, or another array at the same memory address, is never confused with the first one.

    The values of a torch tensor on an accelerator are not read, since this would wait for the
    device. Its graph is found if the tensor is the same memory as before, and if autograd has not
    counted a change since then. In-place operations are counted, also those of optimizers and under
    ``torch.no_grad``. Changes through ``tensor.data``, or by a kernel of one's own, are not: call
    :meth:`clear` after them. Under a trace, in inference mode, and for other libraries on an
    accelerator, graphs are built every time and not kept.

    Parameters
    ----------
    config : DiffusionConfig
        ``k_neighbors``, ``use_normalized_laplacian`` and ``cache_graph`` are used.
    max_entries : int
        The number of graphs that are kept; the least recently used one is dropped first.

    Attributes
    ----------
    hits : int
        How often a graph was found in the cache.
    misses : int
        How often a graph was built.

    Notes
    -----
    Threads may share a cache. If the patterns need derivatives, only the choice of neighbours
    comes from the cache, and the weights are computed again.

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

    def __repr__(self) -> str:
        return f"GraphCache({self.config!r}, max_entries={self.max_entries})"

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy of a cache starts empty: locks and graphs are not copied.
        return partial(GraphCache, max_entries=self.max_entries), (self.config,)

    def __len__(self) -> int:
        """Return the number of graphs that are kept."""
        return len(self._entries)

    def get(
        self,
        patterns: Array,
        *,
        mask: Array | None = None,
        sources: tuple[Any, ...] | None = None,
    ) -> PatternGraph:
        """Return the graph of patterns ``(..., N, d)``; the mask is that of :func:`knn_graph`.

        ``sources`` is everything that patterns and mask were computed from, arrays and other
        values; the patterns and the mask themselves if not given. It matters on accelerators only,
        where these arrays have to be the same ones for the graph to be found. With an empty tuple,
        the graph is not kept there.
        """
        backend = backend_of_input("patterns", patterns)
        readable = backend.can_read_values(patterns)
        identity = None
        if not readable:
            given = (patterns, mask) if sources is None else sources
            identity = identity_of(backend, patterns, given)
            if identity is None:
                return self._build(patterns, mask)
        with self._lock:
            entry = None
            if self.config.cache_graph:
                entry = self._find(backend, patterns, mask, identity)
            self.hits += entry is not None
            self.misses += entry is None
        if not self.config.cache_graph:
            return self._build(patterns, mask)
        if entry is None:
            # Keep copies without derivatives.
            with backend.cache_context():
                kept = backend.xp.asarray(backend.constant(patterns), copy=True)
                kept_mask = None if mask is None else backend.xp.asarray(mask, copy=True)
                graph = self._build(kept, kept_mask)
                if identity is None:
                    entry = _Entry(backend, kept, kept_mask, graph)
                else:
                    entry = _Entry(backend, None, None, graph, identity)
            self._keep(entry)
        if backend.requires_gradient(patterns):
            return pattern_graph(reweighted(entry.graph.W, patterns, mask))
        return entry.graph

    def _build(self, patterns: Array, mask: Array | None) -> PatternGraph:
        graph = knn_graph(patterns, self.config.k_neighbors, mask=mask)
        return pattern_graph(graph.using(self.config.normalization))

    def clear(self) -> None:
        """Drop all graphs."""
        with self._lock:
            self._entries.clear()

    def _find(
        self, backend: Backend, patterns: Array, mask: Array | None, identity: Any
    ) -> _Entry | None:
        for number in [n for n, entry in self._entries.items() if entry.expired]:
            del self._entries[number]
        for number in reversed(self._entries):
            if self._entries[number].holds(backend, patterns, mask, identity):
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
    """A graph, with copies of the patterns and the mask that it was made from.

    Where values are not read, it has the identities of what patterns and mask were computed from.
    """

    backend: Backend
    patterns: Array
    mask: Array | None
    graph: PatternGraph
    identity: tuple[Any, ...] | None = None

    @property
    def expired(self) -> bool:
        """Whether no patterns can be those of this graph, since their memory no longer exists."""
        return any(getattr(x, "expired", False) for x in self.identity or ())

    def holds(
        self, backend: Backend, patterns: Array, mask: Array | None, identity: Any = None
    ) -> bool:
        """Return whether this is the graph of these patterns."""
        if identity is not None or self.identity is not None:
            return backend is self.backend and identity == self.identity
        if backend is not self.backend or (mask is None) != (self.mask is None):
            return False
        return same(backend, self.patterns, patterns) and (
            mask is None or same(backend, self.mask, mask)
        )


def identity_of(
    backend: Backend, patterns: Array, sources: tuple[Any, ...]
) -> tuple[Any, ...] | None:
    """Return what the sources of patterns are told apart by, or None if that is not known."""
    if not sources:
        return None
    found: list[Any] = [tuple(patterns.shape), patterns.dtype]
    for source in sources:
        part = source
        if hasattr(source, "dtype"):
            part = backend.identity(source)
            if part is None:
                return None
        found.append(part)
    return tuple(found)


def same(backend: Backend, kept: Array, other: Array) -> bool:
    """Return whether two arrays agree in shape, dtype, device and every value."""
    if kept.shape != other.shape or kept.dtype != other.dtype:
        return False
    if backend.device(kept) != backend.device(other):
        return False
    # Compare the first row before all of them.
    if kept.ndim > 1 and not bool(backend.xp.all(kept[:1, ...] == other[:1, ...])):
        return False
    return bool(backend.xp.all(kept == other))
