"""The backend of an array library: its namespace and the kernels that compute with its arrays.

hopcore finds the :class:`Backend` of an array from the type of the array; there is no global
switch. Every kernel has a portable version here, which uses only the Array API and is the
definition. A backend overrides those kernels for which its library has something faster. Third
parties register a backend in the entry-point group ``hopcore.backends`` under the name of its
array namespace.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import ModuleType
from typing import Any, Protocol, TypeAlias

from hopcore.arrays._best import best_of
from hopcore.arrays._graph_kernels import GraphKernels, chunks, without_rounding
from hopcore.arrays._layer_kernels import LayerKernels
from hopcore.arrays._library import Array
from hopcore.arrays._long_sums import LONG, in_pairs
from hopcore.arrays._merge import merged
from hopcore.arrays._score_kernels import Beta, ScoreKernels
from hopcore.arrays._weight_statistics import weight_statistics

Loop: TypeAlias = Callable[..., Any]
"""``loop(cond, body, init, max_steps)``, as in :meth:`hopcore.Backend.loop`."""

BLOCK = 1 << 21
"""How many scores the portable kernels hold at once (8 MiB in float32)."""

CAUSAL_ROWS = 256
"""The largest number of queries in a block of a causal association, a quarter of it the least."""


class SeparationFunction(Protocol):
    """The properties and methods of a separation function that kernels use."""

    @property
    def softmax(self) -> bool:
        """Whether this is the softmax, for which libraries have kernels of their own."""
        ...

    @property
    def reach(self) -> float:
        """Patterns whose score is this far or farther below the largest one get weight 0."""
        ...

    def reach_of(self, largest: Array) -> Array:
        """The reach if the largest weight is known to be at most ``largest``, not just 1.

        A function without a reach may have a method ``lowest(scores, weights, xp)`` instead, the
        score ``(..., 1)`` below which weights are 0, from some scores and their weights.
        """
        ...

    def evaluate(
        self, scores: Array, xp: ModuleType, loop: Loop, largest: Array | None = None
    ) -> tuple[Array, Array]:
        """Weights ``(..., S)`` and conjugate ``(...)`` of scores ``(..., S)``; -inf is masked.

        ``largest`` is an upper bound of the largest weight, where one is known.
        """
        ...

    def tangent(self, weights: Array, change: Array, xp: ModuleType) -> Array:
        """Jacobian of the weights (a symmetric matrix) times a change of the scores."""
        ...


def orders_of(separation: Any) -> Array | None:
    """The orders of an entmax, if they are an array ``(..., L)``: it broadcasts with the queries.

    Its method ``with_orders`` returns the same function with the orders of some queries.
    """
    return getattr(separation, "orders", None)


def with_orders(separation: Any, orders: Array | None) -> Any:
    """The separation function with other orders, if it has any."""
    return separation if orders is None else separation.with_orders(orders)


class Backend(GraphKernels, LayerKernels, ScoreKernels):
    """One array library: its Array-API namespace, its dtypes, and the kernels it may replace.

    Parameters
    ----------
    name : str
        The name under which the backend is found, for example ``"torch"``.
    xp : module
        An Array-API namespace (2023.12 or later).

    Notes
    -----
    Kernels take checked input: one dtype, one device, shapes that fit. ``state`` is
    ``(..., L, d)``, ``stored`` ``(..., S, d)``, ``projection`` ``(..., S, v)``, ``mask`` boolean
    (True = attend) and broadcastable to ``(..., L, S)``, ``beta`` a float or an array broadcastable
    to ``(..., L)``.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> numpy = hopcore.backend("numpy")
    >>> weights, conjugate = numpy.separate(np.asarray([[0.0, 0.0]]), hopcore.Softmax())
    >>> weights, conjugate.round(4)
    (array([[0.5, 0.5]]), array([0.6931]))
    """

    @property
    def expected_failures(self) -> Mapping[str, str]:
        """Statements or checks of the conformance suite that may fail, each with the reason.

        With ``{"E2": "why"}``, the checks of a statement may fail. With
        ``{"test_energy.py::test_descent": "why"}``, one check must fail, and it is an error if it
        passes.
        """
        return {}

    # Kernels.

    def separate(self, scores: Array, separation: SeparationFunction) -> tuple[Array, Array]:
        """Weights and conjugate of scores; differentiable where the library is."""
        return separation.evaluate(scores, self.xp, self.loop)

    def associate(
        self,
        state: Array,
        stored: Array,
        projection: Array,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
        need_conjugate: bool = False,
    ) -> tuple[Array, Array | None]:
        """Association ``V^T weights(beta X xi)`` and, if asked for, the conjugate of the scores.

        At most about :data:`hopcore.arrays.BLOCK` scores (or one row of them) are stored at a time.
        """
        projection = self.astype(projection, self.precise[state.dtype])
        orders = orders_of(separation)

        def block(scores: Array, orders: Array | None) -> tuple[Array, Array]:
            weights, conjugate = self.separate(scores, with_orders(separation, orders))
            return self.recalled(weights, projection), conjugate

        output, conjugate = self.over_blocks(block, state, stored, beta, mask, orders)
        return self.astype(output, state.dtype), conjugate if need_conjugate else None

    def associate_unchecked(
        self, state: Array, stored: Array, beta: float, separation: SeparationFunction
    ) -> Array | None:
        """Update arrays of one type that nothing has checked, or return None.

        A result other than None is that of the usual checks and :meth:`associate`, for arguments
        that pass these checks. ``beta`` has passed them already.
        """
        return None

    def gives_conjugate(self, state: Array, stored: Array) -> bool:
        """Whether a softmax association gives its conjugate, too, without further work.

        It is used where shapes may depend on values, so it must be False under a trace.
        """
        return False

    def associate_biased(
        self,
        state: Array,
        stored: Array,
        projection: Array,
        beta: Beta,
        mask: Array | None,
        bias: Array,
        separation: SeparationFunction,
    ) -> Array:
        """Association with a bias ``(..., L, S)`` added to the scores; stores all scores."""
        scores = self.scores(state, stored, beta, mask) + bias
        weights = self.astype(self.separate(scores, separation)[0], state.dtype)
        return self.recalled(weights, projection)

    def fuses_bias(
        self,
        state: Array,
        stored: Array,
        projection: Array,
        beta: Beta,
        bias: Array,
        separation: SeparationFunction,
    ) -> bool:
        """Whether :meth:`associate_biased` holds no array of all scores."""
        return False

    def recomputes(self, state: Array) -> bool:
        """Whether :meth:`recomputed` keeps nothing for a derivative but its arguments."""
        return False

    def recomputed(self, function: Callable[[Any], Array], argument: Any) -> Array:
        """Call a function, which is called again, with the same random numbers, for a derivative.

        The argument may be a tuple that contains arrays.
        """
        return function(argument)

    def maps_blocks(self, state: Array) -> bool:
        """Whether :meth:`in_mapped_blocks` is there, for functions without random state."""
        return False

    def in_mapped_blocks(self, work: Callable[[Any, Any], Array], queries: int, rows: int) -> Array:
        """Join ``work(places, number)`` of blocks of so many queries along the second last axis.

        ``places`` are the places of the queries of a block. A derivative calls the function again.
        """
        raise NotImplementedError

    def has_causal_kernel(
        self, state: Array, stored: Array, separation: SeparationFunction
    ) -> bool:
        """Whether :meth:`associate_causal` makes no mask of all pairs, as where sizes are known."""
        return self.has_known_sizes(state) and self.has_known_sizes(stored)

    def associate_causal(
        self,
        state: Array,
        stored: Array,
        projection: Array,
        beta: Beta,
        separation: SeparationFunction,
    ) -> Array:
        """Associate each query i with the patterns 0 to i, one block of queries after another."""
        parts = [
            self.associate(
                state[..., rows, :],
                stored[..., :stop, :],
                projection[..., :stop, :],
                beta_of_rows(beta, rows),
                mask,
                orders_of_rows(separation, rows),
            )[0]
            for rows, stop, mask in causal_blocks(self, state, stored.shape[-2])
        ]
        return parts[0] if len(parts) == 1 else self.xp.concat(parts, axis=-2)

    def causal_rows(self, state: Array, patterns: int) -> int:
        """How many queries of a causal association have one mask."""
        return max(CAUSAL_ROWS // 4, min(CAUSAL_ROWS, BLOCK // max(1, patterns)))

    def causal_mask(self, state: Array, patterns: int, first: int = 0) -> Array:
        """The lower triangle ``(L, S)`` of a causal association: True for the patterns 0 to i.

        ``first`` is the i of the first query.
        """
        device = self.device(state)
        rows = self.xp.arange(first, first + state.shape[-2], device=device)[:, None]
        return self.xp.arange(patterns, device=device)[None, :] <= rows

    def conjugate(
        self,
        state: Array,
        stored: Array,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
    ) -> Array:
        """Only the conjugate of ``beta X xi`` (softmax: the log-sum-exp), in at least float32."""

        def block(scores: Array, orders: Array | None) -> tuple[Array]:
            return (self.separate(scores, with_orders(separation, orders))[1],)

        return self.over_blocks(block, state, stored, beta, mask, orders_of(separation))[0]

    def best(
        self,
        state: Array,
        stored: Array,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
    ) -> tuple[Array, ...]:
        """Index, score and weight of the pattern with the largest score, and the conjugate.

        Each is ``(..., L)`` and has no derivative. Of equal scores, it is the first. At most about
        :data:`hopcore.arrays.BLOCK` scores (or one row of them) are stored at a time.
        """

        def block(scores: Array, orders: Array | None) -> tuple[Array, ...]:
            weights, conjugate = self.separate(scores, with_orders(separation, orders))
            return *best_of(self.xp, scores, weights), conjugate

        return self.over_blocks(block, state, stored, beta, mask, orders_of(separation))

    def choose(
        self, state: Array, stored: Array, beta: Beta, mask: Array | None
    ) -> tuple[Array, Array]:
        """The pattern with the largest score, the first of equals, and whether there is any.

        Each is ``(..., L)`` and has no derivative. A block of scores is stored at a time.
        """
        xp = self.xp
        state, stored = self.constant(state), self.constant(stored)
        beta = beta if isinstance(beta, float) else self.constant(beta)

        def block(scores: Array) -> tuple[Array, ...]:
            return xp.argmax(scores, axis=-1), xp.max(scores, axis=-1) > -math.inf

        index, attends = self.over_blocks(block, state, stored, beta, mask)
        return index, attends

    def statistics(
        self,
        state: Array,
        stored: Array,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
    ) -> tuple[Array, ...]:
        """Conjugate, entropy, sum of squares and largest of the weights, and what patterns receive.

        The first four are ``(..., L)``, the last, the sum of the weights over the queries, is
        ``(..., S)``. No half precision. Never holds more than about :data:`hopcore.arrays.BLOCK`
        scores (or one row of them).
        """
        return in_pairs(
            partial(joined_queries, self.xp),
            (
                self.statistics_at_once(
                    state[..., rows, :],
                    stored,
                    beta_of_rows(beta, rows),
                    mask_of_rows(mask, rows),
                    orders_of_rows(separation, rows),
                )
                for rows in chunks(state.shape[-2], self.statistics_rows(state, stored))
            ),
        )

    def statistics_at_once(
        self,
        state: Array,
        stored: Array,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
    ) -> tuple[Array, ...]:
        """:meth:`statistics` with all scores at once."""
        scores = self.scores(state, stored, beta, mask)
        weights, conjugate = self.separate(scores, separation)
        ones = self.xp.ones_like(conjugate)[..., None, :]
        received = self.recalled(ones, weights)[..., 0, :]
        return conjugate, *weight_statistics(weights, self.xp), received

    def statistics_rows(self, state: Array, stored: Array) -> int:
        """How many queries :meth:`statistics` looks at together."""
        return block_rows(state, stored, self.block(state))

    def block(self, array: Array) -> int:
        """How many scores kernels hold at once on the device of an array."""
        return BLOCK

    def loop(
        self,
        cond: Callable[[Any], Array],
        body: Callable[[Any], Any],
        init: Any,
        max_steps: int,
        *,
        differentiable: bool = False,
    ) -> Any:
        """Apply ``body`` to ``init`` while ``cond`` holds, at most ``max_steps`` times.

        ``body`` must not change finished queries: a backend that cannot read the value of ``cond``
        may run all steps. ``differentiable`` asks for a loop with reverse-mode gradients.
        """
        value = init
        for _ in range(max_steps):
            if not bool(cond(value)):
                break
            value = body(value)
        return value

    def implicit(
        self, update: Callable[..., Array], solution: Array, parameters: tuple[Array, ...]
    ) -> Array:
        """Return ``solution``, a fixed point of ``update``, with its implicit derivative.

        ``update(solution, *parameters)`` returns ``solution`` again, and the derivative is the one
        with respect to the parameters. A library without gradients returns ``solution`` unchanged.
        """
        return solution

    def heat_kernel(self, matrix: Array) -> Array:
        """``exp(-M)`` of symmetric matrices ``(..., N, N)``.

        A library with gradients must not differentiate eigenvectors, which have no derivative
        where eigenvalues coincide.
        """
        xp = self.xp
        values, vectors = xp.linalg.eigh(matrix)
        decay = xp.exp(-without_rounding(values, xp))[..., None, :]
        return xp.matmul(vectors * decay, xp.matrix_transpose(vectors))

    # Helpers for kernels.

    def in_parts(
        self, work: Callable[[slice], tuple[Array, Array]], patterns: int
    ) -> tuple[Array, Array]:
        """Merge softmax associations and log-sum-exps, ``work(rows)``, with parts of a memory."""
        return in_pairs(partial(merged, self.xp), map(work, chunks(patterns, LONG)))

    def over_blocks(
        self,
        block: Callable[..., tuple[Array, ...]],
        state: Array,
        stored: Array,
        beta: Beta,
        mask: Array | None,
        *of_queries: Array | None,
    ) -> tuple[Array, ...]:
        """Apply ``block`` to the scores of a few queries at a time, and join its results.

        ``block`` also gets the rows of these queries from the arrays ``of_queries``, which
        broadcast to ``(..., L)``.
        ``block`` returns arrays ``(..., L, v)``, of at least the rank of the scores, or
        ``(..., L)``; they are joined along the query axis.
        """
        queries = state.shape[-2]
        rows = block_rows(state, stored, self.block(state))
        if rows >= queries:
            return block(self.scores(state, stored, beta, mask), *of_queries)
        parts = []
        for start in range(0, queries, rows):
            part = slice(start, min(start + rows, queries))
            scores = self.scores(
                state[..., part, :], stored, beta_of_rows(beta, part), mask_of_rows(mask, part)
            )
            rows_of = (None if x is None else beta_of_rows(x, part) for x in of_queries)
            parts.append((scores.ndim, block(scores, *rows_of)))
        rank = parts[0][0]
        return tuple(
            self.xp.concat(results, axis=-2 if results[0].ndim >= rank else -1)
            for results in zip(*(results for _, results in parts), strict=True)
        )


def causal_blocks(
    backend: Backend, state: Array, patterns: int
) -> Iterator[tuple[slice, int, Array | None]]:
    """Yield blocks of queries, how many patterns each may attend to, and the mask of these."""
    if not backend.has_known_sizes(state):
        yield slice(None), patterns, backend.causal_mask(state, patterns)
        return
    queries, rows = state.shape[-2], backend.causal_rows(state, patterns)
    for start in range(0, max(1, queries), rows):
        stop = min(start + rows, queries)
        seen = max(1, min(stop, patterns))
        mask = None
        if start < seen - 1:
            mask = backend.causal_mask(state[..., start:stop, :], seen, start)
        yield slice(start, stop), seen, mask


def block_rows(state: Array, stored: Array, block: int | None = None) -> int:
    """How many queries fit into a block of so many scores, or of :data:`BLOCK`; at least one."""
    batch = max(math.prod(state.shape[:-2]), math.prod(stored.shape[:-2]), 1)
    return max(1, (block or BLOCK) // max(1, batch * stored.shape[-2]))


def beta_of_rows(beta: Beta, part: slice) -> Beta:
    """The inverse temperatures of some queries."""
    if isinstance(beta, float) or beta.ndim == 0 or beta.shape[-1] == 1:
        return beta
    return beta[..., part]


def orders_of_rows(separation: Any, part: slice) -> Any:
    """The separation function with the orders of some queries, if it has any."""
    orders = orders_of(separation)
    return separation if orders is None else with_orders(separation, beta_of_rows(orders, part))


def joined_queries(
    xp: ModuleType, first: tuple[Array, ...], second: tuple[Array, ...]
) -> tuple[Array, ...]:
    """Statistics of two blocks of queries: joined, and what patterns receive added up."""
    *of_queries, received = zip(first, second, strict=True)
    return *(xp.concat(pair, axis=-1) for pair in of_queries), received[0] + received[1]


def mask_of_rows(mask: Array | None, part: slice) -> Array | None:
    """The mask of some queries."""
    return mask if mask is None or mask.ndim < 2 or mask.shape[-2] == 1 else mask[..., part, :]


def mask_of_columns(mask: Array | None, part: slice) -> Array | None:
    """The mask of some stored patterns."""
    return mask if mask is None or mask.shape[-1] == 1 else mask[..., part]
