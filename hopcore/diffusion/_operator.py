"""Diffusion operators: linear maps that smooth patterns over a graph."""

from __future__ import annotations

from abc import ABC, abstractmethod

from hopcore.arrays._backend import Array
from hopcore.arrays._scalar_checks import short_repr
from hopcore.graphs._dense_laplacian import AnyLaplacian


class DiffusionOperator(ABC):
    r"""A linear map that smooths patterns ``(..., N, d)``.

    To write your own operator, derive from this class and define ``__call__``. Loops that alternate
    diffusion and association call :meth:`step`.

    Attributes
    ----------
    one_shot : bool
        Whether a loop of T steps applies the operator only once, as for a heat kernel; otherwise
        the loop applies :meth:`step` T times.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> class Mean(hopcore.DiffusionOperator):
    ...     def __call__(self, features):
    ...         return 0.5 * (features + features.mean(axis=-2, keepdims=True))
    >>> Mean()(np.asarray([[0.0], [4.0]]))
    array([[1.],
           [3.]])
    """

    one_shot: bool = False
    laplacian: AnyLaplacian | None = None

    def __repr__(self) -> str:
        """Return one line with the Laplacian and the numbers of the operator."""
        given = [repr(self.laplacian)] if self.laplacian is not None else []
        for name in ("eta", "steps", "tol"):
            if hasattr(self, name):
                given.append(f"{name}={short_repr(getattr(self, name))}")
        return f"{type(self).__name__}({', '.join(given)})"

    @abstractmethod
    def __call__(self, features: Array) -> Array:
        """Return the diffused features, of the same shape and dtype."""

    def step(self, features: Array) -> Array:
        """Apply one step, or the whole operator if it has no steps."""
        return self(features)
