"""Transformer layers whose attention is a Hopfield layer, for torch's own encoder and decoder."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import torch
from torch import nn

import hopcore
from hopcore.layers import (
    DecoderMethods,
    DecoderSettings,
    EncoderMethods,
    EncoderSettings,
    bind_arguments,
    layer_parameters,
)
from hopcore_torch.layers._base import ParameterOwner
from hopcore_torch.layers._core import HopfieldCore
from hopcore_torch.layers._from_torch import DECODER, ENCODER, copy_parameters, torch_arguments
from hopcore_torch.layers._hopfield import Hopfield

POSITIONAL = "dropout", "activation", "layer_norm_eps", "batch_first", "norm_first", "bias"
"""Arguments of torch's transformer layers after ``d_model``, ``nhead``, ``dim_feedforward``."""

DEFAULTS: dict[str, Any] = {
    "dim_feedforward": 2048,
    "dropout": 0.1,
    "activation": "relu",
    "layer_norm_eps": 1e-5,
    "batch_first": False,
    "norm_first": False,
    "bias": True,
}


class _TransformerLayer(ParameterOwner):
    """What encoder and decoder layers share: their parts, by the names of the parameters."""

    linear_residual: nn.Linear
    linear_output: nn.Linear
    norm_output: nn.LayerNorm

    def _make(self, settings: Any, associations: dict[str, Hopfield], **where: Any) -> None:
        parameters = layer_parameters(settings)
        self._own(settings, [name for name in parameters if "association" not in name])
        width, hidden, bias = settings.hopfield.input_size, settings.dim_feedforward, settings.bias
        for name, association in associations.items():
            setattr(self, name, association)
            setattr(self, f"dropout_{name}", nn.Dropout(settings.dropout))
        self.linear_residual = nn.Linear(width, hidden, bias, **where)
        self.dropout_residual = nn.Dropout(settings.dropout)
        self.linear_output = nn.Linear(hidden, width, bias, **where)
        self.dropout_output = nn.Dropout(settings.dropout)
        names = [name.removesuffix(".weight") for name in parameters if name.startswith("norm_")]
        for name in names:
            if not name.endswith(".bias"):
                eps = settings.layer_norm_eps
                setattr(self, name, nn.LayerNorm(width, eps, bias=bias, **where))
        self.reset_parameters()
        self._watch()

    def _drop(self, name: str, values: torch.Tensor) -> torch.Tensor:
        return getattr(self, name)(values)

    @property
    def batch_first(self) -> bool:
        """Whether sequences are ``(B, L, d)``."""
        return self.settings.hopfield.batch_first

    @property
    def input_size(self) -> int | None:
        """Depth of the sequences."""
        return self.settings.hopfield.input_size

    @property
    def output_size(self) -> int | None:
        """Depth of the output."""
        return self.settings.hopfield.input_size

    @property
    def activation(self) -> str:
        """The name of the activation between the two linear maps."""
        return self.settings.activation

    @property
    def activation_residual(self) -> str:
        """The same by the name of hopfield-layers."""
        return self.settings.activation

    @property
    def norm_first(self) -> bool:
        """Whether a branch begins with its normalisation."""
        return self.settings.norm_first


class HopfieldEncoderLayer(_TransformerLayer, EncoderMethods, nn.TransformerEncoderLayer):
    """A transformer encoder layer with a Hopfield layer for its attention.

    Takes the place of ``torch.nn.TransformerEncoderLayer``, also in ``torch.nn.TransformerEncoder``
    and there with nested tensors.

    Parameters
    ----------
    d_model : int or Hopfield
        Depth of the sequence; or the Hopfield layer, of which a copy is taken, followed by
        ``dim_feedforward``, ``dropout`` and ``activation``.
    nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias
        As in ``torch.nn.TransformerEncoderLayer``, with the same defaults.
    **settings
        Of the Hopfield layer, see :class:`hopcore.HopfieldSettings`.

    Examples
    --------
    >>> import torch
    >>> from hopcore_torch import HopfieldEncoderLayer
    >>> layer = HopfieldEncoderLayer(d_model=8, nhead=2, batch_first=True)
    >>> torch.nn.TransformerEncoder(layer, num_layers=2)(torch.ones(3, 5, 8)).shape
    torch.Size([3, 5, 8])
    """

    KIND: ClassVar[type] = EncoderSettings
    settings: EncoderSettings
    hopfield_association: Hopfield

    def __init__(self, *args: Any, **arguments: Any) -> None:
        (association,), own, where = arguments_of(("hopfield_association",), args, arguments)
        settings = EncoderSettings(hopfield=association.settings, **own)
        self._make(settings, {"hopfield_association": association}, **where)

    @classmethod
    def of(cls, settings: EncoderSettings, **where: Any) -> HopfieldEncoderLayer:
        """The layer with these settings; ``device`` and ``dtype`` of its parameters."""
        layer = cls.__new__(cls)
        association = Hopfield.of(settings.hopfield, **where)
        layer._make(settings, {"hopfield_association": association}, **where)
        return layer

    @classmethod
    def from_transformer(cls, layer: nn.TransformerEncoderLayer) -> HopfieldEncoderLayer:
        """The layer that computes what torch's layer computes, with copies of its parameters."""
        copied = cls(**torch_arguments(layer, layer.self_attn, layer.dropout.p))
        copy_parameters(copied, layer, ENCODER)
        return copied.train(layer.training)

    def forward(
        self,
        src: torch.Tensor,
        src_mask: torch.Tensor | None = None,
        src_key_padding_mask: torch.Tensor | None = None,
        is_causal: bool = False,
    ) -> torch.Tensor:
        """The sequence ``(B, L, d)``, or ``(L, B, d)`` unless ``batch_first``, encoded.

        Masks are True where a pattern is not attended to, or numbers that are added to the scores;
        ``is_causal`` masks what comes later where no mask is given.
        """
        if src.is_nested:
            return nested(self, src, src_mask, is_causal)
        masks = src_key_padding_mask, causal(src, src_mask, is_causal, self.batch_first)

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

        ``input`` is the sequence; three patterns are taken as those that enter the association.
        """
        if isinstance(input, torch.Tensor):
            src_mask = causal(input, src_mask, is_causal, self.batch_first)
        return super().get_association_matrix(input, src_mask, src_key_padding_mask)

    # What torch's encoder looks at.

    @property
    def self_attn(self) -> HopfieldCore:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The association."""
        return self.hopfield_association.association_core

    norm1 = property(lambda self: self.norm_residual)
    norm2 = property(lambda self: self.norm_output)
    linear1 = property(lambda self: self.linear_residual)
    linear2 = property(lambda self: self.linear_output)

    @property
    def activation_relu_or_gelu(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """1 for relu, 2 for gelu, 0 for others."""
        return {"relu": 1, "gelu": 2}.get(self.settings.activation, 0)


class HopfieldDecoderLayer(_TransformerLayer, DecoderMethods):
    """A transformer decoder layer with Hopfield layers for its attentions.

    Takes the place of ``torch.nn.TransformerDecoderLayer``.

    Parameters
    ----------
    d_model : int or Hopfield
        Depth of the target; or two Hopfield layers, of which copies are taken, followed by
        ``dim_feedforward``, ``dropout`` and ``activation``.
    nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias
        As in ``torch.nn.TransformerDecoderLayer``, with the same defaults.
    **settings
        Of both Hopfield layers, see :class:`hopcore.HopfieldSettings`.

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
    settings: DecoderSettings
    hopfield_association_self: Hopfield
    hopfield_association_cross: Hopfield

    def __init__(self, *args: Any, **arguments: Any) -> None:
        names = "hopfield_association_self", "hopfield_association_cross"
        layers, own, where = arguments_of(names, args, arguments)
        settings = DecoderSettings(hopfield=layers[0].settings, cross=layers[1].settings, **own)
        self._make(settings, dict(zip(names, layers, strict=True)), **where)

    @classmethod
    def of(cls, settings: DecoderSettings, **where: Any) -> HopfieldDecoderLayer:
        """The layer with these settings; ``device`` and ``dtype`` of its parameters."""
        layer = cls.__new__(cls)
        associations = {
            "hopfield_association_self": Hopfield.of(settings.hopfield, **where),
            "hopfield_association_cross": Hopfield.of(settings.cross, **where),
        }
        layer._make(settings, associations, **where)
        return layer

    @classmethod
    def from_transformer(cls, layer: nn.TransformerDecoderLayer) -> HopfieldDecoderLayer:
        """The layer that computes what torch's layer computes, with copies of its parameters."""
        copied = cls(**torch_arguments(layer, layer.self_attn, layer.dropout.p))
        copy_parameters(copied, layer, DECODER)
        return copied.train(layer.training)

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
        own = tgt_key_padding_mask, causal(tgt, tgt_mask, tgt_is_causal, self.batch_first)
        other = (
            memory_key_padding_mask,
            causal(tgt, memory_mask, memory_is_causal, self.batch_first, memory),
        )
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
        if isinstance(input, torch.Tensor):
            tgt_mask = causal(input, tgt_mask, tgt_is_causal, self.batch_first)
        return super().get_association_matrix_self(input, tgt_mask, tgt_key_padding_mask)

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
        if isinstance(input, torch.Tensor) and memory is not None:
            first = self.batch_first
            tgt_mask = causal(input, tgt_mask, tgt_is_causal, first)
            memory_mask = causal(input, memory_mask, memory_is_causal, first, memory)
        paddings = tgt_key_padding_mask, memory_key_padding_mask
        return super().get_association_matrix_cross(input, memory, tgt_mask, memory_mask, *paddings)

    @property
    def self_attn(self) -> HopfieldCore:
        """The association of the target with itself; torch's decoder looks at it."""
        return self.hopfield_association_self.association_core

    @property
    def multihead_attn(self) -> HopfieldCore:
        """The association of the target with the memory."""
        return self.hopfield_association_cross.association_core


def arguments_of(
    names: tuple[str, ...], args: tuple[Any, ...], arguments: dict[str, Any]
) -> tuple[list[Hopfield], dict[str, Any], dict[str, Any]]:
    """Return Hopfield layers, settings of the transformer layer, device and dtype."""
    where = {name: arguments.pop(name) for name in ("device", "dtype") if name in arguments}
    legacy = isinstance((*args, None)[0], Hopfield) or names[0] in arguments
    positional = (*names, "dim_feedforward", "dropout", "activation")
    if not legacy:
        positional = ("d_model", "nhead", "dim_feedforward", *POSITIONAL)
    given = bind_arguments(positional, args, arguments)
    own = {name: given.pop(name, default) for name, default in DEFAULTS.items()}
    batch_first = own.pop("batch_first")
    if not isinstance(own["activation"], str):
        name = getattr(own["activation"], "__name__", "")
        raise TypeError(f"activation must be the name of one, such as 'relu', got {name!r}")
    if legacy:
        missing = [name for name in names if not isinstance(given.get(name), Hopfield)]
        if missing:
            raise TypeError(f"{', '.join(missing)} must be a Hopfield layer")
        layers = [copy.deepcopy(given.pop(name)) for name in names]
        if given:
            raise TypeError(f"a Hopfield layer has its settings already, got {', '.join(given)}")
        return layers, own, where
    if "d_model" not in given or "nhead" not in given:
        raise TypeError(f"needs d_model and nhead, or a Hopfield layer for {' and '.join(names)}")
    settings = {
        "input_size": given.pop("d_model"),
        "num_heads": given.pop("nhead"),
        "batch_first": batch_first,
        "dropout": own["dropout"],
        "input_bias": own["bias"],
        **given,
    }
    return [Hopfield(**settings, **where) for _ in names], own, where


def causal(
    sequence: torch.Tensor,
    mask: torch.Tensor | None,
    is_causal: bool,
    batch_first: bool,
    memory: torch.Tensor | None = None,
) -> torch.Tensor | None:
    """Return the mask that was given, or one that hides what comes later."""
    if mask is not None or not is_causal:
        return mask
    axis = 1 if batch_first and sequence.ndim > 2 else 0
    rows, columns = (x.shape[axis] for x in (sequence, sequence if memory is None else memory))
    return torch.ones(rows, columns, dtype=torch.bool, device=sequence.device).triu(1)


def nested(
    layer: HopfieldEncoderLayer, src: torch.Tensor, mask: torch.Tensor | None, is_causal: bool
) -> torch.Tensor:
    """Apply an encoder layer to a nested tensor: pad it, mask the padding, and nest it again."""
    rows = [len(x) for x in src.unbind()]
    if not any(rows):
        raise ValueError(
            "every sample of the nested tensor is empty: if all is padding, give "
            "torch.nn.TransformerEncoder enable_nested_tensor=False"
        )
    lengths = torch.tensor(rows, device=src.device)
    padded = src.to_padded_tensor(0.0)
    kept = torch.arange(padded.shape[1], device=src.device) < lengths[:, None]
    encoded = layer(padded, mask, ~kept, is_causal)
    if src.layout == torch.jagged:
        samples = [x[:length] for x, length in zip(encoded, rows, strict=True)]
        return torch.nested.as_nested_tensor(samples, layout=torch.jagged)
    join = torch._nested_tensor_from_mask  # pyright: ignore[reportPrivateImportUsage]
    return join(encoded, kept, mask_check=False)
