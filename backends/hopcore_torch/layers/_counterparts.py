"""Layers of torch as layers of hopcore that have the same parameters, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from hopcore.layers import HopfieldSettings
from hopcore_torch.layers._decoder import HopfieldDecoderLayer
from hopcore_torch.layers._encoder import HopfieldEncoderLayer
from hopcore_torch.layers._from_torch import (
    attention_arguments,
    has_hooks,
    renamed_parameters,
    torch_arguments,
)
from hopcore_torch.layers._hopfield import Hopfield
from hopcore_torch.layers._multihead import HopfieldAttention

TransformerLayer = HopfieldEncoderLayer | HopfieldDecoderLayer

LAYERS: dict[type, type[TransformerLayer]] = {
    nn.TransformerEncoderLayer: HopfieldEncoderLayer,
    nn.TransformerDecoderLayer: HopfieldDecoderLayer,
}
"""The layers of torch that are replaced as a whole, and those that take their place."""

ATTENTION = {"hopfield.association_core": ""}
"""Where the parameters of attention are in the module that takes its place."""

PARTS = {
    "self_attn": nn.MultiheadAttention,
    "linear1": nn.Linear,
    "norm1": nn.LayerNorm,
    "dropout": nn.Dropout,
}
"""The parts of torch's layers that say what its options are."""

METHODS = {"forward", "_sa_block", "_mha_block", "_ff_block"}
"""The methods that say what a module computes."""


def is_plain(layer: nn.Module, uses: Mapping[int, int]) -> bool:
    """Whether torch's transformer layer has nothing that the layer of hopcore would lack.

    ``uses`` counts the places of each module in the model, since attention that is shared by
    layers must stay so.
    """
    given: Any = layer
    if type(layer) not in LAYERS or any(type(getattr(given, k)) is not x for k, x in PARTS.items()):
        return False
    usual = given.activation in (F.relu, torch.relu, F.gelu)
    exact = type(given.activation) is nn.GELU and given.activation.approximate == "none"
    if not (usual or exact or type(given.activation) is nn.ReLU):
        return False
    attentions = [x for x in layer.modules() if isinstance(x, nn.MultiheadAttention)]
    if any(uses[id(attention)] > 1 for attention in attentions) or changed(layer):
        return False
    plain = plain_layer(given)
    theirs = [x for x in plain.modules() if isinstance(x, nn.MultiheadAttention)]
    names = "num_heads", "batch_first", "dropout", "add_zero_attn"
    return same_parts(layer, plain) and all(
        type(one) is nn.MultiheadAttention and getattr(one, name) == getattr(other, name)
        for one, other in zip(attentions, theirs, strict=True)
        for name in names
    )


def plain_layer(layer: Any) -> nn.Module:
    """Return torch's layer with the options that another says it has, without parameters."""
    given = torch_arguments(layer)
    names = (
        "d_model", "nhead", "dim_feedforward", "dropout", "layer_norm_eps", "batch_first",
        "norm_first", "bias",
    )  # fmt: skip
    options = {name: given[name] for name in names}
    return type(layer)(**options, activation=layer.activation, device="meta")


def changed(layer: nn.Module) -> bool:
    """Whether a module has hooks, methods of its own, or parts in another mode."""
    modules = list(layer.modules())
    methods = any(METHODS & vars(module).keys() for module in modules)
    modes = any(module.training != layer.training for module in modules)
    return methods or modes or has_hooks(layer)


def same_parts(layer: nn.Module, other: nn.Module) -> bool:
    """Whether two modules show the same parts and have parameters of the same names and shapes."""
    shapes = [{k: x.shape for k, x in one.state_dict().items()} for one in (layer, other)]
    return shapes[0] == shapes[1] and repr(layer) == repr(other)


def hopfield_layer_of(layer: nn.Module, options: Mapping[str, Any]) -> nn.Module:
    """Return the layer of hopcore that takes the place of torch's transformer layer."""
    kind = LAYERS[type(layer)]
    arguments = {**torch_arguments(layer), **options}
    return sharing(lambda: kind(**arguments), layer, kind.TORCH_NAMES)


def hopfield_attention_of(
    attention: nn.MultiheadAttention, options: Mapping[str, Any]
) -> HopfieldAttention:
    """Return the module that takes the place of torch's attention."""
    arguments = {**attention_arguments(attention), **options}
    return sharing(lambda: HopfieldAttention(Hopfield(**arguments)), attention, ATTENTION)


def sharing(make: Callable[[], Any], layer: nn.Module, names: dict[str, str]) -> Any:
    """Return a new module with the parameters of torch's layer, without drawing random numbers."""
    devices = {x.device for x in layer.parameters() if x.device.type == "cuda"}
    with torch.random.fork_rng(list(devices)):
        made = make()
    for ours, theirs in renamed_parameters(layer, names).items():
        put(made, ours, layer.get_parameter(theirs))
    return made.train(layer.training)


def put(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
    """Set a parameter that a module has, by its dotted name."""
    path, _, leaf = name.rpartition(".")
    module.get_parameter(name)
    setattr(module.get_submodule(path), leaf, parameter)


def attention_of(module: HopfieldAttention) -> nn.MultiheadAttention:
    """Return torch's attention that computes what a module does, with its parameters."""
    settings = module.hopfield.settings
    check_layer(module, HopfieldAttention(Hopfield.of(settings, device="meta")))
    check_association(module.hopfield)
    attention = nn.MultiheadAttention(
        settings.input_size,
        settings.num_heads,
        dropout=settings.dropout,
        bias=settings.input_bias,
        add_bias_kv=settings.concat_bias_pattern,
        add_zero_attn=settings.add_zero_association,
        kdim=settings.stored_size,
        vdim=settings.projection_size,
        batch_first=settings.batch_first,
        device="meta",
    )
    return restored(attention, module, ATTENTION)


def transformer_of(layer: TransformerLayer) -> nn.Module:
    """Return torch's transformer layer that computes what a layer does, with its parameters."""
    settings = layer.settings
    check_layer(layer, type(layer).of(settings, device="meta"))
    if settings.activation not in ("relu", "gelu"):
        raise ValueError(f"torch's layer has no activation={settings.activation!r}")
    for name in settings.PARTS:
        association = getattr(layer, name)
        check_association(association)
        shared = {"dropout": settings.dropout, "input_bias": settings.bias}
        shared |= {"concat_bias_pattern": False, "add_zero_association": False}
        own = settings.association.input_size
        shared |= {"stored_size": own, "projection_size": own}
        refuse({k: getattr(association.settings, k) for k in shared}, shared)
    inner = settings.association
    made = type(layer).TORCH(
        inner.input_size,
        inner.num_heads,
        settings.dim_feedforward,
        settings.dropout,
        settings.activation,
        settings.layer_norm_eps,
        inner.batch_first,
        settings.norm_first,
        settings.bias,
        device="meta",
    )
    return restored(made, layer, type(layer).TORCH_NAMES)


def restored(made: Any, layer: nn.Module, names: dict[str, str]) -> Any:
    """Return torch's new layer with the parameters of hopcore's layer."""
    for ours, theirs in renamed_parameters(made, names).items():
        put(made, theirs, layer.get_parameter(ours))
    return made.train(layer.training)


def check_layer(layer: nn.Module, plain: nn.Module) -> None:
    """Raise an error if a layer was changed after it was made."""
    if type(layer) is not type(plain) or changed(layer) or not same_parts(layer, plain):
        raise ValueError(
            "it has hooks, methods or parts of its own, which torch's layer would lack"
        )


def check_association(layer: nn.Module) -> None:
    """Raise an error if an association is not what torch's attention computes."""
    if type(layer) is not Hopfield:
        raise TypeError(f"torch has no counterpart of a {type(layer).__name__}")
    settings = layer.settings
    if settings.input_size is None or settings.input_size % settings.num_heads:
        raise ValueError(
            f"torch's attention needs input_size that num_heads={settings.num_heads} divides, "
            f"got {settings.input_size}"
        )
    size = settings.input_size // settings.num_heads
    free = {"input_size", "num_heads", "stored_pattern_size", "pattern_projection_size"}
    free |= {"batch_first", "dropout", "input_bias", "concat_bias_pattern", "add_zero_association"}
    free |= {"update_steps_eps", "scaling", "hidden_size", "output_size"}
    free |= {x.name for x in fields(HopfieldSettings) if x.name.endswith(("_affine", "_eps"))}
    wanted = {x.name: x.default for x in fields(HopfieldSettings) if x.name not in free}
    wanted.update({name: False for name in wanted if name.startswith("normalize_")})
    wanted.update(head_size=size, out_size=settings.input_size)
    refuse({name: getattr(settings, name) for name in wanted}, wanted)
    usual = replace(settings, scaling=None).beta
    if isinstance(layer.scaling, torch.Tensor) or layer.scaling != usual:
        raise ValueError(f"torch's attention has no scaling={layer.scaling}, only {usual}")


def refuse(given: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise an error for settings that torch's attention does not have."""
    other = [f"{name}={x!r}" for name, x in given.items() if x != wanted[name]]
    if other:
        raise ValueError(f"torch's layer has no {', '.join(other[:3])}")
