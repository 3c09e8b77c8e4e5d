r"""The mask ``"causal"``: query i attends to the stored patterns 0 to i alone.

No array of all pairs is made. A block of queries is associated with the patterns up to its last
query, and only this block has a mask; where a library has a causal kernel, there is no mask at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from hopcore.arrays._array_checks import shape
from hopcore.arrays._backend import (
    Array,
    beta_of_rows,
    causal_blocks,
    orders_of_rows,
    with_orders,
)
from hopcore.arrays._edge import converted_inputs, inputs_at_edge, known_backend
from hopcore.arrays._inputs import Inputs, check_inputs
from hopcore.arrays._scalar_checks import short_repr
from hopcore.memory._float_masks import split_mask
from hopcore.memory._scores import PLAIN, Scores
from hopcore.memory._stopping_loop import updated

Causal: TypeAlias = Literal["causal"]
"""The name of the mask with which query i may attend to the patterns 0 to i, and to no others."""


def is_causal(mask: Any, name: str = "mask") -> bool:
    """Whether a mask is the word causal; raise for another word."""
    if not isinstance(mask, str):
        return False
    if mask != "causal":
        raise ValueError(f"{name} must be an array or 'causal', got {short_repr(mask)}")
    return True


def masked_inputs(
    state: Any, stored: Any, projection: Any = None, *, beta: Any, mask: Any, paired: bool = True
) -> tuple[Inputs, bool, Any, bool]:
    """Check the arrays of a call with any mask.

    The results are the inputs; whether the state was a single query; the numbers of a mask; and
    whether the mask is causal, which the inputs do not say. See :func:`causal_inputs`.
    """
    if mask is None:
        return *inputs_at_edge(state, stored, projection, beta=beta), None, False
    if is_causal(mask):
        inputs = causal_inputs(state, stored, projection, beta=beta, paired=paired)
        return inputs, False, None, True
    mask, added = split_mask(mask)
    inputs, single = inputs_at_edge(state, stored, projection, beta=beta, mask=mask)
    return inputs, single, added, False


def causal_inputs(
    state: Any,
    stored: Any,
    projection: Any = None,
    *,
    beta: Any,
    paired: bool = True,
    all_weights: bool = False,
) -> Inputs:
    """Check the arrays of a call with the mask causal.

    Patterns after the last query, to which no query attends, are left out. They are refused where
    each state is ``paired`` with a pattern. For ``all_weights``, the inputs have a mask.
    """
    state, stored, projection, beta, _ = converted_inputs(state, stored, projection, beta, None)
    library = known_backend(stored)
    if library is None or known_backend(state) is None:
        return check_inputs(state, stored, projection, beta=beta)  # which refuses them
    if library.refusal_as_state:
        raise TypeError(
            "mask='causal' needs the stored patterns in one array, got a memory in parts"
        )
    if state.ndim == 1:
        raise ValueError(
            "mask='causal' needs a sequence of states (L, d), of which state i attends to the "
            f"patterns 0 to i, got {shape(state)}"
        )
    if state.ndim < 2 or stored.ndim < 2:
        return check_inputs(state, stored, projection, beta=beta)  # which refuses them
    if paired and state.shape[-2] != stored.shape[-2]:
        raise ValueError(
            "with mask='causal' state i is compared with the patterns 0 to i, so there must be as "
            f"many states as patterns, got {shape(state)} and {shape(stored)}"
        )
    mask = library.causal_mask(state, stored.shape[-2]) if all_weights else None
    if not (paired or all_weights) and library.has_known_sizes(state):
        stored, projection = without_later(state, stored, projection)
    return check_inputs(state, stored, projection, beta=beta, mask=mask)


def without_later(query: Array, key: Array, value: Any) -> tuple[Array, Any]:
    """Return keys and values without those after the last query, which no query attends to."""
    queries = max(1, query.shape[-2])
    if key.ndim < 2 or key.shape[-2] <= queries:
        return key, value
    if value is not None and (value.ndim < 2 or key.shape[-2] != value.shape[-2]):
        return key, value  # which the checks refuse
    seen = key[..., :queries, :]
    if value is None or value is key:
        return seen, value if value is None else seen
    return seen, value[..., :queries, :]


def in_causal_blocks(
    work: Callable[..., tuple[Array, ...]],
    inputs: Inputs,
    separation: Any,
    scores: Scores,
    axes: tuple[int, ...],
) -> tuple[Array, ...]:
    """Apply ``work(inputs, separation, scores)`` to blocks of queries and the patterns they see.

    ``axes`` are the axes of the queries in the results, along which these are joined.
    """
    parts = []
    for rows, stop, mask in causal_blocks(inputs.backend, inputs.state, inputs.stored.shape[-2]):
        some = inputs._replace(
            state=inputs.state[..., rows, :],
            stored=inputs.stored[..., :stop, :],
            projection=inputs.projection[..., :stop, :],
            beta=beta_of_rows(inputs.beta, rows),
            mask=mask,
        )
        parts.append(work(some, orders_of_rows(separation, rows), scores.of_first(stop)))
    if len(parts) == 1:
        return parts[0]
    join = inputs.xp.concat
    return tuple(
        join(results, axis=axis)
        for results, axis in zip(zip(*parts, strict=True), axes, strict=True)
    )


def causally_updated(separation: Any, scores: Scores, inputs: Inputs) -> Array:
    """Return the states after one update of checked inputs."""
    if scores.absolute:

        def work(inputs: Inputs, separation: Any, scores: Scores) -> tuple[Array]:
            return (updated(separation, scores, inputs),)

        return in_causal_blocks(work, inputs, separation, scores, (-2,))[0]
    return causally_associated(separation, scores, inputs)


def causally_associated(separation: Any, scores: Scores, inputs: Inputs) -> Array:
    """Return the association of checked inputs."""
    scored = inputs if scores is PLAIN else scores.inputs(inputs)
    new = inputs.backend.associate_causal(*scored[2:6], separation)
    return scores.recalled(inputs, new)


def causal_update_of(separation: Any, scores: Scores, inputs: Inputs, *others: Array) -> Array:
    """Return the states after one update, with the arguments that change in a retrieval.

    ``others`` are the orders of an entmax, if it has any, and the arrays of the scores.
    """
    split = len(others) - len(scores.arrays)
    if split:
        separation = with_orders(separation, others[0])
    return causally_updated(separation, scores.with_arrays(others[split:]), inputs)
