"""Arguments of the modules' constructors as settings, in torch as in JAX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hopcore.diffusion._config import DiffusionConfig
from hopcore.layers._settings import HopfieldSettings

PLACES = (
    "input_size", "hidden_size", "output_size", "pattern_size", "num_heads", "scaling",
    "update_steps_max", "update_steps_eps",
)  # fmt: skip
"""Arguments of a Hopfield layer that may be given by their place."""

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
"""Arguments of an association without normalisation, by their place, and the settings they are."""

DIFFUSION = tuple(
    name for name in DiffusionConfig.__dataclass_fields__ if name not in ("beta", "steps")
)
"""Arguments of a diffused layer that are fields of the configuration of its diffusion."""


def placed(names: Sequence[str], args: Sequence[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments by their names, from those that were given by their place and by name."""
    if len(args) > len(names):
        raise TypeError(f"at most {len(names)} arguments by place, got {len(args)}")
    twice = [name for name in names[: len(args)] if name in given]
    if twice:
        raise TypeError(f"{', '.join(twice)} given twice")
    return {**given, **dict(zip(names, args, strict=False))}


def core_settings(
    args: Sequence[Any], given: Mapping[str, Any], *, batch_first: bool
) -> HopfieldSettings:
    """The settings of an association without normalisation."""
    found = placed(tuple(CORE), args, given)
    unknown = sorted(set(found) - set(CORE))
    if unknown:
        raise TypeError(f"no such arguments: {', '.join(unknown)}; there are {', '.join(CORE)}")
    return HopfieldSettings(
        **{CORE[name]: value for name, value in found.items()},
        normalize_stored_pattern=False,
        normalize_state_pattern=False,
        normalize_pattern_projection=False,
        batch_first=batch_first,
    )


def diffused_arguments(
    given: Mapping[str, Any], steps: int | None, config: DiffusionConfig | None
) -> dict[str, Any]:
    """Arguments of a diffused layer as those of a layer."""
    fields = {name: value for name, value in given.items() if name in DIFFUSION}
    if steps is not None:
        fields["steps"] = steps
    if config is None:
        config = DiffusionConfig(**fields)
    elif fields:
        raise ValueError(f"give config or its fields, got both: {', '.join(sorted(fields))}")
    plain = {name: value for name, value in given.items() if name not in DIFFUSION}
    return {**plain, "diffusion": config}


def quantity_of(quantity: int | None, repetitions: int | None) -> int:
    """How many patterns a memory holds, which has two names."""
    if quantity is not None and repetitions not in (None, quantity):
        raise ValueError(
            f"quantity and num_pattern_repetitions are the same, got {quantity} and {repetitions}"
        )
    return next((x for x in (quantity, repetitions) if x is not None), 1)
