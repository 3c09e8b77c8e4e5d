"""Share properties and methods between the modules of torch and JAX.

The names are those of hopfield-layers.
"""

from __future__ import annotations

from typing import Any

from hopcore.diffusion._config import DiffusionConfig
from hopcore.layers._hopfield import hopfield
from hopcore.layers._settings import HopfieldSettings
from hopcore.layers._transformer_weights import (
    decoder_weights_cross,
    decoder_weights_self,
    encoder_weights,
)


class Setting:
    """A property of a layer: a setting of its association, of the same name unless one is given."""

    def __init__(self, doc: str, name: str = "") -> None:
        self.__doc__, self.name = doc, name

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = self.name or name

    def __get__(self, layer: Any, kind: type | None = None) -> Any:
        return self if layer is None else getattr(layer.association_settings, self.name)

    def __set__(self, layer: Any, value: Any) -> None:
        raise AttributeError(f"{self.name} is a setting: make a new layer to change it")


class AssociationProperties:
    """Properties of a layer with an association, read from the settings of its Hopfield layer."""

    @property
    def association_settings(self) -> HopfieldSettings:
        """The settings of the association."""
        raise NotImplementedError

    batch_first = Setting("Whether inputs are ``(..., L, d)``, and not ``(L, ..., d)``.")
    input_size = Setting("Depth of the state patterns.")
    hidden_size = Setting("Depth of the association space of a head.", "head_size")
    output_size = Setting("Depth of the output.", "out_size")
    pattern_size = Setting("The number of features of the values of a head.", "value_size")
    num_heads = Setting("The number of heads.")
    state_pattern_dim = Setting("Depth of the state patterns.", "input_size")
    stored_pattern_dim = Setting("Depth of the stored patterns.", "stored_size")
    pattern_projection_dim = Setting("Depth of the pattern projections.", "projection_size")
    association_activation = Setting("The name of the activation of the output, or None.")
    update_steps_max = Setting("The most updates of the state; None: until it rests.")
    update_steps_eps = Setting("The relative movement at which a state rests.")
    stored_pattern_as_static = Setting("Whether stored patterns are not projected.")
    state_pattern_as_static = Setting("Whether state patterns are not projected.")
    pattern_projection_as_static = Setting("Whether pattern projections are not projected again.")
    normalize_stored_pattern = Setting("Whether stored patterns are normalised.")
    normalize_state_pattern = Setting("Whether state patterns are normalised.")
    normalize_pattern_projection = Setting("Whether pattern projections are normalised.")
    normalize_hopfield_space = Setting("Whether queries and keys of a head are normalised.")

    @property
    def normalize_stored_pattern_affine(self) -> bool:
        """Whether the normalisation of the stored patterns is learnable."""
        return self.association_settings.affine("stored_pattern")

    @property
    def normalize_state_pattern_affine(self) -> bool:
        """Whether the normalisation of the state patterns is learnable."""
        return self.association_settings.affine("state_pattern")

    @property
    def normalize_pattern_projection_affine(self) -> bool:
        """Whether the normalisation of the pattern projections is learnable."""
        return self.association_settings.affine("pattern_projection")

    @property
    def normalize_hopfield_space_affine(self) -> bool:
        """Whether the normalisation of queries and keys of a head is learnable."""
        return self.association_settings.affine("hopfield_space")


class CoreProperties:
    """Properties of an association without normalisation, by the names of hopfield-layers."""

    settings: HopfieldSettings

    @property
    def association_settings(self) -> HopfieldSettings:
        """The settings of the association."""
        return self.settings

    num_heads = Setting("The number of heads.")
    batch_first = Setting("Whether inputs are ``(N, L, E)``.")
    dropout = Setting("Probability with which an association weight is dropped in training.")
    add_zero_attn = Setting("Whether a pattern of zeros is added.", "add_zero_association")
    disable_out_projection = Setting("Whether the heads are the output.")
    key_as_static = Setting("Whether keys are not projected.", "stored_pattern_as_static")
    query_as_static = Setting("Whether queries are not projected.", "state_pattern_as_static")
    value_as_static = Setting("Whether values are not projected.", "pattern_projection_as_static")
    value_as_connected = Setting(
        "Whether values pass through the projection of the keys.", "pattern_projection_as_connected"
    )
    normalize_pattern = Setting(
        "Whether queries and keys of a head are normalised.", "normalize_hopfield_space"
    )
    normalize_pattern_affine = Setting(
        "Whether that is learnable.", "normalize_hopfield_space_affine"
    )
    normalize_pattern_eps = Setting("Added to the variance.", "normalize_hopfield_space_eps")
    static_execution = Setting("Whether nothing is projected.", "static")
    head_dim = Setting("Depth of the association space of a head.", "head_size")
    pattern_dim = Setting("The number of features of the values of a head.", "value_size")
    out_dim = Setting("Depth of the output.", "out_size")

    @property
    def embed_dim(self) -> int | None:
        """The number of features of the queries; None if nothing is projected."""
        return None if self.settings.static else self.settings.input_size

    @property
    def kdim(self) -> int | None:
        """The number of features of the keys; None if nothing is projected."""
        return None if self.settings.static else self.settings.stored_size

    @property
    def vdim(self) -> int | None:
        """The number of features of the values; None if nothing is projected."""
        return None if self.settings.static else self.settings.projection_size

    @property
    def virtual_hopfield_dim(self) -> int | None:
        """The number of features of the association space of all heads."""
        return None if self.head_dim is None else self.num_heads * self.head_dim

    @property
    def virtual_pattern_dim(self) -> int | None:
        """The number of features of the values of all heads."""
        return None if self.pattern_dim is None else self.num_heads * self.pattern_dim


class DiffusionMethods:
    """The configuration of a layer whose memory is diffused."""

    settings: Any

    @property
    def config(self) -> DiffusionConfig:
        """The configuration of the diffusion."""
        if self.settings.diffusion is None:
            raise ValueError(f"a {type(self).__name__} needs settings with diffusion, got None")
        return self.settings.diffusion

    def get_config(self) -> dict[str, Any]:
        """Return the configuration as numbers, strings and booleans."""
        return self.config.to_dict()


class LearnedPatternMethods(AssociationProperties):
    """Methods of a layer with learned patterns and a Hopfield layer, ``hopfield``."""

    settings: Any
    hopfield: Any

    @property
    def association_settings(self) -> HopfieldSettings:
        """The settings of the association."""
        return self.hopfield.settings

    @property
    def scaling(self) -> Any:
        """The inverse temperature."""
        return self.hopfield.scaling

    @property
    def temperature(self) -> Any:
        """The current temperature."""
        return self.hopfield.temperature

    @property
    def quantity(self) -> int:
        """The number of learned patterns."""
        return self.settings.quantity

    def unpack_inputs(self, input: Any) -> tuple[Any, Any, Any]:
        """Return stored patterns, states and projections."""
        raise NotImplementedError

    def association_weights(
        self,
        input: Any,
        stored_pattern_padding_mask: Any = None,
        association_mask: Any = None,
    ) -> Any:
        """Return how much each query of each head attends to each pattern, ``(..., H, L, S)``."""
        masks = stored_pattern_padding_mask, association_mask
        return self.hopfield.association_weights(self.unpack_inputs(input), *masks)

    def statistics(
        self,
        input: Any,
        stored_pattern_padding_mask: Any = None,
        association_mask: Any = None,
    ) -> Any:
        """Return the statistics of each head: ``(..., H, L)``, and received ``(..., H, S)``."""
        masks = stored_pattern_padding_mask, association_mask
        return self.hopfield.statistics(self.unpack_inputs(input), *masks)

    def get_association_matrix(
        self,
        input: Any,
        stored_pattern_padding_mask: Any = None,
        association_mask: Any = None,
    ) -> Any:
        """:meth:`association_weights` without a gradient."""
        masks = stored_pattern_padding_mask, association_mask
        return self.hopfield.get_association_matrix(self.unpack_inputs(input), *masks)

    def get_projected_pattern_matrix(
        self,
        input: Any,
        stored_pattern_padding_mask: Any = None,
        association_mask: Any = None,
    ) -> Any:
        """Return the values of each head, ``(..., H, S, v)``, without a gradient."""
        return self.hopfield.get_projected_pattern_matrix(self.unpack_inputs(input))


class EncoderMethods:
    """Methods of an encoder layer with a Hopfield layer, ``hopfield_association``."""

    settings: Any
    hopfield_association: Any
    arrays: Any

    def as_array(self, sequence: Any) -> Any:
        """Return a sequence as an array of the library."""
        return sequence

    @property
    def temperature(self) -> Any:
        """The current temperature."""
        return self.hopfield_association.temperature

    def get_association_matrix(
        self, input: Any, src_mask: Any = None, src_key_padding_mask: Any = None
    ) -> Any:
        """Return the association weights of the forward pass, ``(..., H, L, S)``, no gradient.

        ``input`` is the sequence; three patterns are taken as those that enter the association.
        """

        def weigh(values: Any) -> Any:
            masks = src_key_padding_mask, src_mask
            return self.hopfield_association.get_association_matrix(values, *masks)

        if isinstance(input, tuple | list):
            return weigh(input)
        source = self.as_array(input)
        return encoder_weights(self.settings, self.arrays(), source, weigh=weigh)


class DecoderMethods:
    """Methods of a decoder layer with two Hopfield layers."""

    settings: Any
    hopfield_association_self: Any
    hopfield_association_cross: Any
    arrays: Any

    def as_array(self, sequence: Any) -> Any:
        """Return a sequence as an array of the library."""
        return sequence

    def get_association_matrix_self(
        self, input: Any, tgt_mask: Any = None, tgt_key_padding_mask: Any = None
    ) -> Any:
        """Return the weights of the target with itself in the forward pass, without a gradient.

        ``input`` is the target; three patterns are taken as those that enter the association.
        """

        def weigh(values: Any) -> Any:
            masks = tgt_key_padding_mask, tgt_mask
            return self.hopfield_association_self.get_association_matrix(values, *masks)

        if isinstance(input, tuple | list):
            return weigh(input)
        target = self.as_array(input)
        return decoder_weights_self(self.settings, self.arrays(), target, weigh=weigh)

    def get_association_matrix_cross(
        self,
        input: Any,
        memory: Any = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
    ) -> Any:
        """Return the weights of the target with the memory in the forward pass, no gradient.

        ``input`` is the target, which is associated with itself first; or three patterns that
        enter the association with the memory.
        """

        def weigh(values: Any) -> Any:
            masks = memory_key_padding_mask, memory_mask
            return self.hopfield_association_cross.get_association_matrix(values, *masks)

        if isinstance(input, tuple | list):
            return weigh(input)
        if memory is None:
            raise TypeError(
                "get_association_matrix_cross needs the target and the memory, as the forward pass "
                "does, or the three patterns that enter the association; got the target alone"
            )
        target, memory = self.as_array(input), self.as_array(memory)
        first = self.hopfield_association_self
        lookup = isinstance(first, LearnedPatternMethods)
        layer = first.hopfield if lookup else first

        def associate(values: Any) -> Any:
            masks = {
                "stored_pattern_padding_mask": self._as_mask(tgt_key_padding_mask),
                "association_mask": self._as_mask(tgt_mask),
            }
            patterns = first.unpack_inputs(values) if lookup else (values,)
            return hopfield(layer.settings, layer.arrays(), *patterns, **masks)

        return decoder_weights_cross(
            self.settings,
            self.arrays(),
            target,
            memory,
            associate=associate,
            weigh=lambda queries: weigh((memory, queries, memory)),
        )

    def _as_mask(self, mask: Any) -> Any:
        return None if mask is None else self.as_array(mask)
