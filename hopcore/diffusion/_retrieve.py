"""Diffusion-augmented retrieval in one call."""

from __future__ import annotations

from typing import Any, get_args

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import broadcast_shapes
from hopcore.arrays._backend import Array
from hopcore.arrays._edge import inputs_at_edge
from hopcore.arrays._inputs import Inputs
from hopcore.arrays._library import AnyArray, SomeArray, quiet
from hopcore.arrays._scalar_checks import MOST_STEPS, as_integer, as_number, short_repr
from hopcore.diffusion._adaptive_eta import (
    AdaptedDiffusion,
    adapted_eta,
    association_per_query,
    spectrum,
)
from hopcore.diffusion._config import DiffusionConfig
from hopcore.diffusion._diffused_result import (
    DiffusedRetrieval,
    as_result,
    movement,
    own_arrays,
)
from hopcore.diffusion._energy_tracker import EnergyTracker
from hopcore.diffusion._engine import (
    DynamicsEngine,
    Values,
    diffused_queries,
    unattended_as_zeros,
)
from hopcore.diffusion._graph_attention import AttentionOperator
from hopcore.diffusion._iterated import Scoring, check_plain, iterate_in_memory
from hopcore.diffusion._modes import diffusion_operator
from hopcore.diffusion._operator import DiffusionOperator
from hopcore.graphs._graph import Graph, Normalization
from hopcore.graphs._knn import knn_graph
from hopcore.graphs._laplacian import Laplacian, laplacian_of
from hopcore.memory._energy import energy_of
from hopcore.memory._float_masks import split_mask
from hopcore.memory._scores import (
    Similarity,
    check_similarity,
    check_updated,
)
from hopcore.memory._separation import get_separation
from hopcore.memory._stopping_loop import (
    broadcast_state,
)


@suggest_names
@quiet
def diffused_retrieve(
    state: SomeArray,
    stored: AnyArray,
    beta: Any,
    *,
    config: DiffusionConfig | None = None,
    projection: AnyArray | None = None,
    values: Values = "tied",
    mask: AnyArray | None = None,
    graph: Graph | None = None,
    max_steps: int | None = None,
    tol: float = 1e-6,
    tracker: EnergyTracker | None = None,
    similarity: Similarity = "dot",
    bias: AnyArray | None = None,
) -> DiffusedRetrieval[SomeArray]:
    r"""Retrieve from a memory that is diffused over the graph of its nearest neighbours.

    Parameters
    ----------
    state : array (..., L, d) or (d,)
        State patterns to start from; a single query ``(d,)`` gives results without the axis L.
    stored : array (..., S, d)
        Stored patterns; each element of the leading axes has its own graph.
    beta : float or array broadcastable to (..., L)
        Inverse temperature (that of the configuration is not used).
    config : DiffusionConfig, optional
        The settings of the diffusion.
    projection : array (..., S, v), optional
        Pattern projections, recalled at the end; diffused with the keys unless untied.
    values : {"tied", "evolving", "untied"}
        What is recalled; :class:`hopcore.DynamicsEngine` describes them.
    mask : array broadcastable to (..., L, S), optional
        True where a query may attend, or numbers that are added to the scores, as in
        :func:`hopcore.association`. Patterns that no query may attend to are isolated.
    graph : Graph, optional
        The graph of the stored patterns; built from the patterns if not given. A given graph should
        be built with the mask, so that masked patterns are isolated; its own normalisation is used
        unless it is "none".
    max_steps : int, optional
        Largest number of updates of the state. Defaults: 100 for tied values, fewer if the state
        converges; for untied values 1, or 0 with a projection; for evolving values
        ``config.steps``, each after a step of diffusion.
    tol : float
        As in :func:`hopcore.retrieve`.
    tracker : EnergyTracker, optional
        Records the energies of every step of diffusion, those of dot products.
    similarity : {"dot", "distance"}
        How states are compared with the diffused keys, as in :func:`hopcore.retrieve`.
    bias : array (S,) or (..., S), optional
        A number that is added to the scores of each diffused key, as in :func:`hopcore.retrieve`.
        Distances, biases and masks of numbers are for tied and untied values, in the modes that
        associate with all keys, and without a tracker.

    Returns
    -------
    DiffusedRetrieval
        ``output, state, keys, steps, converged, residual, energy``.

    Raises
    ------
    TypeError, ValueError
        Inputs do not fit together, settings contradict each other, or explicit steps grow with
        this eta.

    Notes
    -----
    With eta = 0 this is :func:`hopcore.retrieve`, which the result approaches as eta tends to 0.
    Logit diffusion, association over the graph and an adaptive eta for each query make one
    association.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> X = np.asarray([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    >>> config = hopcore.DiffusionConfig(eta=0.3, steps=1, k_neighbors=1)
    >>> hopcore.diffused_retrieve(X[:1], X, 50.0, config=config).output.round(2)
    array([[0.95, 0.05]])
    """
    config = config or DiffusionConfig()
    if values not in get_args(Values):
        raise ValueError(f"values must be 'tied', 'evolving' or 'untied', got {short_repr(values)}")
    tol = as_number("tol", tol, 0.0)
    projected = projection is not None
    mask, added = split_mask(mask)
    checked, single = inputs_at_edge(state, stored, projection, beta=beta, mask=mask)
    inputs = broadcast_state(checked)
    inputs = unattended_as_zeros(inputs, projected)
    updates = count_updates(config, values, projected, max_steps)
    check_similarity(similarity)
    scoring = Scoring(similarity, bias, added)
    if updates is None or tracker is not None:
        check_plain(scoring)
    check_updated(inputs._replace(projection=inputs.stored))
    given = inputs
    inputs, graph = with_graph(inputs, config, graph, projected)
    laplacian = laplacian_of(graph, choose_normalization(graph, config))
    if config.adaptive_eta == "query":
        if tracker is not None:
            raise ValueError(
                "adaptive_eta='query' has a memory for each query, so a tracker cannot record it"
            )
        found = for_each_query(inputs, laplacian, config, values, projected, tol)
        return own_arrays(found, given, single)
    operator = operator_of(inputs, laplacian, config)
    attention = AttentionOperator(inputs.beta, config.attention_mode)
    engine = DynamicsEngine(operator, attention, config, values=values)
    moved, before, made = engine.advance(inputs, projected=projected, tracker=tracker)
    if updates is not None:
        found = iterate_in_memory(moved, projected, updates, tol, scoring)
        return own_arrays(found, given, single)
    final, counts, residual = moved, 0, None
    if values == "evolving":
        counts = made
        residual = movement(inputs, before, moved.state) if config.steps else None
    elif not projected:  # one association in a mode that is not iterated
        final = moved._replace(state=engine.associate(moved, None))
        counts, residual = 1, movement(inputs, moved.state, final.state)
    output = engine.associate(final, None) if projected else final.state
    energy = energy_of(final, get_separation("softmax"))
    found = as_result(inputs, output, final.state, moved.stored, counts, residual, energy, tol)
    return own_arrays(found, given, single)


def operator_of(
    inputs: Inputs, laplacian: Laplacian, config: DiffusionConfig, bias: Array | None = None
) -> DiffusionOperator:
    """Return the operator of a configuration, with an eta for each sample if it adapts."""
    if not config.adaptive_eta:
        return diffusion_operator(laplacian, config.eta, config.diffusion_mode, config.steps)
    operator = AdaptedDiffusion(spectrum(laplacian, config, 1), adapted_eta(inputs, config, bias))
    operator.one_shot = config.diffusion_mode not in ("factored", "iterative")
    return operator


def choose_normalization(graph: Graph, config: DiffusionConfig) -> Normalization:
    """Return the normalisation of the graph, or else of the configuration."""
    return config.normalization if graph.normalization == "none" else graph.normalization


def count_updates(
    config: DiffusionConfig, values: Values, projected: bool, max_steps: int | None
) -> int | None:
    """Check the settings; return the largest number of updates, or None without iteration."""
    if not isinstance(config, DiffusionConfig):
        raise TypeError(f"config must be a DiffusionConfig, got {short_repr(config)}")
    single = {
        "use_logit_diffusion": config.use_logit_diffusion,
        "attention_mode='graph'": config.attention_mode == "graph",
        "adaptive_eta='query'": config.adaptive_eta == "query",
    }
    names = " and ".join(name for name, used in single.items() if used)
    if config.use_logit_diffusion and config.attention_mode == "graph":
        raise ValueError(f"{names} cannot be combined: use one of them")
    if max_steps is not None:
        max_steps = as_integer("max_steps", max_steps, 0, MOST_STEPS)
    if config.adaptive_eta == "query" and (
        values == "evolving" or config.energy_stop_tol > 0 or sum(single.values()) > 1
    ):
        raise ValueError(
            "adaptive_eta='query' diffuses a memory for each query: it needs tied or untied "
            "values, and excludes energy_stop_tol, logit diffusion and attention over the graph"
        )
    if values == "evolving":
        if max_steps not in (None, config.steps):
            raise ValueError(
                f"an evolving memory makes config.steps = {config.steps} updates, "
                f"got max_steps={max_steps}"
            )
        return None
    if names:
        if max_steps not in (None, 1):
            raise ValueError(f"{names} makes one association, got max_steps={max_steps}")
        return None
    if values == "untied" and projected and max_steps:
        raise ValueError(
            "untied values are recalled once; to iterate, omit the projection or use tied values"
        )
    if max_steps is None:
        return 100 if values == "tied" else int(not projected)
    return max_steps


def with_graph(
    inputs: Inputs, config: DiffusionConfig, graph: Graph | None, projected: bool
) -> tuple[Inputs, Graph]:
    """Return the inputs and the graph of the stored patterns, with unattended ones isolated."""
    if graph is not None:
        if not isinstance(graph, Graph):
            raise TypeError(f"graph must be a hopcore.Graph, got {type(graph).__name__}")
        if graph.nodes != inputs.stored.shape[-2]:
            raise ValueError(
                f"graph must have a node for each of the {inputs.stored.shape[-2]} stored "
                f"patterns, got {graph.nodes}"
            )
        return inputs, graph
    xp, stored, mask = inputs.xp, inputs.stored, inputs.mask
    if mask is None:
        return inputs, knn_graph(stored, config.k_neighbors)
    attended = mask if mask.ndim == 1 else xp.any(mask, axis=-2)
    lead = broadcast_shapes(stored=tuple(stored.shape[:-2]), mask=tuple(attended.shape[:-1]))
    if lead != tuple(stored.shape[:-2]):
        stored = xp.broadcast_to(stored, (*lead, *stored.shape[-2:]))
        inputs = inputs._replace(
            stored=stored, projection=inputs.projection if projected else stored
        )
    return inputs, knn_graph(stored, config.k_neighbors, mask=attended)


def for_each_query(
    inputs: Inputs,
    laplacian: Laplacian,
    config: DiffusionConfig,
    values: Values,
    projected: bool,
    tol: float,
) -> DiffusedRetrieval:
    """Associate once, with a memory diffused for each query."""
    eta = adapted_eta(inputs, config)
    if config.diffuse_query:
        inputs = inputs._replace(state=diffused_queries(inputs, config))
    if not config.diffuse_key:
        eta = 0.0 * eta
    family = spectrum(laplacian, config, config.steps)
    output = association_per_query(inputs, family, eta, tied=values == "tied")
    if projected:
        return as_result(inputs, output, inputs.state, None, 0, None, None, tol)
    residual = movement(inputs, inputs.state, output)
    return as_result(inputs, output, output, None, 1, residual, None, tol)
