r"""Masks of numbers, which are added to the scores; :math:`-\infty` forbids a pattern.

Such a mask is a boolean mask and finite numbers. Numbers that are the same for all queries are a
bias of the stored patterns. Numbers for each query and pattern need all scores at once, as the mask
itself is an array of that size.
"""

from __future__ import annotations

import math
from typing import Any

from hopcore.arrays._backend import Array, with_orders
from hopcore.arrays._best import best_of
from hopcore.arrays._edge import as_host_array, known_backend
from hopcore.arrays._inputs import Inputs


def split_mask(mask: Any) -> tuple[Any, Any]:
    """Return a boolean mask and the numbers of a mask; None for what changes nothing.

    What is not an array of floating-point numbers is returned as the mask: the checks of inputs
    refuse it if it is not boolean.
    """
    if mask is None:
        return None, None
    if isinstance(mask, list | tuple):
        mask = as_host_array("mask", mask)
    library = known_backend(mask)
    if library is None or mask.dtype not in library.precise:
        return mask, None
    xp, readable = library.xp, library.can_read_values(mask)
    if readable and not bool(xp.all(mask < math.inf)):
        index = tuple(int(axis[0]) for axis in xp.nonzero(~(mask < math.inf))) if mask.ndim else ()
        raise ValueError(
            "a mask of numbers must hold finite ones, or -inf where nothing is attended, got "
            f"{float(library.constant(mask)[index])} at index {index}"
        )
    forbidden = mask == -math.inf
    numbers = xp.where(forbidden, 0.0, mask)
    if readable and not library.requires_gradient(mask) and bool(xp.all(numbers == 0.0)):
        return ~forbidden, None
    attended = None if readable and not bool(xp.any(forbidden)) else ~forbidden
    return attended, numbers


def associated(
    scored: Inputs, added: Array | None, separation: Any, need_conjugate: bool = False
) -> tuple[Array, Array | None]:
    """Return the association, and its conjugate if needed, with numbers added to the scores."""
    backend, _, state, stored, values, beta, mask = scored
    given = state, stored, values, beta, mask
    if added is None:
        return backend.associate(*given, separation, need_conjugate)
    output = backend.associate_biased(*given, added, separation)
    return output, conjugate_with(scored, added, separation) if need_conjugate else None


def associated_by_orders(scored: Inputs, added: Array, separation: Any, *orders: Array) -> Array:
    """Return the association; ``orders`` are the alphas of an entmax, if given."""
    return associated(scored, added, with_orders(separation, *(orders or (None,))))[0]


def scores_with(scored: Inputs, added: Array | None) -> Array:
    """Return all scores ``(..., L, S)``, with numbers added to them."""
    backend, _, state, stored, _, beta, mask = scored
    scores = backend.scores(state, stored, beta, mask)
    return scores if added is None else scores + added


def conjugate_with(scored: Inputs, added: Array, separation: Any) -> Array:
    """Return the conjugate of the scores, with numbers added to them."""
    return scored.backend.separate(scores_with(scored, added), separation)[1]


def best_with(scored: Inputs, added: Array, separation: Any) -> tuple[Array, Array]:
    """Return the pattern with the largest score, with numbers added to it, and its weight."""
    backend = scored.backend
    scores = scores_with(scored, backend.constant(added))
    index, _, weight = best_of(scored.xp, scores, backend.separate(scores, separation)[0])
    return index, weight
