"""Transformer encoder layers whose attention is a Hopfield layer, for torch's own encoder."""

from __future__ import annotations

from typing import ClassVar, Self

import torch
from torch import nn

import hopcore
from hopcore import DiffusionConfig
from hopcore.layers import ActivationName, EncoderMethods, EncoderSettings, suggest_names
from hopcore.memory import LearnableAlpha, SeparationName, Similarity
from hopcore_torch.layers._base import AssociationMask, Device, Scaling
from hopcore_torch.layers._core import HopfieldCore
from hopcore_torch.layers._from_torch import ENCODER
from hopcore_torch.layers._nested import nested_again, padded_of
from hopcore_torch.layers._transformer import Association, TransformerLayer, accept_layers


class HopfieldEncoderLayer(TransformerLayer, EncoderMethods, nn.TransformerEncoderLayer):
    """A transformer encoder layer whose attention is a Hopfield layer.

    It replaces ``torch.nn.TransformerEncoderLayer``, also in ``torch.nn.TransformerEncoder`` and
    with nested tensors.

    Parameters
    ----------
    d_model : int, Hopfield or HopfieldLayer
        The number of features of the sequence. Or a Hopfield layer, which is copied, followed by
        ``dim_feedforward``, ``dropout`` and ``activation``. A HopfieldLayer associates each
        position with its learned patterns, and the masks then hide these patterns.
    nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias
        As in ``torch.nn.TransformerEncoderLayer``, with the same defaults.
    hopfield_association : Hopfield or HopfieldLayer, optional
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
    >>> from hopcore_torch import HopfieldEncoderLayer
    >>> layer = HopfieldEncoderLayer(d_model=8, nhead=2, batch_first=True)
    >>> torch.nn.TransformerEncoder(layer, num_layers=2)(torch.ones(3, 5, 8)).shape
    torch.Size([3, 5, 8])
    """

    KIND: ClassVar[type] = EncoderSettings
    TORCH: ClassVar[type] = nn.TransformerEncoderLayer
    TORCH_NAMES: ClassVar[dict[str, str]] = ENCODER
    settings: EncoderSettings
    hopfield_association: Association

    @suggest_names
    @accept_layers("hopfield_association")
    def __init__(
        self,
        d_model: int | Association | None = None,
        nhead: int | None = None,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: ActivationName = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        hopfield_association: Association | None = None,
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
    def from_transformer(cls, layer: nn.TransformerEncoderLayer) -> Self:
        """Return a layer that computes the same as torch's, with copies of its parameters."""
        return cls._from_transformer(layer)

    @suggest_names
    def forward(
        self,
        src: torch.Tensor,
        src_mask: torch.Tensor | None = None,
        src_key_padding_mask: torch.Tensor | None = None,
        is_causal: bool = False,
    ) -> torch.Tensor:
        """Encode the sequence ``(B, L, d)``, or ``(L, B, d)`` unless ``batch_first``.

        Masks are True for patterns that are ignored, or numbers that are added to the scores. With
        ``is_causal`` and without a mask, later positions are masked.
        """
        if getattr(src, "is_nested", False):
            return nested(self, src, src_mask, is_causal)
        masks = src_key_padding_mask, self._mask(src_mask, is_causal)

        return hopcore.layers.encoder_layer(
            self.settings,
            self.arrays(),
            src,
            src_key_padding_mask=src_key_padding_mask,
            associate=lambda values: self.hopfield_association(values, *masks),
            drop=self._drop,
        )

    @torch.no_grad()
    def get_association_matrix(
        self,
        input: torch.Tensor | tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        src_mask: torch.Tensor | None = None,
        src_key_padding_mask: torch.Tensor | None = None,
        is_causal: bool = False,
    ) -> torch.Tensor:
        """Return the association weights of the forward pass, ``(B, H, L, S)``, without a gradient.

        ``input`` is the sequence, or the three inputs of the association.
        """
        mask: AssociationMask | None = src_mask
        if isinstance(input, torch.Tensor):
            mask = self._mask(src_mask, is_causal)
        return super().get_association_matrix(input, mask, src_key_padding_mask)

    # Attributes that torch's encoder reads.

    @property
    def self_attn(self) -> HopfieldCore:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The association."""
        return self._core("hopfield_association")

    norm1 = property(lambda self: self.norm_residual)
    norm2 = property(lambda self: self.norm_output)
    linear1 = property(lambda self: self.linear_residual)
    linear2 = property(lambda self: self.linear_output)

    @property
    def activation_relu_or_gelu(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """1 for relu, 2 for gelu, 0 for others."""
        return {"relu": 1, "gelu": 2}.get(self.settings.activation, 0)


def nested(
    layer: HopfieldEncoderLayer, src: torch.Tensor, mask: torch.Tensor | None, is_causal: bool
) -> torch.Tensor:
    """Apply an encoder layer to a nested tensor: pad it, mask the padding, and nest it again."""
    padded, kept = padded_of(src)
    padding = None if layer.settings.looks_up else ~kept
    return nested_again(layer(padded, mask, padding, is_causal), kept, src)
