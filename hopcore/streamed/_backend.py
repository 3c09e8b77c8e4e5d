"""The backend of calls whose memory is streamed: that of the states, a piece at a time."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator
from functools import cache, partial, reduce
from operator import add
from typing import Any

import numpy as np

from hopcore.arrays._backend import BLOCK, Backend, Beta, SeparationFunction, mask_of_columns
from hopcore.arrays._discovery import BY_TYPE, backend
from hopcore.arrays._graph_kernels import chunks
from hopcore.arrays._library import Array, ArrayLibrary
from hopcore.arrays._merge import merged, too_many_weights
from hopcore.arrays._threads import cores, on_all_cores
from hopcore.streamed._scores import Scores, ScoresNamespace
from hopcore.streamed._sources import Piece
from hopcore.streamed._streamed import Streamed, cut

Join = Callable[[Array, Array], Array]

FEW = 256
"""Queries up to which a piece is cut for NumPy: its kernels divide queries between threads."""


class StreamedLibrary:
    """Streamed memories, as a library of arrays that stand beside states of any other one."""

    name = "streamed"
    refusal_as_state = (
        "a streamed memory is taken as what is stored, and its projections, by association, "
        "update, energy, energy_gradient and retrieve, and by knn_graph; not here"
    )

    @property
    def precise(self) -> Any:
        """None of its dtypes is computed in: only a few functions take a streamed memory."""
        return self.mixes_with(None)

    def mixes_with(self, other: Any) -> Any:
        """Nothing stands beside it but where :meth:`backend_for_states` is asked."""
        raise TypeError(self.refusal_as_state)

    def backend_for_states(self, states: Backend, state: Array) -> Any:
        """The backend that takes the pieces to where the states are."""
        if not states.can_fetch_values(state):
            raise TypeError("a streamed memory cannot be read under a trace (jit, compile, grad)")
        return streaming(states, states.device(state))


STREAMED = StreamedLibrary()
BY_TYPE[Streamed] = STREAMED  # pyright: ignore[reportArgumentType]


@cache
def streaming(states: Backend, device: Any) -> Streaming:
    """The streaming backend of states of another one, on their device."""
    return Streaming(states, device)


def named(states: str, where: Any) -> Streaming:
    """The same, of a backend that is known by its name: what another process is sent."""
    return streaming(backend(states), where)


class Streaming:
    """Kernels of a streamed memory; everything else is done by the backend of the states.

    What they make of a piece may be made in another process. It holds nothing of the memory but the
    piece, and the library of the states by its name.
    """

    def __init__(self, states: Backend, where: Any) -> None:
        self.states, self.where = states, where

    def __reduce__(self) -> Any:
        try:
            pickle.dumps(self.where)
        except TypeError:  # JAX's devices stay in their process; there it is another one's first
            return named, (self.states.name, None)
        return named, (self.states.name, self.where)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.states, name)

    def mixes_with(self, other: ArrayLibrary) -> bool:
        """States, masks and projections of one library, and streamed patterns."""
        return other is self.states or other is STREAMED

    def dtype(self, array: Any) -> Any:
        """Of streamed patterns the dtype that they have once they are read."""
        if not isinstance(array, Streamed):
            return array.dtype
        return self.put(np.empty(0, array.dtype)).dtype

    def device(self, array: Any) -> Any:
        """Streamed patterns come to where the states are."""
        return self.where if isinstance(array, Streamed) else self.states.device(array)

    def can_read_values(self, array: Any) -> bool:
        """Streamed patterns are looked at as they are read."""
        return not isinstance(array, Streamed) and self.states.can_read_values(array)

    def astype(self, array: Any, dtype: Any) -> Any:
        """Streamed patterns are converted as they are read."""
        if not isinstance(array, Streamed):
            return self.states.astype(array, dtype)
        return array.astype(self.states.to_numpy(self.states.xp.empty(0, dtype=dtype)).dtype)

    def constant(self, array: Any) -> Any:
        """Streamed patterns have no derivative."""
        return array if isinstance(array, Streamed) else self.states.constant(array)

    def put(self, values: np.ndarray) -> Array:
        """Values that were read, as an array beside the states."""
        return self.states.asarray(values, dtype=values.dtype.name, device=self.where)

    def put_if(self, read: bool, values: Any) -> Array:
        """Projections beside the states, where they are if they were given as an array."""
        return self.put(values) if read else values

    def implicit(
        self, update: Callable[..., Array], solution: Array, parameters: tuple[Any, ...]
    ) -> Array:
        """The solution: its derivative by an inverse temperature is refused."""
        self.refuse_derivatives(*parameters)
        return solution

    # What is asked of a memory.

    def count_attended(self, stored: Any, mask: Array | None) -> Array:
        """See :class:`hopcore.arrays._memory_kernels.MemoryKernels`."""
        if mask is not None and mask.shape[-1] > 1:
            return self.states.xp.sum(self.states.astype(mask, self.dtype(stored)), axis=-1)
        return self.states.count_attended(self.one(stored, 1.0), mask) * float(stored.shape[0])

    def radius(self, stored: Any, mask: Array | None) -> Array:
        """From all patterns once, and then known; with a mask of patterns, in one pass."""
        if mask is None or mask.shape[-1] == 1:
            return self.states.radius(self.one(stored, stored.radius), mask)

        def work(piece: Piece) -> Array:
            return self.states.radius(self.put(piece.patterns), piece.mask)

        return stored.reduce(work, self.states.xp.maximum, mask=mask)

    def largest_square(self, stored: Any, mask: Array | None) -> Array:
        """The square of :meth:`radius`."""
        largest = self.radius(stored, mask)
        return largest * largest

    def magnitude(self, array: Any) -> float:
        """See :class:`hopcore.arrays._memory_kernels.MemoryKernels`."""
        return array.magnitude if isinstance(array, Streamed) else self.states.magnitude(array)

    def one(self, stored: Streamed, value: float) -> Array:
        """A memory of one pattern of one value, in the precise dtype."""
        wide = self.states.precise[self.dtype(stored)]
        return self.states.xp.full((1, 1), value, dtype=wide, device=self.where)

    def scores(self, *arrays: Any) -> Array:
        """Refused: all scores are as many as there are patterns, for each query."""
        raise too_many_weights("a streamed memory")

    def associate(
        self,
        state: Array,
        stored: Any,
        projection: Any,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
        need_conjugate: bool = False,
    ) -> tuple[Array, Array]:
        """Softmax piece by piece in one pass; others find their weights in several."""
        self.refuse_derivatives(state, projection, beta)
        values = None if projection is stored else projection
        read = isinstance(values, Streamed)  # what is sent must not hold the projections

        def patterns(piece: Piece) -> tuple[Array, Array]:
            keys = self.put(piece.patterns)
            return keys, keys if piece.values is None else self.put_if(read, piece.values)

        if separation.softmax:

            def work(piece: Piece) -> Any:
                keys, recalled = patterns(piece)
                return self.states.associate(
                    state, keys, recalled, beta, piece.mask, separation, True
                )

            join = partial(merged, self.states.xp)
            shared = self.on_cores(state, work, join)
            return stored.reduce(shared, join, values=values, mask=mask)

        xp, wide = self.states.xp, self.states.precise[state.dtype]
        weights, conjugate = self.weights(state, stored, beta, mask, separation)
        of = weights.of

        def recall(piece: Piece) -> Array:
            keys, recalled = patterns(piece)
            recalled = self.states.astype(recalled, wide)
            return reduce(
                add,
                (
                    xp.matmul(of(scores), recalled[..., rows, :])
                    for scores, rows in self.blocks(state, piece, keys, beta)
                ),
            )

        shared = self.on_cores(state, recall, add)
        output = stored.reduce(shared, add, values=values, mask=mask)
        return self.states.astype(output, state.dtype), conjugate

    def conjugate(
        self,
        state: Array,
        stored: Any,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
    ) -> Array:
        """See :meth:`hopcore.Backend.conjugate`."""
        self.refuse_derivatives(state, None, beta)
        if not separation.softmax:
            return self.weights(state, stored, beta, mask, separation)[1]

        def work(piece: Piece) -> tuple[Array, Array]:
            keys = self.put(piece.patterns)
            lse = self.states.conjugate(state, keys, beta, piece.mask, separation)
            return lse[..., None][..., :0], lse

        join = partial(merged, self.states.xp)
        return stored.reduce(self.on_cores(state, work, join), join, mask=mask)[1]

    def weights(
        self,
        state: Array,
        stored: Streamed,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
    ) -> tuple[Scores, Array]:
        """Weights, as a function of scores, and the conjugate, by passes over the memory."""

        def over(work: Callable[[Array], Array], join: Join) -> Array:
            def all_blocks(piece: Piece) -> Array:
                blocks = self.blocks(state, piece, self.put(piece.patterns), beta)
                return reduce(join, (work(scores) for scores, _ in blocks))

            return stored.reduce(self.on_cores(state, all_blocks, join), join, mask=mask)

        scores: Any = Scores(over, self.states.precise[state.dtype])
        namespace: Any = ScoresNamespace(self.states.xp)
        found: Any = separation.evaluate(scores, namespace, self.states.loop)
        return found

    def on_cores(
        self, state: Array, work: Callable[[Piece], Any], join: Callable[[Any, Any], Any]
    ) -> Callable[[Piece], Any]:
        """The same work on all cores, where NumPy's kernels would leave it to one."""
        if self.states.name != "numpy" or math.prod(state.shape[:-1]) > FEW:
            return work

        def shared(piece: Piece) -> Any:
            parts = cut(piece, cores())
            found: list[Any] = [None] * len(parts)

            def some(i: int) -> None:
                found[i] = work(parts[i])

            on_all_cores(some, list(range(len(parts))))
            return reduce(join, found)

        return shared

    def blocks(
        self, state: Array, piece: Piece, keys: Array, beta: Beta
    ) -> Iterator[tuple[Array, slice]]:
        """Scores with some patterns of a piece, and which ones, a block of fixed size at a time."""
        queries = max(1, math.prod(state.shape[:-1]))
        for rows in chunks(keys.shape[-2], max(1, BLOCK // queries)):
            mask = mask_of_columns(piece.mask, rows)
            yield self.states.scores(state, keys[..., rows, :], beta, mask), rows

    def refuse_derivatives(self, *arrays: Any) -> None:
        """Refuse to forget a derivative silently."""
        given = [x for x in arrays if x is not None and not isinstance(x, Streamed | float)]
        if self.states.requires_gradient(*given):
            raise TypeError("a streamed memory has no derivatives; detach the state and beta")
