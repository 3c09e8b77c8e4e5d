"""Points at which functions have a kink, with the value and the derivative that is returned.

Every dtype represents all of these numbers exactly, so each library computes at the kink itself and
not at a point beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import hopcore
from hopcore.arrays import backend_of
from hopcore.layers import ACTIVATIONS, ActivationName, QuantizerSettings

Array = np.ndarray


class Kink(NamedTuple):
    """A function at a point where it has no derivative, or nearly none."""

    function: Callable[..., Any]
    arguments: tuple[Array, ...]
    value: Any
    slopes: tuple[Any, ...]
    """The derivative of the sum by each argument, or of the sum with ``probe`` as weights."""
    probe: Any = None
    options: dict[str, Any] = {}  # noqa: RUF012 (never written to)


def kink(*arguments: Any, function: Callable[..., Any], **rest: Any) -> Kink:
    """A kink with its arguments as arrays."""
    return Kink(function, tuple(np.asarray(x, np.float64) for x in arguments), **rest)


def energy(state: Any, stored: Any, **options: Any) -> Any:
    """Energies at inverse temperature 1."""
    return hopcore.energy(state, stored, 1.0, **options)


def in_radius_one(function: Callable[..., Any], state: Any, stored: Any) -> Any:
    """Energies or updates with kernels of radius 1."""
    return function(state, stored, 2.0, separation="epanechnikov", similarity="distance")


def residual(state: Any, stored: Any) -> Any:
    """The length of one update."""
    return hopcore.retrieve(state, stored, 1.0, max_steps=1, tol=0.0).residual


def sparse(state: Any, stored: Any, projection: Any) -> Any:
    """An association by sparsemax."""
    return hopcore.association(state, stored, projection, beta=1.0, separation="sparsemax")


def similarity(patterns: Any) -> Any:
    """Cosines of all patterns, with negative ones set to 0."""
    return hopcore.build_similarity_matrix(patterns)


def cosine_edges(patterns: Any) -> Any:
    """The weights of the graph of all neighbours."""
    return hopcore.knn_graph(patterns, 4).to_dense()


def divergence(features: Any, codebook: Any) -> Any:
    """The divergence of the hard path of a quantiser from the soft one."""
    return hopcore.layers.quantize(CODES, {"codebook": codebook}, features).divergence


def normalised(features: Any, *, eps: float) -> Any:
    """Features with mean 0 and variance 1."""
    return backend_of(features).layer_norm(features, None, None, eps)


def activated(values: Any, *, name: ActivationName) -> Any:
    """The values of an activation function."""
    return ACTIVATIONS[name](values, backend_of(values))


SPARSEMAX = partial(hopcore.separate, separation="sparsemax")
CODES = QuantizerSettings(input_size=1, quantity=3)
LONGEST = [[2.0, 1.0], [1.0, 2.0], [0.5, 0.0], [-2.0, 1.0]]
"""Patterns of which three have the largest norm."""
COSINES = [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [-1.0, 0.0], [2.0, 0.0]]
"""Patterns that are zero, orthogonal, opposite, or have one direction."""
EDGES = np.zeros((5, 5))
EDGES[0, 4] = EDGES[4, 0] = 1.0
TO_ISOLATED = np.zeros((3, 3))
TO_ISOLATED[0, 2] = 1.0

KINKS = {
    "sparsemax at the end of its support": kink(
        [0.0, 0.0, -0.5, -1.0], function=SPARSEMAX,
        probe=[1.0, 2.0, 3.0, 4.0], value=[0.5, 0.5, 0.0, 0.0], slopes=([-0.5, 0.5, 0.0, 0.0],),
    ),
    "sparsemax at its reach": kink(
        [0.0, -1.0, -1.0, -2.0], function=SPARSEMAX,
        probe=[1.0, 2.0, 3.0, 4.0], value=[1.0, 0.0, 0.0, 0.0], slopes=([0.0, 0.0, 0.0, 0.0],),
    ),
    "entmax 1.5 at its reach": kink(
        [0.0, -2.0, -2.0, -4.0], function=partial(hopcore.separate, separation=hopcore.Entmax(1.5)),
        probe=[1.0, 2.0, 3.0, 4.0], value=[1.0, 0.0, 0.0, 0.0], slopes=([0.0, 0.0, 0.0, 0.0],),
    ),
    "entmax 3 at the end of its support": kink(
        [0.0, 0.0, -0.125, -1.0], function=partial(hopcore.separate, separation=hopcore.Entmax(3)),
        probe=[1.0, 2.0, 3.0, 4.0], value=[0.5, 0.5, 0.0, 0.0], slopes=([-1.0, 1.0, 0.0, 0.0],),
    ),
    "an energy with a pattern at its radius": kink(
        [[0.5]], [[0.0], [1.5]], function=partial(in_radius_one, hopcore.energy),
        value=[-0.5 * math.log(0.75)], slopes=([[2 / 3]], [[-2 / 3], [0.0]]),
    ),
    "an update with a pattern at its radius": kink(
        [[0.5]], [[0.0], [1.5]], function=partial(in_radius_one, hopcore.update),
        value=[[0.0]], slopes=([[0.0]], [[1.0], [0.0]]),
    ),
    "equal scores": kink(
        [1.0, 1.0, 1.0, 1.0], function=SPARSEMAX,
        probe=[1.0, 2.0, 3.0, 4.0], value=[0.25] * 4, slopes=([-1.5, -0.5, 0.5, 1.5],),
    ),
    "one score": kink(
        [3.0], function=SPARSEMAX, value=[1.0],
        slopes=([0.0],),
    ),
    "association at the end of the support": kink(
        [[1.0, 0.0]], [[0.5, 1.0], [0.5, -1.0], [0.0, 3.0], [-0.5, 0.0]],
        [[1.0], [2.0], [3.0], [4.0]], function=sparse, value=[[1.5]],
        slopes=([[0.0, -1.0]], [[-0.5, 0.0], [0.5, 0.0], [0.0, 0.0], [0.0, 0.0]],
                [[0.5], [0.5], [0.0], [0.0]]),
    ),
    "energy with three longest patterns": kink(
        [[0.0, 0.0]], LONGEST, function=energy, value=[2.5],
        slopes=([[-0.375, -1.0]],
                [[2 / 3, 1 / 3], [1 / 3, 2 / 3], [0.0, 0.0], [-2 / 3, 1 / 3]]),
    ),
    "energy with longest patterns that are masked": kink(
        [[0.0, 0.0], [0.0, 0.0]], LONGEST, function=energy, value=[2.5, 2.5],
        options={"mask": np.asarray([[True, False, False, True], [False, True, True, False]])},
        slopes=([[0.0, -1.0], [-0.75, -1.0]],
                [[1.0, 0.5], [1.0, 2.0], [0.0, 0.0], [-1.0, 0.5]]),
    ),
    "residual of a query at rest": kink(
        [[2.0, 1.0]], [[2.0, 1.0]], function=residual, value=[0.0],
        slopes=([[0.0, 0.0]], [[0.0, 0.0]]),
    ),
    "similarity of zero, orthogonal and equal patterns": kink(
        COSINES, function=similarity, value=EDGES,
        slopes=(np.zeros((5, 2)),),
    ),
    "edges of zero, orthogonal and equal patterns": kink(
        COSINES, function=cosine_edges, value=EDGES, slopes=(np.zeros((5, 2)),),
    ),
    "normalised Laplacian of an isolated node": kink(
        [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], probe=TO_ISOLATED,
        function=hopcore.compute_normalized_laplacian, slopes=(-TO_ISOLATED,),
        value=[[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]],
    ),
    "features that are all equal, normalised": kink(
        [[2.0, 2.0, 2.0]], function=partial(normalised, eps=2.0**-16), probe=[[1.0, 2.0, 3.0]],
        value=[[0.0, 0.0, 0.0]], slopes=([[-256.0, 0.0, 256.0]],),
    ),
    "features that are all equal, normalised, eps 0": kink(
        [[2.0, 2.0, 2.0]], function=partial(normalised, eps=0.0), probe=[[1.0, 2.0, 3.0]],
        value=[[0.0, 0.0, 0.0]], slopes=([[0.0, 0.0, 0.0]],),
    ),
    "relu at 0": kink(
        [0.0], function=partial(activated, name="relu"), value=[0.0], slopes=([0.0],)
    ),
    "selu at 0": kink(
        [0.0], function=partial(activated, name="selu"), value=[0.0],
        slopes=([1.0507009873554805 * 1.6732632423543772],),
    ),
    "sigmoid at 0": kink(
        [0.0], function=partial(activated, name="sigmoid"), value=[0.5], slopes=([0.25],)
    ),
    "silu at 0": kink(
        [0.0], function=partial(activated, name="silu"), value=[0.0], slopes=([0.5],)
    ),
    "straight through equal weights": kink(
        [[0.25, 0.375, 0.375], [0.0, 0.0, 0.0]], function=hopcore.layers.straight_through,
        probe=[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], value=[[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]],
        slopes=([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],),
    ),
    "divergence of equally near codes": kink(
        [[0.0]], [[[1.0], [-1.0], [1.0]]], function=divergence, value=math.log(3.0),
        slopes=([[0.0]], [[[0.0], [0.0], [0.0]]]),
    ),
    "learned temperature below its least": kink(
        [-800.0], function=hopcore.schedules.learned_temperature, value=[1e-15], slopes=([0.0],)
    ),
    "learned temperature at theta = 0": kink(
        [0.0], function=hopcore.schedules.learned_temperature, value=[math.log(2.0)],
        slopes=([0.5],),
    ),
    "joints of a schedule": kink(
        [0.0, 4.0, 6.0, 8.0, 12.0], function=hopcore.Linear(1.0, 0.5, steps=4, warmup=4),
        value=[1.0, 1.0, 0.75, 0.5, 0.5], slopes=([0.0, 0.0, -0.125, 0.0, 0.0],),
    ),
    "reduced map at the centroid": kink(
        [0.0], function=partial(hopcore.phase.reduced_map, b=6.0, patterns=12), value=[0.0],
        slopes=([0.5],),
    ),
}  # fmt: skip
"""The rows of the table in docs/spec/ties.md."""
