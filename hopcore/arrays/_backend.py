"""What an array library brings to hopcore: its namespace and a few kernels.

A :class:`Backend` is found from the arrays themselves; nothing is switched globally. Every kernel
has a portable Array-API version here, which is the oracle; a backend overrides the ones for which
its library has something faster. Third parties register a backend in the entry-point group
``hopcore.backends`` under the name of its array namespace.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Protocol, TypeAlias

from hopcore.arrays._graph_kernels import GraphKernels, without_rounding
from hopcore.arrays._layer_kernels import LayerKernels
from hopcore.arrays._library import Array
from hopcore.arrays._memory_kernels import MemoryKernels

Beta: TypeAlias = Any
"""A positive Python float, or an array that broadcasts over ``(..., L)``."""

Loop: TypeAlias = Callable[..., Any]
"""``loop(cond, body, init, max_steps)``, as :meth:`hopcore.Backend.loop` has it."""

BLOCK = 1 << 21
"""How many scores the portable kernels hold at once; 8 MiB of them in float32."""


class SeparationFunction(Protocol):
    """What a kernel needs of a separation function (see ``hopcore.memory._separation``)."""

    @property
    def softmax(self) -> bool:
        """Whether this is the softmax, for which libraries have kernels of their own."""
        ...

    @property
    def reach(self) -> float:
        """Patterns whose score is this far or farther below the largest one get weight 0."""
        ...

    def reach_of(self, largest: Array) -> Array:
        """The same if the largest weight is known to be ``largest`` at most, and not just 1."""
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


class Backend(GraphKernels, LayerKernels, MemoryKernels):
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
        """Statements or checks that the conformance suite need not find to hold, and the reasons.

        ``{"E2": "why"}`` lets checks of a statement fail, ``{"test_energy.py::test_descent":
        "why"}`` makes one check fail, or else it is an error.
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

        Never holds more than about :data:`hopcore.arrays.BLOCK` scores (or one row of them).
        """
        wide = self.precise[state.dtype]
        projection = self.astype(projection, wide)

        def block(scores: Array) -> tuple[Array, Array]:
            weights, conjugate = self.separate(scores, separation)
            return self.xp.matmul(weights, projection), conjugate

        output, conjugate = self.over_blocks(block, state, stored, beta, mask)
        return self.astype(output, state.dtype), conjugate if need_conjugate else None

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
        """Association with numbers ``(..., L, S)`` added to the scores; holds all scores."""
        scores = self.scores(state, stored, beta, mask) + bias
        weights = self.astype(self.separate(scores, separation)[0], state.dtype)
        return self.xp.matmul(weights, projection)

    def conjugate(
        self,
        state: Array,
        stored: Array,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
    ) -> Array:
        """The conjugate of ``beta X xi`` alone (softmax: the log-sum-exp). No half precision."""

        def block(scores: Array) -> tuple[Array]:
            return (self.separate(scores, separation)[1],)

        return self.over_blocks(block, state, stored, beta, mask)[0]

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

        ``body`` must leave alone what is finished: a backend that cannot see ``cond`` may run all
        steps. ``differentiable`` asks for a loop with reverse-mode gradients.
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
        """``solution``, with the derivative that the fixed point of ``update`` has by parameters.

        ``update(solution, *parameters)`` returns ``solution`` again. A library without gradients
        has nothing to add.
        """
        return solution

    def heat_kernel(self, matrix: Array) -> Array:
        """``exp(-M)`` of symmetric matrices ``(..., N, N)``.

        A library with gradients must not take them of eigenvectors, which have none where
        eigenvalues coincide.
        """
        xp = self.xp
        values, vectors = xp.linalg.eigh(matrix)
        decay = xp.exp(-without_rounding(values, xp))[..., None, :]
        return xp.matmul(vectors * decay, xp.matrix_transpose(vectors))

    # Helpers for kernels.

    def scores(self, state: Array, stored: Array, beta: Beta, mask: Array | None) -> Array:
        """``beta X xi`` of shape ``(..., L, S)``, in the precise dtype, -inf where masked."""
        xp, wide = self.xp, self.precise[state.dtype]
        state, stored = self.astype(state, wide), self.astype(stored, wide)
        scores = xp.matmul(scale_by_beta(state, beta), xp.matrix_transpose(stored))
        if mask is not None:
            scores = xp.where(
                mask, scores, xp.asarray(-math.inf, dtype=wide, device=self.device(scores))
            )
        return scores

    def over_blocks(
        self,
        block: Callable[[Array], tuple[Array, ...]],
        state: Array,
        stored: Array,
        beta: Beta,
        mask: Array | None,
    ) -> tuple[Array, ...]:
        """``block`` of the scores, a few rows of queries at a time, joined along the query axis.

        ``block`` returns arrays ``(..., L, v)``, of at least the rank of the scores, or
        ``(..., L)``.
        """
        queries = state.shape[-2]
        rows = block_rows(state, stored)
        if rows >= queries:
            return block(self.scores(state, stored, beta, mask))
        parts = []
        for start in range(0, queries, rows):
            part = slice(start, min(start + rows, queries))
            scores = self.scores(
                state[..., part, :], stored, beta_of_rows(beta, part), mask_of_rows(mask, part)
            )
            parts.append((scores.ndim, block(scores)))
        rank = parts[0][0]
        return tuple(
            self.xp.concat(results, axis=-2 if results[0].ndim >= rank else -1)
            for results in zip(*(results for _, results in parts), strict=True)
        )


def scale_by_beta(state: Array, beta: Beta) -> Array:
    """``beta xi``: the inverse temperature, applied to the queries, which are the smaller side."""
    return state * (beta if isinstance(beta, float) else beta[..., None])


def block_rows(state: Array, stored: Array) -> int:
    """How many rows of queries fit into a block of scores; at least one."""
    batch = max(math.prod(state.shape[:-2]), math.prod(stored.shape[:-2]), 1)
    return max(1, BLOCK // max(1, batch * stored.shape[-2]))


def beta_of_rows(beta: Beta, part: slice) -> Beta:
    """The inverse temperatures of some queries."""
    if isinstance(beta, float) or beta.ndim == 0 or beta.shape[-1] == 1:
        return beta
    return beta[..., part]


def mask_of_rows(mask: Array | None, part: slice) -> Array | None:
    """The mask of some queries."""
    return mask if mask is None or mask.ndim < 2 or mask.shape[-2] == 1 else mask[..., part, :]


def mask_of_columns(mask: Array | None, part: slice) -> Array | None:
    """The mask of some stored patterns."""
    return mask if mask is None or mask.shape[-1] == 1 else mask[..., part]
