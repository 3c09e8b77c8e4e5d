"""The temperature phase transition of a memory, in theory and for given patterns.

A hot memory answers every query with the same average, a cold one with a single pattern. For
equidistant patterns, :func:`transition` gives the temperatures of the change in closed form. For
all others, :func:`critical_betas` and :func:`sweep` find them by following fixed points, and
:func:`suggest_beta` chooses an inverse temperature. :func:`capacity` says how many patterns come
back from corrupted copies.
"""

from hopcore.phase._capacity import Capacity, RetrievingMemory, capacity
from hopcore.phase._compact_minima import CompactMinima, compact_minima
from hopcore.phase._critical import CriticalBetas, critical_betas
from hopcore.phase._effective_scale import effective_beta, effective_scale
from hopcore.phase._error_bound import retrieval_error_bound
from hopcore.phase._fixed_points import Minima, minima
from hopcore.phase._patterns import HypothesisWarning
from hopcore.phase._reduced_map import ReducedFixedPoint, cobweb, reduced_fixed_points, reduced_map
from hopcore.phase._sharpness import jacobian_radius, normalized_divergence
from hopcore.phase._suggest import Suggestion, suggest_beta
from hopcore.phase._sweep import Branch, Sweep, sweep
from hopcore.phase._theory import (
    Transition,
    centroid_beta,
    coexistence_beta,
    saddle_node_beta,
    transition,
)

__all__ = [
    "Branch",
    "Capacity",
    "CompactMinima",
    "CriticalBetas",
    "HypothesisWarning",
    "Minima",
    "ReducedFixedPoint",
    "RetrievingMemory",
    "Suggestion",
    "Sweep",
    "Transition",
    "capacity",
    "centroid_beta",
    "cobweb",
    "coexistence_beta",
    "compact_minima",
    "critical_betas",
    "effective_beta",
    "effective_scale",
    "jacobian_radius",
    "minima",
    "normalized_divergence",
    "reduced_fixed_points",
    "reduced_map",
    "retrieval_error_bound",
    "saddle_node_beta",
    "suggest_beta",
    "sweep",
    "transition",
]
