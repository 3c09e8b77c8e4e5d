"""The calls of which ``python -m benchmarks.complexity`` measures time and memory.

Each function takes the sizes of a call, makes its arguments, and returns the call: L queries, N
stored patterns, d components.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import hopcore
from hopcore.diffusion import AttentionMode, Mode, anchored_association

SEED, NEIGHBORS, ETA, STEPS, HEADS = 0, 8, 0.05, 10, 4
"""Of the patterns; neighbours in a graph; strength and steps of diffusion; heads of a layer."""

ON_A_GRAPH: dict[str, Mode] = {
    "simple, of a graph": "simple",
    "iterative, 10 steps": "iterative",
    "chebyshev": "chebyshev",
    "implicit": "implicit",
}
"""The modes of diffusion that are measured on a graph, by the names of their rows."""

Call = Callable[[], Any]


def normal(*shape: int) -> np.ndarray:
    """Draw standard normal numbers of float32."""
    return np.random.default_rng(SEED).standard_normal(shape).astype(np.float32)


def association(L: int, N: int, d: int) -> Call:
    """One update of L queries."""
    state, stored = normal(L, d), normal(N, d)
    return lambda: hopcore.association(state, stored, beta=d**-0.5)


def retrieval(L: int, N: int, d: int) -> Call:
    """Five updates of L queries, and the energy."""
    state, stored = normal(L, d), normal(N, d)
    return lambda: hopcore.retrieve(state, stored, d**-0.5, max_steps=5, tol=0.0)


def similarity(N: int, d: int) -> Call:
    """The cosines of all pairs."""
    stored = normal(N, d)
    return lambda: hopcore.build_similarity_matrix(stored)


def neighbors(N: int, d: int) -> Call:
    """The exact nearest neighbours of all patterns."""
    stored = normal(N, d)
    return lambda: hopcore.knn_graph(stored, NEIGHBORS)


def dense_neighbors(*, as_sparse: bool) -> Callable[..., Call]:
    """The nearest neighbours of all patterns, chosen from all similarities, which are given."""

    def make(N: int, d: int) -> Call:
        given = hopcore.build_similarity_matrix(normal(N, d))
        return lambda: hopcore.build_knn_graph(given, NEIGHBORS, as_sparse)

    return make


def dense_laplacian(N: int) -> Call:
    """The Laplacian of an array of weights."""
    weights = ring(N).to_dense()
    return lambda: hopcore.compute_laplacian(weights)


def diffusion(mode: Mode, *, dense: bool = False) -> Callable[..., Call]:
    """Diffuse N patterns over the graph of their neighbours, or over its dense Laplacian."""

    def make(N: int, d: int) -> Call:
        stored = normal(N, d)
        graph = ring(N)
        given = hopcore.compute_laplacian(graph.to_dense() if dense else graph)
        steps = STEPS if mode == "iterative" else 1
        return lambda: hopcore.apply_diffusion(stored, given, ETA, mode, steps)

    return make


def spectral_kernel(N: int) -> Call:
    """Make the spectral operator, which decomposes a dense Laplacian."""
    given = hopcore.compute_laplacian(ring(N).to_dense())
    return lambda: hopcore.SpectralDiffusion(given, ETA)


def spectral_step(N: int, d: int) -> Call:
    """Apply a spectral operator that is made before."""
    stored = normal(N, d)
    operator = hopcore.SpectralDiffusion(hopcore.compute_laplacian(ring(N).to_dense()), ETA)
    return lambda: operator(stored)


def ring(N: int) -> Any:
    """A graph of N nodes with as many neighbours each as in the other measurements."""
    start = np.repeat(np.arange(N), NEIGHBORS // 2)
    ahead = np.tile(np.arange(1, NEIGHBORS // 2 + 1), N)
    ends = np.stack([start, (start + ahead) % N])
    return hopcore.Graph.from_edges(ends, np.ones(len(start), np.float32), N)


def anchored(L: int, N: int, d: int) -> Call:
    """Restrict each query to the neighbours of its best-matching pattern."""
    state, stored, graph = normal(L, d), normal(N, d), ring(N)
    return lambda: anchored_association(state, stored, beta=d**-0.5, graph=graph)


def diffused(attention_mode: AttentionMode) -> Callable[..., Call]:
    """Diffuse N patterns over a given graph in several steps, and associate L queries with them."""

    def make(L: int, N: int, d: int) -> Call:
        state, stored, graph = normal(L, d), normal(N, d), ring(N)
        config = hopcore.DiffusionConfig(
            eta=ETA, steps=STEPS, diffusion_mode="factored", attention_mode=attention_mode,
            k_neighbors=NEIGHBORS,
        )  # fmt: skip
        return lambda: hopcore.diffused_retrieve(
            state, stored, d**-0.5, config=config, values="untied", graph=graph
        )

    return make


def layer(N: int, d: int) -> Call:
    """A Hopfield layer in which N patterns of depth d associate with themselves."""
    settings = hopcore.HopfieldSettings(input_size=d, num_heads=HEADS)
    parameters = hopcore.initial_parameters(settings)
    stored = normal(1, N, d)
    return lambda: hopcore.hopfield(settings, parameters, stored)
