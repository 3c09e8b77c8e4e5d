"""The backend of calls whose memory is streamed: that of the states, a piece at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from hopcore.array_library import Array, ArrayLibrary
from hopcore.backend import BLOCK, Backend, Beta, SeparationFunction
from hopcore.discovery import BY_TYPE
from hopcore.parts import merged
from hopcore.streamed import Piece, Streamed
from hopcore.streamed_scores import Scores, ScoresNamespace

Join = Callable[[Array, Array], Array]


class StreamedLibrary:
    """Streamed memories, as a library of arrays that stand beside states of any other one."""

    name = "streamed"

    def beside(self, states: Backend, state: Array) -> Any:
        """The backend that takes the pieces to where the states are."""
        if states is self:
            raise TypeError("a state cannot be streamed, only what is stored")
        if not states.readable(state):
            raise TypeError("a streamed memory cannot be read under a trace (jit, compile, grad)")
        return streaming(states, states.device(state))


STREAMED = StreamedLibrary()
BY_TYPE[Streamed] = STREAMED  # pyright: ignore[reportArgumentType]


@cache
def streaming(states: Backend, device: Any) -> Streaming:
    """The streaming backend of states of another one, on their device."""
    return Streaming(states, device)


class Streaming:
    """Kernels of a streamed memory; everything else is done by the backend of the states."""

    def __init__(self, states: Backend, where: Any) -> None:
        self.states, self.where = states, where

    def __getattr__(self, name: str) -> Any:
        return getattr(self.states, name)

    def takes(self, other: ArrayLibrary) -> bool:
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

    def visible(self, array: Any) -> bool:
        """Streamed patterns are looked at as they are read."""
        return not isinstance(array, Streamed) and self.states.visible(array)

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

    # What is asked of a memory.

    def attended(self, stored: Any, mask: Array | None) -> Array:
        """See :class:`hopcore.memory_kernels.MemoryKernels`."""
        if mask is not None and mask.shape[-1] > 1:
            return self.states.xp.sum(self.states.astype(mask, self.dtype(stored)), axis=-1)
        return self.states.attended(self.one(stored, 1.0), mask) * float(stored.shape[0])

    def radius(self, stored: Any, mask: Array | None) -> Array:
        """From all patterns once, and then known; with a mask of patterns, in one pass."""
        if mask is None or mask.shape[-1] == 1:
            return self.states.radius(self.one(stored, stored.extent.radius), mask)

        def work(piece: Piece) -> Array:
            return self.states.radius(self.put(piece.patterns), columns(mask, piece.rows))

        return stored.reduce(work, self.states.xp.maximum)

    def largest_square(self, stored: Any, mask: Array | None) -> Array:
        """The square of :meth:`radius`."""
        largest = self.radius(stored, mask)
        return largest * largest

    def magnitude(self, array: Any) -> float:
        """See :class:`hopcore.memory_kernels.MemoryKernels`."""
        if isinstance(array, Streamed):
            return array.extent.magnitude
        return self.states.magnitude(array)

    def one(self, stored: Streamed, value: float) -> Array:
        """A memory of one pattern of one value."""
        return self.put(np.full((1, 1), value, stored.dtype))

    def scores(self, *arrays: Any) -> Array:
        """Refused: all scores are as many as there are patterns, for each query."""
        raise TypeError(
            "association weights hold a number for every stored pattern; "
            "of a streamed memory there are too many"
        )

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
        values = self.rows_of(stored, projection)
        if separation.softmax:

            def work(piece: Piece) -> tuple[Array, Array]:
                keys = self.put(piece.patterns)
                recalled = keys if values is None else values(piece.rows)
                some = columns(mask, piece.rows)
                output, lse = self.states.associate(
                    state, keys, recalled, beta, some, separation, True
                )
                assert lse is not None
                return output, lse

            return stored.reduce(work, partial(merged, self.states.xp))

        xp, wide = self.states.xp, self.states.precise[state.dtype]
        weights, conjugate = self.weights(state, stored, beta, mask, separation)

        def recall(piece: Piece) -> Array:
            keys = self.put(piece.patterns)
            recalled = keys if values is None else values(piece.rows)
            total: Any = None
            for scores, rows in self.blocks(state, piece, keys, beta, mask):
                part = xp.matmul(
                    weights.of(scores), self.states.astype(recalled[..., rows, :], wide)
                )
                total = part if total is None else total + part
            return total

        output = stored.reduce(recall, lambda one, other: one + other)
        return self.states.astype(output, state.dtype), conjugate

    def conjugate(
        self,
        state: Array,
        stored: Any,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
    ) -> Array:
        """See :meth:`hopcore.backend.Backend.conjugate`."""
        self.refuse_derivatives(state, None, beta)
        if not separation.softmax:
            return self.weights(state, stored, beta, mask, separation)[1]

        def work(piece: Piece) -> tuple[Array, Array]:
            some = columns(mask, piece.rows)
            lse = self.states.conjugate(state, self.put(piece.patterns), beta, some, separation)
            return lse[..., None][..., :0], lse

        return stored.reduce(work, partial(merged, self.states.xp))[1]

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
                total: Any = None
                keys = self.put(piece.patterns)
                for scores, _ in self.blocks(state, piece, keys, beta, mask):
                    found = work(scores)
                    total = found if total is None else join(total, found)
                return total

            return stored.reduce(all_blocks, join)

        scores: Any = Scores(over, self.states.precise[state.dtype])
        namespace: Any = ScoresNamespace(self.states.xp)
        found: Any = separation.evaluate(scores, namespace, self.states.loop)
        return found

    def blocks(
        self, state: Array, piece: Piece, keys: Array, beta: Beta, mask: Array | None
    ) -> Any:
        """Scores with some patterns of a piece, and which ones, a block of fixed size at a time."""
        queries = max(1, int(np.prod(state.shape[:-1])))
        size = max(1, BLOCK // queries)
        for start in range(0, keys.shape[-2], size):
            rows = slice(start, min(start + size, keys.shape[-2]))
            place = slice(piece.rows.start + rows.start, piece.rows.start + rows.stop)
            yield (
                self.states.scores(state, keys[..., rows, :], beta, columns(mask, place)),
                rows,
            )

    def rows_of(self, stored: Streamed, projection: Any) -> Callable[[slice], Array] | None:
        """What reads projections by the rows of their patterns; None: they are the patterns."""
        if projection is stored:
            return None
        if isinstance(projection, Streamed):
            return lambda rows: self.put(projection.read(rows))
        return lambda rows: projection[..., rows, :]

    def refuse_derivatives(self, *arrays: Any) -> None:
        """Refuse to forget a derivative silently."""
        given = [x for x in arrays if x is not None and not isinstance(x, Streamed | float)]
        if self.states.differentiated(*given):
            raise TypeError("a streamed memory has no derivatives; detach the state")


def columns(mask: Array | None, rows: slice) -> Array | None:
    """The mask of some stored patterns."""
    return mask if mask is None or mask.shape[-1] == 1 else mask[..., rows]
