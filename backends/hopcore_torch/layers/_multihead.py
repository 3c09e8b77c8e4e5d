"""A Hopfield layer with the call of ``torch.nn.MultiheadAttention``."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from hopcore.layers import suggest_names
from hopcore_torch.layers._base import AssociationMask
from hopcore_torch.layers._hopfield import Hopfield
from hopcore_torch.layers._nested import nested_again, padded_of


class HopfieldAttention(nn.Module):
    """A Hopfield layer that is called like ``torch.nn.MultiheadAttention``.

    :func:`replace_attention` puts it in the place of attention.

    Parameters
    ----------
    hopfield : Hopfield
        The layer, which becomes the module ``hopfield`` of this one.

    Raises
    ------
    TypeError
        The layer is not a :class:`Hopfield`.

    Examples
    --------
    >>> import torch
    >>> from hopcore_torch import Hopfield, HopfieldAttention
    >>> attention = HopfieldAttention(Hopfield(8, num_heads=2, separation="sparsemax"))
    >>> query, key = torch.randn(3, 10, 8), torch.randn(3, 50, 8)
    >>> output, weights = attention(query, key, key)
    >>> output.shape, weights.shape
    (torch.Size([3, 10, 8]), torch.Size([3, 10, 50]))
    """

    _qkv_same_embed_dim: ClassVar[bool] = False
    """So that ``torch.nn.TransformerEncoderLayer`` calls attention instead of its fast path."""

    def __init__(self, hopfield: Hopfield) -> None:
        super().__init__()
        if type(hopfield).forward is not Hopfield.forward:
            raise TypeError(f"hopfield must be a Hopfield layer, got {type(hopfield).__name__}")
        self.hopfield = hopfield

    @suggest_names
    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
        need_weights: bool = True,
        attn_mask: torch.Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the output, and the association weights if they are asked for.

        Parameters
        ----------
        query, key, value : tensor (N, L, E), (N, S, E_k), (N, S, E_v)
            States, stored patterns and projections; ``(L, N, E)`` ... unless ``batch_first``, or
            one sample without N, or nested tensors.
        key_padding_mask : tensor (N, S), optional
            True for keys that are ignored, or numbers that are added to the scores.
        need_weights : bool
            Whether to return the weights, for which they are computed a second time.
        attn_mask : tensor (L, S) or (N H, L, S), optional
            True for pairs that are not attended, or numbers that are added to the scores.
        average_attn_weights : bool
            Whether the weights are averaged over the heads.
        is_causal : bool
            Without ``attn_mask``, hide the keys that come later than a query.

        Returns
        -------
        output : tensor (N, L, E)
            Zeros before the bias where a query may attend to nothing; torch returns nan.
        weights : tensor (N, L, S) or (N, H, L, S), or None
            The weights before dropout.
        """
        if query.is_nested:
            own = query is key
            padded, kept = padded_of(query)
            key, present = (padded, kept) if own else padded_of(key)
            value = key if own and value is query else padded_of(value)[0]
            patterns = padded, key, value, ~present, need_weights
            output, weights = self(*patterns, attn_mask, average_attn_weights, is_causal)
            return nested_again(output, kept, query), weights
        mask: AssociationMask | None = attn_mask
        if is_causal and attn_mask is None:
            mask = "causal"
        same = query is key and key is value
        patterns = query if same else (key, query, value)
        output = self.hopfield(patterns, key_padding_mask, mask)
        if not need_weights:
            return output, None
        weights = self.hopfield.association_weights(patterns, key_padding_mask, mask)
        return output, weights.mean(-3) if average_attn_weights else weights

    # What models read of their attention.

    batch_first = property(lambda self: self.hopfield.settings.batch_first)
    num_heads = property(lambda self: self.hopfield.settings.num_heads)
    embed_dim = property(lambda self: self.hopfield.settings.input_size)
    kdim = property(lambda self: self.hopfield.settings.stored_size)
    vdim = property(lambda self: self.hopfield.settings.projection_size)
    head_dim = property(lambda self: self.hopfield.settings.head_size)
    dropout = property(lambda self: self.hopfield.settings.dropout)
    in_proj_weight = property(lambda self: self.hopfield.association_core.in_proj_weight)
    in_proj_bias = property(lambda self: self.hopfield.association_core.in_proj_bias)
    out_proj = property(lambda self: self.hopfield.association_core.out_proj)
