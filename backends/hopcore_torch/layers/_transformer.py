"""What transformer layers with Hopfield layers share: how they are made, and their properties."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import wraps
from typing import Any, ClassVar, Self, TypeVar, cast

import torch
from torch import nn

from hopcore.layers import (
    HopfieldSettings,
    LookupSettings,
    layer_parameters,
    named_arguments,
    transformer_arguments,
)
from hopcore_torch.layers._base import AssociationMask, Device, ParameterOwner
from hopcore_torch.layers._core import HopfieldCore
from hopcore_torch.layers._from_torch import copy_parameters, torch_arguments
from hopcore_torch.layers._hopfield import Hopfield
from hopcore_torch.layers._pooling import HopfieldLayer

Association = Hopfield | HopfieldLayer

Constructor = TypeVar("Constructor", bound=Callable[..., None])


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

    def _construct(self, scope: Mapping[str, Any]) -> None:
        """Make the layer from the arguments of its constructor, ``locals()``."""
        parts, where = self.KIND.PARTS, named_arguments(("device", "dtype"), scope)
        own, layers = arguments_of(parts, scope, where)
        inner = {parts[name]: layer.settings for name, layer in layers.items()}
        self._make(self.KIND(**inner, **own), layers, **where)

    @classmethod
    def of(cls, settings: Any, *, device: Device = None, dtype: torch.dtype | None = None) -> Self:
        """Return the layer with these settings, with parameters of this device and dtype."""
        layer = cls.__new__(cls)
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        kinds: dict[type, Any] = {HopfieldSettings: Hopfield, LookupSettings: HopfieldLayer}
        parts = {name: kinds[type(x)].of(x, **where) for name, x in settings.parts().items()}
        layer._make(settings, parts, **where)
        return layer

    @classmethod
    def _from_transformer(cls, layer: Any) -> Self:
        """Return a layer that computes the same as torch's, with copies of its parameters."""
        if not isinstance(layer, cls.TORCH) or isinstance(layer, TransformerLayer):
            raise TypeError(
                f"layer must be a torch.nn.{cls.TORCH.__name__}, got {type(layer).__name__}"
            )
        copied = cls(**torch_arguments(layer))
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
        *,
        cross: bool = False,
    ) -> AssociationMask | None:
        """Return the mask that was given, or ``"causal"`` to hide what comes later."""
        if mask is not None or not is_causal:
            return mask
        if not cross and self.settings.looks_up:
            raise ValueError(
                "is_causal hides what comes later in a sequence that associates with itself; a "
                "HopfieldLayer associates it with learned patterns: leave is_causal out"
            )
        return "causal"

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


def accept_layers(*names: str) -> Callable[[Constructor], Constructor]:
    """Decorate a constructor that also takes layers first, as that of hopfield-layers does.

    After layers of these names, ``dim_feedforward``, ``dropout`` and ``activation`` may follow by
    position.
    """
    places = (*names, "dim_feedforward", "dropout", "activation")

    def decorate(constructor: Constructor) -> Constructor:
        @wraps(constructor)
        def construct(self: Any, *args: Any, **arguments: Any) -> None:
            if args and isinstance(args[0], nn.Module):
                twice = [name for name in places[: len(args)] if name in arguments]
                if twice:
                    raise TypeError(f"{', '.join(twice)} given twice")
                if len(args) > len(places):
                    raise TypeError(f"at most {len(places)} arguments by place, got {len(args)}")
                arguments.update(zip(places, args, strict=False))
                args = ()
            constructor(self, *args, **arguments)

        return cast(Constructor, construct)

    return decorate


def arguments_of(
    parts: Iterable[str], scope: Mapping[str, Any], where: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Association]]:
    """Return settings of a transformer layer, and its associations by name."""
    names = tuple(parts)
    own, inner = transformer_arguments(scope)
    if not isinstance(own["activation"], str):
        name = getattr(own["activation"], "__name__", "")
        raise TypeError(
            "activation must be the name of one, such as 'relu', got the function "
            f"{name or own['activation']!r}"
        )
    if scope[names[0]] is not None:
        refuse_settings(scope)
        return own, {name: association_of(name, scope[name]) for name in names}
    others = [name for name in names if scope[name] is not None]
    if scope["d_model"] is None or scope["nhead"] is None or others:
        raise TypeError(f"needs d_model and nhead, or a Hopfield layer for {' and '.join(names)}")
    return own, {name: Hopfield(**inner, **where) for name in names}


def refuse_settings(scope: Mapping[str, Any]) -> None:
    """Raise if settings of a Hopfield layer are given beside the layer itself."""
    usual = {field.name: field.default for field in fields(HopfieldSettings)}
    usual.update(d_model=None, nhead=None, input_bias=None)
    for name in ("dropout", "batch_first"):  # they are arguments of the transformer layer, too
        del usual[name]
    given = [
        name
        for name, default in usual.items()
        if name in scope and (type(scope[name]) is not type(default) or scope[name] != default)
    ]
    if given:
        raise TypeError(f"a Hopfield layer has its settings already, got {', '.join(given)}")


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
