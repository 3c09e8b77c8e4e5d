r"""Lagrangians: convex functions whose gradients are the activations of a layer of neurons.

With its conjugate :math:`L^*(g) = \max_u \langle g, u \rangle - L(u)`, the activation
:math:`g = \nabla L(u)` of an input u satisfies :math:`L(u) + L^*(g) = \langle g, u \rangle`
(Krotov and Hopfield 2021; Krotov 2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

from hopcore.arrays import Array, Backend
from hopcore.arrays._scalar_checks import as_integer, as_number
from hopcore.memory import Entmax, Normmax, Separation, Softmax, get_separation


class Lagrangian(Protocol):
    """A convex function of the inputs of a layer; all methods work along the last axis.

    Examples
    --------
    >>> import hopcore
    >>> hopcore.convex.ConvexMemory(hidden=3)
    Traceback (most recent call last):
    TypeError: hidden must be a Lagrangian such as Polynomial(3), got 3
    """

    def value(self, inputs: Array, backend: Backend) -> Array:
        """L(u) of inputs ``(..., n)``, ``(...)``."""
        ...

    def activation(self, inputs: Array, before: Array | None, backend: Backend) -> Array:
        """The gradient of L, ``(..., n)``; where it is not unique, neurons stay as ``before``."""
        ...

    def conjugate(self, active: Array, backend: Backend) -> Array:
        """L*(g) of activations ``(..., n)``, ``(...)``, on the set where it is finite."""
        ...


@dataclass(frozen=True)
class Quadratic:
    r"""The identity: :math:`L(u) = \|u\|^2 / 2`, the classical network as hidden neurons.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> memory = hopcore.convex.ConvexMemory(hidden=hopcore.convex.Quadratic())
    >>> memory.update(np.asarray([[1.0, 2.0]]), np.eye(2))
    array([[1., 2.]])
    """

    def value(self, inputs: Array, backend: Backend) -> Array:
        """Half of the squared length."""
        return 0.5 * backend.square_lengths(inputs)

    def activation(self, inputs: Array, before: Array | None, backend: Backend) -> Array:
        """The inputs themselves."""
        return inputs

    def conjugate(self, active: Array, backend: Backend) -> Array:
        """Half of the squared length."""
        return 0.5 * backend.square_lengths(active)


@dataclass(frozen=True)
class Polynomial:
    r"""A rectified power: :math:`L(u) = \sum_i \max(u_i, 0)^n / n` (Krotov and Hopfield 2016).

    Attributes
    ----------
    power : int
        n >= 2. Large powers overflow: :class:`PowerNorm` does not.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> memory = hopcore.convex.ConvexMemory(
    ...     hidden=hopcore.convex.Polynomial(3), visible=hopcore.convex.AbsoluteSum()
    ... )
    >>> stored = np.asarray([[1.0, 1.0, -1.0], [-1.0, 1.0, 1.0]])
    >>> memory.update(np.asarray([[1.0, 1.0, 1.0]]), stored)
    array([[1., 1., 1.]])
    """

    power: int

    def __post_init__(self) -> None:
        """Validate the power."""
        object.__setattr__(self, "power", as_integer("power", self.power, 2, 1000))

    def value(self, inputs: Array, backend: Backend) -> Array:
        """The sum of the powers, divided by n."""
        return backend.xp.sum(rectified(inputs, backend) ** self.power, axis=-1) / self.power

    def activation(self, inputs: Array, before: Array | None, backend: Backend) -> Array:
        r""":math:`\max(u, 0)^{n-1}`."""
        return rectified(inputs, backend) ** (self.power - 1)

    def conjugate(self, active: Array, backend: Backend) -> Array:
        r""":math:`(1 - 1/n) \sum_i g_i^{n/(n-1)}` for :math:`g \ge 0`."""
        n = float(self.power)
        power = rectified(active, backend) ** (n / (n - 1.0))
        return (1.0 - 1.0 / n) * backend.xp.sum(power, axis=-1)


@dataclass(frozen=True)
class PowerNorm:
    r"""The n-norm of what is positive: :math:`L(u) = (\sum_i \max(u_i, 0)^n)^{1/n}`.

    Its gradient is that of :class:`Polynomial` up to a factor, so for a state on the sphere or of
    signs the update is the same; and it never overflows.

    Attributes
    ----------
    power : float
        n > 1.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> memory = hopcore.convex.ConvexMemory(
    ...     hidden=hopcore.convex.PowerNorm(500), visible=hopcore.convex.Norm()
    ... )
    >>> memory.update(np.asarray([[60.0, 59.0]]), np.eye(2)).round(3)
    array([[1., 0.]])
    """

    power: float

    def __post_init__(self) -> None:
        """Validate the power."""
        power = as_number("power", self.power, 1.0)
        if power == 1.0:
            raise ValueError("power must be above 1, got 1.0")
        object.__setattr__(self, "power", power)

    def value(self, inputs: Array, backend: Backend) -> Array:
        """The norm."""
        top, ratio = below_largest(inputs, backend)
        total = backend.xp.sum(ratio**self.power, axis=-1)
        return top[..., 0] * total ** (1.0 / self.power)

    def activation(self, inputs: Array, before: Array | None, backend: Backend) -> Array:
        r""":math:`(\max(u, 0) / L(u))^{n-1}`; zeros where nothing is positive."""
        _, ratio = below_largest(inputs, backend)
        total = backend.xp.sum(ratio**self.power, axis=-1, keepdims=True)
        some = backend.xp.where(total > 0.0, total, 1.0)
        return ratio ** (self.power - 1.0) / some ** (1.0 - 1.0 / self.power)

    def conjugate(self, active: Array, backend: Backend) -> Array:
        """0 on the ball of the dual norm."""
        return 0.0 * active[..., 0]


@dataclass(frozen=True)
class Exponential:
    r"""The exponential: :math:`L(u) = \sum_i e^{\beta u_i} / \beta` (Demircigil et al. 2017).

    Attributes
    ----------
    beta : float
        Positive. ``beta`` times an input above about 88 overflows in float32, and above 709 in
        float64; :class:`FenchelYoung`, the logarithm of the sum, never does.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> memory = hopcore.convex.ConvexMemory(
    ...     hidden=hopcore.convex.Exponential(20.0), visible=hopcore.convex.Norm()
    ... )
    >>> memory.update(np.asarray([[0.8, 0.6]]), np.eye(2)).round(3)
    array([[1.   , 0.018]])
    """

    beta: float = 1.0

    def __post_init__(self) -> None:
        """Validate beta."""
        object.__setattr__(self, "beta", as_number("beta", self.beta, positive=True))

    def value(self, inputs: Array, backend: Backend) -> Array:
        """The sum of the exponentials, divided by beta."""
        return backend.xp.sum(backend.xp.exp(self.beta * inputs), axis=-1) / self.beta

    def activation(self, inputs: Array, before: Array | None, backend: Backend) -> Array:
        """The exponentials."""
        return backend.xp.exp(self.beta * inputs)

    def conjugate(self, active: Array, backend: Backend) -> Array:
        r""":math:`\sum_i (g_i \log g_i - g_i) / \beta`."""
        return backend.xp.sum(entropies(active, backend) - active, axis=-1) / self.beta


@dataclass(frozen=True)
class FenchelYoung:
    r"""A separation function: :math:`L(u) = \Omega^*(\beta u) / \beta`, activations its weights.

    With the softmax this is the log-sum-exp, and as hidden neurons with a :class:`Quadratic` state
    the modern Hopfield network.

    Attributes
    ----------
    beta : float
        Inverse temperature, positive.
    separation : str, Softmax, Entmax or Normmax
        As in :func:`hopcore.association`.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> memory = hopcore.convex.ConvexMemory(hidden=hopcore.convex.FenchelYoung(4.0, "sparsemax"))
    >>> memory.update(np.asarray([[0.9, 0.1]]), np.eye(2))
    array([[1., 0.]])
    """

    beta: float
    separation: Separation = "softmax"

    def __post_init__(self) -> None:
        """Validate the settings."""
        object.__setattr__(self, "beta", as_number("beta", self.beta, positive=True))
        if not isinstance(get_separation(self.separation), Softmax | Entmax | Normmax):
            raise TypeError(
                f"separation must be the softmax, an entmax or a normmax, got {self.separation!r}"
            )

    @property
    def function(self) -> Any:
        """The separation function."""
        return get_separation(self.separation)

    def value(self, inputs: Array, backend: Backend) -> Array:
        """The conjugate of the separation function, divided by beta."""
        return backend.separate(self.beta * inputs, self.function)[1] / self.beta

    def activation(self, inputs: Array, before: Array | None, backend: Backend) -> Array:
        """The weights of the separation function."""
        return backend.separate(self.beta * inputs, self.function)[0]

    def conjugate(self, active: Array, backend: Backend) -> Array:
        r""":math:`\Omega(g) / \beta`: minus the entropy, of Shannon, of Tsallis or of a norm."""
        function = self.function
        if function.softmax:
            return backend.xp.sum(entropies(active, backend), axis=-1) / self.beta
        if isinstance(function, Normmax):
            return function.negentropy(rectified(active, backend), backend.xp) / self.beta
        alpha = float(function.alpha)
        power = backend.xp.sum(rectified(active, backend) ** alpha, axis=-1)
        return (power - 1.0) / (alpha * (alpha - 1.0) * self.beta)


@dataclass(frozen=True)
class Norm:
    r"""The length: :math:`L(u) = \|u\|`, whose activations are on the unit sphere.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.convex.Norm().activation(np.asarray([3.0, 4.0]), None, hopcore.backend("numpy"))
    array([0.6, 0.8])
    """

    def value(self, inputs: Array, backend: Backend) -> Array:
        """The length."""
        return length(inputs, backend)[0][..., 0]

    def activation(self, inputs: Array, before: Array | None, backend: Backend) -> Array:
        """The direction; where there is none, the neurons stay."""
        size, unit = length(inputs, backend)
        return unit if before is None else backend.xp.where(size > 0.0, unit, before)

    def conjugate(self, active: Array, backend: Backend) -> Array:
        """0 on the unit ball."""
        return 0.0 * active[..., 0]


@dataclass(frozen=True)
class LayerNorm:
    r"""Layer normalisation: :math:`L(u) = d \sqrt{\operatorname{var}(u) + \epsilon}`.

    Attributes
    ----------
    eps : float
        Positive.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> numpy = hopcore.backend("numpy")
    >>> hopcore.convex.LayerNorm().activation(np.asarray([1.0, 3.0]), None, numpy).round(3)
    array([-1.,  1.])
    """

    eps: float = 1e-5

    def __post_init__(self) -> None:
        """Validate the constant."""
        object.__setattr__(self, "eps", as_number("eps", self.eps, positive=True))

    def value(self, inputs: Array, backend: Backend) -> Array:
        """The standard deviation, times the number of neurons."""
        return inputs.shape[-1] * self.deviation(inputs, backend)[1][..., 0]

    def activation(self, inputs: Array, before: Array | None, backend: Backend) -> Array:
        """The inputs with mean 0 and variance 1."""
        centred, deviation = self.deviation(inputs, backend)
        return centred / deviation

    def conjugate(self, active: Array, backend: Backend) -> Array:
        r""":math:`-d \sqrt{\epsilon (1 - \|g\|^2 / d)}`."""
        width = active.shape[-1]
        rest = rectified(1.0 - backend.square_lengths(active) / width, backend)
        return -width * backend.xp.sqrt(self.eps * rest)

    def deviation(self, inputs: Array, backend: Backend) -> tuple[Array, Array]:
        """The inputs without their mean, and their standard deviation ``(..., 1)``."""
        xp = backend.xp
        centred = inputs - xp.mean(inputs, axis=-1, keepdims=True)
        variance = xp.mean(centred * centred, axis=-1, keepdims=True)
        return centred, xp.sqrt(variance + self.eps)


@dataclass(frozen=True)
class LogCosh:
    r"""The hyperbolic tangent: :math:`L(u) = \sum_i \log \cosh(\beta u_i) / \beta`.

    Attributes
    ----------
    beta : float
        The slope of the activation at 0, positive (Hopfield 1984).

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> numpy = hopcore.backend("numpy")
    >>> hopcore.convex.LogCosh(2.0).activation(np.asarray([0.0, 9.0]), None, numpy)
    array([0., 1.])
    """

    beta: float = 1.0

    def __post_init__(self) -> None:
        """Validate beta."""
        object.__setattr__(self, "beta", as_number("beta", self.beta, positive=True))

    def value(self, inputs: Array, backend: Backend) -> Array:
        """The logarithms of the hyperbolic cosines, which never overflow."""
        xp = backend.xp
        size = xp.abs(self.beta * inputs)
        return xp.sum(size + xp.log1p(xp.exp(-2.0 * size)) - math.log(2.0), axis=-1) / self.beta

    def activation(self, inputs: Array, before: Array | None, backend: Backend) -> Array:
        """The hyperbolic tangents."""
        return backend.xp.tanh(self.beta * inputs)

    def conjugate(self, active: Array, backend: Backend) -> Array:
        r""":math:`\frac{1}{2\beta} \sum_i (1 + g_i) \log(1 + g_i) + (1 - g_i) \log(1 - g_i)`."""
        both = entropies(1.0 + active, backend) + entropies(1.0 - active, backend)
        return 0.5 * backend.xp.sum(both, axis=-1) / self.beta


@dataclass(frozen=True)
class AbsoluteSum:
    r"""Signs: :math:`L(u) = \sum_i |u_i|`, whose activations are -1 or 1.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> numpy = hopcore.backend("numpy")
    >>> hopcore.convex.AbsoluteSum().activation(np.asarray([-2.0, 0.0]), np.ones(2), numpy)
    array([-1.,  1.])
    """

    def value(self, inputs: Array, backend: Backend) -> Array:
        """The sum of the magnitudes."""
        return backend.xp.sum(backend.xp.abs(inputs), axis=-1)

    def activation(self, inputs: Array, before: Array | None, backend: Backend) -> Array:
        """The signs; a neuron whose input is 0 stays."""
        signs = backend.xp.sign(inputs)
        return signs if before is None else backend.xp.where(inputs == 0.0, before, signs)

    def conjugate(self, active: Array, backend: Backend) -> Array:
        """0 on the cube from -1 to 1."""
        return 0.0 * active[..., 0]


def is_lagrangian(value: Any) -> bool:
    """Whether a value has the methods of a Lagrangian."""
    return not isinstance(value, type) and all(
        callable(getattr(value, name, None)) for name in ("value", "activation", "conjugate")
    )


def rectified(values: Array, backend: Backend) -> Array:
    """The values, and 0 in place of negative ones."""
    return backend.xp.where(values > 0.0, values, 0.0)


def entropies(values: Array, backend: Backend) -> Array:
    """``x log x`` for x >= 0, which is 0 at 0."""
    xp = backend.xp
    some = values > 0.0
    return xp.where(some, values * xp.log(xp.where(some, values, 1.0)), 0.0)


def below_largest(inputs: Array, backend: Backend) -> tuple[Array, Array]:
    """The largest positive input, and the ratios of all positive ones to it."""
    xp, positive = backend.xp, rectified(inputs, backend)
    top = xp.max(positive, axis=-1, keepdims=True)
    return top, positive / xp.where(top > 0.0, top, 1.0)


def length(inputs: Array, backend: Backend) -> tuple[Array, Array]:
    """The length ``(..., 1)`` and the direction ``(..., n)``, without over- or underflow."""
    xp = backend.xp
    top = xp.max(xp.abs(inputs), axis=-1, keepdims=True)
    scaled = inputs / xp.where(top > 0.0, top, 1.0)
    square = backend.square_lengths(scaled)[..., None]
    size = xp.sqrt(xp.where(square > 0.0, square, 1.0))
    return top * size, scaled / size
