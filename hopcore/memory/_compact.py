r"""Compact kernels: every stored pattern has a ball, and has no influence outside of it.

With the distances :math:`u_i = \tfrac{\beta}{2} \|\xi - x_i\|^2`, the kernel of a pattern is
:math:`r_i^p` with :math:`r_i = (1 - u_i)_+`, which is 0 from the radius :math:`\sqrt{2/\beta}` on.
The energy is a log-sum-ReLU instead of a log-sum-exp (Hoover et al. 2025),

.. math::
    E(\xi) = -\tfrac1\beta \log \sum_i r_i^p, \qquad
    f(\xi) = \frac{\sum_i r_i^{p-1} x_i}{\sum_i r_i^{p-1}}, \qquad
    \nabla E(\xi) = p\, \frac{\sum_i r_i^{p-1}}{\sum_i r_i^p}\, (\xi - f(\xi)).

For p = 1, f is the mean of the patterns whose ball contains the state.

These weights depend on the distances themselves and not only on their differences, so the scores
must be :math:`z_i = -u_i` (``similarity="distance"``). They are also not the gradient of a
conjugate, from which kernels derive everything. :class:`PowerSum` is what kernels see where
derivatives matter: its weights are the gradient of a sum of kernels, of which energies are
logarithms and updates are ratios.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._backend import Array, Backend, Loop
from hopcore.arrays._inputs import Inputs
from hopcore.arrays._scalar_checks import as_integer
from hopcore.memory._entmax import indicator, normalized_weights

LARGEST_POWER = 16
"""Larger powers of a kernel would often be smaller than the smallest number of float32."""

REACH = 2.0
"""Twice the reach of a kernel whose largest score is 0, since rounding may make that positive."""


@dataclass(frozen=True)
class PowerSum:
    r"""The sum :math:`\sum_i r_i^k` of scores, as conjugate, and its gradient, as weights.

    The weights :math:`k\, r_i^{k-1}` do not sum to one. For k = 0 the sum counts the balls that
    contain the state.
    """

    power: int
    softmax = False
    reach = REACH

    def reach_of(self, largest: Array) -> Array:
        """The same, whatever the largest weight."""
        return 0.0 * largest + REACH

    def evaluate(
        self, scores: Array, xp: ModuleType, loop: Loop, largest: Array | None = None
    ) -> tuple[Array, Array]:
        """Weights ``(..., S)`` and sum ``(...)`` of scores ``(..., S)``; -inf is masked."""
        k, kernel = self.power, xp.maximum(scores + 1.0, xp.zeros_like(scores))
        inside = indicator(kernel, xp)
        if k <= 1:
            return inside * float(k), xp.sum(kernel if k == 1 else inside, axis=-1)
        return kernel ** (k - 1) * float(k), xp.sum(kernel**k, axis=-1)

    def tangent(self, weights: Array, change: Array, xp: ModuleType) -> Array:
        r""":math:`k (k - 1) r_i^{k-2}\, dz_i`; 0 for k = 0 and 1, whose weights are constant."""
        k = self.power
        if k <= 1:
            return 0.0 * change
        slope = k * (k - 1.0) * indicator(weights, xp)
        if k > 2:
            # Stay away from 0, where the power has no derivative.
            least = xp.zeros_like(weights[..., :1]) + xp.finfo(weights.dtype).smallest_normal
            kernel = xp.log(xp.maximum(weights / k, least)) / (k - 1.0)
            slope = slope * xp.exp((k - 2.0) * kernel)
        return slope * change


@suggest_names
@dataclass(frozen=True)
class Epanechnikov:
    r"""A compact kernel: :math:`w_i = r_i^{p-1} / \sum_j r_j^{p-1}`, :math:`r_i = (1 + z_i)_+`.

    Its scores are :math:`z_i = -\tfrac{\beta}{2} \|\xi - x_i\|^2`, so that functions of a memory
    need ``similarity="distance"``; a pattern has no weight from the distance
    :math:`\sqrt{2 / \beta}` on. With p = 1, the Epanechnikov kernel, a state moves to the mean of
    the patterns in its reach, and retrieval ends exactly, after finitely many updates. A state that
    is in reach of no pattern stays where it is and has the energy :math:`+\infty`; its weights and
    its association are zeros.

    Besides patterns, such a memory has minima that are means of some of them, see
    :func:`hopcore.phase.compact_minima`.

    Parameters
    ----------
    p : int
        The power of the kernel, from 1 to 16: 2 is the biweight and 3 the triweight kernel. Larger
        powers give smoother energies, up to the Gaussian kernel of the softmax.

    Raises
    ------
    TypeError, ValueError
        ``p`` is not an integer from 1 to 16.

    Notes
    -----
    The weights of p = 1 are constant wherever they have a derivative, which is 0, and they jump
    where a pattern comes into reach. The energy is continuous where it is finite, and its gradient
    has kinks there; for p = 2 it is the Jacobian of the update that jumps. On such a boundary the
    derivative is that of the smaller set of patterns. :func:`hopcore.statistics` has derivatives
    for p = 1 only.

    A memory takes no ``bias``: it would change the radius of a pattern and not its share.

    Source: Hoover et al. 2025, "Dense associative memory with Epanechnikov energy".

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> stored = np.asarray([[0.0], [1.0], [5.0]])
    >>> options = {"separation": "epanechnikov", "similarity": "distance"}
    >>> hopcore.association_weights([[0.2], [3.0]], stored, 1.0, **options)
    array([[0.5, 0.5, 0. ],
           [0. , 0. , 0. ]])
    >>> hopcore.retrieve([[0.2], [3.0]], stored, 1.0, **options).state
    array([[0.5],
           [3. ]])
    """

    p: int = 1
    softmax = False
    absolute = True
    """Weights depend on scores themselves, not only on their differences."""

    reach = REACH

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", as_integer("p", self.p, 1, LARGEST_POWER))

    def reach_of(self, largest: Array) -> Array:
        """Twice the distance in scores between the middle of a ball and its surface."""
        return 0.0 * largest + REACH

    def evaluate(
        self, scores: Array, xp: ModuleType, loop: Loop, largest: Array | None = None
    ) -> tuple[Array, Array]:
        """Weights and logarithm of the sum of kernels; zeros and -inf out of reach of all."""
        weights, total = PowerSum(self.p).evaluate(scores, xp, loop)
        return normalized_weights(weights, xp), log_or_lowest(total, xp)

    def tangent(self, weights: Array, change: Array, xp: ModuleType) -> Array:
        """Zeros for p = 1, whose weights are constant; for other powers there is none."""
        if self.p > 1:
            raise TypeError(
                f"statistics have no derivative for Epanechnikov({self.p}), only for "
                "Epanechnikov(1); detach what they are computed from"
            )
        return 0.0 * change


def is_absolute(separation: Any) -> bool:
    """Whether weights depend on scores themselves, and not only on their differences."""
    if isinstance(separation, str):
        return separation.partition(":")[0] == "epanechnikov"
    return getattr(separation, "absolute", False)


def log_or_lowest(total: Array, xp: ModuleType) -> Array:
    """The logarithm, which is -inf at 0 and has the derivative 0 there."""
    some = total > 0.0
    return xp.where(some, xp.log(xp.where(some, total, 1.0)), -math.inf)


def sum_of_powers(inputs: Inputs, power: int) -> Array:
    r"""Return :math:`\sum_i r_i^k` for each query of inputs with true scores, ``(..., L)``."""
    backend, _, state, stored, _, beta, mask = inputs
    return backend.conjugate(state, stored, beta, mask, PowerSum(power))


def recall(inputs: Inputs, separation: Any) -> tuple[Array, Array]:
    """Return the association ``(..., L, v)``, and whether a query is in reach of any pattern.

    ``inputs`` have true scores.
    """
    backend, xp, state, stored, values, beta, mask = inputs
    given = state, stored, values, beta, mask
    if separation.p == 1:
        output, conjugate = backend.associate(*given, separation, True)
        assert conjugate is not None
        return output, conjugate > -math.inf
    output, _ = backend.associate(*given, PowerSum(separation.p))
    mass = separation.p * sum_of_powers(inputs, separation.p - 1)
    return output / xp.where(mass > 0.0, mass, 1.0)[..., None], mass > 0.0


def steepness(inputs: Inputs, separation: Epanechnikov) -> Array:
    """Return the factor of the gradient of the energy, 0 for a query in reach of nothing."""
    xp, p = inputs.xp, separation.p
    total = sum_of_powers(inputs, p)
    return p * sum_of_powers(inputs, p - 1) / xp.where(total > 0.0, total, 1.0)


def conjugate_of(inputs: Inputs, separation: Any) -> Array:
    """Return the conjugate of any separation function, with its derivative, ``(..., L)``."""
    backend, xp, state, stored, _, beta, mask = inputs
    if is_absolute(separation):
        return log_or_lowest(sum_of_powers(inputs, separation.p), xp)
    return backend.conjugate(state, stored, beta, mask, separation)


def weights_of(backend: Backend, scores: Array, separation: Any) -> Array:
    """Return the weights of scores ``(..., S)`` by any separation function, differentiably."""
    xp = backend.xp
    if is_absolute(separation):
        # No distance is negative: a score above 0 is due to rounding, or a mistake of the user.
        scores = xp.where(scores > 0.0, 0.0, scores)
        weights, _ = backend.separate(scores, PowerSum(separation.p))
        return normalized_weights(weights, xp)
    return backend.separate(scores, separation)[0]
