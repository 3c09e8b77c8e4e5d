r"""Scaled dot-product attention, with the signatures that frameworks have, as an association.

.. math:: Y = w(s\, Q K^T + B)\, V

with a scale s, numbers B that are added to the scores, and a separation function w; or the same by
the distances of queries and keys. The adapters translate the arguments of their framework's own
function into those of :func:`dot_product_attention`.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from hopcore.arrays._array_checks import backend_of_input, shape
from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._edge import known_backend
from hopcore.arrays._inputs import check_inputs
from hopcore.arrays._library import AnyArray, SomeArray, quiet
from hopcore.arrays._scalar_checks import as_number, is_number, short_repr
from hopcore.layers._masks import CoreMasks, as_core_mask, joined_masks
from hopcore.layers._projections import Association
from hopcore.layers._recall import Drop, association_of, in_blocks, weights_of
from hopcore.layers._statistics import statistics_of_heads
from hopcore.memory._causal import without_later
from hopcore.memory._compact import is_absolute
from hopcore.memory._scores import Similarity, check_similarity, keys_from_zero, with_one
from hopcore.memory._separation import Separation, get_separation, with_separation
from hopcore.memory._statistics import Statistics


@quiet
def dot_product_attention(
    query: SomeArray,
    key: AnyArray,
    value: AnyArray,
    *,
    scale: float | AnyArray | None = None,
    mask: AnyArray | None = None,
    bias: AnyArray | None = None,
    causal: bool = False,
    separation: Separation = "softmax",
    similarity: Similarity = "dot",
    drop: Drop | None = None,
) -> SomeArray:
    r"""Attention :math:`w(s\, Q K^T + B)\, V` with any separation function.

    Parameters
    ----------
    query : array (..., H, L, d)
        Queries of H heads; the axis of the heads may be missing if key and value lack it, too.
    key : array (..., K, S, d)
        Keys. With K heads, of which H is a multiple, each serves H / K heads of the queries, which
        follow one another.
    value : array (..., K, S, v)
        Values.
    scale : float or array broadcastable to (..., H, L), optional
        The scale s of the scores, of any sign, for instance learned: ``(H, 1)`` has one for each
        head. :math:`1 / \sqrt d` if not given.
    mask : boolean array broadcastable to (..., H, L, S), optional
        **True = attend**, as in the core.
    bias : array broadcastable to (..., H, L, S), optional
        Real numbers B that are added to the scores, or -inf where nothing is attended.
    causal : bool
        Query i attends to the keys 0 to i alone.
    separation : str or separation function
        As in :func:`hopcore.association`; ``"epanechnikov"`` needs distances, and takes no bias.
    similarity : {"dot", "distance"}
        With ``"distance"``, the scores are :math:`-s \|q - k\|^2 / 2 + B`, up to a number for each
        query that the weights do not depend on.
    drop : callable, optional
        Dropout of the weights ``(..., H, l, S)`` of all queries or, in torch, of a block of them.

    Returns
    -------
    array (..., H, L, v)
        Zeros for a query that may attend to nothing.

    Raises
    ------
    TypeError, ValueError
        Arrays that do not fit together; a bias that holds nan or infinity; a scale that is nan.

    Notes
    -----
    Memory is O(L + S), unless there is a bias or dropout. These need all scores, except in torch
    and, for dropout that says what it draws for each block, in JAX. ``causal`` makes no mask of all
    pairs unless there is another mask, a bias, dropout or distances: a softmax in torch goes to
    torch's own causal kernel, and anything else to blocks of queries with the keys that they attend
    to.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> query, key = np.zeros((2, 1, 3)), np.ones((2, 4, 3))
    >>> hopcore.layers.dot_product_attention(query, key, key, causal=True).shape
    (2, 1, 3)
    """
    backend = backend_of_alike(query, key, value)
    own_kernel = causal and similarity == "dot"
    own_kernel = own_kernel and needs_no_mask(backend, query, key, separation, mask, bias, drop)
    if own_kernel:
        key, value = without_later(query, key, value)
    association, groups = prepare_attention(
        backend,
        query,
        key,
        value,
        scale,
        mask,
        bias,
        causal and not own_kernel,
        separation,
        similarity,
    )
    inputs = association.inputs
    if own_kernel:
        output = inputs.backend.associate_causal(*inputs[2:6], association.separation)
        output = joined_groups(inputs.xp, output, groups)
    elif drop is None:
        output = joined_groups(inputs.xp, association_of(association), groups)
    else:
        each = math.prod(shape(query)[:-2]) * key.shape[-2]
        of_block = partial(recalled_by_groups, groups)
        output = joined_groups(inputs.xp, in_blocks(association, of_block, drop, each), groups)
    return inputs.backend.astype(output, query.dtype)


def recalled_by_groups(
    groups: tuple[int, int] | None, association: Association, drop: Drop | None
) -> Array:
    """Return the averages of the values by weights that are dropped as those of single heads."""
    inputs = association.inputs
    weights = joined_groups(inputs.xp, weights_of(association), groups)
    weights = weights if drop is None else drop(weights)
    if groups is not None:
        lead = tuple(weights.shape[:-3])
        weights = inputs.xp.reshape(weights, (*lead, *groups, *weights.shape[-2:]))
    return inputs.backend.recalled(weights, inputs.projection)


@quiet
def attention_statistics(
    query: SomeArray,
    key: AnyArray,
    *,
    scale: float | AnyArray | None = None,
    mask: AnyArray | None = None,
    bias: AnyArray | None = None,
    causal: bool = False,
    separation: Separation = "softmax",
    similarity: Similarity = "dot",
) -> Statistics[SomeArray]:
    """Return the statistics of the weights of :func:`dot_product_attention`.

    Parameters
    ----------
    query, key, scale, mask, bias, causal, separation, similarity
        As in :func:`dot_product_attention`.

    Returns
    -------
    Statistics
        Those of :func:`hopcore.statistics` for each query, ``(..., H, L)``, and what each key
        receives from the queries of each head, ``(..., H, S)``. The energy is that of a query at
        the inverse temperature ``scale``; where that is not a positive number, it is the energy of
        the scaled query at the inverse temperature 1.

    Notes
    -----
    Memory is O(L + S), unless there is a bias.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> query, key = np.zeros((2, 3, 4)), np.ones((2, 3, 4))
    >>> hopcore.layers.attention_statistics(query, key, causal=True).effective
    array([[1., 2., 3.],
           [1., 2., 3.]])
    """
    backend = backend_of_alike(query, key, key)
    association, groups = prepare_attention(
        backend, query, key, key, scale, mask, bias, causal, separation, similarity
    )
    xp = association.inputs.xp
    found = statistics_of_heads(association)
    columns = (x[..., None] for x in found)
    joined = Statistics(*(joined_groups(xp, x, groups)[..., 0] for x in columns))
    full = tuple(joined.entropy.shape[:-1])
    joined = joined._replace(received=xp.broadcast_to(joined.received, (*full, key.shape[-2])))
    if similarity == "dot":
        return joined
    return of_distances(backend, joined, query, scale, is_absolute(separation))


def of_distances(
    backend: Backend, found: Statistics[Any], query: Array, scale: Any, absolute: bool
) -> Any:
    """Return statistics whose log-sum-exps and energies are those of the distances themselves.

    They were computed from :func:`with_lengths`, and lack half of the squared length of the query,
    unless they are absolute.
    """
    scale = 1.0 / math.sqrt(max(1, query.shape[-1])) if scale is None else scale
    beta = float(scale) if is_number(scale) and scale > 0 else 1.0
    precise = backend.astype(query, backend.precise[query.dtype])
    level = 0.0 if absolute else 0.5 * scale * backend.square_lengths(precise)
    conjugate = backend.xp.where(
        found.log_sum_exp > -math.inf, found.log_sum_exp - level, -math.inf
    )
    return found._replace(log_sum_exp=conjugate, energy=-conjugate / beta)


def needs_no_mask(
    backend: Backend, query: Array, key: Array, separation: Separation, *others: Any
) -> bool:
    """Return whether a causal attention goes to the causal kernel, without a mask of all pairs.

    That is if there is no other mask, bias or dropout, and if the sizes are known.
    """
    alone = all(other is None for other in others)
    return alone and backend.has_causal_kernel(query, key, get_separation(separation))


def prepare_attention(
    backend: Backend,
    query: Array,
    key: Any,
    value: Any,
    scale: Any,
    mask: Any,
    bias: Any,
    causal: bool,
    separation: Separation,
    similarity: Similarity = "dot",
) -> tuple[Association, tuple[int, int] | None]:
    """Check the arrays; return their association, and the groups of its heads, if there are any."""
    masks = attention_masks(backend, query, key, mask, bias, causal)
    check_similarity(similarity)
    if similarity == "distance":
        scale = 1.0 / math.sqrt(max(1, query.shape[-1])) if scale is None else scale
        absolute = is_absolute(separation)
        if absolute:
            check_radius(scale, masks.bias, separation)
        query, key = with_lengths(backend, query, key, absolute)
    scaled, beta = scaled_query(backend, query, scale)
    stored = backend.astype(key, scaled.dtype)
    values = stored if value is key else backend.astype(value, scaled.dtype)
    groups = groups_of(query, key, value)
    if groups is not None:
        scaled, masks = in_groups(backend, scaled, groups), masks_in_groups(backend, masks, groups)
        own = values is stored
        stored = stored[..., None, :, :]
        values = stored if own else values[..., None, :, :]
    inputs = check_inputs(scaled, stored, values, beta=beta, mask=masks.mask)
    inputs, function = with_separation(inputs, separation, similarity)
    return Association(shape(query)[:-3], inputs, masks.bias, None, None, function), groups


def with_lengths(
    backend: Backend, query: Array, key: Array, absolute: bool = False
) -> tuple[Array, Array]:
    """Return queries and keys in the precise dtype whose products are scores by distance.

    If they are absolute, they also contain the squared length of the query. Unlike in a memory, the
    mean of the keys is not subtracted: it would make a query depend on later keys.
    """
    xp = backend.xp
    precise = backend.astype(query, backend.precise[query.dtype])
    queries, keys = with_one(xp, precise), keys_from_zero(backend, key)
    if absolute:
        length = -0.5 * backend.square_lengths(precise)[..., None]
        queries, keys = xp.concat([queries, length], axis=-1), with_one(xp, keys)
    return queries, keys


def check_radius(scale: Any, bias: Any, separation: Separation) -> None:
    """Raise if the scale or the numbers of a bias leave a compact kernel no radius."""
    if bias is not None:
        raise ValueError(
            "a bias would change the radius of a key, not its share: give a boolean mask, "
            f"True = attend, with separation={short_repr(separation)}"
        )
    if is_number(scale):
        as_number("scale", scale, positive=True)


def backend_of_alike(query: Array, key: Any, value: Any) -> Backend:
    """Return the backend of three arrays.

    Raise if they differ in their library, their dtype or their number of axes.
    """
    backend = backend_of_input("query", query)
    for name, array in (("key", key), ("value", value)):
        other = backend_of_input(name, array)
        if other is not backend or array.dtype != query.dtype:
            raise TypeError(
                "query, key and value must be arrays of one library and dtype, got "
                f"{backend.name} {query.dtype} beside {other.name} {array.dtype} for {name}"
            )
    if not query.ndim == key.ndim == value.ndim >= 2:
        raise ValueError(
            "query, key and value must have the same number of axes, at least two, "
            f"got {shape(query)}, {shape(key)} and {shape(value)}"
        )
    return backend


def attention_masks(
    backend: Backend, query: Array, key: Array, mask: Any, bias: Any, causal: bool
) -> CoreMasks:
    """Return all masks of a call as those of the core."""
    full = (*shape(query)[:-1], key.shape[-2])
    parts = []
    for name, array in (("mask", mask), ("bias", bias)):
        if array is None:
            continue
        if backend_of_input(name, array) is not backend:
            raise TypeError(f"{name} must be an array of {backend.name}, as query is")
        fits = array.ndim <= len(full) and all(
            size in (1, wanted)
            for size, wanted in zip(shape(array)[::-1], full[::-1], strict=False)
        )
        if not fits:
            raise ValueError(f"{name} must broadcast to {full}, got {shape(array)}")
        if name == "mask":
            if "bool" not in str(array.dtype):
                raise TypeError(
                    f"mask must be boolean, True = attend, got {array.dtype}; "
                    "bias= takes numbers that are added to the scores"
                )
            parts.append(CoreMasks(array, None))
        elif array.dtype not in backend.precise:
            raise TypeError(
                f"bias must hold real numbers that are added to the scores, got {array.dtype}; "
                "a boolean mask, True = attend, is mask="
            )
        else:
            parts.append(as_core_mask(backend, "bias", query, array))
    if causal:
        parts.append(CoreMasks(backend.causal_mask(query, key.shape[-2]), None))
    return joined_masks(parts)


def scaled_query(backend: Backend, query: Array, scale: Any) -> tuple[Array, float]:
    """Return the queries and the positive number that together scale the scores."""
    if scale is None:
        return query, 1.0 / math.sqrt(max(1, query.shape[-1]))
    if is_number(scale):
        if not math.isfinite(scale):
            raise ValueError(f"scale must be finite, got {short_repr(scale)}")
        return (query, float(scale)) if scale > 0 else (query * float(scale), 1.0)
    if known_backend(scale) is not backend or scale.dtype not in backend.precise:
        raise TypeError(
            f"scale must be a number or a floating array of {backend.name}, got {short_repr(scale)}"
        )
    wide = backend.precise[query.dtype]
    scale = backend.astype(scale, wide)
    rows = shape(query)[:-1]
    if scale.ndim > len(rows) or any(
        size not in (1, wanted)
        for size, wanted in zip(shape(scale)[::-1], rows[::-1], strict=False)
    ):
        raise ValueError(
            f"scale must be a number or broadcast to {rows}, got {shape(scale)}; "
            "one for each head is (H, 1)"
        )
    return backend.astype(query, wide) * scale[..., None], 1.0


def groups_of(query: Array, key: Array, value: Array) -> tuple[int, int] | None:
    """Return the heads of keys, and how many heads of queries share each; None if each has its own.

    Raise if the heads of the queries are no multiple.
    """
    if query.ndim < 3 or query.shape[-3] == key.shape[-3] == value.shape[-3]:
        return None
    heads, shared = query.shape[-3], key.shape[-3]
    if value.shape[-3] != shared or shared == 0 or heads % shared != 0:
        raise ValueError(
            "the heads of query must be a multiple of those of key and value, "
            f"got {heads}, {shared} and {value.shape[-3]}"
        )
    return shared, heads // shared


def in_groups(backend: Backend, array: Array, groups: tuple[int, int]) -> Array:
    """Divide the axis of the heads ``(..., H, L, n)`` into groups ``(..., K, H / K, L, n)``."""
    return backend.xp.reshape(array, (*array.shape[:-3], *groups, *array.shape[-2:]))


def masks_in_groups(backend: Backend, masks: CoreMasks, groups: tuple[int, int]) -> CoreMasks:
    """Divide the heads of masks, which may be one for all."""

    def divide(array: Array | None) -> Array | None:
        if array is None or array.ndim < 3:
            return array
        if array.shape[-3] == 1:
            return array[..., None, :, :]
        return in_groups(backend, array, groups)

    return CoreMasks(divide(masks.mask), divide(masks.bias))


def joined_groups(xp: Any, array: Array, groups: tuple[int, int] | None) -> Array:
    """Join the groups of heads ``(..., K, H / K, L, n)`` to one axis ``(..., H, L, n)``."""
    if groups is None:
        return array
    heads = groups[0] * groups[1]
    return xp.reshape(array, (*array.shape[:-4], heads, *array.shape[-2:]))
