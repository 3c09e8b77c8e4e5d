"""The association of a Hopfield layer as a separate module, and its parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import torch
from torch import nn

import hopcore
from hopcore.layers import (
    CORE,
    CoreProperties,
    HopfieldSettings,
    as_numbers,
    core_settings,
    layer_parameters,
    named_arguments,
    suggest_names,
)
from hopcore_torch.layers._base import (
    Device,
    ParameterOwner,
    dropout,
    split_scaling,
    start,
    tensor,
)

PREFIX = "association_core."
NAMES = (
    "p_norm_weight", "p_norm_bias",
    "in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_bias",
    "bias_k", "bias_v",
)  # fmt: skip


class HopfieldCore(ParameterOwner, CoreProperties):
    """Association in several heads without normalisation, like ``torch.nn.MultiheadAttention``.

    As in hopfield-layers, the scores are **not divided** by the square root of the size of a head.
    With the state dict of a ``torch.nn.MultiheadAttention``, the module computes the same if it is
    called with ``scaling=head_dim ** -0.5``. :meth:`Hopfield.from_multihead_attention` makes a
    layer with this scaling.

    Parameters
    ----------
    embed_dim : int, optional
        The number of features of the queries.
    num_heads, dropout, bias, add_bias_kv, add_zero_attn, kdim, vdim
        As in ``torch.nn.MultiheadAttention``.
    head_dim, pattern_dim, out_dim : int, optional
        The number of features of the association space, of the values of a head, and of the output.
    disable_out_projection, key_as_static, query_as_static, value_as_static, value_as_connected
        As in :class:`hopcore.HopfieldSettings`, under other names.
    normalize_pattern, normalize_pattern_affine, normalize_pattern_eps
        Normalisation in the association space.
    batch_first : bool
        Whether inputs have the shape ``(N, L, E)``, and otherwise ``(L, N, E)``.
    device, dtype
        The device and the dtype of the parameters.

    Examples
    --------
    >>> import torch
    >>> from hopcore_torch import HopfieldCore
    >>> core = HopfieldCore(embed_dim=8, num_heads=2)
    >>> output, weights, *_ = core(*3 * [torch.ones(5, 3, 8)])
    >>> output.shape, weights.shape
    (torch.Size([5, 3, 8]), torch.Size([3, 5, 5]))
    """

    @suggest_names
    def __init__(
        self,
        embed_dim: int | None = None,
        num_heads: int = 1,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        head_dim: int | None = None,
        pattern_dim: int | None = None,
        out_dim: int | None = None,
        disable_out_projection: bool = False,
        key_as_static: bool = False,
        query_as_static: bool = False,
        value_as_static: bool = False,
        value_as_connected: bool = False,
        normalize_pattern: bool = False,
        normalize_pattern_affine: bool = False,
        normalize_pattern_eps: float = 1e-5,
        *,
        batch_first: bool = False,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        settings = core_settings(named_arguments(CORE, locals()), batch_first=batch_first)
        self._make(settings, device=device, dtype=dtype)

    @classmethod
    def of(
        cls,
        settings: HopfieldSettings,
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> Self:
        """The association of a layer with these settings."""
        plain = replace(
            settings,
            **{f"normalize_{name}": False for name in ("stored_pattern", "state_pattern")},
            normalize_pattern_projection=False,
            association_activation=None,
            diffusion=None,
            scaling=settings.beta,
            learnable_scaling=False,
            separation=getattr(settings.separation, "first", settings.separation),
        )
        layer = cls.__new__(cls)
        layer._make(plain, device=device, dtype=dtype)
        return layer

    def _make(self, settings: HopfieldSettings, **where: Any) -> None:
        parameters = layer_parameters(settings)
        self._own(settings, parameters, PREFIX)
        for name in NAMES:
            parameter = parameters.get(PREFIX + name)
            self.register_parameter(name, parameter and tensor(parameter, **where))
        weight = parameters.get(f"{PREFIX}out_proj.weight")
        self.out_proj = None
        if weight is not None:
            rows, columns = weight.shape
            self.out_proj = nn.Linear(columns, rows, bias=settings.input_bias, **where)
        self.reset_parameters()
        self._watch()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the parameters again."""
        parameters = layer_parameters(self.settings)
        start(self, {name.removeprefix(PREFIX): x for name, x in parameters.items()}, generator)

    def extra_repr(self) -> str:
        """Show no settings, because the outer layer shows them."""
        return ""

    @suggest_names
    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
        need_weights: bool = True,
        attn_mask: torch.Tensor | None = None,
        scaling: Any = None,
        update_steps_max: Any = 0,
        update_steps_eps: Any = 1e-4,
        return_raw_associations: bool = False,
        return_pattern_projections: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
        """Return the output and, if asked for, weights of all heads together, of each, and values.

        Masks are True for patterns that are ignored, or numbers that are added to the scores.
        ``scaling`` is the inverse temperature, by default 1: unlike in
        ``torch.nn.MultiheadAttention``, the scores are not divided by the square root of the size
        of a head.
        """
        changes, parameter = split_scaling({"scaling": 1.0 if scaling is None else scaling})
        arrays = self.arrays()
        if parameter is None:
            changes["scaling"] = as_numbers(changes["scaling"])
        else:
            arrays["scaling"], changes = parameter, {}
        settings = replace(
            self.settings,
            update_steps_max=as_numbers(update_steps_max),
            update_steps_eps=as_numbers(update_steps_eps),
            **changes,
        )
        masks: dict[str, Any] = {
            "stored_pattern_padding_mask": key_padding_mask,
            "association_mask": attn_mask,
        }
        patterns = settings, arrays, key, query, value
        output = hopcore.hopfield(*patterns, **masks, drop=dropout(self, settings.dropout))
        weights = raw = projections = None
        if need_weights or return_raw_associations:
            raw = hopcore.layers.hopfield_weights(*patterns, **masks)
            weights = raw.mean(-3) if need_weights else None
        if return_pattern_projections:
            projections = hopcore.layers.hopfield_projections(*patterns)
        return output, weights, raw if return_raw_associations else None, projections

    @property
    def _qkv_same_embed_dim(self) -> bool:
        return self.settings.packed
