r"""The modes of diffusion, by name: linear maps that smooth patterns over a graph.

All of them are functions of a Laplacian L and a strength eta:

========== ==================================== =============================================
simple     :math:`(I - \eta L) x`               one explicit step
iterative  :math:`(I - \eta L)^T x`             T explicit steps
factored   the same                             from weights and degrees, by sums over edges
spectral   :math:`e^{-\eta L} x`                exact heat kernel, by eigenvalues, dense
chebyshev  :math:`e^{-\eta L} x`                heat kernel to a tolerance, by sums over edges
implicit   :math:`(I + \eta L)^{-1} x`          implicit step, stable for every eta
========== ==================================== =============================================

Explicit steps are stable up to :math:`\eta = 2/\lambda_{max}`; a larger eta raises an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._library import SomeArray
from hopcore.arrays._scalar_checks import short_repr
from hopcore.diffusion._explicit import Explicit, IterativeDiffusion, SimpleDiffusion
from hopcore.diffusion._heat import ChebyshevDiffusion, SpectralDiffusion
from hopcore.diffusion._implicit import ImplicitDiffusion
from hopcore.diffusion._operator import DiffusionOperator

Mode: TypeAlias = Literal["factored", "simple", "iterative", "spectral", "chebyshev", "implicit"]
"""The names of the diffusion operators."""

OPERATORS: dict[str, Callable[..., DiffusionOperator]] = {
    "simple": lambda laplacian, eta, steps: SimpleDiffusion(laplacian, eta),
    "iterative": IterativeDiffusion,
    "factored": Explicit,
    "spectral": lambda laplacian, eta, steps: SpectralDiffusion(laplacian, eta),
    "chebyshev": lambda laplacian, eta, steps: ChebyshevDiffusion(laplacian, eta),
    "implicit": lambda laplacian, eta, steps: ImplicitDiffusion(laplacian, eta),
}


@suggest_names
def diffusion_operator(
    laplacian: Any, eta: Any, mode: Mode = "simple", steps: int = 3
) -> DiffusionOperator:
    """Return the diffusion operator of a mode.

    Parameters
    ----------
    laplacian : Laplacian, Graph or array (..., N, N)
    eta : float or array
        Strength, >= 0.
    mode : {"simple", "iterative", "factored", "spectral", "chebyshev", "implicit"}
    steps : int
        Steps of ``"iterative"`` and ``"factored"``.

    Raises
    ------
    ValueError
        The mode is unknown, or explicit steps grow with this eta.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> graph = hopcore.Graph.from_dense(np.asarray([[0.0, 1.0], [1.0, 0.0]]))
    >>> hopcore.diffusion_operator(graph, 100.0, "implicit")(np.asarray([[4.0], [0.0]])).round(1)
    array([[2.],
           [2.]])
    """
    if mode not in OPERATORS:
        raise ValueError(f"mode must be one of {', '.join(OPERATORS)}, got {short_repr(mode)}")
    return OPERATORS[mode](laplacian, eta, steps)


@suggest_names
def apply_diffusion(
    features: SomeArray, laplacian: Any, eta: Any, mode: Mode = "simple", steps: int = 3
) -> SomeArray:
    """Diffuse features ``(..., N, d)`` once; see :func:`diffusion_operator`.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> L = hopcore.compute_laplacian(np.asarray([[0.0, 1.0], [1.0, 0.0]]))
    >>> hopcore.apply_diffusion(np.asarray([[1.0], [0.0]]), L, 0.25)
    array([[0.75],
           [0.25]])
    """
    return diffusion_operator(laplacian, eta, mode, steps)(features)
