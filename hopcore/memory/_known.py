r"""Retrieval where some coordinates of a state are known: they stay, and the others are recalled.

Let m be 1 for the known coordinates and 0 for the others. If what a state has in its unknown
coordinates means nothing, only the known ones are compared, by the scores
:math:`-\tfrac{\beta}{2} \|m (\xi - x_i)\|^2`, and the unknown ones become those of the association.
If it does mean something, the unknown coordinates settle: the update
:math:`\xi_u \leftarrow f(\xi)_u` of these alone lowers the energy by at least half of its squared
length, as the update of all does.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

from hopcore.arrays._array_checks import backend_of_input, shape
from hopcore.arrays._backend import Array
from hopcore.arrays._discovery import BY_TYPE
from hopcore.arrays._edge import as_floating, as_host_array, as_mask
from hopcore.arrays._inputs import Inputs
from hopcore.arrays._scalar_checks import short_repr
from hopcore.memory._scores import Scores
from hopcore.memory._stopping_loop import scored_update_of

Unknown: TypeAlias = Literal["ignore", "settle"]
"""What becomes of unknown coordinates: they are not compared, or they start as they are."""


class Known(NamedTuple):
    """The known coordinates of the states of a call."""

    mask: Array
    """``(..., L, d)``, 1 where a coordinate is known and 0 elsewhere, in the precise dtype."""
    state: Array
    """The states at the beginning, whose known coordinates stay."""


def check_unknown(unknown: Any) -> None:
    """Raise if it is not said what becomes of unknown coordinates."""
    if unknown not in ("ignore", "settle"):
        raise ValueError(f"unknown must be 'ignore' or 'settle', got {short_repr(unknown)}")


def without_unknown(state: Any, known: Any) -> Any:
    """Return states with zeros in the coordinates that are not known, which may hold anything."""
    state = as_floating("state", state)
    backend = backend_of_input("state", state)
    mask = as_known(backend, state, known)
    return backend.xp.where(mask, state, 0.0)


def as_known(backend: Any, state: Array, known: Any) -> Array:
    """Return a boolean array that broadcasts to the state, or raise."""
    if BY_TYPE.get(type(known)) is not backend:
        known = as_mask(as_host_array("known", known), backend, backend.device(state))
    if not backend.mixes_with(backend_of_input("known", known)) or "bool" not in str(known.dtype):
        raise TypeError(
            f"known must be a boolean array of {backend.name} (True = known), got "
            f"{type(known).__name__} of {known.dtype}; where values are missing as nan, it is "
            "~isnan(state)"
        )
    rows = tuple(zip(reversed(shape(known)), reversed(shape(state)), strict=False))
    if known.ndim > state.ndim or any(size not in (1, wanted) for size, wanted in rows):
        raise ValueError(
            f"known must broadcast to the shape of the state, {shape(state)}, got {shape(known)}"
        )
    return known


def known_of(inputs: Inputs, known: Any) -> Known:
    """Return the known coordinates of checked inputs, whose state has all its leading axes."""
    backend, xp, state = inputs.backend, inputs.xp, inputs.state
    mask = as_known(backend, state, known)
    mask = xp.broadcast_to(mask, shape(state))
    return Known(backend.astype(mask, backend.precise[state.dtype]), state)


def known_update_of(
    separation: Any, scores: Scores, unknown: Unknown, inputs: Inputs, *others: Array
) -> Array:
    """Return the states after one update of their unknown coordinates.

    ``others`` are the orders of an entmax, if it has any; the two arrays of :class:`Known`; and the
    arrays of the scores.
    """
    split = len(others) - len(scores.arrays)
    known = Known(*others[split - 2 : split])
    others = (*others[: split - 2], *others[split:])
    xp, seen = inputs.xp, known.mask > 0.0
    # As a function of the state alone, so that its derivative at a fixed point is symmetric.
    inputs = inputs._replace(state=xp.where(seen, known.state, inputs.state))
    mask = known.mask if unknown == "ignore" else None
    return xp.where(
        seen, known.state, scored_update_of(separation, scores, inputs, *others, known=mask)
    )
