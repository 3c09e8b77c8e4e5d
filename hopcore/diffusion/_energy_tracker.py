r"""The energies of a diffused memory in each step of a retrieval.

E is the energy of the state in the memory of a step. The joint energy
:math:`J(\xi, K) = E_0(\xi; K) + \alpha \operatorname{tr}(K^T L K) / 2`, with :math:`E_0` the energy
without the constants that change with K, never rises in an evolving memory if alpha is large enough
(:func:`joint_weight`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._backend import Array
from hopcore.arrays._inputs import Inputs, in_precise_dtype
from hopcore.arrays._library import QUIET, quiet
from hopcore.arrays._scalar_checks import as_number, short_repr
from hopcore.graphs._dense_laplacian import AnyLaplacian, as_laplacian
from hopcore.graphs._dirichlet_energy import dirichlet_energy
from hopcore.graphs._laplacian import Laplacian
from hopcore.memory._energy import energy_of
from hopcore.memory._separation import get_separation


class Step(NamedTuple):
    """The energies of one step.

    Attributes
    ----------
    energy : array (..., L)
        E, as in :func:`hopcore.energy`.
    free : array (..., L)
        The energy without ``log(N)/beta + M^2/2``.
    dirichlet : array (...) or None
        The Dirichlet energy of the stored patterns; None without a symmetric Laplacian.
    """

    energy: Array
    free: Array
    dirichlet: Array | None


@suggest_names
class EnergyTracker:
    """Record the energies before the first step of diffusion and after each step.

    Parameters
    ----------
    enabled : bool
        Whether to record.

    Attributes
    ----------
    history : list
        A named tuple for each step: ``energy`` and ``free`` (without its constants), ``(..., L)``,
        and ``dirichlet``, ``(...)``.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> X = np.asarray([[1.0, 0.0], [0.8, 0.6]])
    >>> graph, tracker = hopcore.knn_graph(X, 1), hopcore.EnergyTracker()
    >>> config = hopcore.DiffusionConfig(steps=2, eta=0.1)
    >>> engine = hopcore.DynamicsEngine(
    ...     hopcore.FactoredDiffusion(graph, graph.deg, 0.1), hopcore.AttentionOperator(), config
    ... )
    >>> _ = engine.run(X, X, X, tracker=tracker)
    >>> len(tracker.energies)
    3
    """

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled
        self.history: list[Step] = []

    @property
    @QUIET
    def energies(self) -> list[float]:
        """Return E of each step, the mean over the queries."""
        return [float(step.energy.mean()) for step in self.history]

    @property
    @QUIET
    def dirichlet(self) -> list[float]:
        """Return the Dirichlet energy of each step, the mean over the samples."""
        return [float(self._dirichlet(step).mean()) for step in self.history]

    @QUIET
    def joint(self, alpha: float) -> list[float]:
        """Return J of each step, the mean over the queries."""
        return [float(value.mean()) for value in self.joint_per_query(alpha)]

    @QUIET
    def joint_per_query(self, alpha: float) -> list[Array]:
        """Return J of each step, ``(..., L)``."""
        return [step.free + alpha * self._dirichlet(step)[..., None] for step in self.history]

    def __repr__(self) -> str:
        return f"<EnergyTracker: {len(self.history)} steps recorded>"

    def clear(self) -> None:
        """Delete the history."""
        self.history.clear()

    def record(self, inputs: Inputs, laplacian: AnyLaplacian | None) -> Array:
        """Record a step and return its energies, ``(..., L)``."""
        fixed = inputs.backend.constant
        constant = inputs._replace(
            state=fixed(inputs.state), stored=fixed(inputs.stored), beta=fixed(inputs.beta)
        )
        energy = energy_of(constant, get_separation("softmax"))
        if self.enabled:
            dirichlet = None
            if symmetric(laplacian):
                dirichlet = fixed(dirichlet_energy(constant.stored, laplacian))
            self.history.append(Step(energy, free_energy(constant), dirichlet))
        return energy

    @staticmethod
    def _dirichlet(step: Step) -> Array:
        if step.dirichlet is None:
            raise ValueError("the Dirichlet energy needs an operator with a symmetric Laplacian")
        return step.dirichlet


def symmetric(laplacian: AnyLaplacian | None) -> bool:
    """Return whether there is a Laplacian and it is symmetric."""
    return laplacian is not None and getattr(laplacian, "scale", None) is None


def free_energy(inputs: Inputs) -> Array:
    r"""Return the free energy :math:`\|\xi\|^2/2 - \operatorname{lse}(\beta, X \xi)`."""
    backend, (state, stored, beta) = inputs.backend, in_precise_dtype(inputs)
    conjugate = backend.conjugate(state, stored, beta, inputs.mask, get_separation("softmax"))
    return 0.5 * backend.square_lengths(state) - conjugate / beta


@quiet
def joint_weight(laplacian: Any, beta: float, stored: Array, *, eta: float | None = None) -> float:
    r"""Return the smallest alpha for which the joint energy provably never rises.

    :math:`\alpha = \beta M^2 / (2 \lambda_2)`, for every operator that is a doubly stochastic
    function of the Laplacian: the heat kernel and the implicit step of any strength, and explicit
    steps of at most :math:`1/\max(deg)`, one or several at once.

    Parameters
    ----------
    laplacian : Graph, Laplacian or array (..., N, N)
        Unnormalised.
    beta : float
        Inverse temperature.
    stored : array (..., N, d)
        The patterns before diffusion; M is their largest norm.
    eta : float, optional
        Strength of the explicit steps, which is checked and does not change the result; None for
        the other operators.

    Returns
    -------
    float
        0 for a graph without edges; for a batch, the largest value.

    Raises
    ------
    ValueError
        A normalised Laplacian; an eta above ``1/max(deg)``, with which an explicit step is not
        doubly stochastic.

    Notes
    -----
    The bound holds for :math:`\|\xi_0\| \le M`. No smaller number is enough for all memories, at
    any inverse temperature. The function computes eigenvalues of dense matrices, in O(N^3).

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> graph = hopcore.Graph.from_dense(np.asarray([[0.0, 1.0], [1.0, 0.0]]))
    >>> round(hopcore.diffusion.joint_weight(graph, 2.0, np.eye(2)), 6)
    0.5
    >>> hopcore.diffusion.joint_weight(graph, 2.0, np.eye(2), eta=1.5)
    Traceback (most recent call last):
        ...
    ValueError: eta must be at most 1/max(deg) = 1, got 1.5
    """
    beta = as_number("beta", beta, positive=True)
    eta = None if eta is None else as_number("eta", eta, 0.0)
    checked = as_laplacian(laplacian)
    if isinstance(checked, Laplacian) and checked.normalization != "none":
        raise ValueError(
            f"J needs the unnormalised Laplacian, got {short_repr(checked.normalization)}"
        )
    to_numpy, fixed = checked.backend.to_numpy, checked.backend.constant
    matrices = np.asarray(to_numpy(fixed(checked.to_dense())), np.float64)
    patterns = np.asarray(to_numpy(fixed(stored)), np.float64)
    largest = float(np.max(np.sum(patterns**2, axis=-1)))
    alpha = 0.0
    for matrix in matrices.reshape(-1, *matrices.shape[-2:]):
        most = float(np.max(np.diagonal(matrix)))
        # The degrees are sums in the dtype of the weights.
        if eta is not None and eta * most > 1.0 + 1e-6:
            raise ValueError(f"eta must be at most 1/max(deg) = {1.0 / most:g}, got {eta:g}")
        values = np.linalg.eigvalsh(matrix)
        positive = values[values > 1e-6 * max(values[-1], 0.0)]
        if positive.size:
            alpha = max(alpha, beta * largest / (2.0 * float(positive[0])))
    return alpha
