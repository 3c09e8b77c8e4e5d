"""Statistics of the associations of a Hopfield layer, of each head."""

from __future__ import annotations

from typing import Any, cast

from hopcore.arrays._array_checks import backend_of_input
from hopcore.arrays._backend import Array
from hopcore.arrays._library import AnyArray, SomeArray, quiet
from hopcore.arrays._weight_statistics import weight_statistics
from hopcore.diffusion._cache import GraphCache
from hopcore.layers._hopfield import prepare
from hopcore.layers._parameters import Parameters
from hopcore.layers._projections import Association
from hopcore.layers._recall import separated
from hopcore.layers._settings import HopfieldSettings
from hopcore.memory._causal import Causal
from hopcore.memory._energy import energy_by_conjugate, in_precise
from hopcore.memory._statistics import Statistics, effective_number, statistics_of


def hopfield_statistics(
    settings: HopfieldSettings,
    parameters: Parameters,
    stored: SomeArray,
    state: AnyArray | None = None,
    projection: AnyArray | None = None,
    *,
    stored_pattern_padding_mask: AnyArray | None = None,
    association_mask: AnyArray | Causal | None = None,
    cache: GraphCache | None = None,
) -> Statistics[SomeArray]:
    """Return the statistics of the association weights of each head.

    Normalisation, projections, updates, masks and scaling are those of :func:`hopcore.hopfield`.

    Parameters
    ----------
    settings, parameters, stored, state, projection, cache
        As in :func:`hopcore.hopfield`.
    stored_pattern_padding_mask, association_mask
        As in :func:`hopcore.hopfield`.

    Returns
    -------
    Statistics
        Those of :func:`hopcore.statistics` for each query, ``(..., H, L)``, and what each pattern
        receives, ``(..., H, S')``, with the patterns that the layer adds. The energy is that of the
        projected query among the projected stored patterns of its head.

    Notes
    -----
    Memory is O(L + S) unless numbers in a mask, or a diffusion of the weights or along the edges of
    the graph, ask for the weights; the statistics are then computed from them, and the log-sum-exp
    and the energy are those of the scores with these numbers, before the weights are diffused.

    In self-association a padded position is a query, too: leave it out of a mean.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> settings = hopcore.HopfieldSettings(input_size=4, num_heads=2)
    >>> parameters = hopcore.initial_parameters(settings)
    >>> x = np.ones((3, 5, 4), np.float32)
    >>> found = hopcore.layers.hopfield_statistics(settings, parameters, x)
    >>> found.entropy.shape, found.received.shape, float(found.effective[0, 0, 0].round(3))
    ((3, 2, 5), (3, 2, 5), 5.0)
    """
    masks = stored_pattern_padding_mask, association_mask
    association = prepare(settings, parameters, stored, state, projection, masks, cache)
    found = statistics_of_heads(association)
    full = (*association.lead, settings.num_heads)
    xp = association.inputs.xp
    return Statistics(*(xp.broadcast_to(x, (*full, x.shape[-1])) for x in found))


@quiet
def mean_statistics(
    found: Statistics[SomeArray], ignored: AnyArray | None = None
) -> dict[str, SomeArray]:
    r"""Return the means of statistics over samples and queries, one number for each head.

    Parameters
    ----------
    found : Statistics
        Of a layer: ``(..., H, L)`` and ``(..., H, S)``.
    ignored : boolean array broadcastable to (..., L), optional
        **True = left out**: the queries that are padding. Queries that may attend to nothing are
        always left out.

    Returns
    -------
    dict of str to array (H,)
        The means of ``log_sum_exp``, ``entropy``, ``effective``, ``largest`` and ``energy``; the
        mean over the samples of ``used``, the effective number of patterns that receive,
        :math:`(\sum_i r_i)^2 / \sum_i r_i^2`, of all queries; and ``queries``, how many were
        counted. Zeros where none was.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> found = hopcore.statistics(np.zeros((1, 3, 2)), np.eye(2)[None], 1.0)
    >>> means = hopcore.layers.mean_statistics(found)
    >>> means["effective"], means["used"], means["queries"]
    (array([2.]), array([2.]), array([3.]))
    """
    backend = backend_of_input("entropy", found.entropy)
    xp, largest, padding = backend.xp, cast("Array", found.largest), cast("Array", ignored)
    counted = largest > 0.0
    if padding is not None:
        counted = counted & ~padding[..., None, :]
    counts: Array = backend.astype(counted, largest.dtype)

    def mean(values: Array, counts: Array) -> Array:
        axes = (*range(values.ndim - 2), values.ndim - 1)
        total = xp.sum(xp.where(counts > 0.0, values, 0.0), axis=axes)
        number = xp.sum(counts, axis=axes)
        return total / xp.where(number > 0.0, number, 1.0)

    names = "log_sum_exp", "entropy", "effective", "largest", "energy"
    means = {name: mean(getattr(found, name), counts) for name in names}
    received: Array = found.received
    total = xp.sum(received, axis=-1, keepdims=True)
    shares = received / xp.where(total > 0.0, total, 1.0)
    used = effective_number(xp.sum(shares * shares, axis=-1, keepdims=True), xp)
    means["used"] = mean(used, backend.astype(total > 0.0, used.dtype))
    axes = (*range(counts.ndim - 2), counts.ndim - 1)
    means["queries"] = xp.sum(counts, axis=axes)
    return means


@quiet
def statistics_of_heads(association: Association) -> Statistics[Any]:
    """Return the statistics of each head; the axis of heads has size 1 if all heads are equal."""
    separation, scores = association.separation, association.scores
    if association.bias is None and association.graph is None and association.spreading is None:
        return statistics_of(association.inputs, separation, scores)
    inputs = in_precise(association.inputs)
    weights, conjugate = separated(association)
    xp, precise = inputs.xp, inputs.state.dtype
    weights: Array = inputs.backend.astype(weights, precise)
    conjugate = inputs.backend.astype(conjugate, precise)
    entropy, square, largest = weight_statistics(weights, xp)
    ones = xp.ones_like(entropy)[..., None, :]
    received = inputs.backend.recalled(ones, weights)[..., 0, :]
    energy = energy_by_conjugate(inputs, separation, conjugate, scores)
    conjugate = scores.conjugate(inputs, conjugate)
    wide = effective_number(square, xp)
    return Statistics(conjugate, entropy, wide, largest, received, energy)
