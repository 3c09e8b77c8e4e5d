"""Attention with the signature of jax.nn.dot_product_attention."""

from __future__ import annotations

from typing import Any, Literal, overload

import jax
import jax.numpy as jnp

from hopcore.layers import attention_statistics, suggest_names
from hopcore.layers import dot_product_attention as attention_by_heads
from hopcore.memory import Separation, Similarity, Statistics


@overload
def dot_product_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    bias: jax.Array | None = ...,
    mask: jax.Array | None = ...,
    *,
    scale: float | jax.Array | None = ...,
    is_causal: bool = ...,
    query_seq_lengths: jax.Array | None = ...,
    key_value_seq_lengths: jax.Array | None = ...,
    local_window_size: int | tuple[int, int] | None = ...,
    separation: Separation = ...,
    similarity: Similarity = ...,
    return_statistics: Literal[False] = ...,
) -> jax.Array: ...
@overload
def dot_product_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    bias: jax.Array | None = ...,
    mask: jax.Array | None = ...,
    *,
    scale: float | jax.Array | None = ...,
    is_causal: bool = ...,
    query_seq_lengths: jax.Array | None = ...,
    key_value_seq_lengths: jax.Array | None = ...,
    local_window_size: int | tuple[int, int] | None = ...,
    separation: Separation = ...,
    similarity: Similarity = ...,
    return_statistics: Literal[True],
) -> tuple[jax.Array, Statistics[jax.Array]]: ...
@suggest_names
def dot_product_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    bias: jax.Array | None = None,
    mask: jax.Array | None = None,
    *,
    scale: float | jax.Array | None = None,
    is_causal: bool = False,
    query_seq_lengths: jax.Array | None = None,
    key_value_seq_lengths: jax.Array | None = None,
    local_window_size: int | tuple[int, int] | None = None,
    separation: Separation = "softmax",
    similarity: Similarity = "dot",
    return_statistics: bool = False,
) -> jax.Array | tuple[jax.Array, Statistics[jax.Array]]:
    r"""Scaled dot-product attention in the place of JAX's, with sparse weights and learned scales.

    With a scale s and a bias B it is :math:`w(s\, Q K^T + B)\, V`. The arguments, the order of
    axes and the results are those of ``jax.nn.dot_product_attention``, without the choice of an
    implementation.

    Parameters
    ----------
    query : array (B, T, N, H) or (T, N, H)
        Queries: batch, time, heads, depth.
    key, value : array (B, S, K, H) or (S, K, H)
        Keys and values; N is a multiple of K, and each of their heads serves N / K heads of the
        queries. The depth of the values may differ from H.
    bias : array broadcastable to (B, N, T, S), optional
        Real numbers that are added to the scores, -inf where nothing is attended.
    mask : boolean array broadcastable to (B, N, T, S), optional
        **True = attend**, which is the opposite of the masks of hopcore's layers.
    scale : float or array broadcastable to (B, N, T), optional
        The scale of the scores; :math:`1 / \sqrt H` if not given. ``(N, 1)`` has one for each head.
    is_causal : bool
        Query i attends to the keys 0 to i.
    query_seq_lengths : integer array (B,), optional
        How many queries of each sequence there are; the others get zeros.
    key_value_seq_lengths : integer array (B,), optional
        How many keys of each sequence there are; the others are not attended to.
    local_window_size : int or (int, int), optional
        Each query attends to this many keys before and after its own position.
    separation : str or separation function
        ``"softmax"``, ``"sparsemax"``, ``"entmax15"``, ``"entmax:1.5"`` or ``Entmax(alpha)``.
    similarity : {"dot", "distance"}
        How queries are compared with keys: by dot products, or by distances, with the scores
        :math:`-\tfrac{s}{2} \|q - k\|^2`.
    return_statistics : bool
        Also return the statistics of the weights, see :func:`hopcore.layers.attention_statistics`:
        the log-sum-exp, the entropy, the effective number of keys, the largest weight, what each
        key receives, and the energy. It must be known when the function is traced.

    Returns
    -------
    array (B, T, N, v) or (T, N, v)
        Zeros for a query that may attend to nothing, where JAX's function averages all values.
    Statistics
        With ``return_statistics``: ``(B, N, T)``, with the heads before the time as in ``scale``,
        and ``received (B, N, S)``.

    Raises
    ------
    TypeError, ValueError
        Arrays that do not fit together, or a bad scale.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from hopcore_jax import dot_product_attention
    >>> query, key = jnp.ones((2, 5, 8, 16)), jnp.ones((2, 7, 4, 16))
    >>> dot_product_attention(query, key, key, separation="sparsemax").shape
    (2, 5, 8, 16)
    """
    for name, array in (("query", query), ("key", key), ("value", value)):
        if getattr(array, "ndim", 0) not in (3, 4):
            raise ValueError(
                f"{name} must be an array (B, T, N, H) or (T, N, H), "
                f"got shape {getattr(array, 'shape', None)}"
            )
    by_heads = [jnp.swapaxes(x, -2, -3) for x in (query, key, value)]
    queries, keys = query.shape[-3], key.shape[-3]
    rows, columns = jnp.arange(queries)[:, None], jnp.arange(keys)[None, :]
    masks = [] if mask is None else [mask]
    if query_seq_lengths is not None:
        lengths = lengths_of("query_seq_lengths", query_seq_lengths, query)
        masks.append(rows < lengths)
    if key_value_seq_lengths is not None:
        lengths = lengths_of("key_value_seq_lengths", key_value_seq_lengths, query)
        masks.append(columns < lengths)
    if local_window_size is not None:
        before, after = sides_of(local_window_size)
        masks.append((columns >= rows - before) & (columns <= rows + after))
    joined = None
    for one in masks:
        joined = one if joined is None else joined & one
    options: dict[str, Any] = {
        "scale": scale,
        "mask": joined,
        "bias": bias,
        "causal": is_causal,
        "separation": separation,
        "similarity": similarity,
    }
    output = jnp.swapaxes(attention_by_heads(*by_heads, **options), -2, -3)
    if not return_statistics:
        return output
    return output, attention_statistics(*by_heads[:2], **options)


def lengths_of(name: str, lengths: jax.Array, query: jax.Array) -> jax.Array:
    """Return the lengths of the sequences of a batch, ``(B, 1, 1, 1)``."""
    lengths = jnp.asarray(lengths)
    batch = query.shape[0]
    if query.ndim != 4 or lengths.shape != (batch,) or lengths.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must be integers (B,), one for each sequence of a batch, "
            f"got {lengths.dtype} {lengths.shape} for query {query.shape}"
        )
    return lengths[:, None, None, None]


def sides_of(window: int | tuple[int, int]) -> tuple[int, int]:
    """Return how many keys before and after its own position a query attends to."""
    sides = (window, window) if isinstance(window, int) else tuple(window)
    if len(sides) != 2 or not all(isinstance(n, int) and n >= 0 for n in sides):
        raise ValueError(
            f"local_window_size must be an integer >= 0 or two of them, got {window!r}"
        )
    return sides
