"""The Dirichlet energy: how rough features are on a graph."""

from __future__ import annotations

from typing import Any

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import check_floating
from hopcore.arrays._library import SomeArray, quiet
from hopcore.graphs._dense_laplacian import as_laplacian
from hopcore.graphs._laplacian import Laplacian


@suggest_names
@quiet
def dirichlet_energy(features: SomeArray, laplacian: Any) -> SomeArray:
    r"""The Dirichlet energy :math:`\operatorname{tr}(X^T L X) / 2` of features on a graph.

    For the unnormalised Laplacian it is :math:`\sum_{i<j} w_{ij} \|x_i - x_j\|^2 / 2`: 0 for
    features that are constant on each component of the graph.

    Parameters
    ----------
    features : array (..., N, d)
    laplacian : Graph, Laplacian or array (..., N, N)
        Symmetric: unnormalised or symmetric.

    Returns
    -------
    array (...)
        At least 0 up to rounding; in at least float32.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> W = np.asarray([[0.0, 2.0], [2.0, 0.0]])
    >>> float(hopcore.dirichlet_energy(np.asarray([[1.0], [4.0]]), hopcore.compute_laplacian(W)))
    9.0
    """
    checked = as_laplacian(laplacian)
    if isinstance(checked, Laplacian) and checked.scale is not None:
        raise ValueError(
            "the Dirichlet energy needs a symmetric Laplacian, not the random-walk one"
        )
    backend = checked.backend
    check_floating(backend, "features", features)
    precise = backend.astype(features, backend.precise[features.dtype])
    return 0.5 * backend.xp.sum(precise * (checked @ precise), axis=(-2, -1))
