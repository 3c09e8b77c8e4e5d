"""The settings of layers made from Hopfield layers: pooling, lookup, transformer layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hopcore.arrays._validation import check_integer, check_number, check_probability, short_repr
from hopcore.layers._activations import ACTIVATIONS
from hopcore.layers._settings import HopfieldSettings, Settings


class Composed(Settings):
    """Settings that hold those of Hopfield layers."""

    NESTED: ClassVar[Mapping[str, Any]] = {"hopfield": HopfieldSettings, "cross": HopfieldSettings}


@dataclass(frozen=True, kw_only=True)
class PoolingSettings(Composed):
    """Hopfield pooling: learnable state patterns ask a set of stored patterns.

    Attributes
    ----------
    hopfield : HopfieldSettings
    quantity : int
        How many state patterns there are.
    trainable : bool
        Whether they are trained.

    Examples
    --------
    >>> import hopcore
    >>> settings = hopcore.layers.PoolingSettings(hopfield=hopcore.HopfieldSettings(input_size=8))
    >>> hopcore.layers.parameter_shapes(settings)["pooling_weights"]
    (1, 1, 8)
    """

    hopfield: HopfieldSettings
    quantity: int = 1
    trainable: bool = True

    def __post_init__(self) -> None:
        """Validate the settings."""
        check_integer("quantity", self.quantity, 1)
        check_integer("pattern_size", self.pattern_size, 1)

    @property
    def pattern_size(self) -> int:
        """Depth of the learnable state patterns."""
        inner = self.hopfield
        return _depth(inner.head_size if inner.state_pattern_as_static else None, inner)


@dataclass(frozen=True, kw_only=True)
class LookupSettings(Composed):
    """Hopfield lookup: state patterns ask a memory that is learned.

    Attributes
    ----------
    hopfield : HopfieldSettings
    quantity : int
        How many patterns the memory holds.
    lookup_weights_as_separated : bool
        The values are parameters of their own; otherwise they are the stored patterns.
    trainable : bool
        Whether the stored patterns are trained.
    lookup_targets_as_trainable : bool
        Whether separate values are trained.

    Examples
    --------
    >>> import hopcore
    >>> settings = hopcore.layers.LookupSettings(hopfield=hopcore.HopfieldSettings(input_size=8))
    >>> hopcore.layers.parameter_shapes(settings)["lookup_weights"]
    (1, 1, 8)
    """

    hopfield: HopfieldSettings
    quantity: int = 1
    lookup_weights_as_separated: bool = False
    trainable: bool = True
    lookup_targets_as_trainable: bool = True

    def __post_init__(self) -> None:
        """Validate the settings."""
        check_integer("quantity", self.quantity, 1)
        check_integer("pattern_size", self.pattern_size, 1)

    @property
    def pattern_size(self) -> int:
        """Depth of the stored patterns."""
        inner = self.hopfield
        static = inner.stored_pattern_as_static
        return _depth(inner.head_size if static else inner.stored_size, inner)

    @property
    def target_size(self) -> int:
        """Depth of separate values."""
        given = self.hopfield.pattern_projection_size
        return self.pattern_size if given is None else given


@dataclass(frozen=True, kw_only=True)
class EncoderSettings(Composed):
    """A transformer encoder layer whose attention is a Hopfield layer.

    Attributes
    ----------
    hopfield : HopfieldSettings
        The association of a sequence with itself; its output is as deep as its input.
    dim_feedforward : int
        Depth of the hidden layer.
    dropout : float
        Of both branches and of the hidden layer, in training; the association has its own.
    activation : str
        Of the hidden layer.
    norm_first : bool
        Normalise before each branch instead of after its sum.
    layer_norm_eps : float
        Added to variances. Features that are all equal become zeros, also with 0.
    bias : bool
        Linear maps and normalisations have a bias.

    Examples
    --------
    >>> import hopcore
    >>> settings = hopcore.layers.EncoderSettings(hopfield=hopcore.HopfieldSettings(input_size=8))
    >>> hopcore.layers.parameter_shapes(settings)["linear_residual.weight"]
    (2048, 8)
    """

    hopfield: HopfieldSettings
    dim_feedforward: int = 2048
    dropout: float = 0.1
    activation: str = "relu"
    norm_first: bool = False
    layer_norm_eps: float = 1e-5
    bias: bool = True

    def __post_init__(self) -> None:
        """Validate the settings."""
        _check_transformer(self, self.hopfield)


@dataclass(frozen=True, kw_only=True)
class DecoderSettings(Composed):
    """A transformer decoder layer whose attentions are Hopfield layers.

    Attributes
    ----------
    hopfield : HopfieldSettings
        The association of the target with itself.
    cross : HopfieldSettings, optional
        The association of the target with the memory; like the other if not given.
    dim_feedforward : int
        This and the following as in :class:`EncoderSettings`.
    dropout : float
    activation : str
    norm_first : bool
    layer_norm_eps : float
    bias : bool

    Examples
    --------
    >>> import hopcore
    >>> settings = hopcore.layers.DecoderSettings(hopfield=hopcore.HopfieldSettings(input_size=8))
    >>> settings.cross == settings.hopfield
    True
    """

    hopfield: HopfieldSettings
    cross: HopfieldSettings = field(default=None)  # type: ignore[assignment]
    dim_feedforward: int = 2048
    dropout: float = 0.1
    activation: str = "relu"
    norm_first: bool = False
    layer_norm_eps: float = 1e-5
    bias: bool = True

    def __post_init__(self) -> None:
        """Validate the settings."""
        if self.cross is None:
            object.__setattr__(self, "cross", self.hopfield)
        _check_transformer(self, self.hopfield, self.cross)


def _depth(found: int | None, inner: HopfieldSettings) -> int:
    depth = inner.input_size if found is None else found
    if depth is None:
        raise ValueError("input_size is needed for learnable patterns")
    return depth


def _check_transformer(settings: Any, *associations: HopfieldSettings) -> None:
    check_integer("dim_feedforward", settings.dim_feedforward, 1)
    if settings.dropout is False:  # as users of hopfield-layers write it
        object.__setattr__(settings, "dropout", 0.0)
    check_probability("dropout", settings.dropout)
    check_number("layer_norm_eps", settings.layer_norm_eps, 0.0)
    if settings.activation not in ACTIVATIONS:
        raise ValueError(
            f"activation must be one of {', '.join(ACTIVATIONS)}, "
            f"got {short_repr(settings.activation)}"
        )
    width = associations[0].input_size
    for inner in associations:
        if inner.static or inner.disable_out_projection or not width == inner.out_size:
            raise ValueError(
                "an association in a transformer layer must project its output to the depth of its "
                f"input, got input_size={inner.input_size} and output_size={inner.out_size}"
            )
