"""The inside of a Hopfield layer: its patterns in the association space of each head.

Parts of :func:`hopcore.hopfield`, in the order in which they happen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from hopcore.arrays._backend import Array, Backend, SeparationFunction
from hopcore.arrays._inputs import Inputs, broadcast_shapes, shape
from hopcore.diffusion._adaptive_eta import adapted_eta, spectrum, stacked
from hopcore.diffusion._cache import GraphCache
from hopcore.diffusion._config import DiffusionConfig
from hopcore.diffusion._engine import DynamicsEngine
from hopcore.diffusion._graph_attention import (
    AttentionOperator,
    anchored,
    diffused_weights,
    near_anchors,
    spread_weights,
)
from hopcore.diffusion._modes import diffusion_operator
from hopcore.diffusion._operator import DiffusionOperator
from hopcore.diffusion._retrieve import operator_of
from hopcore.graphs._builder import PatternGraph, pattern_graph
from hopcore.graphs._graph import Graph
from hopcore.graphs._knn import knn_graph
from hopcore.layers._masks import Shown, shown
from hopcore.layers._parameters import Parameters
from hopcore.layers._projections import Patterns, checked, normalized, projected, temperature
from hopcore.layers._settings import HopfieldSettings
from hopcore.memory._retrieval import broadcast_state, iterate_to_fixed_point

Drop = Callable[[Array], Array]
"""Dropout of association weights ``(..., H, L, S)``."""

MOST_UPDATES = 1000
"""Updates until the state rests, at most, where ``update_steps_max`` is None."""


class Association(NamedTuple):
    """What is left to do when all patterns are in the association space.

    Attributes
    ----------
    lead : tuple of int
        The leading axes of the output.
    inputs : Inputs
        ``(..., H, L or S, d)``; H is 1 where all heads are alike.
    bias : array or None
        Added to the scores.
    graph : Graph or None
        Along which queries attend, if they do.
    spreading : DiffusionOperator or None
        Of the weights, if they are diffused.
    separation : SeparationFunction
    """

    lead: tuple[int, ...]
    inputs: Inputs
    bias: Array | None
    graph: Graph | None
    spreading: DiffusionOperator | None
    separation: SeparationFunction

    @property
    def backend(self) -> Backend:
        """The backend of the patterns."""
        return self.inputs.backend


def associated(
    settings: HopfieldSettings,
    parameters: Parameters,
    stored: Array,
    state: Array | None,
    projection: Array | None,
    masks: tuple[Array | None, Array | None],
    cache: GraphCache | None,
) -> Association:
    """All of a layer up to what its heads recall."""
    given = Patterns(
        stored if state is None else state, stored, stored if projection is None else projection
    )
    backend, patterns, lead = checked(settings, parameters, given)
    normal = None
    if settings.diffusion is not None:
        # Its graph is that of the normalised patterns.
        parts = (normalized(settings, parameters, backend, patterns, i) for i in range(3))
        normal = Patterns(*parts)
    heads = projected(settings, parameters, backend, patterns, normal)
    hidden = shown(heads.state, lead, settings.num_heads, patterns.stored.shape[-2], *masks)
    beta = temperature(settings, parameters, backend, heads.state)
    inputs = Inputs(backend, backend.xp, *heads, beta, hidden.mask)
    ready = Association(lead, inputs, hidden.bias, None, None, settings.separation_function)
    if settings.diffusion is not None and normal is not None:
        ready = diffused(settings.diffusion, ready, normal, hidden, cache)
    if settings.added:
        ready = with_added(settings, parameters, ready)
    return updated(settings, ready)


def diffused(
    config: DiffusionConfig,
    ready: Association,
    normal: Patterns,
    hidden: Shown,
    cache: GraphCache | None,
) -> Association:
    """The association with a memory that is diffused over the graph of its patterns.

    The graph is that of the normalised patterns, one for each sample, and all heads share it; what
    no query may attend to is isolated in it.
    """
    backend, inputs = ready.backend, ready.inputs
    nodes = hidden.nodes(backend)
    laplacian, graph, _ = graph_of(backend, normal.stored, nodes, config, cache)
    given = inputs = broadcast_state(inputs)  # an eta adapts to the entropy before any diffusion
    if config.diffuse_query and 0 not in inputs.state.shape:
        own = graph_of(backend, normal.state, None, config, cache)
        smooth = diffusion_operator(own.L, config.eta, config.diffusion_mode, config.steps)
        inputs = inputs._replace(state=smooth(inputs.state))
    if config.adaptive_eta == "query":
        eta = adapted_eta(given, config, ready.bias)
        family = spectrum(laplacian, config, config.steps)
        queries, keys = stacked(inputs, family, eta if config.diffuse_key else 0.0 * eta)
        return ready._replace(inputs=inputs._replace(state=queries, stored=keys))
    operator = operator_of(given, laplacian, config, ready.bias)
    engine = DynamicsEngine(operator, AttentionOperator(), replace(config, diffuse_query=False))
    if config.adaptive_eta or config.energy_stop_tol > 0:
        inputs, *_ = engine.advance(inputs, projected=True)
    elif config.diffuse_key:
        # All steps at once: nothing looks at those between.
        inputs = inputs._replace(stored=operator(inputs.stored))
    return ready._replace(
        inputs=inputs,
        graph=graph if config.attention_mode == "graph" else None,
        spreading=engine.of_weights() if config.use_logit_diffusion else None,
    )


def graph_of(
    backend: Backend,
    patterns: Array,
    nodes: Array | None,
    config: DiffusionConfig,
    cache: GraphCache | None,
) -> PatternGraph:
    """The graph of patterns ``(..., S, d)``, with an axis of size 1 for the heads."""
    patterns = patterns[..., None, :, :]
    if nodes is not None:
        lead = broadcast_shapes(patterns=shape(patterns)[:-2], mask=shape(nodes)[:-1])
        patterns = backend.xp.broadcast_to(patterns, (*lead, *patterns.shape[-2:]))
        nodes = backend.xp.broadcast_to(nodes, patterns.shape[:-1])
    if cache is not None:
        return cache.get(patterns, mask=nodes)
    graph = knn_graph(patterns, config.k_neighbors, mask=nodes)
    return pattern_graph(graph.using(config.normalization))


def with_added(
    settings: HopfieldSettings, parameters: Parameters, ready: Association
) -> Association:
    """The association with the bias pattern and the zero pattern at the end of the memory."""
    backend, inputs, heads = ready.backend, ready.inputs, settings.num_heads

    def longer(array: Array, name: str) -> Array:
        xp, depth = backend.xp, array.shape[-1]
        parts = [array]
        lead = array.shape[:-3]
        if settings.concat_bias_pattern:
            full = (*lead, heads, *array.shape[-2:])
            parts = [xp.broadcast_to(array, full)]
            bias = parameters.get(f"association_core.{name}")
            if bias is None:
                bias = xp.zeros_like(parts[0][..., :1, :])
            else:
                bias = backend.astype(xp.reshape(bias, (heads, 1, depth)), array.dtype)
            parts.append(xp.broadcast_to(bias, (*lead, heads, 1, depth)))
        if settings.add_zero_association:
            zero = xp.zeros(
                (*parts[0].shape[:-2], 1, depth), dtype=array.dtype, device=backend.device(array)
            )
            parts.append(zero)
        return xp.concat(parts, axis=-2)

    hidden = Shown(inputs.mask, ready.bias).with_added(backend, settings.added)
    inputs = inputs._replace(
        stored=longer(inputs.stored, "bias_k"),
        projection=longer(inputs.projection, "bias_v"),
        mask=hidden.mask,
    )
    return ready._replace(inputs=inputs, bias=hidden.bias)


def updated(settings: HopfieldSettings, ready: Association) -> Association:
    """The association after the updates of the state in the association space."""
    limit, tol = settings.update_steps_max, settings.update_steps_eps
    if limit == 0:
        return ready
    backend, inputs = ready.backend, ready.inputs
    full = (*ready.lead, settings.num_heads, *inputs.state.shape[-2:])
    inputs = inputs._replace(state=backend.xp.broadcast_to(inputs.state, full))
    limits = None

    def of_heads(values: tuple[Any, ...], dtype: Any) -> Array:
        return backend.xp.asarray(values, dtype=dtype, device=backend.device(inputs.state))[:, None]

    if isinstance(limit, tuple):
        limits = of_heads(limit, backend.xp.int32)
    if isinstance(tol, tuple):
        tol = of_heads(tol, backend.precise[inputs.state.dtype])
    most = MOST_UPDATES if limit is None else max(limit) if isinstance(limit, tuple) else limit

    def update(now: Inputs, *bias: Array) -> Array:
        now = now._replace(projection=now.stored)
        return association_of(ready._replace(inputs=now, bias=bias[0] if bias else None))

    state = iterate_to_fixed_point(
        inputs,
        update,
        most,
        tol,
        limits=limits,
        gradient="implicit" if limit is None else "unrolled",
        others=() if ready.bias is None else (ready.bias,),
    )[0]
    return ready._replace(inputs=inputs._replace(state=state))


def association_of(ready: Association) -> Array:
    """What the heads recall, ``(..., H, L, v)``."""
    inputs, backend = ready.inputs, ready.backend
    if ready.bias is not None:
        if ready.spreading is None and ready.graph is None:
            return backend.associate_biased(*inputs[2:], ready.bias, ready.separation)
        return mixed(ready, weights_of(ready))
    if ready.spreading is not None:
        return diffused_weights(inputs, ready.spreading)
    if ready.graph is not None:
        return anchored(inputs, ready.graph, None)
    return backend.associate(*inputs[2:], ready.separation)[0]


def weights_of(ready: Association) -> Array:
    """The association weights of the heads, ``(..., H, L, S)``."""
    backend, xp, state, stored, _, beta, mask = ready.inputs
    scores = backend.scores(state, stored, beta, mask)
    if ready.bias is not None:
        scores = scores + ready.bias
    if ready.graph is not None:
        anchors = xp.argmax(backend.constant(scores), axis=-1)
        near = near_anchors(broadcast_state(ready.inputs), ready.graph, anchors)
        scores = xp.where(near, scores, -math.inf)
    weights = backend.separate(scores, ready.separation)[0]
    if ready.spreading is not None:
        weights = spread_weights(weights, scores, ready.spreading, xp)
    return backend.astype(weights, state.dtype)


def mixed(ready: Association, weights: Array) -> Array:
    """The values by their weights."""
    return ready.backend.xp.matmul(weights, ready.inputs.projection)


def recalled(settings: HopfieldSettings, ready: Association, drop: Drop | None) -> Array:
    """What all heads recall, ``(..., H, L, v)``, with dropout of the weights."""
    backend = ready.backend

    def of_heads(array: Array) -> Array:
        full = (*ready.lead, settings.num_heads, *array.shape[-2:])
        return array if array.shape == full else backend.xp.broadcast_to(array, full)

    if drop is None:
        return of_heads(association_of(ready))
    return of_heads(mixed(ready, drop(of_heads(weights_of(ready)))))
