"""What the kernels for GPUs in Triton and in Pallas have in common: limits, tiles, formulas."""

from __future__ import annotations

import pytest

import hopcore
from hopcore.memory import FusedOrder, FusedTiles, fused_gpu_refusal, fused_refusal


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("depth", [1, 16, 17, 64, 65, 128, 129, 256])
def test_tiles_are_powers_of_two(size: int, depth: int) -> None:
    tiles = FusedTiles.of(size, depth, 1)
    assert all(n >= 16 and n & (n - 1) == 0 for n in tiles[:4])
    assert tiles.depth >= depth
    assert tiles.width == 16
    assert tiles.warps in (4, 8)
    assert tiles.stages in (1, 2)
    assert tiles.of_memories == tiles._replace(warps=8)


def test_interpreted_tiles_are_small() -> None:
    assert FusedTiles.of(4, 3, 20, interpreted=True)[:4] == (4, 4, 16, 32)


@pytest.mark.parametrize(
    ("separation", "kind", "a"),
    [
        (hopcore.Softmax(), "softmax", 0.0),
        (hopcore.Entmax(1.5), "half", 0.5),
        (hopcore.Entmax(2.0), "one", 1.0),
        (hopcore.Entmax(1.25), "any", 0.25),
    ],
)
def test_each_order_has_a_formula(separation: object, kind: str, a: float) -> None:
    order = FusedOrder.of(separation)
    assert (order.kind, order.a) == (kind, a)
    assert 0.0 <= order.steep - order.a <= 3e-7 * a


def test_limits_of_launches_have_two_sides() -> None:
    softmax = hopcore.Softmax()
    assert fused_refusal(softmax, 256, 2**18, queries=2**20 - 16, lead=2**15) == ""
    assert "programs are more" in fused_refusal(softmax, 256, 2**18, queries=2**20, lead=2**15)
    assert fused_refusal(softmax, 4, 128, queries=64, interpreted=512) == ""
    found = fused_refusal(softmax, 4, 128, queries=65, interpreted=512)
    assert found == "1 x 65 x 128 scores take the interpreter too long"


def test_limits_of_gpus_have_two_sides() -> None:
    assert fused_gpu_refusal((8, 0)) == fused_gpu_refusal((12, 0)) == ""
    assert fused_gpu_refusal((7, 5)) == "compute capability 7.5 is below 8.0"
