"""A call of a retrieval, resolved once: what is updated, how, and what the result keeps.

A plain call, of two arrays and an inverse temperature, has the defaults of :class:`RetrievalCall`
and needs nothing else from this module.
"""

from __future__ import annotations

import logging
import pkgutil
from functools import partial
from typing import Any, NamedTuple

from hopcore.arrays._backend import Array, orders_of
from hopcore.arrays._inputs import Inputs
from hopcore.memory._causal import causal_update_of, in_causal_blocks, masked_inputs
from hopcore.memory._compact import is_absolute
from hopcore.memory._known import (
    Known,
    Unknown,
    check_unknown,
    known_of,
    known_update_of,
    without_unknown,
)
from hopcore.memory._scores import PLAIN, Scores, Similarity, check_updated, scores_of
from hopcore.memory._separation import get_separation, with_separation
from hopcore.memory._stopping_loop import (
    broadcast_state,
    length_unit,
    scored_update_of,
    update_of,
)

LOGGER = logging.getLogger("hopcore")
"""Silent unless the program gives it, or the root logger, a handler and a level."""


class RetrievalCall(NamedTuple):
    """The arguments of a retrieval, resolved.

    Attributes
    ----------
    inputs : Inputs
        The checked inputs, with the state broadcast to all leading axes.
    single : bool
        Whether the state was a single query.
    separation : separation function
        The one of the call, maybe with orders that are an array.
    scores : Scores
        How states are compared with patterns.
    causal : bool
        Whether the mask is causal, which the inputs do not say.
    unit : array, optional
        The length in which ``tol`` is measured; M among all patterns if None.
    known : Known, optional
        The known coordinates, if there are any.
    unknown : {"ignore", "settle"}
        What becomes of the other coordinates.
    suggestion : Suggestion, optional
        That of ``beta="auto"``.
    """

    inputs: Inputs
    single: bool
    separation: Any
    scores: Scores = PLAIN
    causal: bool = False
    unit: Array | None = None
    known: Known | None = None
    unknown: Unknown = "ignore"
    suggestion: Any = None


def resolved_call(
    state: Any,
    stored: Any,
    beta: Any,
    *,
    mask: Any,
    separation: Any,
    similarity: Similarity | None,
    bias: Any,
    known: Any,
    unknown: Unknown,
    updates: bool,
) -> RetrievalCall:
    """Check and resolve the arguments of a retrieval; ``updates`` says whether it makes any."""
    ignores, similarity = compared_by(known, unknown, similarity, separation)
    if ignores:
        state = without_unknown(state, known)
    suggestion = None
    if isinstance(beta, str) and beta == "auto":
        function = get_separation(separation, similarity)
        suggestion = suggested(stored, function, similarity)
        beta = suggestion.beta
    given, single, added, causal = masked_inputs(state, stored, beta=beta, mask=mask)
    inputs, function = with_separation(given, separation, similarity)
    scores = scores_of(inputs, similarity, bias, squares=ignores, separation=function, added=added)
    if updates:
        check_updated(inputs, scores)
    inputs = broadcast_state(inputs, scores.keys, scores.added)
    fixed = None
    if known is not None:
        check_not_causal(causal)
        fixed = known_of(inputs, known)
    unit = unit_of(inputs, scores, causal)
    return RetrievalCall(inputs, single, function, scores, causal, unit, fixed, unknown, suggestion)


def compared_by(
    known: Any, unknown: Unknown, similarity: Similarity | None, separation: Any
) -> tuple[bool, Similarity]:
    """Return whether only known coordinates are compared, and the similarity of the comparison."""
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


def suggested(stored: Array, separation: Any, similarity: Similarity) -> Any:
    """Return the suggestion of ``beta="auto"``, and log its reason; a caveat is a warning."""
    # By its name, since the package of the transition imports this one.
    suggest_beta = pkgutil.resolve_name("hopcore.phase:suggest_beta")
    suggestion = suggest_beta(stored, separation=separation, similarity=similarity)
    level = logging.WARNING if ";" in suggestion.reason else logging.INFO
    LOGGER.log(level, "beta='auto' is %.4g: %s", suggestion.beta, suggestion.reason)
    return suggestion


def check_not_causal(causal: bool) -> None:
    """Raise if a call with known coordinates has the mask causal."""
    if causal:
        raise ValueError(
            "mask='causal' is not taken together with known=: give the mask as an array, "
            "True = attend"
        )


def unit_of(inputs: Inputs, scores: Scores, causal: bool) -> Array | None:
    """Return the length in which ``tol`` is measured; None for M among all patterns."""
    if not causal:
        return None if scores is PLAIN else length_unit(inputs, scores.centred(inputs))

    def work(inputs: Inputs, _: Any, scores: Scores) -> tuple[Array]:
        unit = length_unit(inputs, scores.centred(inputs))
        return (inputs.xp.broadcast_to(unit, inputs.state.shape[:-1]),)

    return in_causal_blocks(work, inputs, None, scores, (-1,))[0]


def updates_of(call: RetrievalCall) -> tuple[Any, tuple[Array, ...], tuple[Array, ...]]:
    """Return the update of a retrieval, and its further arguments.

    Some of these are for all queries together, and of the others no axis belongs to the queries.
    """
    separation, scores = call.separation, call.scores
    orders = orders_of(separation)
    others, shared = () if orders is None else (orders,), scores.arrays
    update: Any = partial(update_of, separation)
    if call.known is not None:
        update = partial(known_update_of, separation, scores, call.unknown)
        others = *others, *call.known
    elif call.causal:
        update = partial(causal_update_of, separation, scores)
    elif scores is not PLAIN:
        update = partial(scored_update_of, separation, scores)
    if scores.added is not None:  # which has an axis of queries
        others, shared = (*others, *shared), ()
    return update, others, shared
