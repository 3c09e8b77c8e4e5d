r"""The modern Hopfield network: separation functions, associations, energies, retrieval.

With stored patterns X, a state pattern :math:`\xi`, an inverse temperature :math:`\beta` and a
separation function w, the update is :math:`f(\xi) = X^T w(\beta X \xi)`; each update lowers the
energy, and retrieval repeats it until the state rests.
"""

from hopcore.memory._association import association, association_weights, merge_associations, update
from hopcore.memory._compact import Epanechnikov
from hopcore.memory._energy import energy, energy_gradient, lse
from hopcore.memory._entmax import Entmax
from hopcore.memory._entmax_loss import entmax_loss
from hopcore.memory._fused_limits import fused_gpu_refusal, fused_refusal
from hopcore.memory._fused_tiles import FusedOrder, FusedTiles
from hopcore.memory._k_subsets import KSubsets
from hopcore.memory._known import Unknown
from hopcore.memory._learnable_alpha import LearnableAlpha, learned_alpha
from hopcore.memory._metric import Metric
from hopcore.memory._normmax import Normmax
from hopcore.memory._random_features import RandomFeatures
from hopcore.memory._retrieval import Retrieval, retrieve
from hopcore.memory._scores import Similarity
from hopcore.memory._separation import (
    Separation,
    SeparationName,
    Softmax,
    get_separation,
    separate,
)
from hopcore.memory._sequence import recall_sequence
from hopcore.memory._statistics import Statistics, statistics
from hopcore.memory._stopping_loop import Gradient

__all__ = [
    "Entmax",
    "Epanechnikov",
    "FusedOrder",
    "FusedTiles",
    "Gradient",
    "KSubsets",
    "LearnableAlpha",
    "Metric",
    "Normmax",
    "RandomFeatures",
    "Retrieval",
    "Separation",
    "SeparationName",
    "Similarity",
    "Softmax",
    "Statistics",
    "Unknown",
    "association",
    "association_weights",
    "energy",
    "energy_gradient",
    "entmax_loss",
    "fused_gpu_refusal",
    "fused_refusal",
    "get_separation",
    "learned_alpha",
    "lse",
    "merge_associations",
    "recall_sequence",
    "retrieve",
    "separate",
    "statistics",
    "update",
]
