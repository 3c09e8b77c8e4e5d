r"""Chebyshev series of functions of a Laplacian.

On :math:`[0, \lambda_{max}]` a response :math:`r(\lambda) \approx \sum_k c_k T_k(2
\lambda/\lambda_{max} - 1)`, so that :math:`r(L) x` is a sum of repeated products with L. The heat
kernel :math:`e^{-t \lambda}` has :math:`c_k = \pm 2 e^{-a} I_k(a)` with :math:`a = t
\lambda_{max}/2` and the modified Bessel functions :math:`I_k`; all signs agree at
:math:`\lambda = 0`, so that the sup error of degree K is exactly :math:`2 \sum_{k>K} e^{-a}
I_k(a)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hopcore.arrays._backend import Array, Backend

FARTHEST = 1e10
"""Of ``reach = t lambda_max``: at most so much, which takes some 400,000 products at 1e-6."""


LONGEST = 2048
"""The degree of a series whose coefficients are found by quadrature, at most: 64 MiB of weights."""


def heat_error(degree: int, reach: float) -> float:
    r"""The sup error of the series of :math:`e^{-t \lambda}` of a degree, ``reach = t lambda_max``.

    Examples
    --------
    >>> from hopcore.diffusion._chebyshev import heat_error
    >>> f"{heat_error(8, 2.0):.1e}"  # t = 1, a normalised Laplacian
    '4.3e-09'
    """
    return math.fsum(heat_terms(reach)[degree + 1 :])


def heat_degree(reach: float, tol: float) -> int:
    """The smallest degree whose sup error is at most ``tol``; ``reach = t lambda_max``."""
    terms, left_out = heat_terms(reach), 0.0
    degree = len(terms) - 1
    while degree > 0 and left_out + terms[degree] <= tol:
        left_out += terms[degree]
        degree -= 1
    return degree


def heat_coefficients(degree: int, reach: float) -> list[float]:
    """The coefficients 0 to ``degree`` of the heat kernel, ``reach = t lambda_max``."""
    terms = heat_terms(reach)
    terms[0] *= 0.5
    return [-term if k % 2 else term for k, term in enumerate(terms[: degree + 1])]


def heat_terms(reach: float) -> list[float]:
    """``2 e^-a I_k(a)`` with ``a = reach/2``, for k from 0 until they have vanished.

    By Miller's recurrence downwards, which is stable; they sum, the first by half, to 1. In plain
    Python, which compilers of array programs take for the constants that they are.
    """
    a = 0.5 * reach
    if a < 1e-20:
        return [2.0]
    if not reach <= FARTHEST:
        raise ValueError(
            f"eta times the largest eigenvalue is {reach:.3g}: a series takes about its root many "
            f"products, and ends at {FARTHEST:g}; take mode 'spectral' or 'implicit'"
        )
    above, now = 0.0, 1e-200
    terms = [now]
    for k in range(63 + math.ceil(10.0 * math.sqrt(a)), 0, -1):
        above, now = now, 2.0 * k / a * now + above
        terms.append(now)
        if now > 1e150:
            above, now, terms = above / now, 1.0, [term / now for term in terms]
    total = 0.5 * terms[-1] + math.fsum(terms[:-1])
    return [term / total for term in reversed(terms)]


def resolvent_degree(reach: float, tol: float) -> int:
    r"""The smallest degree at which the terms left out of the resolvent sum to at most ``tol``.

    With :math:`\eta \lambda_{max}` the ``reach``, :math:`r = \sqrt{1 + \eta \lambda_{max}}` and
    :math:`q = (r - 1)/(r + 1)`, the coefficients of :math:`1 / (1 + \eta \lambda)` are
    :math:`\pm (2/r)\, q^k`, and those from k on sum to :math:`(1 + 1/r)\, q^k`.

    Examples
    --------
    >>> from hopcore.diffusion._chebyshev import resolvent_degree
    >>> [resolvent_degree(reach, 1e-6) for reach in (0.0, 1.0, 100.0)]
    [0, 8, 69]
    """
    root = math.sqrt(1.0 + reach)
    if root == 1.0:
        return 0
    first = math.log(tol / (1.0 + 1.0 / root)) / math.log1p(-2.0 / (root + 1.0))
    return max(math.ceil(first) - 1, 0)


def quadrature(degree: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Points of :math:`\lambda/\lambda_{max}` ``(n,)`` and weights ``(n, degree + 1)``.

    A response at the points times the weights is its coefficients; exact for polynomials of twice
    the degree.
    """
    count = 2 * (degree + 1)
    angles = math.pi * (np.arange(count) + 0.5) / count
    weights = np.cos(np.outer(angles, np.arange(degree + 1))) * (2.0 / count)
    weights[:, 0] *= 0.5
    return 0.5 * (np.cos(angles) + 1.0), weights


def series(twice: Callable[[Array], Array], features: Array, terms: Sequence[float]) -> Array:
    """The sum of ``terms[k] T_k(M) x``, where ``twice(x)`` is ``2 M x``."""
    total = terms[0] * features
    for term, part in zip(terms[1:], basis(twice, features, len(terms) - 1), strict=True):
        total = total + term * part
    return total


def basis(twice: Callable[[Array], Array], features: Array, degree: int) -> list[Array]:
    """``T_k(M) x`` for k from 1 to ``degree``, where ``twice(x)`` is ``2 M x``."""
    before, now = features, 0.5 * twice(features) if degree else features
    found = [now] if degree else []
    for _ in range(degree - 1):
        before, now = now, twice(now) - before
        found.append(now)
    return found


def coefficients_at(
    backend: Backend, response: Callable[[Array], Array], largest: Any, degree: int, like: Array
) -> Array:
    """Coefficients ``(..., degree + 1)`` of a response that arrays ``(...)`` are parameters of.

    ``response`` gets eigenvalues ``(n,)`` in the dtype of ``like`` and returns ``(..., n)``;
    differentiable by the parameters.
    """
    points, weights = (
        backend.xp.asarray(x, dtype=like.dtype, device=backend.device(like))
        for x in quadrature(degree)
    )
    return backend.xp.matmul(response(points * largest), weights)
