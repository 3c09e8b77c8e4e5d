"""The backend under test, called with NumPy float64 arrays, and the reference to compare with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property, partial
from types import ModuleType
from typing import Any

import array_api_compat.numpy
import numpy as np

from hopcore.arrays import BY_TYPE, Backend

Array = np.ndarray

DTYPES = ("float64", "float32", "bfloat16", "float16")
"""The possible dtypes of the floating arrays of a run, by name."""

LAYOUTS = ("contiguous", "strided")
"""The possible layouts of arrays in memory."""

KERNELS = {
    "torch": ("auto", "portable", "triton-interpret"),
    "jax": ("auto", "cudnn", "portable", "pallas-interpret"),
}
"""The kernels of a backend, as ``hopcore_torch.kernels.triton.using_kernels`` and
``hopcore_jax.kernels.pallas.using_kernels`` take them."""

NAMES_OF_KERNELS = ("auto", "cudnn", "portable", "triton-interpret", "pallas-interpret")

INTERPRETED = ("triton-interpret", "pallas-interpret")
"""Kernels for GPUs that run on the CPU, of float32 and half precision."""


class Subject:
    """A backend, a dtype and a device; calls hopcore on them with NumPy arrays in and out.

    Parameters
    ----------
    backend : Backend
        The backend whose arrays are passed to the functions.
    dtype : str
        The dtype of the floating arrays.
    device : object, optional
        A device of the library.
    strided : bool
        Whether arrays are views with gaps between their values, the last axis first in memory.
    """

    def __init__(
        self, backend: Backend, dtype: str, device: Any = None, strided: bool = False
    ) -> None:
        self.backend, self.dtype, self.device, self.strided = backend, dtype, device, strided

    def __repr__(self) -> str:
        place = "" if self.device is None else f" on {self.device}"
        return f"<{self.backend.name} {self.dtype}{place}>"

    @property
    def label(self) -> str:
        """The name under which results are reported."""
        return self.backend.name

    @cached_property
    def eps(self) -> float:
        """The rounding unit of states and associations."""
        return float(self.backend.xp.finfo(self.put(np.zeros(1)).dtype).eps)

    @cached_property
    def precise(self) -> Subject:
        """The subject in the dtype in which scores and energies are computed."""
        wide = self.backend.precise[self.put(np.zeros(1)).dtype]
        for name in ("float32", "float64"):
            if self.backend.xp.zeros(0, dtype=wide).dtype == getattr(self.backend.xp, name):
                if name == self.dtype:
                    return self
                return type(self)(self.backend, name, self.device, self.strided)
        raise ValueError(f"scores of {self.dtype} must be float32 or float64, got {wide}")

    @cached_property
    def fine(self) -> float:
        """The rounding unit of scores and energies."""
        return self.precise.eps

    @cached_property
    def tiny(self) -> float:
        """The smallest normal number of scores and energies."""
        return float(np.finfo(self.precise.dtype).tiny)

    @cached_property
    def most(self) -> float:
        """The largest number of states and associations."""
        return float(self.backend.xp.finfo(self.put(np.zeros(1)).dtype).max)

    @cached_property
    def least(self) -> float:
        """The smallest number above 0 of states and associations."""
        limits = self.backend.xp.finfo(self.put(np.zeros(1)).dtype)
        return float(limits.smallest_normal) * float(limits.eps)

    def put(self, values: Array) -> Any:
        """An array of the library; NumPy arrays are read-only, so writing to one is an error."""
        dtype = "bool" if values.dtype == np.bool_ else self.dtype
        make = partial(self.backend.asarray, dtype=dtype, device=self.device)
        array = with_gaps(values, make, self.backend.xp) if self.strided else make(np.array(values))
        if isinstance(array, np.ndarray):
            array.setflags(write=False)
        return array

    def get(self, array: Any) -> Any:
        """NumPy float64 (or integer, or boolean) values of an array, or of each in a tuple."""
        if isinstance(array, tuple):
            values = (self.get(part) for part in array)
            return type(array)(*values) if hasattr(array, "_fields") else tuple(values)
        wide = self.backend.precise.get(array.dtype)
        if wide is None:
            return np.array(self.backend.to_numpy(array))
        return np.array(self.backend.to_numpy(self.backend.astype(array, wide)), dtype=np.float64)

    def rounded(self, values: Array) -> Array:
        """The float64 values after rounding to the dtype of the library."""
        return self.get(self.put(values))

    def __call__(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """The result of a function of arrays, which must not change its inputs."""
        given, named = self.placed(function, arguments, options)
        result = self.get(function(*given, **named))
        befores, afters = [*arguments, *options.values()], [*given, *named.values()]
        for before, after in zip(befores, afters, strict=True):
            if isinstance(before, np.ndarray):
                was, now = self.get(self.put(before)), self.get(after)
                if not np.array_equal(was, now, equal_nan=True):
                    raise AssertionError(f"an input was written to\n  was: {was!r}\n  is: {now!r}")
        return result

    def placed(
        self, function: Callable[..., Any], given: Sequence[Any], named: dict[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a function, as arrays of the library."""
        return [self._put(value) for value in given], {
            name: self._put(value) for name, value in named.items()
        }

    def _put(self, value: Any) -> Any:
        return self.put(value) if isinstance(value, np.ndarray) else value

    @property
    def differentiates(self) -> bool:
        """Whether the suite knows how the library takes derivatives."""
        return self.backend.name in AUTODIFF

    def gradient(
        self,
        function: Callable[..., Any],
        *arguments: Array | float,
        by: Sequence[int],
        probe: Array | None = None,
        **options: Any,
    ) -> tuple[Array, ...]:
        """The automatic gradient of ``sum(probe * function(*arguments))`` in some of the arguments.

        A library that compiles does so once for each function, each set of options and each shape.
        """
        arrays = {name: self.put(x) for name, x in options.items() if isinstance(x, np.ndarray)}
        fixed = {name: x for name, x in options.items() if not isinstance(x, np.ndarray)}
        total = total_of(self.backend, function, tuple(sorted(fixed.items())))
        probes = None if probe is None else self.precise.put(probe)
        given, _ = self.placed(function, arguments, {})
        return self.get(tuple(AUTODIFF[self.backend.name](total, given, tuple(by), arrays, probes)))


def with_gaps(values: Array, make: Callable[[Array], Any], xp: ModuleType) -> Any:
    """An array with another axis order and with gaps; the values in the gaps are wrong."""
    if values.ndim == 0:
        return make(np.array(values))
    between = ~values if values.dtype == np.bool_ else np.full(values.shape, np.nan)
    *before, last = values.T.shape
    whole = make(np.stack([values.T, between.T], axis=-1).reshape(*before, 2 * last))
    return xp.permute_dims(whole[..., ::2], tuple(reversed(range(values.ndim))))


@cache
def total_of(
    backend: Backend, function: Callable[..., Any], fixed: tuple[tuple[str, Any], ...]
) -> Callable[..., Any]:
    """``sum(probe * function)`` as a function of arrays; equal arguments give the same object."""

    def total(given: Sequence[Any], arrays: dict[str, Any], probe: Any) -> Any:
        result = function(*given, **dict(fixed), **arrays)
        result = backend.astype(result, backend.precise[result.dtype])
        return backend.xp.sum(result if probe is None else result * probe)

    return total


def torch_gradient(
    total: Callable[..., Any],
    given: list[Any],
    by: tuple[int, ...],
    arrays: dict[str, Any],
    probe: Any,
) -> list[Any]:
    """Reverse mode of torch."""
    import torch  # noqa: PLC0415

    leaves = [array.clone().requires_grad_() if i in by else array for i, array in enumerate(given)]
    wanted = [leaves[i] for i in by]
    found = torch.autograd.grad(total(leaves, arrays, probe), wanted, allow_unused=True)
    return [
        torch.zeros_like(leaf) if gradient is None else gradient
        for leaf, gradient in zip(wanted, found, strict=True)
    ]


def jax_gradient(
    total: Callable[..., Any],
    given: list[Any],
    by: tuple[int, ...],
    arrays: dict[str, Any],
    probe: Any,
) -> list[Any]:
    """Reverse mode of JAX, compiled; numbers are passed as arrays to avoid recompilation."""
    given = [value if hasattr(value, "dtype") else given[0].dtype.type(value) for value in given]
    found = jax_slope(total)(given, arrays, probe)
    return [found[i] for i in by]


@cache
def jax_slope(total: Callable[..., Any]) -> Callable[..., Any]:
    """The compiled gradient of a total by all of its arguments."""
    import jax  # noqa: PLC0415

    return jax.jit(jax.grad(total))


AUTODIFF = {"torch": torch_gradient, "jax": jax_gradient}
"""The function that computes derivatives, by the name of the backend."""


class ReferenceArray(np.ndarray):
    """NumPy arrays for which hopcore uses the portable kernels instead of those for NumPy."""


class Reference(Subject):
    """The portable kernels of hopcore on NumPy float64, with which every backend is compared."""

    def __init__(self) -> None:
        super().__init__(Backend("numpy", array_api_compat.numpy), "float64")
        # The look-up by type is how hopcore finds a backend; this type has the portable one.
        BY_TYPE[ReferenceArray] = self.backend

    def put(self, values: Array) -> Any:
        """A read-only array of the type for which hopcore uses the portable kernels."""
        return super().put(values).view(ReferenceArray)


reference = Reference()
