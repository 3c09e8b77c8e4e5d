"""Activation functions by name, each as a function of values and their backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._layer_kernels import sigmoid as logistic


def relu(values: Array, backend: Backend) -> Array:
    """``max(x, 0)``; the derivative at 0 is 0."""
    return backend.relu(values)


def sigmoid(values: Array, backend: Backend) -> Array:
    """``1 / (1 + exp(-x))``."""
    return logistic(values, backend.xp)


def tanh(values: Array, backend: Backend) -> Array:
    """The hyperbolic tangent."""
    return backend.xp.tanh(values)


def gelu(values: Array, backend: Backend) -> Array:
    """``x Phi(x)``, with the normal distribution function Phi."""
    return backend.gelu(values)


def silu(values: Array, backend: Backend) -> Array:
    """``x sigmoid(x)``."""
    return values * sigmoid(values, backend)


def selu(values: Array, backend: Backend) -> Array:
    """Scaled exponential linear units (Klambauer et al. 2017); at 0, the slope is that below 0."""
    xp, scale, alpha = backend.xp, 1.0507009873554805, 1.6732632423543772
    low = alpha * xp.expm1(xp.where(values > 0, xp.zeros_like(values), values))
    return scale * xp.where(values > 0, values, low)


Activation = Callable[[Array, Backend], Array]

ActivationName: TypeAlias = Literal["relu", "gelu", "tanh", "sigmoid", "silu", "selu"]
"""The names of the activation functions."""

ACTIVATIONS: dict[ActivationName, Activation] = {
    "relu": relu,
    "gelu": gelu,
    "tanh": tanh,
    "sigmoid": sigmoid,
    "silu": silu,
    "selu": selu,
}
"""The activation functions that settings may name."""
