"""The settings of a Hopfield layer, and the sizes that follow from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Self

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._backend import SeparationFunction
from hopcore.arrays._fields import check_types, known_fields
from hopcore.arrays._scalar_checks import (
    check_bool,
    check_integer,
    check_number,
    check_one_of,
    check_positive,
    check_probability,
    short_repr,
)
from hopcore.diffusion._config import DiffusionConfig
from hopcore.layers._activations import ACTIVATIONS, ActivationName
from hopcore.layers._setting_checks import PATTERNS, check_combinations, check_sizes
from hopcore.memory._entmax import Entmax
from hopcore.memory._learnable_alpha import LearnableAlpha
from hopcore.memory._scores import Similarity, check_similarity
from hopcore.memory._separation import SeparationName, get_separation
from hopcore.schedules._learnable_temperature import LearnableTemperature


class Settings:
    """The base class of settings, which are dataclasses that can be turned into mappings."""

    NESTED: ClassVar[Mapping[str, Any]] = {}
    """For fields that are settings themselves, the function that makes them of a mapping."""

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as numbers, strings, lists and booleans."""
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return settings from a mapping; missing fields keep their default.

        Raises
        ------
        TypeError, ValueError
            A field does not exist, or its value is not valid.
        """
        given = known_fields(cls, values)
        for name, settings_of in cls.NESTED.items():
            if isinstance(given.get(name), Mapping):
                given[name] = settings_of(given[name])
        check_types(cls, given)
        return cls(**given)


ORDER = "state_pattern", "stored_pattern", "pattern_projection"
"""The inputs of a layer in the order of queries, keys and values."""


@suggest_names
@dataclass(frozen=True, kw_only=True)
class HopfieldSettings(Settings):
    """The settings of a Hopfield layer, without its parameters; immutable, checked, serialisable.

    Attributes
    ----------
    input_size : int, optional
        The number of features of the states, and of the other inputs unless given. It is needed if
        anything is projected or normalised.
    hidden_size : int, optional
        The number of dimensions of the association space of each head; the default is ``input_size
        / num_heads``.
    output_size : int, optional
        The number of features of the output; the default is ``input_size``.
    pattern_size : int, optional
        The number of features of the values of each head; the default is ``hidden_size``.
    num_heads : int
        The number of heads, which associate independently.
    scaling : float, tuple of float or LearnableTemperature, optional
        The inverse temperature beta: a number for all heads, a number for each head, or a learned
        temperature, which stays positive. The default is ``1 / sqrt(hidden_size)``, or 1 if all
        patterns are static.
    learnable_scaling : bool
        Whether ``scaling`` is a trained parameter, which starts at the given value.
    separation : str, float or LearnableAlpha
        ``"softmax"``, ``"sparsemax"``, the alpha > 1 of an entmax, whose weights are sparse,
        ``"normmax:2"``, ``"k-subsets:4"``, or a learned alpha, which stays between 1 and 2. With
        distances also ``"epanechnikov"``, or ``"epanechnikov:2"`` with a power: keys farther from a
        query than ``sqrt(2 / beta)`` have no weight, and a query in reach of no key gets zeros.
    similarity : {"dot", "distance"}
        How queries are compared with keys in the association space, also in updates: by their dot
        products, or by their distances. With distances, a long key does not hide a shorter one.
    update_steps_max : int, tuple of int, or None
        The largest number of updates of the state in the association space before the association.
        With 0 there is none, and the layer is attention; with None, the state is updated until it
        converges. One number for all heads, or one for each.
    update_steps_eps : float or tuple of float
        A query has converged when an update moves it by at most this number times the largest norm
        of a stored pattern. Each query is tested separately.
    normalize_stored_pattern : bool
        Whether the stored patterns pass through layer normalisation.
    normalize_stored_pattern_affine : bool
        Whether this normalisation has a learned scale and shift.
    normalize_stored_pattern_eps : float
        A number that is added to the variance. Values that are all equal become zeros, even if it
        is 0.
    normalize_state_pattern : bool
        The same for the states.
    normalize_state_pattern_affine : bool
    normalize_state_pattern_eps : float
    normalize_pattern_projection : bool
        The same for the projections.
    normalize_pattern_projection_affine : bool
    normalize_pattern_projection_eps : float
    normalize_hopfield_space : bool
        The same for states and stored patterns in the association space of each head.
    normalize_hopfield_space_affine : bool
    normalize_hopfield_space_eps : float
    stored_pattern_as_static : bool
        Whether the stored patterns are already in the association space. Then they are not
        projected, and each head gets all of their features.
    state_pattern_as_static : bool
        The same for the states.
    pattern_projection_as_static : bool
        The same for the projections.
    pattern_projection_as_connected : bool
        Whether the values pass through the projection of the stored patterns before their own.
    stored_pattern_size : int, optional
        The number of features of the stored patterns; the default is ``input_size``.
    pattern_projection_size : int, optional
        The number of features of the projections; the default is ``input_size``.
    batch_first : bool
        Whether inputs have the shape ``(..., L, d)``, and otherwise ``(L, ..., d)``.
    association_activation : str, optional
        The activation function of the output: one of :data:`hopcore.layers.ACTIVATIONS`.
    dropout : float
        The probability with which an association weight is dropped during training.
    input_bias : bool
        Whether projections, including that of the output, have a bias.
    concat_bias_pattern : bool
        Whether to add a learned pattern to the memory of each head.
    add_zero_association : bool
        Whether to add a pattern of zeros to the memory, so that a query can attend to nothing.
    disable_out_projection : bool
        Whether the output is the concatenation of the heads, without a projection.
    diffusion : DiffusionConfig, optional
        Settings to diffuse the memory over the graph of its nearest neighbours. Their ``beta`` is
        not used.

    Raises
    ------
    TypeError, ValueError
        A setting is not valid, or settings contradict each other.

    Examples
    --------
    >>> import hopcore
    >>> settings = hopcore.HopfieldSettings(input_size=64, num_heads=4)
    >>> settings.head_size, settings.beta
    (16, 0.25)
    """

    # Without an annotation, which would count among the fields of the dataclass.
    NESTED = MappingProxyType(
        {
            "diffusion": DiffusionConfig.from_dict,
            "scaling": LearnableTemperature.from_dict,
            "separation": LearnableAlpha.from_dict,
        }
    )
    input_size: int | None = None
    hidden_size: int | None = None
    output_size: int | None = None
    pattern_size: int | None = None
    num_heads: int = 1
    scaling: float | tuple[float, ...] | LearnableTemperature | None = None
    learnable_scaling: bool = False
    separation: SeparationName | float | LearnableAlpha = "softmax"
    similarity: Similarity = "dot"
    update_steps_max: int | tuple[int, ...] | None = 0
    update_steps_eps: float | tuple[float, ...] = 1e-4
    normalize_stored_pattern: bool = True
    normalize_stored_pattern_affine: bool = True
    normalize_stored_pattern_eps: float = 1e-5
    normalize_state_pattern: bool = True
    normalize_state_pattern_affine: bool = True
    normalize_state_pattern_eps: float = 1e-5
    normalize_pattern_projection: bool = True
    normalize_pattern_projection_affine: bool = True
    normalize_pattern_projection_eps: float = 1e-5
    normalize_hopfield_space: bool = False
    normalize_hopfield_space_affine: bool = False
    normalize_hopfield_space_eps: float = 1e-5
    stored_pattern_as_static: bool = False
    state_pattern_as_static: bool = False
    pattern_projection_as_static: bool = False
    pattern_projection_as_connected: bool = False
    stored_pattern_size: int | None = None
    pattern_projection_size: int | None = None
    batch_first: bool = True
    association_activation: ActivationName | None = None
    dropout: float = 0.0
    input_bias: bool = True
    concat_bias_pattern: bool = False
    add_zero_association: bool = False
    disable_out_projection: bool = False
    diffusion: DiffusionConfig | None = None

    def __post_init__(self) -> None:
        """Validate the settings."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "bool":
                check_bool(field.name, value)
            if field.name.endswith("_size"):
                check_integer(field.name, value, 1, optional=True)
            if field.name.startswith("normalize") and field.name.endswith("_eps"):
                check_number(field.name, value, 0.0)
        check_integer("num_heads", self.num_heads, 1)
        check_similarity(self.similarity)
        self._learned_by_heads()
        self._each_head("update_steps_max", check_integer, 0, optional=True)
        self._each_head("update_steps_eps", check_number, 0.0)
        if self.dropout is False:  # as users of hopfield-layers write it
            object.__setattr__(self, "dropout", 0.0)
        check_probability("dropout", self.dropout)
        activation = self.association_activation
        if activation is not None:
            check_one_of("association_activation", activation, ACTIVATIONS)
        if self.diffusion is not None and not isinstance(self.diffusion, DiffusionConfig):
            raise TypeError(
                f"diffusion must be a DiffusionConfig, got {short_repr(self.diffusion)}"
            )
        check_sizes(self)
        check_combinations(self)
        # Kept before the first call, which may be inside a trace.
        for name, value in vars(type(self)).items():
            if isinstance(value, cached_property):
                getattr(self, name)

    def _learned_by_heads(self) -> None:
        for name in ("scaling", "separation"):
            if isinstance(value := getattr(self, name), LearnableTemperature | LearnableAlpha):
                object.__setattr__(self, name, value.of_heads(self.num_heads))
        if not isinstance(self.scaling, LearnableTemperature):
            self._each_head("scaling", check_positive, optional=True)
        elif self.learnable_scaling:
            raise ValueError("a LearnableTemperature is learned: leave out learnable_scaling")

    def _each_head(self, name: str, check: Any, *options: Any, optional: bool = False) -> None:
        value = getattr(self, name)
        if isinstance(value, list):
            value = tuple(value)
            object.__setattr__(self, name, value)
        if isinstance(value, tuple):
            if len(value) != self.num_heads:
                raise ValueError(
                    f"{name} must hold one value for each of the {self.num_heads} heads, "
                    f"got {len(value)}"
                )
            for one in value:
                check(name, one, *options)
        elif not (optional and value is None):
            check(name, value, *options)

    # What follows.

    @cached_property
    def static(self) -> bool:
        """Whether nothing is projected, so that sizes are those of the patterns."""
        return (
            all(getattr(self, f"{name}_as_static") for name in PATTERNS)
            and not self.pattern_projection_as_connected
            and not self.normalize_hopfield_space
            and self.disable_out_projection
        )

    @cached_property
    def stored_size(self) -> int | None:
        """Depth of the stored patterns."""
        return self.input_size if self.stored_pattern_size is None else self.stored_pattern_size

    @cached_property
    def projection_size(self) -> int | None:
        """Depth of the pattern projections."""
        given = self.pattern_projection_size
        return self.input_size if given is None else given

    @cached_property
    def head_size(self) -> int | None:
        """The number of dimensions of the association space of a head; None if all is static."""
        if self.static:
            return None
        if self.hidden_size is not None:
            return self.hidden_size
        assert self.input_size is not None
        return self.input_size // self.num_heads

    @cached_property
    def value_size(self) -> int | None:
        """The number of features of the values of a head; None if all is static."""
        return self.head_size if self.pattern_size is None else self.pattern_size

    @cached_property
    def out_size(self) -> int | None:
        """The number of features of the projected output."""
        return self.input_size if self.output_size is None else self.output_size

    @cached_property
    def packed(self) -> bool:
        """Whether the projections of the inputs are rows of one matrix."""
        return (
            self.stored_size == self.projection_size == self.input_size
            and self.pattern_size is None
            and not self.pattern_projection_as_connected
        )

    @cached_property
    def beta(self) -> float | tuple[float, ...]:
        """The inverse temperature, or its initial value."""
        usual = 1.0 if self.head_size is None else 1.0 / math.sqrt(self.head_size)
        if isinstance(self.scaling, LearnableTemperature):
            return self.scaling.betas(usual)
        return usual if self.scaling is None else self.scaling

    @cached_property
    def separation_function(self) -> SeparationFunction:
        """The separation function; of a learned alpha, the first one of the first head."""
        named = self.separation
        if isinstance(named, LearnableAlpha):
            named = named.first
        if not isinstance(named, str):
            check_number("separation", named)
        function = named if isinstance(named, str) else Entmax(named)
        return get_separation(function, self.similarity)

    @cached_property
    def added(self) -> int:
        """The number of patterns that the layer adds to a memory."""
        return int(self.concat_bias_pattern) + int(self.add_zero_association)

    @cached_property
    def segments(self) -> tuple[list[int], list[int]]:
        """The rows of the packed weight, and of the bias, for state, stored and projected patterns.

        The bias has rows for the projection of the values even where they are static.
        """
        head, value = self.head_size or 0, self.value_size or 0
        state = 0 if self.state_pattern_as_static else self.num_heads * head
        stored = 0 if self.stored_pattern_as_static else self.num_heads * head
        values = self.num_heads * value
        projected = 0 if self.pattern_projection_as_static else values
        return [state, stored, projected], [state, stored, values]

    @cached_property
    def static_patterns(self) -> tuple[bool, bool, bool]:
        """Whether state, stored and projected patterns are in the association space already."""
        return (
            self.state_pattern_as_static,
            self.stored_pattern_as_static,
            self.pattern_projection_as_static,
        )

    @cached_property
    def depths(self) -> tuple[int | None, int | None, int | None]:
        """The sizes of states, stored patterns and projections; None if any size is allowed."""
        if self.static:
            return None, None, None
        state, stored, projection = self.static_patterns
        head, value = self.head_size, self.value_size
        if state and stored and not self.affine("hopfield_space"):
            head = None
        if self.disable_out_projection and not self.pattern_projection_as_connected:
            value = None
        if self.pattern_projection_as_connected and not stored:
            projection = False
        return (
            head if state else self.input_size,
            head if stored else self.stored_size,
            value if projection else self.projection_size,
        )

    @cached_property
    def normalizations(self) -> tuple[tuple[str, str, str, float] | None, ...]:
        """The normalisations of states, stored patterns and projections; None for no normalisation.

        Each is its name, the names of its scale and shift, and its eps.
        """
        return tuple(
            (
                f"norm_{name}",
                f"norm_{name}.weight",
                f"norm_{name}.bias",
                getattr(self, f"normalize_{name}_eps"),
            )
            if self.normalizes(name)
            else None
            for name in ORDER
        )

    def normalizes(self, name: str) -> bool:
        """Whether an input, ``"stored_pattern"``, ``"state_pattern"`` ..., is normalised."""
        return getattr(self, f"normalize_{name}")

    def affine(self, name: str) -> bool:
        """Whether its normalisation is learnable."""
        return self.normalizes(name) and getattr(self, f"normalize_{name}_affine")
