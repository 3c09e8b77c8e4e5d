"""The NumPy backend: kernels of the portable backend, with fewer passes and arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import array_api_compat.numpy as xp
import numpy as np

from hopcore.arrays._backend import (
    Backend,
    Beta,
    SeparationFunction,
    beta_of_rows,
    joined_queries,
    mask_of_rows,
    orders_of,
    orders_of_rows,
    with_orders,
)
from hopcore.arrays._exponentials import FEW, exponentiate
from hopcore.arrays._graph_kernels import chunks
from hopcore.arrays._library import QUIET
from hopcore.arrays._long_sums import LONG, in_pairs, long_product
from hopcore.arrays._numpy_graphs import NumpyGraphKernels
from hopcore.arrays._numpy_tiles import (
    SAFE_EXPONENT,
    in_tiles,
    sparse_weights,
    whole_rows,
)
from hopcore.arrays._sparse import SMALL, support
from hopcore.arrays._threads import on_all_cores

STATISTICS_TILE = 1 << 18
"""Weights of which a thread computes statistics at once, in whole rows."""

SERIAL = 1 << 20
"""Up to this many scores are computed in one array; threads would cost more than they save."""

MANY = 128
"""With so many queries, tiles are faster from a quarter of that on: they fit into a cache."""


class NumpyBackend(NumpyGraphKernels, Backend):
    """NumPy arrays of float32 and float64."""

    linear = QUIET(Backend.linear)

    def __init__(self) -> None:
        super().__init__("numpy", xp)

    def device(self, array: np.ndarray) -> str:
        """Always the CPU."""
        return "cpu"

    def can_read_values(self, array: np.ndarray) -> bool:
        """Always."""
        return True

    def has_dynamic_shapes(self, array: np.ndarray) -> bool:
        """Always."""
        return True

    def quiet(self) -> np.errstate:
        """NumPy's error state with underflow ignored."""
        return np.errstate(under="ignore")

    def all_finite(self, array: np.ndarray) -> bool:
        """Check single values only if the product of the array with itself is not finite."""
        if array.flags.c_contiguous and math.isfinite(np.vdot(array, array)):
            return True
        return bool(np.isfinite(array).all())

    def are_plain(self, state: np.ndarray, stored: np.ndarray) -> bool:
        """Only their values need a look."""
        return self.all_finite(state) and self.all_finite(stored)

    def all_moderate(self, array: np.ndarray) -> bool:
        """Check single values only if the product of the array with itself is too large."""
        limit = float(np.finfo(array.dtype).max) ** 0.5
        if array.flags.c_contiguous and np.vdot(array, array) < limit:
            return True
        return array.size == 0 or max(array.max(), -array.min()) < limit**0.5

    def square_lengths(self, vectors: np.ndarray) -> np.ndarray:
        """Use ``vecdot``, which makes no array of squares."""
        try:
            return np.vecdot(vectors, vectors)
        except FloatingPointError:
            return quietly(np.vecdot, vectors, vectors)

    def largest_square(self, stored: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        """Use ``vecdot``, which makes no array of squares."""
        try:
            squares = np.vecdot(stored, stored)
        except FloatingPointError:
            squares = quietly(np.vecdot, stored, stored)
        if mask is None:
            return squares.max(axis=-1, keepdims=True)
        return np.where(mask, squares[..., None, :], 0.0).max(axis=-1)

    def radius(self, stored: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        """Take the root of the largest square, without copying patterns that may be on a disk.

        Scale the patterns first only if that square nearly underflows or overflows.
        """
        limits = np.finfo(stored.dtype)
        with np.errstate(over="ignore", under="ignore"):
            square = self.largest_square(stored, mask)
        if np.all((square > limits.smallest_normal / limits.eps) & (square < np.inf)):
            return np.sqrt(square)
        with np.errstate(under="ignore"):
            return super().radius(stored, mask)

    def separate(
        self, scores: np.ndarray, separation: SeparationFunction
    ) -> tuple[np.ndarray, np.ndarray]:
        """Weights and conjugate; those of sparse separation functions come from the supports."""
        width = scores.shape[-1]
        if separation.softmax or width < SMALL:
            try:
                return super().separate(scores, separation)
            except FloatingPointError:
                return quietly(super().separate, scores, separation)
        flat = np.ascontiguousarray(scores).reshape(-1, width)
        weights, conjugate = np.empty_like(flat), np.empty_like(flat[:, 0])
        rows, orders = whole_rows(width), orders_of(separation)
        if orders is not None:
            orders = np.broadcast_to(orders, scores.shape[:-1]).reshape(-1)

        def work(start: int) -> None:
            part = slice(start, start + rows)
            some = with_orders(separation, None if orders is None else orders[part])
            part_support = support(flat[part], some, xp, self.loop)
            conjugate[part] = part_support.conjugate
            weights[part] = (
                part_support.weights
                if part_support.index is None
                else sparse_weights(part_support, width).toarray()
            )

        on_all_cores(work, list(range(0, flat.shape[0], rows)))
        return weights.reshape(scores.shape), conjugate.reshape(scores.shape[:-1])

    def associate(
        self,
        state: np.ndarray,
        stored: np.ndarray,
        projection: np.ndarray,
        beta: Beta,
        mask: np.ndarray | None,
        separation: SeparationFunction,
        need_conjugate: bool = False,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Softmax in tiles; other separation functions from their sparse supports."""
        # Tiles do not support orders that differ from query to query.
        if not separation.softmax and (
            orders_of(separation) is not None or stored.shape[-2] < SMALL
        ):
            return super().associate(
                state, stored, projection, beta, mask, separation, need_conjugate
            )
        try:
            query = state * (beta if isinstance(beta, float) else beta[..., None])
            limit = SERIAL if query.shape[-2] < MANY else SERIAL >> 2
            if separation.softmax and query.size * stored.size <= limit * stored.shape[-1] ** 2:
                return softmax_at_once(query, stored, projection, mask, need_conjugate)
            output, conjugate = in_tiles(query, stored, projection, mask, separation, self)
            return output, conjugate if need_conjugate else None
        except FloatingPointError:
            if np.geterr()["under"] == "ignore":
                raise  # something else than an underflow
            arguments = state, stored, projection, beta, mask, separation, need_conjugate
            return quietly(self.associate, *arguments)

    def associate_unchecked(
        self,
        state: np.ndarray,
        stored: np.ndarray,
        beta: float,
        separation: SeparationFunction,
    ) -> np.ndarray | None:
        """Look for nan and infinity in the result, which saves a pass over the memory.

        A pattern that is not finite has the score nan, inf or -inf. With the first two, all weights
        are nan. With the third, the weight is 0, and 0 times the infinite value is nan. Products
        that overflow raise here, and are left to :meth:`associate`.
        """
        dtype = state.dtype
        if type(state) is not np.ndarray or dtype not in SAFE_EXPONENT or stored.dtype != dtype:
            return None
        single = state.ndim == 1
        if single:
            state = state[None]
        limit = SERIAL if state.ndim < 2 or state.shape[-2] < MANY else SERIAL >> 2
        fits = (
            state.ndim >= 2
            and stored.ndim >= 2
            and state.size > 0
            and stored.size > 0
            and state.shape[-1] == stored.shape[-1]
            and (stored.ndim == 2 or state.shape[:-2] == stored.shape[:-2])
            and state.size * stored.size <= limit * stored.shape[-1] ** 2
            and multiplies_zeros(dtype)
        )
        if not fits:
            return None
        try:
            output, _ = strictly(self.associate, state, stored, stored, beta, None, separation)
        except FloatingPointError:
            return None
        if not math.isfinite(np.vdot(output, output)):
            return None
        return output[0] if single else output

    def gives_conjugate(self, state: np.ndarray, stored: np.ndarray) -> bool:
        """Always."""
        return True

    def conjugate(
        self,
        state: np.ndarray,
        stored: np.ndarray,
        beta: Beta,
        mask: np.ndarray | None,
        separation: SeparationFunction,
    ) -> np.ndarray:
        """As :meth:`associate`, without a projection."""
        if not separation.softmax and orders_of(separation) is not None:
            return super().conjugate(state, stored, beta, mask, separation)
        try:
            query = state * (beta if isinstance(beta, float) else beta[..., None])
            limit = SERIAL if query.shape[-2] < MANY else SERIAL >> 2
            if separation.softmax and query.size * stored.size <= limit * stored.shape[-1] ** 2:
                return softmax_at_once(query, stored, None, mask, True)[1]
            return in_tiles(query, stored, None, mask, separation, self)[1]
        except FloatingPointError:
            if np.geterr()["under"] == "ignore":
                raise
            return quietly(self.conjugate, state, stored, beta, mask, separation)

    def statistics(
        self,
        state: np.ndarray,
        stored: np.ndarray,
        beta: Beta,
        mask: np.ndarray | None,
        separation: SeparationFunction,
    ) -> tuple[np.ndarray, ...]:
        """A block of queries at a time on all cores; sums are those of the portable kernel."""
        size = max(math.prod(state.shape[:-2]), math.prod(stored.shape[:-2]), 1) * stored.shape[-2]
        parts = list(chunks(state.shape[-2], max(1, STATISTICS_TILE // max(1, size))))
        found: list[Any] = [None] * len(parts)

        def work(index: int) -> None:
            rows = parts[index]
            with np.errstate(under="ignore"):
                found[index] = self.statistics_at_once(
                    state[..., rows, :],
                    stored,
                    beta_of_rows(beta, rows),
                    mask_of_rows(mask, rows),
                    orders_of_rows(separation, rows),
                )

        on_all_cores(work, list(range(len(parts))))
        return in_pairs(partial(joined_queries, xp), found)

    def keys(
        self,
        stored: np.ndarray,
        origin: np.ndarray | None,
        bias: np.ndarray | None,
        squares: bool = False,
    ) -> np.ndarray:
        """In one array, which is filled in place."""
        if origin is None or squares or bias is not None or stored.shape[:-2] != origin.shape[:-2]:
            return super().keys(stored, origin, bias, squares)
        *lead, width = stored.shape
        keys = np.empty((*lead, width + 1), dtype=origin.dtype)
        patterns = np.subtract(stored, origin, out=keys[..., :width])
        with np.errstate(under="ignore"):
            np.multiply(np.vecdot(patterns, patterns), -0.5, out=keys[..., width])
        return keys

    def scores(
        self, state: np.ndarray, stored: np.ndarray, beta: Beta, mask: np.ndarray | None
    ) -> np.ndarray:
        """As the portable kernel, whatever the caller's error state is."""
        with np.errstate(under="ignore"):
            return super().scores(state, stored, beta, mask)

    def loop(
        self,
        cond: Callable[[Any], np.ndarray],
        body: Callable[[Any], Any],
        init: Any,
        max_steps: int,
        *,
        differentiable: bool = False,
    ) -> Any:
        """As the portable kernel, with one error state for all steps."""
        value = init
        with np.errstate(under="ignore"):
            for _ in range(max_steps):
                if not bool(cond(value)):
                    break
                value = body(value)
        return value

    def heat_kernel(self, matrix: np.ndarray) -> np.ndarray:
        """As the portable kernel, whatever the caller's error state is."""
        with np.errstate(under="ignore"):
            return super().heat_kernel(matrix)

    def layer_norm(
        self,
        features: np.ndarray,
        weight: np.ndarray | None,
        bias: np.ndarray | None,
        eps: float,
    ) -> np.ndarray:
        """As the portable kernel; features whose squares overflow are divided by the largest."""
        try:
            with np.errstate(under="ignore", over="raise"):
                return super().layer_norm(features, weight, bias, eps)
        except FloatingPointError:
            size = np.abs(features).max(axis=-1, keepdims=True)
        large = size > float(np.finfo(features.dtype).max) ** 0.25
        scaled = np.where(large, features, 0.0) / np.where(large, size, 1.0)
        small = np.where(large, np.zeros((), features.dtype), features)
        with np.errstate(under="ignore"):
            return np.where(
                large,
                super().layer_norm(scaled.astype(features.dtype), weight, bias, 0.0),
                super().layer_norm(small, weight, bias, eps),
            )


def quietly(kernel: Callable[..., Any], *arguments: Any) -> Any:
    """Call a kernel again if it stopped because a product or an exponential underflowed.

    This happens only if the caller told NumPy to raise on underflow. So only then does a kernel set
    another error state, which takes as long as a small product.
    """
    with np.errstate(under="ignore"):
        return kernel(*arguments)


@np.errstate(over="raise", invalid="raise", divide="raise", under="ignore")
def strictly(kernel: Callable[..., Any], *arguments: Any) -> Any:
    """Call a kernel, and raise a FloatingPointError for whatever NumPy would warn of."""
    return kernel(*arguments)


@cache
@np.errstate(invalid="ignore")
def multiplies_zeros(dtype: np.dtype) -> bool:
    """Whether products multiply zeros, too, so that 0 times infinity is nan.

    A library for products might skip factors that are zero, as early versions of BLAS did.
    """
    for rows, inner, columns in ((1, 3, 5), (1, 64, 300), (1, 300, 64), (8, 64, 300)):
        zeros = np.zeros((rows, inner), dtype)
        infinite = np.full((inner, columns), np.inf, dtype)
        for factor in (infinite, np.ascontiguousarray(infinite.T).T):
            if not np.isnan(np.matmul(zeros, factor)).all():
                return False
    return True


def softmax_at_once(
    query: np.ndarray,
    stored: np.ndarray,
    projection: np.ndarray | None,
    mask: np.ndarray | None,
    need_conjugate: bool,
) -> tuple[Any, Any]:
    """Compute a small association in one array of scores, in place."""
    scores = np.matmul(query, stored.swapaxes(-1, -2))
    if mask is not None:
        scores = np.where(mask, scores, -np.inf).astype(scores.dtype, copy=False)
    top = scores.max(axis=-1, keepdims=True)
    if mask is not None:
        top[top == -np.inf] = 0.0
    scores -= top
    if scores.size > FEW:
        exponentiate(scores)
    else:
        np.exp(scores, out=scores)
    total = scores.sum(axis=-1, keepdims=True)
    output = conjugate = None
    if need_conjugate:
        with np.errstate(divide="ignore"):
            conjugate = (top + np.log(total))[..., 0]
    if projection is not None:
        if projection.shape[-2] > LONG:
            output = long_product(xp, scores, projection)
        else:
            output = np.matmul(scores, projection)
        output /= total if mask is None else np.where(total > 0.0, total, 1.0)
    return output, conjugate
