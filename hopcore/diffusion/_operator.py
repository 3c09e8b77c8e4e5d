"""What a diffusion operator is."""

from __future__ import annotations

from abc import ABC, abstractmethod

from hopcore.arrays._backend import Array
from hopcore.graphs._dense_laplacian import Operand


class DiffusionOperator(ABC):
    r"""A linear map of patterns ``(..., N, d)`` that is ready when it is constructed.

    To write one's own, derive from it and define ``__call__``; a loop that alternates diffusion and
    association calls :meth:`step`.

    Attributes
    ----------
    one_shot : bool
        Whether one application is all of it (a heat kernel), so that a loop that diffuses and then
        associates applies it once; otherwise a loop of T steps applies :meth:`step` T times.

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
    laplacian: Operand | None = None

    @abstractmethod
    def __call__(self, features: Array) -> Array:
        """The diffused features, of the same shape and dtype."""

    def step(self, features: Array) -> Array:
        """One step of it; all of it, where it has no steps."""
        return self(features)
