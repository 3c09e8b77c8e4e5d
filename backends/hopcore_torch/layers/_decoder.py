"""Transformer decoder layers whose attention is a Hopfield layer, for torch's own decoder."""

from __future__ import annotations

from typing import ClassVar, Self

import torch
from torch import nn

import hopcore
from hopcore import DiffusionConfig
from hopcore.layers import ActivationName, DecoderMethods, DecoderSettings, suggest_names
from hopcore.memory import LearnableAlpha, SeparationName, Similarity
from hopcore_torch.layers._base import AssociationMask, Device, Scaling
from hopcore_torch.layers._core import HopfieldCore
from hopcore_torch.layers._from_torch import DECODER
from hopcore_torch.layers._hopfield import Hopfield
from hopcore_torch.layers._transformer import Association, TransformerLayer, accept_layers


class HopfieldDecoderLayer(TransformerLayer, DecoderMethods):
    """A transformer decoder layer whose attentions are Hopfield layers.

    Takes the place of ``torch.nn.TransformerDecoderLayer``.

    Parameters
    ----------
    d_model : int, Hopfield or HopfieldLayer
        Depth of the target; or two Hopfield layers, of which copies are taken, followed by
        ``dim_feedforward``, ``dropout`` and ``activation``. The first may be a HopfieldLayer, see
        :class:`HopfieldEncoderLayer`.
    nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias
        As in ``torch.nn.TransformerDecoderLayer``, with the same defaults.
    hopfield_association_self, hopfield_association_cross : Hopfield or HopfieldLayer, optional
        The layer, or layers, by name instead of by position.
    input_bias : bool, optional
        Whether the projections of the Hopfield layer have a bias; the default is ``bias``.
    hidden_size, output_size, pattern_size, scaling, learnable_scaling, separation
    similarity, update_steps_max, update_steps_eps
    normalize_stored_pattern, normalize_stored_pattern_affine, normalize_stored_pattern_eps
    normalize_state_pattern, normalize_state_pattern_affine, normalize_state_pattern_eps
    normalize_pattern_projection, normalize_pattern_projection_affine
    normalize_pattern_projection_eps
    normalize_hopfield_space, normalize_hopfield_space_affine, normalize_hopfield_space_eps
    stored_pattern_as_static, state_pattern_as_static, pattern_projection_as_static
    pattern_projection_as_connected, stored_pattern_size, pattern_projection_size
    association_activation, concat_bias_pattern, add_zero_association, disable_out_projection
    diffusion, device, dtype
        As in :class:`Hopfield`.

    Examples
    --------
    >>> import torch
    >>> from hopcore_torch import HopfieldDecoderLayer
    >>> layer = HopfieldDecoderLayer(d_model=8, nhead=2, batch_first=True)
    >>> decoder = torch.nn.TransformerDecoder(layer, num_layers=2)
    >>> decoder(torch.ones(3, 5, 8), torch.ones(3, 7, 8)).shape
    torch.Size([3, 5, 8])
    """

    KIND: ClassVar[type] = DecoderSettings
    TORCH: ClassVar[type] = nn.TransformerDecoderLayer
    TORCH_NAMES: ClassVar[dict[str, str]] = DECODER
    settings: DecoderSettings
    hopfield_association_self: Association
    hopfield_association_cross: Hopfield

    @suggest_names
    @accept_layers("hopfield_association_self", "hopfield_association_cross")
    def __init__(
        self,
        d_model: int | Association | None = None,
        nhead: int | Hopfield | None = None,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: ActivationName = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        hopfield_association_self: Association | None = None,
        hopfield_association_cross: Hopfield | None = None,
        hidden_size: int | None = None,
        output_size: int | None = None,
        pattern_size: int | None = None,
        scaling: Scaling | None = None,
        learnable_scaling: bool = False,
        separation: SeparationName | float | LearnableAlpha = "softmax",
        similarity: Similarity = "dot",
        update_steps_max: int | tuple[int, ...] | None = 0,
        update_steps_eps: float | tuple[float, ...] = 1e-4,
        normalize_stored_pattern: bool = True,
        normalize_stored_pattern_affine: bool = True,
        normalize_stored_pattern_eps: float = 1e-5,
        normalize_state_pattern: bool = True,
        normalize_state_pattern_affine: bool = True,
        normalize_state_pattern_eps: float = 1e-5,
        normalize_pattern_projection: bool = True,
        normalize_pattern_projection_affine: bool = True,
        normalize_pattern_projection_eps: float = 1e-5,
        normalize_hopfield_space: bool = False,
        normalize_hopfield_space_affine: bool = False,
        normalize_hopfield_space_eps: float = 1e-5,
        stored_pattern_as_static: bool = False,
        state_pattern_as_static: bool = False,
        pattern_projection_as_static: bool = False,
        pattern_projection_as_connected: bool = False,
        stored_pattern_size: int | None = None,
        pattern_projection_size: int | None = None,
        association_activation: ActivationName | None = None,
        input_bias: bool | None = None,
        concat_bias_pattern: bool = False,
        add_zero_association: bool = False,
        disable_out_projection: bool = False,
        diffusion: DiffusionConfig | None = None,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self._construct(locals())

    @classmethod
    def from_transformer(cls, layer: nn.TransformerDecoderLayer) -> Self:
        """Return a layer that computes the same as torch's, with copies of its parameters."""
        return cls._from_transformer(layer)

    @suggest_names
    def forward(
        self,
        tgt: torch.Tensor,
        memory: torch.Tensor,
        tgt_mask: torch.Tensor | None = None,
        memory_mask: torch.Tensor | None = None,
        tgt_key_padding_mask: torch.Tensor | None = None,
        memory_key_padding_mask: torch.Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> torch.Tensor:
        """The target ``(B, L, d)``, or ``(L, B, d)`` unless ``batch_first``, decoded.

        Masks are as in :meth:`HopfieldEncoderLayer.forward`.
        """
        own = tgt_key_padding_mask, self._mask(tgt_mask, tgt_is_causal)
        other = memory_key_padding_mask, self._mask(memory_mask, memory_is_causal, cross=True)
        return hopcore.layers.decoder_layer(
            self.settings,
            self.arrays(),
            tgt,
            memory,
            tgt_key_padding_mask=tgt_key_padding_mask,
            associate=lambda values: self.hopfield_association_self(values, *own),
            cross=lambda values: self.hopfield_association_cross((memory, values, memory), *other),
            drop=self._drop,
        )

    @torch.no_grad()
    def get_association_matrix_self(
        self,
        input: torch.Tensor | tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        tgt_mask: torch.Tensor | None = None,
        tgt_key_padding_mask: torch.Tensor | None = None,
        tgt_is_causal: bool = False,
    ) -> torch.Tensor:
        """Return the weights of the target with itself in the forward pass, without a gradient.

        ``input`` is the target; three patterns are taken as those that enter the association.
        """
        mask: AssociationMask | None = tgt_mask
        if isinstance(input, torch.Tensor):
            mask = self._mask(tgt_mask, tgt_is_causal)
        return super().get_association_matrix_self(input, mask, tgt_key_padding_mask)

    @torch.no_grad()
    def get_association_matrix_cross(
        self,
        input: torch.Tensor | tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        memory: torch.Tensor | None = None,
        tgt_mask: torch.Tensor | None = None,
        memory_mask: torch.Tensor | None = None,
        tgt_key_padding_mask: torch.Tensor | None = None,
        memory_key_padding_mask: torch.Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> torch.Tensor:
        """Return the weights of the target with the memory in the forward pass, no gradient.

        ``input`` is the target, which is associated with itself first; or three patterns that
        enter the association with the memory.
        """
        masks: tuple[AssociationMask | None, ...] = tgt_mask, memory_mask
        if isinstance(input, torch.Tensor) and memory is not None:
            masks = (
                self._mask(tgt_mask, tgt_is_causal),
                self._mask(memory_mask, memory_is_causal, cross=True),
            )
        paddings = tgt_key_padding_mask, memory_key_padding_mask
        return super().get_association_matrix_cross(input, memory, *masks, *paddings)

    @property
    def self_attn(self) -> HopfieldCore:
        """The association of the target with itself; torch's decoder looks at it."""
        return self._core("hopfield_association_self")

    @property
    def multihead_attn(self) -> HopfieldCore:
        """The association of the target with the memory."""
        return self._core("hopfield_association_cross")
