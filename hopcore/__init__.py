"""Modern Hopfield networks, defined once on the Python Array API."""

from hopcore.anchored import AttentionOperator, anchored_association
from hopcore.association import association, association_weights, merge_associations, update
from hopcore.backend import Backend
from hopcore.config import DiffusionConfig
from hopcore.diffused import DiffusedRetrieval, diffused_retrieve
from hopcore.diffusion import apply_diffusion, diffusion_operator
from hopcore.discovery import backend
from hopcore.dynamics import DynamicsEngine
from hopcore.energy import energy, energy_gradient, lse
from hopcore.explicit import FactoredDiffusion, IterativeDiffusion, SimpleDiffusion
from hopcore.graph import Graph
from hopcore.graph_cache import GraphBuilder, GraphCache, PatternGraph
from hopcore.heat import ChebyshevDiffusion, SpectralDiffusion
from hopcore.implicit import ImplicitDiffusion
from hopcore.laplacian import (
    Laplacian,
    compute_laplacian,
    compute_normalized_laplacian,
    compute_random_walk_laplacian,
)
from hopcore.neighbours import build_knn_graph, build_similarity_matrix, knn_graph
from hopcore.operand import dirichlet_energy
from hopcore.operator import DiffusionOperator
from hopcore.retrieval import Retrieval, retrieve
from hopcore.separation import Entmax, Separation, Softmax, separate
from hopcore.tracking import EnergyTracker, joint_weight

__version__ = "0.1.0"

__all__ = [
    "AttentionOperator",
    "Backend",
    "ChebyshevDiffusion",
    "DiffusedRetrieval",
    "DiffusionConfig",
    "DiffusionOperator",
    "DynamicsEngine",
    "EnergyTracker",
    "Entmax",
    "FactoredDiffusion",
    "Graph",
    "GraphBuilder",
    "GraphCache",
    "ImplicitDiffusion",
    "IterativeDiffusion",
    "Laplacian",
    "PatternGraph",
    "Retrieval",
    "Separation",
    "SimpleDiffusion",
    "Softmax",
    "SpectralDiffusion",
    "anchored_association",
    "apply_diffusion",
    "association",
    "association_weights",
    "backend",
    "build_knn_graph",
    "build_similarity_matrix",
    "compute_laplacian",
    "compute_normalized_laplacian",
    "compute_random_walk_laplacian",
    "diffused_retrieve",
    "diffusion_operator",
    "dirichlet_energy",
    "energy",
    "energy_gradient",
    "joint_weight",
    "knn_graph",
    "lse",
    "merge_associations",
    "retrieve",
    "separate",
    "update",
]
