r"""A learned metric: a memory in which a linear map decides what counts as similar.

With a matrix W and :math:`A = W^T W`, scores are :math:`\beta\, x_i^T A \xi`, or by distance
:math:`-\tfrac\beta2 \|W (\xi - x_i)\|^2`. Energies and weights are therefore those of the mapped
state :math:`W \xi` in the mapped memory :math:`X W^T`, and an update associates the mapped patterns
with the patterns as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import backend_of_input, shape
from hopcore.arrays._backend import Array
from hopcore.arrays._discovery import backend_of
from hopcore.arrays._edge import as_floating, inputs_at_edge
from hopcore.arrays._library import AnyArray, BetaLike, SomeArray, quiet
from hopcore.arrays._scalar_checks import as_number, short_repr
from hopcore.memory._association import association
from hopcore.memory._compact import is_absolute
from hopcore.memory._energy import energy, lse
from hopcore.memory._retrieval import Retrieval, retrieve
from hopcore.memory._scores import Similarity
from hopcore.memory._separation import Separation, get_separation


@suggest_names
@dataclass(frozen=True)
class Metric:
    r"""A memory whose scores are taken after a linear map W, which can be learned.

    .. math::
        E(\xi) = \tfrac12 \xi^T A\, \xi - \tfrac1\beta \Omega^*(\beta X A\, \xi) + c, \qquad
        f(\xi) = X^T w(\beta X A\, \xi), \qquad A = W^T W

    An update lowers the energy by at least :math:`\tfrac12 \|W (f(\xi) - \xi)\|^2`.

    Parameters
    ----------
    weight : array (m, d)
        The matrix W: patterns of d features are compared after they are mapped to m features. It
        may be a parameter of torch or JAX: results have derivatives by it.

    Raises
    ------
    TypeError, ValueError
        The matrix is not a real floating array of two axes. Its width is compared with that of the
        patterns when it is used.

    Notes
    -----
    Directions that W maps to zero are ignored by scores, so what a state holds there is replaced by
    what the retrieved patterns hold. With the identity, every result is that of the function of
    :mod:`hopcore.memory` of the same name.

    Source: Wu et al. 2024, "Uniform memory retrieval with larger capacity for modern Hopfield
    models" (U-Hop).

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> stored = np.asarray([[1.0, 0.0, 3.0], [0.0, 1.0, -3.0]])
    >>> metric = hopcore.memory.Metric(np.eye(2, 3))  # the third feature is not compared
    >>> metric.update([[0.9, 0.1, -9.0]], stored, 20.0).round(2)
    array([[1., 0., 3.]])
    """

    weight: Any

    def __post_init__(self) -> None:
        weight = as_floating("weight", self.weight)
        backend_of_input("weight", weight)
        if weight.ndim != 2:
            raise ValueError(f"weight must be a matrix (m, d), got {shape(weight)}")
        object.__setattr__(self, "weight", weight)

    @quiet
    def __call__(self, patterns: SomeArray) -> SomeArray:
        """Return the mapped patterns ``(..., N, m)``.

        Parameters
        ----------
        patterns : array (..., N, d) or (d,)
            Patterns or states, of the library and dtype of the matrix.

        Examples
        --------
        >>> import numpy as np, hopcore
        >>> hopcore.memory.Metric(np.asarray([[1.0, 1.0]]))([[2.0, 3.0]])
        array([[5.]])
        """
        mapped: Any = as_floating("patterns", patterns)
        library, matrix = backend_of(mapped), self._matrix(mapped)
        if getattr(mapped, "ndim", 0) < 1 or mapped.shape[-1] != matrix.shape[-1]:
            raise ValueError(
                f"patterns must have the width of the metric, (..., {matrix.shape[-1]}), "
                f"got {shape(mapped)}"
            )
        return library.xp.matmul(mapped, library.xp.matrix_transpose(matrix))

    def energy(
        self,
        state: SomeArray,
        stored: AnyArray,
        beta: BetaLike,
        *,
        mask: AnyArray | None = None,
        separation: Separation = "softmax",
        similarity: Similarity = "dot",
        bias: AnyArray | None = None,
    ) -> SomeArray:
        """Return the energy of each state, ``(..., L)``.

        Parameters
        ----------
        state, stored, beta, mask, separation, similarity, bias
            As in :func:`hopcore.energy`.

        Examples
        --------
        >>> import numpy as np, hopcore
        >>> hopcore.memory.Metric(2.0 * np.eye(2)).energy([[1.0, 0.0]], np.eye(2), 1.0).round(4)
        array([0.675])
        """
        at, memory, _, single = self._mapped(state, stored, beta, mask)
        found: Any = energy(
            at, memory, beta, mask=mask, separation=separation, similarity=similarity, bias=bias
        )
        return found[..., 0] if single else found

    def update(
        self,
        state: SomeArray,
        stored: AnyArray,
        beta: BetaLike,
        *,
        mask: AnyArray | None = None,
        separation: Separation = "softmax",
        similarity: Similarity = "dot",
        bias: AnyArray | None = None,
    ) -> SomeArray:
        r"""Return one update of each state, :math:`X^T w(\beta X A \xi)`, ``(..., L, d)``.

        Parameters
        ----------
        state, stored, beta, mask, separation, similarity, bias
            As in :func:`hopcore.update`. Compact kernels are refused: with them, a state may be
            at rest without being an association of the patterns.

        Examples
        --------
        >>> import numpy as np, hopcore
        >>> hopcore.memory.Metric(3.0 * np.eye(2)).update([[0.8, 0.1]], np.eye(2), 1.0).round(3)
        array([[0.998, 0.002]])
        """
        check_recalls(separation, similarity)
        at, memory, values, single = self._mapped(state, stored, beta, mask)
        found: Any = association(
            at, memory, values, beta=beta, mask=mask, separation=separation,
            similarity=similarity, bias=bias,
        )  # fmt: skip
        return found[..., 0, :] if single else found

    def retrieve(
        self,
        state: SomeArray,
        stored: AnyArray,
        beta: BetaLike,
        *,
        mask: AnyArray | None = None,
        separation: Separation = "softmax",
        similarity: Similarity = "dot",
        bias: AnyArray | None = None,
        max_steps: int = 100,
        tol: float = 1e-6,
    ) -> Retrieval[SomeArray]:
        r"""Repeat the update until each mapped query rests, and return the patterns there.

        Parameters
        ----------
        state, stored, beta, mask, separation, similarity, bias, max_steps, tol
            As in :func:`hopcore.retrieve`. Lengths are those of the metric, :math:`\|W \xi\|`.

        Returns
        -------
        Retrieval
            ``state, steps, converged, residual, energy``. The loop runs among mapped patterns; its
            last state is mapped back by one more association, which is not counted as a step.

        Examples
        --------
        >>> import numpy as np, hopcore
        >>> found = hopcore.memory.Metric(3.0 * np.eye(2)).retrieve([[0.8, 0.1]], np.eye(2), 1.0)
        >>> found.state.round(3), found.converged
        (array([[1., 0.]]), array([ True]))
        """
        check_recalls(separation, similarity)
        at, memory, values, single = self._mapped(state, stored, beta, mask)
        found: Any = retrieve(
            at, memory, beta, mask=mask, separation=separation, similarity=similarity,
            bias=bias, max_steps=max_steps, tol=tol,
        )  # fmt: skip
        recalled: Any = association(
            found.state, memory, values, beta=beta, mask=mask, separation=separation,
            similarity=similarity, bias=bias,
        )  # fmt: skip
        if single:
            rest = tuple(array[..., 0] for array in found[1:])
            return Retrieval(recalled[..., 0, :], *rest)
        return Retrieval(recalled, *found[1:])

    @quiet
    def separation_loss(self, patterns: SomeArray, scale: float = 2.0) -> SomeArray:
        r"""Return a number that is the smaller, the further apart mapped patterns are.

        .. math::
            \log \frac{2}{N (N - 1)} \sum_{i < j} e^{-t \|W (x_i - x_j)\|^2}

        Parameters
        ----------
        patterns : array (..., N, d)
            At least two patterns.
        scale : float
            The number t, positive.

        Returns
        -------
        array (...)
            At most 0, which is reached only if W maps all patterns to one point. A larger W lowers
            the loss, so hold the norm of W or of its rows fixed to learn more than a scale.

        Notes
        -----
        A boolean array ``(N, N)`` is held, since a pattern is not compared with itself.

        Examples
        --------
        >>> import numpy as np, hopcore
        >>> hopcore.memory.Metric(np.eye(2)).separation_loss(np.eye(2), 0.5).round(4)
        np.float64(-1.0)
        """
        scale = as_number("scale", scale, positive=True)
        mapped: Any = self(patterns)
        if mapped.ndim < 2 or mapped.shape[-2] < 2:
            raise ValueError(f"patterns must be two or more, (..., N, d), got {shape(patterns)}")
        library, count = backend_of(mapped), mapped.shape[-2]
        xp = library.xp
        others = ~xp.eye(count, dtype=xp.bool, device=library.device(mapped))
        beta = 2.0 * scale
        nearness = -energy(mapped, mapped, beta, mask=others, similarity="distance")
        return beta * lse(beta, nearness) - math.log(count * (count - 1.0))

    def _matrix(self, like: Any) -> Array:
        """Return the matrix as an array of the library and the dtype of the patterns."""
        library = backend_of(like)
        if backend_of(self.weight) is not library:
            raise TypeError(
                f"patterns and the metric's weight must be arrays of one library, "
                f"got {library.name} and {backend_of(self.weight).name}"
            )
        return library.astype(self.weight, like.dtype)

    def _mapped(
        self, state: Any, stored: Any, beta: Any, mask: Any
    ) -> tuple[Array, Array, Array, bool]:
        """Return mapped states and patterns, the patterns, and whether there is a single query."""
        inputs, single = inputs_at_edge(state, stored, beta=beta, mask=mask)
        return self(inputs.state), self(inputs.stored), inputs.stored, single


def check_recalls(separation: Separation, similarity: Similarity) -> None:
    """Raise if a resting state may be no association of the patterns, which a metric returns."""
    function = get_separation(separation, similarity)
    if is_absolute(function):
        raise ValueError(
            f"a metric takes no compact kernel, got separation={short_repr(separation)}: "
            "write separation='sparsemax'"
        )
