"""Launches of the kernels: arrays in and out, in block specs of Pallas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from hopcore.memory import FusedTiles
from hopcore_jax.kernels.pallas._layout import (
    Arrays,
    Given,
    Plan,
    Results,
    Sizes,
    Wanted,
    sizes_of,
)


def modules() -> Any:
    """Import the kernels, which imports Pallas."""
    return import_module("hopcore_jax.kernels.pallas._modules")


class Launch:
    """One call: its sizes, and the block specs of its arrays."""

    def __init__(self, plan: Plan, arrays: Arrays) -> None:
        self.sizes: Sizes = sizes_of(plan, arrays)
        self.arrays = arrays
        self.pallas: Any = import_module("jax.experimental.pallas")
        self.triton: Any = import_module("jax.experimental.pallas.triton")

    # Block specs. A program has one memory, and a block of queries or a tile of patterns of it.

    def spec(self, array: Any, size: int | None, parts: int) -> Any:
        """Return the spec of an array ``(B, R, d)`` or ``(B, R)``, whose d is padded.

        With ``size`` a program gets so many of its rows, the next program the next ones, ``parts``
        of them for each memory; without it all rows of a memory.
        """
        if array is None:
            return None
        more = tuple(FusedTiles.of(4, n, n).depth for n in array.shape[2:])

        def place(program: Any) -> Any:
            memory = lax.div(program, jnp.int32(parts))
            part = jnp.int32(0) if size is None else lax.rem(program, jnp.int32(parts))
            return memory, part, *(jnp.int32(0) for _ in more)

        return self.pallas.BlockSpec((None, size or array.shape[1], *more), place)

    def whole(self, array: Any) -> Any:
        """Return the spec of a mask or a bias, of which each program gets all rows."""
        if array is None:
            return None
        return self.pallas.BlockSpec(array.shape, lambda _: (jnp.int32(0), jnp.int32(0)))

    def call_specs(self, block: int | None, tile: int | None, parts: int) -> Arrays:
        """Return the specs of the arrays of the call, of blocks of queries or tiles of patterns."""
        a = self.arrays
        of_queries = partial(self.spec, size=block, parts=parts)
        of_patterns = partial(self.spec, size=tile, parts=parts)
        return Arrays(
            of_queries(a.query), of_patterns(a.key), of_patterns(a.value), of_queries(a.beta),
            self.whole(a.mask), of_queries(a.mask_of), self.whole(a.bias), of_queries(a.bias_of),
        )  # fmt: skip

    def run(
        self, kernel: Callable[..., None], parts: int, given: Sequence[Any],
        specs: Sequence[Any], out: Any, out_specs: Any, tiles: FusedTiles | None = None,
    ) -> Any:  # fmt: skip
        """Run one of the kernels, with ``parts`` programs for each memory."""
        sizes = self.sizes
        tiles = tiles or sizes.each
        parameters = self.triton.CompilerParams(num_warps=tiles.warps, num_stages=tiles.stages)
        launched = self.pallas.pallas_call(
            partial(kernel, sizes),
            grid=(sizes.memories * parts,),
            in_specs=list(specs),
            out_specs=(out_specs,),
            out_shape=(out,),
            interpret=sizes.interprets,
            compiler_params=parameters,
            name=f"hopcore_{kernel.__name__}",
        )
        return launched(*given)[0]

    def empty(self, *shape: int, dtype: Any = jnp.float32) -> Any:
        """Return the shape and dtype of a result, which has the axis of memories."""
        return jax.ShapeDtypeStruct((self.sizes.memories, *shape), dtype)

    def specs_of(self, arrays: Any) -> Any:
        """Return the specs of named arrays of queries, of which some are of blocks of queries."""
        block, parts = self.sizes.block, self.sizes.blocks
        return type(arrays)(
            *(
                self.spec(x, 1 if name in OF_BLOCKS else block, parts)
                for name, x in arrays._asdict().items()
            )
        )

    def of_queries(self, kernel: Any, out: Any, *given: Any) -> Any:
        """Run a kernel whose programs have a block of queries each."""
        sizes = self.sizes
        specs = [self.call_specs(sizes.block, None, sizes.blocks), *map(self.specs_of, given)]
        arrays = [self.arrays, *given]
        return self.run(kernel, sizes.blocks, arrays, specs, out, self.specs_of(out))

    # Kernels.

    def forward(self, also: str = "") -> Results:
        """Run the forward pass; return its results, with those of ``also`` as in ``results_of``."""
        if also == "statistics":
            return self.statistics()
        results = results_of(self.sizes, self.arrays, also)
        return self.of_queries(forward_kernel(self.sizes), results)

    def statistics(self) -> Results:
        """Run the forward pass with the entropy, and sum up what each pattern receives.

        The second is the derivative of the sum of all conjugates by a bias of each pattern.
        """
        sizes = self.sizes
        saved = results_of(sizes, self.arrays, "saved")
        asked = results_of(sizes, self.arrays, "statistics")._replace(received=None)
        found = self.of_queries(
            forward_kernel(sizes),
            Results(*(y if x is None else x for x, y in zip(saved, asked, strict=True))),
        )
        kept = {name: getattr(found, name) for name in ("top", "root", "first", "last")}
        given = Given(by_conjugate=jnp.ones_like(found.conjugate), **kept)
        received = self.by_memory(given, stored=False, projection=False, bias=True).bias
        nothing = dict.fromkeys(kept)
        return found._replace(received=received, **nothing)

    def lookup(self) -> Any:
        """Run the hard lookup; return its results."""
        found, sizes = modules(), self.sizes
        results = Results(
            output=self.empty(sizes.queries, sizes.width, dtype=self.arrays.query.dtype),
            top=self.empty(sizes.queries),
            index=self.empty(sizes.queries, dtype=jnp.int32),
        )
        return self.of_queries(found._lookup.hard_lookup, results)

    def by_query(self, given: Any, state: bool = True, beta: bool = True) -> Any:
        """Return derivatives by states and temperatures, those that are asked for."""
        module, query = modules()._backward, self.arrays.query
        wanted = Wanted(
            state=self.empty(*query.shape[1:], dtype=query.dtype) if state else None,
            beta=self.empty(self.sizes.queries) if beta else None,
        )
        return self.of_queries(module.by_query, wanted, given)

    def by_memory(self, given: Any, stored: bool, projection: bool, bias: bool) -> Any:
        """Return derivatives by stored patterns, projections and a bias of each pattern."""
        module, sizes, (key, value) = modules()._backward, self.sizes, self.arrays[1:3]
        wanted = Wanted(
            stored=self.empty(*key.shape[1:], dtype=key.dtype) if stored else None,
            projection=self.empty(*value.shape[1:], dtype=value.dtype) if projection else None,
            bias=self.empty(sizes.patterns) if bias else None,
        )
        parts, tile = sizes.tiles, sizes.tile
        out_specs = Wanted(*(self.spec(x, tile, parts) for x in wanted))
        ends = Given(*(self.spec(x, None, parts) for x in given))
        arrays, specs = [self.arrays, given], [self.call_specs(None, tile, parts), ends]
        return self.run(
            module.by_memory, parts, arrays, specs, wanted, out_specs, sizes.each.of_memories
        )


def forward_kernel(sizes: Sizes) -> Any:
    """Return the kernel of the forward pass."""
    found = modules()
    entmax = sizes.kind != "softmax"
    return found._entmax.entmax_forward if entmax else found._softmax.softmax_forward


OF_BLOCKS = ("first", "last", "passes")
"""Results of which each block of queries has one."""


def results_of(sizes: Sizes, arrays: Arrays, also: str = "") -> Results:
    """Return the shapes and dtypes of the results of a forward pass: output and conjugate.

    With ``also="saved"`` there is what the backward pass needs, with "best" what is known of the
    pattern with the largest score, with "statistics" what is known of the weights, and with
    "passes" how often patterns were read.
    """

    def empty(*shape: int, dtype: Any = jnp.float32) -> Any:
        return jax.ShapeDtypeStruct((sizes.memories, *shape), dtype)

    numbers, wide = empty(sizes.queries), (sizes.queries, sizes.width)
    index, ends = (empty(n, dtype=jnp.int32) for n in (sizes.queries, sizes.blocks))
    results = Results(conjugate=numbers)
    if arrays.value is not None:
        results = results._replace(output=empty(*wide, dtype=arrays.query.dtype))
    if also == "best":
        results = results._replace(top=numbers, index=index, weight=numbers)
    if also == "statistics":
        received = empty(sizes.patterns)
        results = results._replace(weight=numbers, entropy=numbers, square=numbers)
        results = results._replace(received=received)
    if also == "saved":
        results = results._replace(top=numbers, root=numbers)
        if arrays.value is not None:
            results = results._replace(mean=empty(*wide))
        if sizes.kind != "softmax":
            results = results._replace(first=ends, last=ends)
    if also == "passes" and sizes.kind != "softmax":
        results = results._replace(passes=ends)
    return results
