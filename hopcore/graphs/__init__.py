"""Graphs of patterns: nearest neighbours, Laplacians, and how rough features are on a graph.

:func:`knn_graph` builds a sparse :class:`Graph`; :class:`GraphBuilder` does it step by step.
"""

from hopcore.graphs._builder import GraphBuilder, PatternGraph
from hopcore.graphs._dense_laplacian import dirichlet_energy
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
