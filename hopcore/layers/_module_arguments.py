"""Translate the arguments of the modules' constructors into settings, for torch and JAX."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from difflib import get_close_matches
from functools import wraps
from inspect import signature
from typing import Any, TypeVar, cast

from hopcore.diffusion._config import DiffusionConfig
from hopcore.layers._composed_settings import EncoderSettings
from hopcore.layers._settings import HopfieldSettings
from hopcore.memory._learnable_alpha import LearnableAlpha
from hopcore.memory._separation import SeparationName
from hopcore.schedules._learnable_temperature import LearnableTemperature

CORE = {
    "embed_dim": "input_size",
    "num_heads": "num_heads",
    "dropout": "dropout",
    "bias": "input_bias",
    "add_bias_kv": "concat_bias_pattern",
    "add_zero_attn": "add_zero_association",
    "kdim": "stored_pattern_size",
    "vdim": "pattern_projection_size",
    "head_dim": "hidden_size",
    "pattern_dim": "pattern_size",
    "out_dim": "output_size",
    "disable_out_projection": "disable_out_projection",
    "key_as_static": "stored_pattern_as_static",
    "query_as_static": "state_pattern_as_static",
    "value_as_static": "pattern_projection_as_static",
    "value_as_connected": "pattern_projection_as_connected",
    "normalize_pattern": "normalize_hopfield_space",
    "normalize_pattern_affine": "normalize_hopfield_space_affine",
    "normalize_pattern_eps": "normalize_hopfield_space_eps",
}
"""Arguments of an association without normalisation, and the settings that they set."""

DIFFUSION = tuple(
    name for name in DiffusionConfig.__dataclass_fields__ if name not in ("beta", "steps")
)
"""Arguments of a diffused layer that are fields of the configuration of its diffusion."""


TRANSFORMER = tuple(field.name for field in fields(EncoderSettings) if field.name != "hopfield")
"""Arguments of a transformer layer that are not settings of its Hopfield layers."""

SYNONYMS = {
    "beta": "scaling",
    "d_model": "input_size",
    "embed_dim": "input_size",
    "in_features": "input_size",
    "out_features": "output_size",
    "heads": "num_heads",
    "nhead": "num_heads",
    "num_heads": "nhead",
    "diffusion": "config",
    "k": "k_neighbors",
    "scaling": "init_temp_factor",
    "temperature": "scaling",
}
"""Names of arguments in other libraries or layers, and the arguments that they may mean here."""

ELSEWHERE = {
    "key_padding_mask": "stored_pattern_padding_mask= takes it, True = ignored as in torch",
    "attn_mask": "association_mask= takes it, True = not attended as in torch",
    "mask": "association_mask= takes ~mask: True = not attended; in the core True = attend",
    "is_causal": "pass association_mask=, True above the diagonal, ones(L, S, dtype=bool).triu(1)",
    "need_weights": "layer.association_weights(...) returns the weights",
    "beta": "the inverse temperature is set by scaling= when the layer is made",
}
"""Arguments of a call in other libraries, and the corresponding arguments of a layer."""

Constructor = TypeVar("Constructor", bound=Callable[..., None])


def refuse_arguments(arguments: Mapping[str, Any]) -> None:
    """Raise an error for unknown arguments of a layer's call that names the right ones."""
    for name in arguments:
        known = "its arguments are input, stored_pattern_padding_mask and association_mask"
        raise TypeError(f"a layer takes no {name}=: {ELSEWHERE.get(name, known)}")


def suggest_names(constructor: Constructor) -> Constructor:
    """Return the constructor with an error that suggests the right name of an unknown argument.

    ``inspect.signature`` and ``help`` still show the arguments of the constructor itself.
    """
    parameters = list(signature(constructor).parameters.values())[1:]
    names = [one.name for one in parameters]
    places = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    known = frozenset(names)

    @wraps(constructor)
    def construct(self: Any, *args: Any, **arguments: Any) -> None:
        kind = type(self).__name__
        if len(args) > len(places):
            raise TypeError(by_position(kind, places, names, len(args)))
        if not known.issuperset(arguments):
            raise TypeError(no_argument(kind, names, arguments))
        constructor(self, *args, **arguments)

    return cast(Constructor, construct)


def by_position(kind: str, places: Sequence[str], names: Sequence[str], given: int) -> str:
    """Return the error for more arguments by position than a constructor takes."""
    if not places:
        named = ", ".join(f"{name}=" for name in names)
        return f"{kind} takes its settings by name, {named}; got {given} by position"
    return (
        f"{kind} takes {len(places)} arguments by position, {', '.join(places)}, and the others "
        f"by name; got {given} by position"
    )


def no_argument(kind: str, names: Sequence[str], given: Iterable[str]) -> str:
    """Return the error for arguments that a constructor does not have."""
    unknown = [name for name in given if name not in names]
    name = unknown[0]
    near = [SYNONYMS[name]] if SYNONYMS.get(name) in names else get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
    return f"{kind} has no argument {name}: {hint}"


def named_arguments(names: type | Iterable[str], scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a constructor, ``locals()``, that are settings, or have these names.

    Parameters
    ----------
    names : type or names
        The dataclass of the settings, or the names of arguments.
    scope : mapping of str to object
        The local variables of the constructor; others than the named ones are ignored.

    Examples
    --------
    >>> from hopcore.layers import QuantizerSettings, named_arguments
    >>> named_arguments(QuantizerSettings, {"self": None, "input_size": 8, "groups": 2})
    {'input_size': 8, 'groups': 2}
    """
    if isinstance(names, type):
        names = [field.name for field in fields(names)]
    return {name: scope[name] for name in names if name in scope}


def as_numbers(value: Any) -> Any:
    """Return an array with one value, or with a value for each head, as a number or a tuple."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return tuple(value) if isinstance(value, list) else value


def hopfield_settings(arguments: Mapping[str, Any]) -> HopfieldSettings:
    """Return the settings of a Hopfield layer from the named arguments of a constructor."""
    settings = dict(arguments)
    for name in ("scaling", "update_steps_max", "update_steps_eps"):
        if name in settings:
            settings[name] = as_numbers(settings[name])
    return HopfieldSettings.from_dict(settings)


def core_settings(arguments: Mapping[str, Any], *, batch_first: bool) -> HopfieldSettings:
    """Return the settings of an association without normalisation, from arguments in CORE."""
    return HopfieldSettings(
        **{CORE[name]: value for name, value in arguments.items()},
        normalize_stored_pattern=False,
        normalize_state_pattern=False,
        normalize_pattern_projection=False,
        batch_first=batch_first,
    )


def attention_settings(
    d_model: int,
    temperature: LearnableTemperature,
    separation: SeparationName | float | LearnableAlpha,
    arguments: Mapping[str, Any],
) -> HopfieldSettings:
    """Return the settings of attention that learns its temperature."""
    plain = core_settings({**arguments, "embed_dim": d_model}, batch_first=True)
    return replace(plain, scaling=temperature, separation=separation)


def attention_patterns(query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
    """Return keys, queries and values, as a Hopfield layer takes them.

    The default of the keys is the queries, and the default of the values is the keys.
    """
    key = query if key is None else key
    return key, query, key if value is None else value


def config_or_fields(constructor: Constructor) -> Constructor:
    """Decorate the constructor of a diffused layer to take a configuration, or its fields."""

    @wraps(constructor)
    def construct(self: Any, *args: Any, **arguments: Any) -> None:
        both = sorted({*DIFFUSION, "diffusion_steps"} & arguments.keys())
        if both and arguments.get("config") is not None:
            raise ValueError(f"give config or its fields, got both: {', '.join(both)}")
        constructor(self, *args, **arguments)

    return cast(Constructor, construct)


def diffused_arguments(
    own: Mapping[str, Any], steps: int, config: DiffusionConfig | None
) -> dict[str, Any]:
    """Return the configuration of a diffused layer as an argument of a layer."""
    return {"diffusion": DiffusionConfig(**own, steps=steps) if config is None else config}


def transformer_arguments(scope: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return settings of a transformer layer, and arguments of its Hopfield layers.

    Both come from the arguments of its constructor, ``locals()``.
    """
    own = named_arguments(TRANSFORMER, scope)
    inner = named_arguments(HopfieldSettings, scope)
    inner.update(input_size=scope["d_model"], num_heads=scope["nhead"])
    if inner["input_bias"] is None:
        inner["input_bias"] = own["bias"]
    return own, inner


def quantity_of(quantity: int | None, repetitions: int | None) -> int:
    """Return the number of learned patterns, an argument with two names."""
    if quantity is not None and repetitions not in (None, quantity):
        raise ValueError(
            "quantity and num_pattern_repetitions are two names of one number, "
            f"got {quantity} and {repetitions}"
        )
    return next((x for x in (quantity, repetitions) if x is not None), 1)
