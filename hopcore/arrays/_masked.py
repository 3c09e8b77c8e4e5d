"""Stored patterns that no query may attend to: their contents never influence a result.

Such a pattern has the weight 0. But 0 times nan is nan, and a score that overflows may be nan
before it is masked. So these patterns and their projections are replaced by zeros, which influence
neither results nor derivatives. Where values can be read, this is done only if some value is not
moderate (:meth:`hopcore.Backend.all_moderate`).
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from hopcore.arrays._library import Array


def attended_by_some(xp: ModuleType, mask: Array, lead: tuple[int, ...]) -> Array:
    """Whether some query may attend to each pattern, ``(..., S)`` or ``(..., 1)``.

    ``mask`` is ``(..., L, S)``, ``lead`` the leading axes of the patterns. A pattern that several
    elements of a batch share is attended if it is attended in at least one of them.
    """
    some = mask if mask.ndim < 2 else xp.any(mask, axis=-2)
    extra = max(some.ndim - 1 - len(lead), 0)
    sizes = (*(1,) * extra, *lead)[-(some.ndim - 1) :] if some.ndim > 1 else ()
    shared = tuple(i for i, size in enumerate(sizes) if size == 1 and some.shape[i] != 1)
    if shared:
        some = xp.any(some, axis=shared, keepdims=True)
    return some[(*(0,) * extra, ...)] if extra else some


def without_unattended(backend: Any, array: Array, mask: Array) -> Array:
    """Patterns or projections ``(..., S, d)`` with zeros where no query may attend."""
    attended = attended_by_some(backend.xp, mask, tuple(array.shape[:-2]))
    return backend.xp.where(attended[..., None], array, 0.0)
