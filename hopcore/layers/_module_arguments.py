"""Translate the arguments of the modules' constructors into settings, for torch and JAX."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from functools import wraps
from typing import Any, TypeVar, cast

from hopcore.arrays._array_checks import backend_of_input
from hopcore.diffusion._config import DiffusionConfig
from hopcore.layers._composed_settings import EncoderSettings
from hopcore.layers._settings import HopfieldSettings
from hopcore.memory._learnable_alpha import LearnableAlpha
from hopcore.memory._scores import Similarity
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

Constructor = TypeVar("Constructor", bound=Callable[..., None])


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
    if settings.get("dropout") is False:
        settings["dropout"] = 0.0  # as code for hopfield-layers writes it
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
    similarity: Similarity,
    arguments: Mapping[str, Any],
) -> HopfieldSettings:
    """Return the settings of attention that learns its temperature."""
    plain = core_settings({**arguments, "embed_dim": d_model}, batch_first=True)
    return replace(plain, scaling=temperature, separation=separation, similarity=similarity)


def attention_patterns(query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
    """Return keys, queries and values, as a Hopfield layer takes them.

    The default of the keys is the queries, and the default of the values is the keys.
    """
    key = query if key is None else key
    return key, query, key if value is None else value


def attention_mask(attn_mask: Any, mask: Any) -> Any:
    """Return the ``attn_mask`` of a call that was given a mask of one kind or the other.

    Parameters
    ----------
    attn_mask : array, "causal" or None
        True where a query may not attend, or numbers that are added to the scores.
    mask : array of bool or of integers, or None
        True, or not 0, where a query may attend.

    Raises
    ------
    TypeError
        ``mask`` holds floating-point numbers.
    ValueError
        Both are given.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.layers import attention_mask
    >>> attention_mask(None, np.asarray([[1, 0]]))
    array([[False,  True]])
    """
    if mask is None:
        return attn_mask
    if attn_mask is not None:
        raise ValueError("give mask (True: attend) or attn_mask (True: ignore), got both")
    backend = backend_of_input("mask", mask)
    kind = str(mask.dtype)
    if "bool" in kind:
        return backend.xp.logical_not(mask)
    if "int" not in kind:
        raise TypeError(
            f"mask must hold booleans or integers, got {kind}; numbers that are added to the "
            "scores are attn_mask"
        )
    return mask == 0


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
