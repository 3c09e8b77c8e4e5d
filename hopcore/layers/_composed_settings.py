"""The settings of layers made from Hopfield layers: pooling, lookup, transformer layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._fields import check_types
from hopcore.arrays._scalar_checks import (
    check_integer,
    check_number,
    check_one_of,
    check_probability,
)
from hopcore.layers._activations import ACTIVATIONS, ActivationName
from hopcore.layers._settings import HopfieldSettings, Settings


class Composed(Settings):
    """Settings that contain the settings of other layers."""

    NESTED: ClassVar[Mapping[str, Any]] = {"hopfield": HopfieldSettings.from_dict}
    PARTS: ClassVar[Mapping[str, str]] = {"hopfield": "hopfield"}
    """The layers within, by the names of their modules, and the fields that are their settings."""

    def parts(self) -> dict[str, Any]:
        """Return the settings of the inner layers by the names of their modules."""
        return {name: getattr(self, field) for name, field in self.PARTS.items()}

    def __post_init__(self) -> None:
        """Raise a TypeError if a part has settings of another kind, or a flag is not a bool."""
        flags = [one.name for one in fields(self) if one.type == "bool"]  # type: ignore[arg-type]
        names = [*self.PARTS.values(), *flags]
        check_types(type(self), {name: getattr(self, name) for name in names})


class Learned(Composed):
    """Settings of a layer with learned patterns."""

    hopfield: HopfieldSettings
    quantity: int

    @property
    def pattern_size(self) -> int:
        """The number of features of the learned patterns."""
        raise NotImplementedError

    def __post_init__(self) -> None:
        """Validate the settings."""
        super().__post_init__()
        check_integer("quantity", self.quantity, 1)
        check_integer("pattern_size", self.pattern_size, 1)


@suggest_names
@dataclass(frozen=True, kw_only=True)
class PoolingSettings(Learned):
    """The settings of Hopfield pooling: learned states attend to a set of stored patterns.

    Attributes
    ----------
    hopfield : HopfieldSettings
    quantity : int
        The number of learned states.
    trainable : bool
        Whether the learned states are trained.

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

    @property
    def pattern_size(self) -> int:
        """The number of features of the learned states."""
        inner = self.hopfield
        return _depth(inner.head_size if inner.state_pattern_as_static else None, inner)


@suggest_names
@dataclass(frozen=True, kw_only=True)
class LookupSettings(Learned):
    """The settings of Hopfield lookup: states attend to learned stored patterns.

    Attributes
    ----------
    hopfield : HopfieldSettings
    quantity : int
        The number of learned stored patterns.
    lookup_weights_as_separated : bool
        Whether the values are separate parameters; otherwise they are the stored patterns.
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
        super().__post_init__()
        wanted = self.hopfield.depths[2]
        if not self.lookup_weights_as_separated and wanted not in (None, self.pattern_size):
            raise ValueError(
                "a lookup recalls its stored patterns unless lookup_weights_as_separated, so "
                "stored_pattern_size and pattern_projection_size must be equal, got "
                f"{self.pattern_size} and {wanted}"
            )

    @property
    def pattern_size(self) -> int:
        """The number of features of the stored patterns."""
        inner = self.hopfield
        static = inner.stored_pattern_as_static
        return _depth(inner.head_size if static else inner.stored_size, inner)

    @property
    def target_size(self) -> int:
        """The number of features of separate values."""
        given, wanted = self.hopfield.pattern_projection_size, self.hopfield.depths[2]
        wanted = self.pattern_size if wanted is None else wanted
        return wanted if given is None else given


def association_of(values: Mapping[str, Any]) -> HopfieldSettings | LookupSettings:
    """Return the settings in a mapping: of a Hopfield layer, or of a lookup that contains one."""
    return (LookupSettings if "hopfield" in values else HopfieldSettings).from_dict(values)


def norm_of(association: str) -> str:
    """Return the name of the normalisation that goes with an association in a transformer layer."""
    return association.replace("hopfield_association", "norm_residual")


class Transformer(Composed):
    """What the settings of transformer layers share."""

    NESTED: ClassVar[Mapping[str, Any]] = {"hopfield": association_of, "cross": association_of}
    hopfield: HopfieldSettings | LookupSettings
    dim_feedforward: int
    dropout: float
    activation: ActivationName
    layer_norm_eps: float

    @property
    def association(self) -> HopfieldSettings:
        """The settings of the Hopfield layer that associates the sequence."""
        inner = self.hopfield
        return inner.hopfield if isinstance(inner, LookupSettings) else inner

    @property
    def looks_up(self) -> bool:
        """Whether the sequence is associated with learned patterns instead of itself."""
        return isinstance(self.hopfield, LookupSettings)

    def __post_init__(self) -> None:
        """Validate the settings."""
        super().__post_init__()
        check_integer("dim_feedforward", self.dim_feedforward, 1)
        if self.dropout is False:  # as users of hopfield-layers write it
            object.__setattr__(self, "dropout", 0.0)
        check_probability("dropout", self.dropout)
        check_number("layer_norm_eps", self.layer_norm_eps, 0.0)
        check_one_of("activation", self.activation, ACTIVATIONS)
        width = self.association.input_size
        for part in self.parts().values():
            inner = part.hopfield if isinstance(part, LookupSettings) else part
            if inner.static or inner.disable_out_projection or not width == inner.out_size:
                raise ValueError(
                    "an association in a transformer layer must project its output to the depth "
                    f"of its input, got input_size={inner.input_size} and "
                    f"output_size={inner.out_size}"
                )


@suggest_names
@dataclass(frozen=True, kw_only=True)
class EncoderSettings(Transformer):
    """A transformer encoder layer whose attention is a Hopfield layer.

    Attributes
    ----------
    hopfield : HopfieldSettings or LookupSettings
        The association of a sequence with itself, or with learned patterns. Its output has as many
        features as its input.
    dim_feedforward : int
        The number of features of the hidden layer.
    dropout : float
        The dropout rate of both branches and of the hidden layer during training. The association
        has its own rate.
    activation : str
        The activation function of the hidden layer.
    norm_first : bool
        Whether to normalise before each branch, instead of after adding it.
    layer_norm_eps : float
        A number that is added to each variance before the division. If all features are equal, the
        result is 0, even if this number is 0.
    bias : bool
        Whether linear maps and normalisations have a bias.

    Examples
    --------
    >>> import hopcore
    >>> settings = hopcore.layers.EncoderSettings(hopfield=hopcore.HopfieldSettings(input_size=8))
    >>> hopcore.layers.parameter_shapes(settings)["linear_residual.weight"]
    (2048, 8)
    """

    PARTS: ClassVar[Mapping[str, str]] = {"hopfield_association": "hopfield"}
    hopfield: HopfieldSettings | LookupSettings
    dim_feedforward: int = 2048
    dropout: float = 0.1
    activation: ActivationName = "relu"
    norm_first: bool = False
    layer_norm_eps: float = 1e-5
    bias: bool = True


@suggest_names
@dataclass(frozen=True, kw_only=True)
class DecoderSettings(Transformer):
    """A transformer decoder layer whose attentions are Hopfield layers.

    Attributes
    ----------
    hopfield : HopfieldSettings or LookupSettings
        The association of the target with itself, or with learned patterns.
    cross : HopfieldSettings, optional
        The association of the target with the memory; the default is the same settings as
        ``hopfield``. It must be given if ``hopfield`` is a lookup, which has its own memory.
    dim_feedforward : int
        This and the following fields are those of :class:`EncoderSettings`.
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

    PARTS: ClassVar[Mapping[str, str]] = {
        "hopfield_association_self": "hopfield",
        "hopfield_association_cross": "cross",
    }
    hopfield: HopfieldSettings | LookupSettings
    cross: HopfieldSettings = field(default=None)  # type: ignore[assignment]
    dim_feedforward: int = 2048
    dropout: float = 0.1
    activation: ActivationName = "relu"
    norm_first: bool = False
    layer_norm_eps: float = 1e-5
    bias: bool = True

    def __post_init__(self) -> None:
        """Validate the settings."""
        if self.cross is None:
            object.__setattr__(self, "cross", self.hopfield)
        if isinstance(self.cross, LookupSettings):
            raise TypeError(
                "cross must be HopfieldSettings, since a lookup has a memory of its own and would "
                "not look at the memory that a decoder layer is given, got LookupSettings"
            )
        super().__post_init__()


def _depth(found: int | None, inner: HopfieldSettings) -> int:
    depth = inner.input_size if found is None else found
    if depth is None:
        raise ValueError("input_size is needed for learnable patterns")
    return depth
