r"""Chebyshev series of functions of a Laplacian.

On :math:`[0, \lambda_{max}]`, a response is :math:`r(\lambda) \approx \sum_k c_k T_k(2
\lambda/\lambda_{max} - 1)`, so :math:`r(L) x` is a sum of repeated products with L. The heat
kernel :math:`e^{-t \lambda}` has :math:`c_k = \pm 2 e^{-a} I_k(a)` with :math:`a = t
\lambda_{max}/2` and the modified Bessel functions :math:`I_k`. All signs agree at
:math:`\lambda = 0`, so the sup error of degree K is exactly :math:`2 \sum_{k>K} e^{-a}
I_k(a)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hopcore.arrays._backend import Array, Backend

FARTHEST = 1e10
"""The largest ``reach = t lambda_max`` of a series; it takes about 400,000 products at 1e-6."""

LONGEST = 2048
"""The largest degree of a series by quadrature, whose weights take 64 MiB."""


def heat_error(degree: int, reach: float) -> float:
    r"""Return the sup error of the series of :math:`e^{-t \lambda}`, with ``reach = t lambda_max``.

    Examples
    --------
    >>> from hopcore.diffusion._chebyshev import heat_error
    >>> f"{heat_error(8, 2.0):.1e}"  # t = 1, a normalised Laplacian
    '4.3e-09'
    """
    return math.fsum(heat_terms(reach)[degree + 1 :])


def heat_degree(reach: float, tol: float) -> int:
    """Return the smallest degree with a sup error of at most ``tol``; ``reach = t lambda_max``."""
    terms, left_out = heat_terms(reach), 0.0
    degree = len(terms) - 1
    while degree > 0 and left_out + terms[degree] <= tol:
        left_out += terms[degree]
        degree -= 1
    return degree


def heat_coefficients(degree: int, reach: float) -> list[float]:
    """Return the coefficients 0 to ``degree`` of the heat kernel, with ``reach = t lambda_max``."""
    terms = heat_terms(reach)
    terms[0] *= 0.5
    return [-term if k % 2 else term for k, term in enumerate(terms[: degree + 1])]


def heat_terms(reach: float) -> list[float]:
    """Return ``2 e^-a I_k(a)`` with ``a = reach/2``, for k from 0 until the terms vanish.

    They follow from Miller's stable downward recurrence, and are normalised so that half the first
    and all others sum to 1. ``2 * scipy.special.ive(k, a)`` agrees but is nan for large ``a``.
    """
    a = 0.5 * reach
    if a < 1e-20:
        return [2.0]
    if not reach <= FARTHEST:
        raise ValueError(
            f"eta times the largest eigenvalue is {reach:.3g}, but a series needs about the square "
            f"root of that many products and allows {FARTHEST:g}; use mode 'spectral' or 'implicit'"
        )
    above, term = 0.0, 1e-200
    terms = [term]
    for k in range(63 + math.ceil(10.0 * math.sqrt(a)), 0, -1):
        above, term = term, 2.0 * k / a * term + above
        terms.append(term)
        if term > 1e150:
            above, term, terms = above / term, 1.0, [other / term for other in terms]
    total = 0.5 * terms[-1] + math.fsum(terms[:-1])
    return [term / total for term in reversed(terms)]


def resolvent_degree(reach: float, tol: float) -> int:
    r"""Return the smallest degree at which the resolvent's omitted terms sum to ``tol`` at most.

    With :math:`\eta \lambda_{max}` the ``reach``, :math:`r = \sqrt{1 + \eta \lambda_{max}}` and
    :math:`q = (r - 1)/(r + 1)`, the coefficients of :math:`1 / (1 + \eta \lambda)` are
    :math:`\pm (2/r)\, q^k`, and those from k on sum to :math:`(1 + 1/r)\, q^k`.

    Examples
    --------
    >>> from hopcore.diffusion._chebyshev import resolvent_degree
    >>> [resolvent_degree(reach, 1e-6) for reach in (0.0, 1.0, 100.0)]
    [0, 8, 69]
    """
    root = math.sqrt(1.0 + min(reach, 1e300))
    if root == 1.0:
        return 0
    first = math.log(tol / (1.0 + 1.0 / root)) / math.log1p(-2.0 / (root + 1.0))
    return max(math.ceil(first) - 1, 0)


def quadrature(degree: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Return points of :math:`\lambda/\lambda_{max}` ``(n,)`` and weights ``(n, degree + 1)``.

    The coefficients of a response are its values at the points times the weights. This is exact for
    polynomials of up to twice the degree.
    """
    count = 2 * (degree + 1)
    angles = math.pi * (np.arange(count) + 0.5) / count
    weights = np.cos(np.outer(angles, np.arange(degree + 1))) * (2.0 / count)
    weights[:, 0] *= 0.5
    return 0.5 * (np.cos(angles) + 1.0), weights


def series(twice: Callable[[Array], Array], features: Array, terms: Sequence[float]) -> Array:
    """Return the sum of ``terms[k] T_k(M) x``, where ``twice(x)`` is ``2 M x``."""
    total = terms[0] * features
    for term, part in zip(terms[1:], basis(twice, features, len(terms) - 1), strict=True):
        total = total + term * part
    return total


def basis(twice: Callable[[Array], Array], features: Array, degree: int) -> list[Array]:
    """Return ``T_k(M) x`` for k from 1 to ``degree``, where ``twice(x)`` is ``2 M x``."""
    if degree == 0:
        return []
    polynomials = [features, 0.5 * twice(features)]
    for _ in range(degree - 1):
        polynomials.append(twice(polynomials[-1]) - polynomials[-2])
    return polynomials[1:]


def coefficients_at(
    backend: Backend, response: Callable[[Array], Array], largest: Any, degree: int, like: Array
) -> Array:
    """Return the coefficients ``(..., degree + 1)`` of a response with parameters ``(...)``.

    ``response`` gets eigenvalues ``(n,)`` in the dtype of ``like`` and returns ``(..., n)``. The
    coefficients are differentiable in the parameters.
    """
    points, weights = (
        backend.xp.asarray(x, dtype=like.dtype, device=backend.device(like))
        for x in quadrature(degree)
    )
    return backend.xp.matmul(response(points * largest), weights)
