"""Check which strengths eta, and which Laplacians, a diffusion operator accepts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hopcore.arrays._array_checks import backend_of_input, check_real, shape
from hopcore.arrays._backend import Array
from hopcore.arrays._scalar_checks import as_number, is_number
from hopcore.graphs._dense_laplacian import AnyLaplacian, DenseLaplacian
from hopcore.graphs._graph import Graph


def check_eta(laplacian: AnyLaplacian, eta: Any) -> Any:
    """Check eta, >= 0 and finite; return a Python float or an array in the Laplacian's dtype."""
    if isinstance(eta, bool | np.bool_):
        raise TypeError("eta must be a number >= 0 or an array, got a bool")
    if is_number(eta):
        eta = as_number("eta", eta, 0.0)
        dtype = laplacian.values.dtype
        most = float(laplacian.backend.xp.finfo(dtype).max)
        if eta > most:
            raise ValueError(f"eta must be at most {most:.3g} in {dtype}, got {eta}")
        return eta
    backend = backend_of_input("eta", eta)
    if backend is not laplacian.backend:
        raise TypeError(
            f"eta must be a number or an array of {laplacian.backend.name}, got {backend.name}"
        )
    check_real("eta", eta)
    eta = backend.astype(eta, laplacian.values.dtype)
    if backend.can_read_values(eta) and not bool(backend.xp.all((eta >= 0) & (eta < math.inf))):
        raise ValueError(f"eta must be >= 0 and finite, got {eta}")
    return eta


def check_stable(laplacian: AnyLaplacian, eta: Any) -> None:
    """Raise if explicit steps grow: eta above ``2/lambda_max``. Traced values are not read."""
    backend, largest_eta = laplacian.backend, eta
    if not isinstance(eta, float):
        if not backend.can_read_values(eta) or 0 in eta.shape:
            return
        eta = backend.constant(eta)
        largest_eta = float(backend.xp.max(eta))
        # If a graph has several eta, the largest one counts.
        one_per_graph = tuple(eta.shape) == tuple(laplacian.shape[:-2])
        eta = backend.to_numpy(eta) if one_per_graph else largest_eta
    bound = laplacian.bound
    if not isinstance(bound, float) or largest_eta * bound <= 2.0:
        return
    if not backend.can_read_values(laplacian.values):
        return
    # In units of the largest eta, products of eta and weights do not overflow.
    reach = laplacian.largest(eta / largest_eta)
    if largest_eta * reach > 2.0 * (1.0 + 1e-6):
        raise ValueError(
            f"eta = {largest_eta:g} is above 2/lambda_max = {2.0 / reach:.6g}, where "
            "explicit steps grow; use a smaller eta, or mode 'chebyshev' or 'implicit', which are "
            "stable for every eta"
        )


def check_resolved(laplacian: AnyLaplacian, eta: Any, roundings: float = 2.0) -> None:
    """Raise if rounding errors would dominate a heat kernel or an implicit step.

    The eigenvalue 0 of a Laplacian has the rounding error of the largest one, and eta multiplies
    this error. The product of eta and the largest eigenvalue may be at most ``roundings / eps``.
    Traced values are not read.
    """
    backend, bound = laplacian.backend, laplacian.bound
    if not isinstance(eta, float):
        if not backend.can_read_values(eta) or 0 in eta.shape:
            return
        eta = float(backend.xp.max(backend.constant(eta)))
    most = roundings / float(backend.xp.finfo(laplacian.values.dtype).eps)
    if isinstance(bound, float) and eta * bound > most:
        raise ValueError(
            f"eta times the bound of the eigenvalues must be at most {most:.2g} in "
            f"{laplacian.values.dtype}, got {eta:g} times {bound:g}; use a smaller eta"
        )


def check_degrees(graph: Graph, deg: Array) -> None:
    """Raise unless degrees are the sums of the weights of a graph."""
    backend = graph.backend
    if backend_of_input("deg", deg) is not backend or shape(deg) != graph.shape[:-1]:
        raise ValueError(f"deg must be {graph.shape[:-1]} of {backend.name}, got {shape(deg)}")
    if 0 not in deg.shape and backend.can_read_values(deg):
        xp, sums, deg = backend.xp, backend.constant(graph.deg), backend.constant(deg)
        error = float(xp.max(xp.abs(backend.astype(deg, sums.dtype) - sums)))
        if error > 1e-3 * (1.0 + float(xp.max(sums))):
            raise ValueError(f"deg must hold the sums of the weights, got an error of {error}")


def check_symmetric(laplacian: DenseLaplacian) -> None:
    """Raise unless an array is symmetric; traced values are not read."""
    backend = laplacian.backend
    matrix = backend.constant(laplacian.matrix)
    xp = backend.xp
    if 0 not in matrix.shape and backend.can_read_values(matrix):
        gap = float(xp.max(xp.abs(matrix - xp.matrix_transpose(matrix))))
        if gap > 1e-5 * float(xp.max(xp.abs(matrix))):
            raise ValueError(
                f"laplacian must be symmetric, got two sides that differ by {gap}; "
                "for the random-walk Laplacian pass that of a Graph"
            )


def eigenvalue_bound(laplacian: AnyLaplacian, largest: float | None) -> float:
    """Return ``largest``, or the Laplacian's own bound of its eigenvalues, as a number above 0."""
    if largest is not None:
        return as_number("largest", largest, 0.0) or 1.0
    bound = laplacian.bound
    if not isinstance(bound, float) and laplacian.backend.can_fetch_values(bound):
        bound = float(bound) * (1.0 + 1e-6)
    if not isinstance(bound, float):
        raise ValueError(
            "the eigenvalues cannot be seen under a trace; pass largest=, an upper bound of them, "
            "or use a normalised Laplacian, whose bound is 2"
        )
    return as_number("largest", bound, 0.0) or 1.0
