r"""Retrieval: the update, repeated until a state pattern rests.

Every query stops on its own, as soon as its update moves it by at most ``tol * M``; its result
never depends on the other queries.
"""

from __future__ import annotations

import logging
import math
import pkgutil
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, Literal, NamedTuple, TypeAlias

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._backend import (
    Array,
    beta_of_rows,
    block_rows,
    mask_of_rows,
    orders_of,
    with_orders,
)
from hopcore.arrays._edge import inputs_at_edge, without_axis, without_row
from hopcore.arrays._inputs import Inputs, broadcast_shapes
from hopcore.arrays._library import AnyArray, BetaLike, SomeArray
from hopcore.arrays._memory_kernels import norm
from hopcore.arrays._reprs import one_line
from hopcore.arrays._validation import MOST_STEPS, as_integer, as_number, short_repr
from hopcore.memory._energy import energy_of
from hopcore.memory._scores import Scores, Similarity, scores_of
from hopcore.memory._separation import Separation, get_separation, with_separation

Gradient: TypeAlias = Literal["unrolled", "implicit"]
"""How the result of a retrieval is differentiated."""

LOGGER = logging.getLogger("hopcore")
"""Silent unless the program gives it, or the root logger, a handler and a level."""

UNMOVED = 3e38
"""The residual of a query before its first update: finite, since JAX can be told to stop at inf."""


class RetrievalFields(NamedTuple, Generic[SomeArray]):
    """The arrays of a :class:`Retrieval`."""

    state: SomeArray
    steps: SomeArray
    converged: SomeArray
    residual: SomeArray
    energy: SomeArray

    def __repr__(self) -> str:
        return one_line(self)


class Retrieval(RetrievalFields[SomeArray]):
    r"""The result of :func:`retrieve`; a pytree in JAX and torch.

    Attributes
    ----------
    state : array (..., L, d)
        The state patterns after the last update.
    steps : integer array (..., L)
        The number of updates of each query.
    converged : boolean array (..., L)
        Whether the last update moved the query by at most ``tol * M``.
    residual : array (..., L)
        The length of the last update, :math:`\|\xi_{t+1} - \xi_t\|_2`; inf if there was none.
    energy : array (..., L)
        The energy of the returned state.

    Notes
    -----
    There are two more attributes: ``index``, the stored pattern that was found, and
    ``suggestion``, the :class:`hopcore.phase.Suggestion` of ``beta="auto"``, or None. They are not
    leaves of the pytree, so ``jax.jit``, a copy or a file does not keep them. A streamed memory
    has no ``index``.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> state, *_, energy = hopcore.retrieve(np.zeros((1, 2)), np.eye(2), 1.0)
    >>> state, energy.round(4)
    (array([[0.5, 0.5]]), array([0.25]))
    >>> hopcore.retrieve([[0.1, 0.9], [0.8, 0.1]], np.eye(2), 8.0).index
    array([1, 0])
    """

    suggestion: Any = None
    _memory: tuple[Inputs, Scores, bool] | None = None

    @property
    def index(self) -> Array:
        """The stored pattern with the largest weight at the end, ``(..., L)``; -1 if there is none.

        It is computed when it is first needed, one block of queries at a time.
        """
        if self._memory is None:
            raise AttributeError(
                "index needs the memory, which jax.jit, a copy or a file does not keep: read "
                "retrieve(...).index before, or use the argmax of association_weights"
            )
        inputs, scores, single = self._memory
        state: Array = self.state
        if single:
            state = state[..., None, :]
        try:
            found = largest_weight(scores.inputs(inputs._replace(state=state)))
        except TypeError as error:  # a memory in parts, which has no array of scores
            raise AttributeError(
                f"index is available only for a memory that is a single array: {error}"
            ) from None
        return without_axis(found, single)

    def __reduce__(self) -> Any:
        """Copy and pickle the arrays, without the memory."""
        return type(self), tuple(self)


@suggest_names
def retrieve(
    state: SomeArray,
    stored: AnyArray,
    beta: BetaLike,
    *,
    mask: AnyArray | None = None,
    separation: Separation = "softmax",
    similarity: Similarity = "dot",
    bias: AnyArray | None = None,
    max_steps: int = 100,
    tol: float = 1e-6,
    gradient: Gradient = "unrolled",
) -> Retrieval[SomeArray]:
    r"""Retrieve stored patterns: iterate :math:`\xi \leftarrow f(\xi)` until each query rests.

    Parameters
    ----------
    state : array (..., L, d) or (d,)
        State patterns to start from, for example corrupted patterns. A single query ``(d,)``
        gives results without the axis L. Lists, integers and NumPy arrays are converted by the
        rules of :doc:`/spec/inputs`.
    stored : array (..., S, d)
        Stored patterns. Leading axes are batches: flatten images with :func:`hopcore.as_patterns`.
    beta : float or array broadcastable to (..., L), or "auto"
        Inverse temperature, positive. ``"auto"`` takes that of :func:`hopcore.suggest_beta`, which
        the result keeps as its ``suggestion``; the logger ``hopcore`` gets its reason.
    mask, separation, similarity, bias
        As in :func:`hopcore.association`.
    max_steps : int
        The largest number of updates, from 0 to 1,000,000.
    tol : float
        A query rests when an update moves it by at most ``tol * M``, with M the largest norm of a
        pattern it may attend to, for distances the largest distance from the mean of the patterns;
        >= 0. With 0 it makes ``max_steps`` updates, unless one of them
        does not change it at all.
    gradient : {"unrolled", "implicit"}
        How torch and JAX differentiate the result. ``"unrolled"`` differentiates the updates that
        were made; its memory use grows with their number. ``"implicit"`` applies the implicit
        function theorem at the final state. Its memory use does not grow, its derivative with
        respect to the initial state is zero, and it is correct if the query has converged to a
        stable fixed point. NumPy has no gradients and ignores this argument.

    Returns
    -------
    Retrieval
        ``state, steps, converged, residual, energy``.

    Raises
    ------
    TypeError, ValueError
        Inputs that do not fit together, see :func:`hopcore.arrays.check_inputs`; a bad option.

    Notes
    -----
    The state of a query that may attend to nothing becomes zero. Under ``jax.jit`` and
    ``torch.compile`` values cannot be read, so they are not checked, and finished queries are
    frozen instead of dropped.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> stored = np.asarray([[1.0, 0.0], [0.0, 1.0]])
    >>> found = hopcore.retrieve(np.asarray([[0.8, 0.4]]), stored, 4.0, separation="sparsemax")
    >>> found.state, int(found.steps[0])
    (array([[1., 0.]]), 2)
    """
    max_steps = as_integer("max_steps", max_steps, 0, MOST_STEPS)
    if not (type(tol) is float and 0.0 <= tol < math.inf):
        tol = as_number("tol", tol, 0.0)
    if gradient not in ("unrolled", "implicit"):
        raise ValueError(f"gradient must be 'unrolled' or 'implicit', got {short_repr(gradient)}")
    suggestion = None
    if isinstance(beta, str) and beta == "auto":
        suggestion = suggested(stored, get_separation(separation))
        beta = suggestion.beta
    given, single = inputs_at_edge(state, stored, beta=beta, mask=mask)
    inputs, function = with_separation(given, separation)
    scores = scores_of(inputs, similarity, bias)
    inputs, orders = broadcast_state(inputs), orders_of(function)
    found, steps, residual, unit = iterate_to_fixed_point(
        inputs,
        partial(scored_update_of, function, scores),
        max_steps,
        tol,
        gradient=gradient,
        others=() if orders is None else (orders,),
        shared=scores.arrays,
        unit=length_unit(inputs, scores.centred(inputs)),
    )
    final = energy_of(inputs._replace(state=found), function, scores)
    results = steps, residual <= tol, residual * unit, final
    result = Retrieval(
        without_row(found, single), *(without_axis(array, single) for array in results)
    )
    result._memory = inputs, scores, single
    result.suggestion = suggestion
    return result


def suggested(stored: Array, separation: Any) -> Any:
    """Return the suggestion of ``beta="auto"``, and log its reason; a caveat is a warning."""
    # By its name, since the package of the transition imports this one.
    suggestion = pkgutil.resolve_name("hopcore.phase:suggest_beta")(stored, separation=separation)
    level = logging.WARNING if ";" in suggestion.reason else logging.INFO
    LOGGER.log(level, "beta='auto' is %.4g: %s", suggestion.beta, suggestion.reason)
    return suggestion


def largest_weight(inputs: Inputs) -> Array:
    """Return the stored pattern with the largest score for each query, or -1 if all are masked."""
    backend, xp, state, stored, _, beta, mask = inputs
    rows, queries = block_rows(state, stored), state.shape[-2]
    found = []
    for start in range(0, max(queries, 1), rows):
        part = slice(start, start + rows)
        scores = backend.scores(
            state[..., part, :], stored, beta_of_rows(beta, part), mask_of_rows(mask, part)
        )
        index = xp.argmax(scores, axis=-1)
        found.append(xp.where(xp.max(scores, axis=-1) > -math.inf, index, -1))
    return found[0] if len(found) == 1 else xp.concat(found, axis=-1)


def broadcast_state(inputs: Inputs) -> Inputs:
    """Return the inputs with the state broadcast to the leading axes of all of them."""
    leading = {"state": inputs.state.shape[:-2], "stored": inputs.stored.shape[:-2]}
    if not isinstance(inputs.beta, float):
        leading["beta"] = inputs.beta.shape[:-1]
    if inputs.mask is not None:
        leading["mask"] = inputs.mask.shape[:-2]
    own = leading["state"]
    for axes in leading.values():
        if len(axes) > 0 and (len(axes) != len(own) or axes != own):
            break
    else:
        return inputs
    axes = broadcast_shapes(**leading)
    state = inputs.xp.broadcast_to(inputs.state, (*axes, *inputs.state.shape[-2:]))
    return inputs._replace(state=state)


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
) -> tuple[Array, Array, Array, Array]:
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

    Returns
    -------
    state, steps, residual, unit : array
        For each query: its last state; the number of its updates; the distance that the last update
        moved it, divided by the unit; and the unit, which is M.
    """
    backend, xp, state, stored, *_ = inputs
    unit = length_unit(inputs) if unit is None else unit
    tol = backend.constant(tol)
    if isinstance(inputs.beta, float):
        inputs = inputs._replace(beta=backend.constant(inputs.beta))
    start, constants = inputs, (*others, *shared)
    if gradient == "implicit":
        start, constants = without_gradient(inputs), tuple(map(backend.constant, constants))
    drop = stored.ndim == 2 and state.ndim == 2 and backend.has_dynamic_shapes(state)
    drop = drop and len(others) == 0
    precise = backend.precise[state.dtype]

    def body(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        state, steps, residual, active = carry
        rows = xp.nonzero(active)[0] if drop else None
        if rows is None or rows.shape[0] == state.shape[0]:
            new = update(start._replace(state=state), *constants)
        else:
            some = update(select(start._replace(state=state), rows), *constants)
            # Put the updated queries back by a gather, since scatter is not portable.
            place = xp.cumulative_sum(xp.astype(active, xp.int64), axis=0) - 1
            new = xp.take(some, xp.where(place > 0, place, 0), axis=0)
        if state.dtype == precise:
            moved = norm(new - state, xp) / unit
        else:
            moved = norm(backend.astype(new, precise) - backend.astype(state, precise), xp) / unit
        state = xp.where(active[..., None], new, state)
        steps = steps + xp.astype(active, steps.dtype)
        residual = xp.where(active, moved, residual)
        active = active & (moved > tol)
        return state, steps, residual, active if limits is None else active & (steps < limits)

    queries, device = state.shape[:-1], backend.device(state)
    active = xp.ones(queries, dtype=xp.bool, device=device)
    init = (
        start.state,
        xp.zeros(queries, dtype=xp.int32, device=device),
        xp.full(queries, UNMOVED, dtype=precise, device=device),
        active if limits is None else active & (limits > 0),
    )
    found, steps, residual, _ = backend.loop(
        lambda carry: xp.any(carry[3]),
        body,
        init,
        max_steps,
        differentiable=gradient == "unrolled",
    )
    if max_steps == 0 or limits is not None:
        residual = xp.where(steps > 0, residual, math.inf)
    if found is start.state:  # no update was made, and the result must not be the input
        found = backend.copied(found)
    if gradient == "implicit":
        found = at_fixed_point(found, inputs, update, (*others, *shared))
    return found, steps, residual, unit


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
    """Return the states after one update of checked inputs, with the orders of an entmax."""
    backend, _, state, stored, projection, beta, mask = inputs
    function = with_orders(separation, orders)
    return backend.associate(state, stored, projection, beta, mask, function)[0]


def scored_update_of(separation: Any, scores: Scores, inputs: Inputs, *others: Array) -> Array:
    """Return the states after one update whose scores are computed from given keys.

    ``others`` are the orders of an entmax, if it has any, and the arrays of the scores.
    """
    arrays = scores.arrays
    split = len(others) - len(arrays)
    scored = scores.with_arrays(others[split:]).inputs(inputs)
    new = update_of(separation, scored, *others[:split])
    return inputs.backend.astype(new, inputs.state.dtype)


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
