"""The call of a plain layer: the operations that one would write by hand, and nothing else.

Whether a layer is plain follows from its settings, and is found once for all of its calls. A call
for which the operations by hand would not be right goes the usual way.
"""

from __future__ import annotations

from typing import Any

from hopcore.arrays._backend import Array
from hopcore.arrays._discovery import BY_TYPE
from hopcore.arrays._long_sums import LONG
from hopcore.layers import _few_queries as few_queries
from hopcore.layers._parameters import Parameters
from hopcore.layers._settings import HopfieldSettings

WEIGHT, BIAS = "association_core.in_proj_weight", "association_core.in_proj_bias"
OUT = "association_core.out_proj"


def obstacle_to_plain_calls(settings: HopfieldSettings) -> str:
    """Say why calls of a layer are more than normalisations, maps and one attention; else ""."""
    rows, _ = settings.segments
    obstacles = {
        "keys are diffused, updated from, or added": settings.diffusion is not None
        or settings.update_steps_max != 0
        or settings.added > 0,
        "it is not the softmax of dot products": settings.separation != "softmax"
        or settings.similarity != "dot",
        "the inverse temperature is not one number": settings.learnable_scaling
        or not isinstance(settings.beta, float),
        "patterns are normalised in the association space": settings.normalize_hopfield_space,
        "its maps are not three equal parts of one matrix": not settings.packed
        or any(settings.static_patterns)
        or len(set(rows)) > 1,
        "there is no output map, or an activation follows": settings.disable_out_projection
        or settings.association_activation is not None,
        "a normalisation is missing, or adds nothing to a variance": any(
            norm is None or norm[3] == 0.0 for norm in settings.normalizations
        ),
        "samples are not on the first axis": not settings.batch_first,
    }
    return next((why for why, found in obstacles.items() if found), "")


class Plain:
    """The settings of a plain layer, resolved; see :func:`obstacle_to_plain_calls`."""

    def __init__(self, settings: HopfieldSettings) -> None:
        self.obstacle = obstacle_to_plain_calls(settings)
        self.depth, self.heads = settings.input_size, settings.num_heads
        self.beta: Any = settings.beta
        self.rows = settings.segments[0]
        self.norms: Any = settings.normalizations
        names = [norm[0] for norm in settings.normalizations if norm is not None]
        self.submodules = (*names, OUT)
        """Under these names, changed submodules are among the parameters."""


def plain_call_of(settings: HopfieldSettings) -> Plain:
    """Return the resolved settings, which are kept beside the settings themselves."""
    found = settings.__dict__.get("_plain")
    if found is None:
        found = settings.__dict__["_plain"] = Plain(settings)
    return found


def called_plainly(
    plain: Plain, parameters: Parameters, stored: Any, state: Any, projection: Any
) -> Array | None:
    """Return the output of a layer, or None for a call that has to go the usual way."""
    if plain.obstacle:
        return None
    kind, weight = type(stored), parameters.get(WEIGHT)
    backend = BY_TYPE.get(kind)
    if backend is None or weight is None or not kind is type(state) is type(projection):
        return None
    if not backend.runs_plain_calls(stored, state, projection, weight):
        return None
    if not fits(plain, stored.shape, state.shape, projection.shape):
        return None
    for name in plain.submodules:
        if name in parameters:
            return None
    find, norms = parameters.get, plain.norms
    bias = find(BIAS)
    weights = backend.split(weight, plain.rows, 0)
    biases = (None, None, None) if bias is None else backend.split(bias, plain.rows, 0)
    projected = []
    for which, patterns in enumerate((state, stored, projection)):
        _, scale, shift, eps = norms[which]
        normal = backend.layer_norm(patterns, find(scale), find(shift), eps)
        projected.append(backend.linear(normal, weights[which], biases[which]))
    queries, keys, values = projected
    joined = backend.attention_in_heads(queries, keys, values, plain.heads, plain.beta)
    return backend.linear(joined, parameters[OUT + ".weight"], find(OUT + ".bias"))


def fits(
    plain: Plain, stored: tuple[int, ...], state: tuple[int, ...], projection: tuple[int, ...]
) -> bool:
    """Whether the shapes are right, and maps cannot move to few queries of a large set."""
    if stored != projection or len(stored) != 3 or len(state) != 3:
        return False
    samples, patterns, depth = stored
    queries = state[1]
    if state[0] != samples or not depth == state[2] == plain.depth:
        return False
    if queries == 0 or patterns == 0 or patterns > LONG:
        return False
    return 2 * queries > patterns or samples * patterns * depth * depth < few_queries.WORTH
