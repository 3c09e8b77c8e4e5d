"""Kernels of the JAX backend, compiled and differentiable in both modes.

A kernel is compiled once for its shapes, dtypes and separation function, even where it is called
outside ``jax.jit``; the loops of a retrieval are fast only inside. Leading axes are processed in
blocks of a fixed size; ``jax.vmap`` multiplies the block by the size of the mapped axis.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from hopcore.arrays import (
    BLOCK,
    Array,
    Beta,
    SeparationFunction,
    conjugate_gradients,
    register_array_type,
    scale_by_beta,
)
from hopcore_jax.kernels import _blocks as blocks
from hopcore_jax.kernels import _loops as loops
from hopcore_jax.kernels import _products as products
from hopcore_jax.kernels._graphs import JaxGraphKernels
from hopcore_jax.kernels._layers import JaxLayerKernels
from hopcore_jax.kernels._products import recalled, scored
from hopcore_jax.kernels._separate import separate, split_orders
from hopcore_jax.kernels._statistics import statistics, statistics_of_scores
from hopcore_jax.kernels.pallas import _associate as pallas
from hopcore_jax.kernels.pallas._choice import refusal, uses_pallas
from hopcore_jax.kernels.pallas._cudnn_choice import cudnn_refusal

BLOCK_ELSEWHERE = 16 * BLOCK
"""How many scores a GPU or TPU holds at once, since small blocks would not keep it busy."""

CAUSAL_BLOCKS = 16
"""The largest number of blocks of queries of a causal association."""


class JaxBackend(JaxGraphKernels, JaxLayerKernels):
    """JAX arrays, traced or not, on any device."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            # JAX warns of float64 while x64 is off, but x64 may be switched on at any time.
            warnings.simplefilter("ignore", UserWarning)
            super().__init__("jax", jnp)
        half, single, double = np.dtype(jnp.bfloat16), np.dtype("float32"), np.dtype("float64")
        self.precise = {np.dtype("float16"): single, half: single, single: single, double: double}

    def can_read_values(self, array: jax.Array) -> bool:
        """Whether an array is on the CPU and in this process, and nothing is being traced."""
        if loops.traced(array) or loops.staged() or not array.is_fully_addressable:
            return False
        return all(device.platform == "cpu" for device in array.devices())

    def can_fetch_values(self, array: jax.Array) -> bool:
        """Whether nothing is being traced."""
        return not loops.traced(array) and not loops.staged()

    def cache_context(self) -> AbstractContextManager[Any]:
        """Outside of a trace, of which nothing may be kept."""
        return jax.ensure_compile_time_eval()

    def is_on_host(self, array: jax.Array) -> bool:
        """On a single CPU device, and not traced."""
        return self.can_read_values(array) and len(array.devices()) == 1

    def requires_gradient(self, *arrays: jax.Array) -> bool:
        """Whether they are traced, since JAX does not tell for which purpose."""
        return loops.traced(arrays)

    def has_known_sizes(self, array: jax.Array) -> bool:
        """Unless ``jax.export`` leaves them open."""
        return all(isinstance(size, int) for size in array.shape)

    def index_dtype(self, count: Any) -> Any:
        """JAX has int64 with ``jax_enable_x64`` only; it would wrap larger numbers elsewhere."""
        return products.index_dtype(count)

    def has_dynamic_shapes(self, array: jax.Array) -> bool:
        """Never, since every new shape would be compiled."""
        return False

    def device(self, array: jax.Array) -> Any:
        """The device, or None for arrays that are traced, on several devices, or uncommitted."""
        if loops.traced(array) or not array.committed:
            return None
        first, *more = array.devices()
        return None if more else first

    def all_finite(self, array: jax.Array) -> bool:
        """Check the values on their devices; an array over several devices is not gathered."""
        return loops.traced(array) or all(map(finite, parts_of(array)))

    def all_moderate(self, array: jax.Array) -> bool:
        """See :class:`hopcore.Backend`; values are read on their devices."""
        limit = float(jnp.finfo(array.dtype).max) ** 0.25
        return all(below(limit, part) for part in parts_of(array))

    def asarray(self, values: Any, *, dtype: str | None = None, device: Any = None) -> jax.Array:
        """Make an array on a ``jax.Device``, or on a device named as ``"cpu"`` or ``"cuda:1"``."""
        if dtype == "float64" and jax.dtypes.canonicalize_dtype(np.float64) != np.float64:
            raise ValueError("float64 is off in JAX: jax.config.update('jax_enable_x64', True)")
        kind = None if dtype is None else getattr(jnp, dtype)
        device = device_named(device) if isinstance(device, str) else device
        return jnp.asarray(np.asarray(values), dtype=kind, device=device)

    def to_numpy(self, array: jax.Array) -> np.ndarray:
        """The values on the host; bfloat16, which NumPy lacks, as float32."""
        return np.asarray(array.astype(np.float32) if array.dtype == jnp.bfloat16 else array)

    # Kernels.

    def separate(self, scores: Array, separation: SeparationFunction) -> tuple[Array, Array]:
        """Weights and conjugate of scores, with derivatives of every order."""
        return separate(separation, scores)

    def scores(
        self, state: Array, stored: Array, beta: Beta, mask: Array | None, half: Any = None
    ) -> Array:
        """The portable scores; arrays that were in the dtype ``half`` are multiplied in it."""
        if self.has_known_sizes(state) and self.has_known_sizes(stored):
            half = self.half_of(state) or half
        if state.shape[-1] == 1:
            # XLA fuses a product without a sum with what follows, unrounded: the largest score
            # minus itself would be a rounding error, as large as scores may be. So add a zero.
            state, stored = (
                jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, 1)]) for x in (state, stored)
            )
        if half is None:
            scores = super().scores(state, stored, beta, None)
        else:
            scores = self.scores_of_halves(state, stored, beta, half)
        if mask is None:
            return scores
        # The lowest number instead of -inf, at which jax_debug_infs would stop.
        return jnp.where(mask, scores, jnp.finfo(scores.dtype).min)

    def scores_of_halves(self, state: Array, stored: Array, beta: Beta, half: Any) -> Array:
        """``beta X xi`` with exact products, in float32."""
        precise = self.precise[half]
        beta = jnp.asarray(beta, dtype=precise)
        before = products.before_product(lax.stop_gradient(beta), half)
        query = scale_by_beta(state.astype(precise), before)
        scores = scored(query, stored.astype(precise), half)
        return scores * (beta / before)[..., None]

    def products(self, query: Array, stored: Array) -> Array:
        """With a derivative that sums over a long memory in parts."""
        return scored(query, stored)

    def recalled(self, weights: Array, values: Array) -> Array:
        return recalled(weights, values)

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
        """By the attention of cuDNN where it takes a call, or by a kernel in Pallas."""
        given = state, stored, projection, beta, mask, separation
        attended = pallas.attend(self, *given, need_conjugate=need_conjugate)
        if attended is not None:
            return attended, None
        if uses_pallas(self.device(state)):
            found = pallas.associate(self, *given)
            if found is not None:
                return found[0], found[1] if need_conjugate else None
        output, conjugate = self.in_blocks(*given, need_conjugate)
        return self.astype(output, state.dtype), conjugate

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
        """By a kernel in Pallas where one applies."""
        given = state, stored, projection, beta, mask
        if uses_pallas(self.device(state)):
            found = pallas.associate(self, *given, separation, bias)
            if found is not None:
                return found[0]
        return super().associate_biased(*given, bias, separation)

    def has_causal_kernel(
        self, state: Array, stored: Array, separation: SeparationFunction
    ) -> bool:
        """Where the attention of cuDNN or a kernel in Pallas applies."""
        if not cudnn_refusal(state, stored, stored, 1.0, None, separation, causal=True):
            return True
        device = self.device(state)
        return uses_pallas(device) and not refusal(state, stored, None, 1.0, None, separation)

    def associate_causal(
        self,
        state: Array,
        stored: Array,
        projection: Array,
        beta: Beta,
        separation: SeparationFunction,
    ) -> Array:
        """By the attention of cuDNN where it takes a call, or by a kernel in Pallas."""
        given = state, stored, projection, beta, None, separation
        attended = pallas.attend(self, *given, causal=True)
        if attended is not None:
            return attended
        if uses_pallas(self.device(state)):
            found = pallas.associate(self, *given, causal=True)
            if found is not None:
                return found[0]
        return super().associate_causal(state, stored, projection, beta, separation)

    def best(
        self,
        state: Array,
        stored: Array,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
    ) -> tuple[Array, ...]:
        """By a kernel in Pallas where one applies."""
        given = state, stored, beta, mask, separation
        found = None
        if uses_pallas(self.device(state)):
            found = pallas.best(self, *given)
        return super().best(*given) if found is None else found

    def conjugate(
        self,
        state: Array,
        stored: Array,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
    ) -> Array:
        if uses_pallas(self.device(state)):
            found = pallas.associate(self, state, stored, None, beta, mask, separation)
            if found is not None:
                return found[1]
        return self.in_blocks(state, stored, None, beta, mask, separation)[1]

    def in_blocks(
        self,
        state: Array,
        stored: Array,
        projection: Array | None,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
        need_conjugate: bool = True,
    ) -> tuple[Array | None, Any]:
        """Association and conjugate in the precise dtype; None where they are not asked for."""
        if not (self.has_known_sizes(state) and self.has_known_sizes(stored)):
            given = self, separation, state, stored, projection, beta, mask
            return blocks.associate_at_once(*given)
        kind, orders = split_orders(separation)
        options: Any = {
            "backend": self,
            "separation": kind,
            "need_conjugate": need_conjugate,
            "budget": self.block(state),
        }
        return blocks.associate(state, stored, projection, beta, mask, orders, **options)

    def statistics(
        self,
        state: Array,
        stored: Array,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
    ) -> tuple[Array, ...]:
        if not (self.has_known_sizes(state) and self.has_known_sizes(stored)):
            scores = self.scores(state, stored, beta, mask)
            return statistics_of_scores(separation, scores, jnp.ones_like(scores[..., 0]))
        if uses_pallas(self.device(state)):
            found = pallas.statistics(self, state, stored, beta, mask, separation)
            if found is not None:
                return found
        kind, orders = split_orders(separation)
        options: Any = {"backend": self, "separation": kind, "budget": self.block(state)}
        return statistics(state, stored, beta, mask, orders, **options)

    def loop(
        self,
        cond: Callable[[Any], Array],
        body: Callable[[Any], Any],
        init: Any,
        max_steps: int,
        *,
        differentiable: bool = False,
    ) -> Any:
        """Run a Python loop where nothing is traced, since XLA would compile every call.

        Under a trace this is :func:`hopcore_jax.kernels._loops.run`.
        """
        value, steps = init, 0
        while not loops.traced(value) and (steps or not loops.staged()):
            if steps == max_steps or not bool(cond(value)):
                return value
            value, steps = body(value), steps + 1
        # Something is traced: init, an array that body uses, or an enclosing jit.
        return loops.run(cond, body, init, max_steps, differentiable=differentiable)

    def copied(self, array: Array) -> Array:
        """The array itself, since nobody can change it."""
        return array

    def constant(self, array: Array) -> Array:
        """The array (or a float) without its gradient."""
        return array if isinstance(array, float) else lax.stop_gradient(array)

    def implicit(
        self, update: Callable[..., Array], solution: Array, parameters: tuple[Array, ...]
    ) -> Array:
        """Give ``solution`` the derivative ``(I - J)^-1 df`` of a fixed point, in both modes.

        J is the Jacobian of ``update`` by the state, symmetric for a retrieval. Conjugate gradients
        solve one system per query, in memory that does not grow with the number of steps.
        """
        if not loops.traced(solution, parameters):
            return solution
        dtype = self.precise[solution.dtype]
        tol = float(jnp.finfo(dtype).eps)
        precise = [self.astype(x, dtype) for x in parameters]
        most = 2 * solution.shape[-1] + 8

        def solve(matvec: Callable[[Array], Array], right: Array) -> Array:
            return conjugate_gradients(matvec, right, self, max_steps=most, tol=tol)

        fixed_point = lax.custom_root(
            lambda state: state - update(state, *precise),
            self.astype(lax.stop_gradient(solution), dtype),
            lambda _, state: state,
            lambda matvec, right: lax.custom_linear_solve(matvec, right, solve, symmetric=True),
        )
        return self.astype(fixed_point, solution.dtype)

    def maps_blocks(self, state: Array) -> bool:
        """For sizes that are known."""
        return self.has_known_sizes(state)

    def in_mapped_blocks(self, work: Callable[[Any, Any], Array], queries: int, rows: int) -> Array:
        """By ``lax.map``, whose steps follow each other.

        Outside ``jax.jit``, where each call would compile it again, by a loop of Python.
        """
        if not loops.staged():
            return in_eager_blocks(work, queries, rows)
        count, rest = divmod(queries, rows)
        again = jax.checkpoint(work, prevent_cse=False)
        found = lax.map(lambda n: again(n * rows + jnp.arange(rows), n), jnp.arange(count))
        joined = jnp.moveaxis(found, 0, -3)
        joined = jnp.reshape(joined, (*joined.shape[:-3], count * rows, joined.shape[-1]))
        if rest == 0:
            return joined
        last = jax.checkpoint(work)(jnp.arange(count * rows, queries), jnp.asarray(count))
        return jnp.concatenate([joined, last], axis=-2)

    def causal_rows(self, state: Array, patterns: int) -> int:
        """So many that there are few blocks, since each of them is compiled."""
        return max(super().causal_rows(state, 1), -(-state.shape[-2] // CAUSAL_BLOCKS))

    def block(self, state: Array) -> int:
        """How many scores to hold at once on the device of the state."""
        return BLOCK if self.platform(state) == "cpu" else BLOCK_ELSEWHERE

    def platform(self, state: Array) -> str:
        """The platform of the state, or the default one where it is traced."""
        device = self.device(state)
        return jax.default_backend() if device is None else device.platform

    def half_of(self, state: Array) -> Any:
        """The dtype of a state in half precision, in which GPUs and TPUs multiply; else None."""
        return None if self.platform(state) == "cpu" else products.half_of(state.dtype)


def in_eager_blocks(work: Callable[[Any, Any], Array], queries: int, rows: int) -> Array:
    """Return :meth:`JaxBackend.in_mapped_blocks` of operations that run one after another.

    A block waits for the one before it, so that only one of them needs room at a time.
    """
    found: list[Any] = []
    again = jax.checkpoint(work)
    for number, first in enumerate(range(0, queries, rows)):
        places = np.arange(first, min(first + rows, queries))
        found.append(again(jnp.asarray(places), jnp.asarray(number)))
        if isinstance(found[-1], jax.Array) and not loops.traced(found[-1]):
            found[-1].block_until_ready()
    return jnp.concatenate(found, axis=-2)


def parts_of(array: jax.Array) -> list[np.ndarray]:
    """The values of an array on the host, or those of each device, which are not gathered."""
    if array.is_fully_replicated:
        return [np.asarray(array)]
    return [np.asarray(x.data) for x in array.addressable_shards if x.replica_id == 0]


def below(limit: float, values: np.ndarray) -> bool:
    """Whether all magnitudes are below a limit; they are if the root of their squares' sum is."""
    values = values.reshape(-1)
    if values.dtype.itemsize > 2 and np.vdot(values, values) < limit * limit:
        return True
    with np.errstate(invalid="ignore"):  # nan of bfloat16 warns, and is not below any limit
        return values.size == 0 or float(np.abs(values).max()) < limit


def finite(values: np.ndarray) -> bool:
    """Whether all values are finite; they are if the sum of their squares is."""
    values = values.reshape(-1)
    if values.dtype.itemsize > 2 and math.isfinite(np.vdot(values, values)):
        return True
    return bool(np.isfinite(values).all())


def device_named(name: str) -> Any:
    """The device of a name such as ``"cpu"`` or ``"cuda:1"``."""
    platform, _, index = name.partition(":")
    try:
        return jax.devices(platform)[int(index or 0)]
    except (RuntimeError, ValueError, IndexError):
        here = ", ".join(f"{x.platform}:{x.id}" for x in jax.devices())
        raise ValueError(f"JAX has no device {name!r} here; it has {here}") from None


register_array_type(
    "hopcore_jax.distributed._memory.Shards", "hopcore_jax.distributed._backend:ShardedBackend"
)
