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

from hopcore.arrays._backend import Array
from hopcore.diffusion._cache import GraphCache
from hopcore.layers._activations import ACTIVATIONS
from hopcore.layers._heads import Association, Drop, associated, recalled, weights_of
from hopcore.layers._parameters import Parameters
from hopcore.layers._projections import turned
from hopcore.layers._settings import HopfieldSettings


def hopfield(
    settings: HopfieldSettings,
    parameters: Parameters,
    stored: Array,
    state: Array | None = None,
    projection: Array | None = None,
    *,
    stored_pattern_padding_mask: Array | None = None,
    association_mask: Array | None = None,
    drop: Drop | None = None,
    cache: GraphCache | None = None,
) -> Array:
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
        **True = ignored**, as in torch's modules; or numbers that are added to the scores.
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
    ready = associated(settings, parameters, stored, state, projection, masks, cache)
    return output(settings, parameters, ready, recalled(settings, ready, drop))


def output(
    settings: HopfieldSettings, parameters: Parameters, ready: Association, values: Array
) -> Array:
    """What the heads recalled ``(..., H, L, v)``, joined, projected and activated."""
    backend = ready.backend
    joined = turned(backend, values)
    depth = joined.shape[-2] * joined.shape[-1]
    joined = backend.xp.reshape(joined, (*joined.shape[:-2], depth))
    if not settings.disable_out_projection:
        joined = backend.linear(
            joined,
            parameters["association_core.out_proj.weight"],
            parameters.get("association_core.out_proj.bias"),
        )
    if settings.association_activation is not None:
        joined = ACTIVATIONS[settings.association_activation](joined, backend)
    return joined if settings.batch_first or joined.ndim < 3 else backend.xp.moveaxis(joined, -2, 0)


def hopfield_weights(
    settings: HopfieldSettings,
    parameters: Parameters,
    stored: Array,
    state: Array | None = None,
    projection: Array | None = None,
    *,
    stored_pattern_padding_mask: Array | None = None,
    association_mask: Array | None = None,
    cache: GraphCache | None = None,
) -> Array:
    """How much each query of each head attends to each stored pattern, for plots and questions.

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
    ready = associated(settings, parameters, stored, state, projection, masks, cache)
    return by_head(settings, ready, weights_of(ready))


def hopfield_projections(
    settings: HopfieldSettings,
    parameters: Parameters,
    stored: Array,
    state: Array | None = None,
    projection: Array | None = None,
) -> Array:
    """The values of each head, as they are recalled.

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
    >>> hopcore.layers.hopfield_projections(settings, parameters, np.ones((3, 5, 4), np.float32)).shape
    (3, 2, 5, 2)
    """
    ready = associated(settings, parameters, stored, state, projection, (None, None), None)
    return by_head(settings, ready, ready.inputs.projection)


def by_head(settings: HopfieldSettings, ready: Association, values: Array) -> Array:
    """An array whose heads may be one for all, with an axis of all heads."""
    full = (*ready.lead, settings.num_heads, *values.shape[-2:])
    return ready.backend.xp.broadcast_to(values, full)
