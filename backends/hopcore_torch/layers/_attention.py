"""Attention with the signature of torch's scaled_dot_product_attention."""

from __future__ import annotations

from typing import Any, Literal, overload

import torch
import torch.nn.functional as F

from hopcore.layers import attention_statistics, dot_product_attention, suggest_names
from hopcore.memory import Separation, Similarity, Statistics


@overload
def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = ...,
    dropout_p: float = ...,
    is_causal: bool = ...,
    scale: float | torch.Tensor | None = ...,
    enable_gqa: bool = ...,
    *,
    separation: Separation = ...,
    similarity: Similarity = ...,
    return_statistics: Literal[False] = ...,
) -> torch.Tensor: ...
@overload
def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = ...,
    dropout_p: float = ...,
    is_causal: bool = ...,
    scale: float | torch.Tensor | None = ...,
    enable_gqa: bool = ...,
    *,
    separation: Separation = ...,
    similarity: Similarity = ...,
    return_statistics: Literal[True],
) -> tuple[torch.Tensor, Statistics[torch.Tensor]]: ...
@suggest_names
def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | torch.Tensor | None = None,
    enable_gqa: bool = False,
    *,
    separation: Separation = "softmax",
    similarity: Similarity = "dot",
    return_statistics: bool = False,
) -> torch.Tensor | tuple[torch.Tensor, Statistics[torch.Tensor]]:
    r"""Scaled dot-product attention in the place of torch's, with what fused kernels lack.

    With a scale s and a mask of numbers B it is :math:`w(s\, Q K^T + B)\, V`. The arguments and
    results are those of ``torch.nn.functional.scaled_dot_product_attention``; besides, the
    scale may be a tensor that is learned, weights may be sparse, derivatives of every order exist.

    Parameters
    ----------
    query : tensor (..., H, L, d)
        Queries.
    key : tensor (..., K, S, d)
        Keys; K is H, or divides H with ``enable_gqa``.
    value : tensor (..., K, S, v)
        Values.
    attn_mask : tensor broadcastable to (..., H, L, S), optional
        Boolean, **True = attend**, which is the opposite of the masks of torch's modules and of
        hopcore's layers; or real numbers that are added to the scores, -inf where nothing is
        attended.
    dropout_p : float
        The probability with which a weight is dropped, from 0 to 1. It holds all weights. Torch's
        generator draws; pass 0 when you evaluate.
    is_causal : bool
        Query i attends to the keys 0 to i. Unlike torch's function it may be combined with a mask.
    scale : float or tensor broadcastable to (..., H, L), optional
        The scale of the scores; :math:`1 / \sqrt d` if not given. A parameter ``(H, 1)`` learns
        one for each head.
    enable_gqa : bool
        Let each head of keys serve several heads of queries (grouped queries).
    separation : str or separation function
        ``"softmax"``, ``"sparsemax"``, ``"entmax15"``, ``"entmax:1.5"`` or ``Entmax(alpha)``.
    similarity : {"dot", "distance"}
        How queries are compared with keys: by dot products, or by distances, with the scores
        :math:`-\tfrac{s}{2} \|q - k\|^2`.
    return_statistics : bool
        Also return the statistics of the weights before dropout, see
        :func:`hopcore.layers.attention_statistics`: the log-sum-exp, the entropy, the effective
        number of keys, the largest weight, what each key receives, and the energy.

    Returns
    -------
    tensor (..., H, L, v)
        Zeros for a query that may attend to nothing.
    Statistics
        With ``return_statistics``: ``(..., H, L)``, and ``received (..., H, S)``.

    Raises
    ------
    TypeError, ValueError
        Tensors that do not fit together, a mask that holds nan, a bad probability or scale.

    Examples
    --------
    >>> import torch
    >>> from hopcore_torch import attention
    >>> query, key = torch.randn(2, 8, 5, 16), torch.randn(2, 8, 7, 16)
    >>> attention(query, key, key, separation="entmax15").shape
    torch.Size([2, 8, 5, 16])
    """
    for name, tensor in (("query", query), ("key", key), ("value", value)):
        check_tensor(name, tensor)
    if isinstance(dropout_p, bool) or not isinstance(dropout_p, int | float):
        raise TypeError(f"dropout_p must be a number, got {dropout_p!r}")
    if not 0.0 <= dropout_p <= 1.0:
        raise ValueError(f"dropout_p must be a probability from 0 to 1, got {dropout_p}")
    if not isinstance(is_causal, bool):
        raise TypeError(f"is_causal must be True or False, got {is_causal!r}")
    heads = [x.shape[-3] if x.ndim > 2 else 1 for x in (query, key, value)]
    if not enable_gqa and any(n not in (1, heads[0]) for n in heads[1:]):
        raise ValueError(
            f"query has {heads[0]} heads, key and value {heads[1]} and {heads[2]}; "
            "enable_gqa=True lets each of these serve several heads of query"
        )
    numbers = False
    if attn_mask is not None:
        check_tensor("attn_mask", attn_mask)
        numbers = attn_mask.dtype != torch.bool
        if numbers and not attn_mask.is_floating_point():
            raise TypeError(
                f"attn_mask must be boolean, True = attend, or floating, got {attn_mask.dtype}; "
                "write attn_mask.bool()"
            )
    options: dict[str, Any] = {
        "scale": scale,
        "mask": None if numbers else attn_mask,
        "bias": attn_mask if numbers else None,
        "causal": is_causal,
        "separation": separation,
        "similarity": similarity,
    }
    drop = None if dropout_p == 0.0 else lambda weights: F.dropout(weights, dropout_p)
    output = dot_product_attention(query, key, value, **options, drop=drop)
    if not return_statistics:
        return output
    return output, attention_statistics(query, key, **options)


def check_tensor(name: str, value: object) -> None:
    """Raise if an argument is no tensor."""
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(value).__name__}")
