"""Translate the masks that layers take into those of the core.

The masks of layers have the meaning of torch's attention modules: a boolean mask is **True for a
pattern that is ignored**, and a mask of numbers is added to the scores, with -inf for a pattern
that is ignored. The core has one boolean mask, which is True for a pattern to which a query may
attend.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from hopcore.arrays._array_checks import backend_of_input, shape
from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._masked import attended_by_some
from hopcore.memory._causal import is_causal


class CoreMasks(NamedTuple):
    """Which patterns each query of each head may attend to.

    Attributes
    ----------
    mask : boolean array broadcastable to (..., H, L, S), or None
        True = attended.
    bias : array broadcastable to (..., H, L, S), or None
        Added to the scores.
    """

    mask: Array | None
    bias: Array | None

    def nodes(self, backend: Backend) -> Array | None:
        """Return which patterns any query of any head may attend to, ``(..., 1, S)``."""
        if self.mask is None:
            return None
        some = backend.xp.any(self.mask, axis=-2)
        return backend.xp.any(some, axis=-2, keepdims=True) if some.ndim > 1 else some

    def with_added(self, backend: Backend, count: int) -> CoreMasks:
        """Append patterns to the end of the memory, to which all queries may attend."""
        xp = backend.xp

        def extend(array: Array | None, last: Any) -> Array | None:
            if array is None:
                return None
            kind, device = array.dtype, backend.device(array)
            more = xp.full((*array.shape[:-1], count), last, dtype=kind, device=device)
            return xp.concat([array, more], axis=-1)

        return CoreMasks(extend(self.mask, True), extend(self.bias, 0.0))


def as_core_masks(
    state: Array,
    lead: tuple[int, ...],
    heads: int,
    patterns: int,
    padding: Any = None,
    association: Any = None,
) -> CoreMasks:
    """Return the masks of a layer as the core takes them.

    Parameters
    ----------
    state : array (..., L, d)
        Whose library, dtype and device count.
    lead : tuple of int
        The leading axes of the inputs.
    heads, patterns : int
        H and S.
    padding : array (..., S), optional
        Of the stored patterns.
    association : array, optional
        ``(L, S)``, ``(... H, L, S)`` with the heads of all inputs in one axis, or broadcastable to
        ``(..., H, L, S)``; or ``"causal"``.
    """
    queries = state.shape[-2]
    translated = []
    if padding is not None:
        backend = _library("stored_pattern_padding_mask", state, padding)
        axes = zip(shape(padding)[-2::-1], lead[::-1], strict=False)
        fits = padding.ndim <= len(lead) + 1 and all(
            size == 1 or size == wanted for size, wanted in axes
        )
        if padding.shape[-1:] != (patterns,) or not fits:
            raise ValueError(
                f"stored_pattern_padding_mask must be (..., S) = {(*lead, patterns)}, "
                f"got {shape(padding)}{hint_of_tuple(padding)}"
            )
        padding = padding[..., None, None, :]
        translated.append(as_core_mask(backend, "stored_pattern_padding_mask", state, padding))
    if is_causal(association, "association_mask"):
        backend = backend_of_input("state", state)
        translated.append(CoreMasks(backend.causal_mask(state, patterns), None))
    elif association is not None:
        backend = _library("association_mask", state, association)
        association = _by_heads(backend, association, lead, heads, queries, patterns)
        translated.append(as_core_mask(backend, "association_mask", state, association))
    return joined_masks(translated)


def hint_of_tuple(mask: Array) -> str:
    """Return a hint for a mask that was probably meant as patterns."""
    if "bool" in str(mask.dtype) or "int" in str(mask.dtype):
        return ""
    return "; pass one tuple of patterns, layer((stored, state, projection))"


def hide_unattended(
    backend: Backend, patterns: Array, mask: Array | None, *, queries: bool = False
) -> Array:
    """Return patterns ``(..., S, d)`` whose unattended rows cannot affect the result.

    Rows to which no query of any head may attend may have any values. They become zeros before they
    are normalised or projected, unless all values can be read and are moderate. With ``queries``,
    the patterns are also states, and rows with moderate values are not changed.
    """
    if mask is None or (backend.can_read_values(patterns) and backend.all_moderate(patterns)):
        return patterns
    xp = backend.xp
    kept = attended_by_some(xp, mask, (*patterns.shape[:-2], 1))
    kept = kept[..., 0, :] if kept.ndim > 1 else kept
    if queries:
        limit = float(xp.finfo(patterns.dtype).max) ** 0.25
        kept = kept | xp.all(xp.abs(backend.constant(patterns)) < limit, axis=-1)
    return xp.where(kept[..., None], patterns, 0.0)


def hide_padding(patterns: Array, padding: Array | None, batch_first: bool) -> Array:
    """Return a sequence that associates with itself, whose padding cannot affect the result."""
    if padding is None or getattr(patterns, "ndim", 0) < 2:
        return patterns
    backend = backend_of_input("src", patterns)
    moved = not batch_first and patterns.ndim > 2
    first = backend.xp.moveaxis(patterns, 0, -2) if moved else patterns
    mask = as_core_masks(first, tuple(first.shape[:-2]), 1, first.shape[-2], padding).mask
    hidden = hide_unattended(backend, first, mask, queries=True)
    if hidden is first:
        return patterns
    return backend.xp.moveaxis(hidden, -2, 0) if moved else hidden


def _library(name: str, state: Array, mask: Any) -> Backend:
    backend, other = backend_of_input("state", state), backend_of_input(name, mask)
    if other is not backend:
        raise TypeError(
            f"patterns and {name} must be of one library, got {backend.name} and {other.name}"
        )
    return backend


def _by_heads(
    backend: Backend, mask: Array, lead: tuple[int, ...], heads: int, queries: int, patterns: int
) -> Array:
    full = (*lead, heads, queries, patterns)
    if mask.ndim == 3 and shape(mask) == (math.prod(lead) * heads, queries, patterns):
        return backend.xp.reshape(mask, full)
    fits = 2 <= mask.ndim <= len(full) and all(
        size == 1 or size == wanted
        for size, wanted in zip(shape(mask)[::-1], full[::-1], strict=False)
    )
    if not fits:
        raise ValueError(
            f"association_mask must be (L, S) = {(queries, patterns)}, "
            f"{(math.prod(lead) * heads, queries, patterns)} with one for each head of each input, "
            f"or broadcast to {full}, got {shape(mask)}{hint_of_tuple(mask)}"
        )
    return mask


def as_core_mask(backend: Backend, name: str, state: Array, mask: Array) -> CoreMasks:
    """Return one mask as a boolean mask, and as a bias if it holds numbers."""
    kind = str(mask.dtype)
    if "bool" in kind:
        return CoreMasks(~mask, None)
    if "int" in kind:
        attended = mask == 0
        if backend.can_read_values(mask) and not bool(backend.xp.all(attended | (mask == 1))):
            raise ValueError(
                f"{name} of integers must hold 0, or 1 where nothing is attended (the masks of "
                "hopcore.association are the opposite: True = attend); "
                f"numbers that are added to scores must be {state.dtype}"
            )
        return CoreMasks(attended, None)
    if mask.dtype not in backend.precise:
        raise TypeError(f"{name} must hold booleans, integers or real numbers, got {mask.dtype}")
    return mask_of_numbers(backend, name, state, mask)


def mask_of_numbers(backend: Backend, name: str, state: Array, mask: Array) -> CoreMasks:
    """Return numbers that are added to scores as a bias, and -inf as a boolean mask, if needed."""
    if 0 in shape(mask):
        return CoreMasks(mask != -math.inf, None)
    bias = backend.astype(mask, backend.precise[state.dtype])
    if not backend.can_read_values(mask):
        return CoreMasks(mask != -math.inf, bias)
    # Two numbers tell most of what must be known, without another array of this size.
    values = backend.constant(mask)
    least, largest = (float(extreme(values)) for extreme in (backend.xp.min, backend.xp.max))
    if not largest < math.inf:
        raise ValueError(f"{name} must hold numbers or -inf, got nan or +inf")
    # Numbers that are learned may start at 0, and have a derivative there.
    learned = backend.requires_gradient(mask)
    if least > -math.inf:
        return CoreMasks(None, None if least == largest == 0.0 and not learned else bias)
    attended = mask != -math.inf
    plain = largest in (0.0, -math.inf) and not learned
    if plain and bool(backend.xp.all((mask == 0) | ~attended)):
        return CoreMasks(attended, None)
    return CoreMasks(attended, bias)


def joined_masks(parts: Sequence[CoreMasks]) -> CoreMasks:
    """Return all masks as one: attended where all say so, with the sum of all biases."""
    mask, bias = None, None
    for part in parts:
        if part.mask is not None:
            mask = part.mask if mask is None else mask & part.mask
        if part.bias is not None:
            bias = part.bias if bias is None else bias + part.bias
    return CoreMasks(mask, bias)
