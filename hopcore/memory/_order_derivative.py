r"""How the weights and the conjugate of an entmax change with its order alpha.

On the support, :math:`z_i - \log_\alpha w_i` is the same number for all i, with
:math:`\log_\alpha w = (w^a - 1)/a` and :math:`a = \alpha - 1`. The derivative of this equation
shows that increasing alpha moves the weights as changing the scores by

.. math::
    -\varphi_i = -\frac{\partial}{\partial \alpha} \log_\alpha w_i
               = -(\log w_i)^2\, \psi(a \log w_i), \qquad
    \psi(x) = \frac{x e^x - e^x + 1}{x^2}

would. With :math:`\psi` the limit :math:`\alpha \to 1` needs no special case. Multiplied by the
Jacobian, this is proposition 1 of Correia, Niculae and Martins (2019, "Adaptively sparse
transformers").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType

from hopcore.arrays._backend import Array

TERMS = 16
"""The terms of a series for magnitudes up to 1/2, of which the first left out is below 1e-18."""

RATIO = tuple(1.0 / math.factorial(k + 1) for k in range(TERMS))
r"""The coefficients of :math:`(e^x - 1)/x`."""

SLOPE = tuple(1.0 / (math.factorial(k) * (k + 2)) for k in range(TERMS))
r"""The coefficients of its derivative :math:`\psi`."""


def expm1_ratio(x: Array, xp: ModuleType) -> Array:
    """``(exp(x) - 1) / x``, which is 1 at 0, with correct derivatives at 0."""
    return _near_zero(x, RATIO, lambda far: xp.expm1(far) / far, xp)


def expm1_ratio_slope(x: Array, xp: ModuleType) -> Array:
    """The derivative of :func:`expm1_ratio`, which is 1/2 at 0."""
    return _near_zero(x, SLOPE, lambda far: (far * xp.exp(far) - xp.expm1(far)) / (far * far), xp)


def order_change(weights: Array, order: Array, xp: ModuleType) -> tuple[Array, Array]:
    r"""Return :math:`-\varphi` ``(..., S)`` and :math:`\partial \Omega^* / \partial \alpha`.

    Weights are ``(..., S)`` and the order is ``(..., 1)``. By Danskin's theorem, the second is
    :math:`-\partial \Omega(w) / \partial \alpha` at fixed weights, ``(...)``, where
    :math:`\alpha\, \Omega(w) = \sum_i w_i \log_\alpha w_i`.
    """
    least = xp.zeros_like(weights[..., :1]) + xp.finfo(weights.dtype).eps ** 2
    logarithm = xp.log(xp.maximum(weights, least))
    x = (order - 1.0) * logarithm
    rise = logarithm * logarithm * expm1_ratio_slope(x, xp)
    negentropy = xp.sum(weights * logarithm * expm1_ratio(x, xp), axis=-1) / order[..., 0]
    return -rise, (negentropy - xp.sum(weights * rise, axis=-1)) / order[..., 0]


def _near_zero(
    x: Array, coefficients: tuple[float, ...], formula: Callable[[Array], Array], xp: ModuleType
) -> Array:
    """Use the series of a function near 0, where its formula cancels, and the formula elsewhere."""
    near = xp.abs(x) < 0.5
    small, series = xp.where(near, x, 0.0), 0.0
    for coefficient in reversed(coefficients):
        series = series * small + coefficient
    return xp.where(near, series, formula(xp.where(near, 1.0, x)))
