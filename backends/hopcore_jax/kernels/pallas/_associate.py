"""Associations, statistics and best patterns by the kernels in Pallas, where they take a call."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from hopcore.arrays import Array, Beta, SeparationFunction
from hopcore.memory import FusedOrder, Softmax
from hopcore_jax.kernels._statistics import for_each_place
from hopcore_jax.kernels.pallas import _derivatives as derivatives
from hopcore_jax.kernels.pallas._choice import SWITCH, refusal, uses_pallas
from hopcore_jax.kernels.pallas._cudnn_choice import cudnn_refusal
from hopcore_jax.kernels.pallas._launch import Launch
from hopcore_jax.kernels.pallas._layout import Plan, laid_out


def associate(
    backend: Any,
    state: Array,
    stored: Array,
    projection: Array | None,
    beta: Beta,
    mask: Array | None,
    separation: SeparationFunction,
    bias: Array | None = None,
    causal: bool = False,
) -> tuple[Array | None, Array] | None:
    """Return output and conjugate, or None if the kernels do not take the call.

    Without a projection there is no output.
    """
    if refusal(state, stored, projection, beta, mask, separation, bias):
        return None
    bias = None if bias is None else bias.astype(jnp.float32)
    places, arrays = laid_out(state, stored, projection, beta, mask, bias)
    length = state.shape[-2] if causal else 0
    plan = Plan(FusedOrder.of(separation), length, SWITCH[0].interprets, backend)
    found = derivatives.associate(plan, arrays)
    return places.output(found.output), places.conjugate(found.conjugate)


def attend(
    backend: Any,
    state: Array,
    stored: Array,
    projection: Array,
    beta: Beta,
    mask: Array | None,
    separation: SeparationFunction,
    *,
    bias: Array | None = None,
    causal: bool = False,
    need_conjugate: bool = False,
) -> Array | None:
    """Return the association by the attention of cuDNN, or None if it does not take the call."""
    given = state, stored, projection, beta, mask, separation
    options: Any = {"bias": bias, "causal": causal, "need_conjugate": need_conjugate}
    if cudnn_refusal(*given, **options):
        return None
    places, arrays = laid_out(state, stored, projection, beta, None)
    plan = Plan(FusedOrder(1.0), state.shape[-2] if causal else 0, False, backend, beta)
    return places.output(derivatives.associate(plan, arrays).output)


def best(
    backend: Any,
    state: Array,
    stored: Array,
    beta: Beta,
    mask: Array | None,
    separation: SeparationFunction,
) -> tuple[Array, ...] | None:
    """Return what :meth:`hopcore.Backend.best` does, or None if no kernel takes the call."""
    if refusal(state, stored, None, beta, mask, separation):
        return None
    places, arrays = laid_out(state, stored, None, beta, mask)
    plan = Plan(FusedOrder.of(separation), 0, SWITCH[0].interprets, backend)
    found = derivatives.associate(plan, lax.stop_gradient(arrays), "best")
    numbers = found.index, found.top, found.weight, found.conjugate
    return tuple(map(places.conjugate, numbers))


def statistics(
    backend: Any,
    state: Array,
    stored: Array,
    beta: Beta,
    mask: Array | None,
    separation: SeparationFunction,
) -> tuple[Array, ...] | None:
    """Return what :meth:`hopcore.Backend.statistics` does, or None if no kernel takes the call."""
    if refusal(state, stored, None, beta, mask, separation):
        return None
    stored = for_each_place(state, stored, beta, mask)
    places, arrays = laid_out(state, stored, None, beta, mask)
    plan = Plan(FusedOrder.of(separation), 0, SWITCH[0].interprets, backend)
    found = derivatives.associate(plan, arrays, "statistics")
    numbers = found.conjugate, found.entropy, found.square, found.weight
    received = jnp.reshape(found.received, stored.shape[:-1])
    return *map(places.conjugate, numbers), received


def hard_lookup(
    state: Array, stored: Array, projection: Array, mask: Array | None = None
) -> tuple[Array, Array, Array]:
    r"""Return the projection of the pattern with the largest product, its index and the product.

    This is the association for :math:`\beta \to \infty`. It has no derivative.

    Parameters
    ----------
    state : array (..., L, d)
        Float32, bfloat16 or float16, on a GPU (or on any device if kernels are interpreted).
    stored : array (..., S, d)
        Of the same dtype.
    projection : array (..., S, v)
        What is looked up, of the same dtype.
    mask : boolean array broadcastable to (..., L, S), optional
        True where a query may attend to a pattern.

    Returns
    -------
    tuple of arrays (..., L, v), (..., L), (..., L)
        The projections, the indices of the first patterns with the largest products, and these
        products in float32. A query that may attend to nothing gets zeros, -1 and -inf.

    Raises
    ------
    ValueError
        The kernels do not take the call; the message says why.
    """
    softmax: Any = Softmax()
    found = refusal(state, stored, projection, 1.0, mask, softmax)
    if not found and not uses_pallas(None):
        found = "the kernels are not used on this device"
    if found:
        raise ValueError(f"hard_lookup does not take these arrays: {found}")
    places, arrays = laid_out(state, stored, projection, 1.0, mask)
    plan = Plan(FusedOrder(1.0), 0, SWITCH[0].interprets)
    results = Launch(plan, lax.stop_gradient(arrays)).lookup()
    output = places.output(results.output)
    return output, *map(places.conjugate, (results.index, results.top))
