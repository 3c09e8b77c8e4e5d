"""How the arrays of a call are given to the kernels, and how large their tiles are.

The axes over which memories differ are one axis B, and all others join the queries, as
:class:`hopcore_jax.kernels._blocks.Places` has it: a memory that several heads share, and a row of
a mask that several queries share, are never repeated.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from hopcore.arrays import Array
from hopcore_jax.kernels._blocks import Places

EPS = float(np.finfo(np.float32).eps)


class Plan(NamedTuple):
    """What a call is besides its arrays; it can be hashed."""

    alpha: float
    """1 for the softmax."""
    length: int = 0
    """The queries of one sequence in a causal association, 0 in another one."""
    interprets: bool = False
    backend: Any = None
    """The backend of the portable formula."""


class Arrays(NamedTuple):
    """The arrays of a call; None where there is none.

    Queries ``(B, R, d)`` with ``beta`` and the numbers of their rows in mask and bias ``(B, R)``,
    patterns ``(B, S, d)``, projections ``(B, S, v)``, and the rows ``(n, S)`` or ``(n, 1)`` of mask
    and bias. Without numbers of rows there is one row.

    In a kernel these are references to the arrays of one memory, without the axis B. A program has
    all queries or a block of them, and all patterns or a tile of them.
    """

    query: Any
    key: Any
    value: Any
    beta: Any
    mask: Any = None
    mask_of: Any = None
    bias: Any = None
    bias_of: Any = None


class Results(NamedTuple):
    """What a forward pass computes for each query; what is None is not computed.

    ``mean`` is the mean of the projections weighted by the slopes. ``first`` and ``last`` are
    stored for each block of queries: the first pattern of its support, and the end of the last
    tile. ``passes`` counts how often the block read the patterns.
    """

    output: Any = None
    mean: Any = None
    conjugate: Any = None
    top: Any = None
    root: Any = None
    first: Any = None
    last: Any = None
    index: Any = None
    weight: Any = None
    passes: Any = None


class Given(NamedTuple):
    """Derivatives by the results, of which one may be None, and what the forward pass saved."""

    by_output: Any = None
    by_conjugate: Any = None
    mean: Any = None
    top: Any = None
    root: Any = None
    first: Any = None
    last: Any = None


class Wanted(NamedTuple):
    """Derivatives to be computed; None where one is not needed."""

    state: Any = None
    stored: Any = None
    projection: Any = None
    beta: Any = None
    bias: Any = None
    """By a bias with one row: for each memory the sums over its queries."""


class Sizes(NamedTuple):
    """The numbers of a call, and the tiles of its kernels; all of them are constants there."""

    memories: int
    queries: int
    patterns: int
    depth: int
    width: int
    length: int
    alpha: float
    block: int
    """Queries of a program, or of one step of a program."""
    tile: int
    """Patterns of one step of a program, or of a program."""
    warps: int
    stages: int
    interprets: bool

    @property
    def kind(self) -> str:
        """The formula of the weights: "softmax", "half" (a = 1/2), "one" (a = 1) or "any"."""
        return {1.0: "softmax", 1.5: "half", 2.0: "one"}.get(self.alpha, "any")

    @property
    def a(self) -> float:
        return self.alpha - 1.0

    @property
    def steep(self) -> float:
        """The a of scores, larger by two roundings.

        So one that is 1/a below the largest has no weight although 1/a was rounded.
        """
        return self.a * (1.0 + 2.0 * EPS)

    @property
    def blocks(self) -> int:
        """The number of blocks of queries of one memory."""
        return -(-self.queries // self.block)

    @property
    def tiles(self) -> int:
        """The number of tiles of patterns."""
        return -(-self.patterns // self.tile)


def sizes_of(plan: Plan, arrays: Arrays) -> Sizes:
    """Return the numbers of a call, with tiles that fit into every GPU that the kernels run on.

    The interpreter gets tiles that no GPU could multiply, so that small inputs have several.
    """
    memories, queries, depth = arrays.query.shape
    patterns = arrays.key.shape[1]
    width = depth if arrays.value is None else arrays.value.shape[-1]
    tiles = (4, 4, 4, 1) if plan.interprets else tiles_of(arrays.query.dtype, max(depth, width))
    return Sizes(
        memories, queries, patterns, depth, width, plan.length, plan.alpha, *tiles, plan.interprets
    )


def tiles_of(dtype: Any, widest: int) -> tuple[int, int, int, int]:
    """Return block, tile, warps and stages for a number of coordinates."""
    if dtype == jnp.float32:  # whose tiles are in registers as parts, too
        block, tile = (32, 32) if widest <= 64 else (32, 16) if widest <= 128 else (16, 16)
        return block, tile, 4, 2 if widest <= 128 else 1
    if widest <= 64:
        return 64, 64, 4, 2
    return (64, 32, 8, 2) if widest <= 128 else (32, 32, 8, 1)


def padded(size: int) -> int:
    """Return the next power of two, at least 16, which products of tiles need."""
    return max(16, 1 << (size - 1).bit_length())


def laid_out(
    state: Array,
    stored: Array,
    projection: Array | None,
    beta: Any,
    mask: Array | None,
    bias: Array | None = None,
) -> tuple[Places, Arrays]:
    """Return the arrays as the kernels take them, and how results are put back."""
    beta = jnp.asarray(beta, dtype=jnp.float32)
    also = mask if bias is None else bias if mask is None else with_lead_of(mask, bias)
    places = Places.of(state, stored, projection, beta, also)
    masks, mask_of = places.mask_rows(mask)
    biases, bias_of = places.mask_rows(bias)
    return places, Arrays(
        places.queries(state, 2),
        places.memories(stored),
        None if projection is None else places.memories(projection),
        places.queries(beta, 1),
        masks,
        mask_of,
        biases,
        bias_of,
    )


def with_lead_of(mask: Array, bias: Array) -> Any:
    """Return the shape of both together, as :class:`Places` asks for it."""
    shape = np.broadcast_shapes(mask.shape, bias.shape)
    return np.broadcast_to(np.zeros((), bool), shape)
