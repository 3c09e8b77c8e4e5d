r"""Separation functions: how scores become association weights.

A separation function is the gradient of a conjugate. With a strictly convex :math:`\Omega` on the
simplex,

.. math::
    \Omega^*(z) = \max_{y \in \Delta} \langle y, z \rangle - \Omega(y), \qquad
    w(z) = \nabla \Omega^*(z) = \arg\max_{y \in \Delta} \langle y, z \rangle - \Omega(y).

Both the energy (through the conjugate) and the association (through the weights) follow from it:
Shannon's negentropy gives the softmax and the log-sum-exp, Tsallis negentropies give
:math:`\alpha`-entmax, of which sparsemax is :math:`\alpha = 2` (Santos et al. 2024,
"Hopfield-Fenchel-Young networks").
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, TypeAlias

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import (
    backend_of_input,
    broadcast_shapes,
    check_alike,
    check_floating,
    shape,
)
from hopcore.arrays._backend import Array, Backend, Loop, SeparationFunction, orders_of
from hopcore.arrays._inputs import Inputs
from hopcore.arrays._library import SomeArray
from hopcore.memory._compact import Epanechnikov, is_absolute, weights_of
from hopcore.memory._entmax import Entmax, below_top, where_empty
from hopcore.memory._k_subsets import KSubsets
from hopcore.memory._normmax import Normmax

SeparationName: TypeAlias = Literal["softmax", "sparsemax", "entmax15", "epanechnikov"]
"""The names of separation functions.

``"entmax:1.5"``, ``"normmax:2"`` and ``"k-subsets:4"`` have no type.
"""

Separation: TypeAlias = SeparationName | SeparationFunction
"""``"softmax"``, ``"sparsemax"``, ``"entmax15"``, or an object such as ``Entmax(1.5)``.

With scores by distance also ``"epanechnikov"`` or ``Epanechnikov(p)``.
"""


@dataclass(frozen=True)
class Softmax:
    r"""Shannon: :math:`w_i = e^{z_i} / \sum_j e^{z_j}`, :math:`\Omega^*(z) = \log \sum_j e^{z_j}`.

    Every pattern that is not masked has a positive weight, so no pattern is retrieved exactly.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.separate(np.asarray([0.0, 0.0]), hopcore.Softmax())
    array([0.5, 0.5])
    """

    softmax = True

    @property
    def reach(self) -> float:
        """Infinite, since no score is so low that its weight is exactly 0."""
        return math.inf

    def uniform(self, count: Array, xp: ModuleType) -> Array:
        r""":math:`-\Omega(1/N) = \log N` for counts N >= 1."""
        return xp.log(count)

    def evaluate(
        self, scores: Array, xp: ModuleType, loop: Loop, largest: Array | None = None
    ) -> tuple[Array, Array]:
        """Weights and log-sum-exp of scores ``(..., S)``; all masked gives zeros and -inf."""
        shifted, top, empty = below_top(scores, xp)
        weights = xp.exp(shifted)
        total = xp.sum(weights, axis=-1, keepdims=True)
        weights = weights / xp.where(empty, 1.0, total)
        conjugate = top + xp.log(xp.where(empty, 1.0, total))
        return weights, where_empty(conjugate, empty, xp)

    def tangent(self, weights: Array, change: Array, xp: ModuleType) -> Array:
        r""":math:`(\mathrm{diag}(w) - w w^T)\, dz`."""
        return weights * (change - xp.sum(weights * change, axis=-1, keepdims=True))


SEPARATIONS: dict[SeparationName, Any] = {
    "softmax": Softmax(),
    "sparsemax": Entmax(2.0),
    "entmax15": Entmax(1.5),
    "epanechnikov": Epanechnikov(),
}


def family_named(name: str) -> Entmax | Normmax | KSubsets | Epanechnikov:
    """Return the separation function of a name with a number, such as ``"entmax:1.5"``."""
    family, _, number = name.partition(":")
    orders: dict[str, type[Entmax | Normmax]] = {"entmax": Entmax, "normmax": Normmax}
    if family in orders and number:
        with suppress(ValueError):
            return orders[family](float(number))
        raise ValueError(f"separation '{family}:alpha' needs a number above 1, got {name!r}")
    if family in ("k-subsets", "k_subsets") and number:
        with suppress(ValueError):
            return KSubsets(int(number))
        raise ValueError(f"separation 'k-subsets:k' needs an integer >= 1, got {name!r}")
    if family == "epanechnikov" and number:
        with suppress(ValueError):
            return Epanechnikov(int(number))
        raise ValueError(f"separation 'epanechnikov:p' needs an integer from 1 to 16, got {name!r}")
    known = ", ".join(map(repr, SEPARATIONS))
    raise ValueError(
        f"unknown separation {name!r}; known: {known}, 'entmax:1.5', or Entmax(alpha), "
        "'normmax:2', or Normmax(alpha), 'k-subsets:4', or KSubsets(k)"
    )


def get_separation(separation: Separation, similarity: Literal["dot", "distance"] = "dot") -> Any:
    """Return the separation function of a name; an object is returned as it is.

    One whose scores must be distances, such as ``"epanechnikov"``, is refused unless it is said
    that they are, by ``similarity="distance"``.
    """
    if is_absolute(separation) and similarity != "distance":
        raise ValueError(
            f"separation={separation} needs distances: write similarity='distance', where there is "
            "such an argument"
        )
    if isinstance(separation, str):
        found = SEPARATIONS.get(separation)
        return family_named(separation) if found is None else found
    if isinstance(separation, type) or not hasattr(separation, "evaluate"):
        raise TypeError(
            f"separation must be a name or a separation function such as Entmax(1.5), "
            f"got {type(separation).__name__}"
        )
    return separation


def with_separation(
    inputs: Inputs, separation: Separation, similarity: Literal["dot", "distance"] = "dot"
) -> tuple[Inputs, Any]:
    """Return checked inputs with the separation function, whose alpha may be an array.

    The state is broadcast to the leading axes of that array, so that no kernel has to be.
    """
    function = get_separation(separation, similarity)
    alpha = orders_of(function)
    if alpha is None:
        return inputs, function
    backend, xp, state = inputs.backend, inputs.xp, inputs.state
    alpha = check_orders(backend, state, alpha)
    if alpha.ndim > 0 and alpha.shape[-1] not in (1, state.shape[-2]):
        raise ValueError(
            f"alpha must broadcast to (..., L) = (..., {state.shape[-2]}), got {shape(alpha)}"
        )
    broadcast_shapes(stored=shape(inputs.stored)[:-2], alpha=shape(alpha)[:-1])
    lead = broadcast_shapes(state=shape(state)[:-2], alpha=shape(alpha)[:-1])
    if lead != shape(state)[:-2]:
        inputs = inputs._replace(state=xp.broadcast_to(state, (*lead, *state.shape[-2:])))
    return inputs, function.with_orders(alpha)


def check_orders(backend: Any, like: Array, alpha: Array) -> Array:
    """Return an alpha that is an array; raise if its library, dtype or device is not that given."""
    if getattr(alpha, "weak_type", False):
        alpha = backend.astype(alpha, like.dtype)  # a number that JAX traces
    check_alike(backend, like, "alpha", alpha)
    return alpha


@suggest_names
def separate(scores: SomeArray, separation: Separation = "softmax") -> SomeArray:
    r"""Association weights of scores: a distribution over the last axis.

    Parameters
    ----------
    scores : array (..., S)
        Scores, S >= 1; -inf marks a masked pattern.
    separation : str or separation function
        As in :func:`hopcore.association`; an alpha that is an array broadcasts against the scores
        without their last axis.

    Returns
    -------
    array (..., S)
        Weights that sum to one; zeros where every score is -inf. They are differentiable in torch
        and JAX. If a score is exactly at the threshold, the derivative is that of the smaller
        support.

    Raises
    ------
    TypeError, ValueError
        Scores that are not a real floating array with a last axis; nan or +inf among them; an
        unknown separation.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.separate(np.asarray([[0.0, -np.inf]]), "sparsemax")
    array([[1., 0.]])
    """
    dtype = getattr(scores, "dtype", None)
    backend, scores, function = scores_and_function(scores, separation)
    return backend.astype(weights_of(backend, scores, function), dtype)


def scores_and_function(scores: Array, separation: Separation) -> tuple[Backend, Array, Any]:
    """Check scores; return their backend, the scores in the precise dtype, and the function.

    Scores are broadcast to the leading axes of an alpha that is an array.
    """
    backend = backend_of_input("scores", scores)
    check_floating(backend, "scores", scores)
    if scores.ndim == 0 or scores.shape[-1] == 0:
        raise ValueError(f"scores must be (..., S) with S >= 1, got {tuple(scores.shape)}")
    values: Array = scores
    if backend.can_read_values(values) and not bool(backend.xp.all(values < math.inf)):
        bad = float(backend.xp.max(scores))  # nan if one of them is nan
        raise ValueError(f"scores must be finite, or -inf where masked, got {bad}")
    function = get_separation(separation, "distance")
    alpha = orders_of(function)
    if alpha is not None:
        function = function.with_orders(check_orders(backend, scores, alpha))
        lead = broadcast_shapes(scores=shape(scores)[:-1], alpha=shape(alpha))
        scores = backend.xp.broadcast_to(scores, (*lead, scores.shape[-1]))
    return backend, backend.astype(scores, backend.precise[scores.dtype]), function
