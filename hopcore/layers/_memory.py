"""Change the memory of a layer: diffuse it over its graph, and add the patterns of the layer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hopcore.arrays._array_checks import broadcast_shapes, shape
from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._library import quiet
from hopcore.diffusion._adaptive_eta import adapted_eta, spectrum, stacked
from hopcore.diffusion._cache import GraphCache
from hopcore.diffusion._config import DiffusionConfig
from hopcore.diffusion._engine import DynamicsEngine
from hopcore.diffusion._graph_attention import AttentionOperator
from hopcore.diffusion._modes import diffusion_operator
from hopcore.diffusion._retrieve import operator_of
from hopcore.graphs._builder import PatternGraph, pattern_graph
from hopcore.graphs._knn import knn_graph
from hopcore.layers._masks import CoreMasks
from hopcore.layers._parameters import Parameters
from hopcore.layers._projections import Association, Patterns
from hopcore.layers._settings import HopfieldSettings
from hopcore.memory._stopping_loop import broadcast_state


@quiet
def diffuse_memory(
    config: DiffusionConfig,
    association: Association,
    normalized: Patterns,
    masks: CoreMasks,
    cache: GraphCache | None,
    own: bool = False,
    sources: tuple[Any, ...] = (),
) -> Association:
    """Return the association with a memory that is diffused over the graph of its patterns.

    There is one graph of the normalised patterns for each sample, which all heads share. Patterns
    to which no query may attend are isolated in this graph, and also in the graph of the queries if
    the queries are the stored patterns (``own``). ``sources`` are what the normalised stored
    patterns are computed from, for the cache.
    """
    backend = association.inputs.backend
    nodes = masks.nodes(backend)
    known = sources if nodes is None else ()
    laplacian, graph, _ = graph_of(backend, normalized.stored, nodes, config, cache, known)
    # An eta adapts to the entropy before any diffusion.
    undiffused = inputs = broadcast_state(association.inputs)
    if config.diffuse_query and 0 not in inputs.state.shape:
        some = nodes if own else None
        near = graph_of(backend, normalized.state, some, config, cache)
        smooth = diffusion_operator(near.L, config.eta, config.diffusion_mode, config.steps)
        inputs = inputs._replace(state=smooth(inputs.state))
    if config.adaptive_eta == "query":
        eta = adapted_eta(undiffused, config, association.bias)
        family = spectrum(laplacian, config, config.steps)
        queries, keys = stacked(inputs, family, eta if config.diffuse_key else 0.0 * eta)
        return association._replace(inputs=inputs._replace(state=queries, stored=keys))
    operator = operator_of(undiffused, laplacian, config, association.bias)
    engine = DynamicsEngine(operator, AttentionOperator(), replace(config, diffuse_query=False))
    if config.adaptive_eta or config.energy_stop_tol > 0:
        inputs, *_ = engine.advance(inputs, projected=True)
    elif config.diffuse_key:
        # All steps are made at once, because the intermediate results are not used. inputs =
        inputs = inputs._replace(stored=operator(inputs.stored))
    return association._replace(
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
    sources: tuple[Any, ...] = (),
) -> PatternGraph:
    """Return the graph of patterns ``(..., S, d)``, with an axis of size 1 for the heads."""
    patterns = patterns[..., None, :, :]
    if nodes is not None:
        lead = broadcast_shapes(patterns=shape(patterns)[:-2], mask=shape(nodes)[:-1])
        patterns = backend.xp.broadcast_to(patterns, (*lead, *patterns.shape[-2:]))
        nodes = backend.xp.broadcast_to(nodes, patterns.shape[:-1])
    if cache is not None:
        return cache.get(patterns, mask=nodes, sources=sources)
    graph = knn_graph(patterns, config.k_neighbors, mask=nodes)
    return pattern_graph(graph.using(config.normalization))


def add_patterns(
    settings: HopfieldSettings, parameters: Parameters, association: Association
) -> Association:
    """Add the bias pattern and the zero pattern at the end of the memory."""
    inputs, heads = association.inputs, settings.num_heads
    backend, xp = inputs.backend, inputs.xp

    def extend(array: Array, name: str) -> Array:
        lead, depth = array.shape[:-3], array.shape[-1]
        parts = [array]
        if settings.concat_bias_pattern:
            parts = [xp.broadcast_to(array, (*lead, heads, *array.shape[-2:]))]
            bias = parameters.get(f"association_core.{name}")
            if bias is None:
                bias = xp.zeros_like(parts[0][..., :1, :])
            else:
                bias = backend.astype(xp.reshape(bias, (heads, 1, depth)), array.dtype)
            parts.append(xp.broadcast_to(bias, (*lead, heads, 1, depth)))
        if settings.add_zero_association:
            rows = (*parts[0].shape[:-2], 1, depth)
            parts.append(xp.zeros(rows, dtype=array.dtype, device=backend.device(array)))
        return xp.concat(parts, axis=-2)

    masks = CoreMasks(inputs.mask, association.bias).with_added(backend, settings.added)
    inputs = inputs._replace(
        stored=extend(inputs.stored, "bias_k"),
        projection=extend(inputs.projection, "bias_v"),
        mask=masks.mask,
    )
    return association._replace(inputs=inputs, bias=masks.bias)
