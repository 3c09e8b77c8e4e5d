r"""Association over a graph: with the neighbours of an anchor, or with diffused weights.

In graph-constrained association a query attends to its anchor, the stored pattern with the largest
score, and to the anchor's neighbours. Logit diffusion diffuses the association weights over the
graph, sets negative weights to 0, and normalises the others.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import backend_of_input, broadcast_shapes, shape
from hopcore.arrays._backend import Array
from hopcore.arrays._inputs import Inputs, check_inputs
from hopcore.arrays._library import quiet
from hopcore.arrays._scalar_checks import short_repr
from hopcore.diffusion._operator import DiffusionOperator
from hopcore.graphs._graph import Graph
from hopcore.memory._separation import get_separation

AttentionMode: TypeAlias = Literal["dense", "graph"]
"""Whether a query is associated with all patterns, or with an anchor and its neighbours."""


@suggest_names
@quiet
def anchored_association(
    state: Array,
    stored: Array,
    projection: Array | None = None,
    *,
    beta: Any,
    graph: Graph,
    mask: Array | None = None,
    anchors: Array | None = None,
) -> Array:
    r"""Associate each query only with its anchor and the anchor's neighbours.

    Parameters
    ----------
    state : array (..., L, d)
        State patterns; L may differ from S.
    stored : array (..., S, d)
        Stored patterns.
    projection : array (..., S, v), optional
        Pattern projections; the stored patterns if not given.
    beta : float or array broadcastable to (..., L)
        Inverse temperature.
    graph : Graph
        A graph with S nodes: one for all, or one for each element of the leading axes.
    mask : boolean array broadcastable to (..., L, S), optional
        True where a query may attend.
    anchors : integer array (..., L), optional
        The anchor of each query. If not given, it is the pattern with the largest score, or the
        first of several. In self-association it is the query itself: ``anchors = arange(S)``.

    Returns
    -------
    array (..., L, v)
        Zeros for queries that may attend to nothing.

    Notes
    -----
    With given anchors, time and memory are O(k L (d + v)); finding the anchors takes O(L S d). In
    JAX and under a trace, where shapes may not depend on the number of neighbours, an (L, S) mask
    is used instead.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> X = np.asarray([[1.0, 0.0], [0.8, 0.6], [-1.0, 0.0]])
    >>> graph = hopcore.knn_graph(X, 1)
    >>> hopcore.diffusion.anchored_association(X[:1], X, beta=0.1, graph=graph).round(2)
    array([[0.9, 0.3]])
    """
    inputs = check_inputs(state, stored, projection, beta=beta, mask=mask)
    return anchored(inputs, graph, anchors)


def anchored(inputs: Inputs, graph: Graph, anchors: Array | None) -> Array:
    """Compute :func:`anchored_association` of checked inputs."""
    backend, state, stored = inputs.backend, inputs.state, inputs.stored
    if graph.backend is not backend or graph.nodes != stored.shape[-2]:
        raise ValueError(
            f"graph must be of {backend.name} and have a node for each of the {stored.shape[-2]} "
            f"stored patterns, got {short_repr(graph)} of {graph.backend.name}"
        )
    lead = leading(inputs, graph)
    if backend.has_dynamic_shapes(state) and backend.has_dynamic_shapes(graph.weights):
        return softmax_over_neighbors(inputs, graph, anchors_of(inputs, lead, anchors), lead)
    inputs = inputs._replace(mask=neighbor_mask(inputs, graph, anchors))
    return backend.associate(*inputs[2:], get_separation("softmax"))[0]


def anchors_of(inputs: Inputs, lead: tuple[int, ...], anchors: Array | None) -> Array:
    """Return the anchor of each query, ``(..., L)``: the given one, or the best match."""
    xp, queries = inputs.xp, inputs.state.shape[-2]
    if anchors is None:
        return xp.broadcast_to(nearest_pattern(inputs), (*lead, queries))
    if "int" not in str(anchors.dtype) or anchors.shape[-1] != queries:
        raise ValueError(
            f"anchors must be integers (..., {queries}), got {anchors.dtype} {shape(anchors)}"
        )
    nodes = inputs.stored.shape[-2]
    if inputs.backend.can_read_values(anchors) and 0 not in shape(anchors):
        lowest, highest = int(xp.min(anchors)), int(xp.max(anchors))
        if lowest < 0 or highest >= nodes:
            raise ValueError(f"anchors must be from 0 to {nodes - 1}, got {lowest} to {highest}")
    return xp.broadcast_to(anchors, (*lead, queries))


def neighbor_mask(inputs: Inputs, graph: Graph, anchors: Array | None) -> Array:
    """Return the mask ``(..., L, S)`` of each query's anchor and the anchor's neighbours."""
    backend, xp = inputs.backend, inputs.xp
    lead = leading(inputs, graph)
    nodes = anchors_of(inputs, lead, anchors)
    near = graph.to_dense() > 0
    near = near | (xp.eye(graph.nodes, device=backend.device(inputs.state)) > 0)
    near = xp.broadcast_to(near, (*lead, graph.nodes, graph.nodes))
    index = xp.broadcast_to(nodes[..., None], (*nodes.shape, graph.nodes))
    rows = xp.take_along_axis(near, backend.astype(index, xp.arange(0).dtype), axis=-2)
    return rows if inputs.mask is None else rows & inputs.mask


def leading(inputs: Inputs, graph: Graph) -> tuple[int, ...]:
    """Return the common leading axes of the inputs and the graph."""
    axes = {
        "state": inputs.state.shape[:-2],
        "stored": inputs.stored.shape[:-2],
        "projection": inputs.projection.shape[:-2],
        "graph": graph.batch,
    }
    if not isinstance(inputs.beta, float):
        axes["beta"] = inputs.beta.shape[:-1]
    if inputs.mask is not None:
        axes["mask"] = inputs.mask.shape[:-2]
    return broadcast_shapes(**{name: tuple(value) for name, value in axes.items()})


def nearest_pattern(inputs: Inputs) -> Array:
    """Return the first pattern with the largest score for each query, without a derivative."""
    backend, xp, state, stored, _, beta, mask = inputs
    fixed = backend.constant

    def block(scores: Array) -> tuple[Array]:
        return (xp.argmax(scores, axis=-1),)

    return backend.over_blocks(block, fixed(state), fixed(stored), fixed(beta), mask)[0]


def softmax_over_neighbors(
    inputs: Inputs, graph: Graph, anchors: Array, lead: tuple[int, ...]
) -> Array:
    """Associate over the entries of the anchors' rows, which contain the anchor itself."""
    backend, xp, state, stored, values, beta, mask = inputs
    precise = backend.precise[state.dtype]
    queries, nodes = state.shape[-2], stored.shape[-2]
    samples = math.prod(lead)
    device, integer = backend.device(state), xp.int64

    def flat(x: Array, rows: int) -> Array:
        full = xp.broadcast_to(backend.astype(x, precise), (*lead, rows, x.shape[-1]))
        return xp.reshape(full, (samples * rows, x.shape[-1]))

    # The element of the graph's batch, and the sample, that each query belongs to.
    element = xp.reshape(
        xp.arange(math.prod(graph.batch), dtype=integer, device=device), graph.batch
    )
    element = xp.reshape(xp.broadcast_to(element, lead), (samples,))
    sample = xp.repeat(xp.arange(samples, dtype=integer, device=device), queries)
    graph_row = xp.take(element, sample, axis=0) * nodes
    node = backend.astype(xp.reshape(anchors, (-1,)), integer) + graph_row
    starts = backend.astype(graph.entries.indptr, integer)
    first = xp.take(starts, node, axis=0)
    count = xp.take(starts, node + 1, axis=0) - first
    ends = xp.cumulative_sum(count, axis=0, include_initial=True)
    total = int(ends[-1])
    query = xp.repeat(xp.arange(samples * queries, dtype=integer, device=device), count)
    entry = xp.arange(total, dtype=integer, device=device) + xp.take(
        first - ends[:-1], query, axis=0
    )
    column = backend.astype(xp.take(graph.entries.columns, entry, axis=0), integer)
    local = column - xp.take(graph_row, query, axis=0)
    key = local + xp.take(sample, query, axis=0) * nodes
    rows = type(graph.entries)(ends, query, key)

    scaled = flat(state, queries)
    if isinstance(beta, float):
        scaled = scaled * beta
    else:
        beta = xp.broadcast_to(backend.astype(beta, precise), (*lead, queries))
        scaled = scaled * xp.reshape(beta, (-1, 1))
    scores = backend.pair_products(scaled, flat(stored, nodes), rows)
    attended = (xp.take(graph.weights, entry, axis=0) > 0) | (
        xp.take(node, query, axis=0) == column
    )
    if mask is not None:
        full = xp.reshape(xp.broadcast_to(mask, (*lead, queries, nodes)), (-1,))
        attended = attended & xp.take(full, query * nodes + local, axis=0)
    lowest = -float(xp.finfo(precise).max)  # not -inf, at which JAX can be told to stop
    largest = backend.row_max(rows, backend.constant(xp.where(attended, scores, lowest)))
    largest = xp.where(largest > lowest, largest, 0.0)
    # Mask twice, so that masked entries have no derivative.
    gap = xp.where(attended, scores - xp.take(largest, query, axis=0), 0.0)
    weight = xp.where(attended, xp.exp(gap), 0.0)
    sums = backend.row_sum(rows, weight[:, None] * xp.take(flat(values, nodes), key, axis=0))
    norm = backend.row_sum(rows, weight)
    output = sums / xp.where(norm > 0, norm, 1.0)[:, None]
    return backend.astype(xp.reshape(output, (*lead, queries, values.shape[-1])), state.dtype)


def diffused_weights(inputs: Inputs, operator: DiffusionOperator) -> Array:
    r"""Associate with weights that are diffused over the graph of the stored patterns.

    :math:`V^T p'` with :math:`p' \propto \max(0, D\, p)` over the attended patterns and p the
    softmax weights. One block of weights is stored at a time.
    """
    backend, xp, state, stored, projection, beta, mask = inputs
    projection = backend.astype(projection, backend.precise[state.dtype])
    softmax = get_separation("softmax")

    def block(scores: Array) -> tuple[Array]:
        weights, _ = backend.separate(scores, softmax)
        return (xp.matmul(spread_weights(weights, scores, operator, xp), projection),)

    output = backend.over_blocks(block, state, stored, beta, mask)[0]
    return backend.astype(output, state.dtype)


def spread_weights(weights: Array, scores: Array, operator: DiffusionOperator, xp: Any) -> Array:
    """Diffuse weights ``(..., L, S)`` over the graph of S, clip them at 0 and normalise them."""
    spread = xp.matrix_transpose(operator(xp.matrix_transpose(weights)))
    attended = scores > -float(xp.finfo(scores.dtype).max)
    spread = xp.where(attended & (spread > 0), spread, 0.0)
    total = xp.sum(spread, axis=-1, keepdims=True)
    return spread / xp.where(total > 0, total, 1.0)


@suggest_names
class AttentionOperator:
    """The association in a loop of diffusion, with all patterns or an anchor's neighbours.

    Parameters
    ----------
    beta : float or array
        Inverse temperature.
    mode : {"dense", "graph"}
        ``"graph"`` needs the graph in every call.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> X = np.asarray([[1.0, 0.0], [0.0, 1.0]])
    >>> hopcore.AttentionOperator(beta=50.0)(X, X).round(3)
    array([[1., 0.],
           [0., 1.]])
    """

    def __init__(self, beta: Any = 1.0, mode: AttentionMode = "dense") -> None:
        if mode not in ("dense", "graph"):
            raise ValueError(f"mode must be 'dense' or 'graph', got {short_repr(mode)}")
        self.beta = beta
        self.mode: AttentionMode = mode

    def __repr__(self) -> str:
        return f"AttentionOperator(beta={self.beta!r}, mode={self.mode!r})"

    @quiet
    def __call__(
        self,
        state: Array,
        stored: Array,
        projection: Array | None = None,
        *,
        mask: Array | None = None,
        graph: Graph | None = None,
        anchors: Array | None = None,
    ) -> Array:
        """Return the association ``(..., L, v)`` of state patterns; L may differ from S."""
        inputs = check_inputs(state, stored, projection, beta=self.beta, mask=mask)
        if self.mode == "graph":
            if not isinstance(graph, Graph):
                raise TypeError("mode 'graph' needs graph=, the Graph of the stored patterns")
            return anchored(inputs, graph, anchors)
        return inputs.backend.associate(*inputs[2:], get_separation("softmax"))[0]


def own_anchors(state: Array) -> Array:
    """Return anchors ``(L,)`` that make each query its own, as in self-association."""
    backend = backend_of_input("state", state)
    return backend.xp.arange(state.shape[-2], device=backend.device(state))
