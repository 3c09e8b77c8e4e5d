"""Translate arguments of the modules' constructors into settings, for torch as for JAX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hopcore.diffusion._config import DiffusionConfig
from hopcore.layers._settings import HopfieldSettings
from hopcore.schedules._learnable_temperature import LearnableTemperature

POSITIONAL = (
    "input_size", "hidden_size", "output_size", "pattern_size", "num_heads", "scaling",
    "update_steps_max", "update_steps_eps",
)  # fmt: skip
"""Arguments of a Hopfield layer that may be given by position."""

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
"""Arguments of an association without normalisation, by position, and the settings they are."""

DIFFUSION = tuple(
    name for name in DiffusionConfig.__dataclass_fields__ if name not in ("beta", "steps")
)
"""Arguments of a diffused layer that are fields of the configuration of its diffusion."""


ELSEWHERE = {
    "key_padding_mask": "stored_pattern_padding_mask= takes it, True = ignored as in torch",
    "attn_mask": "association_mask= takes it, True = not attended as in torch",
    "mask": "association_mask= takes ~mask: True = not attended; in the core True = attend",
    "is_causal": "pass association_mask=, True above the diagonal, ones(L, S, dtype=bool).triu(1)",
    "need_weights": "layer.association_weights(...) returns the weights",
    "beta": "the inverse temperature is set by scaling= when the layer is made",
}
"""Arguments that a call of other libraries has, and what a layer has instead."""


def refuse_arguments(arguments: Mapping[str, Any]) -> None:
    """Raise for arguments that a layer's call does not have, and name those that it has instead."""
    for name in arguments:
        known = "its arguments are input, stored_pattern_padding_mask and association_mask"
        raise TypeError(f"a layer takes no {name}=: {ELSEWHERE.get(name, known)}")


def bind_arguments(
    names: Sequence[str], args: Sequence[Any], arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Return all arguments by name, those given by position and those given by name."""
    if len(args) > len(names):
        raise TypeError(f"at most {len(names)} arguments by place, got {len(args)}")
    twice = [name for name in names[: len(args)] if name in arguments]
    if twice:
        raise TypeError(f"{', '.join(twice)} given twice")
    return {**arguments, **dict(zip(names, args, strict=False))}


def check_named(module: str, settings: type, args: Sequence[Any]) -> None:
    """Raise if a module that takes its settings by name was given some by position."""
    if args:
        names = ", ".join(f"{name}=" for name in settings.__dataclass_fields__)
        raise TypeError(
            f"{module} takes its settings by name, {names}; got {len(args)} by position"
        )


def as_numbers(value: Any) -> Any:
    """Return an array of one value, or of one for each head, as a number or a tuple."""
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


def core_settings(
    args: Sequence[Any], arguments: Mapping[str, Any], *, batch_first: bool
) -> HopfieldSettings:
    """Return the settings of an association without normalisation."""
    named = bind_arguments(tuple(CORE), args, arguments)
    unknown = sorted(set(named) - set(CORE))
    if unknown:
        raise TypeError(f"no such arguments: {', '.join(unknown)}; there are {', '.join(CORE)}")
    return HopfieldSettings(
        **{CORE[name]: value for name, value in named.items()},
        normalize_stored_pattern=False,
        normalize_state_pattern=False,
        normalize_pattern_projection=False,
        batch_first=batch_first,
    )


def attention_settings(
    d_model: int,
    num_heads: int,
    temperature: LearnableTemperature,
    separation: str | float,
    arguments: Mapping[str, Any],
) -> HopfieldSettings:
    """Return the settings of attention that learns its temperature."""
    plain = core_settings((d_model, num_heads), arguments, batch_first=True)
    return replace(plain, scaling=temperature, separation=separation)


def attention_patterns(query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
    """Return keys, queries and values, as a Hopfield layer takes them.

    Keys are the queries if not given, and values the keys.
    """
    key = query if key is None else key
    return key, query, key if value is None else value


def diffused_arguments(
    arguments: Mapping[str, Any], steps: int | None, config: DiffusionConfig | None
) -> dict[str, Any]:
    """Return arguments of a diffused layer as those of a layer."""
    fields = {name: value for name, value in arguments.items() if name in DIFFUSION}
    if steps is not None:
        fields["steps"] = steps
    if config is None:
        config = DiffusionConfig(**fields)
    elif fields:
        raise ValueError(f"give config or its fields, got both: {', '.join(sorted(fields))}")
    plain = {name: value for name, value in arguments.items() if name not in DIFFUSION}
    return {**plain, "diffusion": config}


def quantity_of(quantity: int | None, repetitions: int | None) -> int:
    """Return how many patterns a memory holds, an argument with two names."""
    if quantity is not None and repetitions not in (None, quantity):
        raise ValueError(
            f"quantity and num_pattern_repetitions are the same, got {quantity} and {repetitions}"
        )
    return next((x for x in (quantity, repetitions) if x is not None), 1)
