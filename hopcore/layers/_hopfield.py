r"""Hopfield layers as functions of settings, parameters, patterns and masks.

A layer normalises its inputs, projects them and splits them into heads. If the settings ask for it,
it diffuses the memory over its graph. It updates the states in the association space, associates
them with the stored patterns, joins the heads and projects the output:

.. math:: Y = \operatorname{concat}_h \left[
    \operatorname{softmax}(\beta_h Q_h K_h^T)\, V_h \right] W^O

where :math:`Q, K, V` are projections of the normalised states, stored patterns and projections.
Without updates this is multi-head attention (Ramsauer et al. 2021, section 3). The modules of torch
and JAX call the functions of this module.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._backend import Array, Backend, orders_of
from hopcore.arrays._inputs import Inputs
from hopcore.arrays._library import AnyArray, SomeArray, unchecked
from hopcore.diffusion._cache import GraphCache
from hopcore.layers._activations import ACTIVATIONS
from hopcore.layers._few_queries import obstacle_to_moved_maps, recalled_by_few
from hopcore.layers._masks import CoreMasks, as_core_masks, hide_unattended
from hopcore.layers._memory import add_patterns, diffuse_memory
from hopcore.layers._parameters import Parameters
from hopcore.layers._plain_call import called_plainly, plain_call_of
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
from hopcore.layers._recall import Drop, for_all_heads, recall, update_state, weights_of
from hopcore.layers._settings import HopfieldSettings
from hopcore.memory._causal import Causal
from hopcore.memory._compact import is_absolute
from hopcore.memory._scores import Scores, ones_for, scores_from, scores_from_zero


class Call(NamedTuple):
    """The checked arrays of a call of a layer."""

    backend: Backend
    patterns: Patterns
    lead: tuple[int, ...]
    """The leading axes of the output."""
    masks: CoreMasks


@suggest_names
@unchecked
def hopfield(
    settings: HopfieldSettings,
    parameters: Parameters,
    stored: SomeArray,
    state: AnyArray | None = None,
    projection: AnyArray | None = None,
    *,
    stored_pattern_padding_mask: AnyArray | None = None,
    association_mask: AnyArray | Causal | None = None,
    drop: Drop | None = None,
    hard: bool = False,
    cache: GraphCache | None = None,
) -> SomeArray:
    """Return the output of a Hopfield layer: the association of states with stored patterns.

    Parameters
    ----------
    settings : HopfieldSettings
    parameters : mapping of str to array
        Arrays by the names of :func:`hopcore.layers.parameter_shapes`.
    stored : array (..., S, d_stored)
        Stored patterns (keys).
    state : array (..., L, d), optional
        States (queries); the default is the stored patterns.
    projection : array (..., S, d_projection), optional
        Projections (values); the default is the stored patterns.
    stored_pattern_padding_mask : array (..., S), optional
        **True means that a pattern is ignored**, as in torch's modules. A mask of numbers is added
        to the scores. Patterns and projections to which no query may attend may have any values,
        including nan and inf.
    association_mask : array (L, S), (... H, L, S) or (..., H, L, S), or "causal", optional
        **True means that a query may not attend to a pattern.** A mask of numbers is added to the
        scores. With ``"causal"``, query i attends to the patterns 0 to i alone; torch's kernel does
        this without a mask, in about half the time, where nothing else needs one.
    drop : callable, optional
        A function that applies dropout to association weights ``(..., H, l, S')`` of all queries
        or, in torch, of a block of them; S' includes the patterns that the layer adds. The default
        is no dropout.
    hard : bool
        Whether each query of each head recalls only the value with its largest weight. The
        derivative is that of :func:`hopcore.layers.straight_through`. Without dropout and numbers
        in masks, no array of all weights is needed.
    cache : GraphCache, optional
        A cache for the graphs of a diffused memory.

    Returns
    -------
    array (..., L, output_size)
        Without an output projection, ``(..., L, num_heads * pattern_size)``. For a query that may
        attend to nothing, the heads return zeros.

    Raises
    ------
    TypeError, ValueError
        The patterns or masks do not agree with the settings or with each other.

    Notes
    -----
    The padding mask hides stored patterns, not queries. If a sequence associates with itself, the
    output at a padded position is the association of this position. A padded position with nan, inf
    or a number whose fourth power overflows is treated as a query of zeros.

    With ``batch_first=False``, patterns and output have the shape ``(L, ..., d)``. The layer needs
    O(L + S) memory, unless dropout or a mask of numbers requires the weights. torch, and JAX for
    dropout, then hold those of a block of queries at a time.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> settings = hopcore.HopfieldSettings(input_size=4, num_heads=2)
    >>> parameters = hopcore.initial_parameters(settings)
    >>> hopcore.hopfield(settings, parameters, np.ones((3, 5, 4), np.float32)).shape
    (3, 5, 4)
    """
    masks = stored_pattern_padding_mask, association_mask
    unmasked = stored_pattern_padding_mask is None and association_mask is None
    if unmasked and drop is None and not hard and state is not None:
        found = called_plainly(plain_call_of(settings), parameters, stored, state, projection)
        if found is not None:
            return found
    causal = association_mask == "causal" if isinstance(association_mask, str) else False
    if causal and stored_pattern_padding_mask is None and drop is None and not hard:
        call = checked_call(settings, parameters, stored, state, projection, (None, None))
        if has_causal_kernel(settings, call):
            association = prepare_checked(settings, parameters, call, cache)
            values = for_all_heads(settings, association, causal_association(association))
            return join_heads(settings, parameters, call.backend, values)
    call = checked_call(settings, parameters, stored, state, projection, masks)
    if hard or obstacle_to_moved_maps(settings, parameters, call.backend, call.patterns):
        association = prepare_checked(settings, parameters, call, cache)
        values = recall(settings, association, drop, hard)
    else:
        values = recalled_by_few(settings, parameters, *call, drop)
    return join_heads(settings, parameters, call.backend, values)


@suggest_names
@unchecked
def hopfield_weights(
    settings: HopfieldSettings,
    parameters: Parameters,
    stored: SomeArray,
    state: AnyArray | None = None,
    projection: AnyArray | None = None,
    *,
    stored_pattern_padding_mask: AnyArray | None = None,
    association_mask: AnyArray | Causal | None = None,
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


@suggest_names
@unchecked
def hopfield_projections(
    settings: HopfieldSettings,
    parameters: Parameters,
    stored: SomeArray,
    state: AnyArray | None = None,
    projection: AnyArray | None = None,
) -> SomeArray:
    """Return the values of each head: the patterns that the association averages.

    Parameters
    ----------
    settings, parameters, stored, state, projection
        As in :func:`hopcore.hopfield`.

    Returns
    -------
    array (..., H, S', v)
        S' includes the patterns that the layer adds.

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
    masks: tuple[Any, Any],
    cache: GraphCache | None,
) -> Association:
    """Do everything before the association: check, normalise, project, diffuse, add and update."""
    call = checked_call(settings, parameters, stored, state, projection, masks)
    return prepare_checked(settings, parameters, call, cache)


def checked_call(
    settings: HopfieldSettings,
    parameters: Parameters,
    stored: Array,
    state: Array | None,
    projection: Array | None,
    masks: tuple[Any, Any],
) -> Call:
    """Check the arrays of a call; hide the patterns to which no query may attend."""
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
    return Call(backend, patterns, lead, core_masks)


def prepare_checked(
    settings: HopfieldSettings, parameters: Parameters, call: Call, cache: GraphCache | None
) -> Association:
    """Do everything between the checks and the association."""
    backend, patterns, lead, core_masks = call
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
        sources = sources_of(settings, parameters, patterns.stored)
        association = diffuse_memory(
            config, association, normalized, core_masks, cache, own, sources
        )
    if settings.added:
        association = add_patterns(settings, parameters, association)
    if settings.similarity != "dot":
        association = association._replace(scores=scores_by_distance(settings, association))
    if settings.update_steps_max != 0:
        association = update_state(settings, association)
    return association


def sources_of(
    settings: HopfieldSettings, parameters: Parameters, stored: Array
) -> tuple[Any, ...]:
    """Return what the normalised stored patterns are computed from; nothing if that is unknown."""
    names = settings.normalizations[1]
    if names is None:
        return (stored,)
    if names[0] in parameters:
        return ()  # a replaced submodule
    return (stored, *names, *(parameters.get(name) for name in names[1:3]))


def has_causal_kernel(settings: HopfieldSettings, call: Call) -> bool:
    """Whether a causal association of a layer goes to a kernel that needs no mask.

    Updates, diffusion, distances and added patterns need one, and so does an inverse temperature
    that is an array.
    """
    state, stored, _ = call.patterns
    plain = settings.update_steps_max == 0 and settings.added == 0 and settings.diffusion is None
    one_beta = isinstance(settings.scaling, int | float | None) and not settings.learnable_scaling
    return (
        plain
        and one_beta
        and settings.similarity == "dot"
        and call.backend.has_known_sizes(state)
        and state.shape[-2] == stored.shape[-2]
        and call.backend.has_causal_kernel(state, stored, settings.separation_function)
    )


def causal_association(association: Association) -> Array:
    """Return the values of the heads, where :func:`has_causal_kernel`."""
    state, stored, projection, beta = association.inputs[2:6]
    backend, separation = association.inputs.backend, association.separation
    return backend.associate_causal(state, stored, projection, beta, separation)


def hide_padding_of(backend: Backend, patterns: Patterns, masks: CoreMasks) -> Patterns:
    """Return the patterns with zeros in place of those to which no query may attend.

    If a sequence associates with itself, a padded position is still a query. It keeps its values if
    they are moderate (:meth:`hopcore.Backend.all_moderate`); otherwise it is a query of zeros.
    """
    state, stored, projection = patterns
    own = state is stored
    hidden = hide_unattended(backend, stored, masks.mask, queries=own)
    values = hidden if projection is stored else hide_unattended(backend, projection, masks.mask)
    return Patterns(hidden if own else state, hidden, values)


def scores_by_distance(settings: HopfieldSettings, association: Association) -> Scores:
    """Return scores by the distances of queries and keys in the association space.

    The results do not depend on the origin. Keys of normalised patterns are not far from 0, and a
    product of them loses as many digits, so the mean, which costs a tenth of a layer, is left out.
    """
    inputs = association.inputs
    if is_absolute(association.separation):
        if association.bias is not None:
            raise ValueError(
                "a mask of numbers would change the radius of a pattern, not its share: give a "
                "boolean mask, True where nothing is attended, with "
                f"separation={settings.separation!r}"
            )
        ones = ones_for(inputs, None, association.separation)
        origin = inputs.backend.origin(inputs.stored, inputs.mask)
        return scores_from(origin, inputs, ones, absolute=True)
    if settings.normalize_stored_pattern or settings.normalize_hopfield_space:
        return scores_from_zero(inputs)
    return scores_from(inputs.backend.origin(inputs.stored, inputs.mask), inputs)


def join_heads(
    settings: HopfieldSettings, parameters: Parameters, backend: Backend, values: Array
) -> Array:
    """Join the outputs of the heads, ``(..., H, L, v)``, project them and apply the activation."""
    xp = backend.xp
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
