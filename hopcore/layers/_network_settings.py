"""The settings of networks with learned memories, whose temperature is set at every call."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._scalar_checks import (
    check_bool,
    check_integer,
    check_number,
    check_positive,
    short_repr,
)
from hopcore.layers._composed_settings import (
    DecoderSettings,
    EncoderSettings,
    LookupSettings,
    PoolingSettings,
)
from hopcore.layers._settings import HopfieldSettings, Settings
from hopcore.memory._separation import SeparationName


@suggest_names
@dataclass(frozen=True, kw_only=True)
class HNLSettings(Settings):
    """The settings of a Hopfield network layer: features attend to a learned memory.

    The layer is a lookup (:class:`hopcore.layers.LookupSettings`) that normalises states and stored
    patterns in the association space of each head. So scores are correlations, in [-1, 1], and a
    temperature has the same meaning for all sizes.

    Attributes
    ----------
    input_size : int
        The number of features.
    output_size : int, optional
        The number of features of the output; the default is ``input_size``.
    quantity : int
        The number of stored patterns.
    num_heads : int
        The number of heads; in hard mode, each head chooses one pattern.
    hidden_size : int
        The number of dimensions of the association space of each head, at least 2.
    temperature : float
        The temperature of the scores if a call gives none.
    separation : str or float
        As in :class:`hopcore.HopfieldSettings`.
    dropout : float
        The dropout rate of association weights during training.

    Raises
    ------
    TypeError, ValueError
        A setting is not valid.

    Examples
    --------
    >>> import hopcore
    >>> settings = hopcore.layers.HNLSettings(input_size=64, output_size=10, quantity=32)
    >>> hopcore.layers.parameter_shapes(settings)["lookup_weights"]
    (1, 32, 64)
    """

    input_size: int
    output_size: int | None = None
    quantity: int = 64
    num_heads: int = 8
    hidden_size: int = 16
    temperature: float = 0.1
    separation: SeparationName | float = "softmax"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Validate the settings."""
        check_integer("hidden_size", self.hidden_size, 2)
        check_positive("temperature", self.temperature)
        _ = self.lookup

    @cached_property
    def lookup(self) -> LookupSettings:
        """The settings of the layer as a lookup, at the temperature of the settings."""
        association = HopfieldSettings(
            input_size=self.input_size,
            hidden_size=self.hidden_size,
            output_size=self.output_size,
            num_heads=self.num_heads,
            scaling=self.beta(self.temperature),
            separation=self.separation,
            dropout=self.dropout,
            normalize_state_pattern=False,
            normalize_stored_pattern=False,
            normalize_pattern_projection=False,
            normalize_hopfield_space=True,
        )
        return LookupSettings(
            hopfield=association, quantity=self.quantity, lookup_weights_as_separated=True
        )

    def beta(self, temperature: Any) -> Any:
        """Return the inverse temperature of scores that are correlations.

        Normalised patterns have the norm ``sqrt(hidden_size)``.
        """
        return 1.0 / (temperature * float(self.hidden_size))


@suggest_names
@dataclass(frozen=True, kw_only=True)
class HNMSettings(Settings):
    """The settings of a stack of Hopfield network layers, all at the same temperature.

    Attributes
    ----------
    input_size : int
        The number of features.
    output_size : int
        The number of features of the output of the last layer.
    widths : tuple of int
        The numbers of features between the layers; empty for a single layer.
    quantity : int
        This and the following fields are those of every layer, see
        :class:`hopcore.layers.HNLSettings`.
    num_heads : int
    hidden_size : int
    temperature : float
    separation : str or float
    dropout : float

    Examples
    --------
    >>> import hopcore
    >>> settings = hopcore.layers.HNMSettings(input_size=64, output_size=10, widths=(32,))
    >>> [(layer.input_size, layer.output_size) for layer in settings.layers]
    [(64, 32), (32, 10)]
    """

    input_size: int
    output_size: int
    widths: tuple[int, ...] = (64,)
    quantity: int = 64
    num_heads: int = 8
    hidden_size: int = 16
    temperature: float = 0.1
    separation: SeparationName | float = "softmax"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Validate the settings."""
        if not isinstance(self.widths, tuple | list):
            raise TypeError(f"widths must be a tuple of integers, got {short_repr(self.widths)}")
        object.__setattr__(self, "widths", tuple(self.widths))
        for width in self.widths:
            check_integer("widths", width, 1)
        # None would mean the input's depth to a layer, and a stack says what it recalls.
        check_integer("output_size", self.output_size, 1)
        _ = self.layers

    @cached_property
    def layers(self) -> tuple[HNLSettings, ...]:
        """The settings of the layers."""
        return tuple(
            HNLSettings(
                input_size=size,
                output_size=after,
                quantity=self.quantity,
                num_heads=self.num_heads,
                hidden_size=self.hidden_size,
                temperature=self.temperature,
                separation=self.separation,
                dropout=self.dropout,
            )
            for size, after in pairwise((self.input_size, *self.widths, self.output_size))
        )


@suggest_names
@dataclass(frozen=True, kw_only=True)
class QuantizerSettings(Settings):
    """The settings of a vector quantiser, which replaces groups of features by codes.

    Attributes
    ----------
    input_size : int
        The number of features, a multiple of ``groups``.
    groups : int
        The number of groups of features, each of which has a separate codebook.
    quantity : int
        The number of codes in a codebook.
    temperature : float
        The temperature of the squared distances if a call gives none.
    commitment : float
        The weight of the commitment in the loss; the codebook has the weight 1.

    Examples
    --------
    >>> import hopcore
    >>> settings = hopcore.layers.QuantizerSettings(input_size=64, groups=8, quantity=32)
    >>> hopcore.layers.parameter_shapes(settings)
    {'codebook': (8, 32, 8)}
    """

    input_size: int
    groups: int = 1
    quantity: int = 64
    temperature: float = 1.0
    commitment: float = 0.25

    def __post_init__(self) -> None:
        """Validate the settings."""
        check_integer("input_size", self.input_size, 1)
        check_integer("groups", self.groups, 1)
        check_integer("quantity", self.quantity, 1)
        check_positive("temperature", self.temperature)
        check_number("commitment", self.commitment, 0.0)
        if self.input_size % self.groups:
            raise ValueError(
                f"input_size must be a multiple of groups, got {self.input_size} and {self.groups}"
            )

    @property
    def code_size(self) -> int:
        """The number of features of a code."""
        return self.input_size // self.groups


@suggest_names
@dataclass(frozen=True, kw_only=True)
class EnergyTransformerSettings(Settings):
    """The settings of an energy transformer block.

    Attributes
    ----------
    input_size : int
        The number of features of a token.
    num_heads : int
        The number of heads.
    head_size : int
        The number of dimensions of queries and keys of each head.
    quantity : int
        The number of stored patterns of the memory.
    beta : float, optional
        The inverse temperature of the attention; the default is ``1 / sqrt(head_size)``.
    steps : int
        The number of steps down the energy, if a call gives none.
    step_size : float
        The size of a step, positive.
    attends_to_itself : bool
        Whether a token is among the keys of its own query; in the paper it is not.
    eps : float
        What the normalisation adds to the variance, positive.

    Examples
    --------
    >>> import hopcore
    >>> settings = hopcore.layers.EnergyTransformerSettings(input_size=16, num_heads=2, head_size=8)
    >>> hopcore.layers.parameter_shapes(settings)["memory_weight"]
    (64, 16)
    """

    input_size: int
    num_heads: int = 8
    head_size: int = 16
    quantity: int = 64
    beta: float | None = None
    steps: int = 12
    step_size: float = 0.1
    attends_to_itself: bool = True
    eps: float = 1e-5

    def __post_init__(self) -> None:
        """Validate the settings."""
        for name in ("input_size", "num_heads", "head_size", "quantity"):
            check_integer(name, getattr(self, name), 1)
        if self.beta is not None:
            check_positive("beta", self.beta)
        check_integer("steps", self.steps, 0)
        check_positive("step_size", self.step_size)
        check_bool("attends_to_itself", self.attends_to_itself)
        check_positive("eps", self.eps)

    @property
    def inverse_temperature(self) -> float:
        """The inverse temperature of the attention."""
        return 1.0 / math.sqrt(self.head_size) if self.beta is None else float(self.beta)


LayerSettings = (
    HopfieldSettings
    | PoolingSettings
    | LookupSettings
    | EncoderSettings
    | DecoderSettings
    | HNLSettings
    | HNMSettings
    | QuantizerSettings
    | EnergyTransformerSettings
)
"""The settings of every kind of layer that has parameters."""
