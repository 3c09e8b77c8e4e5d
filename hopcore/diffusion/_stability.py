"""Which strengths and Laplacians an operator takes; explicit steps grow above ``2/lambda_max``."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from hopcore.arrays._backend import Array
from hopcore.arrays._inputs import backend_of_input, shape
from hopcore.arrays._validation import as_integer
from hopcore.graphs._dense_laplacian import DenseLaplacian, Operand
from hopcore.graphs._graph import Graph


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
    if backend.can_read_values(eta) and not bool(backend.xp.all((eta >= 0) & (eta < math.inf))):
        raise ValueError(f"eta must be >= 0 and finite, got {eta}")
    return eta


def checked_steps(steps: Any) -> int:
    """A number of steps."""
    return as_integer("steps", steps)


def check_stable(laplacian: Operand, eta: Any) -> None:
    """Refuse an eta with which explicit steps grow, where values are visible."""
    backend, highest = laplacian.backend, eta
    if not isinstance(eta, float):
        if not backend.can_read_values(eta) or 0 in eta.shape:
            return
        eta = backend.constant(eta)
        highest = float(backend.xp.max(eta))
        # One for each graph; where a graph has several, it is the highest that counts.
        fits = tuple(eta.shape) == tuple(laplacian.shape[:-2])
        eta = backend.to_numpy(eta) if fits else highest
    bound = laplacian.bound
    if not isinstance(bound, float) or highest * bound <= 2.0:
        return
    if not backend.can_read_values(laplacian.values):
        return
    reach = laplacian.largest(eta)
    if reach > 2.0 * (1.0 + 1e-6):
        raise ValueError(
            f"eta = {highest:g} is above 2/lambda_max = {2.0 * highest / reach:.6g}, where "
            "explicit steps grow; take a smaller eta, or mode 'chebyshev' or 'implicit', stable "
            "for every eta"
        )


def check_degrees(graph: Graph, deg: Array) -> None:
    """Refuse degrees that are not those of the weights."""
    backend = graph.backend
    if backend_of_input("deg", deg) is not backend or shape(deg) != graph.shape[:-1]:
        raise ValueError(f"deg must be {graph.shape[:-1]} of {backend.name}, got {shape(deg)}")
    if backend.can_read_values(deg):
        xp, own, deg = backend.xp, backend.constant(graph.deg), backend.constant(deg)
        off = float(xp.max(xp.abs(backend.astype(deg, own.dtype) - own)))
        if off > 1e-3 * (1.0 + float(xp.max(own))):
            raise ValueError(f"deg must hold the sums of the weights, got one that is {off} off")


def check_symmetric(laplacian: DenseLaplacian) -> None:
    """Refuse an array that is not symmetric, where values are visible."""
    backend = laplacian.backend
    matrix = backend.constant(laplacian.matrix)
    xp = backend.xp
    if backend.can_read_values(matrix):
        off = float(xp.max(xp.abs(matrix - xp.matrix_transpose(matrix))))
        if off > 1e-5 * float(xp.max(xp.abs(matrix))):
            raise ValueError(
                f"laplacian must be symmetric, got two sides that differ by {off}; "
                "for the random-walk Laplacian pass that of a Graph"
            )


def visible_bound(laplacian: Operand, largest: float | None) -> float:
    """An upper bound of the eigenvalues as a number, above 0."""
    bound = laplacian.bound if largest is None else largest
    if not isinstance(bound, int | float) and laplacian.backend.can_fetch_values(bound):
        bound = float(bound) * (1.0 + 1e-6)
    if not isinstance(bound, int | float):
        raise ValueError(
            "the eigenvalues are not visible under a trace; pass largest=, an upper bound of them, "
            "or normalise the Laplacian, whose bound is 2"
        )
    if not 0.0 <= bound < math.inf:
        raise ValueError(f"largest must be >= 0 and finite, got {bound}")
    return float(bound) or 1.0
