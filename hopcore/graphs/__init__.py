"""Graphs of patterns: nearest neighbours, Laplacians, and the Dirichlet energy.

:func:`knn_graph` joins each pattern to its most similar ones and returns a sparse :class:`Graph`;
:class:`GraphBuilder` does the same step by step. :mod:`hopcore.diffusion` uses the Laplacian of a
graph to smooth patterns.
"""

from hopcore.graphs._builder import GraphBuilder, PatternGraph
from hopcore.graphs._dirichlet_energy import dirichlet_energy
from hopcore.graphs._graph import Graph
from hopcore.graphs._knn import build_knn_graph, build_similarity_matrix, knn_graph
from hopcore.graphs._laplacian import (
    Laplacian,
    compute_laplacian,
    compute_normalized_laplacian,
    compute_random_walk_laplacian,
)

__all__ = [
    "Graph",
    "GraphBuilder",
    "Laplacian",
    "PatternGraph",
    "build_knn_graph",
    "build_similarity_matrix",
    "compute_laplacian",
    "compute_normalized_laplacian",
    "compute_random_walk_laplacian",
    "dirichlet_energy",
    "knn_graph",
]
