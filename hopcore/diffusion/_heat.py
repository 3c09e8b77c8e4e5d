r"""Heat kernels :math:`e^{-\eta L}`, by eigenvalues or by a series; stable for every eta."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._backend import Array
from hopcore.arrays._library import quiet
from hopcore.arrays._scalar_checks import as_fraction
from hopcore.diffusion._chebyshev import heat_coefficients, heat_degree, series
from hopcore.diffusion._eta_checks import (
    check_eta,
    check_resolved,
    check_symmetric,
    eigenvalue_bound,
)
from hopcore.diffusion._operator import DiffusionOperator
from hopcore.graphs._dense_laplacian import DenseLaplacian, as_laplacian
from hopcore.graphs._laplacian import Laplacian


@suggest_names
class SpectralDiffusion(DiffusionOperator):
    r"""The exact heat kernel :math:`e^{-\eta L} x = U e^{-\eta \Lambda} U^T x`, dense.

    The kernel (N, N) is computed when constructed, in O(N^3); :class:`ChebyshevDiffusion` is much
    cheaper for sparse graphs.

    Parameters
    ----------
    laplacian, eta
        As in :class:`SimpleDiffusion`; an array must be symmetric. The operator is stable for every
        eta >= 0. It raises a ``ValueError`` if eta times the bound of the eigenvalues is above
        1e4/eps of the dtype.

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
        self.laplacian = laplacian = as_laplacian(laplacian)
        self.eta = check_eta(laplacian, eta)
        if isinstance(laplacian, Laplacian):
            matrix = replace(laplacian, scale=None).to_dense()
        else:
            matrix = laplacian.matrix
            check_symmetric(laplacian)
        # Eigenvalues distinguish 0 from a rounding error: only the range of the dtype limits eta.
        check_resolved(laplacian, self.eta, 1e4)
        eta = self.eta if isinstance(self.eta, float) else self.eta[..., None, None]
        self._kernel = DenseLaplacian(laplacian.backend.heat_kernel(matrix * eta))

    @quiet
    def __call__(self, features: Array) -> Array:
        """Apply the kernel to features."""
        laplacian = self.laplacian
        if not isinstance(laplacian, Laplacian) or laplacian.scale is None:
            return self._kernel @ features
        backend = self._kernel.backend
        scale = backend.xp.reshape(laplacian.scale, laplacian.shape[:-1])[..., None]
        precise = backend.astype(features, backend.precise[features.dtype])
        return backend.astype((self._kernel @ (precise * scale)) / scale, features.dtype)


@suggest_names
class ChebyshevDiffusion(DiffusionOperator):
    r"""The heat kernel :math:`e^{-\eta L} x` by a Chebyshev series of a computed degree.

    Parameters
    ----------
    laplacian, eta
        As in :class:`SimpleDiffusion`; eta is a number. The operator is stable for every eta >= 0,
        with the same limit as :class:`ImplicitDiffusion`.
    tol : float
        Sup error of the series, relative to the features.
    largest : float, optional
        An upper bound of the eigenvalues. It is 2 for normalised Laplacians, and otherwise twice
        the largest degree. Under a trace the degree cannot be read, and the bound must be given.

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
        self.laplacian = laplacian = as_laplacian(laplacian)
        self.eta = check_eta(laplacian, eta)
        if not isinstance(self.eta, float):
            raise TypeError(
                "eta of ChebyshevDiffusion must be a number, since it determines the degree"
            )
        tol = as_fraction("tol", tol)
        self.largest = eigenvalue_bound(laplacian, largest)
        self.tol = tol
        bound = laplacian.bound
        # Without edges, diffusion changes nothing, however large eta is. A trace cannot see this.
        still = isinstance(bound, float) and bound == 0.0
        reach = 0.0 if still else self.eta * self.largest
        self.degree = heat_degree(reach, tol)
        check_resolved(laplacian, self.eta)
        self._terms = heat_coefficients(self.degree, reach)
        self._twice = laplacian.shifted(-2.0, 4.0 / self.largest)

    @quiet
    def __call__(self, features: Array) -> Array:
        """Apply the series to features."""
        laplacian = self.laplacian
        assert laplacian is not None

        def twice(x: Array) -> Array:
            return laplacian.product(self._twice, x)

        return laplacian.apply(features, lambda x: series(twice, x, self._terms))
