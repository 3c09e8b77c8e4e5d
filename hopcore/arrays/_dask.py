"""The Dask backend: arrays in chunks, which are computed when their values are needed.

Formulas stay lazy. The kernels of NumPy compute separation functions chunk by chunk, and the heat
kernels that Dask lacks. A loop must read its condition, so each of its steps is computed and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import array_api_compat.dask.array as xp
import dask.array as da
import numpy as np
from dask.base import persist

from hopcore.arrays._backend import Array, Backend, SeparationFunction, orders_of, with_orders
from hopcore.arrays._graph_kernels import Rows
from hopcore.arrays._numpy import NumpyBackend

NUMPY = NumpyBackend()


class Namespace(ModuleType):
    """Dask's namespace, completed by functions of the standard that it lacks."""

    def __getattr__(self, name: str) -> Any:
        return getattr(xp, name)

    @staticmethod
    def reshape(array: Array, /, shape: tuple[int, ...], **options: Any) -> Array:
        """Reshape empty arrays, too."""
        if 0 in array.shape and -1 not in shape:
            return da.zeros(shape, dtype=array.dtype)
        return xp.reshape(array, shape, **options)

    @staticmethod
    def take_along_axis(array: Array, places: Array, /, *, axis: int = -1) -> Array:
        """Use NumPy on chunks that hold the whole axis."""
        if 0 in places.shape:  # Dask does not rechunk empty arrays
            return da.zeros(places.shape, dtype=array.dtype)
        taken = da.apply_gufunc(
            lambda some, at: np.take_along_axis(some, at, axis=-1),
            "(n),(k)->(k)",
            da.moveaxis(array, axis, -1),
            da.moveaxis(places, axis, -1),
            output_dtypes=array.dtype,
            allow_rechunk=True,
        )
        return da.moveaxis(taken, -1, axis)


class DaskBackend(Backend):
    """Dask arrays of NumPy arrays of float32 and float64, with known shapes."""

    def __init__(self) -> None:
        super().__init__("dask.array", Namespace(xp.__name__))

    @property
    def expected_failures(self) -> Mapping[str, str]:
        """The checks that lazy arrays cannot pass."""
        return EXPECTED_FAILURES

    def can_read_values(self, array: Array) -> bool:
        """Never, since reading a value would compute everything that it depends on."""
        return False

    def can_fetch_values(self, array: Array) -> bool:
        """Always, by computing it."""
        return True

    def separate(self, scores: Array, separation: SeparationFunction) -> tuple[Array, Array]:
        """Use NumPy's kernel on every chunk, each of which has whole rows."""
        orders = orders_of(separation)
        given = () if orders is None else (da.broadcast_to(orders, scores.shape[:-1]),)
        return da.apply_gufunc(
            lambda some, *own: NUMPY.separate(some, with_orders(separation, *(own or (None,)))),
            "(s)->(s),()" if orders is None else "(s),()->(s),()",
            whole(scores),
            *given,
            output_dtypes=(scores.dtype, scores.dtype),
        )

    def row_sum(self, entries: Rows, values: Array) -> Array:
        """Use NumPy's kernel on all entries at once."""
        return by_rows(NUMPY.row_sum, entries, values)

    def row_max(self, entries: Rows, values: Array) -> Array:
        """Use NumPy's kernel on all entries at once."""
        return by_rows(NUMPY.row_max, entries, values)

    def heat_kernel(self, matrix: Array) -> Array:
        """Use NumPy's kernel on every matrix."""
        return da.apply_gufunc(
            NUMPY.heat_kernel,
            "(i,j)->(i,j)",
            matrix,
            output_dtypes=matrix.dtype,
            allow_rechunk=True,
        )

    def loop(
        self,
        cond: Callable[[Any], Array],
        body: Callable[[Any], Any],
        init: Any,
        max_steps: int,
        *,
        differentiable: bool = False,
    ) -> Any:
        """Run the portable loop, and keep each step's result, or the next would recompute it."""
        return super().loop(cond, lambda value: persist(body(value))[0], init, max_steps)


def whole(array: Array) -> Array:
    """The array with its last axis in a single chunk."""
    return array.rechunk({array.ndim - 1: -1})


def by_rows(kernel: Callable[..., Any], entries: Rows, values: Array) -> Array:
    """Apply a kernel to the values ``(E, ...)`` of each row, with result ``(n, ...)``."""

    def work(indptr: Array, rows: Array, columns: Array, some: Array) -> Array:
        return np.moveaxis(kernel(Rows(indptr, rows, columns), np.moveaxis(some, -1, 0)), 0, -1)

    result = da.apply_gufunc(
        work,
        "(m),(e),(e),(e)->(n)",
        *map(whole, entries),
        whole(da.moveaxis(values, 0, -1)),
        output_dtypes=values.dtype,
        output_sizes={"n": entries.count},
    )
    return da.moveaxis(result, -1, 0)


EXPECTED_FAILURES = {
    "test_graph.py::test_conversions_keep_the_graph": "how many edges a graph has depends on "
    "values, and Dask knows no shape that does",
}
