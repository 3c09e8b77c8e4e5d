"""A classifier of bags: embedded instances, a layer, one answer for the bag.

Multiple-instance learning: a label belongs to a set of instances, and a few of them are why
(Ramsauer et al. 2021, section 4; Ilse et al. 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from hopcore.arrays._array_checks import backend_of_input
from hopcore.arrays._backend import Array
from hopcore.experiments.models.bag_layers import (
    BagLayer,
    GatedAttention,
    LearnedQuery,
    mean_of_instances,
)
from hopcore.layers._activations import relu
from hopcore.layers._composed_settings import LookupSettings, PoolingSettings
from hopcore.layers._hopfield import hopfield, hopfield_weights
from hopcore.layers._linear_maps import first_linear, linear
from hopcore.layers._losses import logistic_loss
from hopcore.layers._parameters import Parameters, initial_parameters, inner, layer_parameters
from hopcore.layers._pooling import hopfield_lookup, hopfield_pooling, learned
from hopcore.layers._recall import Drop
from hopcore.layers._settings import HopfieldSettings
from hopcore.training._trainer import Conditions, Dropout

ANY = Conditions()


class Bags(NamedTuple):
    """Bags of instances with one label each.

    Attributes
    ----------
    patterns : float array (n, S, d)
        The instances, at least one a bag; zeros where a bag has fewer than S.
    padding : array (n, S)
        True = no instance. Numbers say how often an instance occurs: its logarithm, -inf for none.
    target : float array (n,)
        1 or 0.
    """

    patterns: Array
    padding: Array
    target: Array


@dataclass(frozen=True, kw_only=True)
class BagClassifier:
    """Linear maps with a ReLU, a layer over the instances, a linear map to log odds.

    Pooling and the layers of :mod:`hopcore.experiments.models.bag_layers` answer for the bag; a
    layer that answers for every instance, and none, are followed by the mean over the instances.

    Attributes
    ----------
    input_size : int
        Depth of an instance.
    embedding : tuple of int
        Depths of the embeddings, one after another; at least one.
    layer : PoolingSettings, HopfieldSettings, LookupSettings, BagLayer or None
        Its ``input_size`` is the last embedding. An ordinary Hopfield layer associates the
        instances with each other, lookup each of them with a learned memory, None nothing.

    Raises
    ------
    ValueError
        A layer that does not fit the embedding; learned patterns that are not trained.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> from hopcore.experiments.models.bag_classifier import BagClassifier, Bags
    >>> pooling = hopcore.layers.PoolingSettings(hopfield=hopcore.HopfieldSettings(input_size=8))
    >>> model = BagClassifier(input_size=3, embedding=(8,), layer=pooling)
    >>> bags = Bags(np.ones((2, 5, 3), np.float32), np.zeros((2, 5), bool), np.ones(2, np.float32))
    >>> model.outputs(model.first_parameters(seed=0), bags).shape
    (2,)
    """

    input_size: int
    embedding: tuple[int, ...] = (128,)
    layer: PoolingSettings | HopfieldSettings | LookupSettings | BagLayer | None

    def __post_init__(self) -> None:
        """Refuse what does not fit."""
        sizes = (self.input_size, *self.embedding)
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"embedding must have one or more sizes >= 1, got {self.embedding}")
        if self.layer is None:
            return
        if isinstance(self.layer, BagLayer):
            if self.layer.input_size != self.embedding[-1]:
                raise ValueError(
                    f"the layer must have input_size={self.embedding[-1]}, as the last embedding, "
                    f"got {self.layer.input_size}"
                )
            return
        association = self._association
        if association.input_size != self.embedding[-1] or not association.batch_first:
            raise ValueError(
                f"the layer must have batch_first and input_size={self.embedding[-1]}, as the last "
                f"embedding, got input_size={association.input_size}"
            )
        fixed = [name for name, one in layer_parameters(self.layer).items() if not one.trainable]
        if fixed:
            raise ValueError(f"all parameters are trained, got {', '.join(fixed)} to be left alone")

    @property
    def _association(self) -> HopfieldSettings:
        assert self.layer is not None
        assert not isinstance(self.layer, BagLayer)
        return self.layer if isinstance(self.layer, HopfieldSettings) else self.layer.hopfield

    @property
    def answer_size(self) -> int:
        """Depth of what is known of a bag before the last map."""
        if self.layer is None or isinstance(self.layer, BagLayer):
            return self.embedding[-1]
        association = self._association
        depth = association.out_size
        if association.disable_out_projection:
            depth = association.num_heads * (association.value_size or self.embedding[-1])
        assert depth is not None
        return depth * (self.layer.quantity if isinstance(self.layer, PoolingSettings) else 1)

    def first_parameters(self, *, seed: int) -> dict[str, np.ndarray]:
        """Parameters to start from: He's for the linear maps, the layer's own for the layer."""
        rng = np.random.default_rng(seed)
        found: dict[str, np.ndarray] = {}
        sizes = (self.input_size, *self.embedding)
        for place, (columns, rows) in enumerate(pairwise(sizes)):
            found |= first_linear(f"embedding.{place}", rows, columns, rng)
        found |= first_linear("answer", 1, self.answer_size, rng)
        if self.layer is not None:
            layer = (
                self.layer.first_parameters(rng)
                if isinstance(self.layer, BagLayer)
                else initial_parameters(self.layer, seed=seed)
            )
            found |= {f"layer.{name}": value for name, value in layer.items()}
        return found

    def outputs(
        self,
        parameters: Parameters,
        batch: Bags,
        conditions: Conditions = ANY,
    ) -> Array:
        """The log odds of each bag, ``(n,)``."""
        features = self._features(parameters, batch)
        answer = self._answer(
            inner(parameters, "layer"), features, batch.padding, conditions.dropout
        )
        return linear(parameters, "answer", answer)[..., 0]

    def weights(self, parameters: Parameters, batch: Bags) -> Array:
        """How much each head attends to each instance, ``(n, H, S)``.

        Raises
        ------
        TypeError
            The layer is neither pooling nor an attention with one learned query.
        """
        features, own = self._features(parameters, batch), inner(parameters, "layer")
        layer = self.layer.pooling if isinstance(self.layer, LearnedQuery) else self.layer
        if isinstance(layer, GatedAttention):
            return layer.weights(own, features, batch.padding)[..., None, :]
        if not isinstance(layer, PoolingSettings):
            raise TypeError(f"a layer with weights is pooling or an attention, got {layer!r}")
        found = hopfield_weights(
            layer.hopfield, inner(own, "hopfield"), features, learned(own["pooling_weights"]),
            stored_pattern_padding_mask=batch.padding,
        )  # fmt: skip
        return found[..., 0, :]

    def _features(self, parameters: Parameters, batch: Bags) -> Array:
        backend = backend_of_input("patterns", batch.patterns)
        features = batch.patterns
        for place in range(len(self.embedding)):
            features = relu(linear(parameters, f"embedding.{place}", features), backend)
        return features

    def objective(
        self, parameters: Parameters, batch: Bags, conditions: Conditions
    ) -> tuple[Array, Array]:
        """The logistic loss, and the log odds."""
        outputs = self.outputs(parameters, batch, conditions)
        return logistic_loss(outputs, batch.target), outputs

    def _answer(
        self, parameters: Parameters, features: Array, padding: Array, dropout: Dropout | None
    ) -> Array:
        layer = self.layer
        if layer is None:
            return mean_of_instances(features, padding)
        rate = layer.dropout if isinstance(layer, BagLayer) else self._association.dropout
        drop: Drop | None = None
        if dropout is not None and rate > 0.0:
            drop = partial(dropped, dropout, rate)
        if isinstance(layer, BagLayer):
            return layer.answer(parameters, features, padding, drop)
        if isinstance(layer, PoolingSettings):
            return hopfield_pooling(
                layer, parameters, features, stored_pattern_padding_mask=padding, drop=drop
            )
        if isinstance(layer, LookupSettings):
            found = hopfield_lookup(layer, parameters, features, drop=drop)
        else:
            found = hopfield(
                layer, parameters, features, stored_pattern_padding_mask=padding, drop=drop
            )
        return mean_of_instances(found, padding)


def dropped(dropout: Dropout, rate: float, weights: Array) -> Array:
    """Association weights after dropout."""
    return dropout(weights, rate)
