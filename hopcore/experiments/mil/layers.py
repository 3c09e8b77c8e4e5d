"""The layers that the studies of bags compare, by name, and the classifier around each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from hopcore.experiments.models.bag_classifier import BagClassifier
from hopcore.experiments.models.bag_layers import (
    BagLayer,
    DeepSet,
    GatedAttention,
    LearnedQuery,
    Maximum,
)
from hopcore.layers._composed_settings import LookupSettings, PoolingSettings
from hopcore.layers._parameters import parameter_shapes
from hopcore.layers._settings import HopfieldSettings

UNIFORM = 1e-12
"""The inverse temperature with which the weights of pooling are equal in float32."""

MEMORY = 32
"""Learned patterns of a lookup."""

Layer = PoolingSettings | HopfieldSettings | LookupSettings | BagLayer | None


def uniform(inner: HopfieldSettings) -> PoolingSettings:
    """Return pooling with all of its parameters, whose weights are equal: the control."""
    return PoolingSettings(hopfield=replace(inner, scaling=UNIFORM))


def with_separation(inner: HopfieldSettings, separation: str) -> PoolingSettings:
    """Return pooling with another separation function."""
    return PoolingSettings(hopfield=replace(inner, separation=separation))


def subsets(k: int) -> Callable[[HopfieldSettings], PoolingSettings]:
    """Return what makes pooling that averages over k instances."""
    return lambda inner: with_separation(inner, f"k-subsets:{k}")


def parameters_of_pooling(size: int) -> int:
    """Return how many parameters pooling has, to which other layers are fitted."""
    pooling = PoolingSettings(hopfield=HopfieldSettings(input_size=size))
    return sum(math.prod(shape) for shape in parameter_shapes(pooling).values())


def gated(inner: HopfieldSettings) -> GatedAttention:
    """Return gated attention with as many parameters as pooling, to within a hundredth."""
    size = inner.input_size
    assert size is not None
    hidden = round((parameters_of_pooling(size) - 1) / (2 * size + 3))
    return GatedAttention(input_size=size, hidden_size=hidden, dropout=inner.dropout)


def deep_set(inner: HopfieldSettings) -> DeepSet:
    """Return a deep set with as many parameters as pooling, to within a hundredth."""
    size = inner.input_size
    assert size is not None
    hidden = round((parameters_of_pooling(size) - size) / (2 * size + 1))
    return DeepSet(input_size=size, hidden_size=hidden)


def multihead(inner: HopfieldSettings) -> LearnedQuery:
    """Return multi-head attention with a learned query."""
    assert inner.input_size is not None
    return LearnedQuery(
        input_size=inner.input_size, num_heads=inner.num_heads, dropout=inner.dropout
    )


def maximum(inner: HopfieldSettings) -> Maximum:
    """Return the maximum of each feature."""
    assert inner.input_size is not None
    return Maximum(input_size=inner.input_size)


KINDS: dict[str, Callable[[HopfieldSettings], Layer]] = {
    "mean": lambda inner: None,
    "uniform": uniform,
    "pooling": lambda inner: PoolingSettings(hopfield=inner),
    "sparsemax": lambda inner: with_separation(inner, "sparsemax"),
    **{f"{k}-subsets": subsets(k) for k in (1, 2, 3, 5)},
    "gated": gated,
    "deep-set": deep_set,
    "multihead": multihead,
    "max": maximum,
    "hopfield": lambda inner: inner,
    "lookup": lambda inner: LookupSettings(hopfield=inner, quantity=MEMORY),
}

LAYERS = tuple(KINDS)
"""The names of the layers: the mean of the instances, pooling with equal weights, Hopfield pooling,
the layers to compare it with, and two other Hopfield layers.
"""

SPARSE = frozenset(name for name in LAYERS if name == "sparsemax" or name.endswith("-subsets"))
"""The layers that cannot take counts of instances, which only a softmax adds to its scores."""

WEIGHTED = frozenset(LAYERS) - {"mean", "deep-set", "max"}
"""The layers with association weights, which dropout may drop."""


def classifier(
    layer: str, input_size: int, *, width: int, heads: int, dropout: float = 0.0
) -> BagClassifier:
    """Return the classifier around a layer of :data:`LAYERS`.

    Examples
    --------
    >>> from hopcore.experiments.mil import layers
    >>> models = [layers.classifier(name, 8, width=32, heads=8) for name in layers.LAYERS]
    >>> for name, model in zip(layers.LAYERS, models):
    ...     print(name, sum(one.size for one in model.first_parameters(seed=0).values()))
    mean 321
    uniform 4769
    pooling 4769
    sparsemax 4769
    1-subsets 4769
    2-subsets 4769
    3-subsets 4769
    5-subsets 4769
    gated 4744
    deep-set 4773
    multihead 4577
    max 321
    hopfield 4737
    lookup 5761
    """
    if layer not in KINDS:
        raise ValueError(f"unknown layer {layer!r}; known: {', '.join(LAYERS)}")
    inner = HopfieldSettings(input_size=width, num_heads=heads, dropout=dropout)
    return BagClassifier(input_size=input_size, embedding=(width,), layer=KINDS[layer](inner))
