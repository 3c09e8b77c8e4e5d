r"""The energy of a modern Hopfield network, its log-sum-exp, and its gradient.

.. math::
    E(\xi) = -\tfrac{1}{\beta} \Omega^*(\beta X \xi) + \tfrac12 \|\xi\|^2
             - \tfrac{1}{\beta} \Omega(\tfrac1N \mathbf 1) + \tfrac12 M^2

with :math:`M = \max_i \|x_i\|`. For the softmax, :math:`\Omega^*` is the log-sum-exp and
:math:`-\Omega(1/N) = \log N` (Ramsauer et al. 2021, equation 1); for the other separation functions
this is the Hopfield-Fenchel-Young energy (Santos et al. 2024), whose Fenchel-Young loss
:math:`L_\Omega(z; 1/N)` and mean-centred square add up to the same expression.

With scores by distance, the energy is

.. math::
    E(\xi) = -\tfrac{1}{\beta} \Omega^*(-\tfrac{\beta}{2} \|\xi - x_i\|^2)
           = \tfrac12 \|\xi\|^2
             - \tfrac{1}{\beta} \Omega^*(\beta (x_i \cdot \xi - \tfrac12 \|x_i\|^2)),

for the softmax between :math:`d^2/2 - \log N / \beta` and :math:`d^2/2`, with d the distance to the
nearest pattern.
"""

from __future__ import annotations

import math
from typing import Any

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import backend_of_input, broadcast_mask, check_floating
from hopcore.arrays._backend import Array
from hopcore.arrays._beta_checks import check_beta, clip
from hopcore.arrays._edge import without_axis, without_row
from hopcore.arrays._inputs import Inputs
from hopcore.arrays._library import AnyArray, BetaLike, SomeArray, quiet
from hopcore.arrays._scalar_checks import as_number, is_number
from hopcore.memory._causal import (
    Causal,
    causally_associated,
    in_causal_blocks,
    masked_inputs,
)
from hopcore.memory._compact import conjugate_of, is_absolute, steepness
from hopcore.memory._float_masks import associated, conjugate_with
from hopcore.memory._own_options import own_options
from hopcore.memory._scores import PLAIN, Scores, Similarity, scores_of
from hopcore.memory._separation import Separation, get_separation, with_separation
from hopcore.memory._stopping_loop import updated


@suggest_names
@quiet
def lse(beta: BetaLike, scores: SomeArray, *, mask: AnyArray | None = None) -> SomeArray:
    r"""Log-sum-exp at an inverse temperature: :math:`\log(\sum_i e^{\beta z_i}) / \beta`.

    Parameters
    ----------
    beta : float or array ()
        Inverse temperature, positive and finite, and not so small that ``log(S) / beta`` overflows.
    scores : array (..., S)
        Scores z, S >= 1.
    mask : boolean array broadcastable to (..., S), optional
        False masks a score.

    Returns
    -------
    array (...)
        Between ``max(z)`` and ``max(z) + log(S) / beta``; -inf where all scores are masked.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> float(hopcore.lse(2.0, np.asarray([1.0, 1.0])).round(4))  # 1 + log(2) / 2
    1.3466
    """
    backend = backend_of_input("scores", scores)
    check_floating(backend, "scores", scores)
    if scores.ndim == 0 or scores.shape[-1] == 0:
        raise ValueError(f"scores must be (..., S) with S >= 1, got {tuple(scores.shape)}")
    xp, precise = backend.xp, backend.precise[scores.dtype]
    most = float(xp.finfo(precise).max)
    least = max(1.0, math.log(scores.shape[-1])) / most
    if getattr(beta, "ndim", None) == 0 and not is_number(beta):
        checked = backend.astype(check_beta(backend, scores, beta), precise)
        checked = clip(checked, least, most / 2.0, xp)
        reach = clip(backend.constant(1000.0 / checked), 0.0, most, xp)
    else:
        checked = as_number("beta", beta, positive=True)
        if checked < least:
            raise ValueError(
                f"beta must be at least {least:.2g} for a finite result, got {checked}"
            )
        checked = min(checked, most / 2.0)
        reach = min(1000.0 / checked, most)
    values = backend.astype(scores, precise)
    if mask is not None:
        values = xp.where(broadcast_mask(backend, mask, values.shape), values, -most)
    # Relative to the largest score, products with beta are at most 0. They are kept above -1000,
    # whose exponential is 0, so that no beta and no score overflows.
    top = xp.max(backend.constant(values), axis=-1, keepdims=True)
    nothing = top <= -most
    top = xp.where(nothing, 0.0, top)
    half = 0.5 * values - 0.5 * top  # the difference itself may overflow
    near = 2.0 * xp.where(half < -0.5 * reach, -0.5 * reach, half)
    scaled = xp.where(values <= -most, -most, near * checked)
    conjugate = backend.separate(scaled, get_separation("softmax"))[1]
    value = top[..., 0] + xp.where(nothing[..., 0], 0.0, conjugate) / checked
    return xp.where(nothing[..., 0], -math.inf, value)


@suggest_names
@own_options
def energy(
    state: SomeArray,
    stored: AnyArray,
    beta: BetaLike,
    *,
    mask: AnyArray | Causal | None = None,
    separation: Separation = "softmax",
    similarity: Similarity = "dot",
    bias: AnyArray | None = None,
) -> SomeArray:
    r"""Return the energy of state patterns in a memory.

    Its stationary points are the fixed points of the update.

    Parameters
    ----------
    state : array (..., L, d) or (d,)
        State patterns.
    stored : array (..., S, d)
        Stored patterns.
    beta : float or array broadcastable to (..., L)
        Inverse temperature, positive.
    mask : boolean or floating array broadcastable to (..., L, S), or "causal", optional
        True where a query may attend (in layers, True where it may not), or numbers that are added
        to the scores, as in :func:`hopcore.association`. With ``"causal"``, state i attends to
        the patterns 0 to i alone, and there must be as many states as patterns. The N and M of a
        query do not include the patterns that are masked for it.
    separation, similarity, bias
        As in :func:`hopcore.association`.

    Returns
    -------
    array (..., L)
        For dot products in [0, 2 M^2] for states in the convex hull of the patterns, and for
        distances at most half of the squared distance to the nearest pattern; +inf for a query that
        may attend to nothing. The dtype is that of the state, or float32 for half precision. If
        several patterns have the largest norm, they share the derivative of M equally.

    Raises
    ------
    TypeError, ValueError
        Inputs that do not fit together, see :func:`hopcore.arrays.check_inputs`.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> stored = np.asarray([[1.0, 0.0], [0.0, 1.0]])
    >>> hopcore.energy(stored, stored, 50.0).round(4)
    array([0.0139, 0.0139])
    """
    inputs, single, added, causal = masked_inputs(state, stored, beta=beta, mask=mask)
    inputs, function = with_separation(inputs, separation, similarity)
    scores = scores_of(inputs, similarity, bias, separation=function, added=added)
    return without_axis(energy_of(inputs, function, scores, causal), single)


@quiet
def energy_of(
    inputs: Inputs, separation: Any, scores: Scores = PLAIN, causal: bool = False
) -> Array:
    """:func:`energy` of checked inputs."""
    if causal:

        def work(*given: Any) -> tuple[Array]:
            return (energy_of(*given),)

        return in_causal_blocks(work, inputs, separation, scores, (-1,))[0]
    inputs = in_precise(inputs)
    if scores is PLAIN:
        backend, _, state, stored, _, beta, mask = inputs
        conjugate = backend.conjugate(state, stored, beta, mask, separation)
    else:
        conjugate = scored_conjugate(scores, scores.inputs(inputs), separation)
    return energy_by_conjugate(inputs, separation, conjugate, scores)


def scored_conjugate(scores: Scores, scored: Inputs, separation: Any) -> Array:
    """Return the conjugate of the products of queries and keys, and of what is added to them."""
    if scores.added is not None:
        return conjugate_with(scored, scores.added, separation)
    return conjugate_of(scored, separation)


def in_precise(inputs: Inputs) -> Inputs:
    """Return the inputs in the dtype in which energies are computed."""
    backend, _, state, stored, _, beta, _ = inputs
    precise = backend.precise[state.dtype]
    if state.dtype == precise:
        return inputs
    return inputs._replace(
        state=backend.astype(state, precise),
        stored=backend.astype(stored, precise),
        beta=beta if isinstance(beta, float) else backend.astype(beta, precise),
    )


def energy_by_conjugate(
    inputs: Inputs, separation: Any, conjugate: Array, scores: Scores = PLAIN
) -> Array:
    """:func:`energy` of checked inputs in the precise dtype.

    ``conjugate`` is that of the products of queries and keys.
    """
    backend, xp, state, stored, _, beta, mask = inputs
    count = backend.count_attended(stored, mask)
    attending = count > 0
    absolute = not separation.softmax and is_absolute(separation)
    if absolute or scores.distance:
        if absolute:  # out of reach of all patterns is as good as without any
            attending = attending & (conjugate > -math.inf)
        conjugate = xp.where(attending, conjugate, 0.0)
        return xp.where(attending, -scores.conjugate(inputs, conjugate) / beta, math.inf)
    square = backend.square_lengths(state)
    largest = backend.largest_square(stored, mask)
    level = separation.uniform(xp.where(attending, count, 1.0), xp)
    # The difference first: both terms are about log N, and their difference may be small.
    value = (level - xp.where(attending, conjugate, 0.0)) / beta + 0.5 * (square + largest)
    return xp.where(attending, value, math.inf)


@suggest_names
@own_options
@quiet
def energy_gradient(
    state: SomeArray,
    stored: AnyArray,
    beta: BetaLike,
    *,
    mask: AnyArray | Causal | None = None,
    separation: Separation = "softmax",
    similarity: Similarity = "dot",
    bias: AnyArray | None = None,
) -> SomeArray:
    r"""Return the gradient of the energy with respect to the state, :math:`\xi - f(\xi)`.

    It needs one association and no automatic differentiation, so it works with every library. For
    :class:`hopcore.Epanechnikov` it is :math:`\xi - f(\xi)` times a positive number, and zero for a
    state in reach of no pattern.

    Parameters
    ----------
    state, stored, beta, mask, separation, similarity, bias
        As in :func:`energy`.

    Returns
    -------
    array (..., L, d)
        Zero exactly at the fixed points of the update.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.energy_gradient(np.zeros((1, 2)), np.eye(2), 1.0)
    array([[-0.5, -0.5]])
    """
    inputs, single, added, causal = masked_inputs(state, stored, beta=beta, mask=mask)
    inputs, function = with_separation(inputs, separation, similarity)
    scores = scores_of(inputs, similarity, bias, separation=function, added=added)
    if not causal:
        return without_row(gradient_of(inputs, function, scores), single)
    if not scores.absolute:
        return inputs.state - causally_associated(function, scores, inputs)

    def work(*given: Any) -> tuple[Array]:
        return (gradient_of(*given),)

    return in_causal_blocks(work, inputs, function, scores, (-2,))[0]


def gradient_of(inputs: Inputs, separation: Any, scores: Scores) -> Array:
    """:func:`energy_gradient` of checked inputs."""
    scored = scores.inputs(inputs)
    if scores.absolute:
        new = updated(separation, scores, inputs)
        slope = steepness(scored, separation)[..., None]
        return inputs.backend.astype(slope * (inputs.state - new), inputs.state.dtype)
    new = associated(scored, scores.added, separation)[0]
    return inputs.state - scores.recalled(inputs, new)
