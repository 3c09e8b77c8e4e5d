"""Layers that learn one side of the association: pooling learns queries, lookup a memory."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import torch
from torch import nn

from hopcore import DiffusionConfig
from hopcore.layers import (
    ActivationName,
    HopfieldSettings,
    LearnedPatternMethods,
    LookupSettings,
    PoolingSettings,
    flattened,
    hopfield_settings,
    layer_parameters,
    learned,
    named_arguments,
    quantity_of,
    suggest_names,
)
from hopcore.memory import LearnableAlpha, SeparationName, Similarity
from hopcore_torch.kernels._modes import traced
from hopcore_torch.layers._base import Device, ParameterOwner, Scaling, split_scaling, tensor
from hopcore_torch.layers._hopfield import Hopfield


class _Learned(ParameterOwner, LearnedPatternMethods):
    """The base of pooling and lookup: a Hopfield layer, and learned patterns."""

    hopfield: Hopfield

    def _make(self, settings: Any, scaling: nn.Parameter | None, **where: Any) -> None:
        self._own(settings, layer_parameters(settings))
        self.hopfield = Hopfield.of(settings.hopfield, scaling, **where)
        for name in ("pooling_weights", "lookup_weights", "target_weights"):
            parameter = layer_parameters(settings).get(name)
            if parameter is not None:
                self.register_parameter(name, tensor(parameter, **where))
            elif name == "target_weights":
                self.register_parameter(name, None)
        self.reset_parameters()

    @classmethod
    def of(cls, settings: Any, *, device: Device = None, dtype: torch.dtype | None = None) -> Self:
        """Return the layer with these settings, with parameters of this device and dtype."""
        layer = cls.__new__(cls)
        layer._make(settings, None, device=device, dtype=dtype)
        return layer


class HopfieldPooling(_Learned):
    """Hopfield pooling: the association of learned states with a set of any size.

    Parameters
    ----------
    input_size : int
        The number of features of the set and of the states.
    quantity : int
        The number of learned states.
    trainable : bool
        Whether the learned states are trained.
    hidden_size, output_size, pattern_size, num_heads, scaling, update_steps_max, update_steps_eps
    learnable_scaling, separation, similarity, association_activation, dropout, input_bias
    batch_first
    normalize_stored_pattern, normalize_stored_pattern_affine, normalize_stored_pattern_eps
    normalize_state_pattern, normalize_state_pattern_affine, normalize_state_pattern_eps
    normalize_pattern_projection, normalize_pattern_projection_affine
    normalize_pattern_projection_eps
    normalize_hopfield_space, normalize_hopfield_space_affine, normalize_hopfield_space_eps
    stored_pattern_as_static, state_pattern_as_static, pattern_projection_as_static
    pattern_projection_as_connected, stored_pattern_size, pattern_projection_size
    concat_bias_pattern, add_zero_association, disable_out_projection
    diffusion, device, dtype
        As in :class:`Hopfield`.

    Examples
    --------
    >>> import torch
    >>> from hopcore_torch import HopfieldPooling
    >>> HopfieldPooling(input_size=8, num_heads=2, quantity=2)(torch.ones(3, 50, 8)).shape
    torch.Size([3, 16])
    """

    KIND: ClassVar[type] = PoolingSettings
    pooling_weights: nn.Parameter

    @suggest_names
    def __init__(
        self,
        input_size: int | None = None,
        hidden_size: int | None = None,
        output_size: int | None = None,
        pattern_size: int | None = None,
        num_heads: int = 1,
        scaling: Scaling | None = None,
        update_steps_max: int | tuple[int, ...] | None = 0,
        update_steps_eps: float | tuple[float, ...] = 1e-4,
        *,
        quantity: int = 1,
        trainable: bool = True,
        learnable_scaling: bool = False,
        separation: SeparationName | float | LearnableAlpha = "softmax",
        similarity: Similarity = "dot",
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
        batch_first: bool = True,
        association_activation: ActivationName | None = None,
        dropout: float = 0.0,
        input_bias: bool = True,
        concat_bias_pattern: bool = False,
        add_zero_association: bool = False,
        disable_out_projection: bool = False,
        diffusion: DiffusionConfig | None = None,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        arguments, parameter = split_scaling(named_arguments(HopfieldSettings, locals()))
        settings = PoolingSettings(
            hopfield=hopfield_settings(arguments), quantity=quantity, trainable=trainable
        )
        self._make(settings, parameter, device=device, dtype=dtype)

    @suggest_names
    def forward(
        self,
        input: torch.Tensor | tuple[torch.Tensor, torch.Tensor],
        stored_pattern_padding_mask: torch.Tensor | None = None,
        association_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the outputs of the learned states, ``(..., quantity * output_size)``.

        ``input`` is the set ``(..., S, d)``, or the set and its projections; masks are as in
        :meth:`Hopfield.forward`.
        """
        masks = stored_pattern_padding_mask, association_mask
        return flattened(self.settings, self.hopfield(self.unpack_inputs(input), *masks))

    def unpack_inputs(self, input: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        if isinstance(input, torch.Tensor):
            return input, own_patterns(self.pooling_weights), input
        if isinstance(input, tuple | list) and len(input) == 2:
            return input[0], own_patterns(self.pooling_weights), input[1]
        raise TypeError(
            "input must be one tensor, or two: stored patterns and pattern projections; "
            f"got {type(input).__name__}"
        )


class HopfieldLayer(_Learned):
    """Hopfield lookup: the association of states with learned stored patterns.

    Parameters
    ----------
    input_size : int
        The number of features of the states.
    quantity, num_pattern_repetitions : int, optional
        The number of learned stored patterns, by default 1; both names mean the same.
    lookup_weights_as_separated : bool
        Whether the values are learned separately; otherwise they are the stored patterns.
    lookup_targets_as_trainable, trainable : bool
        Whether separate values and stored patterns are trained.
    hidden_size, output_size, pattern_size, num_heads, scaling, update_steps_max, update_steps_eps
    learnable_scaling, separation, similarity, association_activation, dropout, input_bias
    batch_first
    normalize_stored_pattern, normalize_stored_pattern_affine, normalize_stored_pattern_eps
    normalize_state_pattern, normalize_state_pattern_affine, normalize_state_pattern_eps
    normalize_pattern_projection, normalize_pattern_projection_affine
    normalize_pattern_projection_eps
    normalize_hopfield_space, normalize_hopfield_space_affine, normalize_hopfield_space_eps
    stored_pattern_as_static, state_pattern_as_static, pattern_projection_as_static
    pattern_projection_as_connected, stored_pattern_size, pattern_projection_size
    concat_bias_pattern, add_zero_association, disable_out_projection
    diffusion, device, dtype
        As in :class:`Hopfield`.

    Examples
    --------
    >>> import torch
    >>> from hopcore_torch import HopfieldLayer
    >>> HopfieldLayer(input_size=8, num_pattern_repetitions=32)(torch.ones(3, 10, 8)).shape
    torch.Size([3, 10, 8])
    """

    KIND: ClassVar[type] = LookupSettings
    lookup_weights: nn.Parameter
    target_weights: nn.Parameter | None

    @suggest_names
    def __init__(
        self,
        input_size: int | None = None,
        hidden_size: int | None = None,
        output_size: int | None = None,
        pattern_size: int | None = None,
        num_heads: int = 1,
        scaling: Scaling | None = None,
        update_steps_max: int | tuple[int, ...] | None = 0,
        update_steps_eps: float | tuple[float, ...] = 1e-4,
        *,
        quantity: int | None = None,
        num_pattern_repetitions: int | None = None,
        lookup_weights_as_separated: bool = False,
        trainable: bool = True,
        lookup_targets_as_trainable: bool = True,
        learnable_scaling: bool = False,
        separation: SeparationName | float | LearnableAlpha = "softmax",
        similarity: Similarity = "dot",
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
        batch_first: bool = True,
        association_activation: ActivationName | None = None,
        dropout: float = 0.0,
        input_bias: bool = True,
        concat_bias_pattern: bool = False,
        add_zero_association: bool = False,
        disable_out_projection: bool = False,
        diffusion: DiffusionConfig | None = None,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        arguments, parameter = split_scaling(named_arguments(HopfieldSettings, locals()))
        settings = LookupSettings(
            hopfield=hopfield_settings(arguments),
            quantity=quantity_of(quantity, num_pattern_repetitions),
            lookup_weights_as_separated=lookup_weights_as_separated,
            lookup_targets_as_trainable=lookup_targets_as_trainable,
            trainable=trainable,
        )
        self._make(settings, parameter, device=device, dtype=dtype)

    @suggest_names
    def forward(
        self,
        input: torch.Tensor,
        stored_pattern_padding_mask: torch.Tensor | None = None,
        association_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the output for states ``(..., L, d)``; masks as in :meth:`Hopfield.forward`."""
        return self.hopfield(
            self.unpack_inputs(input), stored_pattern_padding_mask, association_mask
        )

    def unpack_inputs(self, input: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        if not isinstance(input, torch.Tensor):
            raise TypeError(f"input must be one tensor, state patterns, got {type(input).__name__}")
        stored = own_patterns(self.lookup_weights)
        targets = self.target_weights
        return stored, input, stored if targets is None else own_patterns(targets)


def own_patterns(weights: torch.Tensor) -> torch.Tensor:
    """Return learned patterns as ``(quantity, d)``, without a gradient if none is recorded.

    Torch's counters of operations refuse an argument with a gradient that has no history.
    """
    recorded = torch.is_grad_enabled() or traced()
    return learned(weights if recorded else weights.detach())
