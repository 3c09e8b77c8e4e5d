"""Layers that learn one side of the association: pooling learns queries, lookup a memory."""

from __future__ import annotations

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import backend_of_input
from hopcore.arrays._backend import Array
from hopcore.arrays._library import AnyArray, SomeArray, unchecked
from hopcore.diffusion._cache import GraphCache
from hopcore.layers._composed_settings import LookupSettings, PoolingSettings
from hopcore.layers._hopfield import hopfield
from hopcore.layers._parameters import Parameters, inner
from hopcore.layers._recall import Drop


@suggest_names
@unchecked
def hopfield_pooling(
    settings: PoolingSettings,
    parameters: Parameters,
    stored: SomeArray,
    projection: AnyArray | None = None,
    *,
    stored_pattern_padding_mask: AnyArray | None = None,
    association_mask: AnyArray | None = None,
    drop: Drop | None = None,
    cache: GraphCache | None = None,
) -> SomeArray:
    """Return the association of learned states with a set of any size (Hopfield pooling).

    Parameters
    ----------
    settings : PoolingSettings
    parameters : mapping of str to array
    stored : array (..., S, d_stored)
        The set.
    projection : array (..., S, d_projection), optional
        The values of the set; the default is the stored patterns.
    stored_pattern_padding_mask, association_mask, drop, cache
        As in :func:`hopcore.hopfield`; L is the quantity.

    Returns
    -------
    array (..., quantity * output_size)
        The outputs of all learned states, concatenated.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> settings = hopcore.layers.PoolingSettings(hopfield=hopcore.HopfieldSettings(input_size=4))
    >>> parameters = hopcore.initial_parameters(settings)
    >>> hopcore.layers.hopfield_pooling(settings, parameters, np.ones((3, 5, 4), np.float32)).shape
    (3, 4)
    """
    answers = hopfield(
        settings.hopfield,
        inner(parameters, "hopfield"),
        stored,
        learned(parameters["pooling_weights"]),
        projection,
        stored_pattern_padding_mask=stored_pattern_padding_mask,
        association_mask=association_mask,
        drop=drop,
        cache=cache,
    )
    return flattened(settings, answers)


@suggest_names
@unchecked
def hopfield_lookup(
    settings: LookupSettings,
    parameters: Parameters,
    state: SomeArray,
    *,
    stored_pattern_padding_mask: AnyArray | None = None,
    association_mask: AnyArray | None = None,
    drop: Drop | None = None,
    hard: bool = False,
    cache: GraphCache | None = None,
) -> SomeArray:
    """Return the association of states with learned stored patterns (Hopfield lookup).

    Parameters
    ----------
    settings : LookupSettings
    parameters : mapping of str to array
    state : array (..., L, d)
        States (queries).
    stored_pattern_padding_mask, association_mask, drop, hard, cache
        As in :func:`hopcore.hopfield`; S is the quantity.

    Returns
    -------
    array (..., L, output_size)

    Notes
    -----
    The memory is projected once, for all samples of the batch.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> settings = hopcore.layers.LookupSettings(
    ...     hopfield=hopcore.HopfieldSettings(input_size=4), quantity=9
    ... )
    >>> parameters = hopcore.initial_parameters(settings)
    >>> hopcore.layers.hopfield_lookup(settings, parameters, np.ones((3, 5, 4), np.float32)).shape
    (3, 5, 4)
    """
    return hopfield(
        settings.hopfield,
        inner(parameters, "hopfield"),
        *lookup_patterns(parameters, state),
        stored_pattern_padding_mask=stored_pattern_padding_mask,
        association_mask=association_mask,
        drop=drop,
        hard=hard,
        cache=cache,
    )


def lookup_patterns(parameters: Parameters, state: Array) -> tuple[Array, Array, Array]:
    """Return the inputs of the Hopfield layer of a lookup: stored patterns, state, projections."""
    stored = parameters["lookup_weights"]
    return learned(stored), state, learned(parameters.get("target_weights", stored))


def learned(weights: SomeArray) -> SomeArray:
    """Return learned patterns, with an axis of size 1 for the inputs, as ``(quantity, d)``."""
    backend = backend_of_input("weights", weights)
    return backend.xp.reshape(weights, (-1, weights.shape[-1]))


def flattened(settings: PoolingSettings, answers: SomeArray) -> SomeArray:
    """Join the outputs ``(..., quantity, d)`` into one axis."""
    backend = backend_of_input("answers", answers)
    if not settings.hopfield.batch_first and answers.ndim > 2:
        answers = backend.xp.moveaxis(answers, 0, -2)
    depth = answers.shape[-2] * answers.shape[-1]
    return backend.xp.reshape(answers, (*answers.shape[:-2], depth))
