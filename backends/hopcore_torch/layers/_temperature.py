"""Attention that learns its temperature, and a temperature that layers share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import nn

from hopcore import LearnableTemperature
from hopcore.layers import (
    CORE,
    attention_mask,
    attention_patterns,
    attention_settings,
    named_arguments,
    suggest_names,
)
from hopcore.memory import LearnableAlpha, SeparationName, Similarity, Statistics
from hopcore_torch.layers._base import Device
from hopcore_torch.layers._hopfield import Hopfield

Layers = TypeVar("Layers", bound=nn.Module | Sequence[nn.Module])


class LearnableTemperatureAttention(Hopfield):
    """Multi-head attention whose temperature is learned and stays positive.

    Scores are divided by ``softplus(theta)``, which starts at exactly ``init_temp_factor`` times
    the usual ``sqrt(d_model / num_heads)``; see :class:`hopcore.LearnableTemperature`.

    Parameters
    ----------
    d_model, num_heads : int
        The number of features of the sequence, and the number of heads.
    init_temp_factor : float or tuple of float
        The initial temperature; a tuple has one for each head.
    per_head : bool
        Whether each head learns its own temperature.
    shared : bool
        Whether to multiply by a second temperature, which layers may share
        (:func:`share_temperature`).
    separation : str or float
    similarity : {"dot", "distance"}
        As in :class:`hopcore.HopfieldSettings`.
    device, dtype
        The device and the dtype of the parameters.
    dropout, bias, add_bias_kv, add_zero_attn, kdim, vdim, head_dim, pattern_dim, out_dim
    disable_out_projection, key_as_static, query_as_static, value_as_static, value_as_connected
    normalize_pattern, normalize_pattern_affine, normalize_pattern_eps
        As in :class:`HopfieldCore`.

    Notes
    -----
    The layer is a :class:`Hopfield` layer without normalisation, and is saved as one:
    ``load_layer`` returns a :class:`Hopfield`, and ``of`` takes its ``settings``.

    Examples
    --------
    >>> import torch
    >>> from hopcore_torch import LearnableTemperatureAttention
    >>> layer = LearnableTemperatureAttention(16, 4, init_temp_factor=2.0)
    >>> layer(torch.ones(3, 5, 16), torch.ones(3, 7, 16)).shape
    torch.Size([3, 5, 16])
    >>> round(layer.temperature.item(), 6)
    4.0
    """

    @suggest_names
    def __init__(
        self,
        d_model: int,
        num_heads: int,
        init_temp_factor: float | tuple[float, ...] = 1.0,
        per_head: bool = False,
        shared: bool = False,
        *,
        separation: SeparationName | float | LearnableAlpha = "softmax",
        similarity: Similarity = "dot",
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
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        learned = LearnableTemperature(factor=init_temp_factor, per_head=per_head, shared=shared)
        arguments = named_arguments(CORE, locals())
        settings = attention_settings(d_model, learned, separation, similarity, arguments)
        self._make(settings, None, device=device, dtype=dtype)

    @suggest_names
    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor | None = None,
        value: torch.Tensor | None = None,
        key_padding_mask: torch.Tensor | None = None,
        attn_mask: torch.Tensor | None = None,
        *,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the association of queries ``(..., L, d)`` with keys and values ``(..., S, d)``.

        The default of the keys is the queries, and the default of the values is the keys. Masks are
        True for keys that are ignored, or numbers that are added to the scores.

        ``mask`` has the opposite meaning: True, or not 0, where a query may attend to a key, as in
        :func:`hopcore.association`. It broadcasts to ``(..., H, L, S)`` and is instead of
        ``attn_mask``.
        """
        masks = key_padding_mask, attention_mask(attn_mask, mask)
        return super().forward(attention_patterns(query, key, value), *masks)

    @suggest_names
    def association_weights(
        self,
        query: torch.Tensor,
        key: torch.Tensor | None = None,
        value: torch.Tensor | None = None,
        key_padding_mask: torch.Tensor | None = None,
        attn_mask: torch.Tensor | None = None,
        *,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return how much each query of each head attends to each key, ``(..., H, L, S)``."""
        masks = key_padding_mask, attention_mask(attn_mask, mask)
        return super().association_weights(attention_patterns(query, key, value), *masks)

    @suggest_names
    def statistics(
        self,
        query: torch.Tensor,
        key: torch.Tensor | None = None,
        value: torch.Tensor | None = None,
        key_padding_mask: torch.Tensor | None = None,
        attn_mask: torch.Tensor | None = None,
        *,
        mask: torch.Tensor | None = None,
    ) -> Statistics[torch.Tensor]:
        """Return the statistics of each head, see :meth:`Hopfield.statistics`."""
        masks = key_padding_mask, attention_mask(attn_mask, mask)
        return super().statistics(attention_patterns(query, key, value), *masks)

    @torch.no_grad()
    def get_association_matrix(
        self,
        query: torch.Tensor,
        key: torch.Tensor | None = None,
        value: torch.Tensor | None = None,
        key_padding_mask: torch.Tensor | None = None,
        attn_mask: torch.Tensor | None = None,
        *,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """:meth:`association_weights` without a gradient."""
        return self.association_weights(query, key, value, key_padding_mask, attn_mask, mask=mask)


def share_temperature(layers: Layers, theta: nn.Parameter | None = None) -> Layers:
    """Let layers share one temperature, which is one parameter, tied in place.

    Parameters
    ----------
    layers : torch.nn.Module, or sequence of them
        Each is, or contains, layers whose ``scaling`` is a ``LearnableTemperature(shared=True)``.
        Tie them before you make the optimiser.
    theta : torch.nn.Parameter, optional
        The parameter ``()`` whose softplus is the shared temperature; the default is that of the
        first layer.

    Returns
    -------
    The layers.

    Raises
    ------
    ValueError
        A layer has no shared temperature, or theta is not a single number.

    Examples
    --------
    >>> import torch
    >>> from hopcore_torch import LearnableTemperatureAttention, share_temperature
    >>> layers = [LearnableTemperatureAttention(8, 2, shared=True) for _ in range(3)]
    >>> first, *others = share_temperature(layers)
    >>> all(layer.shared_temperature is first.shared_temperature for layer in others)
    True
    """
    hopfields = []
    for layer in [layers] if isinstance(layers, nn.Module) else layers:
        inner = [one for one in layer.modules() if isinstance(one, Hopfield)]
        within = [one for one in inner if "shared_temperature" in one.arrays()]
        if not within:
            raise ValueError(
                f"{type(layer).__name__} has no shared temperature: "
                "scaling=LearnableTemperature(shared=True)"
            )
        hopfields += within
    if theta is None and hopfields:
        theta = hopfields[0].shared_temperature
    if theta is not None and (not isinstance(theta, nn.Parameter) or theta.ndim):
        raise ValueError("theta must be a torch.nn.Parameter of shape ()")
    for one in hopfields:
        one.shared_temperature = theta
    return layers
