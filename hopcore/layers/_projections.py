"""The patterns of a layer in the association space: checked, normalised, projected."""

from __future__ import annotations

from typing import Any, NamedTuple

from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._inputs import (
    backend_of_input,
    broadcast_shapes,
    check_alike,
    check_beta,
    check_floating,
    clip_beta_to_dtype,
    shape,
)
from hopcore.layers._parameters import Parameters
from hopcore.layers._settings import HopfieldSettings
from hopcore.schedules._learnable_temperature import learned_temperature

ORDER = "state_pattern", "stored_pattern", "pattern_projection"


class Patterns(NamedTuple):
    """State patterns, stored patterns and pattern projections, ``(..., L or S, d)``."""

    state: Array
    stored: Array
    projection: Array


def checked(
    settings: HopfieldSettings, parameters: Parameters, given: Patterns
) -> tuple[Backend, Patterns, tuple[int, ...]]:
    """The patterns as ``(..., L or S, d)``, checked against the settings and each other."""
    state, stored, projection = given
    backend = backend_of_input("stored", stored)
    check_floating(backend, "stored", stored)
    if state is not stored:
        check_alike(backend, stored, "state", state)
    if projection is not stored:
        check_alike(backend, stored, "projection", projection)
    if min(x.ndim for x in given) < 2:
        raise ValueError(
            f"patterns must be (..., L, d), got {', '.join(map(str, map(shape, given)))}"
        )
    if not settings.batch_first:
        given = Patterns(*(x if x.ndim < 3 else backend.xp.moveaxis(x, 0, -2) for x in given))
    state, stored, projection = given
    if stored.shape[-2] != projection.shape[-2]:
        raise ValueError(
            "there must be one pattern projection for each stored pattern, got "
            f"{shape(stored)} and {shape(projection)}"
        )
    if stored.shape[-2] + settings.added == 0:
        raise ValueError(f"stored must hold at least one pattern, got {shape(stored)}")
    check_depths(settings, given)
    one = next((x for name, x in parameters.items() if name != "scaling"), None)
    if one is not None and one.dtype != stored.dtype and not backend.uses_autocast(stored):
        raise TypeError(
            f"patterns must have the dtype of the parameters, {one.dtype}, got {stored.dtype}"
        )
    lead = state.shape[:-2]
    if not lead == stored.shape[:-2] == projection.shape[:-2]:
        axes = {name: shape(x)[:-2] for name, x in given._asdict().items()}
        lead = broadcast_shapes(**axes)
    return backend, given, tuple(lead)


def check_depths(settings: HopfieldSettings, given: Patterns) -> None:
    """Refuse patterns of another depth than the settings say."""
    if settings.static:
        wanted = given.stored.shape[-1], given.stored.shape[-1], given.projection.shape[-1]
    else:
        head, value = settings.head_size, settings.value_size
        both = settings.state_pattern_as_static and settings.stored_pattern_as_static
        if both and not settings.affine("hopfield_space"):
            head = given.stored.shape[-1]
        if settings.disable_out_projection and not settings.pattern_projection_as_connected:
            value = given.projection.shape[-1]
        wanted = (
            head if settings.state_pattern_as_static else settings.input_size,
            head if settings.stored_pattern_as_static else settings.stored_size,
            value if settings.pattern_projection_as_static else settings.projection_size,
        )
        if settings.pattern_projection_as_connected and not settings.stored_pattern_as_static:
            wanted = (*wanted[:2], settings.projection_size)
    for name, pattern, depth in zip(ORDER, given, wanted, strict=True):
        if pattern.shape[-1] != depth:
            raise ValueError(
                f"{name} must be (..., {depth}) for these settings, got {shape(pattern)}"
            )


def normalized(
    settings: HopfieldSettings,
    parameters: Parameters,
    backend: Backend,
    given: Patterns,
    which: int,
) -> Array:
    """State patterns (0), stored patterns (1) or projections (2) after their normalisation."""
    name, patterns = ORDER[which], given[which]
    if not settings.normalizes(name):
        return patterns
    return backend.layer_norm(
        patterns,
        parameters.get(f"norm_{name}.weight"),
        parameters.get(f"norm_{name}.bias"),
        getattr(settings, f"normalize_{name}_eps"),
    )


def projected(
    settings: HopfieldSettings,
    parameters: Parameters,
    backend: Backend,
    given: Patterns,
    normal: Patterns | None,
) -> Patterns:
    """The patterns in the association space, ``(..., H or 1, L or S, d)``.

    ``normal`` are the patterns after their normalisations, where they are needed elsewhere; else
    each is normalised here and dropped as soon as it is projected.
    """
    heads = settings.num_heads
    static = (
        settings.state_pattern_as_static,
        settings.stored_pattern_as_static,
        settings.pattern_projection_as_static,
    )
    whole = given if normal is None else normal
    same = whole.state is whole.stored is whole.projection
    if normal is None:
        same = same and not any(settings.normalizes(name) for name in ORDER)
    if same and settings.packed and not any(static):
        # Of one and the same input, all three with one product.
        weight = parameters["association_core.in_proj_weight"]
        bias = parameters.get("association_core.in_proj_bias")
        flat = backend.split(backend.linear(whole.stored, weight, bias), settings.segments[0], -1)
        found = [by_heads(backend, x, heads, whole=False) for x in flat]
    else:
        weights, biases = maps(settings, parameters, backend)

        def ready(which: int) -> Array:
            if normal is not None:
                return normal[which]
            return normalized(settings, parameters, backend, given, which)

        def apply(x: Array, which: int) -> Array:
            return backend.linear(x, weights[which], biases[which])

        connected = settings.pattern_projection_as_connected and not static[1]
        values = apply(ready(2), 1) if connected else ready(2)
        values = values if static[2] else apply(values, 2)
        found = [
            by_heads(backend, ready(0) if static[0] else apply(ready(0), 0), heads, static[0]),
            by_heads(backend, ready(1) if static[1] else apply(ready(1), 1), heads, static[1]),
            by_heads(backend, values, heads, static[2] and not connected),
        ]
    if settings.normalize_hopfield_space:
        scale = parameters.get("association_core.p_norm_weight")
        shift = parameters.get("association_core.p_norm_bias")
        eps = settings.normalize_hopfield_space_eps
        found[:2] = [backend.layer_norm(x, scale, shift, eps) for x in found[:2]]
    return one_dtype(backend, Patterns(*found))


def maps(
    settings: HopfieldSettings, parameters: Parameters, backend: Backend
) -> tuple[list[Array | None], list[Array | None]]:
    """The weights and biases of state, stored and projected patterns; None where there are none."""
    rows, bias_rows = settings.segments
    if settings.static or not any(rows):
        return [None] * 3, [None] * 3
    if settings.packed:
        weights = backend.split(parameters["association_core.in_proj_weight"], rows, 0)
    else:
        weights = [parameters.get(f"association_core.{letter}_proj_weight") for letter in "qkv"]
    bias = parameters.get("association_core.in_proj_bias")
    return weights, [None] * 3 if bias is None else backend.split(bias, bias_rows, 0)


def by_heads(backend: Backend, features: Array, heads: int, whole: bool) -> Array:
    """Features ``(..., L, H d)`` by heads, ``(..., H, L, d)``; or whole, ``(..., 1, L, d)``."""
    if whole:
        return features[..., None, :, :]
    depth = features.shape[-1] // heads
    split = backend.xp.reshape(features, (*features.shape[:-1], heads, depth))
    return turned(backend, split)


def turned(backend: Backend, features: Array) -> Array:
    """``(..., L, H, d)`` as ``(..., H, L, d)``, and back."""
    rank = features.ndim
    return backend.xp.permute_dims(features, (*range(rank - 3), rank - 2, rank - 3, rank - 1))


def one_dtype(backend: Backend, heads: Patterns) -> Patterns:
    """The patterns in the narrowest of their dtypes, which differ under autocast alone."""
    if heads.state.dtype == heads.stored.dtype == heads.projection.dtype:
        return heads
    narrow = min((x.dtype for x in heads), key=lambda kind: backend.xp.finfo(kind).bits)
    return Patterns(*(backend.astype(x, narrow) for x in heads))


def temperature(
    settings: HopfieldSettings, parameters: Parameters, backend: Backend, state: Array
) -> Any:
    """The inverse temperature: a number, or an array ``()`` or ``(H, 1)``."""
    beta: Any = parameters.get("scaling", settings.beta)
    if "temperature" in parameters and "scaling" not in parameters:
        beta = 1.0 / learned_temperature(parameters["temperature"], parameters.get("room"))
        beta = clip_beta_to_dtype(backend, beta, state)
    if isinstance(beta, int | float):
        return check_beta(backend, state, beta)
    if isinstance(beta, tuple):
        device = backend.device(state)
        return backend.xp.asarray(beta, dtype=state.dtype, device=device)[:, None]
    beta = backend.astype(beta, state.dtype)
    return check_beta(backend, state, beta[:, None] if beta.ndim else beta)
