"""The temperature phase transition of a memory: theory, what real patterns do, which beta to take.

A hot memory answers every query with one average, a cold one with a single pattern. Where it goes
from the one to the other is known in closed form for patterns that are equally far from each other
(:mod:`~hopcore.phase.theory`), and is found by following fixed points for all others
(:mod:`~hopcore.phase.critical`, :mod:`~hopcore.phase.sweeps`).
"""

from hopcore.phase.critical import CriticalBetas, critical_betas
from hopcore.phase.fixed_points import Minima, minima
from hopcore.phase.hypotheses import HypothesisWarning
from hopcore.phase.reduced import ReducedFixedPoint, cobweb, reduced_fixed_points, reduced_map
from hopcore.phase.scale import effective_beta, effective_scale
from hopcore.phase.separations import retrieval_error_bound
from hopcore.phase.sharpness import jacobian_radius, normalized_divergence
from hopcore.phase.suggestion import Suggestion, suggest_beta
from hopcore.phase.sweeps import Branch, Sweep, sweep
from hopcore.phase.theory import (
    Transition,
    centroid_beta,
    coexistence_beta,
    saddle_node_beta,
    transition,
)

__all__ = [
    "Branch",
    "CriticalBetas",
    "HypothesisWarning",
    "Minima",
    "ReducedFixedPoint",
    "Suggestion",
    "Sweep",
    "Transition",
    "centroid_beta",
    "cobweb",
    "coexistence_beta",
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
