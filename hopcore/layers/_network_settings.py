"""The settings of networks with learned memories, whose temperature is set at every call."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._validation import check_integer, check_number, check_positive, short_repr
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
    """A Hopfield network layer: features recall from a memory that is learned.

    It is a lookup (:class:`hopcore.layers.LookupSettings`) whose state and stored patterns are
    normalised in the association space of each head, so that scores are correlations, in [-1, 1],
    and a temperature means the same whatever the sizes.

    Attributes
    ----------
    input_size : int
        Depth of the features.
    output_size : int, optional
        Depth of what is recalled; ``input_size``.
    quantity : int
        How many patterns the memory holds.
    num_heads : int
        Associations beside each other; in hard mode each chooses one pattern.
    hidden_size : int
        At least 2: depth of the association space of each head.
    temperature : float
        Of the scores, where a call names no other.
    separation : str or float
        As in :class:`hopcore.HopfieldSettings`.
    dropout : float
        Of association weights, in training.

    Raises
    ------
    TypeError, ValueError
        Settings that make no sense.

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
        """The settings of the layer as a lookup, at its own temperature."""
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
    """A stack of Hopfield network layers, all at one temperature.

    Attributes
    ----------
    input_size : int
        Depth of the features.
    output_size : int
        Depth of what the last layer recalls.
    widths : tuple of int
        Depths between the layers; none for a single layer.
    quantity : int
        This and the following are those of every layer, see :class:`hopcore.layers.HNLSettings`.
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
    """A vector quantiser: features in groups, each replaced by a pattern of a codebook.

    Attributes
    ----------
    input_size : int
        Depth of the features, a multiple of ``groups``.
    groups : int
        Parts of the features, each with a codebook of its own.
    quantity : int
        How many codes a codebook has.
    temperature : float
        Of the squared distances, where a call names no other.
    commitment : float
        Weight of the commitment in the loss, beside 1 for the codebook.

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
        """Depth of a code."""
        return self.input_size // self.groups


LayerSettings = (
    HopfieldSettings
    | PoolingSettings
    | LookupSettings
    | EncoderSettings
    | DecoderSettings
    | HNLSettings
    | HNMSettings
    | QuantizerSettings
)
"""The settings of every kind of layer that has parameters."""
