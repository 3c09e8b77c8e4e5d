"""What an operator may be handed for a Laplacian: one of a graph, the graph itself, or an array."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._inputs import (
    backend_of_input,
    broadcast_shapes,
    check_finite,
    check_floating,
    shape,
)
from hopcore.graphs._edges import check_features
from hopcore.graphs._graph import Graph
from hopcore.graphs._laplacian import Laplacian, laplacian_of, largest_bound, largest_of


@dataclass(frozen=True, eq=False)
class DenseLaplacian:
    """A Laplacian given as an array ``(..., N, N)``; what operators need of it."""

    matrix: Array

    @property
    def backend(self) -> Backend:
        """The backend of the matrix."""
        return backend_of_input("laplacian", self.matrix)

    def __matmul__(self, features: Array) -> Array:
        """The Laplacian times features ``(..., N, d)``."""
        return self.apply(features, lambda x: self.product(self.matrix, x))

    def apply(self, features: Array, work: Callable[[Array], Array]) -> Array:
        """A function of the Laplacian times features."""
        nodes = self.matrix.shape[-1]
        if features.ndim < 2 or features.shape[-2] != nodes:
            raise ValueError(
                f"features must hold a row for each of the {nodes} nodes: (..., {nodes}, d), "
                f"got {shape(features)}"
            )
        check_features(self.backend, self.matrix, features)
        dtype, lead = features.dtype, tuple(features.shape[:-2])
        full = broadcast_shapes(laplacian=tuple(self.matrix.shape[:-2]), features=lead)
        wide = self.backend.astype(features, self.matrix.dtype)
        if full != lead:
            wide = self.backend.xp.broadcast_to(wide, (*full, *features.shape[-2:]))
        return self.backend.astype(work(wide), dtype)

    def product(self, matrix: Array, features: Array) -> Array:
        """A matrix times features ``(..., N, d)``."""
        return self.backend.xp.matmul(matrix, features)

    def shifted(self, by: Any, times: Any) -> Array:
        """``by I + times L``."""
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
        """An upper bound of the eigenvalues (Gershgorin); a float where visible."""
        xp = self.backend.xp
        return largest_bound(self.backend, xp.max(xp.sum(xp.abs(self.matrix), axis=-1)))

    def largest(self, eta: Any = 1.0) -> float:
        """The largest eigenvalue of ``eta L``, eta a number or one for each sample."""
        import numpy as np  # noqa: PLC0415

        matrix = self.backend.to_numpy(self.backend.constant(self.matrix))
        return largest_of(np.asarray(eta)[..., None, None] * matrix)

    def to_dense(self) -> Array:
        """The matrix."""
        return self.matrix


Operand = Laplacian | DenseLaplacian


def operand(laplacian: Any) -> Operand:
    """What an operator is handed: a Laplacian, a graph, or an array ``(..., N, N)``."""
    if isinstance(laplacian, Laplacian | DenseLaplacian):
        return laplacian
    if isinstance(laplacian, Graph):
        return laplacian_of(laplacian, laplacian.normalization)
    backend = backend_of_input("laplacian", laplacian)
    check_floating(backend, "laplacian", laplacian)
    if laplacian.ndim < 2 or laplacian.shape[-1] != laplacian.shape[-2] or 0 in laplacian.shape:
        raise ValueError(f"laplacian must be (..., N, N), got {shape(laplacian)}")
    if backend.can_read_values(laplacian):
        check_finite(backend, "laplacian", laplacian)
        xp = backend.xp
        least = float(xp.min(backend.constant(xp.linalg.diagonal(laplacian))))
        if least < 0:
            raise ValueError(f"laplacian must have a diagonal >= 0, got {least}: is it negated?")
    return DenseLaplacian(backend.astype(laplacian, backend.precise[laplacian.dtype]))


def dirichlet_energy(features: Array, laplacian: Any) -> Array:
    r"""The Dirichlet energy :math:`\operatorname{tr}(X^T L X) / 2`: how rough features are.

    For the unnormalised Laplacian :math:`\sum_{i<j} w_{ij} \|x_i - x_j\|^2 / 2`.

    Parameters
    ----------
    features : array (..., N, d)
    laplacian : Graph, Laplacian or array (..., N, N)
        Symmetric: unnormalised or symmetric.

    Returns
    -------
    array (...)
        At least 0 up to rounding; in at least float32.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> W = np.asarray([[0.0, 2.0], [2.0, 0.0]])
    >>> float(hopcore.dirichlet_energy(np.asarray([[1.0], [4.0]]), hopcore.compute_laplacian(W)))
    9.0
    """
    found = operand(laplacian)
    if isinstance(found, Laplacian) and found.scale is not None:
        raise ValueError(
            "the Dirichlet energy needs a symmetric Laplacian, not the random-walk one"
        )
    backend = found.backend
    check_floating(backend, "features", features)
    wide = backend.astype(features, backend.precise[features.dtype])
    return 0.5 * backend.xp.sum(wide * (found @ wide), axis=(-2, -1))
