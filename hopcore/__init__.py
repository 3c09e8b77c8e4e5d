"""Modern Hopfield networks, defined once on the Python Array API."""

from hopcore.anchored import AttentionOperator, anchored_association
from hopcore.association import association, association_weights, merge_associations, update
from hopcore.backend import Backend
from hopcore.checkpoint import SavedLayer, load_layer, save_layer
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
from hopcore.layer_settings import (
    DecoderSettings,
    EncoderSettings,
    LookupSettings,
    PoolingSettings,
)
from hopcore.layers import hopfield, hopfield_projections, hopfield_weights
from hopcore.learnable import LearnableTemperature, temperature_profile
from hopcore.neighbours import build_knn_graph, build_similarity_matrix, knn_graph
from hopcore.network import effective_memory, hnl, hnm, hnm_cross_entropy_loss, straight_through
from hopcore.network_settings import HNLSettings, HNMSettings, QuantizerSettings
from hopcore.operand import dirichlet_energy
from hopcore.operator import DiffusionOperator
from hopcore.parameters import initial_parameters, parameter_shapes
from hopcore.phase import (
    Branch,
    CriticalBetas,
    HypothesisWarning,
    Minima,
    ReducedFixedPoint,
    Suggestion,
    Sweep,
    Transition,
    centroid_beta,
    cobweb,
    coexistence_beta,
    critical_betas,
    effective_beta,
    effective_scale,
    jacobian_radius,
    minima,
    normalized_divergence,
    reduced_fixed_points,
    reduced_map,
    retrieval_error_bound,
    saddle_node_beta,
    suggest_beta,
    sweep,
    transition,
)
from hopcore.phase_aware import PhaseAware
from hopcore.pooling import hopfield_lookup, hopfield_pooling
from hopcore.quantizer import Quantized, quantize
from hopcore.retrieval import Retrieval, retrieve
from hopcore.schedule import Joined, Schedule
from hopcore.schedule_kinds import (
    Constant,
    Cosine,
    Exponential,
    Geometric,
    Linear,
    compute_annealed_temperature,
)
from hopcore.separation import Entmax, Separation, Softmax, separate
from hopcore.settings import HopfieldSettings
from hopcore.streaming import Streamed
from hopcore.tracking import EnergyTracker, joint_weight
from hopcore.transformer import decoder_layer, encoder_layer

__version__ = "0.1.0"

__all__ = [
    "AttentionOperator",
    "Backend",
    "Branch",
    "ChebyshevDiffusion",
    "Constant",
    "Cosine",
    "CriticalBetas",
    "DecoderSettings",
    "DiffusedRetrieval",
    "DiffusionConfig",
    "DiffusionOperator",
    "DynamicsEngine",
    "EncoderSettings",
    "EnergyTracker",
    "Entmax",
    "Exponential",
    "FactoredDiffusion",
    "Geometric",
    "Graph",
    "GraphBuilder",
    "GraphCache",
    "HNLSettings",
    "HNMSettings",
    "HopfieldSettings",
    "HypothesisWarning",
    "ImplicitDiffusion",
    "IterativeDiffusion",
    "Joined",
    "Laplacian",
    "LearnableTemperature",
    "Linear",
    "LookupSettings",
    "Minima",
    "PatternGraph",
    "PhaseAware",
    "PoolingSettings",
    "Quantized",
    "QuantizerSettings",
    "ReducedFixedPoint",
    "Retrieval",
    "SavedLayer",
    "Schedule",
    "Separation",
    "SimpleDiffusion",
    "Softmax",
    "SpectralDiffusion",
    "Streamed",
    "Suggestion",
    "Sweep",
    "Transition",
    "anchored_association",
    "apply_diffusion",
    "association",
    "association_weights",
    "backend",
    "build_knn_graph",
    "build_similarity_matrix",
    "centroid_beta",
    "cobweb",
    "coexistence_beta",
    "compute_annealed_temperature",
    "compute_laplacian",
    "compute_normalized_laplacian",
    "compute_random_walk_laplacian",
    "critical_betas",
    "decoder_layer",
    "diffused_retrieve",
    "diffusion_operator",
    "dirichlet_energy",
    "effective_beta",
    "effective_memory",
    "effective_scale",
    "encoder_layer",
    "energy",
    "energy_gradient",
    "hnl",
    "hnm",
    "hnm_cross_entropy_loss",
    "hopfield",
    "hopfield_lookup",
    "hopfield_pooling",
    "hopfield_projections",
    "hopfield_weights",
    "initial_parameters",
    "jacobian_radius",
    "joint_weight",
    "knn_graph",
    "load_layer",
    "lse",
    "merge_associations",
    "minima",
    "normalized_divergence",
    "parameter_shapes",
    "quantize",
    "reduced_fixed_points",
    "reduced_map",
    "retrieval_error_bound",
    "retrieve",
    "saddle_node_beta",
    "save_layer",
    "separate",
    "straight_through",
    "suggest_beta",
    "sweep",
    "temperature_profile",
    "transition",
    "update",
]
