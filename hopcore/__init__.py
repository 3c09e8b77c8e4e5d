"""Modern Hopfield networks, defined once on the Python Array API.

The names of daily use are here. Every subject is a package of its own with all of its names:

- :mod:`hopcore.memory`: energies, associations, updates, retrieval, separation functions;
- :mod:`hopcore.convex`: classical, polynomial and layered memories, of two convex functions;
- :mod:`hopcore.prepared`: memories that grow, and certify their answers;
- :mod:`hopcore.streamed`: memories that are larger than the machine;
- :mod:`hopcore.graphs` and :mod:`hopcore.diffusion`: graphs of patterns, and diffusion over them;
- :mod:`hopcore.phase`: the temperature phase transition, and which beta to take;
- :mod:`hopcore.schedules`: annealing schedules and learnable temperatures;
- :mod:`hopcore.layers`: Hopfield layers as functions, their settings and checkpoints;
- :mod:`hopcore.sklearn`: estimators of scikit-learn (needs its extra);
- :mod:`hopcore.training`, :mod:`hopcore.plots`, :mod:`hopcore.files`: training, pictures, files;
- :mod:`hopcore.datasets`: images to try all of this with;
- :mod:`hopcore.arrays`: what a backend is.

A package is imported when one of its names is first used, so that ``import hopcore`` costs nothing.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # A package is an attribute, too; see ``__getattr__``.
    from hopcore import arrays as arrays
    from hopcore import convex as convex
    from hopcore import datasets as datasets
    from hopcore import diffusion as diffusion
    from hopcore import files as files
    from hopcore import graphs as graphs
    from hopcore import layers as layers
    from hopcore import memory as memory
    from hopcore import phase as phase
    from hopcore import plots as plots
    from hopcore import prepared as prepared
    from hopcore import schedules as schedules
    from hopcore import sklearn as sklearn
    from hopcore import streamed as streamed
    from hopcore import training as training
    from hopcore.arrays import Backend, as_patterns, backend
    from hopcore.diffusion import (
        AttentionOperator,
        ChebyshevDiffusion,
        DiffusionConfig,
        DiffusionOperator,
        DynamicsEngine,
        EnergyTracker,
        FactoredDiffusion,
        GraphCache,
        ImplicitDiffusion,
        IterativeDiffusion,
        SimpleDiffusion,
        SpectralDiffusion,
        apply_diffusion,
        diffused_retrieve,
        diffusion_operator,
    )
    from hopcore.graphs import (
        Graph,
        GraphBuilder,
        Laplacian,
        build_knn_graph,
        build_similarity_matrix,
        compute_laplacian,
        compute_normalized_laplacian,
        compute_random_walk_laplacian,
        dirichlet_energy,
        knn_graph,
    )
    from hopcore.layers import (
        HopfieldSettings,
        hopfield,
        initial_parameters,
        load_layer,
        save_layer,
    )
    from hopcore.memory import (
        Entmax,
        Epanechnikov,
        KSubsets,
        LearnableAlpha,
        Normmax,
        Retrieval,
        Softmax,
        Statistics,
        association,
        association_weights,
        energy,
        energy_gradient,
        entmax_loss,
        lse,
        merge_associations,
        recall_sequence,
        retrieve,
        separate,
        statistics,
        update,
    )
    from hopcore.phase import critical_betas, suggest_beta, transition
    from hopcore.prepared import Memory
    from hopcore.schedules import (
        Constant,
        Cosine,
        Exponential,
        Geometric,
        LearnableTemperature,
        Linear,
        PhaseAware,
    )
    from hopcore.streamed import Streamed

__version__ = "0.1.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent unless a program listens

PACKAGES = (
    "arrays", "cli", "convex", "datasets", "diffusion", "experiments", "files", "graphs", "layers",
    "memory", "phase", "plots", "prepared", "schedules", "sklearn", "streamed", "training",
)  # fmt: skip

NAMES = {
    "arrays": (
        "Backend",
        "as_patterns",
        "backend",
    ),
    "memory": (
        "Entmax",
        "Epanechnikov",
        "KSubsets",
        "LearnableAlpha",
        "Normmax",
        "Retrieval",
        "Softmax",
        "Statistics",
        "association",
        "association_weights",
        "energy",
        "energy_gradient",
        "entmax_loss",
        "lse",
        "merge_associations",
        "recall_sequence",
        "retrieve",
        "separate",
        "statistics",
        "update",
    ),
    "streamed": ("Streamed",),
    "graphs": (
        "Graph",
        "GraphBuilder",
        "Laplacian",
        "build_knn_graph",
        "build_similarity_matrix",
        "compute_laplacian",
        "compute_normalized_laplacian",
        "compute_random_walk_laplacian",
        "dirichlet_energy",
        "knn_graph",
    ),
    "diffusion": (
        "AttentionOperator",
        "ChebyshevDiffusion",
        "DiffusionConfig",
        "DiffusionOperator",
        "DynamicsEngine",
        "EnergyTracker",
        "FactoredDiffusion",
        "GraphCache",
        "ImplicitDiffusion",
        "IterativeDiffusion",
        "SimpleDiffusion",
        "SpectralDiffusion",
        "apply_diffusion",
        "diffused_retrieve",
        "diffusion_operator",
    ),
    "phase": (
        "critical_betas",
        "suggest_beta",
        "transition",
    ),
    "prepared": ("Memory",),
    "schedules": (
        "Constant",
        "Cosine",
        "Exponential",
        "Geometric",
        "LearnableTemperature",
        "Linear",
        "PhaseAware",
    ),
    "layers": (
        "HopfieldSettings",
        "hopfield",
        "initial_parameters",
        "load_layer",
        "save_layer",
    ),
}
"""The names of daily use, by the package in which each one lives."""

MODULES = (
    "DiffusedHopfield", "HNL", "HNM", "Hopfield", "HopfieldCore", "HopfieldDecoderLayer",
    "HopfieldEncoderLayer", "HopfieldLayer", "HopfieldPooling", "LearnableTemperatureAttention",
    "VectorQuantizer",
)  # fmt: skip
"""Layers that are modules of torch and of JAX."""

MEANT = {
    "attention": "association",
    "logsumexp": "lse",
    "scaled_dot_product_attention": "association",
    "softmax": "separate",
    "sparsemax": "separate",
}
"""Names of other libraries, and those that do the same here."""

_HOME = {name: package for package, names in NAMES.items() for name in names}

__all__ = [
    "AttentionOperator",
    "Backend",
    "ChebyshevDiffusion",
    "Constant",
    "Cosine",
    "DiffusionConfig",
    "DiffusionOperator",
    "DynamicsEngine",
    "EnergyTracker",
    "Entmax",
    "Epanechnikov",
    "Exponential",
    "FactoredDiffusion",
    "Geometric",
    "Graph",
    "GraphBuilder",
    "GraphCache",
    "HopfieldSettings",
    "ImplicitDiffusion",
    "IterativeDiffusion",
    "KSubsets",
    "Laplacian",
    "LearnableAlpha",
    "LearnableTemperature",
    "Linear",
    "Memory",
    "Normmax",
    "PhaseAware",
    "Retrieval",
    "SimpleDiffusion",
    "Softmax",
    "SpectralDiffusion",
    "Statistics",
    "Streamed",
    "apply_diffusion",
    "as_patterns",
    "association",
    "association_weights",
    "backend",
    "build_knn_graph",
    "build_similarity_matrix",
    "compute_laplacian",
    "compute_normalized_laplacian",
    "compute_random_walk_laplacian",
    "critical_betas",
    "diffused_retrieve",
    "diffusion_operator",
    "dirichlet_energy",
    "energy",
    "energy_gradient",
    "entmax_loss",
    "hopfield",
    "initial_parameters",
    "knn_graph",
    "load_layer",
    "lse",
    "merge_associations",
    "recall_sequence",
    "retrieve",
    "save_layer",
    "separate",
    "statistics",
    "suggest_beta",
    "transition",
    "update",
]


def __getattr__(name: str) -> Any:
    """Import the package in which a name lives, and keep the name."""
    if name in _HOME:
        value = getattr(import_module(f"hopcore.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    if name in PACKAGES:
        return import_module(f"hopcore.{name}")
    raise AttributeError(f"module 'hopcore' has no attribute {name!r}{_advice(name)}")


def _advice(name: str) -> str:
    """Say where a name is that is not here, as far as that can be guessed."""
    if name.startswith("_"):
        return ""
    if name in MODULES:
        return f": modules are in the adapters, hopcore_torch.{name} and hopcore_jax.{name}"
    from difflib import get_close_matches  # noqa: PLC0415  only where something is wrong

    near = [MEANT[name]] if name in MEANT else get_close_matches(name, __dir__(), 1)
    return f": did you mean hopcore.{near[0]}?" if near else ""


def __dir__() -> list[str]:
    """The names of daily use and the packages."""
    return sorted([*__all__, *PACKAGES, "__version__"])
