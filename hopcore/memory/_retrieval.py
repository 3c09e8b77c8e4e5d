"""Retrieval: the update, repeated until each state pattern rests, and what it returns."""

from __future__ import annotations

import logging
import math
import pkgutil
from functools import cached_property, partial
from typing import Any, Generic, Literal, NamedTuple

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._backend import (
    Array,
    orders_of,
    with_orders,
)
from hopcore.arrays._edge import inputs_at_edge, without_axis, without_row
from hopcore.arrays._inputs import Inputs
from hopcore.arrays._library import AnyArray, BetaLike, SomeArray, quiet
from hopcore.arrays._reprs import one_line
from hopcore.arrays._scalar_checks import MOST_STEPS, as_integer, as_number, check_bool, short_repr
from hopcore.memory._compact import is_absolute
from hopcore.memory._energy import energy_of, in_precise
from hopcore.memory._float_masks import best_with, split_mask
from hopcore.memory._known import (
    Known,
    Unknown,
    check_unknown,
    known_of,
    known_update_of,
    without_unknown,
)
from hopcore.memory._own_options import own_options
from hopcore.memory._path import places
from hopcore.memory._scores import PLAIN, Scores, Similarity, check_updated, scores_of
from hopcore.memory._separation import Separation, get_separation, with_separation
from hopcore.memory._stopping_loop import (
    Gradient,
    broadcast_state,
    iterate_to_fixed_point,
    length_unit,
    scored_update_of,
    update_of,
    without_gradient,
)

LOGGER = logging.getLogger("hopcore")
"""Silent unless the program gives it, or the root logger, a handler and a level."""


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
    There are more attributes: ``index``, the stored pattern that was found, and ``certain``, its
    weight; ``path``
    ``(steps + 1, ..., L, d)`` and ``energies`` ``(steps + 1, ..., L)``, all states of a retrieval
    with ``track=True`` and their energies, None without it; and ``suggestion``, the
    :class:`hopcore.phase.Suggestion` of ``beta="auto"``, or None. With a :class:`hopcore.Memory`
    there are also ``certificate`` and, if it is calibrated, ``accepted``, which says for each query
    whether the memory should know it, and is None otherwise. They are not leaves of the pytree, so
    ``jax.jit`` does not keep them: return ``retrieve(...).path`` from the function that is
    compiled. A copy or a file keeps ``path`` and ``energies`` alone.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> state, *_, energy = hopcore.retrieve(np.zeros((1, 2)), np.eye(2), 1.0)
    >>> state, energy.round(4)
    (array([[0.5, 0.5]]), array([0.25]))
    >>> found = hopcore.retrieve([[0.1, 0.9], [0.8, 0.1]], np.eye(2), 8.0)
    >>> found.index, found.certain.round(4)
    (array([1, 0]), array([0.9997, 0.9997]))
    """

    suggestion: Any = None
    path: Any = None
    energies: Any = None
    accepted: Any = None
    _memory: tuple[Inputs, Scores, Any, Array | None, bool] | None = None

    @property
    def index(self) -> Array:
        """The stored pattern with the largest score at the end, ``(..., L)``; -1 if there is none.

        It has the largest weight, too; of equal scores it is the first. It is computed together
        with :attr:`certain` when one of them is first needed.
        """
        return self._best[0]

    @property
    def certain(self) -> Array:
        """The weight of the stored pattern :attr:`index` at the end, ``(..., L)``.

        It is the largest association weight of the returned state, from 1/N to 1, in the dtype of
        the energy, and 0 for a query that may attend to nothing or is in reach of no pattern. With
        a sparse separation function it is exactly 1 where one pattern is retrieved alone. It is
        found in one pass over the memory, one block of queries at a time, and has no derivative:
        the one of ``statistics(...).largest`` has.
        """
        return self._best[1]

    @cached_property
    def certificate(self) -> Array:
        r"""A bound of :math:`\|f(\xi) - \xi\|` at the end, ``(..., L)``, for a certified memory.

        The returned state is no farther than this from its exact update with all patterns, without
        any rounding error. It exists for states of NumPy and a :class:`hopcore.Memory` with an
        ``error``, and takes one more association when it is first needed.
        """
        certify = getattr(self._memory[0].backend if self._memory else None, "certify", None)
        if self._memory is None or certify is None:
            raise AttributeError(
                "a certificate needs a memory that gives some: hopcore.Memory(stored, error=1e-6)"
            )
        inputs, scores, function, _, single = self._memory
        state: Array = self.state[..., None, :] if single else self.state
        return without_axis(certify(inputs._replace(state=state), scores, function), single)

    @cached_property
    def _best(self) -> tuple[Array, Array]:
        if self._memory is None:
            raise AttributeError(
                "index and certain need the memory, which jax.jit, a copy or a file does not keep: "
                "read them from the result of retrieve, or use the argmax of association_weights"
            )
        inputs, scores, function, known, single = self._memory
        state: Array = self.state
        if single:
            state = state[..., None, :]
        found = best_pattern(inputs._replace(state=state), scores, function, known)
        return without_axis(found[0], single), without_axis(found[1], single)

    def __reduce__(self) -> Any:
        """Copy and pickle the arrays, without the memory."""
        kept = {name: self.__dict__[name] for name in ("path", "energies") if name in self.__dict__}
        return type(self), tuple(self), kept or None


@suggest_names
@own_options
def retrieve(
    state: SomeArray,
    stored: AnyArray,
    beta: BetaLike | Literal["auto"],
    *,
    mask: AnyArray | None = None,
    separation: Separation = "softmax",
    similarity: Similarity | None = None,
    bias: AnyArray | None = None,
    known: AnyArray | None = None,
    unknown: Unknown = "ignore",
    max_steps: int = 100,
    tol: float = 1e-6,
    gradient: Gradient = "unrolled",
    track: bool = False,
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
        Inverse temperature, positive. ``"auto"`` takes that of :func:`hopcore.suggest_beta` for the
        similarity of the call. The result keeps it as its ``suggestion``; the logger ``hopcore``
        gets its reason, as a warning if patterns cannot be retrieved.
    mask, separation, bias
        As in :func:`hopcore.association`.
    similarity : {"dot", "distance"}, optional
        As in :func:`hopcore.association`. The default is ``"dot"``, and ``"distance"`` where only
        known coordinates are compared and where the separation function needs distances.
    known : boolean array broadcastable to (..., L, d), optional
        **True where a coordinate of a query is known.** Known coordinates stay as they are, and the
        others are recalled: the missing half of an image, for example. All are known by default.
    unknown : {"ignore", "settle"}
        What becomes of the coordinates that are not known. With ``"ignore"``, they may hold
        anything, such as nan: only the known coordinates are compared with the stored patterns, by
        their distance. With ``"settle"``, they start as they are, all coordinates are compared, and
        the updates change the unknown ones alone, until the energy no longer falls.
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
    track : bool
        Whether to keep all states and their energies, as ``path`` and ``energies`` of the result.

    Returns
    -------
    Retrieval
        ``state, steps, converged, residual, energy``, and ``path`` and ``energies`` if tracked.

    Raises
    ------
    TypeError, ValueError
        Inputs that do not fit together, see :func:`hopcore.arrays.check_inputs`; a bad option.

    Notes
    -----
    The state of a query that may attend to nothing becomes zero; with
    :class:`hopcore.Epanechnikov`, a state in reach of no pattern stays. Under ``jax.jit`` and
    ``torch.compile`` values cannot be read, so they are not checked, and finished queries are
    frozen instead of dropped.

    A path has ``max(steps) + 1`` states where values can be read. Under ``jax.jit``, ``jax.grad``,
    ``torch.compile`` and ``torch.func`` no length may depend on values, so it has ``max_steps + 1``
    states: choose a ``max_steps`` that fits into memory. The first states are those given, and the
    last ones are ``state``, because a query that rests keeps its last state to the end. So
    ``energies`` never rise by more than rounding errors, except in the first update with
    ``unknown="ignore"``, before which unknown coordinates are 0. Both have derivatives in torch and
    JAX with ``gradient="unrolled"``; with ``"implicit"`` the states of a path are constants.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> stored = np.asarray([[1.0, 0.0], [0.0, 1.0]])
    >>> found = hopcore.retrieve(np.asarray([[0.8, 0.4]]), stored, 4.0, separation="sparsemax")
    >>> found.state, int(found.steps[0])
    (array([[1., 0.]]), 2)
    >>> found = hopcore.retrieve([0.8, 0.4], stored, 2.0, max_steps=3, track=True)
    >>> found.path.round(2)
    array([[0.8 , 0.4 ],
           [0.69, 0.31],
           [0.68, 0.32],
           [0.67, 0.33]])
    >>> found.energies.round(4)
    array([0.261 , 0.2508, 0.2507, 0.2506])
    """
    max_steps = as_integer("max_steps", max_steps, 0, MOST_STEPS)
    if not (type(tol) is float and 0.0 <= tol < math.inf):
        tol = as_number("tol", tol, 0.0)
    if gradient not in ("unrolled", "implicit"):
        raise ValueError(f"gradient must be 'unrolled' or 'implicit', got {short_repr(gradient)}")
    ignores, similarity = compared_by(known, unknown, similarity, separation)
    if ignores:
        state = without_unknown(state, known)
    suggestion = None
    if isinstance(beta, str) and beta == "auto":
        function = get_separation(separation, similarity)
        suggestion = suggested(stored, function, similarity)
        beta = suggestion.beta
    if track is not False:
        check_bool("track", track)
    mask, added = (None, None) if mask is None else split_mask(mask)
    given, single = inputs_at_edge(state, stored, beta=beta, mask=mask)
    inputs, function = with_separation(given, separation, similarity)
    scores = scores_of(inputs, similarity, bias, squares=ignores, separation=function, added=added)
    if max_steps > 0:
        check_updated(inputs, scores)
    inputs, orders = broadcast_state(inputs, scores.keys, scores.added), orders_of(function)
    others, shared = () if orders is None else (orders,), ()
    update: Any = partial(update_of, function)
    if scores is not PLAIN:
        update, shared = partial(scored_update_of, function, scores), scores.arrays
    fixed: Known | None = None
    if known is not None:
        fixed = known_of(inputs, known)
        update, others = partial(known_update_of, function, scores, unknown), (*others, *fixed)
    if scores.added is not None:  # which has an axis of queries
        others, shared = (*others, *shared), ()
    found, steps, residual, converged, path = iterate_to_fixed_point(
        inputs,
        update,
        max_steps,
        tol,
        gradient=gradient,
        others=others,
        shared=shared,
        unit=None if scores is PLAIN else length_unit(inputs, scores.centred(inputs)),
        track=track,
    )
    final = energy_of(inputs._replace(state=found), function, scores)
    results = steps, converged, residual, final
    if single:
        result = Retrieval(found[..., 0, :], *(array[..., 0] for array in results))
    else:
        result = Retrieval(found, *results)
    result._memory = inputs, scores, function, fixed.mask if ignores and fixed else None, single
    result.suggestion = suggestion
    if path is not None:
        result.path = without_row(path, single)
        result.energies = without_axis(
            energies_of(path, inputs, function, scores, steps, final), single
        )
    return result


def compared_by(
    known: Any, unknown: Unknown, similarity: Similarity | None, separation: Any
) -> tuple[bool, Similarity]:
    """Say whether only known coordinates are compared, and how; the default depends on it."""
    if unknown != "ignore":
        check_unknown(unknown)
    ignores = known is not None and unknown == "ignore"
    if similarity is None:
        return ignores, "distance" if ignores or is_absolute(separation) else "dot"
    if ignores and similarity == "dot":
        raise ValueError(
            "coordinates that are not known can be ignored only by distances: write "
            "similarity='distance', or unknown='settle' to compare all coordinates"
        )
    return ignores, similarity


def energies_of(
    path: Array, inputs: Inputs, separation: Any, scores: Scores, steps: Array, final: Array
) -> Array:
    """Return the energies of the states of a path, given those of the last states."""
    energies = energy_of(inputs._replace(state=path), separation, scores)
    rests = places(inputs, path.shape[0], steps) >= steps
    return inputs.xp.where(rests, final, energies)


def suggested(stored: Array, separation: Any, similarity: Similarity) -> Any:
    """Return the suggestion of ``beta="auto"``, and log its reason; a caveat is a warning."""
    # By its name, since the package of the transition imports this one.
    suggest_beta = pkgutil.resolve_name("hopcore.phase:suggest_beta")
    suggestion = suggest_beta(stored, separation=separation, similarity=similarity)
    level = logging.WARNING if ";" in suggestion.reason else logging.INFO
    LOGGER.log(level, "beta='auto' is %.4g: %s", suggestion.beta, suggestion.reason)
    return suggestion


@quiet
def best_pattern(
    inputs: Inputs, scores: Scores, separation: Any, known: Array | None
) -> tuple[Array, Array]:
    """Return the stored pattern with the largest weight for each query, and this weight.

    They are -1 and 0 where no pattern has a weight.
    """
    scored = without_gradient(scores.inputs(in_precise(inputs), known))
    backend, xp, state, stored, _, beta, mask = scored
    orders = orders_of(separation)
    if orders is not None:
        separation = with_orders(separation, backend.constant(orders))
    if scores.added is not None:
        index, weight = best_with(scored, scores.added, separation)
    else:
        index, _, weight, _ = backend.best(state, stored, beta, mask, separation)
    return xp.where(weight > 0.0, index, -1), weight
