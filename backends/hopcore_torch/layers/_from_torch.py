"""Torch's own transformer layers: their arguments and parameters, as hopcore's layers have them."""

from __future__ import annotations

from typing import Any

from torch import nn

ENCODER = {
    "hopfield_association": "self_attn",
    "linear_residual": "linear1",
    "linear_output": "linear2",
    "norm_residual": "norm1",
    "norm_output": "norm2",
}
DECODER = {
    "hopfield_association_self": "self_attn",
    "hopfield_association_cross": "multihead_attn",
    "linear_residual": "linear1",
    "linear_output": "linear2",
    "norm_residual_self": "norm1",
    "norm_residual_cross": "norm2",
    "norm_output": "norm3",
}


PLAIN = {
    "normalize_stored_pattern": False,
    "normalize_state_pattern": False,
    "normalize_pattern_projection": False,
}
"""Settings with which a Hopfield layer is attention."""


def transformer_arguments(layer: Any) -> dict[str, Any]:
    """Return the arguments with which a transformer layer computes what torch's layer does."""
    attention = layer.self_attn
    name = getattr(layer.activation, "__name__", type(layer.activation).__name__).lower()
    weight = layer.linear1.weight
    return {
        "d_model": attention.embed_dim,
        "nhead": attention.num_heads,
        "dim_feedforward": layer.linear1.out_features,
        "dropout": layer.dropout.p,
        "activation": name,
        "layer_norm_eps": layer.norm1.eps,
        "batch_first": attention.batch_first,
        "norm_first": layer.norm_first,
        "bias": layer.linear1.bias is not None,
        **PLAIN,
        "device": weight.device,
        "dtype": weight.dtype,
    }


def copy_parameters(target: nn.Module, layer: nn.Module, names: dict[str, str]) -> None:
    """Copy the parameters of torch's layer, whose parts have other names."""
    given = layer.state_dict()
    renamed = {}
    for ours, theirs in names.items():
        inner = f"{ours}.association_core" if "association" in ours else ours
        for name, value in given.items():
            if name.startswith(f"{theirs}."):
                renamed[inner + name.removeprefix(theirs)] = value
    target.load_state_dict(renamed, strict=True)
