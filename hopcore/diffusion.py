r"""Diffusion operators: linear maps that smooth patterns over a graph.

All are functions of a Laplacian L and a strength eta:

========== ==================================== =============================================
simple     :math:`(I - \eta L) x`               one explicit step
iterative  :math:`(I - \eta L)^T x`             T explicit steps
factored   the same                             from weights and degrees, by neighbour sums
spectral   :math:`e^{-\eta L} x`                exact heat kernel, by eigenvalues, dense
chebyshev  :math:`e^{-\eta L} x`                heat kernel to a tolerance, by neighbour sums
implicit   :math:`(I + \eta L)^{-1} x`          implicit step, stable for every eta
========== ==================================== =============================================

Explicit steps are stable up to :math:`\eta = 2/\lambda_{max}`; a larger eta is refused.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from numbers import Real
from typing import Any, Literal

from hopcore.arrays import backend_of_input, shape
from hopcore.backend import Array
from hopcore.chebyshev import heat_coefficients, heat_degree, series
from hopcore.graph import Graph, Normalization
from hopcore.laplacian import DenseLaplacian, Laplacian, Operand, operand
from hopcore.solvers import conjugate_gradients

Mode = Literal["factored", "simple", "iterative", "spectral", "chebyshev", "implicit"]


class DiffusionOperator(ABC):
    r"""A linear map of patterns ``(..., N, d)`` that is ready when it is constructed.

    To write one's own, derive from it and define ``__call__``; a loop that alternates diffusion and
    association calls :meth:`step`.

    Attributes
    ----------
    one_shot : bool
        Whether one application is all of it (a heat kernel), so that a loop that diffuses and then
        associates applies it once; otherwise a loop of T steps applies :meth:`step` T times.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> class Mean(hopcore.DiffusionOperator):
    ...     def __call__(self, features):
    ...         return 0.5 * (features + features.mean(axis=-2, keepdims=True))
    >>> Mean()(np.asarray([[0.0], [4.0]]))
    array([[1.],
           [3.]])
    """

    one_shot: bool = False
    laplacian: Operand | None = None

    @abstractmethod
    def __call__(self, features: Array) -> Array:
        """The diffused features, of the same shape and dtype."""

    def step(self, features: Array) -> Array:
        """One step of it; all of it, where it has no steps."""
        return self(features)


class _Explicit(DiffusionOperator):
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


class SimpleDiffusion(_Explicit):
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


class IterativeDiffusion(_Explicit):
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


class FactoredDiffusion(_Explicit):
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


class SpectralDiffusion(DiffusionOperator):
    r"""The exact heat kernel :math:`e^{-\eta L} x = U e^{-\eta \Lambda} U^T x`, dense.

    The kernel (N, N) is computed when constructed, in O(N^3); :class:`ChebyshevDiffusion` is much
    cheaper for sparse graphs.

    Parameters
    ----------
    laplacian, eta
        As in :class:`SimpleDiffusion`; an array must be symmetric. Stable for every eta >= 0.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> L = hopcore.compute_laplacian(np.asarray([[0.0, 1.0], [1.0, 0.0]]))
    >>> hopcore.SpectralDiffusion(L, 100.0)(np.asarray([[1.0], [0.0]])).round(6)
    array([[0.5],
           [0.5]])
    """

    one_shot = True

    def __init__(self, laplacian: Any, eta: Any) -> None:
        self.laplacian = found = operand(laplacian)
        self.eta = checked_eta(found, eta)
        backend = found.backend
        if isinstance(found, Laplacian):
            matrix = Laplacian(found.graph, found.values, None, found.normalization).to_dense()
        else:
            matrix = found.matrix
            check_symmetric(found)
        eta = self.eta if isinstance(self.eta, float) else self.eta[..., None, None]
        self._kernel = DenseLaplacian(backend.heat_kernel(matrix * eta))

    def __call__(self, features: Array) -> Array:
        """The kernel times features."""
        found = self.laplacian
        if not isinstance(found, Laplacian) or found.scale is None:
            return self._kernel @ features
        backend = self._kernel.backend
        scale = backend.xp.reshape(found.scale, found.shape[:-1])[..., None]
        wide = backend.astype(features, backend.precise[features.dtype])
        return backend.astype((self._kernel @ (wide * scale)) / scale, features.dtype)


class ChebyshevDiffusion(DiffusionOperator):
    r"""The heat kernel :math:`e^{-\eta L} x` by a Chebyshev series whose degree is computed.

    Parameters
    ----------
    laplacian, eta
        As in :class:`SimpleDiffusion`; eta is a number. Stable for every eta >= 0.
    tol : float
        Sup error of the series, relative to the features.
    largest : float, optional
        An upper bound of the eigenvalues; 2 where normalised, else twice the largest degree. Under
        a trace, where degrees are not visible, it must be given for an unnormalised Laplacian.

    Attributes
    ----------
    degree : int
        The number of products with the Laplacian.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> L = hopcore.compute_laplacian(np.asarray([[0.0, 1.0], [1.0, 0.0]]))
    >>> heat = hopcore.ChebyshevDiffusion(L, 100.0, tol=1e-9)
    >>> heat.degree, heat(np.asarray([[1.0], [0.0]])).round(6)
    (62, array([[0.5],
           [0.5]]))
    """

    one_shot = True

    def __init__(
        self, laplacian: Any, eta: Any, *, tol: float = 1e-6, largest: float | None = None
    ) -> None:
        self.laplacian = found = operand(laplacian)
        self.eta = checked_eta(found, eta)
        if not isinstance(self.eta, float):
            raise TypeError("eta of ChebyshevDiffusion must be a number: it gives the degree")
        if not 0.0 < tol < 1.0:
            raise ValueError(f"tol must be between 0 and 1, got {tol!r}")
        self.largest = visible_bound(found, largest)
        self.tol = tol
        reach = self.eta * self.largest
        self.degree = heat_degree(reach, tol)
        self._terms = heat_coefficients(self.degree, reach)
        self._twice = found.shifted(-2.0, 4.0 / self.largest)

    def __call__(self, features: Array) -> Array:
        """The series times features."""
        found = self.laplacian
        assert found is not None
        return found.apply(
            features, lambda x: series(lambda y: found.product(self._twice, y), x, self._terms)
        )


class ImplicitDiffusion(DiffusionOperator):
    r"""The implicit step :math:`(I + \eta L)^{-1} x`, by conjugate gradients.

    Parameters
    ----------
    laplacian, eta
        As in :class:`SimpleDiffusion`; an array must be symmetric. Stable for every eta >= 0.
    tol : float, optional
        Residual at which a column is solved, relative to it; 10 eps of its dtype if not given.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> L = hopcore.compute_laplacian(np.asarray([[0.0, 1.0], [1.0, 0.0]]))
    >>> hopcore.ImplicitDiffusion(L, 1.0)(np.asarray([[3.0], [0.0]])).round(6)
    array([[2.],
           [1.]])
    """

    one_shot = True

    def __init__(self, laplacian: Any, eta: Any, *, tol: float | None = None) -> None:
        self.laplacian = found = operand(laplacian)
        self.eta = checked_eta(found, eta)
        if not isinstance(self.eta, float):
            raise TypeError("eta of ImplicitDiffusion must be a number")
        if tol is not None and not 0.0 < tol < 1.0:
            raise ValueError(f"tol must be between 0 and 1, got {tol!r}")
        if isinstance(found, DenseLaplacian):
            check_symmetric(found)
        self.tol = tol
        self._off = found.shifted(0.0, self.eta)

    def __call__(self, features: Array) -> Array:
        """The solution of ``(I + eta L) u = x``."""
        found = self.laplacian
        assert found is not None
        return found.apply(features, self._solved)

    def _solved(self, right: Array) -> Array:
        found: Any = self.laplacian
        backend = found.backend
        xp = backend.xp
        tol = self.tol or 10.0 * float(xp.finfo(right.dtype).eps)
        # Each graph of a batch and each column is a system of its own.
        nodes = found.graph.nodes if isinstance(found, Laplacian) else right.shape[-2]
        apart = (-1, nodes, right.shape[-1]) if right.ndim == 2 else tuple(right.shape)

        def off(matrix: Array, x: Array) -> Array:
            return xp.reshape(found.product(matrix, xp.reshape(x, right.shape)), apart)

        fixed = backend.constant(self._off)
        columns = xp.reshape(right, apart)
        solution = conjugate_gradients(
            lambda x: x + off(fixed, x),
            backend.constant(columns),
            backend,
            max_steps=self._most(tol, nodes),
            tol=tol,
            axis=-2,
        )

        # u = x - eta L u: from here comes the derivative, by another solution of the same kind.
        def again(rows: Array, matrix: Array, right: Array) -> Array:
            return right - xp.matrix_transpose(off(matrix, xp.matrix_transpose(rows)))

        rows = backend.implicit(
            again, xp.matrix_transpose(solution), (self._off, xp.matrix_transpose(columns))
        )
        return xp.reshape(xp.matrix_transpose(rows), right.shape)

    def _most(self, tol: float, nodes: int) -> int:
        """Steps that conjugate gradients may need: N in exact arithmetic, or by the condition."""
        assert self.laplacian is not None
        bound = self.laplacian.bound
        if not isinstance(bound, float):
            return 2 * nodes + 8
        root = math.sqrt(1.0 + self.eta * bound)
        return min(2 * nodes + 8, math.ceil(0.5 * root * math.log(4.0 * root / tol)) + 8)


OPERATORS: dict[str, Callable[..., DiffusionOperator]] = {
    "simple": lambda laplacian, eta, steps: SimpleDiffusion(laplacian, eta),
    "iterative": IterativeDiffusion,
    "factored": _Explicit,
    "spectral": lambda laplacian, eta, steps: SpectralDiffusion(laplacian, eta),
    "chebyshev": lambda laplacian, eta, steps: ChebyshevDiffusion(laplacian, eta),
    "implicit": lambda laplacian, eta, steps: ImplicitDiffusion(laplacian, eta),
}


def diffusion_operator(
    laplacian: Any, eta: Any, mode: Mode = "simple", steps: int = 3
) -> DiffusionOperator:
    """The operator of a mode.

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
        An unknown mode; an eta with which explicit steps grow.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> graph = hopcore.Graph.from_dense(np.asarray([[0.0, 1.0], [1.0, 0.0]]))
    >>> hopcore.diffusion_operator(graph, 100.0, "implicit")(np.asarray([[4.0], [0.0]])).round(1)
    array([[2.],
           [2.]])
    """
    if mode not in OPERATORS:
        raise ValueError(f"mode must be one of {', '.join(OPERATORS)}, got {mode!r}")
    return OPERATORS[mode](laplacian, eta, steps)


def apply_diffusion(
    features: Array, laplacian: Any, eta: Any, mode: Mode = "simple", steps: int = 3
) -> Array:
    """Features ``(..., N, d)`` diffused once; see :func:`diffusion_operator`.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> L = hopcore.compute_laplacian(np.asarray([[0.0, 1.0], [1.0, 0.0]]))
    >>> hopcore.apply_diffusion(np.asarray([[1.0], [0.0]]), L, 0.25)
    array([[0.75],
           [0.25]])
    """
    return diffusion_operator(laplacian, eta, mode, steps)(features)


def checked_eta(laplacian: Operand, eta: Any) -> Any:
    """Eta as a Python float, or as the array it is."""
    if isinstance(eta, bool):
        raise TypeError("eta must be a number >= 0 or an array, got a bool")
    if isinstance(eta, Real):  # NumPy's scalars are
        eta = float(eta)
        if not 0.0 <= eta < math.inf:
            raise ValueError(f"eta must be >= 0 and finite, got {eta}")
        return eta
    backend = backend_of_input("eta", eta)
    if backend is not laplacian.backend:
        raise TypeError(
            f"eta must be a number or an array of {laplacian.backend.name}, got {backend.name}"
        )
    eta = backend.astype(eta, laplacian.values.dtype)
    if backend.visible(eta) and not bool(backend.xp.all((eta >= 0) & (eta < math.inf))):
        raise ValueError(f"eta must be >= 0 and finite, got {eta}")
    return eta


def checked_steps(steps: Any) -> int:
    """A number of steps."""
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise ValueError(f"steps must be an integer >= 0, got {steps!r}")
    return steps


def check_stable(laplacian: Operand, eta: Any) -> None:
    """Refuse an eta with which explicit steps grow, where values are visible."""
    if not isinstance(eta, float):
        if not laplacian.backend.visible(eta) or not eta.size:
            return
        eta = float(laplacian.backend.xp.max(eta))
    bound = laplacian.bound
    if not isinstance(bound, float) or eta * bound <= 2.0:
        return
    if not laplacian.backend.visible(laplacian.values):
        return
    largest = laplacian.largest()
    if eta * largest > 2.0 * (1.0 + 1e-6):
        raise ValueError(
            f"eta = {eta:g} is above 2/lambda_max = {2.0 / largest:.6g}, where explicit steps "
            "grow; take a smaller eta, or mode 'chebyshev' or 'implicit', stable for every eta"
        )


def check_degrees(graph: Graph, deg: Array) -> None:
    """Refuse degrees that are not those of the weights."""
    backend = graph.backend
    if backend_of_input("deg", deg) is not backend or shape(deg) != graph.shape[:-1]:
        raise ValueError(f"deg must be {graph.shape[:-1]} of {backend.name}, got {shape(deg)}")
    if backend.visible(deg):
        xp, own, deg = backend.xp, backend.constant(graph.deg), backend.constant(deg)
        off = float(xp.max(xp.abs(backend.astype(deg, own.dtype) - own)))
        if off > 1e-3 * (1.0 + float(xp.max(own))):
            raise ValueError(f"deg must hold the sums of the weights, got one that is {off} off")


def check_symmetric(laplacian: DenseLaplacian) -> None:
    """Refuse an array that is not symmetric, where values are visible."""
    backend = laplacian.backend
    matrix = backend.constant(laplacian.matrix)
    xp = backend.xp
    if backend.visible(matrix):
        off = float(xp.max(xp.abs(matrix - xp.matrix_transpose(matrix))))
        if off > 1e-5 * float(xp.max(xp.abs(matrix))):
            raise ValueError(
                f"laplacian must be symmetric, got two sides that differ by {off}; "
                "for the random-walk Laplacian pass that of a Graph"
            )


def visible_bound(laplacian: Operand, largest: float | None) -> float:
    """An upper bound of the eigenvalues as a number, above 0."""
    bound = laplacian.bound if largest is None else largest
    if not isinstance(bound, int | float) and laplacian.backend.readable(bound):
        bound = float(bound) * (1.0 + 1e-6)
    if not isinstance(bound, int | float):
        raise ValueError(
            "the eigenvalues are not visible under a trace; pass largest=, an upper bound of them, "
            "or normalise the Laplacian, whose bound is 2"
        )
    if not 0.0 <= bound < math.inf:
        raise ValueError(f"largest must be >= 0 and finite, got {bound}")
    return float(bound) or 1.0
