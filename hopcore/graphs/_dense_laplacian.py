"""Laplacians given as arrays, and :func:`as_laplacian`, which accepts every form of a Laplacian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hopcore.arrays._array_checks import (
    backend_of_input,
    broadcast_shapes,
    check_finite,
    check_floating,
    shape,
)
from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._library import quiet
from hopcore.graphs._edges import check_features
from hopcore.graphs._graph import Graph
from hopcore.graphs._laplacian import Laplacian, laplacian_of, largest_eigenvalue, readable_bound


@dataclass(frozen=True, eq=False)
class DenseLaplacian:
    """A Laplacian given as an array ``(..., N, N)``, with the methods of :class:`Laplacian`."""

    matrix: Array

    @property
    def backend(self) -> Backend:
        """The backend of the matrix."""
        return backend_of_input("laplacian", self.matrix)

    @quiet
    def __matmul__(self, features: Array) -> Array:
        """The Laplacian times features ``(..., N, d)``."""
        return self.apply(features, lambda x: self.product(self.matrix, x))

    def apply(self, features: Array, work: Callable[[Array], Array]) -> Array:
        """Apply ``work``, a function of the Laplacian, to features ``(..., N, d)``."""
        nodes = self.matrix.shape[-1]
        check_features(self.backend, self.matrix, features)
        if features.ndim < 2 or features.shape[-2] != nodes:
            raise ValueError(
                f"features must hold a row for each of the {nodes} nodes: (..., {nodes}, d), "
                f"got {shape(features)}"
            )
        dtype, lead = features.dtype, tuple(features.shape[:-2])
        full = broadcast_shapes(laplacian=tuple(self.matrix.shape[:-2]), features=lead)
        # Convert before broadcasting: gradients of half precision are then summed in float32.
        features = self.backend.astype(features, self.matrix.dtype)
        if full != lead:
            features = self.backend.xp.broadcast_to(features, (*full, *features.shape[-2:]))
        return self.backend.astype(work(features), dtype)

    def product(self, matrix: Array, features: Array) -> Array:
        """Multiply a matrix by features ``(..., N, d)``."""
        return self.backend.xp.matmul(matrix, features)

    def shifted(self, by: Any, times: Any) -> Array:
        """Return the matrix ``by I + times L``."""
        eye = self.backend.xp.eye(
            self.matrix.shape[-1],
            dtype=self.matrix.dtype,
            device=self.backend.device(self.matrix),
        )
        return by * eye + times * self.matrix

    @property
    def shape(self) -> tuple[int, ...]:
        """``(..., N, N)``."""
        return tuple(self.matrix.shape)

    @property
    def values(self) -> Array:
        """The matrix."""
        return self.matrix

    @property
    def bound(self) -> Any:
        """Gershgorin's upper bound of the eigenvalues; a float unless traced."""
        if 0 in self.matrix.shape:  # no matrix
            return 0.0
        xp = self.backend.xp
        return readable_bound(self.backend, xp.max(xp.sum(xp.abs(self.matrix), axis=-1)))

    def largest(self, eta: Any = 1.0) -> float:
        """The largest eigenvalue of ``eta L``, eta a number or one for each sample."""
        import numpy as np  # noqa: PLC0415

        matrix = self.backend.to_numpy(self.backend.constant(self.matrix))
        return largest_eigenvalue(np.asarray(eta)[..., None, None] * matrix)

    def to_dense(self) -> Array:
        """The matrix."""
        return self.matrix


AnyLaplacian = Laplacian | DenseLaplacian


def as_laplacian(laplacian: Any) -> AnyLaplacian:
    """Check a Laplacian, a graph or an array ``(..., N, N)``; return it as a Laplacian."""
    if isinstance(laplacian, Laplacian | DenseLaplacian):
        return laplacian
    if isinstance(laplacian, Graph):
        return laplacian_of(laplacian, laplacian.normalization)
    backend = backend_of_input("laplacian", laplacian)
    check_floating(backend, "laplacian", laplacian)
    if laplacian.ndim < 2 or not 0 < laplacian.shape[-1] == laplacian.shape[-2]:
        raise ValueError(
            f"laplacian must be (..., N, N), got {shape(laplacian)}; the graph of patterns (N, d) "
            "is hopcore.knn_graph(patterns, k)"
        )
    if 0 not in laplacian.shape and backend.can_read_values(laplacian):
        check_finite(backend, "laplacian", laplacian)
        xp = backend.xp
        lowest = float(xp.min(backend.constant(xp.linalg.diagonal(laplacian))))
        if lowest < 0:
            raise ValueError(f"laplacian must have a diagonal >= 0, got {lowest}: is it negated?")
    return DenseLaplacian(backend.astype(laplacian, backend.precise[laplacian.dtype]))
