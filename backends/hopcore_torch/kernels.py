"""Kernels of the torch backend."""

from __future__ import annotations

from typing import Any

import array_api_compat.torch as xp
import numpy as np
import torch

from hopcore.backend import Backend


class TorchBackend(Backend):
    def __init__(self) -> None:
        super().__init__("torch", xp)
        for half in (torch.float16, torch.bfloat16):
            self.precise[half] = torch.float32

    def constant(self, array: Any) -> Any:
        return array if isinstance(array, float) else array.detach()

    def to_numpy(self, array: Any) -> np.ndarray:
        return array.detach().cpu().numpy()
