"""Diffusion over a graph of patterns, and retrieval from a diffused memory.

A :class:`DiffusionOperator` smooths features with the Laplacian of a graph.
:class:`DiffusionConfig` chooses the operator and its strength eta. :func:`diffused_retrieve` and
:class:`DynamicsEngine` combine diffusion with association.
"""

from hopcore.diffusion._cache import GraphCache
from hopcore.diffusion._config import Adaptive, DiffusionConfig
from hopcore.diffusion._diffused_result import DiffusedRetrieval
from hopcore.diffusion._energy_tracker import EnergyTracker, joint_weight
from hopcore.diffusion._engine import DynamicsEngine
from hopcore.diffusion._explicit import FactoredDiffusion, IterativeDiffusion, SimpleDiffusion
from hopcore.diffusion._graph_attention import (
    AttentionMode,
    AttentionOperator,
    anchored_association,
)
from hopcore.diffusion._heat import ChebyshevDiffusion, SpectralDiffusion
from hopcore.diffusion._implicit import ImplicitDiffusion
from hopcore.diffusion._modes import Mode, apply_diffusion, diffusion_operator
from hopcore.diffusion._operator import DiffusionOperator
from hopcore.diffusion._retrieve import diffused_retrieve

__all__ = [
    "Adaptive",
    "AttentionMode",
    "AttentionOperator",
    "ChebyshevDiffusion",
    "DiffusedRetrieval",
    "DiffusionConfig",
    "DiffusionOperator",
    "DynamicsEngine",
    "EnergyTracker",
    "FactoredDiffusion",
    "GraphCache",
    "ImplicitDiffusion",
    "IterativeDiffusion",
    "Mode",
    "SimpleDiffusion",
    "SpectralDiffusion",
    "anchored_association",
    "apply_diffusion",
    "diffused_retrieve",
    "diffusion_operator",
    "joint_weight",
]
