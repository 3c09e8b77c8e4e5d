r"""The loop of a retrieval: an update, repeated until each query rests.

Every query stops on its own, as soon as its update moves it by at most ``tol * M``; its result
never depends on the other queries.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

from hopcore.arrays._array_checks import broadcast_shapes
from hopcore.arrays._backend import Array, with_orders
from hopcore.arrays._inputs import Inputs
from hopcore.arrays._memory_kernels import norm
from hopcore.memory._compact import recall
from hopcore.memory._float_masks import associated_by_orders
from hopcore.memory._path import begin_path, joined_path, with_path
from hopcore.memory._scores import PLAIN, Scores

Gradient: TypeAlias = Literal["unrolled", "implicit"]
"""How the result of a retrieval is differentiated."""

UNMOVED = 3e38
"""The residual of a query before its first update: finite, since JAX can be told to stop at inf."""


def broadcast_state(inputs: Inputs, keys: Any = None, added: Any = None) -> Inputs:
    """Return the inputs with the state broadcast to the leading axes of all of them.

    ``keys`` may have more leading axes than the stored patterns, those of a bias; ``added`` are the
    numbers of a mask.
    """
    leading = {"state": inputs.state.shape[:-2], "stored": inputs.stored.shape[:-2]}
    if not isinstance(inputs.beta, float):
        leading["beta"] = inputs.beta.shape[:-1]
    if inputs.mask is not None:
        leading["mask"] = inputs.mask.shape[:-2]
    if keys is not None:
        leading["bias"] = keys.shape[:-2]
    if added is not None:
        leading["mask of numbers"] = added.shape[:-2]
    own = leading["state"]
    for axes in leading.values():
        if len(axes) > 0 and (len(axes) != len(own) or axes != own):
            break
    else:
        return inputs
    axes = broadcast_shapes(**leading)
    state = inputs.xp.broadcast_to(inputs.state, (*axes, *inputs.state.shape[-2:]))
    return inputs._replace(state=state)


class Iterated(NamedTuple):
    """What :func:`iterate_to_fixed_point` returns.

    Attributes
    ----------
    state, steps, residual, converged : array
        For each query: its last state; the number of its updates; the distance that the last update
        moved it; and whether the query rests.
    path : array (steps + 1, ..., L, d) or None
        All states, if they are kept.
    conjugate : array (..., L) or None
        The number of the last update of each query, if there are any.
    """

    state: Array
    steps: Array
    residual: Array
    converged: Array
    path: Any
    conjugate: Any


def iterate_to_fixed_point(
    inputs: Inputs,
    update: Callable[..., Array],
    max_steps: int,
    tol: Any,
    *,
    limits: Array | None = None,
    gradient: Gradient = "unrolled",
    others: tuple[Array, ...] = (),
    shared: tuple[Array, ...] = (),
    unit: Array | None = None,
    track: bool = False,
    apart: bool = True,
    conjugates: bool = False,
) -> Iterated:
    """Repeat an update until each query rests.

    Parameters
    ----------
    inputs : Inputs
        The checked inputs, with the state broadcast to all leading axes.
    update : callable
        ``update(inputs, *others, *shared)`` is the new state.
    max_steps : int
        The largest number of updates.
    tol : float or array
        A query rests when an update moves it by at most ``tol`` times M.
    limits : integer array, optional
        The largest number of updates of each query, if queries have different limits.
    gradient : {"unrolled", "implicit"}
        As in :func:`retrieve`.
    others : tuple of arrays
        Further arguments of the update, for all queries together. They may have gradients.
    shared : tuple of arrays
        Further arguments of which no axis belongs to the queries.
    unit : array, optional
        The length in which ``tol`` is measured; M if not given.
    track : bool
        Whether to keep the states before the first update and after each update.
    apart : bool
        Whether some of the queries can be updated without the others.
    conjugates : bool
        Whether an update is a pair of the new state and a number for each query, of which the last
        one is kept; not together with ``track``.

    Returns
    -------
    Iterated
    """
    backend, xp, state, stored, *_ = inputs
    visible = backend.has_dynamic_shapes(state)
    if not visible:
        inputs, tol = with_fixed_numbers(inputs, tol)
    unit = length_unit(inputs) if unit is None else unit
    with backend.quiet():
        length = tol * unit
    start, constants = inputs, (*others, *shared)
    if gradient == "implicit":
        start, constants = without_gradient(inputs), tuple(map(backend.constant, constants))
    drop = visible and stored.ndim == 2 and state.ndim == 2 and apart and len(others) == 0
    precise = backend.precise[state.dtype]

    def body(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        state, steps, residual, active, *numbers = carry
        some, few = start._replace(state=state), False
        if drop:
            rows = xp.nonzero(active)[0]
            few = rows.shape[0] < state.shape[0]
            some = select(some, rows) if few else some
        found = update(some, *constants)
        new, *given = found if conjugates else (found,)
        if few:
            new, *given = (put_back(part, active, xp) for part in (new, *given))
        if state.dtype == precise:
            moved = norm(new - state, xp)
        else:
            moved = norm(backend.astype(new, precise) - backend.astype(state, precise), xp)
        state = xp.where(active[..., None], new, state)
        steps = steps + xp.astype(active, steps.dtype)
        residual = xp.where(active, moved, residual)
        numbers = [xp.where(active, given[0], numbers[0])] if conjugates else []
        active = active & (moved > length)
        if limits is not None:
            active = active & (steps < limits)
        return state, steps, residual, active, *numbers

    init = before_updates(start, limits, conjugates)
    step, listed, path = body, None, None
    if track:
        listed, init = begin_path(start, (*constants, *shared), max_steps, init)
        step = with_path(body, inputs, listed)
    found, steps, residual, _, *carried = backend.loop(
        lambda carry: xp.any(carry[3]),
        step,
        init,
        max_steps,
        differentiable=gradient == "unrolled",
    )
    if track:
        path = carried[0] if listed is None else joined_path(xp, listed, steps)
    if max_steps == 0 or limits is not None:
        residual = xp.where(steps > 0, residual, math.inf)
    if found is start.state:  # no update was made, and the result must not be the input
        found = backend.copied(found)
    if gradient == "implicit":
        found = at_fixed_point(found, inputs, update, (*others, *shared))
    conjugate = carried[0] if conjugates else None
    return Iterated(found, steps, residual, residual <= length, path, conjugate)


def with_fixed_numbers(inputs: Inputs, tol: Any) -> tuple[Inputs, Any]:
    """Return the inputs and a tolerance without numbers that a compiler leaves open.

    Its loops cannot take them.
    """
    constant, beta = inputs.backend.constant, inputs.beta
    if isinstance(beta, float):
        inputs = inputs._replace(beta=constant(beta))
    return inputs, constant(tol)


def before_updates(inputs: Inputs, limits: Array | None, conjugates: bool) -> tuple[Array, ...]:
    """Return what the loop begins with.

    For each query this is its state; the number of its updates; their last length; whether it is
    to be updated; and the number that an update gives, if it does.
    """
    backend, xp, state = inputs.backend, inputs.xp, inputs.state
    queries, device = state.shape[:-1], backend.device(state)
    precise = backend.precise[state.dtype]
    steps = xp.zeros(queries, dtype=xp.int32, device=device)
    residual = xp.full(queries, UNMOVED, dtype=precise, device=device)
    active = xp.ones(queries, dtype=xp.bool, device=device)
    if limits is not None:
        active = active & (limits > 0)
    numbers = (xp.zeros(queries, dtype=precise, device=device),) if conjugates else ()
    return state, steps, residual, active, *numbers


def put_back(some: Array, chosen: Array, xp: Any) -> Array:
    """Return an array with the results of the ``chosen`` queries in their places.

    It gathers, since scatter is not portable; the other places hold anything.
    """
    place = xp.cumulative_sum(xp.astype(chosen, xp.int64), axis=0) - 1
    return xp.take(some, xp.where(place > 0, place, 0), axis=0)


def length_unit(inputs: Inputs, patterns: Array | None = None) -> Array:
    """Return M per query, the unit in which a residual is measured, or 1 where M is 0.

    ``patterns`` are those whose largest norm is M, the stored patterns if they are not given.
    """
    patterns = inputs.stored if patterns is None else patterns
    largest = inputs.backend.radius(patterns, inputs.mask)
    return inputs.xp.where(largest > 0, largest, 1.0)


def without_gradient(inputs: Inputs) -> Inputs:
    """Return the inputs without the gradients of their arrays."""
    constant = inputs.backend.constant
    return inputs._replace(
        state=constant(inputs.state),
        stored=constant(inputs.stored),
        projection=constant(inputs.projection),
        beta=constant(inputs.beta),
    )


def update_of(separation: Any, inputs: Inputs, orders: Array | None = None) -> Array:
    """Return the states after one update; ``orders`` are the alphas of an entmax, if given."""
    backend, _, state, stored, projection, beta, mask = inputs
    if orders is not None:
        separation = with_orders(separation, orders)
    return backend.associate(state, stored, projection, beta, mask, separation)[0]


def scored_update_of(
    separation: Any, scores: Scores, inputs: Inputs, *others: Array, known: Array | None = None
) -> Array:
    """Return the states after one update whose scores are computed from given keys.

    ``others`` are the orders of an entmax, if it has any, and the arrays of the scores. Only the
    ``known`` coordinates are compared, where they are given. With a compact kernel, a state in
    reach of no pattern stays.
    """
    if scores is PLAIN:
        return update_of(separation, inputs, *others)
    split = len(others) - len(scores.arrays)
    scores = scores.with_arrays(others[split:])
    scored = scores.inputs(inputs, known)
    if scores.absolute:
        new, found = recall(scored, separation)
        new = scores.recalled(inputs, new)
        return inputs.xp.where(found[..., None], new, inputs.state)
    if scores.added is not None:
        new = associated_by_orders(scored, scores.added, separation, *others[:split])
        return scores.recalled(inputs, new)
    return scores.recalled(inputs, update_of(separation, scored, *others[:split]))


def updated(separation: Any, scores: Scores, inputs: Inputs) -> Array:
    """Return the states after one update of checked inputs."""
    if scores is PLAIN:
        return update_of(separation, inputs)
    return scored_update_of(separation, scores, inputs, *scores.arrays)


def select(inputs: Inputs, rows: Array) -> Inputs:
    """Return the inputs of some queries, where the state is ``(L, d)``."""
    xp, beta, mask = inputs.xp, inputs.beta, inputs.mask
    if not isinstance(beta, float) and beta.ndim == 1 and beta.shape[0] > 1:
        beta = xp.take(beta, rows, axis=0)
    if mask is not None and mask.ndim == 2 and mask.shape[0] > 1:
        mask = xp.take(mask, rows, axis=0)
    return inputs._replace(state=xp.take(inputs.state, rows, axis=0), beta=beta, mask=mask)


def at_fixed_point(
    found: Array, inputs: Inputs, update: Callable[..., Array], others: tuple[Array, ...]
) -> Array:
    """Return a fixed point that is differentiable in the stored patterns, beta and ``others``.

    The initial state is also a parameter, although the update does not depend on it: so its
    derivative is zero and not missing. Optimisers over several processes would wait for a missing
    one.
    """
    beta = () if isinstance(inputs.beta, float) else (inputs.beta,)

    def update_with(state: Array, stored: Array, *rest: Array) -> Array:
        replaced = inputs._replace(
            state=state,
            stored=stored,
            projection=stored,
            beta=rest[0] if beta else inputs.beta,
        )
        return update(replaced, *rest[len(beta) : -1])

    parameters = inputs.stored, *beta, *others, inputs.state
    return inputs.backend.implicit(update_with, found, parameters)
