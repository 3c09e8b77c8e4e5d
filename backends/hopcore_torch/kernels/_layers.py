"""Torch's kernels of layers: its own linear maps, normalisation and error function."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from hopcore.arrays import Backend


class TorchLayerKernels(Backend):
    """The kernels of layers for tensors."""

    def linear(
        self, features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        return F.linear(features, weight, bias)

    def layer_norm(
        self,
        features: torch.Tensor,
        weight: torch.Tensor | None,
        bias: torch.Tensor | None,
        eps: float,
    ) -> torch.Tensor:
        return F.layer_norm(features, features.shape[-1:], weight, bias, eps)

    def split(self, array: torch.Tensor, sizes: list[int], axis: int) -> list[torch.Tensor]:
        return list(torch.split(array, sizes, axis))

    def erf(self, values: torch.Tensor) -> torch.Tensor:
        return torch.erf(values)

    def uses_autocast(self, array: torch.Tensor) -> bool:
        kind = array.device.type  # "meta" knows of no autocast
        return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
