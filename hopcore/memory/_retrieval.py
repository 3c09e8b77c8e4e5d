"""Retrieval: the update, repeated until each state pattern rests, and what it returns."""

from __future__ import annotations

import math
from functools import cached_property, partial
from typing import Any, Generic, Literal, NamedTuple

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._backend import Array, orders_of, with_orders
from hopcore.arrays._edge import without_axis, without_row
from hopcore.arrays._inputs import Inputs
from hopcore.arrays._library import AnyArray, BetaLike, SomeArray, quiet
from hopcore.arrays._reprs import one_line
from hopcore.arrays._scalar_checks import MOST_STEPS, as_integer, as_number, check_bool, short_repr
from hopcore.memory._causal import Causal, in_causal_blocks
from hopcore.memory._energy import energy_of, in_precise
from hopcore.memory._final_energy import energy_after, gives_conjugate, update_with_conjugate
from hopcore.memory._float_masks import best_with
from hopcore.memory._known import Unknown
from hopcore.memory._own_options import own_options
from hopcore.memory._path import places
from hopcore.memory._plain_calls import SOFTMAX, plain_inputs
from hopcore.memory._retrieval_call import RetrievalCall, resolved_call, updates_of
from hopcore.memory._scores import Scores, Similarity
from hopcore.memory._separation import Separation
from hopcore.memory._stopping_loop import (
    Gradient,
    Iterated,
    iterate_to_fixed_point,
    without_gradient,
)


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
        The energy of the returned state; None with ``energy=False``.

    Notes
    -----
    There are more attributes: ``index``, the stored pattern that was found, and ``certain``, its
    weight; ``path``
    ``(steps + 1, ..., L, d)`` and ``energies`` ``(steps + 1, ..., L)``, all states of a retrieval
    with ``track=True`` and their energies, None without it; and ``suggestion``, the
    :class:`hopcore.phase.Suggestion` of ``beta="auto"``, or None. With a :class:`hopcore.Memory`
    there are also ``certificate`` and, if it is calibrated, ``accepted``, which says for each query
    whether the memory should know it, and is None otherwise, and in a call with ``known``. They are
    not leaves of the pytree, so
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
    _memory: tuple[Inputs, Scores, Any, Array | None, bool, bool] | None = None

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
        any rounding error. It exists for states on the CPU without a gradient and a
        :class:`hopcore.Memory` with an ``error``, and takes one more association when it is first
        needed.
        """
        certify = getattr(self._memory[0].backend if self._memory else None, "certify", None)
        if self._memory is None or certify is None:
            raise AttributeError(
                "a certificate needs a memory that gives some: hopcore.Memory(stored, error=1e-6)"
            )
        inputs, scores, function, _, single, _ = self._memory
        state: Array = self.state
        if single:
            state = state[..., None, :]
        return without_axis(certify(inputs._replace(state=state), scores, function), single)

    @cached_property
    def _best(self) -> tuple[Array, Array]:
        if self._memory is None:
            raise AttributeError(
                "index and certain need the memory, which jax.jit, a copy or a file does not keep: "
                "read them from the result of retrieve, or use the argmax of association_weights"
            )
        inputs, scores, function, known, single, causal = self._memory
        state: Array = self.state
        if single:
            state = state[..., None, :]
        found = best_pattern(inputs._replace(state=state), scores, function, known, causal)
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
    mask: AnyArray | Causal | None = None,
    separation: Separation = "softmax",
    similarity: Similarity | None = None,
    bias: AnyArray | None = None,
    known: AnyArray | None = None,
    unknown: Unknown = "ignore",
    max_steps: int = 100,
    tol: float = 1e-6,
    gradient: Gradient = "unrolled",
    track: bool = False,
    energy: bool = True,
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
        As in :func:`hopcore.association`; ``mask="causal"`` needs as many states as patterns, and
        takes no ``known``.
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
    energy : bool
        Whether to compute the energy of the returned state; without it, ``energy`` of the result is
        None. It takes one more pass over the memory, except where the last update gives it: for
        the softmax of dot products, on NumPy and on CPU tensors of torch without a derivative, if
        this update has moved the query by at most :math:`\sqrt{\epsilon / \beta}`, with the
        rounding unit :math:`\epsilon`.

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
    max_steps, tol = checked_options(max_steps, tol, gradient, track, energy)
    plain = None
    softmax = isinstance(separation, str) and separation == "softmax" and similarity is None
    if softmax and mask is None and bias is None and known is None and unknown == "ignore":
        plain = plain_inputs(state, stored, beta)
    if plain is not None:
        call = RetrievalCall(*plain, SOFTMAX)
    else:
        call = resolved_call(
            state,
            stored,
            beta,
            mask=mask,
            separation=separation,
            similarity=similarity,
            bias=bias,
            known=known,
            unknown=unknown,
            updates=max_steps > 0,
        )
    inputs, single, function, scores, causal = call[:5]
    rated = energy and max_steps > 0 and not track and gives_conjugate(call)
    if rated:
        update, others, shared = partial(update_with_conjugate, function), (), ()
    else:
        update, others, shared = updates_of(call)
    found = iterate_to_fixed_point(
        inputs,
        update,
        max_steps,
        tol,
        gradient=gradient,
        others=others,
        shared=shared,
        unit=call.unit,
        track=track,
        apart=not causal,
        conjugates=rated,
    )
    final = None
    if rated:
        final = energy_after(inputs, found, function)
    elif energy or track:
        final = energy_of(inputs._replace(state=found.state), function, scores, causal)
    results = found.steps, found.converged, found.residual, final if energy else None
    if single:
        rest = (None if array is None else array[..., 0] for array in results)
        result: Retrieval[Any] = Retrieval(found.state[..., 0, :], *rest)
    else:
        result = Retrieval(found.state, *results)
    compared = call.known.mask if call.known and call.unknown == "ignore" else None
    result._memory = inputs, scores, function, compared, single, causal
    result.suggestion = call.suggestion
    if found.path is not None:
        result.path = without_row(found.path, single)
        energies = energies_of(found, inputs, function, scores, final, causal)
        result.energies = without_axis(energies, single)
    return result


def checked_options(
    max_steps: Any, tol: Any, gradient: Any, track: Any, energy: Any
) -> tuple[int, float]:
    """Return the largest number of updates and the tolerance; raise if an option is wrong."""
    if not (type(max_steps) is int and 0 <= max_steps <= MOST_STEPS):
        max_steps = as_integer("max_steps", max_steps, 0, MOST_STEPS)
    if not (type(tol) is float and 0.0 <= tol < math.inf):
        tol = as_number("tol", tol, 0.0)
    if gradient not in ("unrolled", "implicit"):
        raise ValueError(f"gradient must be 'unrolled' or 'implicit', got {short_repr(gradient)}")
    if track is not False:
        check_bool("track", track)
    if energy is not True:
        check_bool("energy", energy)
    return max_steps, tol


def energies_of(
    found: Iterated, inputs: Inputs, separation: Any, scores: Scores, final: Any, causal: bool
) -> Array:
    """Return the energies of the states of a path, given those of the last states."""
    path, steps = found.path, found.steps
    energies = energy_of(inputs._replace(state=path), separation, scores, causal)
    rests = places(inputs, path.shape[0], steps) >= steps
    return inputs.xp.where(rests, final, energies)


@quiet
def best_pattern(
    inputs: Inputs,
    scores: Scores,
    separation: Any,
    known: Array | None = None,
    causal: bool = False,
) -> tuple[Array, ...]:
    """Return the stored pattern with the largest weight for each query, and this weight.

    They are -1 and 0 where no pattern has a weight.
    """
    if causal:

        def work(inputs: Inputs, separation: Any, scores: Scores) -> tuple[Array, ...]:
            return best_pattern(inputs, scores, separation)

        return in_causal_blocks(work, inputs, separation, scores, (-1, -1))
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
