"""How many kernels a call starts on an accelerator, counted on tensors without values.

Tensors on the device ``meta`` take the way of an accelerator. Every operation of torch that is not
a view, and does not only reserve memory, is one kernel or a few; a fused attention counts as one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import hopcore
import hopcore_torch

FUSED = torch.nn.functional.scaled_dot_product_attention
RESERVED = ("aten::empty", "aten::new_empty", "aten::detach", "aten::_unsafe_view", "prim::")


class Launches(TorchDispatchMode):
    """Counts operations that compute something."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()
        self.inside = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name, returned = function._schema.name, function._schema.returns
        alias = returned[0].alias_info if returned else None
        view = alias is not None and not alias.is_write
        if not (self.inside or view or name.startswith(RESERVED)):
            self.seen[name] += 1
        return function(*args, **(kwargs or {}))


class FusedAttention(TorchFunctionMode):
    """Counts a fused attention as one, which torch writes out for tensors without values."""

    def __init__(self, launches: Launches) -> None:
        super().__init__()
        self.launches = launches

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function is not FUSED:
            return function(*args, **(kwargs or {}))
        self.launches.seen["fused attention"] += 1
        self.launches.inside += 1
        try:
            return function(*args, **(kwargs or {}))
        finally:
            self.launches.inside -= 1


def launches(call: Callable[[], Any]) -> Counter[str]:
    with torch.no_grad(), Launches() as counted, FusedAttention(counted):
        call()
    return counted.seen


def empty(*shape: int) -> torch.Tensor:
    return torch.empty(*shape, device="meta")


def test_an_association_is_one_kernel() -> None:
    seen = launches(lambda: hopcore.association(empty(10, 64), empty(100, 64), beta=0.1))
    assert seen == {"fused attention": 1}


@pytest.mark.parametrize("heads", [1, 4])
def test_a_plain_layer(heads: int) -> None:
    layer = hopcore_torch.Hopfield(64, num_heads=heads).to("meta").eval()
    stored, state = empty(8, 50, 64), empty(8, 10, 64)
    seen = launches(lambda: layer((stored, state, stored)))
    assert seen["fused attention"] == 1
    assert seen.total() <= 12, seen


def test_a_diffused_layer_with_the_graph_of_an_earlier_call() -> None:
    layer = hopcore_torch.DiffusedHopfield(64, num_heads=4).to("meta").eval()
    stored, state = empty(8, 50, 64), empty(8, 10, 64)
    first = launches(lambda: layer((stored, state, stored)))
    again = launches(lambda: layer((stored, state, stored)))
    assert first["aten::topk"] > 0
    assert again.total() <= 20, again


def test_the_energy_of_many_states() -> None:
    stored, state = empty(100_000, 64), empty(10_000, 64)
    seen = launches(lambda: hopcore.energy(state, stored, 0.1))
    assert seen.total() <= 64, seen


def test_the_graph_of_many_patterns() -> None:
    seen = launches(lambda: hopcore.knn_graph(empty(100_000, 64), 8))
    assert seen.total() <= 2000, seen
    few = launches(lambda: hopcore.knn_graph(empty(1000, 64), 8))
    blocks = seen["aten::mm"] - few["aten::mm"]
    assert seen.total() - few.total() <= 25 * blocks
