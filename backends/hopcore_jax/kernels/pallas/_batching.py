"""One more axis under ``vmap``: of queries, if all of it share the memories; else of memories."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from hopcore.arrays import Array
from hopcore_jax.kernels.pallas._layout import Arrays


def moved(array: Array, axis: int | None, size: int, place: int) -> Array:
    """Move the new axis to a place, or repeat the array along it."""
    if axis is not None:
        return jnp.moveaxis(array, axis, place)
    array = jnp.expand_dims(array, place)
    return jnp.broadcast_to(array, (*array.shape[:place], size, *array.shape[place + 1 :]))


def merged(array: Array | None, axis: int | None, size: int, place: int) -> Any:
    """Move the new axis to a place, and make it one with the axis that follows."""
    if array is None:
        return None
    found = moved(array, axis, size, place)
    return jnp.reshape(found, (*found.shape[:place], -1, *found.shape[place + 2 :]))


def split(array: Array, size: int, place: int) -> Array:
    """Give a result the new axis back."""
    return jnp.reshape(array, (*array.shape[:place], size, -1, *array.shape[place + 1 :]))


def with_more(
    arrays: Arrays, axes: Arrays, size: int, place: int, own_bias: bool = False
) -> Arrays:
    """Make a new axis a part of the memories (place 0) or of the queries (place 1).

    ``own_bias`` gives each element of the new axis its own bias, for its derivative.
    """
    mask, mask_of = more_rows(arrays, axes, size, place, "mask")
    bias, bias_of = more_rows(arrays, axes, size, place, "bias", own_bias)
    changes = {
        name: merged(getattr(arrays, name), getattr(axes, name), size, place)
        for name in (("query", "beta") if place else ("query", "key", "value", "beta"))
    }
    return arrays._replace(mask=mask, mask_of=mask_of, bias=bias, bias_of=bias_of, **changes)


def more_rows(
    arrays: Arrays, axes: Arrays, size: int, place: int, name: str, own: bool = False
) -> tuple[Any, Any]:
    """Return the rows of a mask or a bias, and the numbers of the rows of the queries."""
    rows, number = getattr(arrays, name), getattr(arrays, f"{name}_of")
    axis, number_axis = getattr(axes, name), getattr(axes, f"{name}_of")
    if rows is None or (axis is None and not own):
        return rows, merged(number, number_axis, size, place)
    rows = moved(rows, axis, size, 0)
    count = rows.shape[1]
    first = jnp.arange(size, dtype=jnp.int32) * count
    if number is None:
        shape = moved(arrays.beta, axes.beta, size, 0).shape
        number = jnp.broadcast_to(first[:, None, None], shape)
    else:
        number = moved(number, number_axis, size, 0) + first[:, None, None]
    return jnp.reshape(rows, (-1, rows.shape[-1])), merged(number, 0, size, place)
