"""The parts of layers, written plainly in NumPy float64 and independent of hopcore.

Parameters go by their names in a state dict. Every result passes through ``blur``: the identity, or
:class:`Noise`, with which the checks measure what rounding may do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray
Parameters = Mapping[str, Array]
Blur = Callable[..., Array]
"""Of a result: the size of the terms that were summed, and the error of a series."""

LETTERS = {"state_pattern": "q", "stored_pattern": "k", "pattern_projection": "v"}


def exact(value: Array, size: Any = None, cut: Any = 0.0) -> Array:
    """No rounding."""
    return value


class Noise:
    """Rounding of one unit in the last place of the terms that were summed, up or down."""

    def __init__(self, seed: int, eps: float) -> None:
        self.rng, self.eps = np.random.default_rng(seed), eps
        self.turn = np.asarray((-1.0) ** seed)

    def __call__(self, value: Array, size: Any = None, cut: Any = 0.0) -> Array:
        """The value, each entry a little more or less."""
        off = self.eps * (np.abs(value) if size is None else size) + cut
        return value + off * self.signs(np.shape(value))

    def signs(self, shape: tuple[int, ...]) -> Array:
        """Up or down; a single number up with one seed, and down with the next."""
        return self.rng.choice([-1.0, 1.0], shape) if shape else self.turn


class Steady(Noise):
    """The same rounding in every step, as of a state that hardly moves: it adds up."""

    def __init__(self, noise: Noise) -> None:
        self.rng, self.eps, self.turn = noise.rng, noise.eps, noise.turn
        self.drawn: dict[tuple[int, ...], Array] = {}

    def signs(self, shape: tuple[int, ...]) -> Array:
        """Up or down, as the first time."""
        if shape not in self.drawn:
            self.drawn[shape] = super().signs(shape)
        return self.drawn[shape]


def phi(x: float) -> float:
    """The normal distribution function."""
    return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))


SELU = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
ACTIVATIONS: dict[str, Callable[[float], float]] = {
    "relu": lambda x: max(x, 0.0),
    "gelu": lambda x: x * phi(x),
    "tanh": math.tanh,
    "sigmoid": lambda x: 1.0 / (1.0 + math.exp(-x)),
    "silu": lambda x: x / (1.0 + math.exp(-x)),
    "selu": lambda x: SELU[0] * (x if x > 0 else SELU[1] * (math.exp(x) - 1.0)),
}


def activated(name: str | None, values: Array, blur: Blur) -> Array:
    """An activation function of each value; none changes faster than twice its argument."""
    if name is None:
        return values
    return blur(np.vectorize(ACTIVATIONS[name], otypes=[float])(values), 1.0 + np.abs(values))


def linear(x: Array, weight: Array, bias: Array | None, blur: Blur) -> Array:
    """``W x + b`` of each row."""
    shift = np.zeros(len(weight)) if bias is None else bias
    size = np.abs(x) @ np.abs(weight).T + np.abs(shift)
    return blur(x @ weight.T + shift, size)


def normal(x: Array, scale: Any, shift: Any, eps: float, blur: Blur) -> Array:
    """Mean 0 and variance 1 of each row, then scaled and shifted."""
    scale = 1.0 if scale is None else scale
    shift = 0.0 if shift is None else shift
    spread = np.sqrt(np.var(x, axis=-1, keepdims=True) + eps)
    found = (x - np.mean(x, axis=-1, keepdims=True)) / spread * scale + shift
    longest = np.max(np.abs(x), axis=-1, keepdims=True)
    return blur(found, longest / spread * np.abs(scale) + np.abs(shift))


def softmax(z: Array) -> Array:
    """Weights of scores (S,); zeros where all are masked."""
    if np.all(np.isneginf(z)):
        return np.zeros_like(z)
    found = np.exp(z - np.max(z))
    return found / np.sum(found)


def depth(settings: Any) -> tuple[int | None, int | None]:
    """Depth of the association space of a head, and of what it recalls."""
    head = settings.hidden_size
    if head is None and settings.input_size is not None:
        head = settings.input_size // settings.num_heads
    return head, head if settings.pattern_size is None else settings.pattern_size


def bare(settings: Any) -> bool:
    """Whether the patterns are associated unchanged: no parameters except a temperature."""
    return (
        settings.stored_pattern_as_static
        and settings.state_pattern_as_static
        and settings.pattern_projection_as_static
        and settings.disable_out_projection
        and not settings.pattern_projection_as_connected
        and not settings.normalize_hopfield_space
    )


def shapes(s: Any) -> dict[str, tuple[int, ...]]:
    """The parameters of a layer by name, as in the specification."""
    heads, (head, value) = s.num_heads, depth(s)
    stored = head if s.stored_pattern_as_static else s.stored_pattern_size or s.input_size
    projection = s.pattern_projection_size or s.input_size
    found: dict[str, tuple[int, ...]] = {}
    if s.learnable_scaling:
        found["scaling"] = (heads,) if isinstance(s.scaling, tuple) else ()
    for name, size in zip(
        ("stored_pattern", "state_pattern", "pattern_projection"),
        (s.stored_pattern_size, s.input_size, s.pattern_projection_size),
        strict=True,
    ):
        if getattr(s, f"normalize_{name}") and getattr(s, f"normalize_{name}_affine"):
            found |= {f"norm_{name}.{part}": (size or s.input_size,) for part in ("weight", "bias")}
    if bare(s):
        return found
    assert head is not None
    assert value is not None
    core: dict[str, tuple[int, ...]] = {}
    if s.normalize_hopfield_space and s.normalize_hopfield_space_affine:
        core |= {"p_norm_weight": (head,), "p_norm_bias": (head,)}
    connected = s.pattern_projection_as_connected
    through = heads * head if connected and not s.stored_pattern_as_static else projection
    rows = {
        "q": (0 if s.state_pattern_as_static else heads * head, s.input_size),
        "k": (0 if s.stored_pattern_as_static else heads * head, stored),
        "v": (0 if s.pattern_projection_as_static else heads * value, through),
    }
    projected = {letter: shape for letter, shape in rows.items() if shape[0]}
    sizes = {s.stored_pattern_size, s.pattern_projection_size} - {None, s.input_size}
    if projected and not sizes and s.pattern_size is None and not connected:
        core["in_proj_weight"] = (sum(many for many, _ in projected.values()), s.input_size)
    else:
        core |= {f"{letter}_proj_weight": shape for letter, shape in projected.items()}
    if projected and s.input_bias:
        core["in_proj_bias"] = (rows["q"][0] + rows["k"][0] + heads * value,)
    if s.concat_bias_pattern:
        core |= {} if s.stored_pattern_as_static else {"bias_k": (1, 1, heads * head)}
        core |= {} if s.pattern_projection_as_static else {"bias_v": (1, 1, heads * value)}
    if not s.disable_out_projection:
        out = s.input_size if s.output_size is None else s.output_size
        core["out_proj.weight"] = (out, heads * value)
        core |= {"out_proj.bias": (out,)} if s.input_bias else {}
    return found | {f"association_core.{name}": shape for name, shape in core.items()}


def temperature(settings: Any, parameters: Parameters, head: int) -> float:
    """The inverse temperature of a head."""
    found: Any = parameters.get("scaling", settings.scaling)
    if found is None:
        found = 1.0 if bare(settings) else 1.0 / math.sqrt(depth(settings)[0] or 1)
    return float(np.broadcast_to(found, settings.num_heads)[head])


def projection_of(settings: Any, parameters: Parameters, name: str) -> tuple[Array, Array | None]:
    """Weight and bias of the projection of an input: rows of one matrix, or a matrix of its own."""
    head, value = depth(settings)
    rows = {"state_pattern": head, "stored_pattern": head, "pattern_projection": value}
    many = {key: settings.num_heads * (size or 0) for key, size in rows.items()}
    static = {key: getattr(settings, f"{key}_as_static") for key in rows}
    before = list(rows)[: list(rows).index(name)]
    # The values have rows in the bias even where they are static; they are the last.
    start = sum(many[key] for key in before if not static[key])
    part = slice(start, start + many[name])
    bias = parameters.get("association_core.in_proj_bias")
    packed = parameters.get("association_core.in_proj_weight")
    own = parameters.get(f"association_core.{LETTERS[name]}_proj_weight")
    weight = packed[part] if packed is not None else own
    assert weight is not None
    return weight, None if bias is None else bias[part]


class Heads(NamedTuple):
    """A sample: its normalised patterns, and queries, keys and values of each head."""

    state: Array
    stored: Array
    queries: list[Array]
    keys: list[Array]
    values: list[Array]


def heads_of(
    settings: Any,
    parameters: Parameters,
    stored: Array,
    state: Array,
    projection: Array,
    blur: Blur,
) -> Heads:
    """Normalisation, projection, division into heads, normalisation in the association space."""
    given = {"state_pattern": state, "stored_pattern": stored, "pattern_projection": projection}
    for name in LETTERS:
        if getattr(settings, f"normalize_{name}"):
            weight, bias = (parameters.get(f"norm_{name}.{part}") for part in ("weight", "bias"))
            eps = getattr(settings, f"normalize_{name}_eps")
            given[name] = normal(given[name], weight, bias, eps, blur)

    def projected(name: str, x: Array) -> Array:
        return linear(x, *projection_of(settings, parameters, name), blur)

    def divided(x: Array, whole: bool) -> list[Array]:
        return [x] * settings.num_heads if whole else np.split(x, settings.num_heads, axis=-1)

    found = []
    for name in ("state_pattern", "stored_pattern"):
        static = getattr(settings, f"{name}_as_static")
        parts = divided(given[name] if static else projected(name, given[name]), static)
        if settings.normalize_hopfield_space:
            scale = parameters.get("association_core.p_norm_weight")
            shift = parameters.get("association_core.p_norm_bias")
            eps = settings.normalize_hopfield_space_eps
            parts = [normal(x, scale, shift, eps, blur) for x in parts]
        found.append(parts)
    values, static = given["pattern_projection"], settings.pattern_projection_as_static
    through = settings.pattern_projection_as_connected and not settings.stored_pattern_as_static
    if through:
        values = projected("stored_pattern", values)
    if not static:
        values = projected("pattern_projection", values)
    queries, keys = found
    values = divided(values, static and not through)
    return Heads(given["state_pattern"], given["stored_pattern"], queries, keys, values)
