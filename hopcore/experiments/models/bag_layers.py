r"""Other ways to make one answer of the instances of a bag, to compare Hopfield pooling with.

With features :math:`h_1, \dots, h_n` of depth d, the answers are

- gated attention (Ilse et al. 2018): :math:`\sum_i a_i h_i`, with the weights
  :math:`a = \operatorname{softmax}_i\, w^T (\tanh(V h_i) \odot \operatorname{sigm}(U h_i))`;
- a deep set (Zaheer et al. 2017): :math:`\rho\left(\frac{1}{n} \sum_i \varphi(h_i)\right)`, where
  :math:`\varphi` and :math:`\rho` are linear maps with a ReLU, and the sum is divided by n so that
  bags of any size have answers of one magnitude;
- the maximum of each feature;
- multi-head attention of a learned query, the function of ``torch.nn.MultiheadAttention``
  (a tested equality), with the initial parameters of that module.

The padding of a bag is a boolean array, True where there is no instance, or an array of numbers:
the logarithm of how often an instance occurs, -inf where there is none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np

from hopcore.arrays._array_checks import backend_of_input
from hopcore.arrays._backend import Array
from hopcore.layers._activations import relu, sigmoid
from hopcore.layers._composed_settings import PoolingSettings
from hopcore.layers._linear_maps import first_linear, linear
from hopcore.layers._parameters import Parameters, parameter_shapes
from hopcore.layers._pooling import hopfield_pooling
from hopcore.layers._settings import HopfieldSettings
from hopcore.memory._separation import SEPARATIONS

Drop = Callable[[Array], Array]
"""Dropout of weights whose last axis are the instances."""


@dataclass(frozen=True, kw_only=True)
class GatedAttention:
    """Gated attention (Ilse et al. 2018).

    Attributes
    ----------
    input_size : int
        The depth d of a feature, and of the answer.
    hidden_size : int
        The depth of V h and U h.
    dropout : float
        The rate with which attention weights are dropped during training.
    """

    input_size: int
    hidden_size: int
    dropout: float = 0.0

    def first_parameters(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw the initial parameters as He et al. (2015) do."""
        size, hidden = self.input_size, self.hidden_size
        return {
            **first_linear("tanh", hidden, size, rng),
            **first_linear("gate", hidden, size, rng),
            **first_linear("score", 1, hidden, rng),
        }

    def answer(
        self, parameters: Parameters, features: Array, padding: Array, drop: Drop | None
    ) -> Array:
        """Return the average of the features by their attention weights, ``(n, d)``."""
        weights = self.weights(parameters, features, padding)
        if drop is not None:
            weights = drop(weights)
        xp = backend_of_input("features", features).xp
        return xp.sum(weights[..., None] * features, axis=-2)

    def weights(self, parameters: Parameters, features: Array, padding: Array) -> Array:
        """Return the attention weights ``(n, S)``."""
        backend = backend_of_input("features", features)
        gate = sigmoid(linear(parameters, "gate", features), backend)
        hidden = backend.xp.tanh(linear(parameters, "tanh", features)) * gate
        scores = linear(parameters, "score", hidden)[..., 0] + log_counts(padding, features)
        weights = backend.separate(scores, SEPARATIONS["softmax"])[0]
        return backend.astype(weights, features.dtype)


@dataclass(frozen=True, kw_only=True)
class DeepSet:
    """A deep set (Zaheer et al. 2017): a network for each instance, a mean, another network.

    Attributes
    ----------
    input_size : int
        The depth of a feature, and of the answer.
    hidden_size : int
        The depth of the averaged features.
    """

    input_size: int
    hidden_size: int
    dropout = 0.0

    def first_parameters(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw the initial parameters as He et al. (2015) do."""
        size, hidden = self.input_size, self.hidden_size
        return first_linear("each", hidden, size, rng) | first_linear("all", size, hidden, rng)

    def answer(
        self, parameters: Parameters, features: Array, padding: Array, drop: Drop | None
    ) -> Array:
        """Return the answer of the second network, ``(n, d)``."""
        backend = backend_of_input("features", features)
        each = relu(linear(parameters, "each", features), backend)
        return relu(linear(parameters, "all", mean_of_instances(each, padding)), backend)


@dataclass(frozen=True, kw_only=True)
class Maximum:
    """The maximum of each feature over the instances.

    Attributes
    ----------
    input_size : int
        The depth of a feature, and of the answer.
    """

    input_size: int
    dropout = 0.0

    def first_parameters(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return no parameters."""
        return {}

    def answer(
        self, parameters: Parameters, features: Array, padding: Array, drop: Drop | None
    ) -> Array:
        """Return the maximum of each feature, ``(n, d)``."""
        xp = backend_of_input("features", features).xp
        here = counts(padding, features)[..., None] > 0
        return xp.max(xp.where(here, features, -math.inf), axis=-2)


@dataclass(frozen=True, kw_only=True)
class LearnedQuery:
    """Multi-head attention of one learned query, as ``torch.nn.MultiheadAttention`` computes it.

    It is Hopfield pooling without the three normalisations, and starts with the parameters of that
    module; the query starts with the deviation ``1 / sqrt(d)``.

    Attributes
    ----------
    input_size : int
        The depth of a feature, and of the answer.
    num_heads : int
    dropout : float
        The rate with which attention weights are dropped during training.
    """

    input_size: int
    num_heads: int
    dropout: float = 0.0

    @cached_property
    def pooling(self) -> PoolingSettings:
        """The settings of the same function as a Hopfield layer."""
        plain = HopfieldSettings(
            input_size=self.input_size, num_heads=self.num_heads, dropout=self.dropout,
            normalize_stored_pattern=False, normalize_state_pattern=False,
            normalize_pattern_projection=False,
        )  # fmt: skip
        return PoolingSettings(hopfield=plain)

    def first_parameters(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw the query, and weights as the module does: Glorot's for inputs, uniform after."""
        found: dict[str, np.ndarray] = {}
        for name, shape in parameter_shapes(self.pooling).items():
            columns = shape[-1]
            if name == "pooling_weights":
                drawn = rng.normal(0.0, columns**-0.5, shape)
            elif name.endswith("bias"):
                drawn = np.zeros(shape)
            else:
                most = math.sqrt(6.0 / sum(shape)) if "in_proj" in name else columns**-0.5
                drawn = rng.uniform(-most, most, shape)
            found[name] = drawn.astype(np.float32)
        return found

    def answer(
        self, parameters: Parameters, features: Array, padding: Array, drop: Drop | None
    ) -> Array:
        """Return the attention of the query to the features, ``(n, d)``."""
        return hopfield_pooling(
            self.pooling, parameters, features, stored_pattern_padding_mask=padding, drop=drop
        )


BagLayer: TypeAlias = GatedAttention | DeepSet | Maximum | LearnedQuery
"""The layers of this module, all of which have the answer of depth ``input_size``."""


def counts(padding: Array, features: Array) -> Array:
    """Return how often each instance occurs, ``(n, S)``, in the dtype of the features."""
    backend = backend_of_input("padding", padding)
    if padding.dtype == backend.xp.bool:
        return backend.astype(~padding, features.dtype)
    return backend.xp.exp(padding)


def log_counts(padding: Array, features: Array) -> Array:
    """Return the logarithm of how often each instance occurs, which is added to its score."""
    backend = backend_of_input("features", features)
    xp = backend.xp
    if padding.dtype != xp.bool:
        return padding
    zero = xp.zeros_like(features[..., 0])
    return xp.where(padding, zero - math.inf, zero)


def mean_of_instances(features: Array, padding: Array) -> Array:
    """Return the mean of features ``(n, S, d)`` over the instances that are there."""
    xp = backend_of_input("features", features).xp
    here = counts(padding, features)[..., None]
    return xp.sum(features * here, axis=-2) / xp.sum(here, axis=-2)
