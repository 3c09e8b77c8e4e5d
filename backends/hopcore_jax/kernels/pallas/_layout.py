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
from hopcore.memory import FusedOrder, FusedTiles
from hopcore_jax.kernels._blocks import Places


class Plan(NamedTuple):
    """What a call is besides its arrays; it can be hashed."""

    order: FusedOrder
    length: int = 0
    """The queries of one sequence in a causal association, 0 in another one."""
    interprets: bool = False
    backend: Any = None
    """The backend of the portable formula."""
    beta: float | None = None
    """The inverse temperature of all queries where cuDNN takes the place of the kernels."""


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
    tile. ``passes`` counts how often the block read the patterns. ``weight`` is the largest weight,
    ``square`` the sum of the squares of the weights; entropy and square are computed together.
    ``received``, the sum of the weights of each pattern, is no result of a forward pass.
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
    entropy: Any = None
    square: Any = None
    received: Any = None


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
    order: FusedOrder
    each: FusedTiles
    """The tiles of a program; their coordinates are those of the arrays, padded."""
    interprets: bool

    @property
    def kind(self) -> str:
        """The formula of the weights, see :class:`hopcore.memory.FusedOrder`."""
        return self.order.kind

    @property
    def a(self) -> float:
        """The order minus 1."""
        return self.order.a

    @property
    def steep(self) -> float:
        """The factor a of the scores, see :class:`hopcore.memory.FusedOrder`."""
        return self.order.steep

    @property
    def block(self) -> int:
        """Queries of a program, or of one step of a program."""
        return self.each.block

    @property
    def tile(self) -> int:
        """Patterns of one step of a program, or of a program."""
        return self.each.tile

    @property
    def blocks(self) -> int:
        """The number of blocks of queries of one memory."""
        return -(-self.queries // self.block)

    @property
    def tiles(self) -> int:
        """The number of tiles of patterns."""
        return -(-self.patterns // self.tile)


def sizes_of(plan: Plan, arrays: Arrays) -> Sizes:
    """Return the numbers of a call, with tiles that fit into every GPU that the kernels run on."""
    memories, queries, depth = arrays.query.shape
    patterns = arrays.key.shape[1]
    width = depth if arrays.value is None else arrays.value.shape[-1]
    interprets = plan.interprets
    tiles = FusedTiles.of(arrays.query.dtype.itemsize, depth, width, interpreted=interprets)
    return Sizes(
        memories, queries, patterns, depth, width, plan.length, plan.order, tiles, interprets
    )


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
