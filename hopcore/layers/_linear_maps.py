"""Linear maps by the names of their parameters."""

from __future__ import annotations

import math

import numpy as np

from hopcore.arrays._backend import Array
from hopcore.arrays._inputs import backend_of_input
from hopcore.layers._activations import relu
from hopcore.layers._parameters import Parameters


def first_linear(
    name: str, rows: int, columns: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """He's first weight and bias of a linear map."""
    weight = rng.normal(0.0, math.sqrt(2.0 / columns), (rows, columns))
    bias = np.zeros(rows, np.float32)
    return {f"{name}.weight": weight.astype(np.float32), f"{name}.bias": bias}


def linear(parameters: Parameters, name: str, features: Array) -> Array:
    """A linear map by the name of its weight and bias."""
    backend = backend_of_input("features", features)
    return backend.linear(features, parameters[f"{name}.weight"], parameters[f"{name}.bias"])


def perceptron(
    parameters: Parameters, features: Array, count: int, prefix: str = "layers."
) -> Array:
    """So many linear maps with ReLUs between them."""
    backend = backend_of_input("features", features)
    for place in range(count):
        features = relu(features, backend) if place else features
        features = linear(parameters, f"{prefix}{place}", features)
    return features
