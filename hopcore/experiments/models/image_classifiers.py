"""The classifiers of images by their names; that of learned memories."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from hopcore.arrays._backend import Array
from hopcore.experiments.models.bag_classifier import dropped
from hopcore.experiments.models.plain_networks import CNN, MLP
from hopcore.experiments.models.vq_classifier import VQ
from hopcore.layers._network_settings import HNMSettings
from hopcore.layers._networks import effective_memory, hnm
from hopcore.layers._parameters import Parameters, initial_parameters, inner, parameter_shapes
from hopcore.training._classifier import ANY, Classifier, Images
from hopcore.training._trainer import Conditions


@dataclass(frozen=True, kw_only=True)
class HNM(Classifier):
    """Hopfield network layers, one after another, on the pixels.

    Attributes
    ----------
    size : int
        Pixels of an image.
    classes : int
    widths : tuple of int
        Depths between layers; one layer does better than several.
    quantity : int
        Patterns of a memory.
    num_heads : int
        In hard mode the heads are all that tells images apart: many small ones do better than a few
        large ones.
    hidden_size : int
    dropout : float

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.models.image_classifiers import HNM, Images
    >>> model = HNM(size=64)
    >>> batch = Images(np.ones((2, 64), np.float32), np.asarray([3, 4]))
    >>> model.outputs(model.first_parameters(seed=0), batch).shape
    (2, 10)
    """

    KIND = "hnm"
    TEMPERATURES = ("memory",)
    size: int
    classes: int = 10
    widths: tuple[int, ...] = ()
    quantity: int = 64
    num_heads: int = 32
    hidden_size: int = 8
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        object.__setattr__(self, "widths", tuple(self.widths))
        _ = self.settings

    @cached_property
    def settings(self) -> HNMSettings:
        """The settings of the layers."""
        return HNMSettings(
            input_size=self.size,
            output_size=self.classes,
            widths=self.widths,
            quantity=self.quantity,
            num_heads=self.num_heads,
            hidden_size=self.hidden_size,
            dropout=self.dropout,
        )

    def first_parameters(self, *, seed: int) -> dict[str, np.ndarray]:
        """Parameters to start from."""
        return initial_parameters(self.settings, seed=seed)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the parameters."""
        return parameter_shapes(self.settings)

    def outputs(self, parameters: Parameters, batch: Images, conditions: Conditions = ANY) -> Array:
        """The logits."""
        drop = None
        if conditions.dropout is not None and self.dropout > 0.0:
            drop = partial(dropped, conditions.dropout, self.dropout)
        return hnm(
            self.settings, parameters, batch.pixels, hard=conditions.hard, drop=drop,
            temperature=conditions.temperatures.get("memory"), noise=conditions.noise,
        )  # fmt: skip

    def memory(self, parameters: Parameters) -> tuple[float, int]:
        """The mean scale of the layers' memories, and their number of patterns."""
        scales = [
            effective_memory(layer, inner(parameters, f"layers.{place}"))[0]
            for place, layer in enumerate(self.settings.layers)
        ]
        return float(np.mean(scales)), self.quantity


CLASSIFIERS: dict[str, type[Classifier]] = {kind.KIND: kind for kind in (HNM, MLP, CNN, VQ)}
"""The classifiers by their names."""
