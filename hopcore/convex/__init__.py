r"""Memories of two convex functions: Hopfield's, Krotov's and Hopfield's, Fenchel-Young's, layers.

A Lagrangian L is a convex function. Its gradient is the activation of a layer of neurons, and its
conjugate :math:`L^*` the energy of the activated layer. With the Lagrangians :math:`\Phi` of hidden
neurons, one for each stored pattern, and :math:`\Psi^*` of the state, the energy and the update are

.. math::
    E(\xi) = \Psi(\xi) - \Phi(X \xi), \qquad
    \xi \leftarrow \nabla \Psi^*(X^T \nabla \Phi(X \xi)),

and the energy never rises. The classical network of 1982, polynomial and exponential memories and
the modern Hopfield network are choices of the two functions (Krotov and Hopfield 2021).
:class:`LayeredMemory` couples any number of layers under one energy.
"""

from hopcore.convex._classical import asynchronous_certain, asynchronous_retrieve
from hopcore.convex._lagrangians import (
    AbsoluteSum,
    Exponential,
    FenchelYoung,
    Lagrangian,
    LayerNorm,
    LogCosh,
    Norm,
    Polynomial,
    PowerNorm,
    Quadratic,
)
from hopcore.convex._layered import Coupling, LayeredMemory
from hopcore.convex._memory import ConvexMemory

__all__ = [
    "AbsoluteSum",
    "ConvexMemory",
    "Coupling",
    "Exponential",
    "FenchelYoung",
    "Lagrangian",
    "LayerNorm",
    "LayeredMemory",
    "LogCosh",
    "Norm",
    "Polynomial",
    "PowerNorm",
    "Quadratic",
    "asynchronous_certain",
    "asynchronous_retrieve",
]
