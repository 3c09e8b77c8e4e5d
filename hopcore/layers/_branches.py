"""The residual branches of transformer layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hopcore.arrays._array_checks import backend_of_input, check_floating
from hopcore.arrays._backend import Array
from hopcore.layers._activations import ACTIVATIONS
from hopcore.layers._composed_settings import (
    DecoderSettings,
    EncoderSettings,
    LookupSettings,
    norm_of,
)
from hopcore.layers._hopfield import hopfield
from hopcore.layers._parameters import Parameters, inner
from hopcore.layers._pooling import lookup_patterns

Drop = Callable[[str, Array], Array]
"""``drop(name, values)`` applies dropout at the place with this name."""


Masks = tuple[Any, Any]
"""The padding mask of the patterns of an association, and its association mask."""


class Branches:
    """The residual branches of a transformer layer, and its associations by name."""

    def __init__(
        self,
        settings: EncoderSettings | DecoderSettings,
        parameters: Parameters,
        values: Array,
        drop: Drop | None,
    ) -> None:
        self.settings, self.parameters = settings, parameters
        self.backend = backend_of_input("src", values)
        check_floating(self.backend, "src", values)
        self.drop = drop or (lambda name, values: values)

    def __call__(
        self, values: Array, norm: str, work: Callable[[Array], Array], dropout: str
    ) -> Array:
        added = values + self.drop(dropout, work(self.entering(values, norm)))
        return added if self.settings.norm_first else self.norm(added, norm)

    def associate(
        self,
        name: str,
        values: Array,
        masks: Masks,
        memory: Array | None = None,
        *,
        instead: Callable[[Array], Array] | None = None,
    ) -> Array:
        """Return the values after the branch of an association, or of a function in its place."""
        work = instead or self.association(name, masks, memory)
        return self(values, norm_of(name), work, f"dropout_{name}")

    def association(
        self,
        name: str,
        masks: Masks,
        memory: Array | None = None,
        compute: Callable[..., Array] = hopfield,
    ) -> Callable[[Array], Array]:
        """Return an association, or another function of a Hopfield layer, of the queries alone."""
        settings, parameters = self.settings.parts()[name], inner(self.parameters, name)

        def work(values: Array) -> Array:
            layer, own = settings, parameters
            patterns = (values,) if memory is None else (memory, values)
            if isinstance(settings, LookupSettings):
                patterns = lookup_patterns(parameters, values)
                layer, own = settings.hopfield, inner(parameters, "hopfield")
            padding, association = masks
            return compute(
                layer,
                own,
                *patterns,
                stored_pattern_padding_mask=padding,
                association_mask=association,
            )

        return work

    def entering(self, values: Array, norm: str) -> Array:
        """Return the input of a branch: the values, normalised with ``norm_first``."""
        return self.norm(values, norm) if self.settings.norm_first else values

    def norm(self, values: Array, name: str) -> Array:
        if name in self.parameters:
            return self.parameters[name](values)
        weight, bias = self.weights(name)
        return self.backend.layer_norm(values, weight, bias, self.settings.layer_norm_eps)

    def feed_forward(self, values: Array) -> Array:
        hidden = self.linear(values, "linear_residual")
        hidden = ACTIVATIONS[self.settings.activation](hidden, self.backend)
        hidden = self.drop("dropout_residual", hidden)
        return self.linear(hidden, "linear_output")

    def linear(self, values: Array, name: str) -> Array:
        if name in self.parameters:
            return self.parameters[name](values)
        return self.backend.linear(values, *self.weights(name))

    def weights(self, name: str) -> tuple[Array, Array | None]:
        return self.parameters[f"{name}.weight"], self.parameters.get(f"{name}.bias")
