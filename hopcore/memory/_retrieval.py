r"""Retrieval: the update, repeated until a state pattern stays where it is.

Every query stops on its own, as soon as its update moves it by at most ``tol * M``; what a query
returns never depends on the queries beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from hopcore.arrays._backend import Array
from hopcore.arrays._inputs import Inputs, broadcast, check
from hopcore.arrays._memory_kernels import norm
from hopcore.arrays._validation import count, quoted
from hopcore.memory._energy import energy_of
from hopcore.memory._separation import Separation, separation_named

Gradient = Literal["unrolled", "implicit"]


class Retrieval(NamedTuple):
    r"""What :func:`retrieve` found; a pytree in JAX and torch.

    Attributes
    ----------
    state : array (..., L, d)
        The state patterns after the last update.
    steps : integer array (..., L)
        How many updates each query took.
    converged : boolean array (..., L)
        Whether the last update moved the query by at most ``tol * M``.
    residual : array (..., L)
        How far the last update moved it, :math:`\|\xi_{t+1} - \xi_t\|_2`; inf if there was none.
    energy : array (..., L)
        The energy of the returned state.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> state, *_, energy = hopcore.retrieve(np.zeros((1, 2)), np.eye(2), 1.0)
    >>> state, energy.round(4)
    (array([[0.5, 0.5]]), array([0.25]))
    """

    state: Array
    steps: Array
    converged: Array
    residual: Array
    energy: Array


def retrieve(
    state: Array,
    stored: Array,
    beta: Any,
    *,
    mask: Array | None = None,
    separation: Separation = "softmax",
    max_steps: int = 100,
    tol: float = 1e-6,
    gradient: Gradient = "unrolled",
) -> Retrieval:
    r"""Retrieve stored patterns: iterate :math:`\xi \leftarrow f(\xi)` until each query rests.

    Parameters
    ----------
    state : array (..., L, d)
        State patterns to start from, for example corrupted patterns.
    stored : array (..., S, d)
        Stored patterns.
    beta : float or array broadcastable to (..., L)
        Inverse temperature, positive.
    mask, separation
        As in :func:`hopcore.association`.
    max_steps : int
        At most so many updates, >= 0.
    tol : float
        A query rests when an update moves it by at most ``tol * M``, with M the largest norm of a
        pattern it may attend to; >= 0. With 0 it makes ``max_steps`` updates, or comes exactly to
        rest.
    gradient : {"unrolled", "implicit"}
        How torch and JAX differentiate the result. ``"unrolled"`` goes back through the updates
        made: memory grows with them. ``"implicit"`` applies the implicit function theorem at the
        state reached: memory does not grow, the start has no influence, and it is right where the
        query has converged to a stable fixed point. NumPy has no gradients and ignores it.

    Returns
    -------
    Retrieval
        ``state, steps, converged, residual, energy``.

    Raises
    ------
    TypeError, ValueError
        Inputs that do not fit together, see :func:`hopcore.arrays._inputs.check`; a bad option.

    Notes
    -----
    A query that may attend to nothing goes to zero. Under ``jax.jit`` and ``torch.compile`` values
    cannot be seen: they are not checked, and finished queries are frozen instead of dropped.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> stored = np.asarray([[1.0, 0.0], [0.0, 1.0]])
    >>> found = hopcore.retrieve(np.asarray([[0.8, 0.4]]), stored, 4.0, separation="sparsemax")
    >>> found.state, int(found.steps[0])
    (array([[1., 0.]]), 2)
    """
    max_steps = count("max_steps", max_steps)
    if not 0.0 <= tol < math.inf:
        raise ValueError(f"tol must be finite and >= 0, got {quoted(tol)}")
    if gradient not in ("unrolled", "implicit"):
        raise ValueError(f"gradient must be 'unrolled' or 'implicit', got {quoted(gradient)}")
    inputs = spread(check(state, stored, beta=beta, mask=mask))
    function = separation_named(separation)
    found, steps, residual, unit = rested(
        inputs, lambda now: updated(now, function), max_steps, tol, gradient=gradient
    )
    final = energy_of(inputs._replace(state=found), function)
    return Retrieval(found, steps, residual <= tol, residual * unit, final)


def spread(inputs: Inputs) -> Inputs:
    """The inputs with the state broadcast to the leading axes of all of them."""
    lead = [inputs.state.shape[:-2], inputs.stored.shape[:-2]]
    if not isinstance(inputs.beta, float):
        lead.append(inputs.beta.shape[:-1])
    if inputs.mask is not None:
        lead.append(inputs.mask.shape[:-2])
    if all(len(axes) == 0 or axes == lead[0] for axes in lead):
        return inputs
    axes = broadcast(**{f"input {i}": shape for i, shape in enumerate(lead)})
    state = inputs.xp.broadcast_to(inputs.state, (*axes, *inputs.state.shape[-2:]))
    return inputs._replace(state=state)


def rested(
    inputs: Inputs,
    update: Callable[..., Array],
    max_steps: int,
    tol: Any,
    *,
    limits: Array | None = None,
    gradient: Gradient = "unrolled",
    others: tuple[Array, ...] = (),
) -> tuple[Array, Array, Array, Array]:
    """The states where they rest, their steps, residuals in units of M, and the units.

    ``tol`` and ``limits``, of the steps, may be arrays that broadcast to the queries; ``update``
    gets the inputs and ``others``.
    """
    unit = length_unit(inputs)

    def once(now: Inputs) -> Array:
        return update(now, *others)

    if gradient == "unrolled":
        found = settle(inputs, unit, once, max_steps, tol, differentiable=True, limits=limits)
        return *found, unit
    fixed = inputs.backend.constant
    still = inputs._replace(
        state=fixed(inputs.state),
        stored=fixed(inputs.stored),
        projection=fixed(inputs.projection),
        beta=fixed(inputs.beta),
    )
    quiet = tuple(fixed(x) for x in others)
    state, steps, residual = settle(
        still,
        unit,
        lambda now: update(now, *quiet),
        max_steps,
        tol,
        differentiable=False,
        limits=limits,
    )
    return at_fixed_point(state, inputs, update, others), steps, residual, unit


def length_unit(inputs: Inputs) -> Array:
    """M per query, or 1 where it is 0: the unit in which a residual is measured."""
    backend = inputs.backend
    largest = backend.constant(backend.radius(inputs.stored, inputs.mask))
    return inputs.xp.where(largest > 0, largest, 1.0)


def settle(
    inputs: Inputs,
    unit: Array,
    update: Callable[[Inputs], Array],
    max_steps: int,
    tol: Any,
    *,
    differentiable: bool,
    limits: Array | None = None,
) -> tuple[Array, Array, Array]:
    """State, number of steps and residual (in units of M) of each query once it rests."""
    backend, xp, state, stored, _, _, _ = inputs
    drop = stored.ndim == 2 and state.ndim == 2 and backend.compacts(state)

    def body(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        state, steps, residual, active = carry
        rows = xp.nonzero(active)[0] if drop else None
        if rows is None or rows.shape[0] == state.shape[0]:
            new = update(inputs._replace(state=state))
        else:
            some = update(select(inputs._replace(state=state), rows))
            # Back to their places: a gather, since scatter is not portable.
            place = xp.cumulative_sum(xp.astype(active, xp.int64), axis=0) - 1
            new = xp.take(some, xp.where(place > 0, place, 0), axis=0)
        wide = backend.precise[state.dtype]
        moved = norm(backend.astype(new, wide) - backend.astype(state, wide), xp) / unit
        state = xp.where(active[..., None], new, state)
        steps = steps + xp.astype(active, steps.dtype)
        residual = xp.where(active, moved, residual)
        active = active & (moved > tol)
        return state, steps, residual, active if limits is None else active & (steps < limits)

    places = state.shape[:-1]
    device = backend.device(state)
    active = xp.ones(places, dtype=xp.bool, device=device)
    init = (
        state,
        xp.zeros(places, dtype=xp.int32, device=device),
        xp.full(places, math.inf, dtype=backend.precise[state.dtype], device=device),
        active if limits is None else active & (limits > 0),
    )
    found, steps, residual, _ = backend.loop(
        lambda carry: xp.any(carry[3]), body, init, max_steps, differentiable=differentiable
    )
    return found, steps, residual


def updated(inputs: Inputs, separation: Any) -> Array:
    """One update of inputs that are checked already."""
    backend, _, state, stored, projection, beta, mask = inputs
    return backend.associate(state, stored, projection, beta, mask, separation)[0]


def select(inputs: Inputs, rows: Array) -> Inputs:
    """The inputs of some queries, where state is ``(L, d)``."""
    xp, beta, mask = inputs.xp, inputs.beta, inputs.mask
    if not isinstance(beta, float) and beta.ndim == 1 and beta.shape[0] > 1:
        beta = xp.take(beta, rows, axis=0)
    if mask is not None and mask.ndim == 2 and mask.shape[0] > 1:
        mask = xp.take(mask, rows, axis=0)
    return inputs._replace(state=xp.take(inputs.state, rows, axis=0), beta=beta, mask=mask)


def at_fixed_point(
    found: Array, inputs: Inputs, update: Callable[..., Array], others: tuple[Array, ...]
) -> Array:
    """The state found, with the derivative of a fixed point by stored patterns, beta, others."""
    heat = () if isinstance(inputs.beta, float) else (inputs.beta,)

    def again(state: Array, stored: Array, *rest: Array) -> Array:
        beta = rest[0] if heat else inputs.beta
        now = inputs._replace(state=state, stored=stored, projection=stored, beta=beta)
        return update(now, *rest[len(heat) :])

    return inputs.backend.implicit(again, found, (inputs.stored, *heat, *others))
