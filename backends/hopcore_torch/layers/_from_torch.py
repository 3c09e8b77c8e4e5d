"""Translate the arguments and parameters of torch's own layers into those of hopcore's layers."""

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

HOOKS = "_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks"
"""Where a module of torch keeps its hooks."""


def torch_arguments(layer: Any) -> dict[str, Any]:
    """Return the arguments with which a transformer layer computes what torch's layer does."""
    attention = layer.self_attn
    name = getattr(layer.activation, "__name__", type(layer.activation).__name__).lower()
    approximate = getattr(layer.activation, "approximate", "none")
    if approximate != "none":
        raise ValueError(f"activation must be the exact gelu, got approximate={approximate!r}")
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


def attention_arguments(attention: nn.MultiheadAttention) -> dict[str, Any]:
    """Return the arguments with which a Hopfield layer computes what attention does."""
    check_attention(attention)
    weight = attention.out_proj.weight
    return {
        "input_size": attention.embed_dim,
        "num_heads": attention.num_heads,
        "stored_pattern_size": attention.kdim,
        "pattern_projection_size": attention.vdim,
        "batch_first": attention.batch_first,
        "dropout": attention.dropout,
        "input_bias": attention.in_proj_bias is not None,
        "concat_bias_pattern": attention.bias_k is not None,
        "add_zero_association": attention.add_zero_attn,
        **PLAIN,
        "device": weight.device,
        "dtype": weight.dtype,
    }


def check_attention(attention: nn.MultiheadAttention) -> None:
    """Raise an error if attention does not compute what its options say."""
    kind = type(attention)
    if not isinstance(attention, nn.MultiheadAttention):
        raise TypeError(f"attention must be a torch.nn.MultiheadAttention, got {kind.__name__}")
    forward = nn.MultiheadAttention.forward
    if kind.forward is not forward or "forward" in vars(attention):
        raise TypeError(f"attention must have the forward of torch, got one of {kind.__name__}")
    plain = nn.MultiheadAttention(
        attention.embed_dim,
        attention.num_heads,
        bias=attention.in_proj_bias is not None,
        add_bias_kv=attention.bias_k is not None,
        kdim=attention.kdim,
        vdim=attention.vdim,
        device="meta",
    )
    wanted, given = (
        {k: x.shape for k, x in one.state_dict().items()} for one in (plain, attention)
    )
    if wanted != given:
        other = sorted(k for k in {*wanted, *given} if wanted.get(k) != given.get(k))
        raise ValueError(
            "attention must have the parameters that its options say, but it differs in "
            f"{', '.join(other[:3])}: make what parametrize, prune or an adapter computes permanent"
        )
    if has_hooks(attention):
        raise ValueError("attention has hooks, which a copy would lack: remove them first")


def has_hooks(layer: nn.Module) -> bool:
    """Whether hooks are called with a module or one within."""
    return any(getattr(module, name) for module in layer.modules() for name in HOOKS)


def copy_parameters(target: nn.Module, layer: nn.Module, names: dict[str, str]) -> None:
    """Copy the parameters of torch's layer under their new names; frozen ones stay frozen."""
    given, renamed = layer.state_dict(), renamed_parameters(layer, names)
    target.load_state_dict({ours: given[theirs] for ours, theirs in renamed.items()}, strict=True)
    for ours, theirs in renamed.items():
        trained = layer.get_parameter(theirs).requires_grad
        target.get_parameter(ours).requires_grad_(trained)


def renamed_parameters(layer: nn.Module, names: dict[str, str]) -> dict[str, str]:
    """Return the names of the parameters of torch's layer by their names in hopcore's layer."""
    renamed = {}
    for ours, theirs in names.items():
        inner = f"{ours}.association_core" if "hopfield_association" in ours else ours
        before = f"{theirs}." if theirs else ""
        for name in layer.state_dict():
            if name.startswith(before):
                renamed[f"{inner}.{name.removeprefix(before)}"] = name
    return renamed
