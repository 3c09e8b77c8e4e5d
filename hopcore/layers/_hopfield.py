r"""Hopfield layers as functions of settings, parameters, patterns and masks.

Normalise, project, split into heads; diffuse the memory over its graph, if asked; update the state
patterns in the association space; recall the values; join the heads and project the output:

.. math:: Y = \operatorname{concat}_h \left[
    \operatorname{softmax}(\beta_h Q_h K_h^T)\, V_h \right] W^O

with :math:`Q, K, V` projections of normalised state patterns, stored patterns and pattern
projections. With no updates this is multi-head attention (Ramsauer et al. 2021, section 3); torch's
and JAX's modules run the functions here.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from hopcore.arrays._backend import Array, Backend, orders_of, with_orders
from hopcore.arrays._inputs import Inputs
from hopcore.arrays._library import AnyArray, SomeArray
from hopcore.diffusion._cache import GraphCache
from hopcore.diffusion._graph_attention import (
    anchored,
    diffused_weights,
    neighbor_mask,
    spread_weights,
)
from hopcore.layers._activations import ACTIVATIONS
from hopcore.layers._masks import CoreMasks, as_core_masks, hide_unattended
from hopcore.layers._memory import add_patterns, diffuse_memory
from hopcore.layers._parameters import Parameters
from hopcore.layers._projections import (
    Association,
    Patterns,
    beta_of,
    check_patterns,
    normalize,
    project,
    separation_of,
    swap_heads,
)
from hopcore.layers._settings import HopfieldSettings
from hopcore.memory._retrieval import broadcast_state, iterate_to_fixed_point

Drop = Callable[[Array], Array]
"""Dropout of association weights ``(..., H, L, S)``."""

MAX_UPDATES = 1000
"""The most updates until a state rests, where ``update_steps_max`` is None."""


def hopfield(
    settings: HopfieldSettings,
    parameters: Parameters,
    stored: SomeArray,
    state: AnyArray | None = None,
    projection: AnyArray | None = None,
    *,
    stored_pattern_padding_mask: AnyArray | None = None,
    association_mask: AnyArray | None = None,
    drop: Drop | None = None,
    cache: GraphCache | None = None,
) -> SomeArray:
    """A Hopfield layer: what each state pattern recalls from the stored patterns.

    Parameters
    ----------
    settings : HopfieldSettings
    parameters : mapping of str to array
        By the names of :func:`hopcore.layers.parameter_shapes`.
    stored : array (..., S, d_stored)
        Stored patterns (keys).
    state : array (..., L, d), optional
        State patterns (queries); the stored patterns if not given.
    projection : array (..., S, d_projection), optional
        Pattern projections (values); the stored patterns if not given.
    stored_pattern_padding_mask : array (..., S), optional
        **True = ignored**, as in torch's modules; or numbers that are added to the scores. Patterns
        and projections that no query may attend to may hold anything, nan and inf included.
    association_mask : array (L, S), (... H, L, S) or (..., H, L, S), optional
        **True = not attended**, or numbers that are added to the scores.
    drop : callable, optional
        Dropout, for those who draw it: a function of association weights ``(..., H, L, S')``. S'
        counts the patterns that the layer adds.
    cache : GraphCache, optional
        Keeps the graphs of a diffused memory.

    Returns
    -------
    array (..., L, output_size)
        Without an output projection ``(..., L, num_heads * pattern_size)``. A query that may attend
        to nothing recalls zeros.

    Raises
    ------
    TypeError, ValueError
        Patterns or masks that do not fit the settings or each other.

    Notes
    -----
    The padding mask hides stored patterns, not queries: where a sequence associates with itself,
    what is returned at padded positions is what they recall. A padded position that holds nan, inf
    or a number whose fourth power overflows counts as a query of zeros.

    With ``batch_first=False`` patterns are ``(L, ..., d)`` and so is the output. Memory is
    O(L + S) unless dropout or numbers in a mask ask for the weights.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> settings = hopcore.HopfieldSettings(input_size=4, num_heads=2)
    >>> parameters = hopcore.initial_parameters(settings)
    >>> hopcore.hopfield(settings, parameters, np.ones((3, 5, 4), np.float32)).shape
    (3, 5, 4)
    """
    masks = stored_pattern_padding_mask, association_mask
    association = prepare(settings, parameters, stored, state, projection, masks, cache)
    return join_heads(settings, parameters, association, recall(settings, association, drop))


def hopfield_weights(
    settings: HopfieldSettings,
    parameters: Parameters,
    stored: SomeArray,
    state: AnyArray | None = None,
    projection: AnyArray | None = None,
    *,
    stored_pattern_padding_mask: AnyArray | None = None,
    association_mask: AnyArray | None = None,
    cache: GraphCache | None = None,
) -> SomeArray:
    """Return the association weights: how much each query attends to each stored pattern.

    Parameters
    ----------
    settings, parameters, stored, state, projection, cache
        As in :func:`hopcore.hopfield`.
    stored_pattern_padding_mask, association_mask
        As in :func:`hopcore.hopfield`.

    Returns
    -------
    array (..., H, L, S')
        Weights that sum to one over S', the stored patterns and those that the layer adds; zeros
        for a query that may attend to nothing.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> settings = hopcore.HopfieldSettings(input_size=4, num_heads=2)
    >>> parameters = hopcore.initial_parameters(settings)
    >>> hopcore.layers.hopfield_weights(settings, parameters, np.ones((3, 5, 4), np.float32)).shape
    (3, 2, 5, 5)
    """
    masks = stored_pattern_padding_mask, association_mask
    association = prepare(settings, parameters, stored, state, projection, masks, cache)
    return for_all_heads(settings, association, weights_of(association))


def hopfield_projections(
    settings: HopfieldSettings,
    parameters: Parameters,
    stored: SomeArray,
    state: AnyArray | None = None,
    projection: AnyArray | None = None,
) -> SomeArray:
    """Return the values of each head: the patterns that are averaged when it recalls.

    Parameters
    ----------
    settings, parameters, stored, state, projection
        As in :func:`hopcore.hopfield`.

    Returns
    -------
    array (..., H, S', v)
        With the patterns that the layer adds.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> settings = hopcore.HopfieldSettings(input_size=4, num_heads=2)
    >>> parameters = hopcore.initial_parameters(settings)
    >>> stored = np.ones((3, 5, 4), np.float32)
    >>> hopcore.layers.hopfield_projections(settings, parameters, stored).shape
    (3, 2, 5, 2)
    """
    association = prepare(settings, parameters, stored, state, projection, (None, None), None)
    values = association.inputs.projection
    full = (*association.lead, settings.num_heads, *values.shape[-2:])
    inputs = association.inputs
    return inputs.backend.copied(inputs.xp.broadcast_to(values, full))


def prepare(
    settings: HopfieldSettings,
    parameters: Parameters,
    stored: Array,
    state: Array | None,
    projection: Array | None,
    masks: tuple[Array | None, Array | None],
    cache: GraphCache | None,
) -> Association:
    """Do everything up to the recall: check, normalise, project, diffuse, add and update."""
    backend, patterns, lead = check_patterns(
        settings,
        parameters,
        Patterns(
            stored if state is None else state, stored, stored if projection is None else projection
        ),
    )
    core_masks = CoreMasks(None, None)
    if masks[0] is not None or masks[1] is not None:
        count = patterns.stored.shape[-2]
        core_masks = as_core_masks(patterns.state, lead, settings.num_heads, count, *masks)
        patterns = hide_padding_of(backend, patterns, core_masks)
    normalized = None
    if settings.diffusion is not None:
        # The graph of the memory is that of the normalised patterns.
        parts = (normalize(settings, parameters, backend, x, i) for i, x in enumerate(patterns))
        normalized = Patterns(*parts)
    heads = project(settings, parameters, backend, patterns, normalized)
    beta = beta_of(settings, parameters, backend, heads.state)
    inputs = Inputs(backend, backend.xp, *heads, beta, core_masks.mask)
    separation = separation_of(settings, parameters, backend, heads.state)
    association = Association(lead, inputs, core_masks.bias, None, None, separation)
    orders = orders_of(separation)
    if orders is not None and orders.ndim > 0:
        # Heads whose queries are one for all differ in their alphas.
        states = for_all_heads(settings, association, inputs.state)
        association = association._replace(inputs=inputs._replace(state=states))
    if settings.diffusion is not None and normalized is not None:
        config = settings.diffusion
        own = patterns.state is patterns.stored
        association = diffuse_memory(config, association, normalized, core_masks, cache, own)
    if settings.added:
        association = add_patterns(settings, parameters, association)
    if settings.update_steps_max != 0:
        association = update_state(settings, association)
    return association


def hide_padding_of(backend: Backend, patterns: Patterns, masks: CoreMasks) -> Patterns:
    """Return the patterns with zeros in place of those to which no query may attend.

    In self-association a padded position is still a query. It keeps its values if they are moderate
    (:meth:`hopcore.Backend.all_moderate`); otherwise it is a query of zeros.
    """
    state, stored, projection = patterns
    own = state is stored
    hidden = hide_unattended(backend, stored, masks.mask, queries=own)
    values = hidden if projection is stored else hide_unattended(backend, projection, masks.mask)
    return Patterns(hidden if own else state, hidden, values)


def update_state(settings: HopfieldSettings, association: Association) -> Association:
    """Update the state in the association space until it rests, or as often as the settings say."""
    inputs, limit, tol = association.inputs, settings.update_steps_max, settings.update_steps_eps
    backend, xp, bias = inputs.backend, inputs.xp, association.bias
    inputs = inputs._replace(state=for_all_heads(settings, association, inputs.state))
    device = backend.device(inputs.state)
    limits = None
    if isinstance(limit, tuple):
        limits = xp.asarray(limit, dtype=xp.int32, device=device)[:, None]
        max_updates = max(limit)
    else:
        max_updates = MAX_UPDATES if limit is None else limit
    if isinstance(tol, tuple):
        precise = backend.precise[inputs.state.dtype]
        tol = xp.asarray(tol, dtype=precise, device=device)[:, None]

    orders = orders_of(association.separation)

    def update(now: Inputs, *others: Array) -> Array:
        function = with_orders(association.separation, None if orders is None else others[-1])
        now = now._replace(projection=now.stored)
        now_bias = None if bias is None else others[0]
        return association_of(association._replace(inputs=now, bias=now_bias, separation=function))

    state = iterate_to_fixed_point(
        inputs,
        update,
        max_updates,
        tol,
        limits=limits,
        gradient="implicit" if limit is None else "unrolled",
        others=tuple(x for x in (bias, orders) if x is not None),
    )[0]
    return association._replace(inputs=inputs._replace(state=state))


def recall(settings: HopfieldSettings, association: Association, drop: Drop | None) -> Array:
    """Return what all heads recall, ``(..., H, L, v)``, with dropout of the weights."""
    if drop is None:
        return for_all_heads(settings, association, association_of(association))
    weights = drop(for_all_heads(settings, association, weights_of(association)))
    values = association.inputs.backend.recalled(weights, association.inputs.projection)
    return for_all_heads(settings, association, values)


def association_of(association: Association) -> Array:
    """Return the values by their association weights, ``(..., H, L, v)``."""
    inputs, bias = association.inputs, association.bias
    graph, spreading, separation = association.graph, association.spreading, association.separation
    if bias is not None:
        if spreading is None and graph is None:
            return inputs.backend.associate_biased(*inputs[2:], bias, separation)
        return inputs.backend.recalled(weights_of(association), inputs.projection)
    if spreading is not None:
        return diffused_weights(inputs, spreading)
    if graph is not None:
        return anchored(inputs, graph, None)
    return inputs.backend.associate(*inputs[2:], separation)[0]


def weights_of(association: Association) -> Array:
    """Return the association weights of the heads, ``(..., H, L, S)``."""
    inputs = association.inputs
    return inputs.backend.astype(separated(association)[0], inputs.state.dtype)


def separated(association: Association) -> tuple[Array, Array]:
    """Return the association weights in the precise dtype, and the conjugate of their scores."""
    backend, xp, state, stored, _, beta, mask = association.inputs
    scores = backend.scores(state, stored, beta, mask)
    if association.bias is not None:
        scores = scores + association.bias
    if association.graph is not None:
        anchors = xp.argmax(backend.constant(scores), axis=-1)
        near = neighbor_mask(broadcast_state(association.inputs), association.graph, anchors)
        scores = xp.where(near, scores, -math.inf)
    weights, conjugate = backend.separate(scores, association.separation)
    if association.spreading is not None:
        weights = spread_weights(weights, scores, association.spreading, xp)
    return weights, conjugate


def for_all_heads(settings: HopfieldSettings, association: Association, values: Array) -> Array:
    """Broadcast ``(..., H or 1, L, v)``, whose heads may be one for all, to the full shape."""
    full = (*association.lead, settings.num_heads, *values.shape[-2:])
    if values.ndim == len(full) and values.shape == full:
        return values
    return association.inputs.xp.broadcast_to(values, full)


def join_heads(
    settings: HopfieldSettings, parameters: Parameters, association: Association, values: Array
) -> Array:
    """Join what the heads recalled, ``(..., H, L, v)``, project it and apply the activation."""
    backend, xp = association.inputs.backend, association.inputs.xp
    joined = swap_heads(backend, values)
    joined = xp.reshape(joined, (*joined.shape[:-2], joined.shape[-2] * joined.shape[-1]))
    if "association_core.out_proj" in parameters:
        joined = parameters["association_core.out_proj"](joined)
    elif not settings.disable_out_projection:
        joined = backend.linear(
            joined,
            parameters["association_core.out_proj.weight"],
            parameters.get("association_core.out_proj.bias"),
        )
    if settings.association_activation is not None:
        joined = ACTIVATIONS[settings.association_activation](joined, backend)
    return joined if settings.batch_first or joined.ndim < 3 else xp.moveaxis(joined, -2, 0)
