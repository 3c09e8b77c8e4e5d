"""What transformer layers with Hopfield layers share: how they are made, and their properties."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, ClassVar, Self

import torch
from torch import nn

from hopcore.layers import HopfieldSettings, LookupSettings, bind_arguments, layer_parameters
from hopcore_torch.layers._base import ParameterOwner
from hopcore_torch.layers._core import HopfieldCore
from hopcore_torch.layers._from_torch import copy_parameters, transformer_arguments
from hopcore_torch.layers._hopfield import Hopfield
from hopcore_torch.layers._pooling import HopfieldLayer

Association = Hopfield | HopfieldLayer

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


class TransformerLayer(ParameterOwner):
    """A transformer layer: its associations, linear maps and normalisations by their names."""

    KIND: ClassVar[type]
    TORCH: ClassVar[type]
    """The layer of torch whose place it takes."""
    TORCH_NAMES: ClassVar[dict[str, str]]
    """The names that the layer of torch has for its parts."""

    linear_residual: nn.Linear
    linear_output: nn.Linear
    norm_output: nn.LayerNorm

    def __init__(self, *args: Any, **arguments: Any) -> None:
        parts = self.KIND.PARTS
        layers, own, where = arguments_of(parts, args, arguments)
        inner = {parts[name]: layer.settings for name, layer in layers.items()}
        self._make(self.KIND(**inner, **own), layers, **where)

    @classmethod
    def of(cls, settings: Any, **where: Any) -> Self:
        """The layer with these settings; ``device`` and ``dtype`` of its parameters."""
        layer = cls.__new__(cls)
        kinds: dict[type, Any] = {HopfieldSettings: Hopfield, LookupSettings: HopfieldLayer}
        parts = {name: kinds[type(x)].of(x, **where) for name, x in settings.parts().items()}
        layer._make(settings, parts, **where)
        return layer

    @classmethod
    def _from_transformer(cls, layer: Any) -> Self:
        """The layer that computes what torch's layer computes, with copies of its parameters."""
        if not isinstance(layer, cls.TORCH):
            raise TypeError(
                f"layer must be a torch.nn.{cls.TORCH.__name__}, got {type(layer).__name__}"
            )
        copied = cls(**transformer_arguments(layer))
        copy_parameters(copied, layer, cls.TORCH_NAMES)
        return copied.train(layer.training)

    def _make(self, settings: Any, associations: dict[str, Association], **where: Any) -> None:
        parameters = layer_parameters(settings)
        self._own(settings, [name for name in parameters if "association" not in name])
        hidden, bias = settings.dim_feedforward, settings.bias
        width = settings.association.input_size
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

    def _core(self, name: str) -> HopfieldCore:
        """Return the association of this name, without normalisation."""
        layer = getattr(self, name)
        return (layer.hopfield if isinstance(layer, HopfieldLayer) else layer).association_core

    def _mask(
        self,
        mask: torch.Tensor | None,
        is_causal: bool,
        sequence: torch.Tensor,
        memory: torch.Tensor | None = None,
    ) -> torch.Tensor | None:
        """Return the mask that was given, or one that hides what comes later."""
        if mask is not None or not is_causal:
            return mask
        if memory is None and self.settings.looks_up:
            raise ValueError(
                "is_causal hides what comes later in a sequence that associates with itself; a "
                "HopfieldLayer associates it with learned patterns: leave is_causal out"
            )
        axis = 1 if self.batch_first and sequence.ndim > 2 else 0
        rows, columns = (x.shape[axis] for x in (sequence, sequence if memory is None else memory))
        return torch.ones(rows, columns, dtype=torch.bool, device=sequence.device).triu(1)

    @property
    def batch_first(self) -> bool:
        """Whether sequences are ``(B, L, d)``."""
        return self.settings.association.batch_first

    @property
    def input_size(self) -> int | None:
        """Depth of the sequences."""
        return self.settings.association.input_size

    @property
    def output_size(self) -> int | None:
        """Depth of the output."""
        return self.settings.association.input_size

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


def arguments_of(
    parts: Iterable[str], args: tuple[Any, ...], arguments: dict[str, Any]
) -> tuple[dict[str, Association], dict[str, Any], dict[str, Any]]:
    """Return associations by name, settings of the transformer layer, device and dtype."""
    names = tuple(parts)
    where = {name: arguments.pop(name) for name in ("device", "dtype") if name in arguments}
    legacy = isinstance((*args, None)[0], nn.Module) or names[0] in arguments
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
        layers = {name: association_of(name, given.pop(name, None)) for name in names}
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
    return {name: Hopfield(**settings, **where) for name in names}, own, where


def association_of(name: str, layer: Any) -> Association:
    """Return a copy of a layer that a user gave as the association of this name."""
    if isinstance(layer, HopfieldLayer) and name.endswith("_cross"):
        raise TypeError(
            f"{name} must be a Hopfield layer: a HopfieldLayer has a memory of its own and would "
            "not look at the memory that a decoder layer is given"
        )
    if not isinstance(layer, Association):
        kinds = "a Hopfield layer" if name.endswith("_cross") else "a Hopfield or a HopfieldLayer"
        raise TypeError(f"{name} must be {kinds}, got {type(layer).__name__}")
    return copy.deepcopy(layer)
