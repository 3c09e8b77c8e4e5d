"""The largest tensor that a piece of code makes."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Largest(TorchDispatchMode):
    """Finds the number of values of the largest tensor that is made; views are not counted."""

    def __init__(self) -> None:
        super().__init__()
        self.values = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        found = function(*args, **(kwargs or {}))
        alias = function._schema.returns[0].alias_info if function._schema.returns else None
        for one in torch.utils._pytree.tree_leaves(found):
            if isinstance(one, torch.Tensor) and alias is None:
                self.values = max(self.values, one.numel())
        return found
