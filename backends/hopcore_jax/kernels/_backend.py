"""Kernels of the JAX backend, compiled and differentiable in both modes.

A kernel is compiled once for its shapes, dtypes and separation function, also where it is called
outside ``jax.jit``; the loops of a retrieval are only fast inside. Leading axes are worked off in
blocks of a fixed size; ``jax.vmap`` multiplies the block by the size of the mapped axis.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
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
)
from hopcore_jax.kernels import _blocks as blocks
from hopcore_jax.kernels import _loops as loops
from hopcore_jax.kernels._graphs import JaxGraphKernels
from hopcore_jax.kernels._layers import JaxLayerKernels
from hopcore_jax.kernels._separate import separate

BLOCK_ELSEWHERE = 16 * BLOCK
"""How many scores a GPU or TPU holds at once, which has no use for small blocks."""


class JaxBackend(JaxGraphKernels, JaxLayerKernels):
    """JAX arrays, traced or not, on any device."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            # JAX warns of float64 where x64 is off; it may be switched on at any time.
            warnings.simplefilter("ignore", UserWarning)
            super().__init__("jax", jnp)
        half, single, double = np.dtype(jnp.bfloat16), np.dtype("float32"), np.dtype("float64")
        self.precise = {np.dtype("float16"): single, half: single, single: single, double: double}

    # What the arrays of this library are.

    def can_read_values(self, array: jax.Array) -> bool:
        """Not traced, not met inside ``jax.jit``, on the CPU, and all of it in this process."""
        if loops.traced(array) or loops.staged() or not array.is_fully_addressable:
            return False
        return all(device.platform == "cpu" for device in array.devices())

    def can_fetch_values(self, array: jax.Array) -> bool:
        """Not traced, not met inside ``jax.jit``."""
        return not loops.traced(array) and not loops.staged()

    def requires_gradient(self, *arrays: jax.Array) -> bool:
        """Whether they are traced: JAX does not tell what for."""
        return loops.traced(arrays)

    def has_dynamic_shapes(self, array: jax.Array) -> bool:
        """Never: every new shape would be compiled."""
        return False

    def device(self, array: jax.Array) -> Any:
        """The device; None for an array that is traced, on several, or free to go to any."""
        if loops.traced(array) or not array.committed:
            return None
        first, *more = array.devices()
        return None if more else first

    def all_finite(self, array: jax.Array) -> bool:
        """Where the values are: an array over several devices is not gathered."""
        if loops.traced(array):
            return True
        if array.is_fully_replicated:
            return finite(np.asarray(array))
        parts = (part for part in array.addressable_shards if part.replica_id == 0)
        return all(finite(np.asarray(part.data)) for part in parts)

    def asarray(self, values: Any, *, dtype: str | None = None, device: Any = None) -> jax.Array:
        """An array on a device: a ``jax.Device``, or a name such as ``"cpu"`` or ``"cuda:1"``."""
        if dtype == "float64" and jax.dtypes.canonicalize_dtype(np.float64) != np.float64:
            raise ValueError("float64 is off in JAX: jax.config.update('jax_enable_x64', True)")
        kind = None if dtype is None else getattr(jnp, dtype)
        where = device_named(device) if isinstance(device, str) else device
        return jnp.asarray(np.asarray(values), dtype=kind, device=where)

    def to_numpy(self, array: jax.Array) -> np.ndarray:
        """The values on the host; bfloat16, which NumPy lacks, as float32."""
        return np.asarray(array.astype(np.float32) if array.dtype == jnp.bfloat16 else array)

    # Kernels.

    def separate(self, scores: Array, separation: SeparationFunction) -> tuple[Array, Array]:
        """Weights and conjugate of scores, with derivatives of every order."""
        return separate(separation, scores)

    def scores(self, state: Array, stored: Array, beta: Beta, mask: Array | None) -> Array:
        """``beta X xi`` of shape ``(..., L, S)``, in the precise dtype, -inf where masked."""
        if state.shape[-1] == 1:
            # A product without a sum XLA fuses with what follows, unrounded: the largest score less
            # itself would be a rounding, which is as large as scores may be. So let there be a sum.
            state, stored = (
                jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, 1)]) for x in (state, stored)
            )
        return super().scores(state, stored, beta, mask)

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
        """See :meth:`hopcore.Backend.associate`."""
        output, conjugate = blocks.associate(
            state,
            stored,
            projection,
            beta,
            mask,
            backend=self,
            separation=separation,
            budget=self.block(state),
        )
        return self.astype(output, state.dtype), conjugate if need_conjugate else None

    def conjugate(
        self,
        state: Array,
        stored: Array,
        beta: Beta,
        mask: Array | None,
        separation: SeparationFunction,
    ) -> Array:
        """See :meth:`hopcore.Backend.conjugate`."""
        return blocks.associate(
            state,
            stored,
            None,
            beta,
            mask,
            backend=self,
            separation=separation,
            budget=self.block(state),
        )[1]

    def loop(
        self,
        cond: Callable[[Any], Array],
        body: Callable[[Any], Any],
        init: Any,
        max_steps: int,
        *,
        differentiable: bool = False,
    ) -> Any:
        """See :meth:`hopcore.Backend.loop`; under a trace, :func:`hopcore_jax.kernels._loops.run`.

        Where nothing is traced the steps are taken one by one: XLA would compile every call.
        """
        value, steps = init, 0
        while not loops.traced(value) and (steps or not loops.staged()):
            if steps == max_steps or not bool(cond(value)):
                return value
            value, steps = body(value), steps + 1
        # Traced: by init, by what body brought in, or by an enclosing jit.
        return loops.run(cond, body, init, max_steps, differentiable=differentiable)

    def constant(self, array: Array) -> Array:
        """The array (or a float) without its gradient."""
        return array if isinstance(array, float) else lax.stop_gradient(array)

    def implicit(
        self, update: Callable[..., Array], solution: Array, parameters: tuple[Array, ...]
    ) -> Array:
        """``solution`` with the derivative ``(I - J)^-1 df`` of a fixed point, in both modes.

        J is the Jacobian of ``update`` by the state, symmetric for a retrieval. The systems are
        solved by conjugate gradients, each query its own, in memory that does not grow with steps.
        """
        if not loops.traced(solution, parameters):
            return solution
        wide = self.precise[solution.dtype]
        tol = float(jnp.finfo(wide).eps)
        precise = [self.astype(x, wide) for x in parameters]
        most = 2 * solution.shape[-1] + 8

        def solve(matvec: Callable[[Array], Array], right: Array) -> Array:
            return conjugate_gradients(matvec, right, self, max_steps=most, tol=tol)

        found = lax.custom_root(
            lambda state: state - update(state, *precise),
            self.astype(lax.stop_gradient(solution), wide),
            lambda _, state: state,
            lambda matvec, right: lax.custom_linear_solve(matvec, right, solve, symmetric=True),
        )
        return self.astype(found, solution.dtype)

    def block(self, state: Array) -> int:
        """How many scores to hold at once where the state is."""
        device = self.device(state)
        platform = jax.default_backend() if device is None else device.platform
        return BLOCK if platform == "cpu" else BLOCK_ELSEWHERE


def finite(values: np.ndarray) -> bool:
    """A sum of squares first: it is not finite if any value is not (or if it overflows)."""
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
