"""Where arrays with any leading axes lie in memory, as the kernels read them.

The leading axes of all arrays are broadcast to one another. For each leading index, a table has the
offset of its rows in each array; an array that is broadcast has the same offset more than once, and
is never copied. Indices that share one memory are one after another in the table.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch

Shape = tuple[int, ...]


class Layout(NamedTuple):
    """The leading axes of a call."""

    lead: Shape
    """What the leading axes of all arrays are broadcast to."""
    table: torch.Tensor
    """Offsets ``(number of leading indices, 7)``: query, key, value, mask, bias, beta, index."""
    memory: Shape
    """The leading axes of the memories, 1 where an axis shares them."""
    group: int
    """How many leading indices share each memory."""
    aligned: bool
    """Whether all offsets of queries, keys and values are multiples of 16."""


def layout_of(
    state: torch.Tensor,
    stored: torch.Tensor,
    projection: torch.Tensor,
    mask: torch.Tensor | None,
    bias: torch.Tensor | None,
    beta: Any,
) -> Layout:
    """Return the leading axes of a call and the offsets of its arrays."""
    arrays = [(x, 2) for x in (state, stored, projection, mask, bias)]
    arrays.append((beta if isinstance(beta, torch.Tensor) else None, 1))
    leads = [() if x is None else tuple(x.shape[: max(x.ndim - n, 0)]) for x, n in arrays]
    lead = tuple(torch.broadcast_shapes(*leads))
    memory = tuple(torch.broadcast_shapes(leads[1], leads[2]))
    memory = (1,) * (len(lead) - len(memory)) + memory
    strides = tuple(
        (0,) * len(lead) if x is None else lead_strides(x, shape, len(lead))
        for (x, _), shape in zip(arrays, leads, strict=True)
    )
    return Layout(lead, *table_of(lead, memory, strides, state.device))


def lead_strides(array: torch.Tensor, shape: Shape, rank: int) -> Shape:
    """Return the strides of the leading axes of an array, 0 where it is broadcast."""
    strides = (0 if size == 1 else n for size, n in zip(shape, array.stride(), strict=False))
    return (0,) * (rank - len(shape)) + tuple(strides)


@lru_cache(maxsize=64)
def table_of(
    lead: Shape, memory: Shape, strides: tuple[Shape, ...], device: torch.device
) -> tuple[torch.Tensor, Shape, int, bool]:
    """Return what a :class:`Layout` holds besides the leading axes."""
    own = [axis for axis, size in enumerate(memory) if size > 1]
    shared = [axis for axis, size in enumerate(memory) if size == 1]
    order = own + shared
    steps = [*strides, contiguous(lead)]
    table = np.zeros((*(lead[axis] for axis in order), len(steps)), dtype=np.int64)
    for column, step in enumerate(steps):
        for place, axis in enumerate(order):
            shape = [1] * len(order)
            shape[place] = lead[axis]
            table[..., column] += np.arange(lead[axis]).reshape(shape) * step[axis]
    table = table.reshape(-1, len(steps))
    with torch.inference_mode(False):
        group = int(np.prod([lead[axis] for axis in shared], dtype=np.int64))
        aligned = not (table[:, :3] % 16).any()
        return torch.from_numpy(table).to(device), memory, group, bool(aligned)


def contiguous(shape: Shape) -> Shape:
    """Return the strides, in numbers of elements, of a contiguous array of a shape."""
    return tuple(int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape)))
