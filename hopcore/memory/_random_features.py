r"""Random features: a memory whose size does not depend on the number of stored patterns.

The kernel of distances is a mean over normal vectors s (Rahimi and Recht 2007),

.. math::
    e^{-\frac\beta2 \|\xi - x\|^2} = \operatorname{E}_s \cos(\sqrt\beta\, s \cdot (\xi - x)),
    \qquad s \sim N(0, 1)^d .

With R of them, the sum over all patterns is :math:`K(\xi) = \frac1R \sum_r u_r`,

.. math::
    u_r = \cos(\sqrt\beta\, s_r \cdot \xi)\, C_r + \sin(\sqrt\beta\, s_r \cdot \xi)\, D_r, \qquad
    C_r = \sum_i \cos(\sqrt\beta\, s_r \cdot x_i), \quad
    D_r = \sum_i \sin(\sqrt\beta\, s_r \cdot x_i) .

The 2 R numbers C and D are all that is kept of the patterns (Hoover et al. 2024).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import (
    backend_of_input,
    check_alike,
    check_finite,
    check_state,
    shape,
)
from hopcore.arrays._backend import BLOCK, Array, Backend
from hopcore.arrays._edge import as_floating, without_axis, without_row
from hopcore.arrays._graph_kernels import chunks
from hopcore.arrays._library import AnyArray, SomeArray, quiet
from hopcore.arrays._scalar_checks import MOST_NUMBER, as_integer, as_number


@suggest_names
@dataclass(frozen=True, repr=False)
class RandomFeatures:
    r"""A memory of random features, which stands for any number of patterns.

    With the sum of kernels :math:`K(\xi)`, an unbiased estimate of
    :math:`\sum_i e^{-\beta \|\xi - x_i\|^2 / 2}`,

    .. math::
        E(\xi) = -\tfrac1\beta \log K(\xi), \qquad f(\xi) = \xi - \nabla E(\xi),

    as of a memory with ``similarity="distance"`` and the softmax. A warm memory needs few features.
    A cold one needs so many that the patterns themselves are smaller: the sum is hardly larger than
    1 near a pattern, while each of its R terms may be as large as N.

    Parameters
    ----------
    size : int
        The number d of coordinates of a pattern, at least 1.
    beta : float
        Inverse temperature, positive. The features depend on it, so it cannot be changed later.
    count : int
        The number R of random vectors, at least 2.
    seed : int
        The seed of the random vectors, >= 0. Memories of one seed, size, beta and count can be
        compared, and have the same features in all libraries.
    largest_error : float
        The largest relative standard error of a sum of kernels with which :meth:`energy` and
        :meth:`update` answer. ``math.inf`` turns the refusal off.

    Raises
    ------
    TypeError, ValueError
        Arguments out of range; patterns that are not ``(S, d)`` or not finite.

    Notes
    -----
    The memory is R d random numbers and 2 R sums, however many patterns are added. A memory never
    changes: :meth:`add` returns another one. The error falls as :math:`1 / \sqrt R`, and
    :meth:`error` measures it for each state. Where values cannot be read, as under ``jax.jit``,
    nothing is refused, and a sum of kernels below the smallest normal number counts as that one.

    Source: Rahimi and Recht 2007, "Random features for large-scale kernel machines"; Hoover et al.
    2024, "Dense associative memory through the lens of random features".

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> patterns = np.random.default_rng(0).normal(size=(1000, 4))
    >>> memory = hopcore.memory.RandomFeatures(4, 0.5, count=20_000).add(patterns)
    >>> state = np.zeros((1, 4))
    >>> memory.energy(state).round(2), memory.error(state).round(3)
    (array([-12.19]), array([0.004]))
    >>> hopcore.energy(state, patterns, 0.5, similarity="distance").round(2)
    array([-12.19])
    """

    size: int
    beta: float
    count: int = 4096
    seed: int = 0
    largest_error: float = 0.5
    stored: int = field(default=0, init=False)
    """The number of patterns that were added."""
    _sums: tuple[Array, Array, Array] | None = field(default=None, init=False, compare=False)
    """The random vectors ``(R, d)``, C and D ``(R,)``."""

    def __post_init__(self) -> None:
        for name, least in (("size", 1), ("count", 2), ("seed", 0)):
            object.__setattr__(self, name, as_integer(name, getattr(self, name), least))
        if self.size * self.count > MOST_NUMBER:
            raise ValueError(
                f"size * count random numbers must be at most {MOST_NUMBER}, got "
                f"{self.size} * {self.count}"
            )
        object.__setattr__(self, "beta", as_number("beta", self.beta, positive=True))
        if not (isinstance(self.largest_error, float) and self.largest_error == math.inf):
            error = as_number("largest_error", self.largest_error, positive=True)
            object.__setattr__(self, "largest_error", error)

    def __repr__(self) -> str:
        return (
            f"<RandomFeatures: {self.stored} patterns of size {self.size} in {self.count} "
            f"features, beta={self.beta:g}>"
        )

    @quiet
    def add(self, patterns: AnyArray) -> RandomFeatures:
        """Return the memory with more patterns.

        Parameters
        ----------
        patterns : array (S, d)
            Patterns, of the library and the dtype of those that were added before.

        Returns
        -------
        RandomFeatures
            A memory of the same size in bytes.
        """
        backend, array = self._checked("patterns", patterns)
        if array.ndim != 2:
            raise ValueError(f"patterns must be (S, {self.size}), got {shape(array)}")
        vectors, *sums = self._sums or self._empty(backend, array)
        rows = chunks(array.shape[0], max(1, BLOCK // self.count))
        for part in rows:
            phase = self._phases(backend, array[part, :], vectors)
            xp = backend.xp
            sums = [
                total + xp.sum(function(phase), axis=-2)
                for total, function in zip(sums, (xp.cos, xp.sin), strict=True)
            ]
        more = replace(self)
        object.__setattr__(more, "stored", self.stored + array.shape[0])
        object.__setattr__(more, "_sums", (vectors, *sums))
        return more

    @quiet
    def energy(self, state: SomeArray) -> SomeArray:
        r"""Return the energy of states, :math:`-\frac1\beta \log K(\xi)`.

        Parameters
        ----------
        state : array (..., L, d) or (d,)
            State patterns.

        Returns
        -------
        array (..., L)
            Its error is about ``error(state) / beta``.

        Raises
        ------
        ValueError
            There are no patterns, or the error of a state is larger than ``largest_error``.
        """
        backend, states, single = self._states(state)
        total, _, error = self._sum(backend, states)
        self._refuse_large(backend, error)
        return without_axis(-backend.xp.log(total) / self.beta, single)

    @quiet
    def update(self, state: SomeArray) -> SomeArray:
        r"""Return states after one update, :math:`\xi + \nabla K(\xi) / (\beta K(\xi))`.

        Parameters
        ----------
        state : array (..., L, d) or (d,)
            State patterns.

        Returns
        -------
        array (..., L, d)
            An estimate of ``hopcore.update(..., similarity="distance")``.

        Raises
        ------
        ValueError
            As :meth:`energy`.
        """
        backend, states, single = self._states(state)
        total, slope, error = self._sum(backend, states)
        self._refuse_large(backend, error)
        moved = slope / (self.beta * total[..., None])
        return without_row(states + backend.astype(moved, states.dtype), single)

    @quiet
    def error(self, state: SomeArray) -> SomeArray:
        """Return the relative standard error of the sum of kernels of each state.

        Parameters
        ----------
        state : array (..., L, d) or (d,)
            State patterns.

        Returns
        -------
        array (..., L)
            The standard deviation of the R terms divided by the square root of R and by their mean;
            inf where the mean is not positive. From about 1 on, the sum says nothing.
        """
        backend, states, single = self._states(state)
        return without_axis(self._sum(backend, states)[2], single)

    def _sum(self, backend: Backend, states: Array) -> tuple[Array, Array, Array]:
        """Return the sums of kernels, their gradients and their relative errors."""
        assert self._sums is not None
        xp = backend.xp
        vectors, cosines, sines = self._sums
        phase = self._phases(backend, states, vectors)
        cosine, sine = xp.cos(phase), xp.sin(phase)
        terms = cosine * cosines + sine * sines
        mean = xp.mean(terms, axis=-1)
        spread = xp.sqrt(xp.mean((terms - mean[..., None]) ** 2, axis=-1) / (self.count - 1))
        least = xp.finfo(mean.dtype).smallest_normal
        positive = mean > least
        total = xp.where(positive, mean, least)
        slopes = (cosine * sines - sine * cosines) * (math.sqrt(self.beta) / self.count)
        error = xp.where(positive, spread / total, math.inf)
        return total, xp.matmul(slopes, vectors), error

    def _phases(self, backend: Backend, patterns: Array, vectors: Array) -> Array:
        precise = backend.astype(patterns, backend.precise[patterns.dtype])
        products = backend.xp.matmul(precise, backend.xp.matrix_transpose(vectors))
        return math.sqrt(self.beta) * products

    def _empty(self, backend: Backend, like: Array) -> tuple[Array, Array, Array]:
        """Return the random vectors, and sums over no pattern."""
        drawn = np.random.default_rng(self.seed).standard_normal((self.count, self.size))
        dtype = backend.precise[like.dtype]
        vectors = backend.astype(backend.asarray(drawn, device=backend.device(like)), dtype)
        zeros = backend.xp.zeros_like(vectors[:, 0])
        return vectors, zeros, zeros

    def _checked(self, name: str, array: Any) -> tuple[Backend, Array]:
        """Return an array with patterns of the right size, and its backend."""
        array = as_floating(name, array)
        backend = backend_of_input(name, array)
        check_state(backend, array)
        if array.ndim == 0 or array.shape[-1] != self.size:
            raise ValueError(f"{name} must be (..., {self.size}), got {shape(array)}")
        if self._sums is not None:
            check_alike(backend, self._sums[0], name, backend.astype(array, self._sums[0].dtype))
        if backend.can_read_values(array):
            check_finite(backend, name, array)
        return backend, array

    def _states(self, state: Any) -> tuple[Backend, Array, bool]:
        backend, states = self._checked("state", state)
        if self._sums is None:
            raise ValueError(
                "the memory holds no patterns yet: write memory = memory.add(patterns)"
            )
        single = states.ndim == 1
        return backend, states[None, :] if single else states, single

    def _refuse_large(self, backend: Backend, error: Array) -> None:
        """Raise if the error of a state is too large, where values can be read."""
        if self.largest_error == math.inf or not backend.can_read_values(error):
            return
        if not math.prod(error.shape) or bool(backend.xp.all(error <= self.largest_error)):
            return
        worst = float(backend.xp.max(error))
        wanted = "" if worst == math.inf else self._advice(worst)
        raise ValueError(
            f"{self.count} random features are too few for beta={self.beta:g}: the relative error "
            f"of a sum of kernels is {worst:.2g}, above largest_error={self.largest_error:g}; use "
            f"{wanted}a smaller beta, or hopcore.energy and hopcore.update with the patterns"
        )

    def _advice(self, worst: float) -> str:
        """Return how many features would do."""
        return f"count={math.ceil(self.count * (worst / self.largest_error) ** 2)}, "
