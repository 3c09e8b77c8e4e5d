"""The backend of calls with a streamed memory, which uses the states' backend for each piece."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from operator import add, itemgetter
from typing import Any

import numpy as np

from hopcore.arrays._backend import (
    BLOCK,
    Backend,
    Beta,
    SeparationFunction,
    mask_of_columns,
    orders_of,
)
from hopcore.arrays._best import Best, best_of, better, better_softmax
from hopcore.arrays._discovery import BY_TYPE, backend
from hopcore.arrays._graph_kernels import chunks
from hopcore.arrays._library import QUIET, Array, ArrayLibrary
from hopcore.arrays._long_sums import in_pairs
from hopcore.arrays._masked import attended_by_some
from hopcore.arrays._merge import merged, too_many_weights
from hopcore.arrays._threads import cores, on_all_cores
from hopcore.arrays._weight_statistics import merged_statistics, weight_statistics
from hopcore.streamed._scores import Scores, ScoresNamespace
from hopcore.streamed._sources import Piece, patterns_of
from hopcore.streamed._streamed import Keys, Streamed, magnitude, split_piece


def patterns_read(stored: Streamed) -> Streamed:
    """The patterns of which keys are made, or the memory itself."""
    return stored if stored.keys is None else stored.keys.of


def add_pairs(one: tuple[Array, Array], other: tuple[Array, Array]) -> tuple[Array, Array]:
    """Add two pairs of arrays."""
    return one[0] + other[0], one[1] + other[1]


Join = Callable[[Array, Array], Array]

FEW = 256
"""Up to this many queries, pieces are split between threads; with more, queries are split."""

FEW_TO_LOOK_AT = 32
"""Up to this many queries, nan is searched in the results instead of the memory."""


class StreamedLibrary:
    """The library of streamed memories, which may be used with states of any other library."""

    name = "streamed"
    refusal_as_state = (
        "a streamed memory is taken as what is stored, and its projections, by association, "
        "update, energy, energy_gradient and retrieve, and by knn_graph; not here"
    )

    def __reduce__(self) -> str:
        """Restore pickles and copies as the one library of this name."""
        return "STREAMED"

    @property
    def precise(self) -> Any:
        """Raise a TypeError: only a few functions accept a streamed memory."""
        return self.mixes_with(None)

    def mixes_with(self, other: Any) -> Any:
        """Raise a TypeError, except in calls that ask :meth:`backend_for_states` first."""
        raise TypeError(self.refusal_as_state)

    def backend_for_states(self, states: Backend, state: Array) -> Any:
        """Return the backend that moves the pieces to the device of the states."""
        if not states.can_fetch_values(state):
            raise TypeError("a streamed memory cannot be read under a trace (jit, compile, grad)")
        return streamed_backend(states, states.device(state))


STREAMED = StreamedLibrary()
BY_TYPE[Streamed] = STREAMED  # pyright: ignore[reportArgumentType]


@cache
def streamed_backend(states: Backend, device: Any) -> StreamedBackend:
    """Return the backend of a streamed memory for states of a backend, on their device."""
    return StreamedBackend(states, device)


def named(states: str, where: Any) -> StreamedBackend:
    """Return the same for the name of a backend, as it is sent to another process."""
    return streamed_backend(backend(states), where)


class StreamedBackend:
    """The kernels of a streamed memory; the backend of the states does everything else.

    A piece may be processed in another process, which gets the piece, and the name of the states'
    library, but nothing else of the memory.
    """

    def __init__(self, states: Backend, where: Any) -> None:
        self.states, self.where = states, where

    def __reduce__(self) -> Any:
        try:
            pickle.dumps(self.where)
        except TypeError:  # JAX's devices cannot be sent; a worker uses its own first device
            return named, (self.states.name, None)
        return named, (self.states.name, self.where)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.states, name)

    def mixes_with(self, other: ArrayLibrary) -> bool:
        """Whether arrays belong to the library of the states, or are streamed."""
        return other is self.states or other is STREAMED

    def dtype(self, array: Any) -> Any:
        """The dtype of an array; of streamed patterns, the one they have after reading."""
        if not isinstance(array, Streamed):
            return array.dtype
        return self.put(np.empty(0, array.dtype)).dtype

    def device(self, array: Any) -> Any:
        """The device of an array; streamed patterns are moved to that of the states."""
        return self.where if isinstance(array, Streamed) else self.states.device(array)

    def can_read_values(self, array: Any) -> bool:
        """Whether values can be read; streamed patterns are checked when they are read."""
        return not isinstance(array, Streamed) and self.states.can_read_values(array)

    def can_fetch_values(self, array: Any) -> bool:
        """Whether values can be read at all, as those of streamed patterns always can."""
        return isinstance(array, Streamed) or self.states.can_fetch_values(array)

    def astype(self, array: Any, dtype: Any) -> Any:
        """Convert an array; streamed patterns are converted when they are read."""
        if not isinstance(array, Streamed):
            return self.states.astype(array, dtype)
        return array.astype(self.numpy_dtype(dtype))

    def numpy_dtype(self, dtype: Any) -> np.dtype[Any]:
        """The dtype of NumPy for one of the library of the states."""
        return self.states.to_numpy(self.states.xp.empty(0, dtype=dtype)).dtype

    def constant(self, array: Any) -> Any:
        """The array without its gradient; streamed patterns have none."""
        return array if isinstance(array, Streamed) else self.states.constant(array)

    def put(self, values: np.ndarray) -> Array:
        """Turn values that were read into an array on the device of the states."""
        return self.states.asarray(values, dtype=values.dtype.name, device=self.where)

    def put_if(self, read: bool, values: Any) -> Array:
        """Put projections that were read; others are on the device already."""
        return self.put(values) if read else values

    def implicit(
        self, update: Callable[..., Array], solution: Array, parameters: tuple[Any, ...]
    ) -> Array:
        """Return the solution; raise if a derivative is needed.

        The last parameter is the initial state of a retrieval, which has no influence.
        """
        self.refuse_derivatives(*parameters[:-1])
        return solution

    # What is asked of a memory.

    def without_unattended(self, array: Any, mask: Array) -> Any:
        """See :class:`hopcore.arrays._memory_kernels.MemoryKernels`; streamed ones are read so."""
        if isinstance(array, Streamed):
            return array
        return self.states.without_unattended(array, mask)

    def count_attended(self, stored: Any, mask: Array | None) -> Array:
        """See :class:`hopcore.arrays._memory_kernels.MemoryKernels`."""
        if mask is not None and mask.shape[-1] > 1:
            counts = self.states.xp.sum(self.states.astype(mask, self.states.xp.int32), axis=-1)
            return self.states.astype(counts, self.states.precise[self.dtype(stored)])
        return self.states.count_attended(self.one(stored, 1.0), mask) * float(stored.shape[0])

    def radius(self, stored: Any, mask: Array | None) -> Array:
        """M: without a mask it is computed once and cached, with a mask in one pass."""
        if mask is None and stored.keys is None:
            return self.states.radius(self.one(stored, stored.radius), mask)
        patterns_of_piece = self.keys_of(stored)

        def work(piece: Piece) -> Array:
            return self.states.radius(patterns_of_piece(piece), piece.mask)

        return stored.reduce(work, self.states.xp.maximum, mask=mask)

    def origin(self, stored: Streamed, mask: Array | None) -> Array:
        """See :meth:`hopcore.Backend.origin`; without a mask it is computed once and cached."""
        xp, precise = self.states.xp, self.states.precise[self.dtype(stored)]
        if mask is None:
            return self.put(stored.mean[None, :].astype(self.numpy_dtype(precise)))

        def work(piece: Piece) -> tuple[Array, Array]:
            patterns = self.states.astype(self.put(piece.patterns), precise)
            attended = attended_by_some(xp, piece.mask, ())[..., None]
            shown = xp.where(attended, patterns, 0.0)
            count = xp.where(attended, xp.ones_like(patterns[:, :1]), 0.0)
            return xp.sum(shown, axis=-2, keepdims=True), xp.sum(count, axis=-2, keepdims=True)

        total, count = stored.reduce(work, add_pairs, mask=mask)
        return total / xp.where(count > 0.0, count, 1.0)

    def keys(
        self, stored: Streamed, origin: Array | None, bias: Array | None, squares: bool = False
    ) -> Streamed:
        """See :meth:`hopcore.Backend.keys`; they are made from the patterns of each piece."""
        if bias is not None and bias.ndim > 1:
            raise ValueError(
                "bias must be (S,) for a streamed memory, which has no leading axes, "
                f"got {tuple(bias.shape)}"
            )
        self.refuse_derivatives(bias)
        return stored.with_keys(Keys(stored, origin, bias, squares))

    def values_for(self, keys: Streamed, projection: Any) -> Any:
        """See :meth:`hopcore.Backend.values_for`; the patterns themselves are read once."""
        return self.astype(projection, self.states.precise[self.dtype(keys)])

    def without_coordinates(self, keys: Streamed, width: int) -> Streamed:
        """See :meth:`hopcore.Backend.without_coordinates`."""
        assert keys.keys is not None
        return keys.with_keys(replace(keys.keys, bias=None, only_shifted=True))

    def keys_of(self, stored: Streamed) -> Callable[[Piece], Array]:
        """Return the function that makes the keys of a piece."""
        if stored.keys is None:
            return lambda piece: self.put(piece.patterns)
        made, width = stored.keys, stored.shape[1]

        def keys(piece: Piece) -> Array:
            bias = None if made.bias is None else made.bias[..., piece.rows]
            found = self.states.keys(self.put(piece.patterns), made.origin, bias, made.squares)
            return found[..., :width] if made.only_shifted else found

        return keys

    def largest_square(self, stored: Any, mask: Array | None) -> Array:
        """The square of :meth:`radius`."""
        largest = self.radius(stored, mask)
        return largest * largest

    def magnitude(self, array: Any, mask: Array | None = None) -> float:
        """See :class:`hopcore.arrays._memory_kernels.MemoryKernels`; a mask takes one pass."""
        if not isinstance(array, Streamed):
            return self.states.magnitude(array, mask)
        if array.keys is not None:
            keys_of = self.keys_of(array)
            return array.reduce(lambda piece: self.states.magnitude(keys_of(piece)), max, mask=mask)
        return array.magnitude if mask is None else array.reduce(magnitude, max, mask=mask)

    def one(self, stored: Streamed, value: float) -> Array:
        """Make a memory of one pattern of one value, in the precise dtype."""
        precise = self.states.precise[self.dtype(stored)]
        return self.states.xp.full((1, 1), value, dtype=precise, device=self.where)

    def scores(self, *arrays: Any) -> Array:
        """Raise a TypeError: scores would take a number for every pattern and query."""
        raise too_many_weights("a streamed memory")

    @QUIET
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
        """Associate in one pass with the softmax, in several with other separation functions."""
        self.refuse_derivatives(state, projection, beta, orders_of(separation))
        values = None if projection is patterns_read(stored) else projection
        precise = self.states.precise[state.dtype]
        read = isinstance(values, Streamed)  # so that work to be sent does not hold projections
        keys_of, keyed = self.keys_of(stored), stored.keys is not None

        def patterns(piece: Piece) -> tuple[Array, Array]:
            keys = keys_of(piece)
            if piece.values is not None:
                return keys, self.put_if(read, piece.values)
            return keys, self.put(piece.patterns) if keyed else keys

        if separation.softmax:

            def work(piece: Piece) -> Any:
                keys, recalled = patterns(piece)
                with np.errstate(all="ignore"):  # of nan and inf, for which `looked` looks
                    found, lse = self.states.associate(
                        state, keys, recalled, beta, piece.mask, separation, True
                    )
                return self.states.astype(found, precise), lse  # half precision adds up worse

            join = partial(merged, self.states.xp)
            shared = self.on_cores(state, work, join)
            later = values is None and mask is None and self.looks_later(state)
            if later:
                shared = self.looked(shared)
            output, lse = stored.reduce(shared, join, values=values, mask=mask, check=not later)
            return self.states.astype(output, state.dtype), lse

        weights, conjugate = self.weights(state, stored, beta, mask, separation)
        of = weights.of

        def recall(piece: Piece) -> Array:
            keys, recalled = patterns(piece)
            recalled = self.states.astype(recalled, precise)
            return in_pairs(
                add,
                (
                    self.states.recalled(of(scores), recalled[..., rows, :])
                    for scores, rows in self.blocks(state, piece, keys, beta)
                ),
            )

        shared = self.on_cores(state, recall, add)
        output = stored.reduce(shared, add, values=values, mask=mask)
        return self.states.astype(output, state.dtype), conjugate

    @QUIET
    def conjugate(
        self,
        state: Array,
        stored: Any,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
    ) -> Array:
        """See :meth:`hopcore.Backend.conjugate`."""
        self.refuse_derivatives(state, None, beta, orders_of(separation))
        if not separation.softmax:
            return self.weights(state, stored, beta, mask, separation)[1]
        keys_of = self.keys_of(stored)

        def work(piece: Piece) -> tuple[Array, Array]:
            keys = keys_of(piece)
            lse = self.states.conjugate(state, keys, beta, piece.mask, separation)
            return lse[..., None][..., :0], lse

        join = partial(merged, self.states.xp)
        return stored.reduce(self.on_cores(state, work, join), join, mask=mask)[1]

    @QUIET
    def best(
        self,
        state: Array,
        stored: Any,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
    ) -> tuple[Array, ...]:
        """See :meth:`hopcore.Backend.best`; one pass with the softmax, a last one with others."""
        xp, keys_of = self.states.xp, self.keys_of(stored)
        if separation.softmax:

            def work(piece: Piece) -> tuple[Array, ...]:
                keys = keys_of(piece)
                index, *rest = self.states.best(state, keys, beta, piece.mask, separation)
                return index + piece.rows.start, *rest

            join: Any = partial(better_softmax, xp)
            return stored.reduce(self.on_cores(state, work, join), join, mask=mask)
        weights, conjugate = self.weights(state, stored, beta, mask, separation)
        of = weights.of
        join = partial(better, xp)

        def look(piece: Piece) -> Best:
            def parts() -> Iterator[Best]:
                for scores, rows in self.blocks(state, piece, keys_of(piece), beta):
                    index, *rest = best_of(xp, scores, of(scores))
                    yield index + piece.rows.start + rows.start, *rest

            return in_pairs(join, parts())

        return *stored.reduce(self.on_cores(state, look, join), join, mask=mask), conjugate

    @QUIET
    def statistics(
        self,
        state: Array,
        stored: Any,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
    ) -> tuple[Array, ...]:
        """See :meth:`hopcore.Backend.statistics`; one pass and another for what is received.

        Separation functions other than the softmax take a pass for each sum.
        """
        self.refuse_derivatives(state, None, beta, orders_of(separation))
        xp, keys_of = self.states.xp, self.keys_of(stored)
        if separation.softmax:

            def work(piece: Piece) -> tuple[Array, ...]:
                keys = keys_of(piece)
                return self.states.statistics(state, keys, beta, piece.mask, separation)[:4]

            join = partial(merged_statistics, xp)
            found = stored.reduce(self.on_cores(state, work, join), join, mask=mask)
            level = xp.where(found[0] == -math.inf, 0.0, found[0])[..., None]

            def of(scores: Array, /) -> Array:
                return xp.exp(scores - level)
        else:
            weights, conjugate = self.weights(state, stored, beta, mask, separation)
            namespace: Any = ScoresNamespace(xp)
            found = conjugate, *weight_statistics(weights, namespace)
            of = weights.of

        def receive(piece: Piece) -> list[tuple[int, Array]]:
            blocks = self.blocks(state, piece, keys_of(piece), beta)
            received = [self.received(of(scores)) for scores, _ in blocks]
            return [(piece.rows.start, xp.concat(received, axis=-1))]

        parts = stored.reduce(self.on_cores(state, receive, add), add, mask=mask)
        received = xp.concat([part for _, part in sorted(parts, key=itemgetter(0))], axis=-1)
        return *found, received

    def received(self, weights: Array) -> Array:
        """The sum of weights ``(..., L, S)`` over the queries."""
        ones = self.states.xp.ones_like(weights[..., 0])
        return self.states.recalled(ones[..., None, :], weights)[..., 0, :]

    def weights(
        self,
        state: Array,
        stored: Streamed,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
    ) -> tuple[Scores, Array]:
        """Find weights, as a function of scores, and the conjugate by passes over the memory."""
        keys_of = self.keys_of(stored)

        def over(work: Callable[[Array], Array], join: Join) -> Array:
            def all_blocks(piece: Piece) -> Array:
                blocks = self.blocks(state, piece, keys_of(piece), beta)
                return in_pairs(join, (work(scores) for scores, _ in blocks))

            return stored.reduce(self.on_cores(state, all_blocks, join), join, mask=mask)

        scores: Any = Scores(over, self.states.precise[state.dtype])
        namespace: Any = ScoresNamespace(self.states.xp)
        weights_and_conjugate: Any = separation.evaluate(scores, namespace, self.states.loop)
        return weights_and_conjugate

    def on_cores(
        self, state: Array, work: Callable[[Piece], Any], join: Callable[[Any, Any], Any]
    ) -> Callable[[Piece], Any]:
        """Split work on a piece between cores where NumPy's kernels would use only one."""
        if self.states.name != "numpy" or math.prod(state.shape[:-1]) > FEW:
            return work

        def shared(piece: Piece) -> Any:
            parts = split_piece(piece, cores())
            results: list[Any] = [None] * len(parts)

            def work_on_part(i: int) -> None:
                results[i] = work(parts[i])

            on_all_cores(work_on_part, list(range(len(parts))))
            return in_pairs(join, results)

        return shared

    def looks_later(self, state: Array) -> bool:
        """Whether to check the results for nan and inf, and not the memory.

        With few queries, checking every value of the memory takes about as long as the queries.
        """
        few = 0 < math.prod(state.shape[:-1]) <= FEW_TO_LOOK_AT
        return few and self.states.can_read_values(state)

    def looked(self, work: Callable[[Piece], tuple[Array, Array]]) -> Callable[[Piece], Any]:
        """Work that raises if a piece contains nan or inf.

        A pattern with nan or inf has the score nan, inf or -inf. The first two make the log-sum-exp
        nan or inf. The third gives it the weight 0, and 0 times its inf makes the output nan.
        """

        def checked(piece: Piece) -> tuple[Array, Array]:
            output, lse = work(piece)
            if not (self.states.all_finite(output) and self.states.all_finite(lse)):
                patterns_of(piece.patterns, piece.patterns.dtype, piece.rows.start)
            return output, lse

        return checked

    def blocks(
        self, state: Array, piece: Piece, keys: Array, beta: Beta
    ) -> Iterator[tuple[Array, slice]]:
        """Yield the scores of a piece in blocks, each with the rows of its patterns."""
        queries = max(1, math.prod(state.shape[:-1]))
        for rows in chunks(keys.shape[-2], max(1, BLOCK // queries)):
            mask = mask_of_columns(piece.mask, rows)
            scores = self.states.scores(state, keys[..., rows, :], beta, None)
            if mask is not None:  # separation functions expect -inf, which not all libraries use
                scores = self.states.xp.where(mask, scores, -math.inf)
            yield scores, rows

    def refuse_derivatives(self, *arrays: Any) -> None:
        """Raise an error if a derivative is needed, instead of returning a wrong one."""
        others = [x for x in arrays if x is not None and not isinstance(x, Streamed | float)]
        if self.states.requires_gradient(*others):
            raise TypeError("a streamed memory has no derivatives; detach the state and beta")
