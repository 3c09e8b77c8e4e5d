r"""Explicit steps :math:`x \leftarrow x - \eta L x`: cheap, and stable up to ``2/lambda_max``."""

from __future__ import annotations

from typing import Any

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._backend import Array
from hopcore.arrays._inputs import own
from hopcore.arrays._library import quiet
from hopcore.arrays._scalar_checks import MOST_STEPS, as_integer
from hopcore.diffusion._eta_checks import check_degrees, check_eta, check_stable
from hopcore.diffusion._operator import DiffusionOperator
from hopcore.graphs._dense_laplacian import as_laplacian
from hopcore.graphs._graph import Graph, Normalization


class Explicit(DiffusionOperator):
    """Explicit Euler steps, ``x <- x - eta L x``."""

    def __init__(self, laplacian: Any, eta: Any, steps: int) -> None:
        self.laplacian = as_laplacian(laplacian)
        self.eta = check_eta(self.laplacian, eta)
        self.steps = as_integer("steps", steps, 0, MOST_STEPS)
        check_stable(self.laplacian, self.eta)
        self._matrix = None
        if isinstance(self.eta, float):
            self._matrix = self.laplacian.shifted(1.0, -self.eta)

    def __call__(self, features: Array) -> Array:
        """Apply all steps."""
        return self._stepped(features, self.steps)

    def step(self, features: Array) -> Array:
        """Apply one step."""
        return self._stepped(features, 1)

    @quiet
    def _stepped(self, features: Array, steps: int) -> Array:
        laplacian, matrix, given = self.laplacian, self._matrix, features
        assert laplacian is not None
        if matrix is not None:

            def work(x: Array) -> Array:
                for _ in range(steps):
                    x = laplacian.product(matrix, x)
                return x

            result = laplacian.apply(features, work)
            return laplacian.backend.copied(result) if steps == 0 else result
        for _ in range(steps):
            change = self.eta[..., None, None] * (laplacian @ features)
            features = features - laplacian.backend.astype(change, features.dtype)
        return own(laplacian.backend, features, given)


@suggest_names
class SimpleDiffusion(Explicit):
    r"""One explicit step: :math:`(I - \eta L) x`.

    Parameters
    ----------
    laplacian : Laplacian, Graph or array (..., N, N)
        For a graph, the Laplacian of its own normalisation is used.
    eta : float or array broadcastable to the leading axes
        Strength, >= 0.

    Raises
    ------
    ValueError
        eta is above 2/lambda_max, where explicit steps grow.

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


@suggest_names
class IterativeDiffusion(Explicit):
    r"""T explicit steps: :math:`(I - \eta L)^T x`.

    Parameters
    ----------
    laplacian, eta
        As in :class:`SimpleDiffusion`.
    steps : int
        T, from 0 to 1,000,000.

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


@suggest_names
class FactoredDiffusion(Explicit):
    r"""T explicit steps from weights and degrees: :math:`x - \eta (c \cdot x - W' x)`.

    W' are the weights scaled by the normalisation and c the diagonal of its Laplacian. No (N, N)
    array is formed from a :class:`Graph`.

    Parameters
    ----------
    weights : Graph or array (..., N, N)
        The adjacency W.
    deg : array (..., N), optional
        Its degrees, which are only checked.
    eta : float or array broadcastable to the leading axes
        Strength, >= 0.
    steps : int
        T, from 0 to 1,000,000.
    normalization : {"none", "symmetric", "random_walk"}, optional
        That of the graph if not given; ``"none"`` for an array.

    Raises
    ------
    ValueError
        The degrees are not the sums of the weights, or eta is above 2/lambda_max.

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
