"""Layers that learn one side of the association: pooling its queries, lookup its memory."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from hopcore.layers import (
    POSITIONAL,
    LearnedPatternMethods,
    LookupSettings,
    PoolingSettings,
    bind_arguments,
    flattened,
    hopfield_settings,
    layer_parameters,
    learned,
    quantity_of,
    refuse_arguments,
)
from hopcore_torch.kernels._modes import traced
from hopcore_torch.layers._base import ParameterOwner, split_scaling, tensor
from hopcore_torch.layers._hopfield import Hopfield


class _Learned(ParameterOwner, LearnedPatternMethods):
    """What pooling and lookup share: a Hopfield layer, and patterns of their own."""

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
    def of(cls, settings: Any, **where: Any) -> Any:
        """The layer with these settings; ``device`` and ``dtype`` of its parameters."""
        layer = cls.__new__(cls)
        layer._make(settings, None, **where)
        return layer


class HopfieldPooling(_Learned):
    """Hopfield pooling: learned state patterns recall from a set, whatever its size.

    Parameters
    ----------
    input_size : int
        Depth of the set, and of the state patterns.
    quantity : int
        How many state patterns are learned.
    trainable : bool
        Whether they are trained.
    **settings
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

    def __init__(
        self,
        *args: Any,
        quantity: int = 1,
        trainable: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
        **settings: Any,
    ) -> None:
        arguments, scaling = split_scaling(bind_arguments(POSITIONAL, args, settings))
        layer_settings = PoolingSettings(
            hopfield=hopfield_settings(arguments), quantity=quantity, trainable=trainable
        )
        self._make(layer_settings, scaling, device=device, dtype=dtype)

    def forward(
        self,
        input: torch.Tensor | tuple[torch.Tensor, torch.Tensor],
        stored_pattern_padding_mask: torch.Tensor | None = None,
        association_mask: torch.Tensor | None = None,
        **others: Any,
    ) -> torch.Tensor:
        """The answers to the state patterns, ``(..., quantity * output_size)``.

        ``input`` is the set ``(..., S, d)``, or the set and its pattern projections; masks are as
        in :meth:`Hopfield.forward`.
        """
        if others:
            refuse_arguments(others)
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
    """Hopfield lookup: state patterns recall from a learned memory.

    Parameters
    ----------
    input_size : int
        Depth of the state patterns.
    quantity : int
        How many patterns the memory holds; ``num_pattern_repetitions`` is the same.
    lookup_weights_as_separated : bool
        Values are learned, too; otherwise they are the stored patterns.
    lookup_targets_as_trainable, trainable : bool
        Whether separate values, and stored patterns, are trained.
    **settings
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

    def __init__(
        self,
        *args: Any,
        quantity: int | None = None,
        num_pattern_repetitions: int | None = None,
        lookup_weights_as_separated: bool = False,
        lookup_targets_as_trainable: bool = True,
        trainable: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
        **settings: Any,
    ) -> None:
        arguments, scaling = split_scaling(bind_arguments(POSITIONAL, args, settings))
        layer_settings = LookupSettings(
            hopfield=hopfield_settings(arguments),
            quantity=quantity_of(quantity, num_pattern_repetitions),
            lookup_weights_as_separated=lookup_weights_as_separated,
            lookup_targets_as_trainable=lookup_targets_as_trainable,
            trainable=trainable,
        )
        self._make(layer_settings, scaling, device=device, dtype=dtype)

    def forward(
        self,
        input: torch.Tensor,
        stored_pattern_padding_mask: torch.Tensor | None = None,
        association_mask: torch.Tensor | None = None,
        **others: Any,
    ) -> torch.Tensor:
        """What state patterns ``(..., L, d)`` recall; masks are as in :meth:`Hopfield.forward`."""
        if others:
            refuse_arguments(others)
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
    """Return learned patterns as ``(quantity, d)``; without a gradient where none is recorded.

    Torch's counters of operations refuse an argument with a gradient that has no history.
    """
    recorded = torch.is_grad_enabled() or traced()
    return learned(weights if recorded else weights.detach())
