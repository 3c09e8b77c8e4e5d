"""Schedules, learned memories and quantisers, written plainly in NumPy float64."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from hopcore_conformance.oracle import memory as plain
from hopcore_conformance.oracle.heads import Array, Blur, Parameters, exact, linear, normal, softmax


def softplus(theta: Any) -> Array:
    """``ln(1 + e^theta)``."""
    return np.logaddexp(0.0, theta)


def schedule(given: dict[str, Any], step: float) -> float:
    """The temperature at a step; a schedule as its dictionary."""
    kind, steps = given["schedule"], step
    if given["freeze_after"] is not None:
        steps = min(steps, given["freeze_after"])
    steps = max(steps - given["warmup"], 0.0)
    if kind == "joined":
        first, second, at = given["first"], given["second"], given["at"]
        found = schedule(first, steps) if steps < at else schedule(second, steps - at)
    elif kind == "constant":
        found = given["value"]
    elif kind == "geometric":
        found = given["start"] * given["factor"] ** math.floor(steps / given["every"])
    else:
        found = between(given, min(steps / given["steps"], 1.0))
    return max(found, given["floor"])


def between(given: dict[str, Any], t: float) -> float:
    """The temperature when the fraction t of the steps is done."""
    a, b = given["start"], given["end"]
    if given["schedule"] == "linear":
        return (1.0 - t) * a + t * b
    if given["schedule"] == "cosine":
        return b + (a - b) * math.cos(math.pi * t / 2.0) ** 2
    if given["schedule"] == "exponential":
        return a ** (1.0 - t) * b**t
    return math.exp(float(np.interp(t, *knots(a, b, given["hot"], given["cold"], given["share"]))))


def knots(a: float, b: float, hot: float, cold: float, share: float) -> tuple[Array, Array]:
    """The corners of the phase-aware schedule: fractions of the steps and logarithms."""
    bends = sorted((x for x in (hot, cold) if min(a, b) < x < max(a, b)), reverse=a > b)
    logs = np.log([a, *bends, b])
    within = [cold <= math.exp((x + y) / 2.0) <= hot for x, y in pairwise(logs)]
    ways = np.abs(np.diff(logs))
    inside, outside = float(np.sum(ways[within])), float(np.sum(ways[np.logical_not(within)]))
    if inside == 0.0 or outside == 0.0:
        return np.asarray([0.0, 1.0]), np.log([a, b])
    share = max(share, inside / (inside + outside))
    times = np.where(within, share * ways / inside, (1.0 - share) * ways / outside)
    return np.concatenate([[0.0], np.cumsum(times)]), logs


class Memory(NamedTuple):
    """Parts of a Hopfield network layer: scores (..., H, n, S), values (H, S, d), the last map."""

    scores: Array
    values: Array
    weight: Array
    bias: Array


def memory(
    settings: Any, parameters: Parameters, state: Array, temperature: float, blur: Blur = exact
) -> Memory:
    """The scores of a layer at a temperature: correlations, divided by it."""
    heads, size = settings.num_heads, settings.hidden_size
    core = {key.rpartition("association_core.")[2]: x for key, x in parameters.items()}
    weights = np.split(core["in_proj_weight"], 3)
    biases = np.split(core["in_proj_bias"], 3)

    def by_heads(x: Array, which: int) -> Array:
        found = linear(x, weights[which], biases[which], blur)
        return np.moveaxis(found.reshape(*found.shape[:-1], heads, size), -2, -3)

    def standard(x: Array) -> Array:
        return normal(x, None, None, 1e-5, blur)

    queries = standard(by_heads(state, 0))
    keys = standard(by_heads(core["lookup_weights"][0], 1))
    beta = 1.0 / (temperature * size)
    scores = beta * queries @ np.swapaxes(keys, -1, -2)
    most = beta * np.abs(queries) @ np.abs(np.swapaxes(keys, -1, -2))
    values = by_heads(core["target_weights"][0], 2)
    last = core["out_proj.weight"], core["out_proj.bias"]
    return Memory(blur(scores, most), values, *last)


def recalled(found: Memory, weights: Array, blur: Blur = exact) -> Array:
    """The values by weights (..., H, n, S), the heads beside each other, and the last map."""
    mixed = blur(weights @ found.values, weights @ np.abs(found.values))
    mixed = np.moveaxis(mixed, -3, -2)
    return linear(mixed.reshape(*mixed.shape[:-2], -1), found.weight, found.bias, blur)


def weights_of(scores: Array, separation: Any) -> Array:
    """The soft weights."""
    if separation == "softmax":
        return np.apply_along_axis(softmax, -1, scores)
    return plain.weights(scores, 2.0 if separation == "sparsemax" else separation)


def hnl(
    settings: Any,
    parameters: Parameters,
    state: Array,
    temperature: float,
    noise: Any = 0.0,
    blur: Blur = exact,
) -> Array:
    """A Hopfield network layer."""
    found = memory(settings, parameters, state, temperature, blur)
    return recalled(found, blur(weights_of(found.scores + noise, settings.separation)), blur)


def chosen(scores: Array) -> Array:
    """1 at the first of the largest, 0 elsewhere."""
    return np.eye(scores.shape[-1])[np.argmax(scores, axis=-1)]


class Codes(NamedTuple):
    """Parts (..., G, d) of features, and the squared distances (..., G, S) of their codes."""

    parts: Array
    squares: Array


def codes_of(codebook: Array, features: Array) -> Codes:
    """The squared distances of all parts from all codes."""
    parts = features.reshape(*features.shape[:-1], codebook.shape[0], codebook.shape[-1])
    return Codes(parts, np.sum((parts[..., None, :] - codebook) ** 2, axis=-1))


def mixed(codebook: Array, weights: Array) -> Array:
    """The codes by weights (..., G, S), the groups beside each other."""
    found = np.einsum("...gs,gsd->...gd", weights, codebook)
    return found.reshape(*found.shape[:-2], -1)
