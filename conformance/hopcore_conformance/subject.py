"""The backend under test, as a function of NumPy float64 arrays, and the reference beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import array_api_compat.numpy
import numpy as np

from hopcore.backend import _BY_TYPE, Backend

Array = np.ndarray


class Subject:
    """A backend, a dtype and a device; calls hopcore on them with NumPy arrays in and out.

    Parameters
    ----------
    backend : Backend
        Whose arrays the functions get.
    dtype : str
        The dtype of the floating arrays.
    device : object, optional
        The device, as the library calls it.
    """

    def __init__(self, backend: Backend, dtype: str, device: Any = None) -> None:
        self.backend, self.dtype, self.device = backend, dtype, device

    def __repr__(self) -> str:
        place = "" if self.device is None else f" on {self.device}"
        return f"<{self.backend.name} {self.dtype}{place}>"

    @cached_property
    def eps(self) -> float:
        """The rounding of states and associations."""
        return float(self.backend.xp.finfo(self.put(np.zeros(1)).dtype).eps)

    @cached_property
    def precise(self) -> Subject:
        """The subject in the dtype in which scores and energies are computed."""
        wide = self.backend.precise[self.put(np.zeros(1)).dtype]
        for name in ("float32", "float64"):
            if self.backend.xp.zeros(0, dtype=wide).dtype == getattr(self.backend.xp, name):
                return self if name == self.dtype else type(self)(self.backend, name, self.device)
        raise ValueError(f"scores of {self.dtype} must be float32 or float64, got {wide}")

    @cached_property
    def fine(self) -> float:
        """The rounding of scores and energies."""
        return self.precise.eps

    @cached_property
    def tiny(self) -> float:
        """The smallest normal number of scores and energies."""
        return float(np.finfo(self.precise.dtype).tiny)

    def put(self, values: Array) -> Any:
        """An array of the library; NumPy's are read-only, so that writing to an input is an error."""
        dtype = "bool" if values.dtype == np.bool_ else self.dtype
        array = self.backend.asarray(np.array(values), dtype=dtype, device=self.device)
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
        """The float64 values that the library sees."""
        return self.get(self.put(values))

    def __call__(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """The result of a function of arrays, whose inputs it must leave as they were."""
        given = [self._put(value) for value in arguments]
        named = {name: self._put(value) for name, value in options.items()}
        result = self.get(function(*given, **named))
        for before, after in zip(
            [*arguments, *options.values()], [*given, *named.values()], strict=True
        ):
            if isinstance(before, np.ndarray):
                np.testing.assert_array_equal(
                    self.get(after), self.get(self.put(before)), "an input was written to"
                )
        return result

    def _put(self, value: Any) -> Any:
        return self.put(value) if isinstance(value, np.ndarray) else value

    @property
    def differentiates(self) -> bool:
        """Whether the suite knows how the library takes derivatives."""
        return self.backend.name in AUTODIFF

    def gradient(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        by: Sequence[int],
        probe: Array | None = None,
        **options: Any,
    ) -> tuple[Array, ...]:
        """The library's own gradient of ``sum(probe * function(*arguments))`` by some arguments."""
        probes = None if probe is None else self.precise.put(probe)
        named = {name: self._put(value) for name, value in options.items()}

        def total(*given: Any) -> Any:
            result = function(*given, **named)
            result = self.backend.astype(result, self.backend.precise[result.dtype])
            return self.backend.xp.sum(result if probes is None else result * probes)

        given = [self._put(value) for value in arguments]
        return self.get(tuple(AUTODIFF[self.backend.name](total, given, tuple(by))))


def torch_gradient(total: Callable[..., Any], given: list[Any], by: tuple[int, ...]) -> list[Any]:
    """Reverse mode of torch."""
    import torch  # noqa: PLC0415

    leaves = [array.clone().requires_grad_() if i in by else array for i, array in enumerate(given)]
    wanted = [leaves[i] for i in by]
    found = torch.autograd.grad(total(*leaves), wanted, allow_unused=True)
    return [
        torch.zeros_like(leaf) if gradient is None else gradient
        for leaf, gradient in zip(wanted, found, strict=True)
    ]


def jax_gradient(total: Callable[..., Any], given: list[Any], by: tuple[int, ...]) -> list[Any]:
    """Reverse mode of JAX."""
    import jax  # noqa: PLC0415

    return list(jax.grad(total, argnums=by)(*given))


AUTODIFF = {"torch": torch_gradient, "jax": jax_gradient}
"""How a library takes derivatives, by the name of its backend."""


class ReferenceArray(np.ndarray):
    """NumPy arrays that hopcore hands to the portable kernels, whatever kernels NumPy's own has."""


class Reference(Subject):
    """hopcore's portable kernels on NumPy float64: what every backend is compared with."""

    def __init__(self) -> None:
        super().__init__(Backend("numpy", array_api_compat.numpy), "float64")
        # The look-up by type is how hopcore finds a backend; this type has the portable one.
        _BY_TYPE[ReferenceArray] = self.backend

    def put(self, values: Array) -> Any:
        """A read-only array of the type that finds the portable kernels."""
        return super().put(values).view(ReferenceArray)


reference = Reference()
