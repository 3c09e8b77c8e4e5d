r"""The implicit step :math:`(I + \eta L)^{-1}`, by conjugate gradients; stable for every eta."""

from __future__ import annotations

import math
from typing import Any

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._backend import Array
from hopcore.arrays._conjugate_gradients import conjugate_gradients
from hopcore.arrays._library import quiet
from hopcore.arrays._scalar_checks import as_fraction
from hopcore.diffusion._eta_checks import check_eta, check_resolved, check_symmetric
from hopcore.diffusion._operator import DiffusionOperator
from hopcore.graphs._dense_laplacian import DenseLaplacian, as_laplacian
from hopcore.graphs._laplacian import Laplacian


@suggest_names
class ImplicitDiffusion(DiffusionOperator):
    r"""The implicit step :math:`(I + \eta L)^{-1} x`, by conjugate gradients.

    Parameters
    ----------
    laplacian, eta
        As in :class:`SimpleDiffusion`; an array must be symmetric. The operator is stable for every
        eta >= 0. It raises a ``ValueError`` if eta times the bound of the eigenvalues is above
        2/eps of the dtype.
    tol : float, optional
        The largest residual of a column, relative to the column; 10 eps of its dtype if not given.

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
        self.laplacian = laplacian = as_laplacian(laplacian)
        self.eta = check_eta(laplacian, eta)
        if not isinstance(self.eta, float):
            raise TypeError("eta of ImplicitDiffusion must be a number")
        tol = None if tol is None else as_fraction("tol", tol)
        if isinstance(laplacian, DenseLaplacian):
            check_symmetric(laplacian)
        check_resolved(laplacian, self.eta)
        self.tol = tol
        self._scaled = laplacian.shifted(0.0, self.eta)

    @quiet
    def __call__(self, features: Array) -> Array:
        """Return the solution of ``(I + eta L) u = x``."""
        assert self.laplacian is not None
        return self.laplacian.apply(features, self._solve)

    def _solve(self, right: Array) -> Array:
        laplacian: Any = self.laplacian
        backend = laplacian.backend
        xp = backend.xp
        tol = self.tol or 10.0 * float(xp.finfo(right.dtype).eps)
        # Each graph of a batch and each column is a system of its own.
        nodes = laplacian.graph.nodes if isinstance(laplacian, Laplacian) else right.shape[-2]
        systems = tuple(right.shape)
        if right.ndim == 2:
            systems = (right.shape[0] // nodes, nodes, right.shape[-1])

        def product(matrix: Array, x: Array) -> Array:
            return xp.reshape(laplacian.product(matrix, xp.reshape(x, right.shape)), systems)

        fixed = backend.constant(self._scaled)
        columns = xp.reshape(right, systems)
        # In units of the largest value, squares neither overflow nor underflow; nan stays nan.
        fixed_columns = backend.constant(columns)
        unit = xp.max(xp.abs(fixed_columns), axis=-2, keepdims=True)
        unit = xp.where(unit == 0, 1.0, unit)
        solution = unit * conjugate_gradients(
            lambda x: x + product(fixed, x),
            fixed_columns / unit,
            backend,
            max_steps=self._max_steps(tol, nodes),
            tol=tol,
            axis=-2,
        )

        # The derivative follows from u = x - eta L u, by solving another such system.
        def fixed_point(rows: Array, matrix: Array, right: Array) -> Array:
            return right - xp.matrix_transpose(product(matrix, xp.matrix_transpose(rows)))

        rows = backend.implicit(
            fixed_point, xp.matrix_transpose(solution), (self._scaled, xp.matrix_transpose(columns))
        )
        return xp.reshape(xp.matrix_transpose(rows), right.shape)

    def _max_steps(self, tol: float, nodes: int) -> int:
        """Bound the steps of conjugate gradients by the number of nodes or the condition."""
        assert self.laplacian is not None
        bound = self.laplacian.bound
        if not isinstance(bound, float):
            return 2 * nodes + 8
        root = math.sqrt(1.0 + self.eta * bound)
        return min(
            2 * nodes + 8, math.ceil(0.5 * root * (math.log(4.0 * root) - math.log(tol))) + 8
        )
