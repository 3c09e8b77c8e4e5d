"""hopcore for torch: layers, and the kernels that ``hopcore`` finds when it is handed tensors.

The layers have the names and arguments of those of :mod:`hopcore_jax`. The functions of diffusion
and graphs are those of :mod:`hopcore`, which take tensors like any other arrays. They are also
exported here, because difflayers exports them from the same package as its layers.
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
from hopcore_torch.layers import (
    HNL,
    HNM,
    DiffusedHopfield,
    EnergyTransformer,
    Hopfield,
    HopfieldAttention,
    HopfieldCore,
    HopfieldDecoderLayer,
    HopfieldEncoderLayer,
    HopfieldLayer,
    HopfieldPooling,
    LearnableTemperatureAttention,
    VectorQuantizer,
    attention,
    load_layer,
    replace_attention,
    restore_attention,
    save_layer,
    share_temperature,
)

__all__ = [  # noqa: RUF022 (as sorted() has it: HNL is no constant)
    "AttentionOperator",
    "DiffusedHopfield",
    "DiffusionConfig",
    "DiffusionOperator",
    "DynamicsEngine",
    "EnergyTracker",
    "EnergyTransformer",
    "FactoredDiffusion",
    "GraphBuilder",
    "GraphCache",
    "HNL",
    "HNM",
    "Hopfield",
    "HopfieldAttention",
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
    "attention",
    "build_knn_graph",
    "build_similarity_matrix",
    "compute_laplacian",
    "compute_normalized_laplacian",
    "load_layer",
    "replace_attention",
    "restore_attention",
    "save_layer",
    "share_temperature",
]

# Known before the first tensor is met, which may be inside a trace.
hopcore.backend("torch")
