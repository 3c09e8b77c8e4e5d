r"""The implicit step :math:`(I + \eta L)^{-1}`, by conjugate gradients; stable for every eta."""

from __future__ import annotations

import math
from typing import Any

from hopcore.arrays._backend import Array
from hopcore.arrays._conjugate_gradients import conjugate_gradients
from hopcore.arrays._validation import short_repr
from hopcore.diffusion._operator import DiffusionOperator
from hopcore.diffusion._stability import check_symmetric, checked_eta
from hopcore.graphs._dense_laplacian import DenseLaplacian, operand
from hopcore.graphs._laplacian import Laplacian


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
            raise ValueError(f"tol must be between 0 and 1, got {short_repr(tol)}")
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
        apart = tuple(right.shape)
        if right.ndim == 2:
            apart = (right.shape[0] // nodes, nodes, right.shape[-1])

        def off(matrix: Array, x: Array) -> Array:
            return xp.reshape(found.product(matrix, xp.reshape(x, right.shape)), apart)

        fixed = backend.constant(self._off)
        columns = xp.reshape(right, apart)
        # In units of the largest value, so that squares neither overflow nor vanish; nan stays nan.
        given = backend.constant(columns)
        unit = xp.max(xp.abs(given), axis=-2, keepdims=True)
        unit = xp.where(unit == 0, 1.0, unit)
        solution = unit * conjugate_gradients(
            lambda x: x + off(fixed, x),
            given / unit,
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
