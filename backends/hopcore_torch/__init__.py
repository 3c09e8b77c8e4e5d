"""hopcore for torch: layers, and the kernels that ``hopcore`` finds when it is handed tensors.

The functions of diffusion and graphs are those of :mod:`hopcore`, for tensors as for any array.
"""

import hopcore
from hopcore import (
    AttentionOperator,
    DiffusionConfig,
    DiffusionOperator,
    DynamicsEngine,
    EnergyTracker,
    FactoredDiffusion,
    GraphBuilder,
    GraphCache,
    IterativeDiffusion,
    SimpleDiffusion,
    SpectralDiffusion,
    apply_diffusion,
    build_knn_graph,
    build_similarity_matrix,
    compute_laplacian,
    compute_normalized_laplacian,
)
from hopcore_torch.kernels._backend import TorchBackend
from hopcore_torch.layers._checkpoint import load_layer, save_layer
from hopcore_torch.layers._core import HopfieldCore
from hopcore_torch.layers._hopfield import DiffusedHopfield, Hopfield
from hopcore_torch.layers._networks import HNL, HNM, VectorQuantizer
from hopcore_torch.layers._pooling import HopfieldLayer, HopfieldPooling
from hopcore_torch.layers._temperature import LearnableTemperatureAttention, share_room
from hopcore_torch.layers._transformer import HopfieldDecoderLayer, HopfieldEncoderLayer

__all__ = [  # noqa: RUF022 (as sorted() has it: HNL is no constant)
    "AttentionOperator",
    "DiffusedHopfield",
    "DiffusionConfig",
    "DiffusionOperator",
    "DynamicsEngine",
    "EnergyTracker",
    "FactoredDiffusion",
    "GraphBuilder",
    "GraphCache",
    "HNL",
    "HNM",
    "Hopfield",
    "HopfieldCore",
    "HopfieldDecoderLayer",
    "HopfieldEncoderLayer",
    "HopfieldLayer",
    "HopfieldPooling",
    "IterativeDiffusion",
    "LearnableTemperatureAttention",
    "SimpleDiffusion",
    "SpectralDiffusion",
    "TorchBackend",
    "VectorQuantizer",
    "apply_diffusion",
    "build_knn_graph",
    "build_similarity_matrix",
    "compute_laplacian",
    "compute_normalized_laplacian",
    "load_layer",
    "save_layer",
    "share_room",
]

# Known before the first tensor is met, which may be inside a trace.
hopcore.backend("torch")
