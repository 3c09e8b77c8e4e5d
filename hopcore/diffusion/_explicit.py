r"""Explicit steps :math:`x \leftarrow x - \eta L x`: cheap, and stable where eta is small."""

from __future__ import annotations

from typing import Any

from hopcore.arrays._backend import Array
from hopcore.diffusion._operator import DiffusionOperator
from hopcore.diffusion._stability import check_degrees, check_stable, checked_eta, checked_steps
from hopcore.graphs._dense_laplacian import operand
from hopcore.graphs._graph import Graph, Normalization


class Explicit(DiffusionOperator):
    """Explicit Euler steps, ``x <- x - eta L x``."""

    def __init__(self, laplacian: Any, eta: Any, steps: int) -> None:
        self.laplacian = operand(laplacian)
        self.eta = checked_eta(self.laplacian, eta)
        self.steps = checked_steps(steps)
        check_stable(self.laplacian, self.eta)
        self._matrix = None
        if isinstance(self.eta, float):
            self._matrix = self.laplacian.shifted(1.0, -self.eta)

    def __call__(self, features: Array) -> Array:
        """The features after all steps."""
        return self._stepped(features, self.steps)

    def step(self, features: Array) -> Array:
        """The features after one step."""
        return self._stepped(features, 1)

    def _stepped(self, features: Array, steps: int) -> Array:
        found, matrix = self.laplacian, self._matrix
        assert found is not None
        if matrix is not None:

            def work(x: Array) -> Array:
                for _ in range(steps):
                    x = found.product(matrix, x)
                return x

            return found.apply(features, work)
        for _ in range(steps):
            features = features - found.backend.astype(
                self.eta[..., None, None] * (found @ features), features.dtype
            )
        return features


class SimpleDiffusion(Explicit):
    r"""One explicit step: :math:`(I - \eta L) x`.

    Parameters
    ----------
    laplacian : Laplacian, Graph or array (..., N, N)
        A graph stands for its own normalisation's Laplacian.
    eta : float or array broadcastable to the leading axes
        Strength, >= 0.

    Raises
    ------
    ValueError
        eta above 2/lambda_max, where explicit steps grow.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> L = hopcore.compute_laplacian(np.asarray([[0.0, 1.0], [1.0, 0.0]]))
    >>> hopcore.SimpleDiffusion(L, 0.25)(np.asarray([[1.0], [0.0]]))
    array([[0.75],
           [0.25]])
    """

    one_shot = True

    def __init__(self, laplacian: Any, eta: Any) -> None:
        super().__init__(laplacian, eta, 1)


class IterativeDiffusion(Explicit):
    r"""T explicit steps: :math:`(I - \eta L)^T x`.

    Parameters
    ----------
    laplacian, eta
        As in :class:`SimpleDiffusion`.
    steps : int
        T, >= 0.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> L = hopcore.compute_laplacian(np.asarray([[0.0, 1.0], [1.0, 0.0]]))
    >>> hopcore.IterativeDiffusion(L, 0.25, steps=2)(np.asarray([[1.0], [0.0]]))
    array([[0.625],
           [0.375]])
    """

    def __init__(self, laplacian: Any, eta: Any, steps: int = 3) -> None:
        super().__init__(laplacian, eta, steps)


class FactoredDiffusion(Explicit):
    r"""T explicit steps from weights and degrees: :math:`x - \eta (c \cdot x - W' x)`.

    W' are the weights scaled by the normalisation and c the diagonal of its Laplacian. No (N, N)
    array is formed from a :class:`Graph`.

    Parameters
    ----------
    weights : Graph or array (..., N, N)
        The adjacency W.
    deg : array (..., N), optional
        Its degrees, which are checked.
    eta : float or array broadcastable to the leading axes
        Strength, >= 0.
    steps : int
        T, >= 0.
    normalization : {"none", "symmetric", "random_walk"}, optional
        The graph's own if not given; ``"none"`` for an array.

    Raises
    ------
    ValueError
        Degrees that are not those of the weights; eta above 2/lambda_max.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> graph = hopcore.Graph.from_dense(np.asarray([[0.0, 1.0], [1.0, 0.0]]))
    >>> hopcore.FactoredDiffusion(graph, graph.deg, 0.25)(np.asarray([[1.0], [0.0]]))
    array([[0.75],
           [0.25]])
    """

    def __init__(
        self,
        weights: Graph | Array,
        deg: Array | None = None,
        eta: Any = 0.1,
        steps: int = 1,
        *,
        normalization: Normalization | None = None,
    ) -> None:
        graph = weights if isinstance(weights, Graph) else Graph.from_dense(weights)
        if normalization is not None:
            graph = graph.using(normalization)
        if deg is not None:
            check_degrees(graph, deg)
        super().__init__(graph, eta, steps)
