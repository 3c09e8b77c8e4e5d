"""Linear maps by the names of their parameters."""

from __future__ import annotations

import math

import numpy as np

from hopcore.arrays._array_checks import backend_of_input
from hopcore.arrays._backend import Array
from hopcore.layers._activations import relu
from hopcore.layers._parameters import Parameters


def first_linear(
    name: str, rows: int, columns: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draw the first weight of a linear map as He et al. (2015) do, with a bias of zeros."""
    weight = rng.normal(0.0, math.sqrt(2.0 / columns), (rows, columns))
    bias = np.zeros(rows, np.float32)
    return {f"{name}.weight": weight.astype(np.float32), f"{name}.bias": bias}


def linear_shapes(name: str, rows: int, columns: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weight and the bias of a linear map."""
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


def linear(parameters: Parameters, name: str, features: Array) -> Array:
    """Apply the linear map whose weight and bias have this name."""
    backend = backend_of_input("features", features)
    return backend.linear(features, parameters[f"{name}.weight"], parameters[f"{name}.bias"])


def perceptron(
    parameters: Parameters, features: Array, count: int, prefix: str = "layers."
) -> Array:
    """Apply ``count`` linear maps with ReLUs between them."""
    backend = backend_of_input("features", features)
    for place in range(count):
        features = relu(features, backend) if place else features
        features = linear(parameters, f"{prefix}{place}", features)
    return features
