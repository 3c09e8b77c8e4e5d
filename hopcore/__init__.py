"""Modern Hopfield networks, defined once on the Python Array API."""

from hopcore.association import association, association_weights, merge_associations, update
from hopcore.backend import Backend
from hopcore.discovery import backend
from hopcore.energy import energy, energy_gradient, lse
from hopcore.retrieval import Retrieval, retrieve
from hopcore.separation import Entmax, Separation, Softmax, separate

__version__ = "0.1.0"

__all__ = [
    "Backend",
    "Entmax",
    "Retrieval",
    "Separation",
    "Softmax",
    "association",
    "association_weights",
    "backend",
    "energy",
    "energy_gradient",
    "lse",
    "merge_associations",
    "retrieve",
    "separate",
    "update",
]
