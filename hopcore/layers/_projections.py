"""Check the patterns of a layer, normalise them, and project them into the association space."""

from __future__ import annotations

from typing import Any, NamedTuple

from hopcore.arrays._array_checks import backend_of_patterns, broadcast_shapes, shape
from hopcore.arrays._backend import Array, Backend, SeparationFunction, with_orders
from hopcore.arrays._beta_checks import check_beta, clip_beta_to_dtype
from hopcore.arrays._inputs import Inputs
from hopcore.diffusion._operator import DiffusionOperator
from hopcore.graphs._graph import Graph
from hopcore.layers._parameters import Parameters
from hopcore.layers._settings import ORDER, HopfieldSettings
from hopcore.memory._learnable_alpha import learned_alpha
from hopcore.memory._scores import PLAIN, Scores
from hopcore.schedules._learnable_temperature import learned_temperature


class Patterns(NamedTuple):
    """States, stored patterns and projections, ``(..., L or S, d)``."""

    state: Array
    stored: Array
    projection: Array


class Association(NamedTuple):
    """The association of a layer whose patterns are in the association space.

    Attributes
    ----------
    lead : tuple of int
        The leading axes of the output.
    inputs : Inputs
        ``(..., H, L or S, d)``; H is 1 if all heads are equal.
    bias : array or None
        Added to the scores.
    graph : Graph or None
        The graph along which queries attend, if they do.
    spreading : DiffusionOperator or None
        The diffusion of the weights, if they are diffused.
    separation : SeparationFunction
    scores : Scores
        How queries are compared with keys: PLAIN for dot products.
    """

    lead: tuple[int, ...]
    inputs: Inputs
    bias: Array | None
    graph: Graph | None
    spreading: DiffusionOperator | None
    separation: SeparationFunction
    scores: Scores = PLAIN

    @property
    def scored(self) -> Inputs:
        """The inputs of the kernels, whose products of states and stored patterns are scores."""
        return self.scores.inputs(self.inputs)


def check_patterns(
    settings: HopfieldSettings, parameters: Parameters, patterns: Patterns
) -> tuple[Backend, Patterns, tuple[int, ...]]:
    """Check patterns against the settings and each other.

    Returns their backend, the patterns as ``(..., L or S, d)``, and their common leading axes.
    """
    state, stored, projection = patterns
    backend = backend_of_patterns(stored, state, projection)
    if min(state.ndim, stored.ndim, projection.ndim) < 2:
        raise ValueError(
            f"patterns must be (..., L, d), got {', '.join(map(str, map(shape, patterns)))}"
        )
    if not settings.batch_first:
        # One array may be given as two or three of the patterns: move it once.
        first = {id(x): x if x.ndim < 3 else backend.xp.moveaxis(x, 0, -2) for x in patterns}
        patterns = Patterns(*(first[id(x)] for x in patterns))
        state, stored, projection = patterns
    if stored.shape[-2] != projection.shape[-2]:
        raise ValueError(
            "there must be one pattern projection for each stored pattern, got "
            f"{shape(stored)} and {shape(projection)}"
        )
    if stored.shape[-2] + settings.added == 0:
        raise ValueError(f"stored must hold at least one pattern, got {shape(stored)}")
    for name, pattern, wanted in zip(ORDER, patterns, settings.depths, strict=True):
        # Any depth will do without one, but queries are as deep as what they are compared to.
        depth = (stored if name == ORDER[0] else pattern).shape[-1] if wanted is None else wanted
        if pattern.shape[-1] != depth:
            raise ValueError(
                f"{name} must be (..., {depth}) for these settings, got {shape(pattern)}"
            )
    for name, parameter in parameters.items():
        if name != "scaling":
            dtype = getattr(parameter, "dtype", stored.dtype)
            if dtype != stored.dtype and not backend.uses_autocast(stored):
                raise TypeError(
                    f"patterns must have the dtype of the parameters, {dtype}, got {stored.dtype}; "
                    "convert the patterns, or make the layer with dtype="
                )
            break
    lead = state.shape[:-2]
    # Ranks first: axes of different meaning are not compared, which would fix them in a trace.
    if not (
        state.ndim == stored.ndim == projection.ndim
        and lead == stored.shape[:-2] == projection.shape[:-2]
    ):
        axes = {name: shape(x)[:-2] for name, x in patterns._asdict().items()}
        lead = broadcast_shapes(**axes)
    return backend, patterns, tuple(lead)


def normalize(
    settings: HopfieldSettings,
    parameters: Parameters,
    backend: Backend,
    patterns: Array,
    which: int,
) -> Array:
    """Normalise states (0), stored patterns (1) or projections (2), if the settings say so."""
    names = settings.normalizations[which]
    if names is None:
        return patterns
    name, weight, bias, eps = names
    if name in parameters:
        return parameters[name](patterns)
    return backend.layer_norm(patterns, parameters.get(weight), parameters.get(bias), eps)


def project(
    settings: HopfieldSettings,
    parameters: Parameters,
    backend: Backend,
    patterns: Patterns,
    normalized: Patterns | None = None,
) -> Patterns:
    """Return the patterns in the association space, ``(..., H or 1, L or S, d)``.

    ``normalized`` are the normalised patterns if they are also needed elsewhere. Otherwise each
    input is normalised here, and freed as soon as it is projected.
    """
    heads, static = settings.num_heads, settings.static_patterns
    connected = settings.pattern_projection_as_connected and not static[1]
    state, stored, projection = sources = patterns if normalized is None else normalized
    same = state is stored is projection
    if normalized is None:
        same = same and settings.normalizations == (None, None, None)
    projected = []
    if same and settings.packed and not any(static):
        # All three are projections of one input: one product instead of three.
        weight = parameters["association_core.in_proj_weight"]
        bias = parameters.get("association_core.in_proj_bias")
        products = backend.linear(stored, weight, bias)
        for features in backend.split(products, settings.segments[0], -1):
            projected.append(split_heads(backend, features, heads))
    else:
        weights, biases = input_projections(settings, parameters, backend)
        for which in range(3):
            features = sources[which]
            if normalized is None:
                features = normalize(settings, parameters, backend, features, which)
            through_stored = connected and which == 2
            if through_stored:
                features = backend.linear(features, weights[1], biases[1])
            if not static[which]:
                features = backend.linear(features, weights[which], biases[which])
            elif not through_stored:  # every head gets all features of the patterns
                projected.append(features[..., None, :, :])
                continue
            projected.append(split_heads(backend, features, heads))
    if settings.normalize_hopfield_space:
        scale = parameters.get("association_core.p_norm_weight")
        shift = parameters.get("association_core.p_norm_bias")
        eps = settings.normalize_hopfield_space_eps
        projected[:2] = [backend.layer_norm(x, scale, shift, eps) for x in projected[:2]]
    state, stored, projection = projected
    if not state.dtype == stored.dtype == projection.dtype:
        # Dtypes differ under autocast only; the narrowest of them is taken.
        narrow = min((x.dtype for x in projected), key=lambda kind: backend.xp.finfo(kind).bits)
        return Patterns(*(backend.astype(x, narrow) for x in projected))
    return Patterns(state, stored, projection)


def input_projections(
    settings: HopfieldSettings, parameters: Parameters, backend: Backend
) -> tuple[list[Array | None], list[Array | None]]:
    """Return weights and biases for states, stored patterns and projections, or None."""
    rows, bias_rows = settings.segments
    if settings.static or not any(rows):
        return [None] * 3, [None] * 3
    if settings.packed:
        weights = list(backend.split(parameters["association_core.in_proj_weight"], rows, 0))
    else:
        weights = [parameters.get(f"association_core.{letter}_proj_weight") for letter in "qkv"]
    bias = parameters.get("association_core.in_proj_bias")
    return weights, [None] * 3 if bias is None else list(backend.split(bias, bias_rows, 0))


def split_heads(backend: Backend, features: Array, heads: int) -> Array:
    """Split features ``(..., L, H d)`` into heads, ``(..., H, L, d)``."""
    depth = features.shape[-1] // heads
    split = backend.xp.reshape(features, (*features.shape[:-1], heads, depth))
    return swap_heads(backend, split)


def swap_heads(backend: Backend, features: Array) -> Array:
    """Return ``(..., L, H, d)`` as ``(..., H, L, d)``, and back."""
    rank = features.ndim
    return backend.xp.permute_dims(features, (*range(rank - 3), rank - 2, rank - 3, rank - 1))


def separation_of(
    settings: HopfieldSettings, parameters: Parameters, backend: Backend, state: Array
) -> SeparationFunction:
    """Return the separation function; a learned alpha is an array ``()`` or ``(H, 1)``."""
    function = settings.separation_function
    if "alpha_logit" not in parameters:
        return function
    alpha = backend.astype(learned_alpha(parameters["alpha_logit"]), state.dtype)
    return with_orders(function, alpha[:, None] if alpha.ndim else alpha)


def beta_of(
    settings: HopfieldSettings, parameters: Parameters, backend: Backend, state: Array
) -> Any:
    """Return the inverse temperature: a number, or an array ``()`` or ``(H, 1)``."""
    beta: Any = parameters.get("scaling", settings.beta)
    if "temperature" in parameters and "scaling" not in parameters:
        shared = parameters.get("shared_temperature")
        beta = 1.0 / learned_temperature(parameters["temperature"], shared)
        beta = clip_beta_to_dtype(backend, beta, state)
    if isinstance(beta, int | float):
        return check_beta(backend, state, beta)
    if isinstance(beta, tuple):
        device = backend.device(state)
        return backend.xp.asarray(beta, dtype=state.dtype, device=device)[:, None]
    beta = backend.astype(beta, state.dtype)
    return check_beta(backend, state, beta[:, None] if beta.ndim else beta)
