r"""The path of a retrieval: the states that its queries pass through, one after another.

Where values can be read, the states are kept in a list, and the path ends with the query that rests
last. Under a compiler no length may depend on values, so the loop carries an array of
``max_steps + 1`` states. In both, a query that rests keeps its last state to the end of the path.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from hopcore.arrays._backend import Array
from hopcore.arrays._inputs import Inputs


def begin_path(
    inputs: Inputs, others: tuple[Any, ...], max_steps: int, carry: tuple[Array, ...]
) -> tuple[list[Array] | None, tuple[Array, ...]]:
    """Return a list with the given states, or None, and what the loop carries.

    ``others`` are further arrays on which updates depend. Without a list, the loop also carries an
    array ``(max_steps + 1, ..., L, d)`` of the given states, as if no query would ever move.
    """
    backend, xp, state = inputs.backend, inputs.xp, inputs.state
    given = (*inputs[2:], *others)
    arrays = (x for x in given if x is not None and not isinstance(x, float))
    if all(map(backend.can_fetch_values, arrays)):
        return [state], carry
    whole = xp.broadcast_to(state[None, ...], (max_steps + 1, *state.shape))
    return None, (*carry, backend.copied(whole))


def with_path(
    body: Callable[[tuple[Array, ...]], tuple[Array, ...]],
    inputs: Inputs,
    listed: list[Array] | None,
) -> Callable[[tuple[Array, ...]], tuple[Array, ...]]:
    """Return the body of a loop that also keeps its states, in the list or in what it carries.

    The first array that ``body`` returns has the states, and the second how many updates each made.
    """

    def step(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        if listed is not None:
            found = body(carry)
            listed.append(found[0])
            return found
        *before, path = carry
        state, steps, *rest = body(tuple(before))
        later = places(inputs, path.shape[0], steps) >= steps
        return state, steps, *rest, inputs.xp.where(later[..., None], state, path)

    return step


def joined_path(xp: Any, listed: list[Array], steps: Array) -> Array:
    """Return the states of a list as one array, given how many updates each query has made."""
    # A loop may go on after all queries rest, in order not to wait for an accelerator.
    made = int(xp.max(steps)) if math.prod(steps.shape) else 0
    return xp.stack(listed[: made + 1], axis=0)


def places(inputs: Inputs, count: int, like: Array) -> Array:
    """Return 0 to ``count - 1`` as ``(count, ..., 1)``, to compare with numbers of updates."""
    device = inputs.backend.device(like)
    index = inputs.xp.arange(count, dtype=like.dtype, device=device)
    return inputs.xp.reshape(index, (count, *(1 for _ in like.shape)))
