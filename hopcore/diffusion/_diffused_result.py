"""The result of diffused retrieval."""

from __future__ import annotations

import math
from typing import Generic, NamedTuple

from hopcore.arrays._backend import Array
from hopcore.arrays._edge import without_axis, without_row
from hopcore.arrays._inputs import Inputs, own
from hopcore.arrays._library import SomeArray
from hopcore.arrays._memory_kernels import norm
from hopcore.arrays._reprs import one_line
from hopcore.memory._stopping_loop import length_unit


class DiffusedRetrieval(NamedTuple, Generic[SomeArray]):
    """The result of :func:`diffused_retrieve`; a pytree in JAX and torch.

    Attributes
    ----------
    output : array (..., L, v)
        The recalled patterns: the state itself, or its association with the projection.
    state : array (..., L, d)
        The state patterns after the last update.
    keys : array (..., S, d) or None
        The diffused stored patterns, zeros where no query may attend; None if every query has its
        own.
    steps : integer array (..., L)
        Number of updates of the state.
    converged : boolean array (..., L)
        Whether the last update moved the state by at most ``tol * M``.
    residual : array (..., L)
        The length of the last update; inf if there was none.
    energy : array (..., L) or None
        The energy of the state in the memory of the keys; None without keys.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> found = hopcore.diffused_retrieve(np.eye(2), np.eye(2), 50.0, values="untied")
    >>> found.steps, found.output.round(2)
    (array([1, 1], dtype=int32), array([[1., 0.],
           [0., 1.]]))
    """

    output: SomeArray
    state: SomeArray
    keys: SomeArray | None
    steps: SomeArray
    converged: SomeArray
    residual: SomeArray
    energy: SomeArray | None

    def __repr__(self) -> str:
        return one_line(self)


def own_arrays(found: DiffusedRetrieval, given: Inputs, single: bool) -> DiffusedRetrieval:
    """Return a result that shares no memory with the inputs; remove the axis of a single query."""
    arrays = given.state, given.stored, given.projection
    output, state, keys = (own(given.backend, array, *arrays) for array in found[:3])
    output, state = without_row(output, single), without_row(state, single)
    others = (None if array is None else without_axis(array, single) for array in found[3:])
    return DiffusedRetrieval(output, state, keys, *others)


def movement(inputs: Inputs, before: Array, after: Array) -> Array:
    """Return the distance that each state moved, in at least float32."""
    dtype, astype = inputs.backend.precise[inputs.state.dtype], inputs.backend.astype
    return norm(astype(after, dtype) - astype(before, dtype), inputs.xp)


def as_result(
    inputs: Inputs,
    output: Array,
    state: Array,
    keys: Array | None,
    steps: int | Array,
    residual: Array | None,
    energy: Array | None,
    tol: float,
) -> DiffusedRetrieval:
    """Return the result if all queries, or all of a sample, made the same number of updates."""
    backend, xp = inputs.backend, inputs.xp
    device, places = backend.device(state), tuple(state.shape[:-1])
    if residual is None:
        precise = backend.precise[state.dtype]
        residual = xp.full(places, math.inf, dtype=precise, device=device)
    if isinstance(steps, int):
        counts = xp.full(places, steps, dtype=xp.int32, device=device)
    else:
        counts = xp.broadcast_to(steps[..., None], places)
    with backend.quiet():
        converged = residual <= tol * length_unit(inputs)
    return DiffusedRetrieval(output, state, keys, counts, converged, residual, energy)
