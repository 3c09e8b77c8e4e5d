"""The arrays of one call, checked against each other: one library, dtype, device, fitting shapes.

Every public function first passes its arrays to :func:`check_inputs`. Values are checked only where
reading them is cheap: on the host and outside a trace (see
:meth:`hopcore.Backend.can_read_values`). Sizes that are dynamic in a trace are compared with ``==``
and ``!=``, because ``in`` gives wrong results in the compiler of torch.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

from hopcore.arrays._array_checks import (
    backend_of_input,
    check_alike,
    check_finite,
    check_leading_axes,
    check_mask,
    check_projection,
    check_state,
    hint_of_axes,
    shape,
)
from hopcore.arrays._backend import Array, Backend, Beta
from hopcore.arrays._beta_checks import EXTREME, check_beta, check_overflow
from hopcore.arrays._discovery import BY_TYPE


class Inputs(NamedTuple):
    """The arrays of one call, checked."""

    backend: Backend
    xp: ModuleType
    state: Array
    stored: Array
    projection: Array
    beta: Beta
    mask: Array | None


def check_inputs(
    state: Array,
    stored: Array,
    projection: Array | None = None,
    *,
    beta: Any,
    mask: Array | None = None,
) -> Inputs:
    """Check the arrays of one call against each other.

    Parameters
    ----------
    state : array (..., L, d)
        State patterns.
    stored : array (..., S, d)
        Stored patterns, S >= 1.
    projection : array (..., S, v), optional
        Pattern projections; the stored patterns themselves if not given.
    beta : float or array broadcastable to (..., L)
        Inverse temperature, positive and finite.
    mask : boolean array broadcastable to (..., L, S), optional
        True where a query may attend to a stored pattern. Patterns that no query may attend to may
        contain anything, including nan and inf.

    Raises
    ------
    TypeError
        Not an array; not real floating; two libraries or dtypes; a mask that is not boolean.
    ValueError
        Shapes that do not fit; no patterns; two devices; nan or inf; ``beta`` not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.arrays import check_inputs
    >>> check_inputs(np.ones((1, 3)), np.eye(3), beta=2).beta
    2.0
    """
    states = BY_TYPE.get(type(state)) or backend_of_input("state", state)
    if states.refusal_as_state or state.dtype not in states.precise:
        check_state(states, state)
    # A memory in parts brings the backend of the call, which takes states of another library.
    memory = BY_TYPE.get(type(stored)) or backend_of_input("stored", stored)
    backend = states if memory is states else memory.backend_for_states(states, state) or states
    check_alike(backend, state, "stored", stored)
    if state.ndim < 2 or stored.ndim < 2:
        raise ValueError(
            "state must be (..., L, d) and stored (..., S, d), "
            f"got {shape(state)} and {shape(stored)}"
        )
    if state.shape[-1] != stored.shape[-1]:
        raise ValueError(
            "state and stored must share their last axis d, "
            f"got {shape(state)} and {shape(stored)}{hint_of_axes(state, stored)}"
        )
    if stored.shape[-2] == 0 or stored.shape[-1] == 0:
        raise ValueError(f"stored must hold at least one pattern of one value, got {shape(stored)}")
    values = stored
    if projection is not None:
        check_projection(backend, state, stored, projection)
        values = projection
    check_leading_axes(state, stored, projection)
    if mask is not None:
        check_mask(backend, state, stored, mask)
        stored, values = hide_memory(backend, state, stored, projection, mask)
    beta = check_beta(backend, state, beta)
    if backend.can_read_values(state):
        if not backend.all_finite(state):
            check_finite(backend, "state", state)
        readable = type(stored) is type(state) or backend.can_read_values(stored)
        if mask is None and readable and not backend.all_finite(stored):
            check_finite(backend, "stored", stored)
        if mask is None and projection is not None and backend.can_read_values(projection):
            check_finite(backend, "projection", projection)
        if not (isinstance(beta, float) and beta < EXTREME):
            check_overflow(backend, state, stored, beta, mask)
    return Inputs(backend, backend.xp, state, stored, values, beta, mask)


def hide_memory(
    backend: Backend, state: Array, stored: Array, projection: Array | None, mask: Array
) -> tuple[Array, Array]:
    """Apply :func:`hide_unattended` to stored patterns and their projections."""
    readable = backend.can_read_values(state)
    hidden = hide_unattended(backend, "stored", stored, mask, readable)
    if projection is None:
        return hidden, hidden
    return hidden, hide_unattended(backend, "projection", projection, mask, readable)


def hide_unattended(
    backend: Backend, name: str, array: Array, mask: Array, readable: bool = True
) -> Array:
    """Return patterns or projections ``(..., S, d)`` whose unattended rows have no influence.

    Rows that no query may attend to may contain anything. They become zeros, unless all values can
    be read and are moderate. If ``readable``, all other rows are checked to be finite.
    """
    seen = backend.can_read_values(array)
    if seen and backend.all_moderate(array):
        return array
    hidden = backend.without_unattended(array, mask)
    if seen and readable:
        check_finite(backend, name, hidden)
    return hidden


def own(backend: Backend, result: Array, *inputs: Any) -> Array:
    """Return a result, or a copy if it is an input, so that the two never share memory."""
    for given in inputs:
        if result is given:
            return backend.copied(result)
    return result


def in_precise_dtype(inputs: Inputs) -> tuple[Array, Array, Beta]:
    """Return the state, the stored patterns and beta in at least float32."""
    backend, beta = inputs.backend, inputs.beta
    dtype = backend.precise[inputs.state.dtype]
    if not isinstance(beta, float):
        beta = backend.astype(beta, dtype)
    return backend.astype(inputs.state, dtype), backend.astype(inputs.stored, dtype), beta
